"""A model's file may come from anywhere: what is no good is said, and costs nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import onnx.numpy_helper
import pytest

import symgraph as sg
from symgraph.exchange.onnx import limits
from symgraph.exchange.onnx.load import load_model

_FLOAT = onnx.TensorProto.FLOAT


def _info(name: str) -> Any:
    return oh.make_tensor_value_info(name, _FLOAT, ["B"])


def _model(nodes: Sequence[Any], *, tensors: Sequence[Any] = (), functions: Any = ()) -> Any:
    graph = oh.make_graph(nodes, "g", [_info("x")], [_info("y")], list(tensors))
    opsets = [oh.make_opsetid("", 21), oh.make_opsetid("own", 1)]
    return oh.make_model(graph, functions=list(functions), opset_imports=opsets)


def _relu() -> Any:
    return oh.make_node("Relu", ["x"], ["y"], name="only")


def _refused(model: Any, match: str, **options: Any) -> None:
    source = model if isinstance(model, (bytes, Path)) else model.SerializeToString()
    with pytest.raises(sg.ExchangeError, match=match):
        load_model(source, **options)


# --- bytes --------------------------------------------------------------------------------------


def test_a_model_is_read_from_bytes_a_path_or_a_proto(tmp_path: Path) -> None:
    model = _model([_relu()])
    onnx.save(model, tmp_path / "m.onnx")
    sources = [model, model.SerializeToString(), tmp_path / "m.onnx", str(tmp_path / "m.onnx")]
    for source in sources:
        loaded = load_model(source)
        assert loaded.graph == model.graph
        assert loaded.opsets == {"": 21, "own": 1}


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    _refused(b"", "no graph")
    _refused(b"PK\x03\x04 no model at all", "no ONNX model")
    _refused(_model([_relu()]).SerializeToString()[:-3], "cut off")
    _refused(tmp_path / "none.onnx", "no file")
    _refused(tmp_path, "no file")
    _refused(Path("/dev/zero"), "no file")
    (tmp_path / "empty.onnx").touch()
    _refused(tmp_path / "empty.onnx", "no graph")
    with pytest.raises(sg.ExchangeError, match="found 3"):
        load_model(3)  # pyright: ignore[reportArgumentType]


def test_deep_nesting_is_refused() -> None:
    message = b"\x0a\x00"
    for _ in range(200):  # a graph is field 6 of an attribute, field 5 of a node, field 1 of it
        for field in (6, 5, 1):
            message = bytes([field << 3 | 2]) + _varint(len(message)) + message
    _refused(b"\x3a" + _varint(len(message)) + message, "nests deeper")


def test_many_small_fields_are_refused_before_they_are_parsed() -> None:
    nodes = b"\x0a\x00" * (limits.MAX_FIELDS + 1)
    _refused(b"\x3a" + _varint(len(nodes)) + nodes, "more than 1000000 fields")
    integers = bytes(limits.MAX_PACKED_BYTES + 1)  # int64_data of an initialiser
    tensor = b"\x3a" + _varint(len(integers)) + integers
    graph = b"\x2a" + _varint(len(tensor)) + tensor
    _refused(b"\x3a" + _varint(len(graph)) + graph, "16 MiB of integers")


def test_text_that_is_not_utf8_is_refused() -> None:
    _refused(b"\x3a\x04\x12\x02\xff\xfe", "not UTF-8")


def _varint(number: int) -> bytes:
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


# --- names --------------------------------------------------------------------------------------


def test_a_name_is_defined_once_and_before_its_use() -> None:
    _refused(_model([oh.make_node("Relu", ["z"], ["y"], name="only")]), "'only'.* uses 'z'")
    _refused(_model([_relu(), _relu()]), "defines 'y' twice")
    circle = [oh.make_node("Add", ["x", "b"], ["a"]), oh.make_node("Relu", ["a"], ["b"])]
    _refused(_model([*circle, _relu()]), "uses 'b', which nothing before it")
    _refused(_model([oh.make_node("Relu", ["x"], ["z"])]), "an output uses 'y'")
    twice = [onnx.numpy_helper.from_array(np.ones(1, "f"), "w")] * 2
    _refused(_model([_relu()], tensors=twice), "defines 'w' twice")


def test_the_default_of_an_input_has_its_name() -> None:
    load_model(_model([_relu()], tensors=[onnx.numpy_helper.from_array(np.ones(3, "f"), "x")]))


def test_graphs_in_graphs_see_what_stands_before_them() -> None:
    condition = onnx.numpy_helper.from_array(np.array([True]), "c")

    def branches(name: str) -> dict[str, Any]:
        inner = [oh.make_node("Relu", [name], ["inner"])]
        graph = oh.make_graph(inner, "branch", [], [_info("inner")])
        return {"then_branch": graph, "else_branch": graph}

    good = [_relu(), oh.make_node("If", ["c"], ["z"], **branches("y"))]
    load_model(_model(good, tensors=[condition]))
    late = [oh.make_node("If", ["c"], ["z"], **branches("y")), _relu()]
    _refused(_model(late, tensors=[condition]), "graph 'branch' .* uses 'y'")
    own = [oh.make_node("If", ["c"], ["z"], **branches("z")), _relu()]
    _refused(_model(own, tensors=[condition]), "uses 'z'")


def _function(name: str, *callees: str) -> Any:
    names = ["x", *(f"v{i}" for i in range(len(callees) - 1)), "y"]
    nodes = (
        [_relu()]
        if not callees
        else [
            oh.make_node(callee, [taken], [result], domain="own")
            for callee, (taken, result) in zip(callees, itertools.pairwise(names), strict=True)
        ]
    )
    opsets = [oh.make_opsetid("", 21), oh.make_opsetid("own", 1)]
    return oh.make_function("own", name, ["x"], ["y"], nodes, opsets)


def test_functions_that_call_themselves_or_too_many_are_refused() -> None:
    call = [oh.make_node("f0", ["x"], ["y"], domain="own")]
    _refused(_model(call, functions=[_function("f0", "f0")]), "'f0' calls itself")
    circle = [_function("f0", "f1"), _function("f1", "f2"), _function("f2", "f1")]
    _refused(_model(call, functions=circle), "calls itself")
    _refused(_model(call, functions=[_function("f0"), _function("f0")]), "two local functions 'f0'")
    doubling = [_function(f"f{i}", f"f{i + 1}", f"f{i + 1}") for i in range(40)]
    _refused(_model(call, functions=[*doubling, _function("f40")]), "more than 50000 nodes")
    chain = [_function(f"f{i}", f"f{i + 1}") for i in range(64)]
    _refused(_model(call, functions=[*chain, _function("f64")]), "more than 64 deep")
    loaded = load_model(_model(call, functions=[*doubling[:10], _function("f10")]))
    assert ("own", "f3") in loaded.functions


# --- tensors ------------------------------------------------------------------------------------


def test_tensors_are_read_as_onnx_reads_them() -> None:
    values = np.array([[0, 1, 3], [-1, -2, 100]])
    for dtype in ("f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"):
        for array in (values.astype(dtype), values[0, 0].astype(dtype), values[:0].astype(dtype)):
            kind = oh.np_dtype_to_tensor_dtype(array.dtype)
            raw = onnx.numpy_helper.from_array(array, "w")
            plain = oh.make_tensor("w", kind, array.shape, array.reshape(-1))
            loaded = load_model(_model([_relu()], tensors=[raw]))
            for tensor in (raw, plain):
                read = loaded.array(tensor)
                assert read.dtype == array.dtype
                np.testing.assert_array_equal(read, onnx.numpy_helper.to_array(tensor))
            load_model(_model([_relu()], tensors=[plain]))


def test_sparse_tensors_are_read_with_their_zeros() -> None:
    values = oh.make_tensor("w", _FLOAT, [2], [1.5, 2.5])
    places = {"linear": ([2], [1, 5]), "by axes": ([2, 2], [0, 1, 1, 2])}
    for shape, positions in places.values():
        indices = oh.make_tensor("i", onnx.TensorProto.INT64, shape, positions)
        dense = load_model(_model([_relu()])).array(oh.make_sparse_tensor(values, indices, [2, 3]))
        np.testing.assert_array_equal(dense, [[0, 1.5, 0], [0, 0, 2.5]])
    for sizes in ([2, 2], [1 << 40, 3]):
        with pytest.raises(sg.ExchangeError, match=r"outside|take more than"):
            load_model(_model([_relu()])).array(oh.make_sparse_tensor(values, indices, sizes))


def test_a_tensor_is_as_large_as_it_says() -> None:
    def tensor(sizes: Sequence[int], n_bytes: int) -> Any:
        made = onnx.TensorProto(name="w", data_type=_FLOAT, raw_data=bytes(n_bytes))
        made.dims.extend(sizes)
        return made

    _refused(_model([_relu()], tensors=[tensor([-1], 8)]), "none may be negative")
    _refused(_model([_relu()], tensors=[tensor([3], 8)]), "needs 12 bytes, but has 8")
    _refused(_model([_relu()], tensors=[tensor([1 << 40, 1 << 40], 8)]), "more than 2 GiB")
    _refused(_model([_relu()], tensors=[tensor([1 << 40, 0], 0)]), "more than 2 GiB")
    _refused(_model([_relu()], tensors=[tensor([1] * 33, 4)]), "no more than 32")
    constant = oh.make_node("Constant", [], ["c"], value=tensor([2, 2], 8))
    _refused(_model([constant, _relu()]), "needs 16 bytes")
    text = oh.make_tensor("w", onnx.TensorProto.STRING, [1], [b"a"])
    with pytest.raises(sg.ExchangeError, match="dtype string"):
        load_model(_model([_relu()], tensors=[text])).array(text)


# --- tensors in files of their own --------------------------------------------------------------


def _external(**entries: Any) -> Any:
    tensor = onnx.TensorProto(name="w", data_type=_FLOAT, data_location=onnx.TensorProto.EXTERNAL)
    tensor.dims.append(3)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def test_external_data_is_read_below_the_folder(tmp_path: Path) -> None:
    values = np.arange(5, dtype="f")
    (tmp_path / "inner").mkdir()
    values.tofile(tmp_path / "inner" / "w.bin")
    tensor = _external(location="inner/w.bin", offset=8, length=12)
    model = _model([_relu()], tensors=[tensor])
    loaded = load_model(model, folder=tmp_path)
    np.testing.assert_array_equal(loaded.array(tensor), [2, 3, 4])
    onnx.save(model, tmp_path / "m.onnx")
    np.testing.assert_array_equal(load_model(tmp_path / "m.onnx").array(tensor), [2, 3, 4])
    _refused(model, "folder=")


def test_external_data_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    np.zeros(5, "f").tofile(tmp_path / "secret")
    np.zeros(5, "f").tofile(folder / "w.bin")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "circle").symlink_to(folder / "circle")
    wrong = ["../secret", str(tmp_path / "secret"), "link", "circle", "none", "", ".", "a\0b"]
    for location in [*wrong, "x" * 5000, "../models/../secret"]:
        tensor = _external(location=location)
        _refused(_model([_relu()], tensors=[tensor]), "no file below", folder=folder)
    for entries in ({"offset": 12}, {"offset": -4}, {"length": 4}, {"length": "9" * 5000}):
        tensor = _external(location="w.bin", **entries)
        _refused(_model([_relu()], tensors=[tensor]), "bytes", folder=folder)

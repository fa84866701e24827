"""Files that mean harm, or are damaged, are refused in bounded time and memory, or read.

Each is read in a process of its own; see `hostile`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import onnx.parser
import pytest
from hostile import Outcome, outcomes
from mutants import mutants

import symgraph as sg
import symgraph_nn as nn

_FILES = Path(__file__).parent / "files"


def _parsed(text: str) -> Any:
    return onnx.parser.parse_model('<ir_version: 10, opset_import: ["": 21]>\n' + text)


def _with_tensor(**fields: Any) -> bytes:
    """A model with an initialiser of these fields."""
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT)
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        elif isinstance(value, dict):
            for key, text in value.items():
                getattr(tensor, name).add(key=key, value=text)
        else:
            setattr(tensor, name, value)
    model = _parsed("g (float[N] x) => (float[N] y) { y = Add(x, w) }".replace("x, w", "x, x"))
    model.graph.node[0].input[1] = "w"
    model.graph.initializer.append(tensor)
    return model.SerializeToString()


def _external(**entries: str) -> bytes:
    location = onnx.TensorProto.EXTERNAL
    return _with_tensor(dims=[4], data_location=location, external_data=entries)


def _circle() -> bytes:
    nodes = [oh.make_node("Add", ["x", "b"], ["y"]), oh.make_node("Relu", ["y"], ["b"])]
    ends = [oh.make_tensor_value_info(name, 1, ["N"]) for name in "xy"]
    return oh.make_model(oh.make_graph(nodes, "g", ends[:1], ends[1:])).SerializeToString()


def _deep(levels: int) -> bytes:
    """A model of graphs in graphs, as bytes: a builder of such objects would refuse too."""
    message = b"\x0a\x00"
    for _ in range(levels):
        for field in (6, 5, 1):  # the graph of an attribute of a node of a graph
            message = bytes([field << 3 | 2]) + _length(len(message)) + message
    return b"\x3a" + _length(len(message)) + message


def _length(number: int) -> bytes:
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def _doubling(number: int) -> bytes:
    """A model whose local functions call each other twice each."""
    opsets = [oh.make_opsetid("", 21), oh.make_opsetid("own", 1)]
    functions = [
        oh.make_function(
            "own",
            f"f{i}",
            ["x"],
            ["y"],
            [
                oh.make_node(f"f{i + 1}", ["x"], ["z"], domain="own"),
                oh.make_node(f"f{i + 1}", ["z"], ["y"], domain="own"),
            ],
            opsets,
        )
        for i in range(number)
    ]
    leaf = [oh.make_node("Relu", ["x"], ["y"])]
    functions.append(oh.make_function("own", f"f{number}", ["x"], ["y"], leaf, opsets))
    ends = [oh.make_tensor_value_info(name, 1, ["N"]) for name in "xy"]
    call = [oh.make_node("f0", ["x"], ["y"], domain="own")]
    graph = oh.make_graph(call, "g", ends[:1], ends[1:])
    return oh.make_model(graph, functions=functions, opset_imports=opsets).SerializeToString()


def _chain(first: str, step: str) -> bytes:
    """A model in which a step is taken again and again, each time on what the last one gave."""
    steps = [step.replace("OLD", f"v{i}").replace("NEW", f"v{i + 1}") for i in range(60)]
    body = "\n  ".join([first, *steps])
    text = f"g (float[T, B, C] x) => (int64[N] y) {{\n  {body}\n  y = Identity(v60)\n}}"
    return _parsed(text).SerializeToString()


_HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a file elsewhere": (lambda: _external(location="../../../../etc/passwd"), "no file below"),
    "a file that is shorter": (lambda: _external(location="short.bin"), "needs 16 bytes"),
    "an offset beyond the file": (
        lambda: _external(location="short.bin", offset="1" * 18),
        "needs 16 bytes from byte 1111",
    ),
    "a tensor of terabytes": (lambda: _with_tensor(dims=[1 << 40], raw_data=b"1234"), "2 GiB"),
    "a tensor that is mostly missing": (
        lambda: _with_tensor(dims=[1 << 24], raw_data=b"1234"),
        "but has 4",
    ),
    "a negative size": (lambda: _with_tensor(dims=[-1], raw_data=b"1234"), "may be negative"),
    "a circle": (_circle, "nothing before it defines"),
    "graphs in graphs": (lambda: _deep(1000), "nests deeper"),
    "functions that double": (lambda: _doubling(60), "more than 50000 nodes"),
    "a million empty nodes": (
        lambda: b"\x3a" + _length(2_000_000) + b"\x0a\x00" * 1_000_000,
        "more than 1000000 fields",
    ),
    "no end": (lambda: (_FILES / "lstm.onnx").read_bytes()[:-100], "cut off"),
    "noise": (lambda: np.random.default_rng(0).bytes(100_000), "no ONNX model"),
    "a size squared again and again": (
        lambda: _chain("s = Shape(x)  v0 = ReduceSum<keepdims = 1>(s)", "NEW = Mul(OLD, OLD)"),
        "formula of a size",
    ),
    "a number squared again and again": (
        lambda: _chain(
            "k = Constant<value = int64[1] {3}>()  s = Shape(x)  v0 = Concat<axis = 0>(k, s)",
            "NEW = Mul(OLD, OLD)",
        ),
        "int64|formula",
    ),
    "loops in loops that have to be written out": (lambda: _nested_loops(5), "Loop"),
}


def _nested_loops(depth: int) -> bytes:
    """Loops in loops over a state that grows, so that steps have to be written out."""
    body = "r = Concat<axis = 0>(v, one)"
    for d in range(depth):
        body = (
            f'r = Loop(n, "", v) <body = b{d} (int64 i{d}, bool c{d}, float[N] v)'
            f" => (bool k{d}, float[M] r) {{ k{d} = Identity(c{d})  {body} }}>"
        )
    return _parsed(
        "g (float[1] v) => (float[M] r) { n = Constant<value = int64 {60}>() "
        f"one = Constant<value = float[1] {{1}}>() {body} }}"
    ).SerializeToString()


_LARGE = {
    "zeros": "s = Constant<value = int64[3] {100000, 100000, 100000}>()  z = ConstantOfShape(s)",
    "copies": "s = Constant<value = int64[1] {1000000000000}>()"
    "  k = Constant<value = int64[1] {1}>()  z = Tile(k, s)",
    "numbers": "a = Constant<value = int64 {0}>()  b = Constant<value = int64 {1000000000000}>()"
    "  c = Constant<value = int64 {1}>()  z = Range(a, b, c)",
    "padding": "k = Constant<value = int64[2] {1, 2}>()"
    "  p = Constant<value = int64[2] {1000000000000, 0}>()  z = Pad(k, p)",
    "doubles": "\n".join(
        ["v0 = Constant<value = float[2] {1, 2}>()"]
        + [f"v{i + 1} = Concat<axis = 0>(v{i}, v{i})" for i in range(45)]
        + ["z = Identity(v45)"]
    ),
}


def _large(nodes: str) -> bytes:
    text = f"g (float x) => (float y) {{ {nodes}  y = ReduceMax<keepdims = 0>(z) }}"
    return _parsed(text).SerializeToString()


def _exported() -> bytes:
    """A training step of ours, with loops in it."""
    x, layer = sg.tensor("x", ("T", "B", 3)), nn.RNN(3, 2, rng=0)
    loss = sg.square(layer(x)).mean()
    step = sg.compile([x], loss, updates=nn.sgd(loss, layer.params, 0.1))
    return sg.export_onnx(step).SerializeToString()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What becomes of all these models, which one program reads."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "short.bin").write_bytes(b"123456789")
    models = {name: make() for name, (make, _) in _HOSTILE.items()}
    models |= {name: _large(text) for name, text in _LARGE.items()}
    sources = [path.read_bytes() for path in sorted(_FILES.glob("*.onnx"))]
    sources += [_exported(), _nested_loops(2)]
    models |= {f"mutant {i}": model for i, model in enumerate(mutants(sources, 60, seed=1))}
    paths = [folder / f"{i}.onnx" for i in range(len(models))]
    for path, model in zip(paths, models.values(), strict=True):
        path.write_bytes(model)
    return dict(zip(models, outcomes(paths), strict=True))


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_hostile_file_is_refused(name: str, results: dict[str, Outcome]) -> None:
    outcome, reason = results[name], _HOSTILE[name][1]
    assert outcome.kind == "refused", outcome
    assert any(part in outcome.text for part in reason.split("|")), outcome
    assert outcome.is_cheap, outcome


@pytest.mark.parametrize("name", _LARGE)
def test_large_values_are_not_computed_while_reading(
    name: str, results: dict[str, Outcome]
) -> None:
    assert results[name].is_good, results[name]


def test_damaged_models_are_refused_or_read(results: dict[str, Outcome]) -> None:
    mutated = {name: outcome for name, outcome in results.items() if "mutant" in name}
    assert {name: outcome for name, outcome in mutated.items() if not outcome.is_good} == {}
    assert {outcome.kind for outcome in mutated.values()} == {"read", "refused"}

"""Models that go out: names, sizes, shared variables, outputs of every kind; what is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import symgraph as sg


def run(model: onnx.ModelProto, **inputs: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return list(session.run(None, inputs))


def op_types(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def shapes(ends: Any) -> dict[str, list[int | str | None]]:
    return {
        end.name: [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in dims]
        for end in ends
        for dims in [end.type.tensor_type.shape.dim]
    }


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype("float32")


def net() -> tuple[sg.Function, sg.SharedVariable]:
    x = sg.tensor("x", ("T", "B", 4))
    w, b = sg.shared(random(4, 3), "layer.W"), sg.shared(np.zeros(3, "float32"), "layer.b")
    y = sg.tanh(x @ w + b)
    y.name = "y"
    loss = sg.mean(sg.exp(y))
    return sg.compile([x], [y, loss], updates={b: b - sg.grad(loss, b)}, name="net"), b


def test_a_step_has_the_states_as_inputs_and_outputs() -> None:
    f, b = net()
    model = sg.export_onnx(f)
    assert shapes(model.graph.input) == {"x": ["T", "B", 4], "layer.b": [3]}
    assert shapes(model.graph.output) == {"y": ["T", "B", 3], "output": [], "layer.b_next": [3]}
    assert {"layer.W", "layer.b"} <= {tensor.name for tensor in model.graph.initializer}
    x = random(5, 2, 4)
    state = {}
    for _ in range(3):
        y, loss, new = run(model, x=x, **state)
        expected = f(x)
        np.testing.assert_allclose(y, expected[0], 1e-5, 1e-6)
        np.testing.assert_allclose(loss, expected[1], 1e-5, 1e-6)
        np.testing.assert_allclose(new, b.get_value(), 1e-5, 1e-6)
        state = {"layer.b": new}


def test_outputs_of_every_kind_have_names_of_their_own() -> None:
    x = sg.tensor("x", ("N",))
    y = x + 1
    model = sg.export_onnx([y, y, x, x, sg.constant(2.5), y > 0, x.shape[0]], inputs=[x])
    names = [f"output{suffix}" for suffix in ("", "_1", "_2", "_3", "_4", "_5", "_6")]
    assert [end.name for end in model.graph.output] == names
    value = random(3)
    found = run(model, x=value)
    expected = [value + 1, value + 1, value, value, 2.5, value + 1 > 0, 3]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [a.dtype for a in found[4:]] == [np.float32, np.bool_, np.int64]


def test_sizes_of_zero_go_through() -> None:
    x = sg.tensor("x", ("T", "B", 4))
    model = sg.export_onnx([sg.reshape(x, (x.shape[0] * x.shape[1], 4)), sg.sum(x, axis=1)])
    for t, b in ((0, 3), (3, 0), (0, 0), (1, 1), (5, 2)):
        value = random(t, b, 4)
        flat, total = run(model, x=value)
        np.testing.assert_array_equal(flat, value.reshape(t * b, 4))
        np.testing.assert_allclose(total, value.sum(1), 1e-5, 1e-6)


@pytest.mark.parametrize("opset", [17, 99, 21.0, True])
def test_opsets_that_are_not_written_are_refused(opset: Any) -> None:
    with pytest.raises(sg.ExchangeError, match="opset is an int from 18"):
        sg.export_onnx(sg.scalar("x") + 1, opset=opset)


@pytest.mark.parametrize("opset", [18, 19, 20, 22, 23])
def test_other_opsets(opset: int) -> None:
    f, _ = net()
    model = sg.export_onnx(f, opset=opset)
    assert [entry.version for entry in model.opset_import] == [opset]
    x = random(2, 1, 4)
    np.testing.assert_allclose(run(model, x=x)[0], f(x)[0], 1e-5, 1e-6)


def test_a_file_that_cannot_be_written(tmp_path: Any) -> None:
    x = sg.scalar("x")
    model = sg.export_onnx(x + 1, tmp_path / "model.onnx")
    assert onnx.load(tmp_path / "model.onnx") == model
    with pytest.raises(sg.ExchangeError, match="cannot be written"):
        sg.export_onnx(x + 1, tmp_path / "nowhere" / "model.onnx")


def test_a_path_is_no_number() -> None:
    path: Any = 5
    with pytest.raises(sg.SymgraphTypeError, match="path is that of a file"):
        sg.export_onnx(sg.vector("x") * 2, path)


# --- random numbers -----------------------------------------------------------------------------


def test_random_bits_are_the_same() -> None:
    key = sg.tensor("key", (2,), "uint32")
    n = sg.scalar("n", dtype="int64")
    draws = [
        sg.random.uniform(key, (3, 4)),
        sg.random.bernoulli(sg.random.fold_in(key, n), (50,), 0.3),
        sg.random.split(key, 3),
    ]
    model = sg.export_onnx(draws, inputs=[key, n])
    value, number = np.array([5, 77], "uint32"), np.array(2**40 + 3)
    expected = sg.compile([key, n], draws)(value, number)
    for ours, theirs in zip(run(model, key=value, n=number), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_normal_numbers_are_the_same_to_rounding() -> None:
    key = sg.tensor("key", (2,), "uint32")
    draw = sg.random.normal(key, (1000,))
    value = np.array([1, 2], "uint32")
    (found,) = run(sg.export_onnx(draw), key=value)
    np.testing.assert_allclose(found, draw.eval({key: value}), 4e-6)


def test_a_stream_goes_on_from_its_counter() -> None:
    stream = sg.random.Stream(3)
    f = sg.compile([], stream.uniform((4,)))
    model = sg.export_onnx(f)
    (state,) = [end.name for end in model.graph.input]
    assert [end.name for end in model.graph.output] == ["output", f"{state}_next"]
    given: dict[str, np.ndarray] = {}
    for _ in range(3):
        draw, new = run(model, **given)
        np.testing.assert_array_equal(draw, f())
        given = {state: new}


# --- what cannot go out -------------------------------------------------------------------------


def test_an_op_without_a_rule_is_refused_by_name_and_line() -> None:
    op = sg.core.op.Op("own", lambda inputs: inputs[0].type, evaluate=lambda arrays: arrays[0])
    x = sg.tensor("x", (3,))
    y = sg.core.variable.node(op, (sg.exp(x),))
    with pytest.raises(sg.ExchangeError, match="own cannot go out to ONNX") as caught:
        sg.export_onnx(y)
    assert __file__ in str(caught.value)
    assert "lower={'own': rule}" in str(caught.value)
    model = sg.export_onnx(y, lower={"own": lambda x: x * 2})
    np.testing.assert_allclose(run(model, x=np.zeros(3, "float32"))[0], 2)


def test_rules_lower_ops_and_functions() -> None:
    x = sg.tensor("x", ("N", 3))
    y = sg.softplus(sg.pad(x, ((0, 0), (1, 1))))

    def pad(x: Any, widths: Any) -> sg.Variable:
        gap = sg.zeros((x.shape[0], 1))
        return sg.concatenate([gap, x, gap], axis=1)

    model = sg.export_onnx(y, lower={"softplus": lambda x: sg.log(sg.exp(x) + 1), "pad": pad})
    types = op_types(model)
    assert not {"Softplus", "Pad"} & set(types)
    value = random(2, 3)
    np.testing.assert_allclose(run(model, x=value)[0], y.eval({x: value}), 1e-5, 1e-6)


def test_a_convolution_without_padding_for_targets_that_lack_it() -> None:
    x = sg.tensor("x", ("B", 6, 3))
    y = sg.conv1d(x, random(3, 3, 2), padding="same")

    def apart(x: Any, filters: Any, *, padding: Any, **options: Any) -> sg.Variable:
        return sg.conv1d(sg.pad(x, ((0, 0), *padding, (0, 0))), filters, **options)

    model = sg.export_onnx(y, lower={"conv1d": apart})
    assert "Pad" in op_types(model)
    (conv,) = [node for node in model.graph.node if node.op_type == "Conv"]
    assert "pads" not in {attribute.name for attribute in conv.attribute}
    value = random(2, 6, 3)
    np.testing.assert_allclose(run(model, x=value)[0], y.eval({x: value}), 1e-5, 1e-5)


def test_tensors_of_large_models_lie_beside_them(tmp_path: Any, monkeypatch: Any) -> None:
    f, _ = net()
    whole = sg.export_onnx(f)
    monkeypatch.setattr("symgraph.exchange.onnx.write_file.LARGEST_FILE", 100)
    for _ in range(2):  # over an older one
        model = sg.export_onnx(f, tmp_path / "model.onnx")
    assert model == whole
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    x = random(2, 2, 4)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], f(x)[0], 1e-5, 1e-6)


def test_onnx_is_not_imported_before_it_is_used() -> None:
    code = "import sys, symgraph; assert 'onnx' not in sys.modules; symgraph.export_onnx"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "uint32", "int8"])
def test_sums_of_integers_are_exact_and_wrap(dtype: str) -> None:
    x = sg.tensor("x", ("N", 2), dtype)
    sums = [sg.sum(x, axis=0), sg.sum(x, dtype=dtype), sg.sum(x, axis=1, keepdims=True)]
    model, f = sg.export_onnx(sums), sg.compile([x], sums, backend="numpy")
    limits = np.iinfo(dtype)
    value = np.array([[limits.max, limits.min], [limits.max // 2 + 1, 5], [7, limits.max]], dtype)
    for array in (value, value[:1], value[:0]):
        for ours, theirs in zip(run(model, x=array), f(array), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_products_of_integers_are_exact_and_wrap() -> None:
    x = sg.tensor("x", ("N",), "int64")
    products = [sg.prod(x), sg.prod(x.astype("int32"), dtype="int32")]
    model, f = sg.export_onnx(products), sg.compile([x], products, backend="numpy")
    for value in ([2**30 + 1, 2**25 + 1], [2**40, 2**30, 3], [7], []):
        array = np.array(value, "int64")
        for ours, theirs in zip(run(model, x=array), f(array), strict=True):
            np.testing.assert_array_equal(ours, theirs)

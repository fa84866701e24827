"""Models that go out: names, sizes, shared variables, outputs of every kind; what is refused."""

from __future__ import annotations

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

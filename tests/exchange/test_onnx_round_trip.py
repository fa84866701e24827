"""What came in goes out again as what it was, and what went out comes in again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import symgraph as sg
import symgraph_nn as nn

_FOLDER = Path(__file__).parent / "files"
_RECURRENT = ("LSTM", "GRU", "RNN", "Scan", "Loop")


def _counts(model: Any) -> Counter[str]:
    """How many nodes of each op a model has, those of graphs in graphs included."""
    counts: Counter[str] = Counter()
    graphs = [model.graph]
    while graphs:
        for node in graphs.pop().node:
            counts[node.op_type] += 1
            graphs += [a.g for a in node.attribute if a.HasField("g")]
    return counts


def _recurrent(model: Any) -> dict[str, int]:
    counts = _counts(model)
    return {op: counts[op] for op in _RECURRENT if counts[op]}


def _run(model: Any, *arrays: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [info.name for info in session.get_inputs()]
    return list(session.run(None, dict(zip(names, arrays, strict=True))))


@pytest.mark.parametrize("name", ["lstm", "bilstm", "gru", "rnn", "lstm_dynamo", "gru_dynamo"])
def test_recurrent_nodes_of_pytorch_go_out_as_they_came(name: str) -> None:
    path = _FOLDER / f"{name}.onnx"
    arrays = np.load(_FOLDER / f"{name.removesuffix('_dynamo')}.npz")
    imported = sg.import_onnx(path)
    out = sg.export_onnx(imported.outputs, inputs=list(imported.inputs.values()))
    assert _recurrent(out) == _recurrent(onnx.load(path)) != {}
    for k in range(1 if "dynamo" in name else 2):
        (y,) = _run(out, arrays[f"x{k}"])
        np.testing.assert_allclose(y, arrays[f"y{k}"], rtol=1e-6, atol=1e-6)
    again = sg.import_onnx(out)
    for key, parameter in imported.params.items():
        if "dynamo" not in name:
            found, value = again.params[key].get_value(), parameter.get_value()
            if value.ndim == 2 and len(value) < 3:  # both biases of a direction, as their sum
                found, value = (v.reshape(len(v), 2, -1).sum(1) for v in (found, value))
            np.testing.assert_array_equal(found, value)
    f = sg.compile(list(again.inputs.values()), again.outputs["y"])
    np.testing.assert_allclose(f(arrays["x0"]), arrays["y0"], rtol=1e-6, atol=1e-6)


def test_a_trained_net_goes_out_with_its_new_weights() -> None:
    imported, arrays = sg.import_onnx(_FOLDER / "lstm.onnx"), np.load(_FOLDER / "lstm.npz")
    (x,), y = imported.inputs.values(), imported.outputs["y"]
    loss = sg.square(y - 0.5).mean()
    step = sg.compile([x], loss, updates=nn.adam(loss, list(imported.params.values()), 0.02))
    for _ in range(5):
        step(arrays["x0"])
    (computed,) = _run(sg.export_onnx([y], inputs=[x]), arrays["x1"])
    np.testing.assert_allclose(computed, sg.compile([x], y)(arrays["x1"]), rtol=1e-6, atol=1e-6)
    assert abs(computed - arrays["y1"]).max() > 1e-3


@pytest.mark.parametrize(
    ("layer", "op"),
    [
        (nn.LSTM(3, 2, rng=0), "LSTM"),
        (nn.LSTM(3, 2, peepholes=True, rng=0), "LSTM"),
        (nn.GRU(3, 2, second_bias=True, rng=0), "GRU"),
        (nn.GRU(3, 2, reset="before", rng=0), "GRU"),
        (nn.RNN(3, 2, activation=sg.relu, rng=0), "RNN"),
        (nn.Bidirectional(nn.LSTMCell(3, 2, rng=0), nn.LSTMCell(3, 2, rng=1)), "LSTM"),
    ],
)
def test_our_layers_come_in_and_go_out_as_one_node(layer: Any, op: str) -> None:
    x = sg.tensor("x", ("T", "B", 3))
    first = sg.export_onnx(layer, inputs=[x])
    imported = sg.import_onnx(first)
    second = sg.export_onnx(imported.outputs, inputs=list(imported.inputs.values()))
    assert _recurrent(first) == _recurrent(second) == {op: 1}
    value = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("float32")
    expected = layer(x).eval({x: value})
    for (computed,) in (_run(first, value), _run(second, value)):
        np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-6)


def _sums(x: Any) -> Any:
    return sg.scan(lambda row, total: total + row, [x], [sg.zeros(x.shape[1:])])


def _backwards(x: Any) -> Any:
    return sg.scan(lambda row, h: sg.tanh(row + h), [x], [x[0]], go_backwards=True)


def _two_back(x: Any) -> Any:
    start = {"initial": x[:2], "taps": [-2, -1]}
    return sg.scan(lambda row, a, b: row * 0.5 + a - 0.3 * b, [x], [start])


def _windows(x: Any) -> Any:
    return sg.scan(lambda a, b, c: a * b - c, [{"input": x, "taps": [-1, 0, 1]}])


def _nested(x: Any) -> Any:
    return sg.map(lambda row: sg.scan(lambda e, s: s * 0.5 + e, [row], [row.sum()]), [x])


def _until(x: Any) -> Any:
    def step(row: Any, total: Any) -> Any:
        total = total + sg.square(row).sum()
        return total, sg.until(total > 4)

    return sg.scan(step, [x], [sg.constant(0.0)])


def _gradient(x: Any) -> Any:
    w = sg.constant(np.array([[0.5, 0.2], [-0.3, 0.1]], "float32"))
    h = sg.scan(lambda row, h: sg.tanh(row + sg.dot(h, w)), [x], [x[0]])
    return sg.grad(sg.square(h).sum(), x)


_LOOPS: list[Callable[[Any], Any]] = [
    _sums, _backwards, _two_back, _windows, _nested, _until, _gradient
]  # fmt: skip


@pytest.mark.parametrize("build", _LOOPS, ids=lambda build: build.__name__)
def test_loops_that_went_out_come_in_again(build: Callable[[Any], Any]) -> None:
    x = sg.tensor("x", ("T", 2))
    y = build(x)
    imported = sg.import_onnx(sg.export_onnx([y], inputs=[x]))
    (again,) = imported.outputs.values()
    for n_steps in (2, 3, 9):
        value = np.random.default_rng(n_steps).normal(size=(n_steps, 2)).astype("float32")
        expected = sg.compile([x], y)(value)
        for backend in ("native", "numpy"):
            f = sg.compile(list(imported.inputs.values()), again, backend=backend)
            np.testing.assert_allclose(f(value), expected, rtol=1e-5, atol=1e-6)


def test_a_training_step_comes_in_again() -> None:
    x, layer = sg.tensor("x", ("T", "B", 3)), nn.GRU(3, 2, rng=0)
    loss = sg.square(layer(x)[-1] - 0.3).mean()
    updates = nn.adam(loss, layer.params, 0.05)
    step = sg.compile([x], loss, updates=updates, name="train")
    value = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("float32")
    imported = sg.import_onnx(sg.export_onnx(step))
    assert list(imported.inputs) == ["x"]
    new = {name: v for name, v in imported.outputs.items() if name.endswith("_next")}
    (loss,) = (v for name, v in imported.outputs.items() if name not in new)
    again = sg.compile(
        list(imported.inputs.values()),
        loss,
        updates={imported.params[name.removesuffix("_next")]: v for name, v in new.items()},
    )
    assert len(new) == len(updates)
    for _ in range(5):
        np.testing.assert_allclose(again(value), step(value), rtol=1e-5)
    for parameter in updates:
        found = imported.params[parameter.name].get_value()
        np.testing.assert_allclose(found, parameter.get_value(), rtol=1e-3, atol=1e-5)


def test_the_gradient_of_a_loop_with_checkpoints_comes_in_again() -> None:
    x, h = sg.tensor("x", ("T", 3)), sg.tensor("h", (3,))
    y = sg.scan(lambda a, h: sg.tanh(a - h), x, h, checkpoint_every=3)
    model = sg.export_onnx(sg.grad((y**2).sum(), [x, h]), inputs=[x, h])
    again = sg.import_onnx(model.SerializeToString())
    ours = sg.compile([x, h], sg.grad((y**2).sum(), [x, h]), backend="numpy")
    theirs = sg.compile([*again.inputs.values()], [*again.outputs.values()], backend="numpy")
    for n in (0, 1, 7):
        arrays = np.ones((n, 3), "f") * np.arange(3, dtype="f"), np.full(3, 0.5, "f")
        for a, b in zip(ours(*arrays), theirs(*arrays), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)

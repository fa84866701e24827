"""What ONNX has one op for goes out as that op: counts of nodes, and the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

import symgraph as sg
import symgraph_nn as nn

pytest.importorskip("onnxruntime")
from onnx_checks import check_model, node_counts
from onnx_runs import run

RANDOM = np.random.default_rng(3)
TURN = "Transpose"


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype("float32")


IMAGES, SIGNALS, ROWS = ("B", "H", "W", 3), ("B", "T", 5), ("B", 5)
FILTERS, BIAS = sg.shared(normal(3, 2, 3, 8), "filters"), sg.shared(normal(8), "bias")
DEEP, GROUPED = sg.shared(normal(3, 3, 8, 4), "deep"), sg.shared(normal(3, 3, 1, 6), "grouped")
TEMPORAL = sg.shared(normal(4, 5, 2), "temporal")
WEIGHTS, SHIFT = sg.shared(normal(5, 4), "W"), sg.shared(normal(4), "b")


def two_layers(x: sg.Variable) -> sg.Variable:
    x = sg.max_pool(sg.relu(sg.conv2d(x, FILTERS, padding="same") + BIAS), 2)
    return sg.average_pool(sg.relu(sg.conv2d(x, DEEP, padding=1)), 2)


CONVOLUTION = [TURN, TURN, "Conv", TURN]
CASES: list[tuple[str, tuple, Callable[[sg.Variable], sg.Variable], list[str]]] = [
    ("convolution", IMAGES, lambda x: sg.conv2d(x, FILTERS), CONVOLUTION),
    ("same", IMAGES, lambda x: sg.conv2d(x, FILTERS, padding="same"), CONVOLUTION),
    (
        "strides, dilation, padding and bias",
        IMAGES,
        lambda x: BIAS
        + sg.conv2d(x, FILTERS, stride=(2, 1), dilation=(1, 2), padding=((1, 2), (0, 3))),
        CONVOLUTION,
    ),
    ("groups", IMAGES, lambda x: sg.conv2d(x, GROUPED, groups=3), CONVOLUTION),
    ("causal", SIGNALS, lambda x: sg.conv1d(x, TEMPORAL, padding="causal"), CONVOLUTION),
    ("max pool", IMAGES, lambda x: sg.max_pool(x, 2), [TURN, "MaxPool", TURN]),
    (
        "padded pool",
        IMAGES,
        lambda x: sg.max_pool(x, (3, 2), stride=2, padding=1),
        [TURN, "MaxPool", TURN],
    ),
    (
        "average pool",
        IMAGES,
        lambda x: sg.average_pool(x, 3, stride=2, padding=1),
        [TURN, "AveragePool", TURN],
    ),
    (
        "two layers turn once",
        IMAGES,
        two_layers,
        [TURN, TURN, "Conv", "Relu", "MaxPool", TURN, "Conv", "Relu", "AveragePool", TURN],
    ),
    ("pad", SIGNALS, lambda x: sg.pad(x, ((0, 0), (1, 2), (3, 0)), constant_values=2), ["Pad"]),
    ("mean", SIGNALS, lambda x: sg.mean(x, axis=-1, keepdims=True), ["ReduceMean"]),
    ("gelu", SIGNALS, sg.gelu, ["Gelu"]),
    ("gelu by tanh", SIGNALS, lambda x: sg.gelu(x, approximate="tanh"), ["Gelu"]),
    ("elu", SIGNALS, lambda x: sg.elu(x, 0.5), ["Elu"]),
    ("leaky relu", SIGNALS, lambda x: sg.leaky_relu(x, 0.1), ["LeakyRelu"]),
    ("softplus", SIGNALS, sg.softplus, ["Softplus"]),
    ("softmax", SIGNALS, sg.softmax, ["Softmax"]),
    ("layer norm", SIGNALS, nn.LayerNorm(5), ["LayerNormalization"]),
    ("dense", ROWS, lambda x: sg.tanh(x @ WEIGHTS + SHIFT), ["Gemm", "Tanh"]),
    ("dense over time", SIGNALS, lambda x: x @ WEIGHTS + SHIFT, ["MatMul", "Add"]),
    (
        "product of all rows",
        SIGNALS,
        lambda x: sg.reshape(sg.reshape(x, (-1, 5)) @ WEIGHTS, (*x.shape[:2], 4)),
        ["MatMul"],
    ),
    ("one size is open", SIGNALS, lambda x: sg.reshape(x, (-1, 5)), ["Reshape"]),
    ("sizes stay", SIGNALS, lambda x: sg.reshape(x, (*x.shape[:2], 5, 1)), ["Unsqueeze"]),
    (
        "split",
        ("B", "T", 6),
        lambda x: sg.reshape(x, (x.shape[0], x.shape[1], 2, 3)),
        ["Reshape"],
    ),
    (
        "consecutive sizes",
        SIGNALS,
        lambda x: sg.broadcast_to(sg.constant(1.0), (*x.shape[:2], 2)) + x[..., :1],
        ["Slice", "Shape", "Concat", "Expand", "Add"],
    ),
    ("element", SIGNALS, lambda x: x[:, -1], ["Gather"]),
    ("parts of two axes", SIGNALS, lambda x: x[:, 1:, ::2], ["Slice"]),
    ("turns", SIGNALS, lambda x: sg.transpose(sg.transpose(x, (2, 0, 1)), (1, 2, 0)), ["Identity"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "call", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_expressions_are_whole(shape: tuple, call: Callable, expected: list[str]) -> None:
    x = sg.tensor("x", shape)
    y = call(x)
    model = sg.export_onnx(y)
    assert sorted(node.op_type for node in model.graph.node) == sorted(expected)
    for sizes in ({"B": 2, "T": 5, "H": 9, "W": 10}, {"B": 1, "T": 1, "H": 4, "W": 4}):
        value = normal(*(sizes[s] if isinstance(s, str) else s for s in shape))
        (found,) = run(model, value)
        np.testing.assert_allclose(found, y.eval({x: value}, backend="numpy"), 2e-5, 2e-5)


def test_float64_has_no_convolution_in_onnxruntime() -> None:
    x = sg.tensor("x", ("B", 8, 3), "float64")
    y = sg.conv1d(x, RANDOM.standard_normal((3, 3, 2)))
    model = sg.export_onnx(y)
    assert "Conv" not in {node.op_type for node in model.graph.node}
    value = RANDOM.standard_normal((2, 8, 3))
    np.testing.assert_allclose(run(model, value)[0], y.eval({x: value}), 1e-12)


def test_older_opsets_have_no_gelu() -> None:
    x = sg.tensor("x", ("N",))
    model = sg.export_onnx(sg.gelu(x), opset=19)
    assert "Gelu" not in {node.op_type for node in model.graph.node}
    value = np.linspace(-6, 6, 50).astype("float32")
    np.testing.assert_allclose(run(model, value)[0], sg.gelu(x).eval({x: value}), 1e-5, 1e-6)


@pytest.mark.parametrize("layer", [two_layers, lambda x: sg.conv2d(x, FILTERS, stride=2) ** 2])
def test_gradients_of_convolutions(layer: Callable[..., sg.Variable]) -> None:
    x = sg.tensor("x", ("B", 8, 9, 3))
    gradient = sg.grad(sg.sum(layer(x) ** 2), FILTERS)
    value = normal(2, 8, 9, 3)
    (found,) = run(sg.export_onnx([gradient]), value)
    np.testing.assert_allclose(found, gradient.eval({x: value}, backend="numpy"), 1e-3, 1e-3)


def test_gradients_of_slices_are_padded() -> None:
    x = sg.tensor("x", ("T", 4))
    gradient = sg.grad(sg.sum(x[1:] * x[:-1]) + sg.sum(x[0] ** 2) + sg.sum(x[:, 1:3] ** 2), x)
    model = sg.export_onnx(gradient)
    types = [node.op_type for node in model.graph.node]
    assert types.count("Pad") == 4
    assert "ScatterND" not in types
    for n in (1, 2, 7):
        value = normal(n, 4)
        expected = gradient.eval({x: value}, backend="numpy")
        np.testing.assert_allclose(run(model, value)[0], expected, 1e-5, 1e-6)


def test_names_of_all_values_are_their_own() -> None:
    x = sg.tensor("x", ("B", 5))
    h = sg.tanh(x @ WEIGHTS + SHIFT)
    h.name = "x"
    model = sg.export_onnx({"y": h * 2, "h": h})
    names = [name for node in model.graph.node for name in node.output]
    names += [end.name for end in model.graph.input]
    assert len(names) == len(set(names))
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_of_a_model_go_out_again_as_they_came(groups: int) -> None:
    images = sg.tensor("x", ("B", 7, 6, 4))
    layer = nn.Conv2D(4, 6, 3, padding="same", groups=groups, rng=0)
    model = sg.export_onnx(sg.relu(layer(images)), inputs=[images])
    again = sg.import_onnx(model.SerializeToString())
    value = np.random.default_rng(0).normal(size=(2, 7, 6, 4)).astype("f")
    ends = list(again.inputs.values()), list(again.outputs.values())
    exported = check_model(*ends, [[value], [value[:0]]])
    assert node_counts(exported)["Conv"] == 1
    apart = sg.export_onnx(ends[1], inputs=ends[0], lower={"pad": _padded_by_joining})
    counts = node_counts(apart)
    assert (counts["Conv"], counts["Pad"]) == (1, 0)
    assert not any(each.name == "pads" for node in apart.graph.node for each in node.attribute)


def _padded_by_joining(x: sg.Variable, widths: Any, **_: Any) -> sg.Variable:
    for axis, pair in enumerate(widths):
        sizes = [[n if i == axis else x.shape[i] for i in range(x.ndim)] for n in pair]
        x = sg.concatenate([sg.zeros(sizes[0]), x, sg.zeros(sizes[1])], axis=axis)
    return x

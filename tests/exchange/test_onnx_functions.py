"""Modules and composites as local functions: one node each, with the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx_checks import check_model, node_counts, run_model

import symgraph as sg
import symgraph_nn as nn

x = sg.tensor("x", ("T", "B", 3))
CASES = [
    [np.random.default_rng(n).normal(size=(n, b, 3)).astype("f")]
    for n, b in ((1, 1), (6, 3), (0, 2))
]


class Net(nn.Module):
    def __init__(self) -> None:
        self.first = nn.Bidirectional(nn.LSTM(3, 5, rng=0), nn.LSTM(3, 5, rng=1))
        self.second = nn.GRU(10, 5, rng=2)
        self.readout = nn.Dense(5, 2, rng=3)

    def __call__(self, x: sg.Variable) -> sg.Variable:
        return self.readout(self.second(self.first(x)))


def ops(model: onnx.ModelProto) -> list[str]:
    return [f"{node.domain}.{node.op_type}" for node in model.graph.node]


def functions(model: onnx.ModelProto) -> set[str]:
    return {f"{function.domain}.{function.name}" for function in model.functions}


@pytest.mark.parametrize("fused", [True, False])
def test_all_layers_as_functions(fused: bool) -> None:
    net = Net()
    y = net(x)
    model = check_model([x], [y], CASES, 2e-6, modules="all", fused=fused)
    names = [f"symgraph_nn.{name}" for name in ("Bidirectional", "Recurrent", "Dense")]
    assert ops(model) == names
    assert functions(model) == set(names)
    counts = node_counts(model)
    assert (counts["LSTM"], counts["GRU"], counts["Scan"]) == ((1, 1, 0) if fused else (0, 0, 3))
    plain = sg.export_onnx([y], inputs=[x], fused=fused)
    for arrays in CASES:
        np.testing.assert_array_equal(run_model(model, arrays), run_model(plain, arrays))


def test_some_layers_as_functions() -> None:
    net = Net()
    model = check_model([x], [net(x)], CASES, 2e-6, modules=[net.readout])
    assert ops(model)[-1] == "symgraph_nn.Dense"
    assert functions(model) == {"symgraph_nn.Dense"}
    whole = check_model([x], [net(x)], CASES, 2e-6, modules=[net])
    assert ops(whole) == ["symgraph.Net"]


def test_layers_within_layers() -> None:
    net = Net()
    model = check_model([x], [net(x)], CASES, 2e-6, modules=[net, net.readout])
    assert functions(model) == {"symgraph.Net", "symgraph_nn.Dense"}


def test_equal_layers_are_one_function() -> None:
    layers = [nn.Dense(3, 3, sg.tanh, rng=k) for k in range(3)]
    y = x
    for layer in layers:
        y = layer(y)
    model = check_model([x], [y], CASES, 2e-6, modules="all")
    assert ops(model) == ["symgraph_nn.Dense"] * 3
    assert functions(model) == {"symgraph_nn.Dense"}
    other = nn.Dense(3, 3, rng=4)
    model = check_model([x], [other(y)], CASES, 2e-6, modules="all")
    assert functions(model) == {"symgraph_nn.Dense", "symgraph_nn.Dense_1"}


def test_weights_of_functions_keep_their_names() -> None:
    net = Net()
    model = sg.export_onnx(net, inputs=[x], modules="all")
    names = {tensor.name for tensor in model.graph.initializer}
    assert {"readout.W", "readout.b", "second.cell.W"} <= names


@sg.composite
def swish(x: sg.Variable, beta: Any = 1.0) -> sg.Variable:
    return x * sg.sigmoid(beta * x)


@sg.composite
def halves(x: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
    return sg.tanh(x), x * 0.5


@sg.composite
def step(x_t: sg.Variable, h: sg.Variable) -> sg.Variable:
    return sg.tanh(x_t + swish(h))


def test_composites() -> None:
    a, b = halves(swish(x))
    model = check_model([x], [swish(a, 2.0), b], CASES, 2e-6)
    assert functions(model) == {"symgraph.swish", "symgraph.swish_1", "symgraph.halves"}
    assert ops(model).count("symgraph.halves") == 1


def test_composites_in_loops() -> None:
    h = sg.scan(step, x, sg.zeros((x.shape[1], 3)))
    model = check_model([x], [h], CASES, 2e-6)
    assert functions(model) == {"symgraph.step", "symgraph.swish"}


def test_composites_in_loops_of_what_has_to_be_written_otherwise() -> None:
    @sg.composite
    def both_axes(x: sg.Variable) -> sg.Variable:
        return sg.softmax(x, axis=(0, 1))

    h = sg.map(lambda x_t: both_axes(x_t) + sg.cumprod(x_t, axis=1), x)
    model = check_model([x], [h], CASES[:2], 2e-6)
    assert functions(model) == {"symgraph.both_axes"}


def test_loops_in_composites() -> None:
    @sg.composite
    def layer(x: sg.Variable) -> sg.Variable:
        return sg.scan(lambda a, h: sg.tanh(a - h), x, sg.zeros((x.shape[1], 3)))

    model = check_model([x], [layer(layer(x))], CASES, 2e-6)
    assert functions(model) == {"symgraph.layer"}


def test_gradients_through_composites() -> None:
    gradient = sg.grad(swish(x).sum(), x)
    check_model([x], [gradient, swish(x)], CASES, 2e-6)


def test_a_composite_whose_result_is_an_input() -> None:
    @sg.composite
    def both(x: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        return x, x

    a, b = both(x)
    check_model([x], [a, b], CASES, 0)

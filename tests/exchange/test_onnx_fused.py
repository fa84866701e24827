"""Which loops are recurrent layers of ONNX, and what takes their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.core.graph import Graph, graph_of
from symgraph.exchange.onnx.fused import RECURRENT, fuse_layers
from symgraph.exchange.onnx.weights import Folding
from symgraph.scan.op import is_scan


def sequence(n: int = 3, name: str = "x") -> sg.Variable:
    return sg.tensor(name, ("T", "B", n))


def fused(*outputs: sg.Variable) -> Graph:
    return fuse_layers(graph_of(outputs), Folding())


def found(*outputs: sg.Variable) -> list[str]:
    """The recurrent nodes, and how many loops are left."""
    graph = fused(*outputs)
    nodes = [v.params[0] for v in graph.nodes if v.op is RECURRENT]
    return [f"{node.op} {node.direction}" for node in nodes] + ["Scan"] * sum(
        map(is_scan, graph.nodes)
    )


def rnn(activation: Any) -> nn.Recurrent:
    return nn.Recurrent(nn.RNNCell(3, 5, activation, rng=0))


LAYERS = {
    "LSTM": nn.LSTM(3, 5, rng=0),
    "LSTM with peepholes": nn.LSTM(3, 5, rng=0, peepholes=True),
    "LSTM that learns where it begins": nn.LSTM(3, 5, rng=0, learn_initial=True),
    "GRU": nn.GRU(3, 5, rng=0),
    "GRU that resets before": nn.GRU(3, 5, rng=0, reset="before"),
    "GRU with two biases": nn.GRU(3, 5, rng=0, second_bias=True),
    "RNN": rnn(sg.tanh),
    "RNN of relu": rnn(sg.relu),
    "RNN of sigmoid": rnn(sg.sigmoid),
    "RNN of softplus": rnn(sg.softplus),
    "RNN of softsign": rnn(lambda z: z / (1 + sg.abs(z))),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("reads", ["outputs", "states", "both", "last output"])
@pytest.mark.parametrize("reverse", [False, True])
def test_layers_are_found(name: str, reads: str, reverse: bool) -> None:
    layer = LAYERS[name]
    layer = nn.Recurrent(
        layer.cell, reverse=reverse, learn_initial=hasattr(layer, "initial"), checkpoint_every=3
    )
    y, state = layer(sequence(), return_state=True)
    parts = list(state) if isinstance(state, tuple) else [state]
    outputs = {"outputs": [y], "states": parts, "both": [y, *parts], "last output": [y[-1]]}[reads]
    expected = f"{name.split()[0]} {'reverse' if reverse else 'forward'}"
    assert found(*outputs) == [expected]
    assert [v.type for v in fused(*outputs).outputs] == [v.type for v in outputs]


@pytest.mark.parametrize(
    "shape", [("T", "B", 3), (7, 2, 3), (1, 1, 3), ("T", 2, 3), (None, None, 3)]
)
def test_sizes_may_be_known_or_not(shape: Any) -> None:
    layer = nn.Bidirectional(nn.LSTM(3, 5, rng=0), nn.LSTM(3, 5, rng=1))
    assert found(layer(sg.tensor("x", shape))) == ["LSTM bidirectional"]


def test_two_directions_are_one_node() -> None:
    layer = nn.Bidirectional(nn.GRU(3, 5, rng=0), nn.GRU(3, 5, rng=1))
    y, (ahead, back) = layer(sequence(), return_state=True)
    graph = fused(y, ahead, back)
    (node,) = [v for v in graph.nodes if v.op is RECURRENT]
    assert [v.inputs[0] if v.op.name == "item" else v for v in graph.outputs] == [node] * 3


def test_layers_on_layers() -> None:
    first = nn.Bidirectional(nn.LSTM(3, 5, rng=0), nn.LSTM(3, 5, rng=1))
    second = nn.Bidirectional(nn.LSTM(10, 4, rng=2), nn.LSTM(10, 4, rng=3))
    assert found(second(first(sequence()))) == ["LSTM bidirectional"] * 2


def test_directions_that_are_not_alike_stay_apart() -> None:
    x = sequence()
    mixed = nn.Bidirectional(nn.LSTM(3, 5, rng=0), nn.GRU(3, 5, rng=1))
    assert found(mixed(x)) == ["LSTM forward", "GRU reverse"]
    wider = nn.Bidirectional(nn.GRU(3, 5, rng=0), nn.GRU(3, 4, rng=1))
    assert found(wider(x)) == ["GRU forward", "GRU reverse"]
    assert found(nn.GRU(3, 5)(x), nn.GRU(3, 5, reverse=True)(sequence(name="z"))) == [
        "GRU forward",
        "GRU reverse",
    ]


def test_a_direction_that_begins_with_the_state_of_the_other_stays_apart() -> None:
    x = sequence()
    ahead, back = nn.GRU(3, 5, rng=0), nn.GRU(3, 5, rng=1, reverse=True)
    y, state = ahead(x, return_state=True)
    assert found(y, back(x, state=state)) == ["GRU forward", "GRU reverse"]
    z, state = back(x, return_state=True)
    assert found(z, ahead(x, state=state)) == ["GRU reverse", "GRU forward"]


def test_the_two_that_are_joined_are_one_node() -> None:
    x = sequence()
    layers = [
        nn.Bidirectional(nn.GRU(3, 5, rng=k), nn.GRU(3, 5, rng=k + 1)) for k in range(0, 6, 2)
    ]
    graph = fused(*(layer(x) for layer in layers))
    assert all(v.op.name == "item" and v.inputs[0].op is RECURRENT for v in graph.outputs)


def test_weights_may_be_constants_or_computed() -> None:
    x = sequence()
    rng = np.random.default_rng(0)
    W, U, b = (sg.constant(rng.normal(size=s).astype("f")) for s in ((3, 5), (5, 5), (5,)))
    start = sg.zeros((x.shape[1], 5))
    h = sg.scan(lambda x_t, h: sg.tanh(x_t @ W + h @ U + b), x, start)
    assert found(h) == ["RNN forward"]
    scale = sg.scalar("scale")
    W = W * scale
    h = sg.scan(lambda x_t, h: sg.tanh(x_t @ W + h @ U + b), x, start)
    assert found(h) == ["RNN forward"]


def own_lstm(x: sg.Variable, **changes: Any) -> sg.Variable:
    """An LSTM in which a part may be another."""
    cell = nn.LSTMCell(3, 5, rng=0)

    def step(x_t: sg.Variable, h: sg.Variable, c: sg.Variable) -> Sequence[sg.Variable]:
        z = sg.dot(x_t, cell.W) + sg.dot(h, cell.U) + cell.b
        i, f, g, o = (cell.gate(z, k) for k in range(4))
        pairs = (sg.sigmoid(f) * c, sg.sigmoid(i) * changes.get("new", sg.tanh)(g))
        c = pairs[0] + pairs[1] if "first" not in changes else pairs[1] + pairs[0]
        return changes.get("out", lambda o, c: sg.sigmoid(o) * sg.tanh(c))(o, c), c

    start = sg.zeros((x.shape[1], 5))
    return sg.scan(step, x, [start, start])[0]


REFUSED = {
    "exchanged sums": lambda x: own_lstm(x, first="input"),
    "exchanged products": lambda x: own_lstm(x, out=lambda o, c: sg.tanh(c) * sg.sigmoid(o)),
    "another activation": lambda x: own_lstm(x, new=sg.sin),
    "another cell": lambda x: rnn(lambda z: z * sg.sigmoid(z))(x),
    "a mask": lambda x: nn.LSTM(3, 5)(x, mask=sg.tensor("mask", ("T", "B"))),
    "wider numbers": lambda x: nn.LSTM(3, 5, dtype="float64")(x.astype("float64")),
    "all states of the memory": lambda x: sg.grad(nn.LSTM(3, 5, rng=0)(x).sum(), x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_another_cell_stays_a_loop(name: str) -> None:
    graph = fused(REFUSED[name](sequence()))
    assert any(map(is_scan, graph.nodes))
    assert not any(v.op is RECURRENT for v in graph.nodes)


def test_the_own_cell_of_these_tests_is_found_as_it_is() -> None:
    assert found(own_lstm(sequence())) == ["LSTM forward"]


def test_weights_that_change_between_calls_are_not_folded() -> None:
    x = sequence()
    layer = nn.LSTM(3, 5, rng=0)
    graph = fuse_layers(graph_of([layer(x)]), Folding([layer.params[0]]))
    (node,) = [v for v in graph.nodes if v.op is RECURRENT]
    assert [v.op.name for v in node.inputs[1:]] == ["rearrange", "shared", "shared"]


def test_layers_of_equal_weights_stay_two() -> None:
    x = sg.tensor("x", ("T", "B", 4))
    net = nn.Sequential(nn.LSTM(4, 4, rng=0), nn.LSTM(4, 4, rng=0), nn.GRU(4, 4, rng=0))
    model = sg.export_onnx(net, inputs=[x])
    names = [f"layers.{i}.cell.{p}" for i in range(3) for p in ("W", "U", "b")]
    initialisers = [t.name for t in model.graph.initializer if t.name in names]
    assert initialisers == names
    assert list(sg.import_onnx(model.SerializeToString()).params) == names


def test_a_layer_that_is_called_twice_has_one_set_of_weights() -> None:
    x = sg.tensor("x", ("T", "B", 4))
    layer = nn.LSTM(4, 4, rng=0)
    model = sg.export_onnx(lambda x: layer(layer(x)), inputs=[x])
    assert [n.op_type for n in model.graph.node].count("LSTM") == 2
    names = [t.name for t in model.graph.initializer if t.name.startswith("cell.")]
    assert names == ["cell.W", "cell.U", "cell.b"]


def test_constants_are_no_weights() -> None:
    x = sg.tensor("x", ("T", 3))
    model = sg.export_onnx(x * sg.constant([1.0, 2.0, 3.0]) + 0.5)
    assert not sg.import_onnx(model.SerializeToString()).params

"""Calls of modules as single nodes."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from onnx_checks import check_model

import symgraph as sg
import symgraph_nn as nn
from symgraph.core.calls import calls_of
from symgraph.core.graph import Graph, graph_of
from symgraph.exchange.onnx.modules import with_modules
from symgraph.ops.composite import is_composite, name_of_composite


class Net(nn.Module):
    def __init__(self) -> None:
        self.encoder = nn.LSTM(3, 5, rng=0)
        self.hidden = nn.Dense(5, 4, sg.tanh, rng=1)
        self.readout = nn.Dense(4, 2, rng=2)

    def __call__(self, x: sg.Variable) -> sg.Variable:
        return self.readout(self.hidden(self.encoder(x)))


def x() -> sg.Variable:
    return sg.tensor("x", ("T", "B", 3))


def names(graph: Graph) -> list[str]:
    return [name_of_composite(v) for v in graph.nodes if is_composite(v)]


def same_values(graph: Graph, outputs: list[sg.Variable], inputs: sg.Variable) -> None:
    value = np.random.default_rng(0).normal(size=(4, 2, 3)).astype("f")
    for wrapped, plain in zip(graph.outputs, outputs, strict=True):
        ours = sg.compile([inputs], wrapped, backend="numpy")(value)
        np.testing.assert_array_equal(ours, sg.compile([inputs], plain, backend="numpy")(value))


def test_all_modules_within() -> None:
    net, inputs = Net(), x()
    y = net(inputs)
    graph = with_modules(graph_of([y]), "all")
    assert names(graph) == ["Recurrent", "Dense", "Dense"]
    assert len([v for v in graph.nodes if v.inputs]) == 3
    same_values(graph, [y], inputs)


def test_a_layer_by_itself() -> None:
    inputs = x()
    for layer in (nn.Dense(3, 3, rng=0), nn.Bidirectional(nn.GRU(3, 2), nn.GRU(3, 2))):
        for net in (layer, nn.Sequential(nn.Sequential(layer))):
            y = net(inputs)
            graph = with_modules(graph_of([y]), "all")
            assert names(graph) == [type(layer).__name__]
            same_values(graph, [y], inputs)


def test_some_modules() -> None:
    net, inputs = Net(), x()
    y = net(inputs)
    assert names(with_modules(graph_of([y]), [net.hidden])) == ["Dense"]
    assert names(with_modules(graph_of([y]), [net])) == ["Net"]
    nested = with_modules(graph_of([y]), [net, net.readout])
    assert names(nested) == ["Net"]
    (node,) = [v for v in nested.nodes if is_composite(v)]
    assert names(node.params[1]) == ["Dense"]
    same_values(nested, [y], inputs)


def test_several_results() -> None:
    layer, inputs = nn.LSTM(3, 5, rng=0), x()
    y, (h, c) = layer(inputs, return_state=True)
    graph = with_modules(graph_of([y, h * 2, c]), [layer])
    assert names(graph) == ["Recurrent"]
    same_values(graph, [y, h * 2, c], inputs)


def test_a_module_that_is_called_twice() -> None:
    layer = nn.Dense(3, 3, sg.tanh, rng=0)
    inputs = x()
    y = layer(layer(inputs))
    graph = with_modules(graph_of([y]), [layer])
    first, second = [v for v in graph.nodes if is_composite(v)]
    assert first.params == second.params
    same_values(graph, [y], inputs)


def test_what_a_gradient_reads_stays_open() -> None:
    net, inputs = Net(), x()
    y = net(inputs)
    gradient = sg.grad(y.sum(), net.encoder.params[0])
    graph = with_modules(graph_of([y, gradient]), "all")
    assert "Recurrent" not in names(graph)
    same_values(graph, [y, gradient], inputs)
    with pytest.raises(sg.ExchangeError, match="more is read of what it computes"):
        with_modules(graph_of([y, gradient]), [net.encoder])


def test_modules_that_are_not_there() -> None:
    net = Net()
    graph = graph_of([net(x())])
    with pytest.raises(sg.ExchangeError, match="is not called in what is exported"):
        with_modules(graph, [nn.Dense(3, 4)])
    with pytest.raises(sg.SymgraphTypeError, match='modules is "all" or a list'):
        with_modules(graph, "hidden")
    with pytest.raises(sg.SymgraphTypeError, match='modules is "all" or a list'):
        with_modules(graph, 3)  # type: ignore[arg-type]


# --- notes of calls -----------------------------------------------------------------------------


def test_calls_are_noted() -> None:
    net, inputs = Net(), x()
    y = net(inputs)
    outer = calls_of(y)
    assert [call.owner for call in outer] == [net.readout, net]
    assert outer[1].inputs == (inputs,)
    assert outer[1].outputs == (y,)
    net(inputs)
    assert len(calls_of(y)) == 2


def test_what_is_handed_on_is_no_result() -> None:
    v = x()
    assert nn.Dropout(0.5)(v, training=False) is v
    assert calls_of(v) == []


def test_notes_keep_nothing_alive() -> None:
    net = Net()
    y = net(x())
    held = weakref.ref(net)
    net_two = copy.deepcopy(net)
    del net
    gc.collect()
    assert held() is None
    assert all(call.owner is not None for call in calls_of(y))
    z = net_two.hidden(sg.tensor("z", ("B", 5)))
    held = weakref.ref(z)
    del z
    gc.collect()
    assert held() is None


def test_notes_do_not_stand_in_the_way_of_pickles() -> None:
    y = Net()(x())
    copied = pickle.loads(pickle.dumps(y))
    assert copied.type == y.type


def test_many_modules_for_one_expression() -> None:
    class Twice(nn.Module):
        def __call__(self, x: sg.Variable) -> sg.Variable:
            return x * 2

    v = x()
    results = [Twice()(v) for _ in range(100)]
    assert len({id(r) for r in results}) == 1
    gc.collect()
    assert len(calls_of(results[0])) <= 1


def test_ops_that_are_expanded_in_a_module() -> None:
    layer, inputs = nn.ConvTranspose1D(3, 4, 3, stride=2, rng=0), x()
    model = check_model([inputs], [layer(inputs)], [[np.ones((2, 5, 3), "f")]], modules=[layer])
    assert [node.op_type for node in model.graph.node] == ["ConvTranspose1D"]

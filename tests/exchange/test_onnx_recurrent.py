"""Recurrent layers as ONNX's own ops: what they give, against PyTorch; how many nodes there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_checks import check_model, node_counts, run_model, session_of

import symgraph as sg
import symgraph_nn as nn

REFERENCES = np.load(Path(__file__).parent / "files" / "recurrent.npz")
X = REFERENCES["x"]
x = sg.tensor("x", ("T", "B", 3))


def rnn(**options: Any) -> nn.Recurrent:
    return nn.Recurrent(nn.RNNCell(3, 4, **options))


def both(make: Any) -> nn.Bidirectional:
    return nn.Bidirectional(make(3), make(3))


def gru(n_in: int) -> nn.Recurrent:
    return nn.GRU(n_in, 4, second_bias=True)


def lstm(n_in: int) -> nn.Recurrent:
    return nn.LSTM(n_in, 4)


class Two(nn.Module):
    def __init__(self) -> None:
        self.first = nn.Bidirectional(lstm(3), lstm(3))
        self.second = nn.Bidirectional(lstm(8), lstm(8))

    def __call__(self, x: sg.Variable, *, return_state: bool) -> Any:
        y, first = self.first(x, return_state=True)
        y, second = self.second(y, return_state=True)
        return y, (first, second)


LAYERS = {
    "lstm": (lstm(3), {"LSTM": 1}),
    "lstm_both": (both(lstm), {"LSTM": 1}),
    "lstm_two": (Two(), {"LSTM": 2}),
    "gru": (gru(3), {"GRU": 1}),
    "gru_both": (both(gru), {"GRU": 1}),
    "rnn": (rnn(), {"RNN": 1}),
    "rnn_relu": (rnn(activation=sg.relu), {"RNN": 1}),
    "rnn_both": (nn.Bidirectional(rnn(), rnn()), {"RNN": 1}),
}
OPS = ("LSTM", "GRU", "RNN", "Scan", "Loop")


def reference(name: str) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """PyTorch's weights, and its outputs and last states."""
    start = f"{name}.weights."
    weights = {key[len(start) :]: REFERENCES[key] for key in REFERENCES if key.startswith(start)}
    states = sorted(key for key in REFERENCES if key.startswith(f"{name}.state."))
    return weights, [REFERENCES[f"{name}.y"], *(REFERENCES[key] for key in states)]


def flat(state: Any) -> list[sg.Variable]:
    return [v for part in state for v in flat(part)] if isinstance(state, tuple) else [state]


def recurrent_nodes(model: Any) -> dict[str, int]:
    counts = node_counts(model)
    return {op: counts[op] for op in OPS if counts[op]}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_give_what_pytorch_gives(name: str) -> None:
    layer, expected = LAYERS[name]
    weights, (outputs, *states) = reference(name)
    nn.load_torch(layer, weights)
    y, state = layer(x, return_state=True)
    parts = flat(state)
    model = sg.export_onnx([y, *parts], inputs=[x])
    assert recurrent_nodes(model) == expected
    found, *last = run_model(model, [X])
    np.testing.assert_allclose(found, outputs, rtol=0, atol=1e-6)
    # Theirs are [layers and directions, batch, units]; ours are parts for each of those.
    for k, theirs in enumerate(states):
        np.testing.assert_allclose(
            np.stack(last[k :: len(states)]), theirs, rtol=0, atol=1e-6, err_msg=f"state {k}"
        )


OWN = {
    "peepholes": (nn.LSTM(3, 4, peepholes=True, rng=0), {"LSTM": 1}),
    "peepholes, both": (
        nn.Bidirectional(
            nn.LSTM(3, 4, peepholes=True, rng=0), nn.LSTM(3, 4, peepholes=True, rng=1)
        ),
        {"LSTM": 1},
    ),
    "reset before": (nn.GRU(3, 4, reset="before", rng=0), {"GRU": 1}),
    "reset after": (nn.GRU(3, 4, rng=0), {"GRU": 1}),
    "learned beginning": (nn.LSTM(3, 4, learn_initial=True, rng=0), {"LSTM": 1}),
    "learned beginning, both": (
        nn.Bidirectional(nn.GRU(3, 4, rng=0), nn.GRU(3, 4, learn_initial=True, rng=1)),
        {"GRU": 1},
    ),
    "in reverse": (nn.LSTM(3, 4, reverse=True, rng=0), {"LSTM": 1}),
    "sigmoid": (rnn(activation=sg.sigmoid), {"RNN": 1}),
    "softplus": (rnn(activation=sg.softplus), {"RNN": 1}),
    "softsign": (rnn(activation=lambda z: z / (1 + sg.abs(z))), {"RNN": 1}),
    "two cells": (
        nn.Bidirectional(nn.LSTM(3, 4, rng=0), nn.GRU(3, 4, rng=1)),
        {"LSTM": 1, "GRU": 1},
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_all_that_is_read_of_a_layer(name: str) -> None:
    layer, expected = OWN[name]
    rng = np.random.default_rng(0)
    for p in layer.params:
        p.set_value(rng.uniform(-0.8, 0.8, p.get_value().shape).astype("f"))
    y, state = layer(x, return_state=True)
    parts = flat(state)
    cases = [[rng.normal(size=(n, b, 3)).astype("f")] for n, b in ((1, 1), (7, 2), (0, 2))]
    for outputs in ([y], parts, [y, *parts]):
        assert recurrent_nodes(check_model([x], outputs, cases, 1e-6)) == expected
    assert recurrent_nodes(check_model([x], [y[-1]], cases[:2], 1e-6)) == expected
    # As a loop: no recurrent node, and the same values.
    loops = recurrent_nodes(check_model([x], [y, *parts], cases, 1e-6, fused=False))
    assert set(loops) == {"Scan"}


def test_a_state_that_is_given() -> None:
    layer = nn.LSTM(3, 4, rng=0)
    h, c = (sg.tensor(name, ("B", 4)) for name in "hc")
    y, state = layer(x, state=(h, c), return_state=True)
    rng = np.random.default_rng(0)
    cases = [
        [rng.normal(size=s).astype("f") for s in ((n, 2, 3), (2, 4), (2, 4))] for n in (0, 1, 7)
    ]
    model = check_model([x, h, c], [y, *state], cases, 1e-6)
    assert recurrent_nodes(model) == {"LSTM": 1}


def test_weights_that_are_computed() -> None:
    scale = sg.scalar("scale")
    cell = nn.LSTMCell(3, 4, rng=0)
    y = sg.substitute(nn.Recurrent(cell)(x), {cell.W: cell.W * scale})
    cases = [[X, np.array(k, "f")] for k in (0.5, 2)]
    assert recurrent_nodes(check_model([x, scale], [y], cases, 1e-6)) == {"LSTM": 1}


def test_nodes_of_a_layer_with_a_readout() -> None:
    layer, readout = nn.LSTM(3, 4, rng=0), nn.Dense(4, 2, rng=1)
    y = readout(layer(x))
    model = check_model([x], [y], [[X], [X[:0]], [X[:1]]], 1e-6)
    assert [node.op_type for node in model.graph.node] == ["LSTM", "Squeeze", "MatMul", "Add"]
    loop = check_model([x], [y], [[X], [X[:0]], [X[:1]]], 1e-6, fused=False)
    assert len(loop.graph.node) <= 8


@pytest.mark.parametrize("make", [lstm, gru])
def test_a_layer_of_a_model_goes_out_again_as_it_came(make: Any) -> None:
    x = sg.tensor("x", ("T", 2, 3))
    model = sg.export_onnx(both(make)(x), inputs=[x])
    counts = []
    again = model
    for _ in range(4):
        again = sg.export_onnx(sg.import_onnx(again.SerializeToString())(x), inputs=[x])
        counts.append(node_counts(again))
    assert recurrent_nodes(again) == recurrent_nodes(model)
    assert counts[-1] == counts[-2]  # a row where there is none is not made for what has one
    for n in (0, 1, 5):
        value = np.ones((n, 2, 3), "f") * np.arange(n, dtype="f")[:, None, None]
        np.testing.assert_array_equal(run_model(again, [value]), run_model(model, [value]))


@pytest.mark.parametrize("make", [lstm, gru, lambda n_in: nn.RNN(n_in, 4)])
@pytest.mark.parametrize("sizes", [("T", "B"), ("T", 2), (5, "B"), (5, 2)])
def test_layers_stand_at_the_top_for_all_sizes(make: Any, sizes: tuple[int | str, ...]) -> None:
    x = sg.tensor("x", (*sizes, 3))
    net = nn.Bidirectional(make(3), make(3))
    ends = list(flat(net(x, return_state=True)[1]))
    symbols = [sg.tensor(f"s{k}", (sizes[1], 4)) for k in range(len(ends))]
    pair: Any = tuple(symbols) if len(ends) == 2 else (tuple(symbols[:2]), tuple(symbols[2:]))
    y, states = net(x, state=pair, return_state=True)
    rng = np.random.default_rng(0)
    n_steps = (0, 1, 5) if sizes[0] == "T" else (5,)
    batches = (1, 2) if make is lstm else (0, 1, 2)  # onnxruntime dies of an LSTM of no batch
    cases = [
        [rng.normal(size=(n, b, 3)).astype("f"), *rng.normal(size=(len(ends), b, 4)).astype("f")]
        for n in n_steps
        for b in (batches if sizes[1] == "B" else (2,))
    ]
    for outputs in ([y], list(flat(states)), [y, *flat(states)]):
        model = check_model([x, *symbols], outputs, cases, 1e-6)
        at_top = [node.op_type for node in model.graph.node if node.op_type in OPS]
        assert len(at_top) == 1
        assert node_counts(model)["If"] == 0


def test_outputs_have_their_names_without_nodes_for_that() -> None:
    layer = nn.Bidirectional(nn.LSTM(3, 4, rng=0), nn.LSTM(3, 4, rng=1))
    model = check_model([x], [layer(x)], [[X]], 1e-6)
    assert [node.op_type for node in model.graph.node] == ["LSTM", "Transpose", "Reshape"]
    h = sg.scan(lambda a, h: sg.tanh(a + h), x, sg.zeros((x.shape[1], 3)))
    model = check_model([x], [h, h * 2, h, x], [[X], [X[:0]]], 1e-6)
    assert node_counts(model)["Identity"] == 3  # the other output, the input, and in the loop


def test_one_model_for_all_sizes() -> None:
    net = nn.Sequential(nn.Bidirectional(nn.GRU(3, 4, rng=0), nn.GRU(3, 4, rng=1)), nn.Dense(8, 2))
    session = session_of(sg.export_onnx(net, inputs=[x]))
    function = sg.compile([x], net(x), backend="numpy")
    rng = np.random.default_rng(0)
    for sizes in ((1, 1), (6, 3), (100, 16), (0, 4), (3, 0)):
        value = rng.normal(size=(*sizes, 3)).astype("f")
        found: Any = session.run(None, {"x": value})[0]
        np.testing.assert_allclose(found, function(value), rtol=0, atol=2e-6)


def test_names_of_weights() -> None:
    net = nn.Sequential(nn.LSTM(3, 4, rng=0), nn.Dense(4, 2, rng=1))
    model = sg.export_onnx(net, inputs=[x])
    names = {tensor.name for tensor in model.graph.initializer}
    assert {p.name for p in net.params} <= names

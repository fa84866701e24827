"""State handed from batch to batch and from step to step, through nets of layers of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.errors import SymgraphTypeError

BACKENDS = ("native", "numpy")
NETS: dict[str, Callable[[], Any]] = {
    "GRU": lambda: nn.GRU(2, 2, rng=0),
    "LSTM": lambda: nn.LSTM(2, 2, rng=0),
    "Residual": lambda: nn.Residual(nn.GRU(2, 2, rng=0)),
    "Sequential": lambda: nn.Sequential(
        nn.Dense(2, 3, rng=0),
        nn.Residual(nn.Sequential(nn.LayerNorm(3), nn.LSTM(3, 3, rng=1))),
        sg.tanh,
        nn.GRU(3, 2, rng=2),
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NETS)
def test_parts_and_steps_give_what_the_whole_gives(name: str, backend: str) -> None:
    net, data = NETS[name](), np.random.default_rng(0).normal(size=(7, 3, 2)).astype("float32")
    x, x_t = sg.tensor("x", ("T", "B", 2)), sg.tensor("x_t", ("B", 2))
    whole = sg.compile([x], net(x), backend=backend)(data)
    for call, symbol, pieces in (
        (net, x, [data[:1], data[1:5], data[5:]]),
        (net.step, x_t, list(data)),
    ):
        y, state = nn.stateful(call, symbol)
        f = sg.compile([symbol, *state], [y, *state.values()], backend=backend)
        values = [np.zeros((3, *symbol_.type.shape[1:]), "float32") for symbol_ in state]
        outputs = []
        for piece in pieces:
            output, *values = f(piece, *values)
            outputs.append(output)
        put = np.stack if call != net else np.concatenate
        np.testing.assert_allclose(put(outputs), whole, atol=1e-6)


def test_fit_carries_the_state_of_a_net() -> None:
    """One epoch of two batches that learn nothing: the mean loss is that of the whole sequence."""
    net = nn.Sequential(nn.GRU(1, 3, rng=0), nn.LSTM(3, 2, rng=1), nn.Dense(2, 1, rng=2))
    x, data = sg.tensor("x", ("T", "B", 1)), np.random.default_rng(0).normal(size=(20, 3, 1))
    y, state = nn.stateful(net, x)
    loss = sg.mean(sg.square(y))
    updates = nn.sgd(loss, net.params, 0.0)
    options: Any = {"epochs": 1, "batch_axis": "T", "progress": False}
    history = nn.fit(net, [x], loss, updates, [data], state=state, batch_size=10, **options)
    whole = sg.mean(sg.square(net(data.astype("float32")))).eval()
    assert history["loss"][0] == pytest.approx(float(whole), rel=1e-5)


def test_a_tree_with_layers_that_have_no_state() -> None:
    """The state as `Sequential` has it, with None, can be given as it is."""
    net, x = nn.Sequential(nn.GRU(1, 3), nn.Dense(3, 1)), sg.tensor("x", ("T", "B", 1))
    h = sg.tensor("h", ("B", 3))
    y, state = net(x, state=(h, None), return_state=True)
    loss = sg.mean(y)
    history = nn.fit(
        net, [x], loss, nn.sgd(loss, net.params, 0.0), [np.ones((4, 2, 1))],
        state={(h, None): state}, batch_axis="T", batch_size=2, epochs=1, progress=False,
    )  # fmt: skip
    assert len(history) == 1


class Encoder(nn.Module):
    def __init__(self) -> None:
        self.gru = nn.GRU(2, 2)

    def __call__(self, x: sg.Variable) -> sg.Variable:
        return self.gru(x)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Bidirectional(nn.GRU(2, 1), nn.GRU(2, 1)),
        Encoder(),
        nn.Residual(Encoder()),
        nn.GRU(2, 2, reverse=True),
    ],
)
def test_what_needs_the_whole_sequence_takes_no_steps(layer: Any) -> None:
    with pytest.raises(SymgraphTypeError):
        nn.Sequential(layer).step(np.ones((3, 2), "float32"))


@pytest.mark.parametrize("size", ["B", 3])
def test_what_takes_the_last_step_gives_none(size: Any) -> None:
    net = nn.Sequential(nn.GRU(2, 2), lambda h: h[-1])
    with pytest.raises(SymgraphTypeError, match="not one step again"):
        net.step(sg.tensor("x", (size, 2)))


def test_a_net_without_a_state() -> None:
    with pytest.raises(SymgraphTypeError, match="has no state"):
        nn.stateful(nn.Sequential(nn.Dense(2, 2)), sg.tensor("x", ("T", "B", 2)))
    with pytest.raises(SymgraphTypeError, match="has no state"):
        nn.Residual(nn.Dense(2, 2))(np.ones((1, 2), "float32"), state=np.ones((1, 2), "float32"))


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("name", ["batch_first", "num_layers", "return_sequences", "units"])
def test_options_of_other_libraries(make: Any, name: str) -> None:
    with pytest.raises(SymgraphTypeError, match=f"there is no option '{name}', but bias, "):
        make(2, 3, **{name: True})

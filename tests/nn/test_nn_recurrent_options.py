"""Options of recurrent layers: learned states, dropout, truncation, trees, constants, any axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

BACKENDS = ("native", "numpy")
DOUBLE: Any = {"dtype": "float64", "rng": 0}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def by_hand(cell: Any, x: np.ndarray, h: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """A plain cell over [time, batch, features]."""
    W, U, b = (v.get_value() for v in (cell.W, cell.U, cell.b))
    outputs = []
    for t in range(len(x)):
        new = np.tanh(x[t] @ W + h @ U + b)
        h = new if mask is None else np.where(mask[t][:, None] != 0, new, h)
        outputs.append(h)
    return np.array(outputs)


# --- the initial state --------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_initial_state_is_trained(reverse: bool, backend: str) -> None:
    layer = nn.RNN(2, 3, learn_initial=True, reverse=reverse, **DOUBLE)
    assert [p.name for p in layer.params] == ["cell.W", "cell.U", "cell.b", "initial.0"]
    first = layer.params[-1]
    np.testing.assert_array_equal(first.get_value(), np.zeros(3))
    first.set_value(draw(3, seed=4))
    x = draw(4, 2, 2)
    y = sg.compile([], layer(x), backend=backend)()
    h = np.broadcast_to(first.get_value(), (2, 3))
    expected = by_hand(layer.cell, x[::-1], h)[::-1] if reverse else by_hand(layer.cell, x, h)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    sg.testing.check_gradient(
        lambda row: sg.substitute(layer(x), {first: row}), first.get_value(), backend=backend
    )
    given = layer(x, state=np.zeros((2, 3))).eval()
    zero = np.zeros((2, 3))
    expected = by_hand(layer.cell, x[::-1], zero)[::-1] if reverse else by_hand(layer.cell, x, zero)
    np.testing.assert_allclose(given, expected, rtol=1e-12)


def test_both_directions_keep_their_options() -> None:
    layer = nn.Bidirectional(
        nn.LSTM(2, 3, learn_initial=True), nn.LSTM(2, 3, learn_initial=True, truncate_gradient=2)
    )
    names = [p.name for p in layer.params]
    assert names[3:5] == ["forward.initial.0", "forward.initial.1"]
    assert names[8:] == ["backward.initial.0", "backward.initial.1"]
    assert layer.backward.reverse
    assert layer.backward.truncate_gradient == 2


# --- gradients ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_truncated_gradient_goes_back_so_far(backend: str) -> None:
    x, W = draw(6, 2, 2), "cell.W"
    whole = nn.RNN(2, 3, **DOUBLE)
    short = nn.RNN(2, 3, truncate_gradient=2, **DOUBLE)
    near = nn.RNN(2, 3, **DOUBLE)
    before = sg.constant(whole(x[:4]).eval()[-1])
    gradients = {}
    for name, layer, y in [
        ("whole", whole, whole(x)),
        ("short", short, short(x)),
        ("near", near, near(x[4:], state=before)),
    ]:
        param = next(p for p in layer.params if p.name == W)
        gradients[name] = sg.compile([], sg.grad((y[-1] ** 2).sum(), param), backend=backend)()
    np.testing.assert_allclose(gradients["short"], gradients["near"], rtol=1e-10)
    assert np.abs(gradients["short"] - gradients["whole"]).max() > 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_checkpoints_change_no_gradient(backend: str) -> None:
    x = draw(7, 2, 2)
    results = []
    for every in (None, 3):
        layer = nn.GRU(2, 3, checkpoint_every=every, **DOUBLE)
        y = layer(x)
        results.append(sg.compile([], [y, *sg.grad((y**2).sum(), layer.params)], backend=backend)())
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


# --- dropout ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_inputs_and_units_are_dropped_in_all_steps(backend: str) -> None:
    cell = nn.RNNCell(3, 4, activation=lambda z: z, **DOUBLE)
    cell.W.set_value(np.eye(3, 4))
    cell.U.set_value(np.zeros((4, 4)))
    layer = nn.Recurrent(cell, dropout=0.5, rng=3)
    x = np.ones((5, 20, 3))
    f = sg.compile([], layer(x, training=True), backend=backend)
    y = f()
    assert set(np.unique(y)) == {0.0, 2.0}
    np.testing.assert_array_equal(y, np.broadcast_to(y[0], y.shape))
    assert (f() != y).any()
    np.testing.assert_array_equal(layer(x).eval(), x @ np.eye(3, 4))
    cell.U.set_value(np.eye(4))
    held = nn.Recurrent(cell, recurrent_dropout=0.5, rng=3)
    y = sg.compile([], held(x, training=True), backend=backend)()
    # Units that are dropped begin anew in each step, others double what they had.
    dropped = y[1][:, :3] == 1
    assert 0 < dropped.mean() < 1
    kept = np.array([1.0, 3, 7, 15, 31])[:, None]
    for unit in range(3):
        rows = y[:, ~dropped[:, unit], unit]
        np.testing.assert_array_equal(rows, np.broadcast_to(kept, rows.shape))
        np.testing.assert_array_equal(y[:, dropped[:, unit], unit], 1.0)


def test_masked_steps_carry_a_state_that_nothing_was_dropped_of() -> None:
    cell = nn.RNNCell(1, 8, activation=lambda z: z, **DOUBLE)
    cell.W.set_value(np.ones((1, 8)))
    cell.U.set_value(np.eye(8))
    layer = nn.Recurrent(cell, recurrent_dropout=0.5, rng=0)
    mask = np.array([[1.0], [0.0], [0.0]])
    y = layer(np.ones((3, 1, 1)), mask=mask, training=True).eval()
    np.testing.assert_array_equal(y, np.ones((3, 1, 8)))


def test_recurrent_dropout_needs_an_output_in_the_state() -> None:
    class Squared(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.RNNCell(1, 2)
            self.initial_state = self.inner.initial_state

        def step(self, x_t: sg.Variable, h: sg.Variable) -> Any:
            _, h = self.inner.step(x_t, h)
            return h**2, h

    layer = nn.Recurrent(Squared(), recurrent_dropout=0.5)
    with pytest.raises(sg.SymgraphTypeError, match="no part of its state"):
        layer(np.ones((2, 1, 1), "float32"), training=True)
    with pytest.raises(sg.SymgraphValueError, match="rate"):
        nn.GRU(1, 1, dropout=1.0)


# --- cells of other kinds -----------------------------------------------------------------------


class Nested(nn.Module):
    """Two cells, one upon the other, and a counter: a state that is a tree."""

    def __init__(self) -> None:
        self.low, self.high = nn.LSTMCell(2, 3, **DOUBLE), nn.RNNCell(3, 4, **DOUBLE)

    def initial_state(self, batch: Any) -> Any:
        count = sg.zeros((batch,), dtype="float64")
        return self.low.initial_state(batch), (self.high.initial_state(batch), count)

    def step(self, x_t: sg.Variable, state: Any) -> Any:
        low, (high, count) = state
        y, low = self.low.step(x_t, low)
        y, high = self.high.step(y, high)
        return y, (low, (high, count + 1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_state_may_be_a_tree(backend: str) -> None:
    cell, x = Nested(), draw(5, 2, 2)
    mask = np.array([[1, 1], [1, 0], [1, 0], [1, 0], [0, 0]])
    layer = nn.Recurrent(cell, learn_initial=True)
    y, ((h, c), (high, count)) = layer(x, mask=mask, return_state=True)
    y, h, c, high, count = sg.compile([], [y, h, c, high, count], backend=backend)()
    low, (low_h, low_c) = nn.Recurrent(cell.low)(x, mask=mask, return_state=True)
    top, top_h = nn.Recurrent(cell.high)(low, mask=mask, return_state=True)
    for ours, expected in [(y, top), (h, low_h), (c, low_c), (high, top_h)]:
        np.testing.assert_allclose(ours, expected.eval(), rtol=1e-12)
    np.testing.assert_array_equal(count, [4, 1])
    halves = layer(x[:2], mask=mask[:2], return_state=True)[1]
    rest = layer(x[2:], mask=mask[2:], state=halves).eval()
    np.testing.assert_allclose(rest, y[2:], rtol=1e-12)
    with pytest.raises(sg.ShapeError, match="4 parts"):
        layer(x, state=(np.zeros((2, 3)), np.zeros((2, 3))))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cell_may_have_any_axes(backend: str) -> None:
    class Smoothing(nn.Module):
        """A mean over time of images, one factor for each pixel."""

        n_axes = 3

        def __init__(self) -> None:
            self.factor = sg.shared(np.float64(0.25), "factor")

        def initial_state(self, batch: Any, x_t: sg.Variable) -> sg.Variable:
            return sg.zeros_like(x_t)

        def step(self, x_t: sg.Variable, state: sg.Variable) -> Any:
            new = state + self.factor * (x_t - state)
            return new, new

    x, mask = draw(4, 2, 3, 5, 1), np.array([[1, 1], [1, 0], [1, 0], [0, 0]])
    x[mask == 0] = np.nan
    layer = nn.Recurrent(Smoothing())
    y = sg.compile([], layer(x, mask=mask), backend=backend)()
    state, expected = np.zeros((2, 3, 5, 1)), []
    for t in range(4):
        new = state + 0.25 * (x[t] - state)
        state = np.where(mask[t][:, None, None, None] != 0, new, state)
        expected.append(state)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    with pytest.raises(sg.ShapeError, match="3 axes of the cell's"):
        layer(np.ones((4, 2, 3)))
    with pytest.raises(sg.SymgraphTypeError, match="cannot be learned"):
        nn.Recurrent(Smoothing(), learn_initial=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_cells_take_constants_and_training(backend: str) -> None:
    class Reading(nn.Module):
        """Adds what all steps share, twice of it while training."""

        def __init__(self) -> None:
            self.inner = nn.RNNCell(2, 3, **DOUBLE)
            self.initial_state = self.inner.initial_state

        def step(
            self, x_t: sg.Variable, state: sg.Variable, constants: Any, *, training: bool
        ) -> Any:
            return self.inner.step(x_t + (2 if training else 1) * constants, state)

    layer, x, shared = nn.Recurrent(Reading()), draw(4, 2, 2), draw(2, 2, seed=7)
    for training, factor in ((False, 1), (True, 2)):
        y = sg.compile([], layer(x, constants=shared, training=training), backend=backend)()
        expected = by_hand(layer.cell.inner, x + factor * shared, np.zeros((2, 3)))
        np.testing.assert_allclose(y, expected, rtol=1e-12)
    with pytest.raises(sg.SymgraphTypeError, match="takes no constants"):
        nn.RNN(2, 3, **DOUBLE)(x, constants=shared)


# --- step by step -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_one_by_one_are_the_whole_sequence(backend: str) -> None:
    gru = nn.GRU(3, 4, learn_initial=True, **DOUBLE)
    net = nn.Sequential(nn.LSTM(2, 3, **DOUBLE), sg.tanh, gru, nn.Dense(4, 2, **DOUBLE))
    x = draw(5, 2, 2)
    whole, states = net(x, return_state=True)
    x_t = sg.matrix("x_t", "float64")
    parts = [sg.matrix(f"s{i}", "float64") for i in range(3)]
    y_t, new = net.step(x_t, ((parts[0], parts[1]), None, parts[2], None))
    f = sg.compile([x_t, *parts], [y_t, *new[0], new[2]], backend=backend)
    h = [np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 4))]
    outputs = []
    for row in x:
        y, *h = f(row, *h)
        outputs.append(y)
    np.testing.assert_allclose(outputs, whole.eval(), rtol=1e-12)
    for ours, expected in zip(h, [*states[0], states[2]], strict=True):
        np.testing.assert_allclose(ours, expected.eval(), rtol=1e-12)
    first, _ = net.step(x[0])
    np.testing.assert_allclose(first.eval(), outputs[0], rtol=1e-12)
    with pytest.raises(sg.SymgraphTypeError, match="whole sequence"):
        nn.GRU(2, 3, reverse=True).step(np.ones((1, 2), "float32"))


def test_states_go_through_several_layers() -> None:
    net = nn.Sequential(nn.LSTM(2, 3, **DOUBLE), nn.Dropout(0.5), nn.GRU(3, 4, **DOUBLE))
    x = draw(6, 2, 2)
    _, state = net(x[:3], return_state=True)
    assert state[1] is None
    rest, _ = net(x[3:], state=state, return_state=True)
    np.testing.assert_allclose(rest.eval(), net(x).eval()[3:], rtol=1e-12)
    assert len(net) == 3
    assert net[2] is list(net)[2]
    with pytest.raises(sg.SymgraphValueError, match="one entry for each of 3 layers"):
        net(x, state=state[:2])
    with pytest.raises(sg.SymgraphTypeError, match="has no state"):
        net(x, state=(None, state[0], None))


def test_a_summary_counts_parameters() -> None:
    net = nn.Sequential(nn.GRU(2, 3), nn.Dense(3, 1), sg.sigmoid)
    lines = net.summary().splitlines()
    assert [line.split()[-1] for line in lines] == ["54", "4", "0", "58"]
    assert sum(p.get_value().size for p in net.params) == 58


# --- convolutional cells ------------------------------------------------------------------------


def filtered(x: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Images [batch, height, width, channels] under filters, of the same size."""
    rows, columns = filters.shape[:2]
    sides = [(0, 0), ((rows - 1) // 2, rows // 2), ((columns - 1) // 2, columns // 2), (0, 0)]
    padded, y = np.pad(x, sides), np.zeros((*x.shape[:3], filters.shape[3]))
    for i in range(rows):
        for j in range(columns):
            y += padded[:, i : i + x.shape[1], j : j + x.shape[2]] @ filters[i, j]
    return y


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [1, 3, (3, 1)])
def test_convolutional_cells(size: Any, backend: str) -> None:
    x = draw(3, 2, 4, 5, 2)
    lstm, gru = nn.ConvLSTMCell(2, 3, size, **DOUBLE), nn.ConvGRUCell(2, 3, size, **DOUBLE)
    for cell in (lstm, gru):
        cell.b.set_value(draw(*cell.b.get_value().shape))
    f = sg.compile([], [nn.Recurrent(lstm)(x), nn.Recurrent(gru)(x)], backend=backend)
    found_lstm, found_gru = f()
    h = c = g = np.zeros((2, 4, 5, 3))
    for t in range(3):
        W, U, b = (v.get_value() for v in (lstm.W, lstm.U, lstm.b))
        i, forget, new, o = np.split(filtered(x[t], W) + filtered(h, U) + b, 4, axis=-1)
        c = sigmoid(forget) * c + sigmoid(i) * np.tanh(new)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(found_lstm[t], h, rtol=1e-10)
        W, U, b = (v.get_value() for v in (gru.W, gru.U, gru.b))
        z, y = np.split(filtered(x[t], W) + b, 3, axis=-1), np.split(filtered(g, U), 3, axis=-1)
        r, u = sigmoid(z[0] + y[0]), sigmoid(z[1] + y[1])
        g = u * g + (1 - u) * np.tanh(z[2] + r * y[2])
        np.testing.assert_allclose(found_gru[t], g, rtol=1e-10)


def test_gradients_of_a_convolutional_cell() -> None:
    layer, x = nn.Recurrent(nn.ConvLSTMCell(1, 2, 3, **DOUBLE)), draw(2, 1, 3, 3, 1)
    sg.testing.check_gradient(lambda x: layer(x), x)
    with pytest.raises(sg.ShapeError, match="3 axes"):
        layer(np.ones((2, 1, 3)))
    with pytest.raises(sg.ShapeError, match="features"):
        layer(np.ones((2, 1, 3, 3, 2)))


# --- checkpoints --------------------------------------------------------------------------------

LAYERS: dict[str, Any] = {
    "recurrent": lambda **options: nn.Recurrent(nn.RNNCell(2, 3, **DOUBLE), **options),
    "shorthand": lambda **options: nn.LSTM(2, 3, **DOUBLE, **options),
    "both ways": lambda **options: nn.Bidirectional(
        nn.GRU(2, 3, **DOUBLE), nn.RNNCell(2, 3, **DOUBLE), **options
    ),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(
    "options", [{"checkpoint_every": 2}, {"checkpoint_every": "auto"}, {"memory": "1 kB"}]
)
def test_checkpoints_of_layers(make: Any, options: dict[str, Any]) -> None:
    x = sg.tensor("x", ("T", "B", 2), "float64")
    plain, layer = make(), make(**options)

    def outputs(layer: Any) -> list[sg.Variable]:
        y = layer(x)
        return [y, *sg.grad((y**2).sum(), [x, *layer.params])]

    f = sg.compile([x], [*outputs(layer), *outputs(plain)])
    found, n = f(draw(5, 3, 2)), len(plain.params) + 2
    for ours, expected in zip(found[:n], found[n:], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)
    n_loops = 2 if isinstance(layer, nn.Bidirectional) else 1
    assert len(f.report.checkpoints) == n_loops


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_every": 0},
        {"checkpoint_every": -1},
        {"checkpoint_every": "some"},
        {"memory": "much"},
        {"memory": 0},
        {"checkpoint_every": 2, "memory": "1MB"},
        {"truncate_gradient": 0},
    ],
)
def test_options_of_loops_are_looked_at_when_a_layer_is_made(
    make: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(sg.ScanError, match=rf"{next(iter(options))}.*\n.*{__file__}"):
        make(**options)


def test_both_directions_take_options_over_their_own() -> None:
    layers = nn.LSTM(2, 3, memory="1MB"), nn.LSTM(2, 3, truncate_gradient=5)
    both = nn.Bidirectional(*layers, checkpoint_every=4)
    assert [each.checkpoint_every for each in (both.forward, both.backward)] == [4, 4]
    assert [each.memory for each in (both.forward, both.backward)] == [None, None]
    assert [each.truncate_gradient for each in (both.forward, both.backward)] == [None, 5]
    assert layers[0].memory == "1MB"
    assert both.params == [*layers[0].params, *layers[1].params]

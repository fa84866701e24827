"""Loops over cells: directions, masks, carried state, cells of the user's own, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from nn_derivatives import check_two_orders

import symgraph as sg
import symgraph_nn as nn

N_IN, N_UNITS, TIME, BATCH = 3, 4, 6, 5
LENGTHS = np.array([6, 1, 4, 6, 2])
MASK = np.arange(TIME)[:, None] < LENGTHS
RNG = np.random.default_rng(1)
X = RNG.normal(size=(TIME, BATCH, N_IN))


class Leaky:
    """A user's cell: no base class, an output that is no part of the state, a state of 3 axes."""

    def __init__(self):
        self.A = sg.shared(RNG.normal(size=(N_IN, N_UNITS)), "A")
        self.R = sg.shared(0.5 * RNG.normal(size=(N_UNITS, N_UNITS)), "R")
        self.params = [self.A, self.R]

    def initial_state(self, batch):
        return sg.zeros((batch, N_UNITS), dtype="float64"), sg.ones((batch, 2, N_UNITS), "float64")

    def step(self, x_t, state):
        h, trace = state
        h = 0.9 * h + 0.1 * sg.tanh(sg.dot(x_t, self.A) + sg.dot(h, self.R))
        trace = 0.5 * trace + sg.expand_dims(h, 1)
        return sg.sin(sg.sum(trace, axis=1)), (h, trace)


MAKERS = {
    "RNN": lambda **k: nn.RNN(N_IN, N_UNITS, dtype="float64", rng=7, **k),
    "LSTM": lambda **k: nn.LSTM(N_IN, N_UNITS, peepholes=True, dtype="float64", rng=7, **k),
    "GRU": lambda **k: nn.GRU(N_IN, N_UNITS, dtype="float64", rng=7, **k),
    "custom": lambda **k: nn.Recurrent(Leaky(), **k),
}


def parts(state):
    return list(state) if isinstance(state, tuple) else [state]


def symbols(mask_dtype="bool"):
    x = sg.tensor("x", ("T", "B", N_IN), "float64")
    return x, sg.tensor("mask", ("T", "B"), mask_dtype)


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def test_layer_is_the_loop_over_steps(make):
    layer = make()
    state = layer.cell.initial_state(BATCH)
    outputs = []
    for t in range(TIME):
        output, state = layer.cell.step(sg.constant(X[t]), state)
        outputs.append(output)
    x, _ = symbols()
    y, last = layer(x, return_state=True)
    found = sg.compile([x], [y, *parts(last)])(X)
    expected = sg.compile([], [sg.stack(outputs), *parts(state)])()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_reverse_layer_is_the_layer_on_the_reversed_sequence(make):
    layer = make()
    x, _ = symbols()
    y, state = nn.Recurrent(layer.cell, reverse=True)(x, return_state=True)
    z, other = layer(x[::-1], return_state=True)
    found = sg.compile([x], [y, *parts(state), z[::-1], *parts(other)])(X)
    half = len(found) // 2
    for a, b in zip(found[:half], found[half:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("mask_dtype", ["bool", "float32", "float64", "int8"])
@pytest.mark.parametrize("reverse", [False, True])
def test_padded_batch_gives_what_its_rows_give_alone(make, reverse, mask_dtype):
    layer = make(reverse=reverse)
    x, mask = symbols(mask_dtype)
    y, state = layer(x, mask=mask, return_state=True)
    padded = np.where(MASK[:, :, None], X, np.nan)  # what is masked is never looked at
    outputs, *states = sg.compile([x, mask], [y, *parts(state)])(padded, MASK.astype(mask_dtype))
    assert np.isfinite(outputs).all()
    y, state = layer(x, return_state=True)
    alone = sg.compile([x], [y, *parts(state)])
    for row, length in enumerate(LENGTHS):
        expected, *expected_states = alone(X[:length, row : row + 1])
        np.testing.assert_allclose(outputs[:length, row], expected[:, 0], rtol=1e-12)
        for a, b in zip(states, expected_states, strict=True):
            np.testing.assert_allclose(a[row], b[0], rtol=1e-12)
        if not reverse:
            np.testing.assert_array_equal(outputs[-1, row], outputs[length - 1, row])


def test_masked_steps_in_the_middle_are_left_out(make):
    layer = make()
    x, mask = symbols()
    present = np.array([True, False, True, True, False, True])
    masked = sg.compile([x, mask], layer(x, mask=mask))(X, np.repeat(present[:, None], BATCH, 1))
    short = sg.compile([x], layer(x))(X[present])
    np.testing.assert_allclose(masked[present], short, rtol=1e-12)
    np.testing.assert_array_equal(masked[1], masked[0])


def test_a_batch_masked_in_full_keeps_its_state(make):
    layer = make()
    x, mask = symbols()
    y, state = layer(x, mask=mask, return_state=True)
    found = sg.compile([x, mask], [y, *parts(state)])(X, np.zeros_like(MASK))
    assert np.isfinite(found[0]).all()
    for a, b in zip(found[1:], parts(layer.cell.initial_state(BATCH)), strict=True):
        np.testing.assert_array_equal(a, b.eval())


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_masked_steps_are_those_of_the_rows_alone(make, reverse):
    layer = make(reverse=reverse)
    x, mask = symbols()
    weights = sg.constant(RNG.normal(size=(N_UNITS,)))
    kept = sg.expand_dims(mask, 2)
    masked_cost = sg.sum(sg.where(kept, sg.square(layer(x, mask=mask)) * weights, 0))
    grads = sg.compile([x, mask], sg.grad(masked_cost, layer.params))
    padded = np.where(MASK[:, :, None], X, np.nan)
    found = grads(padded, MASK)
    cost = sg.sum(sg.square(layer(x)) * weights)
    alone = sg.compile([x], sg.grad(cost, layer.params))
    expected = [
        sum(values)
        for values in zip(*(alone(X[:n, i : i + 1]) for i, n in enumerate(LENGTHS)), strict=True)
    ]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_state_is_carried_over_the_parts_of_a_sequence(make):
    layer = make()
    x, _ = symbols()
    zero = parts(layer.cell.initial_state(BATCH))
    start = [sg.tensor(None, ("B", *part.shape[1:]), "float64") for part in zero]
    given = tuple(start) if len(start) > 1 else start[0]
    y, state = layer(x, state=given, return_state=True)
    run = sg.compile([x, *start], [y, *parts(state)])
    zeros = [part.eval() for part in zero]
    whole, *last = run(X, *zeros)
    first, *middle = run(X[:2], *zeros)
    second, *end = run(X[2:], *middle)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-12)
    for a, b in zip(end, last, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_state_has_the_cells_form():
    x, _ = symbols()
    assert isinstance(MAKERS["RNN"]()(x, return_state=True)[1], sg.Variable)
    state = MAKERS["LSTM"]()(x, return_state=True)[1]
    assert type(state) is tuple
    assert len(state) == 2


# --- both directions ----------------------------------------------------------------------------


@pytest.mark.parametrize("already_reversed", [False, True])
def test_bidirectional_puts_both_directions_side_by_side(make, already_reversed):
    forward, backward = make(), make(reverse=already_reversed)
    x, mask = symbols()
    both = nn.Bidirectional(forward, backward)
    y, (a, b) = both(x, mask=mask, return_state=True)
    z, other_a = forward(x, mask=mask, return_state=True)
    w, other_b = nn.Recurrent(backward.cell, reverse=True)(x, mask=mask, return_state=True)
    found, left, right = sg.compile([x, mask], [y, z, w])(X, MASK)
    assert found.shape == (TIME, BATCH, 2 * N_UNITS)
    np.testing.assert_array_equal(found, np.concatenate([left, right], axis=2))
    assert parts(a) + parts(b) == parts(other_a) + parts(other_b)
    assert both.params == forward.params + backward.params


def test_bidirectional_carries_a_pair_of_states():
    x, _ = symbols()
    both = nn.Bidirectional(MAKERS["LSTM"](), MAKERS["GRU"]())
    _, state = both(x, return_state=True)
    y = both(x[:2], state=state)
    assert y.ndim == 3
    with pytest.raises(sg.SymgraphTypeError, match="pair"):
        both(x, state=state[1])


def test_bidirectional_takes_bare_cells():
    both = nn.Bidirectional(nn.LSTMCell(2, 3), nn.GRUCell(2, 3))
    assert [both.forward.reverse, both.backward.reverse] == [False, True]
    assert repr(both) == (
        "Bidirectional(Recurrent(LSTMCell(2, 3)), Recurrent(GRUCell(2, 3), reverse=True))"
    )


def test_layers_are_plain_scans():
    x, _ = symbols()
    net = nn.Bidirectional(MAKERS["LSTM"](), MAKERS["LSTM"]())
    report = sg.compile([x], net(x), backend="numpy").report
    assert report.bodies == 2
    assert not report.repeated_bodies


def test_an_output_that_is_the_state_is_no_further_result_of_the_loop():
    x, mask = symbols()
    for name, n_results in [("RNN", 1), ("LSTM", 2), ("GRU", 1), ("custom", 3)]:
        for options in ({}, {"mask": mask}):
            y = MAKERS[name]()(x, **options)
            loops = [v for v in nn.graphs.ancestors([y]) if v.op.name == "scan"]
            assert [len(loop.type.items) for loop in loops] == [n_results]


# --- derivatives --------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_first_and_second_order(make, reverse):
    layer = make(reverse=reverse)
    x = sg.tensor("x", (3, 2, N_IN), "float64")
    mask = np.array([[True, True], [True, True], [True, False]])
    cost = sg.sum(sg.square(layer(x, mask=mask)))
    check_two_orders(cost, x, X[:3, :2], layer.params, lambda shape, _: RNG.normal(size=shape))


# --- errors -------------------------------------------------------------------------------------


def test_errors_name_the_layer_and_the_users_line():
    layer = nn.LSTM(5, 4)
    x = sg.tensor("x", ("T", "B", N_IN))
    for call, kind, text in [
        (
            lambda: layer(x),
            sg.ShapeError,
            r"Recurrent\(LSTMCell\(5, 4\)\): 5 features .*'x'.* has 3",
        ),
        (lambda: layer(sg.matrix("m")), sg.ShapeError, r"\[time, batch, features\].*'m'"),
        (lambda: layer(sg.tensor3(), mask=sg.tensor3("k")), sg.ShapeError, r"\[time, batch\].*'k'"),
        (lambda: layer(sg.tensor3(), state=sg.matrix("s")), sg.ShapeError, "2 parts"),
        (lambda: layer(None), sg.SymgraphTypeError, "Recurrent"),
        (lambda: nn.Recurrent(nn.Dense(2, 2)), sg.SymgraphTypeError, "initial_state"),
        (lambda: layer(sg.tensor3("d", "float64")), sg.DtypeError, "float32 is expected.*'d'"),
        (lambda: nn.GRU(3, 4)(x, state=sg.zeros((2, 7))), sg.ShapeError, "axis 1"),
    ]:
        with pytest.raises(kind, match=text) as caught:
            call()
        assert __file__ in str(caught.value)


def test_a_cell_that_breaks_the_protocol():
    class Wrong(Leaky):
        def step(self, x_t, state):
            return state[0]

    class Short(Leaky):
        def step(self, x_t, state):
            return state[0], state[0]

    x, _ = symbols()
    with pytest.raises(sg.ScanError, match="returns"):
        nn.Recurrent(Wrong())(x)
    with pytest.raises(sg.ScanError, match="2 parts"):
        nn.Recurrent(Short())(x)


def test_mask_and_sequence_of_different_length_at_the_call():
    layer = MAKERS["RNN"]()
    x, mask = sg.tensor3("x", "float64"), sg.matrix("mask", "bool")
    f = sg.compile([x, mask], layer(x, mask=mask))
    with pytest.raises(sg.SymgraphError):
        f(X, MASK[:, :3])


def parts_of(state):
    """The variables of a state, or of a pair of states."""
    return [v for s in state for v in parts_of(s)] if isinstance(state, tuple) else [state]


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("name", [*MAKERS, "reversed", "bidirectional"])
def test_no_steps_and_no_rows(name, is_masked, backend):
    """Without a step the state is the initial one, and its gradient goes there."""
    make = MAKERS.get(name) or MAKERS["LSTM"]
    layer = make(reverse=True) if name == "reversed" else make()
    if name == "bidirectional":
        layer = nn.Bidirectional(layer, MAKERS["GRU"]())
    x, mask = sg.tensor("x", ("T", "B", N_IN), "float64"), sg.tensor("mask", ("T", "B"), "bool")
    model = layer(x, return_state=True)[1]
    given = [sg.tensor(f"s{i}", v.type.shape, "float64") for i, v in enumerate(parts_of(model))]
    rest = iter(given)
    state = tuple_like(model, rest)
    y, last = layer(x, mask=mask if is_masked else None, state=state, return_state=True)
    ends = parts_of(last)
    cost = y.sum() + sum((v.sum() for v in ends), sg.constant(0.0, "float64"))
    inputs = [x, *([mask] if is_masked else []), *given]
    wanted = [x, *given, *layer.params]
    f = sg.compile(inputs, [y, *ends, *sg.grad(cost, wanted)], backend=backend)
    for time, batch in [(0, 2), (3, 0), (0, 0), (3, 2)]:
        shapes = [(batch, *v.type.shape[1:]) for v in given]
        states = [RNG.normal(size=shape) for shape in shapes]
        masks = [np.ones((time, batch), bool)] if is_masked else []
        outputs = f(RNG.normal(size=(time, batch, N_IN)), *masks, *states)
        values, gradients = outputs[1 : 1 + len(given)], outputs[1 + len(given) :]
        assert outputs[0].shape == (time, batch, y.type.shape[2])
        assert [v.shape for v in values] == shapes
        expected = [(time, batch, N_IN), *shapes, *(p.get_value().shape for p in layer.params)]
        assert [g.shape for g in gradients] == expected
        assert all(np.isfinite(g).all() for g in gradients)
        if time == 0:
            assert all(map(np.array_equal, values, states))
            assert all((g == 1).all() for g in gradients[1 : 1 + len(given)])
            assert all((g == 0).all() for g in gradients[1 + len(given) :])


def tuple_like(model, parts):
    """The parts in the form of the model."""
    return tuple(tuple_like(m, parts) for m in model) if isinstance(model, tuple) else next(parts)


def test_the_loop_of_a_cell_without_text_of_its_own_is_named_after_its_class():
    x, _ = symbols()
    f = sg.compile([x], nn.Recurrent(Leaky())(x))
    assert [row.name for row in f.report.loop_table] == ["Leaky()"]

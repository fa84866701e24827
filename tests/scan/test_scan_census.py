"""The census: what counts as one computation run again, and which lines are named."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import numpy as np
import pytest

import symgraph as sg
from symgraph.scan import census

X, TARGET = sg.tensor("x", ("T", "B", 3)), sg.tensor("target", ("B", 2))
UNITS = 4


def here() -> int:
    """The number of the line that calls this."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def weight(*shape: int) -> sg.SharedVariable:
    return sg.shared(np.random.default_rng(len(shape)).normal(size=shape).astype("float32") * 0.3)


class Tanh:
    """A plain recurrent layer whose input product stands outside the loop."""

    def __init__(self, n_in: int) -> None:
        self.params = [weight(n_in, UNITS), weight(UNITS, UNITS), weight(UNITS)]

    def __call__(self, x: sg.Variable, values: Any = None, **options: Any) -> sg.Variable:
        w, u, b = values or self.params
        zero = sg.zeros((x.shape[1], UNITS))
        return sg.scan(lambda a, h: sg.tanh(a + h @ u), x @ w + b, zero, **options)


class LSTM:
    """A hand-made LSTM whose products all stand in the loop."""

    def __init__(self, n_in: int) -> None:
        self.params = [weight(n_in, 4 * UNITS), weight(UNITS, 4 * UNITS), weight(4 * UNITS)]

    def __call__(self, x: sg.Variable, values: Any = None, **options: Any) -> sg.Variable:
        w, u, b = values or self.params

        def step(row: sg.Variable, h: sg.Variable, c: sg.Variable) -> list[sg.Variable]:
            i, f, o, g = sg.split(row @ w + h @ u + b, 4, axis=1)
            c = sg.sigmoid(f) * c + sg.sigmoid(i) * sg.tanh(g)
            return [sg.sigmoid(o) * sg.tanh(c), c]

        zero = sg.zeros((x.shape[1], UNITS))
        return sg.scan(step, x, [zero, zero], **options)[0]


class Model:
    """Bidirectional layers and a readout; ``loss(values)`` calls it at other parameters."""

    def __init__(self, cell: Callable[[int], Any], n_layers: int) -> None:
        sizes = [3] + [2 * UNITS] * (n_layers - 1)
        self.layers = [(cell(n), cell(n)) for n in sizes]
        self.readout = weight(2 * UNITS, 2)
        cells = [c for pair in self.layers for c in pair]
        self.params = [p for c in cells for p in c.params] + [self.readout]

    def loss(self, values: list[Any] | None = None) -> sg.Variable:
        rest = iter(values or self.params)
        y = X
        for forward, backward in self.layers:
            first = forward(y, [next(rest) for _ in forward.params])
            second = backward(y, [next(rest) for _ in backward.params], go_backwards=True)
            y = sg.concatenate([first, second[::-1]], axis=2)
        return ((y.mean(axis=0) @ next(rest) - TARGET) ** 2).mean()


def velocities(params: list[Any]) -> list[sg.SharedVariable]:
    return [sg.shared(np.zeros_like(p.get_value())) for p in params]


def train(cost: sg.Variable, params: list[Any], gradients: list[sg.Variable]) -> sg.Function:
    updates = {p: p - 0.1 * g for p, g in zip(params, gradients, strict=True)}
    return sg.compile([X, TARGET], cost, updates=updates, backend="numpy")


def excess(f: sg.Function) -> int:
    return sum(len(group.lines) - 1 for group in f.report.repeated_bodies)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("cell", [Tanh, LSTM])
def test_the_forms_of_nesterov(cell: Callable[[int], Any], n_layers: int) -> None:
    model = Model(cell, n_layers)
    cost = model.loss()
    plain = train(cost, model.params, sg.grad(cost, model.params))
    assert (plain.report.bodies_built, plain.report.bodies) == (4 * n_layers, 4 * n_layers)
    assert plain.report.repeated_bodies == ()
    ahead = {p: p + 0.9 * v for p, v in zip(model.params, velocities(model.params), strict=True)}

    line = here() + 1
    moved = sg.substitute(cost, ahead)
    naive = train(cost, model.params, sg.grad(moved, model.params))
    assert naive.report.bodies_built == naive.report.bodies == 6 * n_layers
    assert excess(naive) == 2 * n_layers
    assert all(line in [at.line for at in g.lines] for g in naive.report.repeated_bodies)
    assert f"test_scan_census.py:{line}" in str(naive.report)
    assert f"{2 * n_layers} bodies too many" in str(naive.report)

    gradients = [sg.grad(sg.substitute(cost, ahead), p) for p in model.params]
    for_each = train(cost, model.params, gradients)
    assert for_each.report.bodies_built == 6 * n_layers
    assert excess(for_each) == 2 * n_layers


@pytest.mark.parametrize("cell", [Tanh, LSTM])
def test_calling_the_model_twice(cell: Callable[[int], Any]) -> None:
    model = Model(cell, 1)
    ahead = [p + 0.9 * v for p, v in zip(model.params, velocities(model.params), strict=True)]
    lines = [here() + 1, here() + 2]
    cost = model.loss()
    moved = model.loss(ahead)
    f = train(cost, model.params, sg.grad(moved, model.params))
    assert excess(f) == 2
    for group in f.report.repeated_bodies:
        assert [at.line for at in group.lines] == lines


@pytest.mark.parametrize("cell", [Tanh, LSTM])
def test_the_loss_at_the_new_parameters(cell: Callable[[int], Any]) -> None:
    """Each new value is computed from all parameters, by its gradient, but stands in for one."""
    model = Model(cell, 1)
    cost = model.loss()
    gradients = sg.grad(cost, model.params)
    new = {p: p - 0.1 * g for p, g in zip(model.params, gradients, strict=True)}
    line = here() + 1
    after = sg.substitute(cost, new)
    f = sg.compile([X, TARGET], [cost, after], updates=new, backend="numpy")
    assert f.report.bodies == 6
    assert [len(group.lines) for group in f.report.repeated_bodies] == [2, 2]
    assert all(line in [at.line for at in group.lines] for group in f.report.repeated_bodies)


def test_layers_with_parameters_of_their_own_are_no_repeats() -> None:
    y = X
    for cell in (LSTM(3), LSTM(UNITS), LSTM(UNITS)):
        y = cell(y)
    assert sg.compile([X], y, backend="numpy").report.repeated_bodies == ()


def test_a_layer_applied_to_two_inputs_is_no_repeat() -> None:
    other = sg.tensor("other", ("T", "B", 3))
    for cell in (Tanh(3), LSTM(3)):
        f = sg.compile([X, other], [cell(X), cell(other)], backend="numpy")
        assert f.report.bodies == 2
        assert f.report.repeated_bodies == ()


def test_one_vector_of_all_parameters() -> None:
    """Layers are slices of it: no repeats of each other, but at another vector they are."""
    size = UNITS * UNITS
    flat = sg.shared(np.zeros(2 * size, "float32"), "flat")
    velocity = sg.shared(np.zeros(2 * size, "float32"), "velocity")
    x = sg.tensor("x", ("T", "B", UNITS))

    def network(vector: sg.Variable) -> sg.Variable:
        y = x
        for k in range(2):
            u = vector[k * size : (k + 1) * size].reshape(UNITS, UNITS)
            zero = sg.zeros((y.shape[1], UNITS))
            y = sg.scan(lambda row, h, u: sg.tanh(row + h @ u), y, zero, [u])
        return y.sum()

    cost = network(flat)
    f = sg.compile([x], cost, updates={flat: flat - sg.grad(cost, flat)}, backend="numpy")
    assert (f.report.bodies, f.report.repeated_bodies) == (4, ())
    moved = sg.substitute(cost, {flat: flat + 0.9 * velocity})
    f = sg.compile([x], cost, updates={flat: flat - sg.grad(moved, flat)}, backend="numpy")
    assert (f.report.bodies, excess(f)) == (6, 2)


def test_nested_loops_count() -> None:
    x = sg.tensor("x", ("T", "B", 3))
    y = sg.scan(lambda rows: sg.scan(lambda row: sg.tanh(row), rows), x)
    report = sg.compile([x], y, backend="numpy").report
    assert (report.loops_built, report.bodies_built) == (2, 2)


# --- loops that differ by what they read alone --------------------------------------------------


class Leaky:
    """A layer whose parameters all stand before the loop."""

    def __init__(self, n_in: int) -> None:
        self.params = [weight(n_in, UNITS), weight(UNITS)]

    def __call__(self, x: sg.Variable, values: Any = None, **options: Any) -> sg.Variable:
        w, b = values or self.params
        zero = sg.zeros((x.shape[1], UNITS))
        return sg.scan(lambda a, h: sg.tanh(a + 0.5 * h), x @ w + b, zero, **options)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_repeats_by_way_of_sequences(n_layers: int) -> None:
    model = Model(Leaky, n_layers)
    cost = model.loss()
    plain = train(cost, model.params, sg.grad(cost, model.params))
    assert (plain.report.bodies, plain.report.repeated_bodies) == (4 * n_layers, ())
    ahead = {p: p + 0.9 * v for p, v in zip(model.params, velocities(model.params), strict=True)}
    moved = sg.substitute(cost, ahead)
    naive = train(cost, model.params, sg.grad(moved, model.params))
    assert (naive.report.bodies, excess(naive)) == (6 * n_layers, 2 * n_layers)
    by_call = model.loss(list(ahead.values()))
    assert excess(train(cost, model.params, sg.grad(by_call, model.params))) == 2 * n_layers


def test_an_initial_state_at_another_value() -> None:
    first, velocity = weight(1, UNITS), weight(1, UNITS)
    x = sg.tensor("x", ("T", 1, UNITS))
    ends = [sg.scan(lambda a, h: sg.tanh(a + h), x, h)[-1] for h in (first, first + velocity)]
    assert excess(sg.compile([x], ends, backend="numpy")) == 1


def test_what_reads_something_else_is_no_repeat() -> None:
    other, layer = sg.tensor("other", ("T", "B", 3)), Leaky(3)
    second = Leaky(UNITS)
    y = layer(X)
    f = sg.compile([X, other], [y, layer(other)], backend="numpy")
    assert f.report.repeated_bodies == ()
    outputs = [
        [y, Leaky(3)(X), second(y)],  # parameters of their own
        [second(y), second(second(y))],  # one layer upon itself
        [y, layer(X[::-1])[::-1], layer(X, go_backwards=True)],  # both directions
        [y, layer(X[1:]), layer(2 * X)],  # another part, another scale
    ]
    for expressions in outputs:
        assert sg.compile([X], expressions, backend="numpy").report.repeated_bodies == ()


def test_other_draws_and_other_rows_of_shared_data_are_no_repeats() -> None:
    layer, stream = Leaky(3), sg.random.Stream(0)
    noisy = [layer(X + stream.normal((3,))) for _ in range(2)]
    masked = [layer(X * stream.bernoulli((3,)).astype("float32")) for _ in range(2)]
    assert sg.compile([X], noisy + masked, backend="numpy").report.repeated_bodies == ()
    data = sg.shared(np.zeros((4, 6, 3), "float32"))
    parts = [layer(data), layer(data[::-1]), layer(data[:2]), layer(data[2:])]
    assert sg.compile([], parts, backend="numpy").report.repeated_bodies == ()


def test_one_body_may_be_looped_over_in_several_ways():
    """A row in one loop, fixed in the other: the same body, and no repetition."""
    x = sg.tensor("x", ("T", 3))
    rows = sg.scan(lambda row: row, x)
    fixed = sg.scan(lambda i: sg.max(rows, axis=0), sg.arange(rows.shape[0]))
    report = sg.compile([x], fixed).report
    assert not report.repeated_bodies


def test_joins_of_different_numbers_are_told_apart() -> None:
    """The backward pass joins five parts where the forward pass joins two."""
    x = sg.tensor("x", (1, 1), "float64")
    padded = sg.pad(x, 1)
    rows = sg.scan(lambda row: row, sg.concatenate([padded, padded], axis=1))
    first = sg.grad(sg.sum(sg.cos(rows)), x)
    report = sg.compile([x], sg.grad(sg.sum(first), x)).report
    assert not report.repeated_bodies


@pytest.mark.parametrize("kind", ["own weights", "one weight", "chained", "values of one weight"])
def test_hundreds_of_loops_of_one_body_are_hardly_compared(kind: str) -> None:
    w, outputs, h = weight(UNITS, UNITS), [], sg.tensor("x", ("T", UNITS))
    for i in range(120):
        own = weight(UNITS, UNITS) if kind in ("own weights", "chained") else w
        own = own * float(i + 2) if kind == "values of one weight" else own
        x = h if kind == "chained" else sg.tensor("x", ("T", UNITS))
        h = sg.scan(lambda a, s, u: sg.tanh(a + s @ u), x, sg.zeros((UNITS,)), own)
        outputs.append(h[-1])
    compared = 0

    def counting(function: Callable[..., bool]) -> Callable[..., bool]:
        def count(*args: Any) -> bool:
            nonlocal compared
            compared += 1
            return function(*args)

        return count

    names = ("_is_one_computation", "_derive_from_one")
    counted = {name: counting(getattr(census, name)) for name in names}
    with ExitStack() as patches:
        for name, count in counted.items():
            patches.enter_context(mock.patch.object(census, name, count))
        found = list(census.find_repeated(outputs))
    assert compared <= 120
    assert census.count_loops(outputs) == 120
    sizes = [len(group.loops) for group in found]
    assert sizes == ([120] if kind == "values of one weight" else [])

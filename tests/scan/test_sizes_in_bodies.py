"""Sizes that a loop's body computes: windows, ragged loops, several loops with equal bodies."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.testing import unroll

BACKENDS = ["numpy", "native"]
VALUE = np.random.default_rng(0).normal(size=7)


def steps_of(x):
    return sg.arange(x.shape[0])


def two_loops(x):
    first = sg.scan(lambda i: x[:i].sum(), steps_of(x))
    second = sg.scan(lambda i: x[:i].sum() * 3, steps_of(x)[::-1])
    return sg.stack([first, second])


def two_loops_by_numpy(x):
    first = [x[:i].sum() for i in range(len(x))]
    return np.stack([first, [3 * x[:i].sum() for i in reversed(range(len(x)))]])


def windows(x):
    return sg.scan(lambda i: (x[sg.maximum(i - 2, 0) : i + 1] ** 3).sum(), steps_of(x))


def windows_by_numpy(x):
    return [(x[max(i - 2, 0) : i + 1] ** 3).sum() for i in range(len(x))]


def ragged(x):
    def outer(i):
        return sg.scan(lambda v, s: 0.5 * s + v**2, x[: i + 1], sg.zeros((), dtype=x.dtype))[-1]

    return sg.scan(outer, steps_of(x))


def ragged_by_numpy(x):
    results = []
    for i in range(len(x)):
        s = 0.0
        for v in x[: i + 1]:
            s = 0.5 * s + v**2
        results.append(s)
    return results


def until_inside(x):
    def outer(i):
        start = sg.zeros((), dtype=x.dtype)
        return sg.scan(lambda v, s: (s + v**2, sg.until(s > 0.5)), x[i:], start)[-1]

    return sg.scan(outer, steps_of(x))


def until_inside_by_numpy(x):
    results = []
    for i in range(len(x)):
        s = 0.0
        for v in x[i:]:
            before, s = s, s + v**2
            if before > 0.5:
                break
        results.append(s)
    return results


def windows_in_windows(x):
    def outer(i):
        part = x[: i + 1]
        inner = sg.scan(lambda j: (part[: j + 1] * x[: j + 1]).sum() * part.sum(), steps_of(part))
        return inner.sum()

    return sg.scan(outer, steps_of(x))


def windows_in_windows_by_numpy(x):
    return [
        sum((x[: j + 1] ** 2).sum() * x[: i + 1].sum() for j in range(i + 1)) for i in range(len(x))
    ]


def loop_after_loop(x):
    """A window over the results of a loop with windows, whose body counts from another end."""
    first = windows(x)
    second = sg.scan(lambda i: (first[i:] * x[: first.shape[0] - i]).sum(), steps_of(x))
    return first + second


def loop_after_loop_by_numpy(x):
    first = np.array(windows_by_numpy(x))
    return first + [(first[i:] * x[: len(x) - i]).sum() for i in range(len(x))]


def kept_in_windows(x):
    """What the gradient needs of each window is as long as the window."""
    return sg.scan(lambda i: sg.tanh(sg.exp(x[: i + 1])).prod(), steps_of(x))


def kept_in_windows_by_numpy(x):
    return [np.tanh(np.exp(x[: i + 1])).prod() for i in range(len(x))]


def with_state(x):
    return sg.scan(lambda i, s: s * 0.5 + (x[:i] * s).sum() + x[i], steps_of(x), 0.25)


def with_state_by_numpy(x):
    s, results = 0.25, []
    for i in range(len(x)):
        s = s * 0.5 + (x[:i] * s).sum() + x[i]
        results.append(s)
    return results


PROGRAMS: dict[str, Any] = {
    f.__name__: (f, globals()[f"{f.__name__}_by_numpy"])
    for f in (
        two_loops, windows, ragged, until_inside, windows_in_windows, loop_after_loop,
        kept_in_windows, with_state,
    )
}  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("length", [7, "n", None])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values(name, length, backend):
    program, by_numpy = PROGRAMS[name]
    x = sg.tensor("x", (length,), "float64")
    f = sg.compile([x], program(x), backend=backend)
    for n in (7,) if length == 7 else (7, 3, 1):
        np.testing.assert_allclose(f(VALUE[:n]), by_numpy(VALUE[:n]), rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients(name, backend):
    """Against finite differences of the NumPy loop; the second ones of the first gradient."""
    program, by_numpy = PROGRAMS[name]
    x = sg.tensor("x", (None,), "float64")
    cost = sg.sin(program(x)).sum()
    first = sg.grad(cost, x)
    second = sg.grad((first * np.arange(1.0, 8)).sum(), x)
    f = sg.compile([x], [first, second], backend=backend)

    def differences(function, step=1e-5):
        moves = step * np.eye(7)
        return [(function(VALUE + m) - function(VALUE - m)) / (2 * step) for m in moves]

    found = f(VALUE)
    expected = differences(lambda value: np.sin(by_numpy(value)).sum())
    np.testing.assert_allclose(found[0], expected, rtol=1e-6, atol=1e-6)
    expected = differences(lambda value: (f(value)[0] * np.arange(1.0, 8)).sum())
    np.testing.assert_allclose(found[1], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_without_steps_checks_no_sizes(backend):
    x, n = sg.tensor("x", (None, None), "float64"), sg.scalar("n", "int64")
    y = sg.tensor("y", (None,), "float64")
    outer = sg.scan(
        lambda h: sg.scan(lambda row, s: s * row, x, h, n_steps=n)[-1], (), y, n_steps=n
    )
    f = sg.compile([x, y, n], outer, backend=backend)
    assert f(np.ones((2, 3)), np.ones(2), 0).shape == (0, 2)
    assert f(np.ones((2, 2)), np.ones(2), 2).shape == (2, 2)
    with pytest.raises(sg.CallError):
        f(np.ones((2, 3)), np.ones(2), 1)


LOOPS: dict[str, dict[str, Any]] = {
    "until": {},
    "checkpoints": {"checkpoint_every": 2},
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("length", [5, "n", None])
@pytest.mark.parametrize("name", LOOPS)
def test_hessians_of_loops_whose_gradients_slice_by_computed_sizes(name, length, backend):
    x = sg.tensor("x", (length,), "float64")

    def step(a, h):
        new = sg.tanh(a * h) + a
        return (new, sg.until(new > 5)) if name == "until" else new

    y = sg.scan(step, x, sg.ones((), dtype="float64"), **LOOPS[name])
    cost = (y**2).sum()
    f = sg.compile([x], [sg.grad(cost, x), sg.hessian(cost, x)], backend=backend)
    value = np.linspace(0.1, 0.9, 5)
    gradient, found = f(value)
    # By the chain rule, all of x moved at once.
    h, slope, total = 1.0, 0.0, 0.0
    for a in value:
        new = np.tanh(a * h)
        slope = (1 - new**2) * (h + a * slope) + 1
        h = new + a
        total += 2 * h * slope
    np.testing.assert_allclose(gradient.sum(), total, rtol=1e-10)
    for i, move in enumerate(1e-6 * np.eye(5)):
        difference = (f(value + move)[0] - f(value - move)[0]) / 2e-6
        np.testing.assert_allclose(found[i], difference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_of_a_ragged_trace_through_a_loop_that_is_rewritten(backend):
    """The inner loop's steps are the rows of the outer trace, whose gradient loop reads them."""
    w, x = sg.tensor("w", (3,), "float64"), sg.tensor("x", (4, None), "float64")

    def step(h):
        def inner(row, other, s, t):
            return [sg.tanh(s), sg.sin(t + t)], sg.until(sg.sum(s) > 1.0)

        trace, _ = sg.scan(inner, [h, x], [w, h])
        return [h, trace]

    _, traces = sg.scan(step, [], [x, None], n_steps=1)
    cost = sg.mean(traces)
    f = sg.compile([w, x], [cost, sg.grad(cost, w)], backend=backend)

    def by_numpy(state):
        rows = []
        for _ in range(4):
            ends = state.sum() > 1.0
            state = np.tanh(state)
            rows.append(state)
            if ends:
                break
        return np.mean(rows)

    for value in (np.array([0.2, 0.1, 0.3]), np.array([0.9, 0.8, 0.3])):
        found, gradient = f(value, np.ones((4, 1)))
        np.testing.assert_allclose(found, by_numpy(value), rtol=1e-12)
        moves = 1e-6 * np.eye(3)
        expected = [(by_numpy(value + m) - by_numpy(value - m)) / 2e-6 for m in moves]
        np.testing.assert_allclose(gradient, expected, rtol=1e-6)


_OF_A_NUMBER: dict[str, Callable[..., sg.Variable]] = {
    "a slice": lambda row, n: row[: sg.maximum(n, 0)],
    "new elements": lambda row, n: sg.ones((sg.maximum(n, 0),), "float64") + row[0],
    "arithmetic": lambda row, n: row[: sg.maximum(n - 1, 0) + 1],
    "a loop": lambda row, n: sg.scan(lambda h: h * 2, [], [row], n_steps=sg.maximum(n, 0)),
}


@pytest.mark.parametrize("what", list(_OF_A_NUMBER))
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_sizes_made_of_numbers_that_may_be_negative(what: str, backend: str) -> None:
    """Such a number comes into a body as what was made of it: it is no length."""
    x, n = sg.tensor("x", (3, 4), "float64"), sg.scalar("n", "int64")
    f = sg.compile([x, n], sg.map(lambda row: _OF_A_NUMBER[what](row, n), x), backend=backend)
    array = np.arange(12.0).reshape(3, 4)
    for number, size in ((-2, 0), (0, 0), (2, 2)):
        assert f(array, number).shape[1] == size + (what == "arithmetic") * (1 - (size > 0))


def test_derivatives_along_a_direction_of_truncated_loops_in_loops() -> None:
    """Their sizes are made of numbers of steps, of which data tell that there are none."""
    n, x = sg.scalar("n", "int64"), sg.tensor("x", (2,), "float64")
    steps = sg.maximum(n, 0)

    def outer(h: sg.Variable) -> list[sg.Variable]:
        return [sg.tanh(h), sg.scan(sg.tanh, [], [h], n_steps=steps, truncate_gradient=3)]

    _, inside = sg.scan(outer, [], [x, None], n_steps=2)
    tangent = sg.jvp(inside, x, np.ones(2))
    for backend in ("native", "numpy"):
        f = sg.compile([n, x], tangent, backend=backend)
        assert [f(k, np.ones(2)).shape for k in (-1, 0, 2)] == [(2, 0, 2), (2, 0, 2), (2, 2, 2)]


def test_numbers_that_types_speak_of_are_no_residuals() -> None:
    """A gradient loop that reads how many parts there are knows no longer how long the last is."""
    x, along = sg.tensor("x", (2, 2), "float64"), np.ones((2, 2))

    def step(row: sg.Variable, past: sg.Variable) -> sg.Variable:
        def within(i: sg.Variable, first: sg.Variable, other: sg.Variable) -> Any:
            return [sg.tanh(first), past], sg.until(i > 1)

        states, _ = sg.scan(within, sg.arange(3), [past, past], checkpoint_every=2)
        return past + sg.sum(states) * row

    states = sg.scan(step, x, x)
    second = [
        sg.jvp(sg.jvp(y, x, along), x, along)
        for y in (states, unroll(states, given={x: VALUE[:4].reshape(2, 2)}))
    ]
    for backend in BACKENDS:
        found, expected = sg.compile([x], second, backend=backend)(VALUE[:4].reshape(2, 2))
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_a_loop_of_constants_that_ends_early(backend: str) -> None:
    """Computed in advance it tells a size, for which the loops that read it were not built."""
    x = sg.tensor("x", (3, 2), "float64")

    def halves() -> sg.Variable:
        start = sg.ones((2,), dtype="float64")
        return sg.scan(lambda h: (h * 0.5, sg.until(h.sum() < 1)), [], [start], n_steps=4)

    scaled = sg.scan(lambda row: halves() * row, x)
    read = sg.scan(lambda rows: rows.sum(axis=0) * scaled[1].sum(axis=0), scaled)
    gradient = sg.grad((scaled**2).sum(), x)
    given = VALUE[:6].reshape(3, 2)
    expected = given[:, None] * np.array([0.5, 0.25, 0.125])[:, None]
    found = sg.compile([x], [scaled, read, gradient], backend=backend)(given)
    np.testing.assert_allclose(found[0], expected)
    np.testing.assert_allclose(found[1], expected.sum(axis=1) * expected[1].sum(axis=0))
    np.testing.assert_allclose(found[2], 2 * given * (0.25 + 0.0625 + 0.015625))

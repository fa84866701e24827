"""What others' loops are known to get wrong, or to leave undone: kinds of problems, all of them.

Reported of PyTensor, whose loops are those of Theano.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.scan.op import Loop, is_scan
from symgraph.testing import check_scan, check_unrolled, numbers

BACKENDS = ("native", "numpy")
both = pytest.mark.parametrize("backend", BACKENDS)
X = sg.tensor("x", (7,), "float64")
ROW = numbers((7,), "float64", 3, -1, 1)


def compiled(
    inputs: Sequence[sg.Variable], outputs: Any, backend: str
) -> tuple[Callable[..., Any], list[Loop]]:
    """A function, and the loops that it runs."""
    f = sg.compile(inputs, outputs, backend=backend)
    return f, [Loop(v) for v in f.graph.nodes if is_scan(v)]


# --- equal traces (PyTensor issue 787) ----------------------------------------------------------


@both
def test_states_that_begin_alike_and_go_on_alike_are_one(backend: str) -> None:
    def step(x: Any, y: Any) -> list[Any]:
        return [sg.exp(x) - 5, sg.exp(y) - 5]

    f, (loop,) = compiled([X], sg.scan(step, None, [X, X], n_steps=10), backend)
    assert len(loop.states) == 1
    first, second = f(ROW)
    past, expected = ROW, []
    for _ in range(10):
        past = np.exp(past) - 5
        expected.append(past)
    np.testing.assert_allclose(first, expected, rtol=1e-12)
    np.testing.assert_array_equal(first, second)
    check_scan(step, None, [ROW, ROW], n_steps=3)


@both
def test_states_that_read_one_another_are_one(backend: str) -> None:
    """Each is made of the other: one can only assume that they are equal, and see."""

    def step(row: Any, again: Any, a: Any, b: Any, c: Any) -> list[Any]:
        return [sg.tanh(b + row), sg.tanh(a + again), c + a - b]

    x = sg.tensor("x", ("T", 7), "float64")
    h = sg.tensor("h", (7,), "float64")
    results = sg.scan(step, [x, x], [h, h, h])
    f, (loop,) = compiled([x, h], results, backend)
    assert len(loop.states) == 2
    assert len(loop.reads) == 1
    rows = numbers((4, 7))
    a, b, c = f(rows, ROW)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(c, np.broadcast_to(ROW, c.shape), rtol=1e-12)
    check_scan(step, [rows, rows], [ROW, ROW, ROW], orders=2)


@both
def test_outputs_and_states_that_are_equal_after_that_are_one(backend: str) -> None:
    def step(a: Any, b: Any) -> list[Any]:
        return [sg.sin(a), sg.sin(b), sg.cos(a), sg.cos(b), sg.cos(a) * 2]

    f, (loop,) = compiled([X], sg.scan(step, None, [X, X, None, None, None], n_steps=3), backend)
    assert len(loop.states) == 1
    assert len(loop.outputs) <= 2
    results = f(ROW)
    np.testing.assert_array_equal(results[2], results[3])
    check_scan(step, None, [ROW, ROW, None, None, None], n_steps=3, orders=2)


@pytest.mark.parametrize("taps", [[-1], [-2], [-1, -3]])
@both
def test_equal_states_of_any_taps_and_loops_that_end_by_a_condition(
    backend: str, taps: list[int]
) -> None:
    def step(*past: Any) -> Any:
        n = len(taps)
        new: list[Any] = [sum(part[1:], part[0]) * 0.5 for part in (past[:n], past[n:])]
        return new, sg.until(new[1].sum() < 0.3)

    h = sg.tensor("h", (-min(taps), 7), "float64")
    info = {"initial": h, "taps": taps}
    results = sg.scan(step, None, [info, info], n_steps=9)
    _, (loop,) = compiled([h], results, backend)
    assert len(loop.states) == 1
    given = {"initial": numbers((-min(taps), 7)), "taps": taps}
    check_scan(step, None, [given, given], n_steps=9, orders=2)


_DIFFERENT: dict[str, tuple[Any, int]] = {
    "another formula": (lambda a, b: [sg.exp(a) - 5, sg.exp(b) - 4], 2),
    "another function": (lambda a, b: [sg.exp(a) - 5, sg.sin(b) - 5], 2),
    "one of the other alone": (lambda a, b: [sg.sin(a), sg.sin(a) + b], 2),
    "a third state that parts them": (lambda a, b, c: [a + c, b + b, c * 0.5], 3),
    "no state of a class alike": (lambda a, b, c: [sg.sin(b), sg.sin(c), sg.cos(a)], 3),
    "swapped, of equals": (lambda a, b, c: [b * 1.5, a * 1.5, c * 1.5], 1),
}


@pytest.mark.parametrize("what", list(_DIFFERENT))
@both
def test_only_what_is_equal_is_one(backend: str, what: str) -> None:
    step, count = _DIFFERENT[what]
    n = step.__code__.co_argcount
    _, (loop,) = compiled([X], sg.scan(step, None, [X] * n, n_steps=4), backend)
    assert len(loop.states) == count
    check_scan(step, None, [ROW] * n, n_steps=4, orders=1)


@both
def test_states_with_effects_and_others_first_values_stay(backend: str) -> None:
    y = sg.tensor("y", (7,), "float64")
    step = lambda a, b: [a * 2, b * 2]  # noqa: E731
    _, (loop,) = compiled([X, y], sg.scan(step, None, [X, y], n_steps=2), backend)
    assert len(loop.states) == 2

    def printing(a: Any, b: Any) -> list[Any]:
        return [sg.debug_print(a, "a") * 2, sg.debug_print(b, "b") * 2]

    _, (loop,) = compiled([X], sg.scan(printing, None, [X, X], n_steps=2), backend)
    assert len(loop.states) == 2


@both
def test_two_loops_with_a_state_that_reads_a_row_alone(backend: str) -> None:
    """Two alike in one function, with a state that takes over a row, and other first values
    (PyTensor issue 2252)."""
    x = sg.tensor("x", ("T",), "float64")
    start = sg.scalar("start", "float64")

    def step(row: Any, past: Any, lag: Any) -> list[Any]:
        mean = 0.5 + 2.0 * lag + 0.1 * past
        return [mean, mean, row]

    def model(x: Any, first: Any) -> list[Any]:
        return sg.scan(step, [x], [None, first, np.float64(0.0)])

    f = sg.compile([x, start], [*model(x, start), *model(x, start * 0.0)], backend=backend)
    rows = numbers((6,))
    for found, first in zip(np.reshape(f(rows, 0.7), (2, 3, 6)), (0.7, 0.0), strict=True):
        past, lag, means = first, 0.0, []
        for row in rows:
            past = 0.5 + 2.0 * lag + 0.1 * past
            lag = row
            means.append(past)
        np.testing.assert_allclose(found, [means, means, rows], rtol=1e-13)


# --- gradients of loops have plain states (PyTensor issue 1687) ---------------------------------


@both
def test_the_gradient_by_the_last_value_is_one_plain_state(backend: str) -> None:
    """No row of a cotangent is read where nobody reads but the last value: none is made."""
    x = sg.scalar("x", "float64")
    last = sg.scan(lambda h: h**2, None, x, n_steps=4)[-1]
    f, (forward, backward) = compiled([x], sg.grad(last, x), backend)
    assert [tuple(state.taps) for state in backward.states] == [(-1,)]
    assert [read.sequence.inputs[0].inputs[0] for read in backward.reads] == [forward.node]
    np.testing.assert_allclose(f(0.95), 16 * 0.95**15, rtol=1e-12)


@pytest.mark.parametrize("taps", [[-1], [-2, -1], [-3, -1]])
@both
def test_whatever_its_taps_each_state_of_the_gradient_reads_its_last_value(
    backend: str, taps: list[int]
) -> None:
    h = sg.tensor("h", (-min(taps), 7), "float64")

    def step(*past: Any) -> Any:
        return sg.tanh(sum(past[1:], past[0]) * 0.7)

    info = {"initial": h, "taps": taps}
    for cost in (
        sg.scan(step, None, info, n_steps=6)[-1].sum(),
        (sg.scan(step, None, info, n_steps=6) ** 2).sum(),
    ):
        _, (_, backward) = compiled([h], sg.grad(cost, h), backend)
        assert {tuple(state.taps) for state in backward.states} == {(-1,)}
        assert len(backward.states) == -min(taps)
    check_scan(step, None, {"initial": numbers((-min(taps), 7)), "taps": taps}, n_steps=6)


# --- loops of constants (PyTensor issue 1688) ---------------------------------------------------


def loops_left(outputs: Any, backend: str, inputs: Sequence[sg.Variable] = ()) -> int:
    return sg.compile(list(inputs), outputs, backend=backend).report.loops


@both
def test_a_short_loop_of_constants_is_a_constant(backend: str) -> None:
    counted = sg.scan(lambda x: x + 1, None, sg.constant(1.0), n_steps=4)
    f = sg.compile([], counted, backend=backend)
    assert f.report.loops == 0
    assert f().tolist() == [2.0, 3.0, 4.0, 5.0]
    assert f().dtype == np.float32


@both
def test_loops_of_all_makes_are(backend: str) -> None:
    rows = numbers((4, 2))
    c = sg.constant(rows)

    def inner(row: Any, h: Any) -> Any:
        return sg.tanh(h * sg.reduce(lambda a, b: a + b, row, np.float64(0.0)) + row)

    cases = [
        sg.scan(inner, c, c[0]),
        sg.scan(inner, sg.scan(inner, c, c[0]), c[1]),  # one loop feeds another
        sg.scan(lambda h: (h * 2, sg.until(h.sum() > 5)), None, sg.constant([1.0, 1.0]), n_steps=9),
        sg.scan(lambda a, b: sg.sin(a + b), None, {"initial": c[:3], "taps": [-3, -1]}, n_steps=5),
        sg.map(lambda i: i * i, sg.arange(5)),
        sg.scan(inner, c[:0], c[0]),
    ]
    for result in cases:
        assert loops_left(result, backend) == 0
        expected = sg.testing.evaluate(result, {})
        found = sg.compile([], result, backend=backend)()
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-13)


@both
def test_of_gradients_too_and_where_loops_meet_what_is_no_constant(backend: str) -> None:
    x = sg.scalar("x", "float64")
    powers = sg.scan(lambda h: h * 0.5, None, sg.constant(np.float64(1.0)), n_steps=4)
    gradient = sg.grad((powers * x).sum() ** 2, x)
    assert loops_left([gradient], backend, [x]) == 0
    np.testing.assert_allclose(sg.compile([x], gradient, backend=backend)(3.0), 2 * 3 * 0.9375**2)
    c = sg.constant(numbers((3, 2)))
    slope = sg.grad(sg.scan(lambda row, h: sg.sin(h * row), c, c[0])[-1].sum(), c)
    assert loops_left(slope, backend) == 0
    assert loops_left(sg.scan(lambda row, h: row * h + x, c[:, 0], x), backend, [x]) == 1


@both
def test_what_a_call_has_to_do_stays(backend: str) -> None:
    """Long loops, values that are not finite, effects, parameters, what fails, what has a name."""
    one = sg.constant(np.float64(1.0))
    w = sg.shared(np.float64(1.0), "w")
    kept = [
        sg.scan(lambda h: h * 0.5, None, one, n_steps=100_000)[-1],
        sg.scan(lambda h: h / 0.0, None, one, n_steps=3),
        sg.scan(lambda h: sg.debug_print(h * 2, "h"), None, one, n_steps=3),
        sg.scan(lambda h: h * w, None, one, n_steps=3),
        sg.map(lambda i: sg.constant(numbers((2,)))[i], sg.arange(5)),
        sg.scan(lambda h: h * 0.5, None, one, n_steps=3, name="halves"),
    ]
    assert [loops_left(result, backend) for result in kept] == [1] * len(kept)


# --- the third derivative (PyTensor issue 1772) -------------------------------------------------


@both
def test_third_derivatives_of_a_power(backend: str) -> None:
    x = sg.scalar("x", "float64")
    for steps in (1, 2, 4, 5):
        derivative, expected = sg.scan(lambda h: h**2, None, x, n_steps=steps)[-1], 1.0
        n = 2**steps
        for order in range(4):
            found = sg.compile([x], derivative, backend=backend)(0.95)
            np.testing.assert_allclose(found, expected * 0.95 ** (n - order), rtol=1e-10)
            expected *= n - order
            if n - order == 0:
                break
            derivative = sg.grad(derivative, x, disconnected="zero")


def test_third_derivatives_of_loops_of_all_makes() -> None:
    """By sequences, first values with taps and what is fixed; of all rows and of the last."""

    def step(before: Any, row: Any, oldest: Any, newest: Any, h: Any, w: Any) -> list[Any]:
        return [sg.sin(oldest * row + newest), h * w + before * oldest]

    def model(x: Any, first: Any, h: Any, w: Any) -> list[Any]:
        states = [{"initial": first, "taps": [-3, -1]}, h]
        a, b = sg.scan(step, {"input": x, "taps": [-1, 0]}, states, w)
        return [a, b[-1]]

    arrays = [numbers(shape, seed=i) for i, shape in enumerate([(4,), (3,), (), ()])]
    check_unrolled(model, *arrays)


# --- `until` and taps (PyTensor issue 2217) -----------------------------------------------------


@pytest.mark.parametrize("limit", [-9.0, 0.6, 99.0])
@pytest.mark.parametrize("taps", [[-1], [-2], [-1, -3], [-5, -1]])
def test_a_loop_that_ends_early_counts_its_steps_and_no_first_rows(
    taps: list[int], limit: float
) -> None:
    """Gradients by sequences stand at the rows that were read, whatever the first output is."""
    depth = -min(taps)

    def step(row: Any, *past: Any) -> Any:
        new = sg.tanh(sum(past[1:], past[0]) * 0.4 + row)
        return new, sg.until(new > limit)

    rows, first = numbers((6,), seed=4), numbers((depth,), seed=5)
    info = {"initial": first, "taps": taps}
    (found,) = check_scan(step, rows, info, orders=2)
    past = list(first)
    for row in rows:
        past.append(np.tanh(sum(past[tap] for tap in taps) * 0.4 + row))
        if past[-1] > limit:
            break
    np.testing.assert_allclose(found, past[depth:], rtol=1e-13)

    x = sg.tensor("x", ("T",), "float64")
    trace = sg.scan(step, x, {"initial": sg.constant(first), "taps": taps})
    for backend in BACKENDS:
        f = sg.compile([x], [sg.grad(trace[-1], x), trace.shape[0]], backend=backend)
        gradient, steps = f(rows)
        assert steps == len(found)
        assert gradient[len(found) - 1] != 0.0
        assert not gradient[len(found) :].any()


def test_plain_outputs_and_states_of_several_depths_end_together() -> None:
    def step(row: Any, far: Any, near: Any, h: Any) -> Any:
        new = sg.sin(far + near * row)
        return [row * h, new, h * 0.5 + new], sg.until(new.sum() > 0.9)

    infos = [None, {"initial": numbers((4, 2)), "taps": [-4, -1]}, numbers((2,), seed=2)]
    plain, deep, shallow = check_scan(step, numbers((6, 2), seed=3), infos, orders=3)
    assert len(plain) == len(deep) == len(shallow)

"""States of loops that are computed where a result lies: against loops of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.lowering.image import lower
from symgraph.testing import guarded

LENGTHS = (0, 1, 2, 3, 70)
WIDTHS = (1, 3, 100)


def running(x: np.ndarray, h: np.ndarray, *, backwards: bool = False) -> np.ndarray:
    rows = []
    for row in x[::-1] if backwards else x:
        h = 0.5 * h + row
        rows.append(h)
    return np.array(rows).reshape(x.shape)


def states(x: sg.Variable, h: Any, **options: Any) -> sg.Variable:
    return sg.scan(lambda row, h: h * 0.5 + row, [x], [h], **options)


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n", LENGTHS)
def test_results_of_one_state(n: int, width: int) -> None:
    x, h = sg.tensor("x", ("T", "W"), "float64"), sg.tensor("h", ("W",), "float64")
    forwards, backwards = states(x, h), states(x, h, go_backwards=True)
    ends = {
        "all": forwards,
        "from the end": backwards,
        "in order again": backwards[::-1],
        "in another shape": forwards.reshape((x.shape[0], x.shape[1], 1)),
    }
    a, b = drawn(n, width), drawn(width)
    right = running(a, b), running(a, b, backwards=True)
    expected = [right[0], right[1], right[1][::-1], right[0][..., None]]
    for end, value in zip(ends.values(), expected, strict=True):
        np.testing.assert_allclose(sg.compile([x, h], end)(a, b), value, rtol=1e-12)
    for guard in (False, True):
        with guarded(on=guard):
            together = sg.compile([x, h], list(ends.values()))(a, b)
        for found, value in zip(together, expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-12)


@pytest.mark.parametrize("n", LENGTHS)
def test_results_that_others_read_too(n: int) -> None:
    x, h = sg.tensor("x", ("T", 5), "float64"), sg.tensor("h", (5,), "float64")
    y = states(x, h)
    ends = [y, y, y * 2, sg.concatenate([y, y]), sg.last_value(y, h), sg.grad((y**2).sum(), x)]
    a, b = drawn(n, 5), drawn(5)
    right = running(a, b)
    last = right[-1] if n else b
    first, again, double, joined, end, gradient = sg.compile([x, h], ends)(a, b)
    assert not np.shares_memory(first, again)
    for found, value in (
        (first, right),
        (again, right),
        (double, right * 2),
        (joined, np.concatenate([right, right])),
        (end, last),
        (gradient, running(2 * right, np.zeros(5), backwards=True)[::-1]),
    ):
        np.testing.assert_allclose(found, value, rtol=1e-12)


@pytest.mark.parametrize("n", LENGTHS)
def test_results_from_the_end_that_others_read_too(n: int) -> None:
    x, h = sg.tensor("x", ("T", 5), "float64"), sg.tensor("h", (5,), "float64")
    y = states(x, h, go_backwards=True)[::-1]
    a, b = drawn(n, 5), drawn(5)
    right = running(a, b, backwards=True)[::-1]
    readers = (y, y * 2, y.T, sg.concatenate([y, x], 1), y[1:])
    expected = (right, right * 2, right.T, np.concatenate([right, a], 1), right[1:])
    for reader, value in zip(readers, expected, strict=True):
        first, found = sg.compile([x, h], [y, reader])(a, b)
        np.testing.assert_allclose(first, right, rtol=1e-12)
        np.testing.assert_allclose(found, value, rtol=1e-12)


@pytest.mark.parametrize("width", WIDTHS)
def test_loops_within_loops(width: int) -> None:
    x = sg.tensor("x", ("K", "T", width), "float64")

    def outer(rows: sg.Variable, before: sg.Variable) -> list[sg.Variable]:
        y = states(rows, before)
        return [y, sg.last_value(y, before)]

    rows, last = sg.scan(outer, [x], [None, sg.zeros((width,), dtype="float64")])
    f = sg.compile([x], [rows, last])
    for shape in ((3, 4), (1, 1), (2, 0), (0, 3)):
        array = drawn(*shape, width)
        found, ends = f(array)
        before = np.zeros(width)
        for k in range(shape[0]):
            right = running(array[k], before)
            before = right[-1] if shape[1] else before
            np.testing.assert_allclose(found[k], right, rtol=1e-12)
            np.testing.assert_allclose(ends[k], before, rtol=1e-12)


def test_several_states_of_which_one_is_a_result() -> None:
    x = sg.tensor("x", ("T", 40), "float64")

    def step(row: sg.Variable, a: sg.Variable, b: sg.Variable) -> list[sg.Variable]:
        return [a + b, b * 0.5 + row]

    zeros = sg.zeros((40,), dtype="float64")
    sums, states_ = sg.scan(step, [x], [zeros, zeros])
    array = drawn(9, 40)
    right = running(array, np.zeros(40))
    before = np.concatenate([np.zeros((1, 40)), right[:-1]])
    np.testing.assert_allclose(sg.compile([x], sums)(array), np.cumsum(before, 0), rtol=1e-12)
    found = sg.compile([x], [sums, states_[::-1]])(array)
    np.testing.assert_allclose(found[0], np.cumsum(before, 0), rtol=1e-12)
    np.testing.assert_allclose(found[1], right[::-1], rtol=1e-12)


def test_initial_rows_that_do_not_lie_in_order() -> None:
    x, h = sg.tensor("x", ("T", 3, 4), "float64"), sg.tensor("h", (4, 3), "float64")
    a, b = drawn(5, 3, 4), drawn(4, 3)
    found = sg.compile([x, h], states(x, h.T))(a, b)
    np.testing.assert_allclose(found, running(a, b.T), rtol=1e-12)


def test_the_result_is_no_copy_of_a_trace() -> None:
    x, h = sg.tensor("x", ("T", 64)), sg.tensor("h", (64,))
    for y in (states(x, h), states(x, h, go_backwards=True)[::-1]):
        assert lower(sg.compile([x, h], y).graph).image.arena is None


def test_a_trace_that_is_several_results() -> None:
    x = sg.tensor("x", ("T", 3), "float64")
    rows, trace = sg.scan(lambda a, h: [h, h + a], [x], [sg.ones((3,), dtype="float64"), None])
    array = drawn(6, 3)
    with sg.testing.guarded():
        found = sg.compile([x], [trace, trace, rows, rows, trace[::-1]])(array)
    for result, right in zip(found, [array + 1] * 2 + [np.ones((6, 3))] * 2, strict=False):
        np.testing.assert_array_equal(result, right)
    np.testing.assert_array_equal(found[-1], (array + 1)[::-1])

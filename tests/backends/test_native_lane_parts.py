"""Elementwise loops that threads share: bit for bit those of one thread, and of NumPy's backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.testing import guarded

ROWS = ((128,), (130,), (1, 400), (3, 70), (2, 2, 64), ("B", 64), (128, "B"))


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(0.1, 0.9, shape)


def programs(row: tuple[Any, ...]) -> tuple[list[sg.Variable], dict[str, Any]]:
    a, b = (sg.tensor(name, ("T", *row), "float64") for name in "ab")
    scale = sg.tensor("s", (row[-1],), "float64")
    first = sg.zeros(a.shape[1:], dtype="float64")

    def step(a_t: Any, b_t: Any, h: Any, k: Any, s: Any) -> list[Any]:
        return [sg.tanh(a_t * h + b_t * s), k + h, h * b_t]

    states = sg.scan(step, [a, b], [first, first, None], [scale])
    linear = sg.associative_scan(
        lambda x, y: (y[0] * x[0], y[0] * x[1] + y[1]), [a, b], reverse=True
    )[1]
    pairs = sg.scan(
        lambda x, old, new: old * 0.5 + new * x,
        [a],
        [{"initial": sg.stack([first, first + 1]), "taps": [-2, -1]}],
    )
    cost = (states[0] ** 2).sum() + (linear * b).sum() + sg.last_value(states[1], first).sum()
    ends = {
        "states": states,
        "last": [sg.last_value(states[0], first), sg.last_value(states[1], first)],
        "recurrence": [linear],
        "two taps": [pairs],
        "gradients": sg.grad(cost, [a, b, scale]),
    }
    return [a, b, scale], ends


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_parts_are_those_of_the_whole(row: tuple[Any, ...]) -> None:
    inputs, ends = programs(row)
    outputs = [v for each in ends.values() for v in each]
    several, reference = (
        sg.compile(inputs, outputs, threads=3),
        sg.compile(inputs, outputs, backend="numpy"),
    )
    assert several.report.threads == 3
    with guarded():
        watched = sg.compile(inputs, outputs, threads=2)
    for n, b in ((0, 1), (1, 1), (2, 3), (9, 2), (5, 0)):
        sizes = [b if size == "B" else size for size in row]
        arrays = [drawn(n, *sizes), drawn(n, *sizes) - 0.3, drawn(sizes[-1])]
        expected = reference(*arrays)
        for f in (several, watched):
            for found, right in zip(f(*arrays), expected, strict=True):
                assert found.shape == right.shape
                np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-12)


def test_threads_that_run_at_once_agree_with_one() -> None:
    x = sg.tensor("x", ("T", 256))
    y = sg.associative_scan(sg.logaddexp, x)
    array = drawn(3000, 256).astype("float32")
    one, two = (sg.compile([x], [y, sg.grad(y.sum(), x)], threads=k) for k in (1, 2))
    for _ in range(3):
        for left, right in zip(one(array), two(array), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-5)
    np.testing.assert_allclose(two(array)[0], np.logaddexp.accumulate(array), rtol=1e-4)


def test_numbers_beside_rows_stay_with_one_thread() -> None:
    x = sg.tensor("x", ("T", 256), "float64")

    def step(row: Any, h: Any, count: Any) -> list[Any]:
        return [h + row * count, count + 1.0]

    rows, counts = sg.scan(step, [x], [sg.zeros((256,), dtype="float64"), np.float64(0.0)])
    f = sg.compile([x], [rows, counts], threads=2)
    array = drawn(20, 256)
    found, numbers = f(array)
    np.testing.assert_array_equal(numbers, np.arange(1.0, 21.0))
    np.testing.assert_allclose(found, np.cumsum(array * np.arange(20.0)[:, None], 0), rtol=1e-12)

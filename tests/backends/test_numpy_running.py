"""Loops on NumPy whose steps are one ufunc: what they give, against loops in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.numpy_running import Running

LENGTHS = (0, 1, 2, 3, 64, 65, 200)
FUNCTIONS = {
    "maximum": (sg.maximum, np.maximum),
    "minimum": (sg.minimum, np.minimum),
    "add": (sg.add, np.add),
    "multiply": (sg.multiply, np.multiply),
    "subtract": (sg.subtract, np.subtract),
    "or": (lambda a, b: a | b, np.bitwise_or),
    "xor": (lambda a, b: b ^ a, np.bitwise_xor),
}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each span of steps that were tried at once whether they were done."""
    done: list[bool] = []
    write = Running.write

    def write_and_note(*arguments: Any) -> bool:
        done.append(write(*arguments))
        return done[-1]

    monkeypatch.setattr(Running, "write", write_and_note)
    return done


def drawn(n: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    generator = np.random.default_rng(n)
    if np.dtype(dtype).kind == "f":
        return generator.normal(size=(n, *shape)).astype(dtype)
    return generator.integers(0, 2 if dtype == "bool" else 100, (n, *shape)).astype(dtype)


def loop(function: Callable[..., Any], first: np.ndarray, rows: np.ndarray) -> np.ndarray:
    results = np.empty_like(rows)
    for t, row in enumerate(rows):
        first = results[t] = np.asarray(function(first, row)).astype(rows.dtype)
    return results


@pytest.mark.parametrize("shape", [(), (0,), (1,), (4,), (3, 2)])
@pytest.mark.parametrize(
    ("dtype", "names"),
    [
        ("float32", ("maximum", "minimum", "add", "multiply", "subtract")),
        ("int8", ("maximum", "add", "multiply", "subtract", "or", "xor")),
        ("bool", ("maximum", "add", "or", "xor")),
    ],
)
def test_running_results_to_the_bit(
    shape: tuple[int, ...], dtype: str, names: tuple[str, ...], runs: list[bool]
) -> None:
    x, h = sg.tensor("x", ("T", *shape), dtype), sg.tensor("h", shape, dtype)
    for name in names:
        function, reference = FUNCTIONS[name]
        results = sg.scan(lambda a, s, f=function: f(s, a), x, h)
        last = sg.compile([x, h], results[-1], backend="numpy")
        f = sg.compile([x, h], [results, results[::-1]], backend="numpy")
        for n in LENGTHS:
            runs.clear()
            rows, first = drawn(n, shape, dtype), drawn(1, shape, dtype)[0]
            expected = loop(reference, first, rows)
            for found, right in zip(f(rows, first), (expected, expected[::-1]), strict=True):
                np.testing.assert_array_equal(found, right, strict=True)
            if n:
                np.testing.assert_array_equal(last(rows, first), expected[-1])
                assert runs
            assert all(runs)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(2,), (70,)])
def test_running_extremes_of_rows(shape: tuple[int, ...], reverse: bool, runs: list[bool]) -> None:
    x = sg.tensor("x", ("T", *shape))
    tops = sg.associative_scan(sg.maximum, x, reverse=reverse)
    f = sg.compile([x], [tops, sg.grad((tops**2).sum(), x)], backend="numpy")
    way = slice(None, None, -1 if reverse else 1)
    for n in LENGTHS:
        rows = drawn(n, shape, "float32")
        rows[n // 2 :: 7, 1] = np.nan
        tops, slope = f(rows)
        expected = np.maximum.accumulate(rows[way])[way]
        np.testing.assert_array_equal(tops, expected)
        for k in range(shape[0]):
            if k != 1:  # without a NaN
                own = [2 * expected[expected[:, k] == a, k].sum() for a in rows[:, k]]
                np.testing.assert_allclose(slope[:, k], own, rtol=1e-5, atol=1e-5)
    assert runs
    assert all(runs)


def test_rows_that_begin_anew_are_taken_step_by_step(runs: list[bool]) -> None:
    x, begins = sg.tensor("x", ("T", 3)), sg.tensor("begins", ("T",), "bool")
    tops = sg.scan(lambda a, b, s: sg.where(b, a, sg.maximum(s, a)), [x, begins], sg.zeros((3,)))
    f = sg.compile([x, begins], tops, backend="numpy")
    rows = drawn(40, (3,), "float32")
    for places in ([], [0], [0, 17], [5, 6, 39]):
        runs.clear()
        flags = np.isin(np.arange(40), places)
        top, expected = np.zeros(3, "float32"), []
        for row, flag in zip(rows, flags, strict=True):
            top = row if flag else np.maximum(top, row)
            expected.append(top)
        np.testing.assert_array_equal(f(rows, flags), expected)
        assert runs == [places in ([], [0])]


def test_what_is_read_lies_where_steps_find_it(runs: list[bool]) -> None:
    x = sg.tensor("x", ("T",), "float64")
    ahead = sg.scan(lambda b, s: s * b, [{"input": x, "taps": [2]}], sg.constant(1.0, "float64"))
    within = sg.map(lambda a: sg.scan(sg.add, a * x, a)[-2:], x[:5])
    rows = drawn(90, (), "float64")
    f = sg.compile([x], [ahead, within], backend="numpy")
    found, sums = f(rows)
    np.testing.assert_array_equal(found, np.multiply.accumulate(rows[2:]))
    right = [np.add.accumulate(np.concatenate([[a], a * rows]))[-2:] for a in rows[:5]]
    np.testing.assert_array_equal(sums, right)
    assert all(runs)
    assert len(runs) > 5


def test_steps_that_do_more_are_steps(runs: list[bool]) -> None:
    x, w = sg.tensor("x", ("T",), "float64"), sg.scalar("w", dtype="float64")
    rows_of_two, flags = x[:, None] * [1.0, 2.0], sg.stack([x > 0, x > 1], axis=1)
    zero = sg.constant(0.0, "float64")
    others = [
        sg.scan(lambda a, s: a - s, x, zero),  # the state on the right
        sg.scan(lambda a, s: s + s, x, zero),
        sg.scan(lambda a, s: sg.maximum(s, w), x, zero),
        sg.scan(lambda a, s: sg.maximum(s, a) * 2, x, zero),
        sg.scan(lambda a, s: (sg.maximum(s, a), sg.until(s > 1)), x, zero),
        sg.scan(lambda a, s: sg.where(w > 0, a, sg.maximum(s, a)), x, zero),
        sg.scan(
            lambda a, b, s: sg.where(b, a, sg.maximum(s, a)),
            [rows_of_two, flags],
            sg.zeros((2,), dtype="float64"),
        ),
    ]
    rows = drawn(9, (), "float64")
    sg.compile([x, w], others, backend="numpy")(rows, 0.5)
    assert not runs


def test_who_watches_steps_sees_them_all(runs: list[bool]) -> None:
    x = sg.tensor("x", ("T", 2))
    tops = sg.scan(sg.maximum, x, sg.zeros((2,)), name="tops")
    rows = drawn(30, (2,), "float32")
    f = sg.compile([x], tops, backend="numpy", profile=True)
    f(rows)
    assert f.profile is not None
    assert any(row.runs == 30 for row in f.profile.rows)
    step = sg.replay(f, [rows], loop="tops", step=7)
    np.testing.assert_array_equal(step.values["maximum"], np.maximum(rows[:8].max(0), 0))
    checked = sg.compile(
        [x], sg.scan(sg.add, x, sg.zeros((2,))), backend="numpy", check_finite=True
    )
    rows[11] = 3e38
    rows[12] = 3e38
    with pytest.raises(sg.FiniteError) as caught:
        checked(rows)
    assert caught.value.step == 12
    assert not runs

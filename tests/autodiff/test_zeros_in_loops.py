"""Masks within loops: derivatives of norms of rows, some of which are zero, through every loop.

Each case is a function of symgraph and the same by a loop over NumPy rows, which is held against
differences where rows are not zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import symgraph as sg

ROWS = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [1.0, 2.0], [0.5, 1.2]])
LIVE = ROWS.any(axis=1)
TANGENT = np.arange(10.0).reshape(5, 2) / 7.0 - 0.4


class Case(NamedTuple):
    function: Callable[[Any], Any]
    reference: Callable[[np.ndarray], float]


def norm(row: Any) -> sg.Variable:
    return sg.sqrt((row**2).sum())


def safe(row: Any) -> sg.Variable:
    return sg.where(norm(row) > 0, norm(row), 0.0)


def one() -> sg.Variable:
    return sg.ones((), dtype="float64")


def lengths(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x, axis=-1)


def states(x: np.ndarray, step: Callable[[np.ndarray, Any], Any], initial: Any = 1.0) -> Any:
    for row in x:
        initial = step(row, initial)
    return initial


def pointed(row: Any, s: sg.Variable) -> sg.Variable:
    length = norm(s + row)
    return sg.where(length > 0, (s + row) / length, 0.0)


def pointed_rows(row: np.ndarray, s: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(s + row)
    return (s + row) / length if length else 0 * s


def nested(x: Any) -> Any:
    def inner(row: Any) -> Any:
        return sg.reduce(lambda e, s: s * (1 + sg.where(e > 0, sg.sqrt(e), 0.0)), [row], one())

    return sg.map(inner, x).sum()


def grow(row: Any, s: Any) -> sg.Variable:
    return s * (1 + safe(row))


def grow_rows(row: np.ndarray, s: float) -> float:
    return s * (1 + np.linalg.norm(row))


CASES = {
    "map": Case(lambda x: (sg.map(safe, x) ** 2).sum(), lambda x: (x**2).sum()),
    "sum": Case(
        lambda x: sg.reduce(lambda row, s: s * 0.5 + safe(row), [x], one()),
        lambda x: states(x, lambda row, s: s * 0.5 + np.linalg.norm(row)),
    ),
    "product": Case(lambda x: sg.reduce(grow, [x], one()), lambda x: states(x, grow_rows)),
    "masked state": Case(
        lambda x: sg.reduce(
            lambda row, s: sg.where(norm(row) > 0, s * sg.log(norm(row) + 1), s), [x], one()
        ),
        lambda x: states(x, lambda row, s: s * np.log(np.linalg.norm(row) + 1) if row.any() else s),
    ),
    "state of length one": Case(
        lambda x: sg.reduce(pointed, [x], sg.zeros((2,), dtype="float64"))[0],
        lambda x: states(x, pointed_rows, np.zeros(2))[0],
    ),
    "nested": Case(nested, lambda x: np.prod(1 + np.sqrt(x), axis=1).sum()),
    "taps": Case(
        lambda x: sg.scan(
            lambda a, b: safe(b) * norm(a) ** 2, [{"input": x, "taps": [0, 1]}]
        ).sum(),
        lambda x: (lengths(x[1:]) * (x[:-1] ** 2).sum(axis=1)).sum(),
    ),
    "until": Case(
        lambda x: sg.scan(lambda row, s: (grow(row, s), sg.until(grow(row, s) > 10)), [x], one())[
            -1
        ],
        lambda x: states(x[:4], grow_rows),
    ),
    "checkpoint": Case(
        lambda x: sg.scan(grow, [x], one(), checkpoint_every=2)[-1],
        lambda x: states(x, grow_rows),
    ),
    "backwards": Case(
        lambda x: sg.scan(grow, [x], one(), go_backwards=True)[-1],
        lambda x: states(x[::-1], grow_rows),
    ),
    "rows not read": Case(
        lambda x: sg.map(norm, x)[np.array([1, 3, 4, 3])].sum(),
        lambda x: lengths(x[[1, 3, 4, 3]]).sum(),
    ),
}


def differences(f: Callable[[np.ndarray], float]) -> tuple[np.ndarray, np.ndarray]:
    """The gradient, and the Hessian times the tangent of the live rows, by differences."""
    h = 1e-3
    along = h * TANGENT * LIVE[:, None]
    gradient, product = np.zeros_like(ROWS), np.zeros_like(ROWS)
    for index in zip(*np.nonzero(ROWS), strict=True):
        step = np.zeros_like(ROWS)
        step[index] = h
        gradient[index] = (f(ROWS + step) - f(ROWS - step)) / (2 * h)
        mixed = [f(ROWS + a * step + b * along) * a * b for a in (-1, 1) for b in (-1, 1)]
        product[index] = sum(mixed) / (4 * h * h)
    return gradient, product


@pytest.mark.parametrize("name", CASES)
def test_masks_hold_in_loops(name: str) -> None:
    function, reference = CASES[name]
    gradient, product = differences(reference)
    for backend, shape in (("numpy", (5, 2)), ("native", (None, 2))):
        x = sg.tensor("x", shape, "float64")
        cost = function(x)
        by_x, tangent = sg.grad(cost, x), TANGENT * LIVE[:, None]
        outputs = [
            cost,
            by_x,
            sg.jvp(cost, x, tangent),
            sg.hessian_vector_product(cost, x, tangent),
            sg.jvp(by_x, x, tangent),
        ]
        found = sg.compile([x], outputs, backend=backend)(ROWS)
        np.testing.assert_allclose(found[0], reference(ROWS), rtol=1e-12)
        np.testing.assert_allclose(found[2], (gradient * tangent).sum(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[1][LIVE], gradient[LIVE], rtol=1e-4, atol=1e-4)
        assert found[1][0].tolist() == [0, 0]
        for second in found[3:]:
            np.testing.assert_allclose(second[LIVE], product[LIVE], rtol=1e-3, atol=1e-3)
            assert second[0].tolist() == [0, 0]
            assert np.isfinite(second).all()

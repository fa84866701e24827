"""Gradients held against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autodiff.reverse import grad
from ..core.annotations import ArrayLike
from ..core.types import is_float
from ..core.variable import Variable
from ..ops.elementwise import add, multiply
from ..ops.inputs import constant, tensor
from ..ops.promotion import cast_to
from ..ops.reduce import sum as total_of
from .values import REFERENCE, prepared

__all__ = ["check_gradient"]


def check_gradient(
    function: Callable[..., Any],
    *values: ArrayLike,
    order: int = 2,
    tolerance: float = 1e-6,
    step: float = 1e-4,
    backend: str = REFERENCE,
) -> None:
    """Hold the gradients of ``function`` by its float arguments against finite differences.

    All floats are taken as float64; other arrays are passed on as they are. The cost is the sum of
    all results with fixed random weights, so that no error cancels; for each higher order, the sum
    of the last gradients with random weights. Raises AssertionError where a gradient is off by more
    than ``tolerance``, relative to its size where that is above 1.

    >>> sg.testing.check_gradient(sg.tanh, np.array([0.5, -1.0]))
    """
    arrays = [np.asarray(value) for value in values]
    arrays = [a.astype(np.float64) if is_float(a.dtype) else a for a in arrays]
    inputs = [tensor(f"argument_{i}", a.shape, a.dtype) for i, a in enumerate(arrays)]
    wrt = [v for v in inputs if is_float(v.dtype)]
    positions = {v: i for i, v in enumerate(inputs)}
    generator = np.random.default_rng(0)
    made = function(*inputs)
    targets = list(made) if isinstance(made, (list, tuple)) else [made]
    for level in range(1, order + 1):
        cost = _weighted_sum(targets, generator)
        targets = grad(cost, wrt, disconnected="zero")
        gradients = prepared(inputs, targets, backend)(*arrays)
        cost_of = prepared(inputs, [cost], backend)
        for v, gradient in zip(wrt, gradients, strict=True):
            expected = _differences(cost_of, arrays, positions[v], step)
            _compare(gradient, expected, tolerance, f"{v.name} (order {level})")


def _weighted_sum(terms: Sequence[Variable], generator: np.random.Generator) -> Variable:
    """The sum of all elements of all float terms, each with a random weight from 0.5 to 1.5."""
    total: Variable | None = None
    for term in terms:
        if not is_float(term.dtype):
            continue
        # Sizes that nobody knows leave one weight for all elements of a term.
        known = all(isinstance(size, int) for size in term.type.shape)
        weights = generator.uniform(0.5, 1.5, term.type.shape if known else ())
        part = total_of(multiply(cast_to(term, np.dtype("float64")), constant(weights)))
        total = part if total is None else add(total, part)
    assert total is not None, "no result is a float"
    return total


def _differences(
    cost: Callable[..., Sequence[np.ndarray]],
    arrays: Sequence[np.ndarray],
    position: int,
    step: float,
) -> np.ndarray:
    """The derivative of the cost by each element of one argument, by five-point differences."""
    varied = [a.copy() for a in arrays]
    target = varied[position] = np.array(arrays[position], order="C")
    result = np.zeros(target.shape)
    for index in np.ndindex(target.shape):
        centre = target[index]
        at: dict[int, float] = {}
        for k in (-2, -1, 1, 2):
            target[index] = centre + k * step
            at[k] = float(cost(*varied)[0])
        target[index] = centre
        result[index] = (8.0 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12.0 * step)
    return result


def _compare(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    scale = np.maximum(1.0, np.abs(expected))
    wrong = ~(np.abs(found - expected) <= tolerance * scale)
    if wrong.any():
        index = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(wrong)))
        raise AssertionError(
            f"the gradient of {what} is wrong in {int(wrong.sum())} of {wrong.size} elements: "
            f"at {index} {np.atleast_1d(found)[index]!r}, "
            f"by finite differences {np.atleast_1d(expected)[index]!r}"
        )

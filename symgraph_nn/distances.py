"""Losses of numbers: each a scalar, the mean over the elements or over the unmasked ones.

Masks are those of `symgraph_nn.masking`.
"""

from __future__ import annotations

from typing import Any

import symgraph as sg
from symgraph.errors import ShapeError, SymgraphValueError, describe
from symgraph.typing import ArrayLike

from .checks import as_partner, as_variable, check_float, check_number, check_sizes
from .masking import masked_mean

__all__ = ["as_pair", "cosine_distance", "huber", "squared_error"]


def squared_error(
    prediction: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None
) -> sg.Variable:
    """The mean of ``(prediction - target)²`` over all elements, a scalar.

    prediction, target
        Of one shape; other axes or sizes are a `ShapeError`, also where they would broadcast.
    mask
        [...], the leading axes of these: zeros are left out, other floats weigh.

    >>> prediction, target = np.array([1.0, 2.0]), np.array([1.0, 4.0])
    >>> print(nn.squared_error(prediction, target).eval())
    2.0
    >>> print(nn.squared_error(prediction, target, mask=np.array([False, True])).eval())
    4.0
    """
    prediction, target = as_pair("squared_error", prediction, target)
    return masked_mean(sg.square(prediction - target), mask, "squared_error")


def huber(
    prediction: ArrayLike,
    target: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    delta: float = 1.0,
) -> sg.Variable:
    """The mean of ``e² / 2``, and of ``δ (|e| - δ / 2)`` for errors e beyond δ: a scalar.

    Large errors count in proportion alone (Huber 1964). ``prediction`` and ``target`` are of one
    shape, else a `ShapeError`; ``mask`` has its leading axes. Raises `SymgraphValueError` unless
    ``delta`` is above 0.

    >>> print(nn.huber(np.array([0.0, 0.0]), np.array([1.0, 4.0])).eval())
    2.0
    """
    check_number("huber", delta=delta)
    if delta == 0:
        raise SymgraphValueError.here("huber: delta is a number above 0, not 0")
    prediction, target = as_pair("huber", prediction, target)
    size = sg.abs(prediction - target)
    near = sg.minimum(size, delta)
    return masked_mean(near * (size - 0.5 * near), mask, "huber")


def cosine_distance(
    prediction: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None
) -> sg.Variable:
    """The mean of ``1 - cos`` of the angles between vectors on the last axis, a scalar.

    ``prediction`` and ``target`` are [..., features], else a `ShapeError`; ``mask`` has the leading
    axes of [...]. A vector of zeros has the cosine 0 with any other, and no gradient.

    >>> print(nn.cosine_distance(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])).eval())
    1.0
    """
    a, b = as_pair("cosine_distance", prediction, target)
    check_float(a, "cosine_distance")
    if not a.ndim:
        raise ShapeError.here(f"cosine_distance: vectors are expected; found {describe(a)}")
    return masked_mean(1 - sg.sum(_unit(a) * _unit(b), axis=-1), mask, "cosine_distance")


def _unit(x: sg.Variable) -> sg.Variable:
    """The vectors with length 1; zeros where they are none."""
    largest = sg.stop_gradient(sg.max(sg.abs(x), axis=-1, keepdims=True))
    shares = x / sg.where(largest > 0, largest, 1)  # no square overflows or vanishes
    square = sg.sum(sg.square(shares), axis=-1, keepdims=True)
    return sg.where(square > 0, shares / sg.sqrt(sg.where(square > 0, square, 1)), 0)


def as_pair(owner: str, prediction: Any, target: Any) -> tuple[sg.Variable, sg.Variable]:
    """Both as variables; different numbers of axes or known sizes are an error."""
    a = as_variable(prediction, owner)
    b = as_partner(target, a, owner)
    if a.ndim != b.ndim:
        raise ShapeError.here(
            f"{owner}: the prediction is {describe(a)}, the target {describe(b)}: "
            "they have different numbers of axes",
            remedy="Reshape one of them, or take out an axis with x[..., 0].",
        )
    check_sizes(owner, a, b, range(a.ndim))
    return a, b

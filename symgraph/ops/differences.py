"""Differences of neighbours, averages with weights, and how far values lie apart."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Axes, Axis
from ..core.errors import ShapeError, SymgraphValueError
from ..core.flags import check_flags
from ..core.variable import Variable, make_constant
from .broadcast import broadcast_to, rearrange
from .comparison import equal, isfinite, isnan, less_equal, logical_and, logical_or, not_equal
from .elementwise import absolute, add, divide, multiply, subtract
from .extremes import max as max_of
from .extremes import min as min_of
from .join import concatenate
from .promotion import as_int, as_variable, cast_to, promote_arguments
from .reduce import all as all_of
from .reduce import mean
from .reduce import sum as sum_of
from .shape import normalise_axis, shape
from .sizes import shape_of, unified_with
from .slices import slice_axis

__all__ = ["allclose", "array_equal", "average", "diff", "isclose", "ptp"]


def diff(
    x: ArrayLike,
    n: int = 1,
    axis: Axis = -1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Variable:
    """The differences of neighbours along an axis, ``n`` times; of bools, whether they differ.

    ``prepend`` and ``append`` are joined to ``x`` first; a scalar counts as one element. The axis
    is one shorter each time. A negative ``n`` is a `SymgraphValueError`.

    >>> sg.diff([1, 4, 9], prepend=0).eval()
    array([1, 3, 5])
    """
    x, times = as_variable(x, "diff"), as_int(n, "diff: the number of times")
    if times < 0:
        raise SymgraphValueError.here(f"diff: {times} times are less than none")
    axis = normalise_axis(axis, x.ndim, "diff")
    ends = [(i, end) for i, end in ((0, prepend), (2, append)) if end is not None]
    if times and ends:
        x, *others = promote_arguments("diff", [x, *(end for _, end in ends)])
        parts = [(1, x)]
        for (place, _), end in zip(ends, others, strict=True):
            size = [1 if i == axis else s for i, s in enumerate(shape_of(x))]
            parts.append((place, end if end.ndim else broadcast_to(end, size)))
        x = concatenate([part for _, part in sorted(parts, key=lambda part: part[0])], axis)
    for _ in range(times):
        later, earlier = slice_axis(x, axis, 1), slice_axis(x, axis, 0, -1)
        x = not_equal(later, earlier) if x.dtype.kind == "b" else subtract(later, earlier)
    return x


@overload
def average(
    x: ArrayLike,
    axis: Axes = None,
    weights: ArrayLike | None = None,
    *,
    returned: Literal[False] = False,
    keepdims: bool = False,
) -> Variable: ...
@overload
def average(
    x: ArrayLike,
    axis: Axes = None,
    weights: ArrayLike | None = None,
    *,
    returned: Literal[True],
    keepdims: bool = False,
) -> tuple[Variable, Variable]: ...
def average(
    x: ArrayLike,
    axis: Axes = None,
    weights: ArrayLike | None = None,
    *,
    returned: bool = False,
    keepdims: bool = False,
) -> Variable | tuple[Variable, Variable]:
    """The mean over the axes, weighted if there are weights; with ``returned`` their sum, too.

    Weights have the shape of ``x``, or are a vector along the one axis, else it is a `ShapeError`.
    Integers are averaged as float64. Weights that add up to 0 give NaN or infinity.

    >>> sg.average([1.0, 4.0], weights=[2, 1]).eval()
    np.float32(2.0)
    """
    check_flags("average", returned=returned)
    if weights is None:
        result = mean(x, axis, keepdims=keepdims)
        if not returned:
            return result
        count = divide(sum_of(broadcast_to(1.0, shape_of(as_variable(x, "average"))), axis), 1.0)
        return result, broadcast_to(cast_to(count, result.dtype), shape_of(result))
    x, weights = promote_arguments("average", (x, weights))
    if x.dtype.kind != "f":
        x, weights = (cast_to(v, np.dtype("float64")) for v in (x, weights))
    weights = _along(x, weights, axis)
    total = sum_of(weights, axis, keepdims=keepdims)
    result = divide(sum_of(multiply(x, weights), axis, keepdims=keepdims), total)
    return (result, total) if returned else result


def _along(x: Variable, weights: Variable, axis: Any) -> Variable:
    """The weights in the shape of ``x``."""
    if weights.ndim == x.ndim:
        return broadcast_to(weights, shape_of(x))
    if weights.ndim != 1 or axis is None or isinstance(axis, (list, tuple)):
        raise ShapeError.here(
            f"average: weights have the shape of {provenance.describe(x)}, or are a vector "
            f"along one axis; found {provenance.describe(weights)}"
        )
    place = normalise_axis(axis, x.ndim, "average")
    order = [0 if i == place else None for i in range(x.ndim)]
    return broadcast_to(rearrange(weights, order), shape_of(x))


def ptp(x: ArrayLike, axis: Axes = None, *, keepdims: bool = False) -> Variable:
    """The largest element less the smallest, over the axes (None: all).

    >>> sg.ptp([1, 4, 2]).eval()
    np.int64(3)
    """
    x = as_variable(x, "ptp")
    return subtract(max_of(x, axis, keepdims=keepdims), min_of(x, axis, keepdims=keepdims))


def isclose(
    x: ArrayLike,
    y: ArrayLike,
    rtol: ArrayLike = 1e-5,
    atol: ArrayLike = 1e-8,
    *,
    equal_nan: bool = False,
) -> Variable:
    """Whether elements differ by no more than ``atol + rtol * abs(y)``; infinities if equal.

    >>> sg.isclose([1.0, 2.0], [1.000001, 2.1]).eval()
    array([ True, False])
    """
    check_flags("isclose", equal_nan=equal_nan)
    x, y = promote_arguments("isclose", (x, y))
    if x.dtype.kind != "f":
        x, y = (cast_to(v, np.dtype("float64")) for v in (x, y))
    near = less_equal(absolute(subtract(x, y)), add(atol, multiply(rtol, absolute(y))))
    close = logical_or(logical_and(near, isfinite(y)), equal(x, y))
    return logical_or(close, logical_and(isnan(x), isnan(y))) if equal_nan else close


def allclose(
    x: ArrayLike,
    y: ArrayLike,
    rtol: ArrayLike = 1e-5,
    atol: ArrayLike = 1e-8,
    *,
    equal_nan: bool = False,
) -> Variable:
    """Whether all elements are close, as `isclose` has it: a bool scalar.

    >>> sg.allclose([1.0, 2.0], [1.000001, 2.0]).eval()
    np.True_
    """
    return all_of(isclose(x, y, rtol, atol, equal_nan=equal_nan))


def array_equal(x: ArrayLike, y: ArrayLike) -> Variable:
    """Whether the shapes and all elements are equal: a bool scalar.

    Sizes that the call alone tells have to agree, else it is a `CallError`.

    >>> sg.array_equal([1, 2], [1, 2]).eval()
    np.True_
    """
    ours, theirs = shape(x), shape(y)
    numbers = [pair for pair in zip(ours, theirs, strict=False) if {*map(type, pair)} == {int}]
    if len(ours) != len(theirs) or any(a != b for a, b in numbers):
        return make_constant(np.False_)
    if isinstance(x, Variable):
        x = unified_with(x, as_variable(y), "array_equal")
    elif isinstance(y, Variable):
        y = unified_with(y, as_variable(x), "array_equal")
    return all_of(equal(x, y))

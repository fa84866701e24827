"""Running sums and products along an axis, and the linear recurrence that differentiates them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Axis, DTypeLike
from ..core.errors import ShapeError
from ..core.flags import check_flags
from ..core.op import Op
from ..core.types import TensorType, as_dtype
from ..core.variable import Variable, node
from .broadcast import filled
from .elementwise import multiply, scale
from .join import concatenate
from .promotion import as_variable, cast_to
from .repeat import flip
from .shape import along_axis
from .sizes import shape_of
from .slices import slice_axis

__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "products_of_others"]


def _infer_same(inputs: Sequence[Variable], axis: int) -> TensorType:
    return inputs[0].type


def _vjp_cumsum(sums: Variable, cotangent: Variable) -> list[Variable | None]:
    (axis,) = sums.params
    return [flip(node(CUMSUM, (flip(cotangent, axis),), (axis,)), axis)]


# The sums of the first 1, 2, ... elements along an axis, in the dtype of the operand.
CUMSUM = Op(
    "cumsum",
    _infer_same,
    lambda arrays, axis: np.cumsum(arrays[0], axis=axis, dtype=arrays[0].dtype),
    _vjp_cumsum,
    params=("axis",),
    kind="reduction",
)


def _vjp_cumprod(products: Variable, cotangent: Variable) -> list[Variable | None]:
    (x,) = products.inputs
    (axis,) = products.params
    return [scale(_adjoint(cotangent, x, axis), _shifted(products, axis, 1))]


# The products of the first 1, 2, ... elements along an axis, in the dtype of the operand.
CUMPROD = Op(
    "cumprod",
    _infer_same,
    lambda arrays, axis: np.cumprod(arrays[0], axis=axis, dtype=arrays[0].dtype),
    _vjp_cumprod,
    params=("axis",),
    kind="reduction",
)


def _evaluate_recurrence(arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
    added, factors = arrays
    states = added.copy()
    rows, factors = np.moveaxis(states, axis, 0), np.moveaxis(factors, axis, 0)
    for i in range(1, len(rows)):
        rows[i] += factors[i] * rows[i - 1]
    return states


def _vjp_recurrence(states: Variable, cotangent: Variable) -> list[Variable | None]:
    _, factors = states.inputs
    (axis,) = states.params
    adjoint = _adjoint(cotangent, factors, axis)
    return [adjoint, scale(adjoint, _shifted(states, axis, 0))]


# s[i] = b[i] + a[i] * s[i - 1] along an axis, with nothing before the first; inputs are b and a.
# What flows back through a running product is such a recurrence, and what flows back through the
# recurrence is another one: no division, so zeros do no harm.
RECURRENCE = Op(
    "linear_recurrence",
    _infer_same,
    _evaluate_recurrence,
    _vjp_recurrence,
    params=("axis",),
)


def _adjoint(cotangent: Variable, factors: Variable, axis: int) -> Variable:
    """``r[i] = cotangent[i] + factors[i + 1] * r[i + 1]``, from the end."""
    backwards = _shifted(flip(factors, axis), axis, 0)
    return flip(node(RECURRENCE, (flip(cotangent, axis), backwards), (axis,)), axis)


def _shifted(x: Variable, axis: int, first: int) -> Variable:
    """``x`` moved on by one along the axis, as long as before; the gap is filled with ``first``."""
    sizes = shape_of(x)
    gap = filled(first, x.dtype, [1 if i == axis else size for i, size in enumerate(sizes)])
    return slice_axis(concatenate([gap, x], axis), axis, 0, sizes[axis])


def products_of_others(x: Variable, axis: int) -> Variable:
    """For each element the product of all others along the axis, without dividing."""
    before = _shifted(node(CUMPROD, (x,), (axis,)), axis, 1)
    reverse = flip(x, axis)
    after = flip(_shifted(node(CUMPROD, (reverse,), (axis,)), axis, 1), axis)
    return multiply(before, after)


def cumsum(x: ArrayLike, axis: Axis | None = None, *, dtype: DTypeLike | None = None) -> Variable:
    """The running sums along the axis, in the shape of ``x``; for None those of ``x`` flattened.

    Integers and bools add up as 64-bit integers, floats in their own dtype, or all in the one
    given. An axis that is not there is a `ShapeError`.

    >>> sg.cumsum([1, 2, 3]).eval()
    array([1, 3, 6])
    """
    return _running(CUMSUM, x, axis, dtype)


def cumprod(x: ArrayLike, axis: Axis | None = None, *, dtype: DTypeLike | None = None) -> Variable:
    """The running products along the axis; otherwise as `cumsum`.

    The gradient is right where elements are 0.

    >>> sg.cumprod([1, 2, 3]).eval()
    array([1, 2, 6])
    """
    return _running(CUMPROD, x, axis, dtype)


def cumulative_sum(
    x: ArrayLike,
    *,
    axis: Axis | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Variable:
    """The running sums along the axis, which a vector need not name.

    ``include_initial=True`` puts a 0 before them, so that the axis is one longer. Dtypes as for
    `cumsum`; no axis where ``x`` has not exactly one, or one that is not there, is a `ShapeError`.

    >>> sg.cumulative_sum([1, 2, 3], include_initial=True).eval()
    array([0, 1, 3, 6])
    """
    check_flags("cumulative_sum", include_initial=include_initial)
    return _from_first(CUMSUM, x, axis, dtype, 0 if include_initial else None)


def cumulative_prod(
    x: ArrayLike,
    *,
    axis: Axis | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Variable:
    """The running products along the axis, from 1 if so wanted; otherwise as `cumulative_sum`.

    >>> sg.cumulative_prod([1, 2, 3], include_initial=True).eval()
    array([1, 1, 2, 6])
    """
    check_flags("cumulative_prod", include_initial=include_initial)
    return _from_first(CUMPROD, x, axis, dtype, 1 if include_initial else None)


def _from_first(
    op: Op, x: ArrayLike, axis: Axis | None, dtype: DTypeLike | None, first: int | None
) -> Variable:
    x = as_variable(x, op.name)
    if axis is None and x.ndim != 1:
        raise ShapeError.here(
            f"{op.name}: {provenance.describe(x)} has {x.ndim} axes; which one is meant?",
            remedy="Give axis=.",
        )
    x, along = along_axis(x, axis, op.name)
    results = _running(op, x, along, dtype)
    if first is None:
        return results
    sizes = [1 if i == along else size for i, size in enumerate(shape_of(results))]
    return concatenate([filled(first, results.dtype, sizes), results], along)


def _running(op: Op, x: ArrayLike, axis: Axis | None, dtype: DTypeLike | None) -> Variable:
    x, along = along_axis(accumulated(as_variable(x, op.name), dtype), axis, op.name)
    return node(op, (x,), (along,))


def accumulated(x: Variable, dtype: DTypeLike | None) -> Variable:
    """``x`` in the dtype in which it adds up: NumPy sums small integers and bools as int64."""
    if dtype is not None:
        return cast_to(x, as_dtype(dtype))
    if x.dtype.kind in "bi":
        return cast_to(x, np.dtype("int64"))
    return cast_to(x, np.dtype("uint64")) if x.dtype.kind == "u" else x

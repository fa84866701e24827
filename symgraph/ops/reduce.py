"""Reductions: sums, products, extremes, averages; whether any or all; where an extreme is.

``axis`` is None (all axes), an int or a tuple of ints, negative ones counted from the end;
``keepdims=True`` leaves axes of size 1. Equal extremes share the gradient of `max` and `min`
equally; the gradient of `prod` is right where elements are zero; that of `std` is 0 where the
variance is. A sum or mean over nothing is NumPy's value; an extreme of nothing is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.dims import Size
from ..core.errors import CallError, ShapeError
from ..core.op import Op
from ..core.types import TensorType, as_dtype, format_shape, tensor_type
from ..core.variable import Variable, node
from .broadcast import infer_reduction, rearrange, reduce_sum, restore_axes
from .comparison import as_bool, equal, not_equal
from .cumulative import accumulated, products_of_others
from .elementwise import divide, masked, maximum, multiply, scale, square, subtract, where
from .promotion import as_variable, cast_to
from .shape import normalise_axes, normalise_axis, ravel
from .sizes import shape_of
from .transcendental import sqrt

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]

Axis = Any  # None, an int, or a sequence of ints
_INT64, _FLOAT64 = np.dtype("int64"), np.dtype("float64")


def reduced_axes(x: Variable, axis: Axis, function: str) -> tuple[int, ...]:
    """The axes that are meant, counted from the front, in order."""
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(sorted(normalise_axes(axis, x.ndim, function)))


# --- sums and averages --------------------------------------------------------------------------


def sum(x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None) -> Variable:
    """The sum over the axes; integers and bools add up as 64-bit integers, as in NumPy."""
    x = accumulated(as_variable(x, "sum"), dtype)
    return reduce_sum(x, reduced_axes(x, axis, "sum"), keepdims=keepdims)


def count_nonzero(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Variable:
    """The number of elements that are not zero, as int64."""
    return sum(not_equal(x, 0), axis, keepdims=keepdims)


def mean(x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None) -> Variable:
    """The mean over the axes; integers are averaged as float64; NaN over nothing."""
    x = _averaged(x, "mean", dtype)
    axes = reduced_axes(x, axis, "mean")
    return divide(reduce_sum(x, axes, keepdims=keepdims), _count(x, axes))


def var(
    x: Any, axis: Axis = None, *, ddof: Any = 0, keepdims: bool = False, dtype: Any = None
) -> Variable:
    """The variance: squared distances from the mean, summed and divided by ``n - ddof``."""
    x = _averaged(x, "var", dtype)
    axes = reduced_axes(x, axis, "var")
    squares = square(subtract(x, mean(x, axes, keepdims=True)))
    count = _count(x, axes)
    if isinstance(count, Variable) or isinstance(ddof, Variable):
        count = maximum(subtract(count, ddof), 0)
    elif ddof:
        count = count - ddof if count > ddof else 0
    return divide(reduce_sum(squares, axes, keepdims=keepdims), count)


def std(
    x: Any, axis: Axis = None, *, ddof: Any = 0, keepdims: bool = False, dtype: Any = None
) -> Variable:
    """The square root of the variance; where it is 0 the gradient is 0."""
    variance = var(x, axis, ddof=ddof, keepdims=keepdims, dtype=dtype)
    return where(equal(variance, 0), 0, sqrt(variance))


def _averaged(x: Any, function: str, dtype: Any) -> Variable:
    """``x`` as the floats that are averaged."""
    x = as_variable(x, function)
    if dtype is not None:
        return cast_to(x, as_dtype(dtype))
    return x if x.dtype.kind == "f" else cast_to(x, _FLOAT64)


def _count(x: Variable, axes: Sequence[int]) -> Any:
    """The number of elements of ``x`` on the axes: an int, or a scalar of the dtype of ``x``."""
    known, symbols = 1, []
    for axis, size in enumerate(shape_of(x)):
        if axis in axes:
            if isinstance(size, int):
                known *= size
            else:
                symbols.append(size)
    if not symbols:
        return known
    total: Any = known
    for size in symbols:
        total = multiply(size, total)
    return cast_to(total, x.dtype)


# --- extremes -----------------------------------------------------------------------------------


def infer_extreme(inputs: Sequence[Variable], axes: tuple[int, ...], keepdims: bool) -> TensorType:
    """The type of an extreme over the axes; among nothing there is none, as for NumPy even where
    the result would have no elements."""
    result = infer_reduction(inputs, axes, keepdims)
    (x,) = inputs
    if _is_empty([x.type.shape[axis] for axis in axes]):
        raise ShapeError.here(
            f"there is no largest or smallest element among none: {provenance.describe(x)} "
            f"over {'axes' if len(axes) > 1 else 'axis'} {', '.join(map(str, axes))}"
        )
    return result


def _is_empty(shape: Sequence[Size]) -> bool:
    return 0 in [size for size in shape if isinstance(size, int)]


def _evaluate_extreme(reduce: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def evaluate(arrays: Sequence[np.ndarray], axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        (x,) = arrays
        try:
            return reduce(x, axis=axes, keepdims=keepdims)
        except ValueError:
            raise CallError(
                f"there is no largest or smallest element among none: shape "
                f"{format_shape(x.shape)} over axes {axes}"
            ) from None

    return evaluate


def _vjp_extreme(extreme: Variable, cotangent: Variable) -> list[Variable | None]:
    (x,) = extreme.inputs
    axes, keepdims = extreme.params
    if not keepdims:
        extreme = restore_axes(extreme, axes, x.ndim)
        cotangent = restore_axes(cotangent, axes, x.ndim)
    chosen = equal(x, extreme)
    count = reduce_sum(cast_to(chosen, x.dtype), axes, keepdims=True)
    return [masked(chosen, divide(cotangent, count))]


# The largest and the smallest element over axes (sorted, not negative); NaN if there is one.
MAX = Op(
    "max",
    infer_extreme,
    _evaluate_extreme(np.max),
    _vjp_extreme,
    params=("axes", "keepdims"),
    kind="reduction",
)
MIN = Op(
    "min",
    infer_extreme,
    _evaluate_extreme(np.min),
    _vjp_extreme,
    params=("axes", "keepdims"),
    kind="reduction",
)


def max(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Variable:
    """The largest element over the axes, NaN if there is one; equal ones share the gradient."""
    return _extreme(MAX, x, axis, keepdims=keepdims)


def min(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Variable:
    """The smallest element over the axes, NaN if there is one; equal ones share the gradient."""
    return _extreme(MIN, x, axis, keepdims=keepdims)


amax = max
amin = min


def _extreme(op: Op, x: Any, axis: Axis, *, keepdims: bool) -> Variable:
    x = as_variable(x, op.name)
    axes = reduced_axes(x, axis, op.name)
    if not axes:
        return x
    return node(op, (x,), (axes, keepdims))


# --- where extremes are -------------------------------------------------------------------------


def _infer_position(inputs: Sequence[Variable], axis: int) -> TensorType:
    (x,) = inputs
    if x.type.shape[axis] == 0:
        raise ShapeError.here(
            f"there is no largest or smallest element among none: axis {axis} of "
            f"{provenance.describe(x)}"
        )
    return tensor_type(_INT64, x.type.shape[:axis] + x.type.shape[axis + 1 :])


def _evaluate_position(find: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def evaluate(arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
        (x,) = arrays
        if not x.shape[axis]:
            raise CallError(
                "there is no largest or smallest element among none: axis "
                f"{axis} of shape {format_shape(x.shape)}"
            )
        return find(x, axis=axis).astype(_INT64, copy=False)

    return evaluate


# The index of the first largest or smallest element along an axis; of the first NaN if any.
ARGMAX = Op(
    "argmax",
    _infer_position,
    _evaluate_position(np.argmax),
    params=("axis",),
    traits=frozenset({"traced"}),
    kind="reduction",
)
ARGMIN = Op(
    "argmin",
    _infer_position,
    _evaluate_position(np.argmin),
    params=("axis",),
    traits=frozenset({"traced"}),
    kind="reduction",
)


def argmax(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Variable:
    """The index (int64) of the first largest element along the axis, or in ``x`` flattened."""
    return _position(ARGMAX, x, axis, keepdims=keepdims)


def argmin(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Variable:
    """The index (int64) of the first smallest element along the axis, or in ``x`` flattened."""
    return _position(ARGMIN, x, axis, keepdims=keepdims)


def _position(op: Op, x: Any, axis: int | None, *, keepdims: bool) -> Variable:
    x = as_variable(x, op.name)
    if axis is None:
        found = node(op, (ravel(x),), (0,))
        return rearrange(found, [None] * x.ndim) if keepdims else found
    axis = normalise_axis(axis, x.ndim, op.name)
    found = node(op, (x,), (axis,))
    return restore_axes(found, (axis,), x.ndim) if keepdims else found


# --- truth --------------------------------------------------------------------------------------

ANY = Op(
    "any",
    infer_reduction,
    lambda arrays, axes, keepdims: np.any(arrays[0], axis=axes, keepdims=keepdims),
    params=("axes", "keepdims"),
    traits=frozenset({"traced"}),
    kind="reduction",
)
ALL = Op(
    "all",
    infer_reduction,
    lambda arrays, axes, keepdims: np.all(arrays[0], axis=axes, keepdims=keepdims),
    params=("axes", "keepdims"),
    traits=frozenset({"traced"}),
    kind="reduction",
)


def any(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Variable:
    """Whether an element over the axes is true (not zero); False over nothing."""
    return _truth(ANY, x, axis, keepdims=keepdims)


def all(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Variable:
    """Whether all elements over the axes are true (not zero); True over nothing."""
    return _truth(ALL, x, axis, keepdims=keepdims)


def _truth(op: Op, x: Any, axis: Axis, *, keepdims: bool) -> Variable:
    x = as_bool(x, op.name)
    axes = reduced_axes(x, axis, op.name)
    return node(op, (x,), (axes, keepdims)) if axes else x


# --- products -----------------------------------------------------------------------------------


def _infer_prod(inputs: Sequence[Variable], axis: int) -> TensorType:
    return infer_reduction(inputs, (axis,), False)


def _vjp_prod(product: Variable, cotangent: Variable) -> list[Variable | None]:
    (x,) = product.inputs
    (axis,) = product.params
    cotangent = restore_axes(cotangent, (axis,), x.ndim)
    return [scale(cotangent, products_of_others(x, axis))]


# The product along one axis, in the dtype of the operand.
PROD = Op(
    "prod",
    _infer_prod,
    lambda arrays, axis: np.prod(arrays[0], axis=axis, dtype=arrays[0].dtype),
    _vjp_prod,
    params=("axis",),
    kind="reduction",
)


def prod(x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None) -> Variable:
    """The product over the axes; integers and bools multiply as 64-bit integers, as in NumPy."""
    x = accumulated(as_variable(x, "prod"), dtype)
    axes = reduced_axes(x, axis, "prod")
    result = x
    for axis in reversed(axes):
        result = node(PROD, (result,), (axis,))
    return restore_axes(result, axes, x.ndim) if keepdims else result

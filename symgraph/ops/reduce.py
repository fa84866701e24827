"""Reductions: sums, products, extremes, averages; whether any or all; where an extreme is.

``axis`` is None (all axes), an int or a tuple of ints, negative ones counted from the end;
``keepdims=True`` leaves axes of size 1. An axis that is not there, or is named twice, is a
`ShapeError`. Equal extremes share the gradient of `max` and `min`
equally; the gradient of `prod` is right where elements are zero; that of `std` is 0 where the
variance is. A sum or mean over nothing is NumPy's value; an extreme of nothing is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Axes, Axis, DTypeLike
from ..core.dims import Size
from ..core.errors import CallError, ShapeError
from ..core.op import Op
from ..core.types import TensorType, as_dtype, format_shape, tensor_type
from ..core.variable import Variable, node
from .broadcast import infer_reduction, reduce_sum, restore_axes
from .comparison import as_bool, equal, not_equal
from .cumulative import accumulated, products_of_others
from .elementwise import divide, masked, maximum, multiply, scale, square, subtract, where
from .promotion import as_variable, cast_to
from .shape import along_axis, normalise_axes
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

_INT64, _FLOAT64 = np.dtype("int64"), np.dtype("float64")


def reduced_axes(x: Variable, axis: Axes, function: str) -> tuple[int, ...]:
    """The axes that are meant, counted from the front, in order."""
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(sorted(normalise_axes(axis, x.ndim, function)))


# --- sums and averages --------------------------------------------------------------------------


def sum(
    x: ArrayLike, axis: Axes = None, *, keepdims: bool = False, dtype: DTypeLike | None = None
) -> Variable:
    """The sum over the axes (None: over all).

    Integers and bools add up as 64-bit integers, floats in their own dtype, or all in the one
    given; 0 over nothing. An axis that is not there is a `ShapeError`.

    >>> sg.sum([[1, 2], [3, 4]], axis=0).eval()
    array([4, 6])
    """
    x = accumulated(as_variable(x, "sum"), dtype)
    return reduce_sum(x, reduced_axes(x, axis, "sum"), keepdims=keepdims)


def count_nonzero(x: ArrayLike, axis: Axes = None, *, keepdims: bool = False) -> Variable:
    """The number (int64) of elements over the axes that are not zero; errors as for `sum`.

    >>> sg.count_nonzero([[0, 7], [7, 7]], axis=0).eval()
    array([1, 2])
    """
    return sum(not_equal(x, 0), axis, keepdims=keepdims)


def mean(
    x: ArrayLike, axis: Axes = None, *, keepdims: bool = False, dtype: DTypeLike | None = None
) -> Variable:
    """The mean over the axes (None: over all), in the dtype of ``x`` or the one given.

    Integers and bools are averaged as float64. NaN over nothing, without NumPy's warning. An axis
    that is not there is a `ShapeError`.

    >>> sg.mean([[1.0, 2.0], [3.0, 4.0]], axis=1, keepdims=True).eval()
    array([[1.5],
           [3.5]], dtype=float32)
    """
    x = _averaged(x, "mean", dtype)
    axes = reduced_axes(x, axis, "mean")
    return divide(reduce_sum(x, axes, keepdims=keepdims), _count(x, axes))


def var(
    x: ArrayLike,
    axis: Axes = None,
    *,
    ddof: float | Variable = 0,
    keepdims: bool = False,
    dtype: DTypeLike | None = None,
) -> Variable:
    """The variance over the axes: squared distances from the mean, added up, over ``n - ddof``.

    ``ddof`` is a number or a scalar variable; where it leaves nothing to divide by, the result is
    infinite or NaN. Dtypes and errors as for `mean`.

    >>> sg.var([1.0, 3.0], ddof=1).eval()
    np.float32(2.0)
    """
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
    x: ArrayLike,
    axis: Axes = None,
    *,
    ddof: float | Variable = 0,
    keepdims: bool = False,
    dtype: DTypeLike | None = None,
) -> Variable:
    """The standard deviation over the axes: the square root of `var`.

    Where the variance is 0 the gradient is 0, not NaN.

    >>> sg.std([1.0, 3.0]).eval()
    np.float32(1.0)
    """
    variance = var(x, axis, ddof=ddof, keepdims=keepdims, dtype=dtype)
    return where(equal(variance, 0), 0, sqrt(variance))


def _averaged(x: ArrayLike, function: str, dtype: DTypeLike | None) -> Variable:
    """``x`` as the floats that are averaged."""
    x = as_variable(x, function)
    if dtype is not None:
        return cast_to(x, as_dtype(dtype))
    return x if x.dtype.kind == "f" else cast_to(x, _FLOAT64)


def _count(x: Variable, axes: Sequence[int]) -> int | Variable:
    """The number of elements of ``x`` on the axes: an int, or a scalar of the dtype of ``x``."""
    sizes = [size for axis, size in enumerate(shape_of(x)) if axis in axes]
    known = math.prod(size for size in sizes if isinstance(size, int))
    symbols = [size for size in sizes if isinstance(size, Variable)]
    if not symbols:
        return known
    total = multiply(symbols[0], known)
    for size in symbols[1:]:
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


def _extreme_op(name: str, reduce: Callable[..., np.ndarray]) -> Op:
    return Op(
        name,
        infer_extreme,
        _evaluate_extreme(reduce),
        _vjp_extreme,
        params=("axes", "keepdims"),
        kind="reduction",
    )


# The largest and the smallest element over axes (sorted, not negative); NaN if there is one.
MAX = _extreme_op("max", np.max)
MIN = _extreme_op("min", np.min)


def max(x: ArrayLike, axis: Axes = None, *, keepdims: bool = False) -> Variable:
    """The largest element over the axes (None: over all), in the dtype of ``x``.

    NaN if there is one. Equal ones share the gradient. Over nothing it is a `ShapeError`, or a
    `CallError` where the size is not known before; an axis that is not there is a `ShapeError`.

    >>> sg.max([[1, 5], [3, 2]], axis=1).eval()
    array([5, 3])
    """
    return _extreme(MAX, x, axis, keepdims=keepdims)


def min(x: ArrayLike, axis: Axes = None, *, keepdims: bool = False) -> Variable:
    """The smallest element over the axes (None: over all); otherwise as `max`.

    >>> sg.min([[1, 5], [3, 2]], axis=1).eval()
    array([1, 2])
    """
    return _extreme(MIN, x, axis, keepdims=keepdims)


amax = max
amin = min


def _extreme(op: Op, x: ArrayLike, axis: Axes, *, keepdims: bool) -> Variable:
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


def _position_op(name: str, find: Callable[..., np.ndarray]) -> Op:
    return Op(
        name,
        _infer_position,
        _evaluate_position(find),
        params=("axis",),
        traits=frozenset({"traced"}),
        kind="reduction",
    )


# The index of the first largest or smallest element along an axis; of the first NaN if any.
ARGMAX = _position_op("argmax", np.argmax)
ARGMIN = _position_op("argmin", np.argmin)


def argmax(x: ArrayLike, axis: Axis | None = None, *, keepdims: bool = False) -> Variable:
    """The index (int64) of the first largest element along the axis, or in ``x`` flattened.

    That of the first NaN if there is one. Without a gradient. Errors as for `max`.

    >>> sg.argmax([[1, 5, 5], [3, 2, 1]], axis=1).eval()
    array([1, 0])
    """
    return _position(ARGMAX, x, axis, keepdims=keepdims)


def argmin(x: ArrayLike, axis: Axis | None = None, *, keepdims: bool = False) -> Variable:
    """The index (int64) of the first smallest element; otherwise as `argmax`.

    >>> sg.argmin([[1, 5, 5], [3, 2, 1]]).eval()
    np.int64(0)
    """
    return _position(ARGMIN, x, axis, keepdims=keepdims)


def _position(op: Op, x: ArrayLike, axis: Axis | None, *, keepdims: bool) -> Variable:
    x = as_variable(x, op.name)
    operand, along = along_axis(x, axis, op.name)
    place = node(op, (operand,), (along,))
    if not keepdims:
        return place
    return restore_axes(place, tuple(range(x.ndim)) if axis is None else (along,), x.ndim)


# --- truth --------------------------------------------------------------------------------------


def _truth_op(name: str, reduce: Callable[..., np.ndarray]) -> Op:
    return Op(
        name,
        infer_reduction,
        lambda arrays, axes, keepdims: reduce(arrays[0], axis=axes, keepdims=keepdims),
        params=("axes", "keepdims"),
        traits=frozenset({"traced"}),
        kind="reduction",
    )


ANY = _truth_op("any", np.any)
ALL = _truth_op("all", np.all)


def any(x: ArrayLike, axis: Axes = None, *, keepdims: bool = False) -> Variable:
    """Whether (bool) an element over the axes is true, that is not zero; False over nothing.

    Without a gradient. An axis that is not there is a `ShapeError`.

    >>> sg.any([[0, 0], [0, 7]], axis=1).eval()
    array([False,  True])
    """
    return _truth(ANY, x, axis, keepdims=keepdims)


def all(x: ArrayLike, axis: Axes = None, *, keepdims: bool = False) -> Variable:
    """Whether (bool) all elements over the axes are true; True over nothing. Otherwise as `any`.

    >>> sg.all([[0, 7], [7, 7]], axis=1).eval()
    array([False,  True])
    """
    return _truth(ALL, x, axis, keepdims=keepdims)


def _truth(op: Op, x: ArrayLike, axis: Axes, *, keepdims: bool) -> Variable:
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


def prod(
    x: ArrayLike, axis: Axes = None, *, keepdims: bool = False, dtype: DTypeLike | None = None
) -> Variable:
    """The product over the axes; 1 over nothing. Dtypes and errors as for `sum`.

    The gradient is right where elements are 0.

    >>> sg.prod([[1, 2], [3, 4]], axis=0).eval()
    array([3, 8])
    """
    x = accumulated(as_variable(x, "prod"), dtype)
    axes = reduced_axes(x, axis, "prod")
    result = x
    for one in reversed(axes):
        result = node(PROD, (result,), (one,))
    return restore_axes(result, axes, x.ndim) if keepdims else result

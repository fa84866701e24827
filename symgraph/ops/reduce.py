"""Reductions: sums, products, averages; whether any or all.

``axis`` is None (all axes), an int or a tuple of ints, negative ones counted from the end;
``keepdims=True`` leaves axes of size 1. An axis that is not there, or is named twice, is a
`ShapeError`. The gradient of `prod` is right where elements are zero; that of `std` is 0 where the
variance is. A sum or mean over nothing is NumPy's value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..core.annotations import ArrayLike, Axes, DTypeLike
from ..core.flags import check_flags
from ..core.op import Op
from ..core.types import TensorType, as_dtype
from ..core.variable import Variable, node
from .broadcast import infer_reduction, reduce_sum, restore_axes
from .comparison import as_bool, equal, not_equal
from .cumulative import accumulated, products_of_others
from .elementwise import divide, maximum, multiply, scale, square, subtract, where
from .promotion import as_variable, cast_to
from .shape import reduced_axes
from .sizes import shape_of
from .transcendental import sqrt

__all__ = ["all", "any", "count_nonzero", "mean", "prod", "std", "sum", "var"]

_INT64, _FLOAT64 = np.dtype("int64"), np.dtype("float64")


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
    check_flags("sum", keepdims=keepdims)
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
    check_flags("mean", keepdims=keepdims)
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
    check_flags("var", keepdims=keepdims)
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
    check_flags(op.name, keepdims=keepdims)
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
    check_flags("prod", keepdims=keepdims)
    x = accumulated(as_variable(x, "prod"), dtype)
    axes = reduced_axes(x, axis, "prod")
    result = x
    for one in reversed(axes):
        result = node(PROD, (result,), (one,))
    return restore_axes(result, axes, x.ndim) if keepdims else result

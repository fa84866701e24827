"""The diagonals of two axes: read, written and summed."""

from __future__ import annotations

from ..core import provenance
from ..core.annotations import ArrayLike, Axis, DTypeLike
from ..core.errors import ShapeError
from ..core.variable import Variable, constant_value
from .broadcast import rearrange, reduce_sum
from .create import zeros
from .cumulative import accumulated
from .elementwise import add, maximum, minimum
from .gather import SCATTER_SET, gather, scatter
from .promotion import as_int, as_variable
from .ranges import iota
from .shape import normalise_axes
from .sizes import shape_of

__all__ = ["diag", "diagonal", "trace"]


def diagonal(x: ArrayLike, offset: int = 0, axis1: Axis = 0, axis2: Axis = 1) -> Variable:
    """The diagonal of two axes, as a new last axis in their stead.

    ``offset`` goes towards later columns, a negative one towards later rows. The dtype stays. Axes
    that are not there, or one and the same, are a `ShapeError`. A copy, where NumPy has a view.

    >>> sg.diagonal([[1, 2, 3], [4, 5, 6]], 1).eval()
    array([2, 6])
    """
    x = as_variable(x, "diagonal")
    first, second = normalise_axes((axis1, axis2), x.ndim, "diagonal")
    offset = as_int(offset, "diagonal: the offset")
    if first > second:
        first, second, offset = second, first, -offset
    top, left = max(-offset, 0), max(offset, 0)
    length = _diagonal_length(x, first, second, top, left)
    order = [axis for axis in range(x.ndim) if axis not in (first, second)]
    moved = rearrange(x, [first, second, *order])
    elements = gather(moved, [add(iota(length), top), add(iota(length), left)], (0, 1))
    return rearrange(elements, [*range(1, elements.ndim), 0])


def _diagonal_length(x: Variable, first: int, second: int, top: int, left: int) -> int | Variable:
    """The length of a diagonal that starts so many rows down, or so many columns to the right."""
    sizes = shape_of(x)
    if x.type.shape[first] is x.type.shape[second] and not (top or left):
        return sizes[first]
    length = maximum(minimum(sizes[first] - top, sizes[second] - left), 0)
    known = constant_value(length)
    return length if known is None else int(known)


def diag(x: ArrayLike, k: int = 0) -> Variable:
    """The ``k``-th diagonal of a matrix, or the matrix with this vector as its ``k``-th diagonal.

    The matrix is square, of zeros elsewhere and of the vector's dtype. Any other number of axes is
    a `ShapeError`, a ``k`` that is no int a `SymgraphTypeError`.

    >>> sg.diag([1, 2]).eval()
    array([[1, 0],
           [0, 2]])
    """
    x = as_variable(x, "diag")
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError.here(f"diag takes a vector or a matrix; found {provenance.describe(x)}")
    (length,), k = shape_of(x), as_int(k, "diag: the offset")
    blank = zeros((length + abs(k), length + abs(k)), x.dtype)
    rows, columns = add(iota(length), max(-k, 0)), add(iota(length), max(k, 0))
    return scatter(SCATTER_SET, blank, x, [rows, columns], (0, 1))


def trace(
    x: ArrayLike,
    offset: int = 0,
    axis1: Axis = 0,
    axis2: Axis = 1,
    dtype: DTypeLike | None = None,
) -> Variable:
    """The sum of the diagonal of two axes; arguments and errors as for `diagonal`.

    Integers and bools add up as 64-bit integers, floats in their own dtype, or in the one given.

    >>> sg.trace([[1, 2], [3, 4]]).eval()
    np.int64(5)
    """
    elements = accumulated(diagonal(x, offset, axis1, axis2), dtype)
    return reduce_sum(elements, (elements.ndim - 1,))

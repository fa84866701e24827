"""Arrays with a pattern: one value everywhere, ones on and beside a diagonal or at indices."""

from __future__ import annotations

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, DTypeLike, Shape, SizeLike
from ..core.errors import DtypeError, ShapeError
from ..core.types import as_dtype, is_integer
from ..core.variable import Variable
from .broadcast import broadcast_to, rearrange
from .comparison import eq, greater_equal
from .elementwise import add, masked, subtract, where, zero_like
from .promotion import as_int, as_variable, cast_to, fill_with
from .ranges import iota
from .sizes import refuse_negative, shape_of, shape_operands

__all__ = [
    "eye",
    "full",
    "full_like",
    "one_hot",
    "ones",
    "ones_like",
    "tri",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]


# --- one value everywhere -----------------------------------------------------------------------


def full(shape: Shape, value: ArrayLike, dtype: DTypeLike = "float32") -> Variable:
    """The value, which may be a variable, repeated to the shape in the dtype.

    Sizes are ints or integer scalars such as those in ``x.shape``; one alone makes a vector. The
    value is a scalar, or broadcasts. float32 where NumPy would take the value's dtype. A size below
    0, or a value that does not fit the shape, is a `ShapeError`.

    >>> sg.full((2, 3), 7).eval()
    array([[7., 7., 7.],
           [7., 7., 7.]], dtype=float32)
    """
    dtype = as_dtype(dtype)
    filler = fill_with(value, dtype, "full")
    template, _, _ = shape_operands(shape, "full")
    refuse_negative(template, "full")
    return broadcast_to(filler, shape)


def zeros(shape: Shape, dtype: DTypeLike = "float32") -> Variable:
    """Zeros in this shape; as `full`. float32 where NumPy has float64.

    >>> x = sg.matrix("x")
    >>> sg.zeros(x.shape[1], "int32").eval({x: np.ones((2, 3))})
    array([0, 0, 0], dtype=int32)
    """
    return full(shape, 0, dtype)


def ones(shape: Shape, dtype: DTypeLike = "float32") -> Variable:
    """Ones in this shape; as `full`. float32 where NumPy has float64.

    >>> sg.ones((1, 2)).eval()
    array([[1., 1.]], dtype=float32)
    """
    return full(shape, 1, dtype)


def full_like(x: ArrayLike, value: ArrayLike, dtype: DTypeLike | None = None) -> Variable:
    """The value in the shape of ``x``, and its dtype where no other is given; as `full`.

    >>> x = sg.matrix("x")
    >>> sg.full_like(x, 0.5).eval({x: [[1, 2]]})
    array([[0.5, 0.5]], dtype=float32)
    """
    x = as_variable(x, "full_like")
    return full(shape_of(x), value, x.dtype if dtype is None else dtype)


def zeros_like(x: ArrayLike, dtype: DTypeLike | None = None) -> Variable:
    """Zeros in the shape of ``x``, and its dtype where no other is given.

    >>> sg.zeros_like(np.array([[1, 2]])).eval()
    array([[0, 0]])
    """
    return full_like(x, 0, dtype)


def ones_like(x: ArrayLike, dtype: DTypeLike | None = None) -> Variable:
    """Ones in the shape of ``x``, and its dtype where no other is given.

    >>> sg.ones_like(np.array([[1, 2]]), "float32").eval()
    array([[1., 1.]], dtype=float32)
    """
    return full_like(x, 1, dtype)


# --- matrices of zeros and ones -----------------------------------------------------------------


def _row_and_column(n: SizeLike, m: SizeLike | None) -> tuple[Variable, Variable]:
    """The number of each row, as a column, and of each of the m columns (None: n), as a row."""
    return rearrange(iota(n), [0, None]), rearrange(iota(n if m is None else m), [None, 0])


def eye(
    n: SizeLike, m: SizeLike | None = None, k: SizeLike = 0, dtype: DTypeLike = "float32"
) -> Variable:
    """The matrix of ``n`` by ``m`` (None: ``n``) with ones on the ``k``-th diagonal, else zeros.

    Sizes and ``k`` are ints or integer scalars; diagonals above the main one have ``k > 0``.
    float32 where NumPy has float64. A size below 0 is a `ShapeError`, one that is no integer a
    `SymgraphTypeError`.

    >>> sg.eye(2, 3, 1).eval()
    array([[0., 1., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    row, column = _row_and_column(n, m)
    return cast_to(eq(add(row, k), column), as_dtype(dtype))


def tri(
    n: SizeLike, m: SizeLike | None = None, k: SizeLike = 0, dtype: DTypeLike = "float32"
) -> Variable:
    """The matrix with ones on and below the ``k``-th diagonal, zeros above; as `eye`.

    >>> sg.tri(3, dtype=bool).eval()
    array([[ True, False, False],
           [ True,  True, False],
           [ True,  True,  True]])
    """
    row, column = _row_and_column(n, m)
    return cast_to(greater_equal(add(row, k), column), as_dtype(dtype))


def tril(x: ArrayLike, k: SizeLike = 0) -> Variable:
    """``x`` with zeros above the ``k``-th diagonal of its last two axes.

    ``k`` is an int or an integer scalar. Fewer than two axes are a `ShapeError`; NumPy makes a
    matrix of a vector.

    >>> sg.tril([[1, 2], [3, 4]]).eval()
    array([[1, 0],
           [3, 4]])
    """
    x, mask = _triangle(x, k, "tril")
    return masked(mask, x)


def triu(x: ArrayLike, k: SizeLike = 0) -> Variable:
    """``x`` with zeros below the ``k``-th diagonal of its last two axes; as `tril`.

    >>> sg.triu([[1, 2], [3, 4]], 1).eval()
    array([[0, 2],
           [0, 0]])
    """
    below = subtract(k, 1) if isinstance(k, Variable) else as_int(k, "triu: the offset") - 1
    x, mask = _triangle(x, below, "triu")
    return where(mask, zero_like(x), x)


def _triangle(x: ArrayLike, k: SizeLike, function: str) -> tuple[Variable, Variable]:
    """``x``, and where its last two axes are on or below the k-th diagonal."""
    x = as_variable(x, function)
    if x.ndim < 2:
        raise ShapeError.here(
            f"{function} takes a matrix, or a stack of them; found {provenance.describe(x)}"
        )
    *_, n, m = shape_of(x)
    return x, tri(n, m, k, "bool")


def one_hot(indices: ArrayLike, n: SizeLike, dtype: DTypeLike = "float32") -> Variable:
    """Ones at the indices of a new last axis of size ``n``, elsewhere zeros.

    The result has the shape of the indices and that axis. An index outside it, a negative one
    included, gives a row of zeros. Indices that are no integers are a `DtypeError`, a size below 0
    a `ShapeError`.

    >>> sg.one_hot([2, 0], 3).eval()
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    indices = as_variable(indices, "one_hot")
    if not is_integer(indices.dtype):
        raise DtypeError.here(f"one_hot takes integers; found {provenance.describe(indices)}")
    if isinstance(n, (int, np.integer)) and n < 0:
        raise ShapeError.here(f"one_hot: a size is at least 0, not {n}")
    order = [*range(indices.ndim), None]
    return cast_to(eq(rearrange(indices, order), iota(n)), as_dtype(dtype))

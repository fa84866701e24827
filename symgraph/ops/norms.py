"""Norms of vectors and matrices, as ``np.linalg.norm`` has them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Axes
from ..core.errors import ShapeError, SymgraphTypeError
from ..core.flags import check_flags
from ..core.variable import Variable
from .broadcast import restore_axes
from .comparison import not_equal
from .elementwise import absolute, square
from .extremes import max as max_of
from .extremes import min as min_of
from .promotion import as_variable, cast_to
from .reduce import sum as sum_of
from .shape import normalise_axes
from .transcendental import power, sqrt

__all__ = ["norm"]


def norm(
    x: ArrayLike,
    ord: float | Literal["fro"] | None = None,
    axis: Axes = None,
    *,
    keepdims: bool = False,
) -> Variable:
    """The norm over one axis (of vectors) or two (of matrices); of all elements without an axis.

    ``ord``: None (the root of the sum of squares); of vectors a number, 0 for how many are not
    zero, or plus or minus infinity; of matrices ``"fro"``, 1, -1, or plus or minus infinity;
    another one is a `SymgraphTypeError`, more axes with an order a `ShapeError`.

    >>> np.linalg.norm(sg.constant([3.0, 4.0])).eval()
    np.float32(5.0)
    """
    check_flags("norm", keepdims=keepdims)
    x = as_variable(x, "norm")
    x = x if x.dtype.kind == "f" else cast_to(x, np.dtype("float64"))
    axes = normalise_axes(list(range(x.ndim)) if axis is None else axis, x.ndim, "norm")
    if ord is None and (axis is None or len(axes) <= 2):
        result = sqrt(sum_of(square(x), axes))
    elif len(axes) == 1:
        result = _of_vectors(x, ord, axes[0])
    elif len(axes) == 2:
        result = _of_matrices(x, ord, axes)
    else:
        raise ShapeError.here(
            f"norm: {len(axes)} axes of {provenance.describe(x)} are neither vectors nor matrices",
            remedy="Give one axis or two.",
        )
    return restore_axes(result, tuple(sorted(axes)), x.ndim) if keepdims else result


def _of_vectors(x: Variable, ord: Any, axis: int) -> Variable:
    if isinstance(ord, str):
        raise _unknown(ord, "vectors")
    size = absolute(x)
    if ord == np.inf:
        return max_of(size, axis)
    if ord == -np.inf:
        return min_of(size, axis)
    if ord == 0:
        return sum_of(cast_to(not_equal(x, 0), x.dtype), axis)
    if ord == 1:
        return sum_of(size, axis)
    if ord == 2:
        return sqrt(sum_of(square(x), axis))
    return power(sum_of(power(size, ord), axis), 1.0 / ord)


def _of_matrices(x: Variable, ord: Any, axes: list[int]) -> Variable:
    rows, columns = axes
    if ord == "fro":
        return sqrt(sum_of(square(x), axes))
    # How the sums of each column or row are compared.
    summed = {1: rows, -1: rows, np.inf: columns, -np.inf: columns}
    if isinstance(ord, str) or ord not in summed:
        raise _unknown(ord, "matrices")
    over, other = (rows, columns) if summed[ord] == rows else (columns, rows)
    sums = sum_of(absolute(x), over)
    return (max_of if ord > 0 else min_of)(sums, other - (other > over))


def _unknown(ord: Any, of: str) -> SymgraphTypeError:
    return SymgraphTypeError.here(
        f"norm: order {ord!r} of {of} is not supported",
        remedy="Those by singular values have no op; 'fro', 1, -1 and infinities have."
        if of == "matrices"
        else "Give a number, or plus or minus infinity.",
    )

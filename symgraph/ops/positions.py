"""Elements at positions along an axis, and the positions of what is not zero."""

from __future__ import annotations

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Axis
from ..core.errors import ShapeError, SymgraphTypeError
from ..core.types import is_integer
from ..core.variable import Variable
from .broadcast import rearrange
from .elementwise import floor_divide, maximum, minimum, remainder
from .gather import flat_nonzero, gather
from .index import bad_index, get
from .promotion import as_variable, cast_to
from .ranges import iota
from .shape import along_axis, normalise_axis
from .sizes import as_scalar, shape_of

__all__ = ["flatnonzero", "nonzero", "take", "take_along_axis"]


def take(
    x: ArrayLike, indices: ArrayLike, axis: Axis | None = None, mode: str = "raise"
) -> Variable:
    """The elements of ``x`` at these indices of an axis; of the flattened ``x`` for None.

    The axes of the indices stand in place of the axis. ``mode`` is what becomes of an index out of
    range: ``raise`` an `IndexRangeError` (at the call, where the index is a variable), ``clip`` or
    ``wrap``. With ``clip`` negative indices are 0. Indices that are no integers are a `DtypeError`,
    another mode a `SymgraphTypeError`, an axis that is not there a `ShapeError`.

    >>> sg.take([[1, 2], [3, 4]], [1, 0, 1], axis=1).eval()
    array([[2, 1, 2],
           [4, 3, 4]])
    """
    x, indices = as_variable(x, "take"), as_variable(_integers(indices), "take")
    if not is_integer(indices.dtype):
        raise bad_index(provenance.describe(indices))
    x, axis = along_axis(x, axis, "take")
    length = as_scalar(shape_of(x)[axis])
    if indices.dtype == np.uint64:  # which meets no signed integers but as a float
        length = cast_to(length, indices.dtype)
    if mode == "clip":
        indices = minimum(maximum(indices, 0), length - 1)
    elif mode == "wrap":
        indices = remainder(indices, length)
    elif mode != "raise":
        raise SymgraphTypeError.here(f"take: the mode is 'raise', 'clip' or 'wrap', not {mode!r}")
    return get(x, (*([slice(None)] * axis), indices))


def _integers(indices: ArrayLike) -> ArrayLike:
    """The indices; an empty list counts as integers."""
    if isinstance(indices, (list, tuple)) and not len(indices):
        return np.zeros(0, np.int64)
    return indices


def take_along_axis(x: ArrayLike, indices: ArrayLike, axis: Axis | None = -1) -> Variable:
    """For each place of ``indices`` the element of ``x`` at that index along the axis.

    ``indices`` have as many axes as ``x`` (for None: as ``x`` flattened), and its sizes but along
    the axis; what `argsort` gives sorts ``x``. Other numbers of axes are a `ShapeError`, an index
    out of range an `IndexRangeError`.

    >>> sg.take_along_axis([[3, 1], [2, 4]], [[1, 0], [0, 1]], axis=1).eval()
    array([[1, 3],
           [2, 4]])
    """
    x, indices = as_variable(x, "take_along_axis"), as_variable(indices, "take_along_axis")
    if axis is None:
        x, axis = along_axis(x, None, "take_along_axis")
    if indices.ndim != x.ndim:
        raise ShapeError.here(
            f"take_along_axis: {provenance.describe(x)} and "
            f"{provenance.describe(indices)} have different numbers of axes"
        )
    axis = normalise_axis(axis, x.ndim, "take_along_axis")
    grid: list[Variable] = []
    for i, length in enumerate(shape_of(x)):
        order = [0 if j == i else None for j in range(x.ndim)]
        grid.append(indices if i == axis else rearrange(iota(length), order))
    return gather(x, grid, range(x.ndim))


def flatnonzero(x: ArrayLike) -> Variable:
    """The positions (int64) in the flattened ``x`` of what is not zero, in order.

    How many there are is known at the call alone, so that the result's size is a new unknown one.

    >>> sg.flatnonzero([0, 7, 0, 7]).eval()
    array([1, 3])
    """
    return flat_nonzero(as_variable(x, "flatnonzero"))


def nonzero(x: ArrayLike) -> tuple[Variable, ...]:
    """The indices (int64) of what is not zero: a vector for each axis, all equally long.

    How many there are is known at the call alone. ``x[sg.nonzero(x)]`` are the elements.

    >>> [i.eval().tolist() for i in sg.nonzero([[0, 7], [7, 0]])]
    [[0, 1], [1, 0]]
    """
    x = as_variable(x, "nonzero")
    position = flatnonzero(x)
    indices: list[Variable] = []
    for length in shape_of(x)[:0:-1]:
        indices.append(remainder(position, length))
        position = floor_divide(position, length)
    return (position, *indices[::-1])

"""Elements repeated and moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Axes, Axis, ScalarLike
from ..core.errors import ShapeError, SymgraphTypeError
from ..core.types import is_integer
from ..core.values import entries_of, listed, whole_number
from ..core.variable import Variable, constant_value
from .broadcast import broadcast_to, rearrange
from .elementwise import maximum, negative, remainder
from .join import concatenate
from .promotion import as_variable, cast_to
from .reshape import reshape
from .shape import along_axis, expand_dims, normalise_axes, ravel
from .sizes import as_scalar, shape_of
from .slices import Span, read_slice, slice_axis

__all__ = ["count_of", "flip", "repeat", "roll", "tile"]


def repeat(x: ArrayLike, repeats: ScalarLike, axis: Axis | None = None) -> Variable:
    """Each element, or slice along the axis, so many times; of the flattened ``x`` for no axis.

    ``repeats`` is an int or an integer scalar; NumPy takes one for each element too, which `take`
    does here. A number below 0, or an axis that is not there, is a `ShapeError`; what is no integer
    a `SymgraphTypeError`.

    >>> sg.repeat([[1, 2]], 2, axis=1).eval()
    array([[1, 1, 2, 2]])
    """
    x, axis = along_axis(x, axis, "repeat")
    repeats = count_of(repeats, "repeat")
    sizes = shape_of(x)
    wide = broadcast_to(expand_dims(x, axis + 1), (*sizes[: axis + 1], repeats, *sizes[axis + 1 :]))
    return reshape(wide, (*sizes[:axis], sizes[axis] * repeats, *sizes[axis + 1 :]))


def tile(x: ArrayLike, repeats: ScalarLike | Sequence[ScalarLike]) -> Variable:
    """``x`` laid side by side so many times along each axis; along the last for one number.

    Where ``x`` and the numbers are not equally many, the shorter one gets leading ones. Errors as
    for `repeat`.

    >>> sg.tile([1, 2], (2, 2)).eval()
    array([[1, 2, 1, 2],
           [1, 2, 1, 2]])
    """
    x = as_variable(x, "tile")
    counts = [count_of(n, "tile") for n in listed(repeats)]
    counts = [1] * (x.ndim - len(counts)) + counts
    x = rearrange(x, [*([None] * (len(counts) - x.ndim)), *range(x.ndim)])
    pairs = list(zip(counts, shape_of(x), strict=True))
    order = [entry for axis in range(x.ndim) for entry in (None, axis)]
    wide = broadcast_to(rearrange(x, order), [entry for pair in pairs for entry in pair])
    return reshape(wide, [n * size for n, size in pairs])


def count_of(n: ScalarLike, function: str) -> int | Variable:
    """A number of repeats: an int of at least 0, or an integer scalar."""
    if isinstance(n, Variable) and n.ndim == 0 and is_integer(n.dtype):
        value = constant_value(n)
        count = n if value is None else int(value)
    elif (count := whole_number(n)) is None:
        raise SymgraphTypeError.here(
            f"{function}: the number of repeats is an int or an integer scalar; found "
            + provenance.describe(n),
            remedy="sg.take with a list of indices repeats elements unequally often.",
        )
    if not isinstance(count, Variable) and count < 0:
        raise ShapeError.here(f"{function}: {count} repeats are less than none")
    return count


def flip(x: ArrayLike, axis: Axes = None) -> Variable:
    """``x`` with the order of the elements reversed along these axes (None: along all).

    An axis that is not there, or is named twice, is a `ShapeError`.

    >>> sg.flip([[1, 2], [3, 4]], 1).eval()
    array([[2, 1],
           [4, 3]])
    """
    x = as_variable(x, "flip")
    axes = range(x.ndim) if axis is None else normalise_axes(axis, x.ndim, "flip")
    return read_slice(x, [Span(0, None, -1) if i in axes else None for i in range(x.ndim)], ())


def roll(x: ArrayLike, shift: ScalarLike | Sequence[ScalarLike], axis: Axes = None) -> Variable:
    """``x`` shifted along the axes, what leaves at the end coming in at the front.

    ``shift`` is an int or an integer scalar, or one for each axis; a negative one goes to the
    front. Without an axis the flattened ``x`` is shifted, and keeps its shape. Other numbers of
    shifts than axes, or an axis that is not there, are a `ShapeError`; a shift that is no integer
    is a `SymgraphTypeError`.

    >>> sg.roll([1, 2, 3, 4], 1).eval()
    array([4, 1, 2, 3])
    """
    x = as_variable(x, "roll")
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), shape_of(x))
    axes = normalise_axes(axis, x.ndim, "roll")
    several = entries_of(shift)
    shifts: list[Any] = [shift] * len(axes) if several is None else several
    if len(shifts) != len(axes):
        raise ShapeError.here(f"roll: {len(shifts)} shifts for {len(axes)} axes")
    for one, by in zip(axes, shifts, strict=True):
        number = whole_number(by)
        x = _roll_axis(x, _shift(by) if number is None else number, one)
    return x


def _roll_axis(x: Variable, shift: int | Variable, axis: int) -> Variable:
    length = shape_of(x)[axis]
    if isinstance(length, int) and not isinstance(shift, Variable):
        start: Any = (length - shift) % length if length else 0
    elif isinstance(shift, int) and abs(shift) == 1:
        start = -shift  # right for an axis of any size
    else:
        back = remainder(negative(as_scalar(shift)), maximum(as_scalar(length), 1))
        start = maximum(back, 0)  # which tells that it is not negative
    return concatenate([slice_axis(x, axis, start), slice_axis(x, axis, 0, start)], axis)


def _shift(shift: ScalarLike) -> Variable:
    """A shift as an int64 scalar."""
    shift = as_variable(shift, "roll")
    if shift.ndim or not is_integer(shift.dtype):
        raise SymgraphTypeError.here(
            f"roll: a shift is an int or an integer scalar; found {provenance.describe(shift)}"
        )
    return cast_to(shift, np.dtype("int64"))

"""Elements repeated and moved."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import provenance
from ..core.errors import ShapeError, SymgraphTypeError
from ..core.types import is_integer
from ..core.values import entries_of, whole_number
from ..core.variable import Variable, constant_value
from .broadcast import broadcast_to, rearrange
from .elementwise import maximum, negative, remainder
from .join import concatenate
from .promotion import as_variable, cast_to
from .reshape import reshape
from .shape import expand_dims, normalise_axes, normalise_axis, ravel
from .sizes import as_scalar, shape_of
from .slices import Span, read_slice, slice_axis

__all__ = ["count_of", "flip", "repeat", "roll", "tile"]


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Variable:
    """Each element (or slice along the axis) so many times; of the flattened ``x`` for no axis."""
    x = as_variable(x, "repeat")
    if axis is None:
        x, axis = ravel(x), 0
    axis = normalise_axis(axis, x.ndim, "repeat")
    repeats = count_of(repeats, "repeat")
    sizes = shape_of(x)
    wide = broadcast_to(expand_dims(x, axis + 1), (*sizes[: axis + 1], repeats, *sizes[axis + 1 :]))
    return reshape(wide, (*sizes[:axis], sizes[axis] * repeats, *sizes[axis + 1 :]))


def tile(x: Any, repeats: Any) -> Variable:
    """``x`` laid side by side so many times along each axis."""
    x = as_variable(x, "tile")
    several = entries_of(repeats)
    counts = [count_of(n, "tile") for n in ([repeats] if several is None else several)]
    counts = [1] * (x.ndim - len(counts)) + counts
    x = rearrange(x, [*([None] * (len(counts) - x.ndim)), *range(x.ndim)])
    sizes = shape_of(x)
    order: list[int | None] = []
    wide: list[Any] = []
    for i, (n, s) in enumerate(zip(counts, sizes, strict=True)):
        order += [None, i]
        wide += [n, s]
    return reshape(
        broadcast_to(rearrange(x, order), wide),
        [n * s for n, s in zip(counts, sizes, strict=True)],
    )


def count_of(n: Any, function: str) -> Any:
    """A number of repeats: an int of at least 0, or an integer scalar."""
    if isinstance(n, Variable) and n.ndim == 0 and is_integer(n.dtype):
        value = constant_value(n)
        n = n if value is None else int(value)
    elif (number := whole_number(n)) is not None:
        n = number
    else:
        found = provenance.describe(n) if isinstance(n, Variable) else repr(n)
        raise SymgraphTypeError.here(
            f"{function}: the number of repeats is an int or an integer scalar; found {found}",
            remedy="sg.take with a list of indices repeats elements unequally often.",
        )
    if not isinstance(n, Variable) and n < 0:
        raise ShapeError.here(f"{function}: {n} repeats are less than none")
    return n


def flip(x: Any, axis: Any = None) -> Variable:
    """``x`` with the order of the elements reversed along these axes, or all."""
    x = as_variable(x, "flip")
    axes = range(x.ndim) if axis is None else normalise_axes(axis, x.ndim, "flip")
    return read_slice(x, [Span(0, None, -1) if i in axes else None for i in range(x.ndim)], ())


def roll(x: Any, shift: Any, axis: Any = None) -> Variable:
    """``x`` shifted along the axes, what leaves at the end coming in at the front.

    Without an axis the flattened ``x`` is shifted, and keeps its shape.
    """
    x = as_variable(x, "roll")
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), shape_of(x))
    axes = normalise_axes(axis, x.ndim, "roll")
    several = entries_of(shift)
    shifts = [shift] * len(axes) if several is None else several
    shifts = [by if (number := whole_number(by)) is None else number for by in shifts]
    if len(shifts) != len(axes):
        raise ShapeError.here(f"roll: {len(shifts)} shifts for {len(axes)} axes")
    for one, by in zip(axes, shifts, strict=True):
        x = _roll_axis(x, by, one)
    return x


def _roll_axis(x: Variable, shift: Any, axis: int) -> Variable:
    length = shape_of(x)[axis]
    if isinstance(length, int) and not isinstance(shift, Variable):
        start: Any = (length - shift) % length if length else 0
    elif isinstance(shift, int) and abs(shift) == 1:
        start = -shift  # right for an axis of any size
    else:
        back = remainder(negative(_shift(shift)), maximum(as_scalar(length), 1))
        start = maximum(back, 0)  # which tells that it is not negative
    return concatenate([slice_axis(x, axis, start), slice_axis(x, axis, 0, start)], axis)


def _shift(shift: Any) -> Variable:
    """A shift as an int64 scalar."""
    shift = as_variable(shift, "roll")
    if shift.ndim or not is_integer(shift.dtype):
        raise SymgraphTypeError.here(
            f"roll: a shift is an int or an integer scalar; found {provenance.describe(shift)}"
        )
    return cast_to(shift, np.dtype("int64"))

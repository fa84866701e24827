"""Elements repeated, moved, and added at the edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import provenance
from ..core.errors import ShapeError, SymgraphTypeError, explain
from ..core.types import is_integer
from ..core.values import entries_of, whole_number
from ..core.variable import Variable, constant_value
from .broadcast import broadcast_to, rearrange
from .elementwise import maximum, negative, remainder
from .join import concatenate
from .promotion import as_variable, cast_to, fill_with
from .reshape import reshape
from .shape import expand_dims, normalise_axes, normalise_axis, ravel
from .sizes import as_scalar, shape_of
from .slices import At, Span, read_slice, slice_axis

__all__ = ["flip", "pad", "repeat", "roll", "tile"]


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Variable:
    """Each element (or slice along the axis) so many times; of the flattened ``x`` for no axis."""
    x = as_variable(x, "repeat")
    if axis is None:
        x, axis = ravel(x), 0
    axis = normalise_axis(axis, x.ndim, "repeat")
    repeats = _count(repeats, "repeat")
    sizes = shape_of(x)
    wide = broadcast_to(expand_dims(x, axis + 1), (*sizes[: axis + 1], repeats, *sizes[axis + 1 :]))
    return reshape(wide, (*sizes[:axis], sizes[axis] * repeats, *sizes[axis + 1 :]))


def tile(x: Any, repeats: Any) -> Variable:
    """``x`` laid side by side so many times along each axis."""
    x = as_variable(x, "tile")
    several = entries_of(repeats)
    counts = [_count(n, "tile") for n in ([repeats] if several is None else several)]
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


def _count(n: Any, function: str) -> Any:
    """A number of repeats: an int of at least 0, or an integer scalar."""
    if isinstance(n, Variable) and n.ndim == 0 and is_integer(n.dtype):
        value = constant_value(n)
        n = n if value is None else int(value)
    elif (number := whole_number(n)) is not None:
        n = number
    else:
        found = provenance.describe(n) if isinstance(n, Variable) else repr(n)
        raise SymgraphTypeError(
            explain(
                f"{function}: the number of repeats is an int or an integer scalar; found {found}",
                line=provenance.user_line(),
                remedy="sg.take with a list of indices repeats elements unequally often.",
            )
        )
    if not isinstance(n, Variable) and n < 0:
        raise ShapeError(
            explain(f"{function}: {n} repeats are less than none", line=provenance.user_line())
        )
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
        raise ShapeError(
            explain(f"roll: {len(shifts)} shifts for {len(axes)} axes", line=provenance.user_line())
        )
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
        raise SymgraphTypeError(
            explain(
                f"roll: a shift is an int or an integer scalar; found {provenance.describe(shift)}",
                line=provenance.user_line(),
            )
        )
    return cast_to(shift, np.dtype("int64"))


def pad(x: Any, widths: Any, mode: str = "constant", constant_values: Any = 0) -> Variable:
    """``x`` with so many elements before and after on each axis.

    ``widths`` is one int for all, a pair for all, or a pair for each axis, of ints or integer
    scalars. ``mode`` is ``constant`` (filled with ``constant_values``) or ``edge`` (the first and
    last elements repeated).
    """
    x = as_variable(x, "pad")
    if mode not in ("constant", "edge"):
        raise SymgraphTypeError(
            explain(
                f"pad: mode {mode!r} is not supported",
                line=provenance.user_line(),
                remedy="Modes are 'constant' and 'edge'; others are made of concatenate and flip.",
            )
        )
    for axis, (before, after) in enumerate(_pad_widths(widths, x.ndim)):
        fillers = []
        for count, edge in ((before, 0), (after, -1)):
            if isinstance(count, int) and count == 0:
                continue
            if mode == "constant":
                filler = fill_with(constant_values, x.dtype, "pad")
            else:
                at = [At(edge) if i == axis else None for i in range(x.ndim)]
                filler = expand_dims(read_slice(x, at, ()), axis)
            sizes = shape_of(x)
            fillers.append((edge, broadcast_to(filler, (*sizes[:axis], count, *sizes[axis + 1 :]))))
        front = [filler for edge, filler in fillers if edge == 0]
        back = [filler for edge, filler in fillers if edge == -1]
        x = concatenate([*front, x, *back], axis)
    return x


def _pad_widths(widths: Any, ndim: int) -> list[tuple[Any, Any]]:
    """The widths before and after for each axis."""
    entries = widths.tolist() if isinstance(widths, np.ndarray) else widths
    if not isinstance(entries, (list, tuple)):
        pairs = [(entries, entries)] * ndim
    elif not any(isinstance(e, (list, tuple)) for e in entries) and len(entries) == 2:
        pairs = [tuple(entries)] * ndim
    else:
        pairs = [tuple(e) if isinstance(e, (list, tuple)) else (e, e) for e in entries]
        pairs = pairs * ndim if len(pairs) == 1 else pairs
    if len(pairs) != ndim or any(len(pair) != 2 for pair in pairs):
        raise ShapeError(
            explain(
                f"pad: widths {widths} do not fit {ndim} axes",
                line=provenance.user_line(),
                remedy="Give a pair (before, after) for each axis.",
            )
        )
    return [(_count(a, "pad"), _count(b, "pad")) for a, b in pairs]

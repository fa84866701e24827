"""Elements added before and after those of an axis: one value, or the array's own once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, ScalarLike, SizeLike
from ..core.errors import ShapeError, SymgraphTypeError
from ..core.variable import Variable
from .broadcast import broadcast_to
from .elementwise import maximum, minimum, multiply, remainder, subtract
from .join import concatenate
from .positions import take
from .promotion import as_variable, fill_with
from .ranges import arange
from .repeat import count_of
from .shape import expand_dims
from .sizes import shape_of
from .slices import At, read_slice

__all__ = ["pad"]


def pad(
    x: ArrayLike,
    widths: SizeLike | Sequence[SizeLike | Sequence[SizeLike]],
    mode: str = "constant",
    constant_values: ScalarLike | Sequence[ScalarLike | Sequence[ScalarLike]] = 0,
) -> Variable:
    """``x`` with so many elements before and after on each axis.

    ``widths`` is one int for all, a pair for all, or a pair for each axis, of ints or integer
    scalars. ``mode`` is ``constant`` (filled with ``constant_values``: one, a pair, or a pair for
    each axis), ``edge`` (the first and last elements repeated), ``reflect`` (mirrored at the first
    and last elements), ``symmetric`` (mirrored, those included) or ``wrap`` (from the other end);
    NumPy has more. Another one is a `SymgraphTypeError`; widths that do not fit the axes or are
    below 0, and an axis without elements to repeat, are a `ShapeError`.

    >>> sg.pad([1, 2], (1, 2)).eval()
    array([0, 1, 2, 0, 0])
    """
    x = as_variable(x, "pad")
    if mode not in ("constant", "edge", *_PLACES):
        raise SymgraphTypeError.here(
            f"pad: mode {mode!r} is not supported",
            remedy="Modes are 'constant', 'edge', 'reflect', 'symmetric' and 'wrap'; others "
            "are made of sg.concatenate.",
        )
    values = _pairs(constant_values, x.ndim, "constant_values")
    for axis, (before, after) in enumerate(_pairs(widths, x.ndim, "widths")):
        counts = (count_of(before, "pad"), count_of(after, "pad"))
        if any(isinstance(count, Variable) or count for count in counts):
            x = _pad_axis(x, axis, counts, mode, values[axis])
    return x


def _pad_axis(
    x: Variable,
    axis: int,
    counts: tuple[int | Variable, int | Variable],
    mode: str,
    values: tuple[ScalarLike, ScalarLike],
) -> Variable:
    sizes = shape_of(x)
    if mode != "constant" and x.type.shape[axis] == 0:
        raise ShapeError.here(
            f"pad: axis {axis} of {provenance.describe(x)} has no element to repeat",
            remedy="Mode 'constant' fills an axis without elements.",
        )
    if mode in _PLACES:
        before, after = counts
        places = subtract(arange(sizes[axis] + before + after), before)
        return take(x, _PLACES[mode](places, sizes[axis]), axis)
    fillers = []
    for count, edge, value in zip(counts, (0, -1), values, strict=True):
        if mode == "constant":
            filler = fill_with(value, x.dtype, "pad")
        else:
            at = [At(edge) if i == axis else None for i in range(x.ndim)]
            filler = expand_dims(read_slice(x, at, ()), axis)
        shape = (*sizes[:axis], count, *sizes[axis + 1 :])
        empty = isinstance(count, int) and count == 0
        fillers.append([] if empty else [broadcast_to(filler, shape)])
    return concatenate([*fillers[0], x, *fillers[1]], axis)


def _reflected(places: Variable, size: int | Variable) -> Variable:
    last = subtract(size, 1)
    turned = remainder(places, maximum(multiply(last, 2), 1))
    return minimum(turned, subtract(multiply(last, 2), turned))


def _mirrored(places: Variable, size: int | Variable) -> Variable:
    period = multiply(size, 2)
    turned = remainder(places, period)
    return minimum(turned, subtract(subtract(period, 1), turned))


# Where the elements come from, for places counted from the first one and the size of the axis.
_PLACES: dict[str, Callable[[Variable, int | Variable], Variable]] = {
    "reflect": _reflected,
    "symmetric": _mirrored,
    "wrap": remainder,
}


def _pairs(value: Any, ndim: int, what: str) -> list[tuple[Any, Any]]:
    """What belongs before and after on each axis: given once, as a pair, or for each axis."""
    entries = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    if not isinstance(entries, (list, tuple)):
        pairs = [(entries, entries)] * ndim
    elif not any(isinstance(e, (list, tuple)) for e in entries) and len(entries) == 2:
        pairs = [tuple(entries)] * ndim
    else:
        pairs = [tuple(e) if isinstance(e, (list, tuple)) else (e, e) for e in entries]
        pairs = [pair * 2 if len(pair) == 1 else pair for pair in pairs]
        pairs = pairs * ndim if len(pairs) == 1 else pairs
    if len(pairs) != ndim or any(len(pair) != 2 for pair in pairs):
        raise ShapeError.here(
            f"pad: {what} {value} do not fit {ndim} axes",
            remedy="Give a pair (before, after) for each axis.",
        )
    return pairs

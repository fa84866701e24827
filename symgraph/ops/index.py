"""``x[index]`` as in NumPy, and the copies ``x.set(index, value)`` and ``x.add_at(index, value)``.

An index is taken apart into a `Part`: slices and single elements first (`slices`), then arrays of
indices (`gather`), then the order of the axes with new ones put in. Writing goes the same way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import provenance
from ..core.errors import DtypeError, IndexRangeError, ShapeError, SymgraphTypeError
from ..core.types import is_float, is_integer
from ..core.variable import Variable, constant_value
from .broadcast import rearrange
from .create import iota
from .elementwise import floor_divide, maximum, minimum, remainder
from .gather import SCATTER_ADD, SCATTER_SET, flat_nonzero, gather, merge_axes, place_of, scatter
from .join import stack
from .promotion import as_variable, store_in
from .reshape import fit, reshape
from .shape import normalise_axis, ravel
from .sizes import as_scalar, shape_of, size_of
from .slices import SYMBOL, At, Entry, Span, add_slice, bound, read_slice, set_slice

__all__ = [
    "add_at",
    "flatnonzero",
    "get",
    "nonzero",
    "set_at",
    "take",
    "take_along_axis",
]


@dataclass
class Part:
    """The part of ``x`` that an index means."""

    x: Variable
    entries: list[Entry]
    symbols: list[Variable]
    # Index arrays and masks, each with the axis of the sliced x that it addresses (a mask: its
    # first one).
    arrays: list[tuple[int, Variable]]
    # What the result's axes are: numbers of axes of the sliced x, "indices", or None for a new one.
    layout: list[int | str | None]

    def read(self) -> Variable:
        """The part as a variable."""
        sliced = read_slice(self.x, self.entries, self.symbols)
        if not self.arrays:
            return rearrange(sliced, self._order(sliced.ndim, [], 0))
        merged, indices, axes = self._locate(sliced)
        found = gather(merged, indices, axes)
        return rearrange(found, self._order(merged.ndim, axes, _common_ndim(indices)))

    def write(self, value: Variable, *, adding: bool) -> Variable:
        """``x`` with the value stored in the part, or added to it."""
        part = self.read()
        sliced = read_slice(self.x, self.entries, self.symbols)
        if part is not sliced:
            value = fit(value, part, "add_at" if adding else "set")
        if not self.arrays:
            value = _undo(value, self._order(sliced.ndim, [], 0), sliced.ndim)
            change = add_slice if adding else set_slice
            return change(self.x, self.entries, self.symbols, value)
        merged, indices, axes = self._locate(sliced)
        ndim = merged.ndim - len(axes) + _common_ndim(indices)
        value = _undo(value, self._order(merged.ndim, axes, _common_ndim(indices)), ndim)
        changed = scatter(SCATTER_ADD if adding else SCATTER_SET, merged, value, indices, axes)
        if merged is not sliced:
            changed = reshape(changed, shape_of(sliced))
        if sliced is self.x:
            return changed
        return set_slice(self.x, self.entries, self.symbols, changed)

    def _locate(self, sliced: Variable) -> tuple[Variable, list[Variable], list[int]]:
        """The sliced x with masked axes merged, the arrays of indices, and their axes in it."""
        merged = sliced
        found: list[tuple[int, Variable]] = []
        shift = 0
        for axis, array in self.arrays:
            if array.dtype.kind == "b":
                merged = merge_axes(merged, array, axis - shift)
                found.append((axis - shift, flat_nonzero(array)))
                shift += array.ndim - 1
            else:
                found.append((axis - shift, array))
        return merged, [index for _, index in found], [axis for axis, _ in found]

    def _order(self, ndim: int, axes: Sequence[int], n_indices: int) -> list[int | None]:
        """For each axis of the result, its place in what slicing and gathering give."""
        kept = [axis for axis in range(ndim) if axis not in axes]
        place = place_of(axes) if axes else 0
        order: list[int | None] = []
        count = 0  # of the axes of x so far: masks have merged some of theirs
        for entry in self.layout:
            if entry is None:
                order.append(None)
            elif entry == "indices":
                order += range(place, place + n_indices)
            else:
                order.append(count if count < place else count + n_indices)
                count += 1
        assert count == len(kept)
        return order


def _common_ndim(indices: Sequence[Variable]) -> int:
    return max(index.ndim for index in indices)


def _undo(value: Variable, order: Sequence[int | None], ndim: int) -> Variable:
    """The value with its axes where they were before they were put into this order."""
    if list(order) == list(range(ndim)):
        return value
    return rearrange(value, [order.index(axis) for axis in range(ndim)])


# --- an index taken apart -----------------------------------------------------------------------


def part_of(x: Variable, index: Any) -> Part:
    """The part of ``x`` that an index means."""
    items = _complete(x, [_normalise(item) for item in _as_tuple(index)])
    has_arrays = any(isinstance(item, Variable) and item.ndim for item in items)
    part = Part(x, [], [], [], [])
    advanced: list[int] = []  # positions of what NumPy counts as indices of an array
    axis = 0  # of x
    target = 0  # of the sliced x
    for position, item in enumerate(items):
        if item is Ellipsis:
            continue
        if item is None:
            part.layout.append(None)
        elif isinstance(item, slice):
            part.entries.append(_span(item, x, axis, part.symbols))
            part.layout.append(target)
            axis, target = axis + 1, target + 1
        elif isinstance(item, Variable) and item.ndim:
            covered = item.ndim if item.dtype.kind == "b" else 1
            part.entries += [None] * covered
            part.arrays.append((target, item))
            axis, target = axis + covered, target + covered
            advanced.append(position)
        else:
            symbolic = isinstance(item, Variable)
            part.entries.append(At(SYMBOL if symbolic else item))
            if symbolic:
                part.symbols.append(item)
            axis += 1
            if has_arrays:
                advanced.append(position)
        if advanced and advanced[-1] == position and "indices" not in part.layout:
            part.layout.append("indices")
    if advanced and advanced[-1] - advanced[0] >= len(advanced):  # something stands between them
        part.layout.remove("indices")
        part.layout.insert(0, "indices")
    return part


def _as_tuple(index: Any) -> tuple:
    return index if isinstance(index, tuple) else (index,)


def _normalise(item: Any) -> Any:
    """An index as None, Ellipsis, a slice, an int, an integer scalar, or an array variable."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return int(item)
    if isinstance(item, (list, tuple)) and any(isinstance(entry, Variable) for entry in item):
        item = stack(item)
    elif isinstance(item, (list, tuple)) and not np.size(item):
        item = np.zeros(np.shape(item), np.int64)
    if not isinstance(item, (Variable, np.ndarray, np.bool_, list, tuple, bool)):
        raise _bad_index(repr(item))
    found = as_variable(item, "indexing")
    if is_float(found.dtype) or (found.ndim == 0 and found.dtype.kind == "b"):
        raise _bad_index(provenance.describe(found))
    value = constant_value(found)
    return int(value) if value is not None and found.ndim == 0 else found


def _bad_index(found: str) -> DtypeError:
    return DtypeError.here(
        "an index is an int, a slice, None, ..., or an array of integers or of bools; "
        f"found {found}"
    )


def _complete(x: Variable, items: list[Any]) -> list[Any]:
    """The items with whole axes put in after the ellipsis, or at the end.

    The ellipsis stays: NumPy has it part arrays from each other even where it stands for no axis.
    """
    covered = sum(
        item.ndim if isinstance(item, Variable) and item.dtype.kind == "b" else 1
        for item in items
        if item is not None and item is not Ellipsis
    )
    missing = x.ndim - covered
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if missing < 0 or len(dots) > 1:
        what = "several ellipses" if len(dots) > 1 else f"{covered} indices"
        raise IndexRangeError.here(
            f"{provenance.describe(x)} has {x.ndim} axes; the index has {what}"
        )
    end = dots[0] + 1 if dots else len(items)
    return items[:end] + [slice(None)] * missing + items[end:]


def _span(item: slice, x: Variable, axis: int, symbols: list[Variable]) -> Entry:
    """The entry for a slice; its symbolic bounds are added to the symbols."""
    step = 1 if item.step is None else bound(item.step, x, axis)
    if not isinstance(step, int) or step == 0:
        raise SymgraphTypeError.here(
            f"the step of a slice is a number other than 0; found {item.step!r}"
        )
    start, stop = (bound(edge, x, axis, after=step < 0) for edge in (item.start, item.stop))
    if step < 0:  # x[a:b:-k] is x[b + 1:a + 1][::-k]
        start, stop = stop, start
    if isinstance(stop, Variable) and size_of(stop) == x.type.shape[axis]:
        stop = None
    start = 0 if start is None else start
    if isinstance(start, int) and start == 0 and stop is None and step == 1:
        return None
    edges = []
    for edge in (start, stop):
        if isinstance(edge, Variable):
            symbols.append(edge)
            edge = SYMBOL
        edges.append(edge)
    return Span(edges[0], edges[1], step)


# --- reading and writing ------------------------------------------------------------------------


def get(x: Variable, index: Any) -> Variable:
    """``x[index]``, as in NumPy; indices may be symbols."""
    return part_of(x, index).read()


def set_at(x: Any, index: Any, value: Any) -> Variable:
    """``x`` with ``x[index] = value``: the last value stays where an index is repeated."""
    x = as_variable(x, "set")
    return part_of(x, index).write(store_in(x.dtype, value, "set"), adding=False)


def add_at(x: Any, index: Any, value: Any) -> Variable:
    """``x`` with the value added to ``x[index]``: all values where an index is repeated."""
    x = as_variable(x, "add_at")
    return part_of(x, index).write(store_in(x.dtype, value, "add_at"), adding=True)


# --- functions ----------------------------------------------------------------------------------


def take(x: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Variable:
    """The elements of ``x`` at these indices of an axis; of the flattened ``x`` for None.

    ``mode``: what becomes of an index out of range: ``raise`` an `IndexRangeError`, ``clip`` or
    ``wrap``.
    """
    x, indices = as_variable(x, "take"), as_variable(_integers(indices), "take")
    if not is_integer(indices.dtype):
        raise _bad_index(provenance.describe(indices))
    if axis is None:
        x, axis = ravel(x), 0
    axis = normalise_axis(axis, x.ndim, "take")
    length = as_scalar(shape_of(x)[axis])
    if mode == "clip":
        indices = minimum(maximum(indices, 0), length - 1)
    elif mode == "wrap":
        indices = remainder(indices, length)
    elif mode != "raise":
        raise SymgraphTypeError.here(f"take: the mode is 'raise', 'clip' or 'wrap', not {mode!r}")
    return get(x, (*([slice(None)] * axis), indices))


def _integers(indices: Any) -> Any:
    """The indices; an empty list counts as integers."""
    if isinstance(indices, (list, tuple)) and not len(indices):
        return np.zeros(0, np.int64)
    return indices


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Variable:
    """For each place of ``indices`` the element of ``x`` at that index along the axis."""
    x, indices = as_variable(x, "take_along_axis"), as_variable(indices, "take_along_axis")
    if axis is None:
        x, axis = ravel(x), 0
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


def flatnonzero(x: Any) -> Variable:
    """The positions in the flattened ``x`` of what is not zero; how many is known at the call."""
    return flat_nonzero(as_variable(x, "flatnonzero"))


def nonzero(x: Any) -> tuple[Variable, ...]:
    """The indices of what is not zero, one array for each axis."""
    x = as_variable(x, "nonzero")
    position = flatnonzero(x)
    found: list[Variable] = []
    for length in shape_of(x)[:0:-1]:
        found.append(remainder(position, length))
        position = floor_divide(position, length)
    return (position, *found[::-1])

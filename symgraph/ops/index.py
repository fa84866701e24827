"""``x[index]`` as in NumPy, and the copies ``x.set(index, value)`` and ``x.add_at(index, value)``.

An index is taken apart into a `Part`: slices and single elements first (`slices`), then arrays of
indices (`gather`), then the order of the axes with new ones put in. Writing goes the same way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Index
from ..core.errors import DtypeError, IndexRangeError, SymgraphTypeError
from ..core.types import is_float
from ..core.variable import Variable, constant_value
from .bounds import bound
from .broadcast import rearrange
from .gather import SCATTER_ADD, SCATTER_SET, flat_nonzero, gather, merge_axes, place_of, scatter
from .join import stack
from .promotion import as_variable, store_in
from .reshape import fit, reshape
from .sizes import shape_of, size_of
from .slices import ADD_SLICE, SET_SLICE, SYMBOL, At, Entry, change_slice, read_slice, span_between

__all__ = ["add_at", "bad_index", "get", "set_at"]


# One item of an index, as `_normalise` returns it.
_Item: TypeAlias = Any  # None, Ellipsis, a slice, an int, or a variable (a scalar: of integers)


@dataclass
class Part:
    """The part of ``x`` that an index means."""

    x: Variable
    entries: list[Entry]
    symbols: list[Variable]
    # Index arrays and masks, each with the axis of the sliced x that it addresses (a mask: its
    # first one).
    arrays: list[tuple[int, Variable]]
    # What the result's axes are: the next one of the sliced x, those of the indices, or None: new.
    layout: list[Literal["axis", "indices"] | None]

    def read(self) -> Variable:
        """The part as a variable."""
        sliced = read_slice(self.x, self.entries, self.symbols)
        if not self.arrays:
            return rearrange(sliced, self._order(sliced.ndim, [], 0))
        merged, indices, axes = self._locate(sliced)
        elements = gather(merged, indices, axes)
        return rearrange(elements, self._order(merged.ndim, axes, _common_ndim(indices)))

    def write(self, value: Variable, *, adding: bool) -> Variable:
        """``x`` with the value stored in the part, or added to it."""
        part = self.read()
        sliced = read_slice(self.x, self.entries, self.symbols)
        if part is not sliced:
            value = fit(value, part, "add_at" if adding else "set")
        if not self.arrays:
            value = _undo(value, self._order(sliced.ndim, [], 0), sliced.ndim)
            op = ADD_SLICE if adding else SET_SLICE
            return change_slice(op, self.x, value, self.entries, self.symbols)
        merged, indices, axes = self._locate(sliced)
        ndim = merged.ndim - len(axes) + _common_ndim(indices)
        value = _undo(value, self._order(merged.ndim, axes, _common_ndim(indices)), ndim)
        changed = scatter(SCATTER_ADD if adding else SCATTER_SET, merged, value, indices, axes)
        if merged is not sliced:
            changed = reshape(changed, shape_of(sliced))
        if sliced is self.x:
            return changed
        return change_slice(SET_SLICE, self.x, changed, self.entries, self.symbols)

    def _locate(self, sliced: Variable) -> tuple[Variable, list[Variable], list[int]]:
        """The sliced x with masked axes merged, the arrays of indices, and their axes in it."""
        merged = sliced
        indices: list[Variable] = []
        axes: list[int] = []
        for axis, array in self.arrays:
            axes.append(axis - (sliced.ndim - merged.ndim))
            if array.dtype.kind == "b":
                merged = merge_axes(merged, array, axes[-1])
                array = flat_nonzero(array)
            indices.append(array)
        return merged, indices, axes

    def _order(self, ndim: int, axes: Sequence[int], n_indices: int) -> list[int | None]:
        """For each axis of the result, its place in what slicing and gathering give."""
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
        assert count == ndim - len(axes)
        return order


def _common_ndim(indices: Sequence[Variable]) -> int:
    return max(index.ndim for index in indices)


def _undo(value: Variable, order: Sequence[int | None], ndim: int) -> Variable:
    """The value with its axes where they were before they were put into this order."""
    if list(order) == list(range(ndim)):
        return value
    return rearrange(value, [order.index(axis) for axis in range(ndim)])


# --- an index taken apart -----------------------------------------------------------------------


def part_of(x: Variable, index: Index) -> Part:
    """The part of ``x`` that an index means."""
    written = index if isinstance(index, tuple) else (index,)
    items = _complete(x, [_normalise(item) for item in written])
    part = Part(x, [], [], [], [])
    for item in items:
        if item is None:
            part.layout.append(None)
        elif isinstance(item, slice):
            part.entries.append(_span(item, x, len(part.entries), part.symbols))
            part.layout.append("axis")
        elif _is_array(item):
            target = sum(not isinstance(entry, At) for entry in part.entries)
            part.arrays.append((target, item))
            part.entries += [None] * _axes_covered(item)
        elif isinstance(item, Variable):
            part.entries.append(At(SYMBOL))
            part.symbols.append(item)
        elif item is not Ellipsis:
            part.entries.append(At(item))
    if part.arrays:
        part.layout.insert(_place_of_indices(items), "indices")
    return part


def _place_of_indices(items: Sequence[_Item]) -> int:
    """How many axes of the result stand before those of the index arrays.

    NumPy counts single elements as arrays beside an array; where something stands between two of
    all those, their axes come first.
    """
    positions = [i for i, item in enumerate(items) if isinstance(item, (int, Variable))]
    if positions[-1] - positions[0] >= len(positions):
        return 0
    return sum(item is not Ellipsis for item in items[: positions[0]])


def _is_array(item: _Item) -> bool:
    return isinstance(item, Variable) and item.ndim > 0


def _axes_covered(item: _Item) -> int:
    """How many axes of ``x`` an item stands for."""
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, Variable) and item.dtype.kind == "b" else 1


def _normalise(item: Any) -> _Item:
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
        raise bad_index(repr(item))
    array = as_variable(item, "indexing")
    if is_float(array.dtype) or (array.ndim == 0 and array.dtype.kind == "b"):
        raise bad_index(provenance.describe(array))
    value = constant_value(array)
    return int(value) if value is not None and array.ndim == 0 else array


def bad_index(label: str) -> DtypeError:
    return DtypeError.here(
        "an index is an int, a slice, None, ..., or an array of integers or of bools; "
        f"found {label}"
    )


def _complete(x: Variable, items: list[_Item]) -> list[_Item]:
    """The items with whole axes put in after the ellipsis, or at the end.

    The ellipsis stays: NumPy has it part arrays from each other even where it stands for no axis.
    """
    covered = sum(map(_axes_covered, items))
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
    if stop is None and step == 1 and (start is None or (isinstance(start, int) and start == 0)):
        return None
    return span_between(start, stop, step, symbols)


# --- reading and writing ------------------------------------------------------------------------


def get(x: Variable, index: Index) -> Variable:
    """``x[index]``, as in NumPy; indices may be variables.

    Ints and integer scalars take an axis away, slices keep it, None makes one, ``...`` stands for
    all axes that are not named; arrays of integers and masks work as in NumPy. An index known to be
    outside its axis, or too many of them, are an `IndexRangeError`, at the call where only that
    tells; an index of floats is a `DtypeError`, a bound that is no integer a `SymgraphTypeError`.
    """
    return part_of(x, index).read()


def set_at(x: ArrayLike, index: Index, value: ArrayLike) -> Variable:
    """A copy of ``x`` after ``x[index] = value``: the last value stays where an index is repeated.

    The value is broadcast to the part, and takes the dtype of ``x`` under NumPy's ``same_kind``
    rule. Errors are those of ``x[index]``, a `ShapeError` for a value that does not fit, and a
    `DtypeError` for one that cannot be stored.

    >>> x = sg.vector("x")
    >>> x.set(slice(1, None), 0).eval({x: [1, 2, 3]})
    array([1., 0., 0.], dtype=float32)
    """
    x = as_variable(x, "set")
    return part_of(x, index).write(store_in(x.dtype, value, "set"), adding=False)


def add_at(x: ArrayLike, index: Index, value: ArrayLike) -> Variable:
    """A copy of ``x`` with the value added to ``x[index]``: all values where an index is repeated.

    As ``np.add.at``, where ``x[index] += value`` adds one value alone. Otherwise as ``x.set``.

    >>> x = sg.vector("x")
    >>> x.add_at([0, 0], 5).eval({x: [1, 2, 3]})
    array([11.,  2.,  3.], dtype=float32)
    """
    x = as_variable(x, "add_at")
    return part_of(x, index).write(store_in(x.dtype, value, "add_at"), adding=True)

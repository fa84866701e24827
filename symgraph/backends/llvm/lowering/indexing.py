"""Lowerings of indices: elements and rows by index, where an extreme is, the numbers 0, 1, …"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from ....core.dims import Dim, Size, product
from ....core.errors import IndexRangeError
from ....core.variable import Variable
from ....ops.broadcast import broadcast_shapes
from ....ops.extremes import ARGMAX, ARGMIN
from ....ops.gather import GATHER, SCATTER_ADD, SCATTER_SET
from ....ops.in_range import IN_RANGE, range_error, range_fault
from ....ops.ranges import IOTA
from ....ops.sizes import size_of
from ....ops.slices import ADD_SLICE, SET_SLICE, SLICE, SYMBOL, At, Entry, Span
from ..analysis.layout import contiguous_strides, is_contiguous, stretched
from ..kernels.indexing import (
    extreme_kernel,
    flat_index_kernel,
    iota_kernel,
    range_kernel,
    rows_kernel,
)
from .program import Place
from .records import Lowering
from .scope import Scope

__all__ = ["INDEXING", "write_change_of_element", "write_element"]

# The dtype of indices that are flattened.
_PLACES = np.dtype("int64")


def _write_iota(scope: Scope, v: Variable) -> bool:
    """The numbers 0, 1, …"""
    a = scope.assembler
    (length,) = v.type.shape
    if not a.is_bound(length):
        return False
    if isinstance(length, Dim):
        slots = [a.size(length), a.literal(0)]
        check = scope.builder.check(
            v, *slots, text=lambda n, _: f"arange: the length is negative: {n}"
        )
        a.run("at_least", *slots, check)
    a.main.emit(iota_kernel(scope.builder.cpu, v.dtype), scope.base(v), a.size(length))
    return True


def _write_extreme(kind: str, scope: Scope, v: Variable) -> bool:
    """The place of an extreme along an axis."""
    (x,) = v.inputs
    (axis,) = v.params
    a = scope.assembler
    shape = x.type.shape
    if isinstance(shape[axis], Dim):
        slots = [a.size(shape[axis]), a.literal(1)]
        a.run("at_least", *slots, scope.builder.check(v, *slots))
    sizes = [product(shape[:axis]), shape[axis], product(shape[axis + 1 :])]
    kernel = extreme_kernel(scope.builder.cpu, x.dtype, kind)
    a.main.emit(kernel, scope.contiguous(x), scope.base(v), *[a.size(s) for s in sizes])
    return True


def _write_in_range(scope: Scope, v: Variable) -> bool:
    """A copy of indices, none of which is outside the range."""
    indices, count = v.inputs
    what, is_index = v.params
    a, size = scope.assembler, size_of(count)
    if not a.is_bound(size):
        return False
    (bad, place), limit, unsigned = _two_slots(scope), a.size(size), v.dtype.kind == "u"
    status = scope.builder.check(
        v,
        bad,
        limit,
        text=lambda wrong, n: range_fault(wrong % 2**64 if unsigned else wrong, n, what),
        error=range_error(is_index=is_index),
        place=(place, v.type.shape),
    )
    kernel = range_kernel(scope.builder.cpu, v.dtype)
    places = scope.base(v), scope.contiguous(indices)
    failure = a.literal(bad), a.literal(status)
    a.main.emit(kernel, a.size(product(v.type.shape)), *places, limit, *failure)
    return True


# --- rows by index ------------------------------------------------------------------------------


class _Table(NamedTuple):
    """An array whose rows are found by index: along neighbouring axes, which count as one."""

    place: Place
    shape: tuple[Size, ...]
    axes: tuple[int, ...]


def write_element(scope: Scope, v: Variable) -> bool:
    """One element of an axis, at an index that the program computes: a row by index."""
    x, *symbols = v.inputs
    table = _table_of_slice(scope, v, scope.place(x))
    if table is None:
        return False
    _write_rows(scope, v, symbols, table, scope.base(v), "gather", _axis_of(v))
    return True


def write_change_of_element(scope: Scope, v: Variable) -> bool:
    """A copy of the array, and then one element of an axis changed, at an index that the program
    computes."""
    x, values, *symbols = v.inputs
    result = scope.result(v)
    table = _table_of_slice(scope, v, result)
    if table is None:
        return False
    scope.builder.copy(scope.place(x), result, v.type.shape, v.dtype)
    action = "set" if v.op is SET_SLICE else "add"
    _write_rows(scope, v, symbols, table, scope.contiguous(values), action, _axis_of(v))
    return True


def _axis_of(v: Variable) -> int:
    """The axis of which the program computes an index."""
    return v.params[0].index(At(SYMBOL))


def _table_of_slice(scope: Scope, v: Variable, whole: Place) -> _Table | None:
    """What of an array a slice at one computed index reads or changes by that; None where it is
    another slice. Elements of other axes, at indices that are known, are found by address."""
    entries: tuple[Entry, ...] = v.params[0]
    if entries.count(At(SYMBOL)) != 1 or any(isinstance(entry, Span) for entry in entries):
        return None
    offset: Size = 0
    kept: list[tuple[Size, Size]] = []
    axis = 0
    for size, stride, entry in zip(v.inputs[0].type.shape, whole.strides, entries, strict=True):
        if isinstance(entry, At) and entry.index != SYMBOL:
            index = int(entry.index)
            offset = offset + (index if index >= 0 else size + index) * stride
            continue
        axis = len(kept) if entry is not None else axis
        kept.append((size, stride))
    shape, strides = zip(*kept, strict=True)
    if not is_contiguous(shape[axis + 1 :], strides[axis + 1 :]):
        return None
    base = scope.assembler.address(whole.base, offset, v.dtype)
    return _Table(Place(base, strides), shape, (axis,))


def _write_gather(scope: Scope, v: Variable) -> bool:
    """Rows of an array at the places that index arrays name."""
    x, *indices = v.inputs
    (axes,) = v.params
    if not _are_neighbours(axes, indices):
        return False
    table, shape = scope.place(x), x.type.shape
    merged = all(table.strides[i] == table.strides[i + 1] * shape[i + 1] for i in axes[:-1])
    if not merged or not is_contiguous(shape[axes[-1] + 1 :], table.strides[axes[-1] + 1 :]):
        table = Place(scope.contiguous(x), contiguous_strides(shape))
    _write_rows(scope, v, indices, _Table(table, shape, axes), scope.base(v), "gather", axes[0])
    return True


def _write_scatter(action: str, scope: Scope, v: Variable) -> bool:
    """A copy of the array, and then rows stored or added where index arrays say."""
    x, values, *indices = v.inputs
    (axes,) = v.params
    if not _are_neighbours(axes, indices):
        return False
    result = scope.result(v)
    scope.builder.copy(scope.place(x), result, v.type.shape, v.dtype)
    table = _Table(result, v.type.shape, axes)
    _write_rows(scope, v, indices, table, scope.contiguous(values), action, axes[0])
    return True


def _are_neighbours(axes: tuple[int, ...], indices: list[Variable]) -> bool:
    """Whether the axes follow one another, and it is known how their indices broadcast."""
    common = _common_shape(indices)
    return axes[-1] - axes[0] == len(axes) - 1 and all(
        size in (1, common[-1 - i])
        for index in indices
        for i, size in enumerate(reversed(index.type.shape))
    )


def _common_shape(indices: list[Variable]) -> tuple[Size, ...]:
    return broadcast_shapes([index.type.shape for index in indices], "indexing")


def _write_rows(
    scope: Scope,
    v: Variable,
    indices: list[Variable],
    rows: _Table,
    part: int,
    action: str,
    first: int,
) -> None:
    """Rows of a table at indices, and as many rows at another address, one after the other: the
    kernel, once for each place before the axes. Errors name the ``first`` axis."""
    a, builder = scope.assembler, scope.builder
    table, shape, axes = rows
    count, width = product(_common_shape(indices)), product(shape[axes[-1] + 1 :])
    slot, dtype = _flat_index(scope, v, indices, axes)
    kernel = rows_kernel(builder.cpu, v.dtype, dtype, action)
    size = product(shape[axis] for axis in axes)
    sizes = [a.size(n) for n in (count, width, table.strides[axes[-1]], size)]
    failure = _out_of_range(scope, v, first, _common_shape(indices))
    outer = shape[: axes[0]]
    if any(isinstance(n, Dim) or n == 0 for n in outer):
        # Rows of no width: the indices are looked at even if there is no place for them.
        widthless = [sizes[0], a.literal(0), *sizes[2:]]
        a.main.emit(kernel, table.base, part, slot, *widthless, *failure)

    def write(table: int, part: int) -> None:
        a.main.emit(kernel, table, part, slot, *sizes, *failure)

    parts = Place(part, contiguous_strides((*outer, count, width)))
    builder.each(outer, [table, parts], v.dtype, write)


def _flat_index(
    scope: Scope, v: Variable, indices: list[Variable], axes: tuple[int, ...]
) -> tuple[int, np.dtype]:
    """The slot with the address of the indices, flattened where they are of several axes."""
    if len(axes) == 1:
        return scope.contiguous(indices[0]), indices[0].dtype
    a, builder, shape = scope.assembler, scope.builder, v.inputs[0].type.shape
    common, places = _common_shape(indices), [scope.contiguous(index) for index in indices]
    dtypes, faults = [index.dtype for index in indices], []
    for index, axis in zip(indices, axes, strict=True):
        ones = (1,) * (len(common) - index.ndim)
        faults.append(_out_of_range(scope, v, axis, (*ones, *index.type.shape)))
    for i, index in enumerate(indices):
        if index.type.shape != common:
            size = a.size(shape[axes[i]])
            places[i] = _broadcast(scope, index, places[i], size, faults[i], common)
            dtypes[i] = _PLACES
    operands = [
        operand
        for place, axis, fault in zip(places, axes, faults, strict=True)
        for operand in (place, a.size(shape[axis]), *fault)
    ]
    slot = builder.buffers.take(product(common), _PLACES)
    kernel = flat_index_kernel(builder.cpu, tuple(dtypes))
    a.main.emit(kernel, a.size(product(common)), slot, *operands)
    return slot, _PLACES


def _broadcast(
    scope: Scope, index: Variable, place: int, size: int, fault: tuple[int, int],
    common: tuple[Size, ...],
) -> int:  # fmt: skip
    """The slot with the address of indices in a larger shape, looked at before: that shape may have
    no elements."""
    builder, shape = scope.builder, index.type.shape
    count = product(shape)
    checked = builder.buffers.take(count, _PLACES)
    kernel = flat_index_kernel(builder.cpu, (index.dtype,))
    scope.assembler.main.emit(kernel, scope.assembler.size(count), checked, place, size, *fault)
    slot = builder.buffers.take(product(common), _PLACES)
    source = Place(checked, stretched(shape, contiguous_strides(shape), common))
    builder.copy(source, Place(slot, contiguous_strides(common)), common, _PLACES)
    builder.buffers.give_back(checked)
    return slot


def _two_slots(scope: Scope) -> tuple[int, int]:
    """Slots that follow each other: for an index that is out of range, and for its place."""
    return scope.assembler.slot(), scope.assembler.slot()


def _out_of_range(
    scope: Scope, v: Variable, axis: int, common: tuple[Size, ...]
) -> tuple[int, int]:
    """Literals: the offset of the slots for an index of an array of such a shape that is out of
    range, and the status then."""
    a = scope.assembler
    bad, place = _two_slots(scope)

    def text(wrong: int, *shape: int) -> str:
        if v.op in (SLICE, SET_SLICE, ADD_SLICE):
            return f"index {wrong} is outside axis {axis} of an array of shape {shape}"
        return f"index {wrong} is outside axis {axis}, which has size {shape[axis]}"

    sizes = map(a.size, v.inputs[0].type.shape)
    status = scope.builder.check(
        v, bad, *sizes, text=text, error=IndexRangeError, place=(place, common)
    )
    return a.literal(bad), a.literal(status)


INDEXING = {
    IOTA: Lowering(sizes=slice(None), write=_write_iota),
    ARGMAX: Lowering(write=partial(_write_extreme, "argmax")),
    ARGMIN: Lowering(write=partial(_write_extreme, "argmin")),
    IN_RANGE: Lowering(write=_write_in_range),
    GATHER: Lowering(write=_write_gather),
    SCATTER_SET: Lowering(write=partial(_write_scatter, "set")),
    SCATTER_ADD: Lowering(write=partial(_write_scatter, "add")),
}

"""Lowerings of indices: elements and rows by index, where an extreme is, the numbers 0, 1, …"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....core.dims import Dim, Size, product
from ....core.errors import IndexRangeError
from ....core.variable import Variable
from ....ops.gather import GATHER, SCATTER_ADD, SCATTER_SET
from ....ops.in_range import IN_RANGE, range_error, range_fault
from ....ops.ranges import IOTA
from ....ops.reduce import ARGMAX, ARGMIN
from ....ops.sizes import size_of
from ....ops.slices import SLICE, At
from ..analysis.layout import contiguous_strides, is_contiguous
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

__all__ = ["INDEXING", "write_element"]


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


def _write_extreme(scope: Scope, v: Variable) -> bool:
    """The place of an extreme along an axis."""
    (x,) = v.inputs
    (axis,) = v.params
    a = scope.assembler
    shape = x.type.shape
    if isinstance(shape[axis], Dim):
        slots = [a.size(shape[axis]), a.literal(1)]
        a.run("at_least", *slots, scope.builder.check(v, *slots))
    sizes = [product(shape[:axis]), shape[axis], product(shape[axis + 1 :])]
    kernel = extreme_kernel(scope.builder.cpu, x.dtype, v.op.name)
    a.main.emit(kernel, scope.contiguous(x), scope.base(v), *[a.size(s) for s in sizes])
    return True


def _write_in_range(scope: Scope, v: Variable) -> bool:
    """A copy of indices, none of which is outside the range."""
    indices, count = v.inputs
    what, is_index = v.params
    a, size = scope.assembler, size_of(count)
    if not a.is_bound(size):
        return False
    bad, limit, unsigned = a.slot(), a.size(size), v.dtype.kind == "u"
    status = scope.builder.check(
        v,
        bad,
        limit,
        text=lambda wrong, n: range_fault(wrong % 2**64 if unsigned else wrong, n, what),
        error=range_error(is_index=is_index),
    )
    kernel = range_kernel(scope.builder.cpu, v.dtype)
    places = scope.base(v), scope.contiguous(indices)
    failure = a.literal(bad), a.literal(status)
    a.main.emit(kernel, a.size(product(v.type.shape)), *places, limit, *failure)
    return True


def write_element(scope: Scope, v: Variable) -> bool:
    """One element of an axis, at an index that the program computes: a row by index."""
    x, *symbols = v.inputs
    named = [i for i, entry in enumerate(v.params[0]) if entry is not None]
    if len(named) != 1 or not isinstance(v.params[0][named[0]], At):
        return False
    axis, index = named[0], symbols[0]
    place = scope.place(x)
    if not is_contiguous(x.type.shape[axis + 1 :], place.strides[axis + 1 :]):
        return False
    rows = _rows(scope, v, x, [index], (axis,), place.strides)
    places = (place.base, scope.base(v))
    _each_outer(scope, v, x, v.type.shape, rows, places, place.strides, action="gather")
    return True


# --- rows by index ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """Rows that indices name: of an array, along neighbouring axes that count as one."""

    axis: int
    """The first of the axes: those before it are looped over."""
    size: Size
    width: Size
    """The elements of a row, which lie side by side."""
    stride: Size
    count: Size
    indices: int
    """The slot with the address of the indices."""
    dtype: np.dtype


def _write_gather(scope: Scope, v: Variable) -> bool:
    """Rows of an array at the places that index arrays name."""
    x, *indices = v.inputs
    (axes,) = v.params
    if not _are_neighbours(axes, indices):
        return False
    place = scope.place(x)
    merged = all(place.strides[i] == place.strides[i + 1] * x.type.shape[i + 1] for i in axes[:-1])
    if not merged or not is_contiguous(x.type.shape[axes[-1] + 1 :], place.strides[axes[-1] + 1 :]):
        place = Place(scope.contiguous(x), contiguous_strides(x.type.shape))
    rows = _rows(scope, v, x, indices, axes, place.strides)
    _each_outer(scope, v, x, v.type.shape, rows, (place.base, scope.base(v)), place.strides)
    return True


def _write_scatter(scope: Scope, v: Variable) -> bool:
    """A copy of the array, and then rows stored or added where index arrays say."""
    x, values, *indices = v.inputs
    (axes,) = v.params
    if not _are_neighbours(axes, indices):
        return False
    base, strides = scope.base(v), contiguous_strides(v.type.shape)
    scope.builder.copy(scope.place(x), Place(base, strides), v.type.shape, v.dtype)
    rows = _rows(scope, v, x, indices, axes, strides)
    places = (base, scope.contiguous(values))
    _each_outer(scope, v, x, values.type.shape, rows, places, strides)
    return True


def _are_neighbours(axes: tuple[int, ...], indices: list[Variable]) -> bool:
    """Whether the axes follow one another, and their indices are of one shape."""
    return axes[-1] - axes[0] == len(axes) - 1 and all(
        i.type.shape == indices[0].type.shape for i in indices
    )


def _rows(
    scope: Scope,
    v: Variable,
    x: Variable,
    indices: list[Variable],
    axes: tuple[int, ...],
    strides: tuple[Size, ...],
) -> _Rows:
    """The rows that the indices of one axis, or of several flattened, name."""
    a, first, last = scope.assembler, axes[0], axes[-1]
    count = product(indices[0].type.shape)
    slot, dtype = scope.contiguous(indices[0]), indices[0].dtype
    if len(axes) > 1:
        dtypes = tuple(i.dtype for i in indices)
        kernel = flat_index_kernel(scope.builder.cpu, dtypes)
        operands = [
            operand
            for index, axis in zip(indices, axes, strict=True)
            for operand in (
                scope.contiguous(index), a.size(x.type.shape[axis]),
                *_out_of_range(scope, v, axis),
            )
        ]  # fmt: skip
        slot, dtype = scope.builder.buffers.take(count, np.dtype("int64")), np.dtype("int64")
        a.main.emit(kernel, a.size(count), slot, *operands)
    size = product(x.type.shape[axis] for axis in axes)
    width = product(x.type.shape[last + 1 :])
    return _Rows(first, size, width, strides[last], count, slot, dtype)


def _out_of_range(scope: Scope, v: Variable, axis: int) -> tuple[int, int]:
    """Literals: the offset of a slot for an index that is out of range, the status then."""
    a = scope.assembler
    bad = a.slot()
    status = scope.builder.check(
        v,
        bad,
        *(a.size(s) for s in v.inputs[0].type.shape),
        text=lambda wrong, *shape: (
            f"index {wrong} is outside axis {axis}"
            + (
                f" of an array of shape {shape}"
                if v.op is SLICE
                else f", which has size {shape[axis]}"
            )
        ),
        error=IndexRangeError,
    )
    return a.literal(bad), a.literal(status)


def _each_outer(
    scope: Scope,
    v: Variable,
    x: Variable,
    part_shape: tuple[Size, ...],
    rows: _Rows,
    places: tuple[int, int],
    strides: tuple[Size, ...],
    *,
    action: str = "",
) -> None:
    """The kernel of rows, once for each place before the indexed axes."""
    a, builder = scope.assembler, scope.builder
    action = action or v.op.name.removeprefix("scatter_")
    kernel = rows_kernel(builder.cpu, v.dtype, rows.dtype, action)
    sizes = [a.size(s) for s in (rows.count, rows.width, rows.stride, rows.size)]
    failure = _out_of_range(scope, v, rows.axis)
    if any(isinstance(size, Dim) or size == 0 for size in x.type.shape[: rows.axis]):
        # Rows of no width: the indices are looked at even if there is no place for them.
        widthless = [sizes[0], a.literal(0), *sizes[2:]]
        a.main.emit(kernel, *places, rows.indices, *widthless, *failure)

    def loops(depth: int, table: int, part: int) -> None:
        if depth == rows.axis:
            a.main.emit(kernel, table, part, rows.indices, *sizes, *failure)
            return
        own = builder.advancing(
            [
                (table, strides[depth], x.dtype),
                (part, product(part_shape[depth + 1 :]), x.dtype),
            ]
        )
        (table, _), (part, _) = own
        a.loop(a.size(x.type.shape[depth]), a.slot(), own, lambda: loops(depth + 1, table, part))

    loops(0, *places)


INDEXING = {
    IOTA: Lowering(sizes=slice(None), write=_write_iota),
    ARGMAX: Lowering(write=_write_extreme),
    ARGMIN: Lowering(write=_write_extreme),
    IN_RANGE: Lowering(write=_write_in_range),
    GATHER: Lowering(write=_write_gather),
    SCATTER_SET: Lowering(write=_write_scatter),
    SCATTER_ADD: Lowering(write=_write_scatter),
}

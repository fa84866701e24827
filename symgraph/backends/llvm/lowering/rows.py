"""Lowerings of nodes that are neither loop nests nor products: indices, running sums, windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....core.dims import Dim, Size, maximum_zero, product
from ....core.errors import IndexRangeError
from ....core.variable import Variable
from ....ops.in_range import range_error, range_fault
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
from ..kernels.nest import Access, Nest, Output, Step
from .program import Place
from .records import rule
from .scope import Scope

__all__: list[str] = []


@rule("iota")
def lower_iota(scope: Scope, v: Variable) -> bool:
    """The numbers 0, 1, …"""
    a = scope.assembler
    (length,) = v.type.shape
    if not a.is_bound(length):
        return False
    if isinstance(length, Dim):
        slots = [a.size(length), a.literal(0)]
        check = scope.lowering.check(
            v, *slots, text=lambda n, _: f"arange: the length is negative: {n}"
        )
        a.run("at_least", *slots, check)
    a.main.emit(iota_kernel(scope.lowering.cpu, v.dtype), scope.base(v), a.size(length))
    return True


@rule("argmax", "argmin")
def lower_extreme(scope: Scope, v: Variable) -> bool:
    """The place of an extreme along an axis."""
    (x,) = v.inputs
    (axis,) = v.params
    a = scope.assembler
    shape = x.type.shape
    if isinstance(shape[axis], Dim):
        slots = [a.size(shape[axis]), a.literal(1)]
        a.run("at_least", *slots, scope.lowering.check(v, *slots))
    sizes = [product(shape[:axis]), shape[axis], product(shape[axis + 1 :])]
    kernel = extreme_kernel(scope.lowering.cpu, x.dtype, v.op.name)
    a.main.emit(kernel, scope.contiguous(x), scope.base(v), *[a.size(s) for s in sizes])
    return True


@rule("in_range")
def lower_in_range(scope: Scope, v: Variable) -> bool:
    """A copy of indices, none of which is outside the range."""
    indices, count = v.inputs
    what, is_index = v.params
    a, size = scope.assembler, size_of(count)
    if not a.is_bound(size):
        return False
    bad, limit, unsigned = a.slot(), a.size(size), v.dtype.kind == "u"
    status = scope.lowering.check(
        v,
        bad,
        limit,
        text=lambda wrong, n: range_fault(wrong % 2**64 if unsigned else wrong, n, what),
        error=range_error(is_index=is_index),
    )
    kernel = range_kernel(scope.lowering.cpu, v.dtype)
    places = scope.base(v), scope.contiguous(indices)
    failure = a.literal(bad), a.literal(status)
    a.main.emit(kernel, a.size(product(v.type.shape)), *places, limit, *failure)
    return True


@rule("slice", "broadcast_to")
def lower_late_view(scope: Scope, v: Variable) -> bool:
    """A view with bounds that the program has computed: a copy of what it shows."""
    view = scope.late.get(v)
    if view is None:
        return v.op is SLICE and _lower_element(scope, v)
    a = scope.assembler
    base = a.address(scope.base(view.root), view.offset, v.dtype)
    target = Place(scope.base(v), contiguous_strides(v.type.shape))
    scope.lowering.copy(Place(base, view.strides), target, v.type.shape, v.dtype)
    return True


def _lower_element(scope: Scope, v: Variable) -> bool:
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


@rule("gather")
def lower_gather(scope: Scope, v: Variable) -> bool:
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


@rule("scatter_set", "scatter_add")
def lower_scatter(scope: Scope, v: Variable) -> bool:
    """A copy of the array, and then rows stored or added where index arrays say."""
    x, values, *indices = v.inputs
    (axes,) = v.params
    if not _are_neighbours(axes, indices):
        return False
    base, strides = scope.base(v), contiguous_strides(v.type.shape)
    scope.lowering.copy(scope.place(x), Place(base, strides), v.type.shape, v.dtype)
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
        kernel = flat_index_kernel(scope.lowering.cpu, dtypes)
        operands = [
            operand
            for index, axis in zip(indices, axes, strict=True)
            for operand in (
                scope.contiguous(index), a.size(x.type.shape[axis]),
                *_out_of_range(scope, v, axis),
            )
        ]  # fmt: skip
        slot, dtype = scope.lowering.buffers.take(count, np.dtype("int64")), np.dtype("int64")
        a.main.emit(kernel, a.size(count), slot, *operands)
    size = product(x.type.shape[axis] for axis in axes)
    width = product(x.type.shape[last + 1 :])
    return _Rows(first, size, width, strides[last], count, slot, dtype)


def _out_of_range(scope: Scope, v: Variable, axis: int) -> tuple[int, int]:
    """Literals: the offset of a slot for an index that is out of range, the status then."""
    a = scope.assembler
    bad = a.slot()
    status = scope.lowering.check(
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
    a, lowering = scope.assembler, scope.lowering
    action = action or v.op.name.removeprefix("scatter_")
    kernel = rows_kernel(lowering.cpu, v.dtype, rows.dtype, action)
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
        own = _advancing(scope, [
            (table, strides[depth], x.dtype),
            (part, product(part_shape[depth + 1 :]), x.dtype),
        ])  # fmt: skip
        (table, _), (part, _) = own
        a.loop(a.size(x.type.shape[depth]), a.slot(), own, lambda: loops(depth + 1, table, part))

    loops(0, *places)


def _advancing(scope: Scope, moving: list[tuple[int, Size, np.dtype]]) -> list[tuple[int, int]]:
    """Copies of addresses that advance by so many elements at each turn of a loop."""
    a = scope.assembler
    result = []
    for base, stride, dtype in moving:
        slot = a.slot()
        a.run("address", slot, base, a.literal(0), 1)
        result.append((slot, a.size(stride * dtype.itemsize)))
    return result


# --- along an axis ------------------------------------------------------------------------------


@rule("cumsum")
def lower_cumsum(scope: Scope, v: Variable) -> bool:
    """Running sums."""
    return _run_along(scope, v, _running_sum)


@rule("cumprod")
def lower_cumprod(scope: Scope, v: Variable) -> bool:
    """Running products."""
    return _run_along(scope, v, _running_product)


@rule("linear_recurrence")
def lower_recurrence(scope: Scope, v: Variable) -> bool:
    """``s[i] = b[i] + a[i] s[i − 1]``."""
    return _run_along(scope, v, _recurrence)


# Functions of the module: a kernel's text is known by them.
def _running_sum(maths: Any, before: Any, x: Any) -> Any:
    return maths.add(before, x)


def _running_product(maths: Any, before: Any, x: Any) -> Any:
    return maths.multiply(before, x)


def _recurrence(maths: Any, before: Any, b: Any, a: Any) -> Any:
    return maths.add(b, maths.multiply(a, before))


def _run_along(scope: Scope, v: Variable, formula: Callable[..., Any]) -> bool:
    """Each slice along an axis from the one before it and the operands."""
    (axis,) = v.params
    if v.dtype.kind == "b":
        return False
    a, lowering = scope.assembler, scope.lowering
    strides = contiguous_strides(v.type.shape)
    size = v.type.shape[axis]
    rest = tuple(s for i, s in enumerate(v.type.shape) if i != axis)

    def without_axis(s: tuple[Size, ...]) -> tuple[Size, ...]:
        return tuple(x for i, x in enumerate(s) if i != axis)

    base = scope.base(v)
    operands = [scope.place(x) for x in v.inputs]
    # The first slice is that of the first operand: copied, if there is one at all.
    one = Place(base, strides)
    first = (*v.type.shape[:axis], _at_most_one(scope, size), *v.type.shape[axis + 1 :])
    lowering.copy(operands[0], one, first, v.dtype)
    moving = [(base, strides[axis], v.dtype)]
    moving += [(p.base, p.strides[axis], v.dtype) for p in operands]
    own = _advancing(scope, moving)
    before = own[0][0]
    following = a.slot()
    a.run("address", following, base, a.size(strides[axis]), v.dtype.itemsize)
    own.append((following, own[0][1]))
    inputs = [Access(before, without_axis(strides), v.dtype)]
    for (slot, _), place in zip(own[1:-1], operands, strict=True):
        a.run("address", slot, place.base, a.size(place.strides[axis]), v.dtype.itemsize)
        inputs.append(Access(slot, without_axis(place.strides), v.dtype))
    arguments = tuple(("input", i) for i in range(len(inputs)))
    output = Output(Access(following, without_axis(strides), v.dtype), ("step", 0))
    nest = Nest(rest, frozenset(), inputs, [Step(formula, (), arguments)], [output])
    a.loop(a.size(size - 1), a.slot(), own, lambda: lowering.nest(nest))
    return True


def _at_most_one(scope: Scope, size: Size) -> Size:
    """1, or 0 where the size is 0: as a size that the program computes."""
    if isinstance(size, int):
        return min(size, 1)
    return size - maximum_zero(size - 1)


@rule("overlap_add")
def lower_overlap_add(scope: Scope, v: Variable) -> bool:
    """Windows added up where they came from."""
    x = v.inputs[0]
    _, axis, stride, dilation = v.params
    a, lowering = scope.assembler, scope.lowering
    base = scope.base(v)
    strides = contiguous_strides(v.type.shape)
    zero = Step(_zero, (v.dtype,), ())
    lowering.nest(
        Nest(tuple(v.type.shape), frozenset(), [], [zero],
             [Output(Access(base, strides, v.dtype), ("step", 0))])
    )  # fmt: skip
    place = scope.place(x)
    own = _advancing(scope, [
        (base, strides[axis] * dilation, v.dtype), (place.base, place.strides[axis + 1], v.dtype),
    ])  # fmt: skip
    space = (*x.type.shape[: axis + 1], *x.type.shape[axis + 2 :])
    target = (*strides[:axis], strides[axis] * stride, *strides[axis + 1 :])
    source = (*place.strides[: axis + 1], *place.strides[axis + 2 :])
    inputs = [Access(own[0][0], target, v.dtype), Access(own[1][0], source, v.dtype)]
    step = Step(_sum, (), (("input", 0), ("input", 1)))
    nest = Nest(space, frozenset(), inputs, [step],
                [Output(Access(own[0][0], target, v.dtype), ("step", 0))])  # fmt: skip
    a.loop(a.size(x.type.shape[axis + 1]), a.slot(), own, lambda: lowering.nest(nest))
    return True


def _zero(maths: Any, dtype: np.dtype) -> Any:
    return maths.constant(0, dtype)


def _sum(maths: Any, x: Any, y: Any) -> Any:
    return maths.bit_or(x, y) if x.dtype.kind == "b" else maths.add(x, y)

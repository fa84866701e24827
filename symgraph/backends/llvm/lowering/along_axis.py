"""Lowerings of what goes along an axis: reductions, running sums, recurrences, windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ....core.dims import Dim, Size, maximum_zero, product
from ....core.variable import Variable
from ....ops.broadcast import SUM
from ....ops.cumulative import CUMPROD, CUMSUM, RECURRENCE
from ....ops.extremes import MAX, MIN
from ....ops.reduce import ALL, ANY, PROD
from ....ops.windows import OVERLAP_ADD, WINDOWS
from ..analysis.layout import View
from ..analysis.values import SizeCheck, Values
from ..code.cpu import Cpu
from ..kernels.nest import Access, Nest, Operation, Output
from ..kernels.small_loop import SmallLoop, StateTaps, most_lanes, small_loop_kernel
from .program import Place
from .records import Lowering
from .scope import Scope

__all__ = ["ALONG_AXIS"]


def _is_not_empty(values: Values, v: Variable) -> Iterator[SizeCheck]:
    """An extreme of nothing is an error."""
    if v in values.needed:
        for size in (v.inputs[0].type.shape[axis] for axis in v.params[0]):
            if isinstance(size, Dim):
                yield SizeCheck("at_least", v, size, 1)


# --- running along ------------------------------------------------------------------------------


# Functions of the module: a kernel's text is known by them.
def _running_sum(maths: Any, before: Any, x: Any) -> Any:
    return maths.add(before, x)


def _running_product(maths: Any, before: Any, x: Any) -> Any:
    return maths.multiply(before, x)


def _recurrence(maths: Any, before: Any, b: Any, a: Any) -> Any:
    return maths.add(b, maths.multiply(a, before))


def _write_along(formula: Callable[..., Any], scope: Scope, v: Variable) -> bool:
    """Each slice along an axis from the one before it and the operands."""
    if v.dtype.kind == "b":
        return False
    (axis,) = v.params
    builder, shape = scope.builder, v.type.shape
    result, operands = scope.result(v), [scope.place(x) for x in v.inputs]
    # The first slice is that of the first operand: copied, if there is one at all.
    first = (*shape[:axis], _at_most_one(shape[axis]), *shape[axis + 1 :])
    builder.copy(operands[0], result, first, v.dtype)
    places = [result, *operands]
    if _is_small(product(_without(axis, shape)), v.dtype, builder.cpu):
        _run_small(formula, scope, v, places)
    else:
        _run_slices(formula, scope, v, places)
    return True


def _is_small(size: Size, dtype: np.dtype, cpu: Cpu) -> bool:
    """Whether a slice is so small that one kernel keeps it in registers."""
    return isinstance(size, int) and size <= max(1, most_lanes(cpu.lanes(dtype), cpu))


def _run_small(
    formula: Callable[..., Any], scope: Scope, v: Variable, places: Sequence[Place]
) -> None:
    """All slices after the first one in one kernel, which keeps the one before."""
    (axis,) = v.params
    a, builder = scope.assembler, scope.builder
    moves = [place.strides[axis] for place in places]
    following = [a.slot() for _ in places]
    for slot, place, move in zip(following, places, moves, strict=True):
        a.run("address", slot, place.base, a.size(move), v.dtype.itemsize)

    def access(slot: int, place: Place) -> Access:
        return Access(slot, _without(axis, place.strides), v.dtype)

    rows = [access(*pair) for pair in zip(following[1:], places[1:], strict=True)]
    inputs = [access(places[0].base, places[0]), *rows]
    arguments = (("carried", 0), *(("input", i + 1) for i in range(len(rows))))
    outputs = [Output(access(following[0], places[0]), ("operation", 0))]
    operation = Operation(formula, (), arguments)
    nest = Nest(_without(axis, v.type.shape), frozenset(), inputs, [operation], outputs)
    small = SmallLoop(
        nest, [0, *moves[1:], moves[0]], [StateTaps((("input", 0),), ("operation", 0))]
    )
    n = v.type.shape[axis] - 1
    found = small_loop_kernel(small, n, builder.cpu)
    operands = [*builder.operands(found, nest), a.size(n), a.literal(0)]
    a.run_kernel(found.kernel, found.pieces, *operands)


def _run_slices(
    formula: Callable[..., Any], scope: Scope, v: Variable, places: Sequence[Place]
) -> None:
    """The slices after the first one, one after another."""
    (axis,) = v.params
    a, builder, shape = scope.assembler, scope.builder, v.type.shape
    moving = builder.advancing([(p.base, p.strides[axis]) for p in places], v.dtype)
    before, *rows = (slot for slot, _ in moving)
    following = a.slot()
    moving.append((following, moving[0][1]))
    for slot, place in zip((following, *rows), places, strict=True):
        a.run("address", slot, place.base, a.size(place.strides[axis]), v.dtype.itemsize)

    def access(slot: int, place: Place) -> Access:
        return Access(slot, _without(axis, place.strides), v.dtype)

    inputs = [access(*pair) for pair in zip((before, *rows), places, strict=True)]
    operation = Operation(formula, (), tuple(("input", i) for i in range(len(inputs))))
    output = Output(access(following, places[0]), ("operation", 0))
    nest = Nest(_without(axis, shape), frozenset(), inputs, [operation], [output])
    a.loop(a.size(shape[axis] - 1), a.slot(), moving, lambda: builder.nest(nest))


def _without(axis: int, sizes: Sequence[Size]) -> tuple[Size, ...]:
    return (*sizes[:axis], *sizes[axis + 1 :])


def _at_most_one(size: Size) -> Size:
    """1, or 0 where the size is 0: as a size that the program computes."""
    return min(size, 1) if isinstance(size, int) else size - maximum_zero(size - 1)


# --- windows ------------------------------------------------------------------------------------


def _windows(v: Variable, source: View) -> View:
    axis, _, stride, dilation = v.params
    before, own, after = source.strides[:axis], source.strides[axis], source.strides[axis + 1 :]
    return source.seen(v.type.shape, (*before, own * stride, own * dilation, *after))


def _one_window_fits(values: Values, v: Variable) -> Iterator[SizeCheck]:
    axis, size, _, dilation = v.params
    length = v.inputs[0].type.shape[axis]
    if v in values.needed and isinstance(length, Dim):
        yield SizeCheck("at_least", v, length, (size - 1) * dilation + 1)


def _write_overlap_add(scope: Scope, v: Variable) -> bool:
    """Windows added up where they came from: element by element of each window."""
    x = v.inputs[0]
    _, axis, stride, dilation = v.params
    a, builder = scope.assembler, scope.builder
    result, windows = scope.result(v), scope.place(x)
    zero = Operation(_zero, (v.dtype,), ())
    output = Output(Access(result.base, result.strides, v.dtype), ("operation", 0))
    builder.nest(Nest(v.type.shape, frozenset(), [], [zero], [output]))
    own = result.strides[axis]
    moves = [(result.base, own * dilation), (windows.base, windows.strides[axis + 1])]
    moving = builder.advancing(moves, v.dtype)
    (target, _), (source, _) = moving
    strides = (*result.strides[:axis], own * stride, *result.strides[axis + 1 :])
    elements = Place(source, _without(axis + 1, windows.strides))
    space = _without(axis + 1, x.type.shape)

    def add() -> None:
        builder.add(elements, Place(target, strides), space, v.dtype)

    a.loop(a.size(x.type.shape[axis + 1]), a.slot(), moving, add)
    return True


def _zero(maths: Any, dtype: np.dtype) -> Any:
    return maths.constant(0, dtype)


ALONG_AXIS = {
    SUM: Lowering(total="sum"),
    PROD: Lowering(total="prod"),
    MAX: Lowering(total="max", checks=_is_not_empty),
    MIN: Lowering(total="min", checks=_is_not_empty),
    ANY: Lowering(total="any"),
    ALL: Lowering(total="all"),
    CUMSUM: Lowering(write=partial(_write_along, _running_sum)),
    CUMPROD: Lowering(write=partial(_write_along, _running_product)),
    RECURRENCE: Lowering(write=partial(_write_along, _recurrence)),
    WINDOWS: Lowering(view=_windows, checks=_one_window_fits),
    OVERLAP_ADD: Lowering(write=_write_overlap_add),
}

"""Lowerings of slices, and of arrays with a slice changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ....core.dims import Size, maximum_zero
from ....core.variable import Variable, node
from ....ops.sizes import size_of
from ....ops.slices import ADD_SLICE, SET_SLICE, SLICE, SYMBOL, At, Span
from ..analysis.layout import View
from ..analysis.values import SizeCheck, Values
from .indexing import write_element
from .movement import copy_late_view
from .program import Place
from .records import Lowering
from .scope import Scope

__all__ = ["SLICES"]

# No axis has more elements; 64 bits hold it.
_MOST = (1 << 63) - 1


def _sliced(v: Variable, source: View) -> View | None:
    """The slice as a view; None where its parts lie apart, or at indices that may be wrong."""
    x, *symbols = v.inputs
    rest = iter(symbols)
    start: Size = 0
    strides: list[Size] = []
    lengths = iter(v.type.shape)
    for size, stride, entry in zip(x.type.shape, source.strides, v.params[0], strict=True):
        if entry is None:
            strides.append(stride)
            next(lengths)
        elif isinstance(entry, At):
            if entry.index == SYMBOL:
                return None  # it may be negative, or lie outside
            index = int(entry.index)
            start = start + (index if index >= 0 else size + index) * stride
        else:
            first = _first(entry, size, rest)
            length = next(lengths)
            if entry.step < 0:
                if entry.step != -1:
                    return None
                first = first + length - 1
            start = start + first * stride
            strides.append(stride * entry.step)
    return source.seen(v.type.shape, strides, start)


def _first(entry: Span, size: Size, rest: Iterator[Variable]) -> Size:
    """Where a span starts, as a number of elements; its symbols are taken from the rest."""
    first: Size = size_of(next(rest)) if entry.start == SYMBOL else int(entry.start)
    if entry.stop == SYMBOL:
        next(rest)
    if isinstance(first, int) and first < 0:
        whole = size + first
        return max(whole, 0) if isinstance(whole, int) else maximum_zero(whole)
    return first


def _reads(values: Values, v: Variable) -> Sequence[Variable]:
    """All inputs, but for a view: of that the bounds are known."""
    return v.inputs if values.views[v].root is v else v.inputs[:1]


def _elements_needed(v: Variable) -> list[tuple[Size, int]]:
    """Sizes of axes, and the least that they must be for the slice's elements to exist."""
    return [
        (size, min(max(int(entry.index) + 1, -int(entry.index)), _MOST))
        for size, entry in zip(v.inputs[0].type.shape, v.params[0], strict=True)
        if isinstance(entry, At) and entry.index != SYMBOL and not isinstance(size, int)
    ]


def _elements_exist(values: Values, v: Variable) -> Iterator[SizeCheck]:
    if v in values.needed:
        for size, least in _elements_needed(v):
            yield SizeCheck("at_least", v, size, least)


def _write_slice(scope: Scope, v: Variable) -> bool:
    return copy_late_view(scope, v) if v in scope.values.late else write_element(scope, v)


def _write_change(scope: Scope, v: Variable) -> bool:
    """A copy of the array, and then its part changed."""
    x, values, *symbols = v.inputs
    read = node(SLICE, (x, *symbols), v.params)
    part = _sliced(read, View.whole(v))
    if part is None:
        return False
    a, builder = scope.assembler, scope.builder
    for size, least in _elements_needed(read):
        slots = [a.size(size), a.literal(least)]
        a.run("at_least", *slots, builder.check(v, *slots))
    result = scope.result(v)
    builder.copy(scope.place(x), result, v.type.shape, v.dtype)
    target = Place(a.address(result.base, part.offset, v.dtype), part.strides)
    change = builder.copy if v.op is SET_SLICE else builder.add
    change(scope.place(values), target, values.type.shape, v.dtype)
    return True


SLICES = {
    SLICE: Lowering(
        view=_sliced,
        sizes=slice(1, None),
        reads=_reads,
        checks=_elements_exist,
        write=_write_slice,
    ),
    SET_SLICE: Lowering(write=_write_change),
    ADD_SLICE: Lowering(write=_write_change),
}

"""Lowerings of what moves numbers and computes none: sizes, reshapes, joins, slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ....core.dims import Dim, Size, maximum_zero, product
from ....core.variable import Variable, node
from ....ops.broadcast import BROADCAST_TO, REARRANGE
from ....ops.intervals import INTERVAL
from ....ops.join import CONCATENATE
from ....ops.reshape import RESHAPE
from ....ops.sizes import CHECK_SIZE, SIZE, size_of
from ....ops.slices import ADD_SLICE, SET_SLICE, SLICE, SYMBOL, At, Span
from ..analysis.layout import View, contiguous_strides, is_contiguous
from ..analysis.values import SizeCheck, Values
from .indexing import write_change_of_element, write_element
from .program import Place
from .records import Lowering
from .scope import Scope

__all__ = ["MOVEMENT"]

# --- sizes --------------------------------------------------------------------------------------


def _write_size(scope: Scope, v: Variable) -> bool:
    """A size as a value."""
    a = scope.assembler
    a.run("write", scope.base(v), a.size(v.inputs[0].type.shape[v.params[0]]))
    return True


def _write_interval(scope: Scope, v: Variable) -> bool:
    """How far checkpoints are apart as a value."""
    scope.assembler.run("write", scope.base(v), scope.assembler.size(size_of(v)))
    return True


def _reads_for_size(values: Values, v: Variable) -> Sequence[Variable]:
    """All but the last input, of which a size is asked, unless it has to be there to tell it."""
    *others, x = v.inputs
    size = x.type.shape[v.params[len(others)]]
    return others if values.assembler.is_bound(size) else v.inputs


def _sizes_agree(values: Values, v: Variable) -> Iterator[SizeCheck]:
    x, other = v.inputs
    axis, other_axis, _ = v.params
    yield SizeCheck("check", v, x.type.shape[axis], other.type.shape[other_axis])


def _unchanged(v: Variable, source: View) -> View:
    return source.seen(v.type.shape, source.strides)


# --- other shapes -------------------------------------------------------------------------------


def _rearranged(v: Variable, source: View) -> View:
    order = v.params[0]
    return source.seen(v.type.shape, [0 if i is None else source.strides[i] for i in order])


def _broadcast(v: Variable, source: View) -> View:
    shape = v.type.shape
    extra = len(shape) - len(source.strides)
    strides = [
        0 if size == 1 and wide != 1 else stride
        for size, wide, stride in zip(
            v.inputs[0].type.shape, shape[extra:], source.strides, strict=True
        )
    ]
    return source.seen(shape, [0] * extra + strides)


def _reshaped(v: Variable, source: View) -> View | None:
    shape, into = v.inputs[0].type.shape, v.type.shape
    if is_contiguous(shape, source.strides):
        return source.seen(into, contiguous_strides(into))
    if len(into) == len(shape) + 1 and into[2:] == shape[1:]:
        # The first axis in parts, wherever its rows lie; that they are as many is checked.
        first, *others = source.strides
        return source.seen(into, [first * into[1], first, *others])
    return None


def _write_reshape(scope: Scope, v: Variable) -> bool:
    """A reshape of what does not lie in C order: a copy that does."""
    x = v.inputs[0]
    target = Place(scope.place(v).base, contiguous_strides(x.type.shape))
    scope.builder.copy(scope.place(x), target, x.type.shape, x.dtype)
    return True


def _as_many_elements(values: Values, v: Variable) -> Iterator[SizeCheck]:
    before, after = product(v.inputs[0].type.shape), product(v.type.shape)
    if before != after:
        yield from _none_negative(values, v)
        yield SizeCheck("check", v, before, after)


def _none_negative(values: Values, v: Variable) -> Iterator[SizeCheck]:
    """Checks of the sizes that the user computes."""
    for size in map(size_of, v.inputs[1:]):
        if isinstance(size, Dim) and (
            maximum_zero(size) is not size or not values.assembler.is_known_at_entry(size)
        ):
            yield SizeCheck("at_least", v, size, 0)


def _copy_late_view(scope: Scope, v: Variable) -> bool:
    """A view with bounds that the program has computed: a copy of what it shows."""
    view = scope.values.late[v]
    base = scope.assembler.address(scope.base(view.root), view.offset, v.dtype)
    scope.builder.copy(Place(base, view.strides), scope.result(v), v.type.shape, v.dtype)
    return True


# --- joins --------------------------------------------------------------------------------------


def _parts(v: Variable) -> Iterator[tuple[Variable, View]]:
    """The operands of a concatenation, and where in the result they stand."""
    (axis,) = v.params
    whole, start = View.whole(v), 0
    for x in v.inputs:
        yield x, whole.seen(x.type.shape, whole.strides, start * whole.strides[axis])
        start = start + x.type.shape[axis]


def _write_concatenate(scope: Scope, v: Variable) -> bool:
    """Each operand copied to its part of the result, but for what was computed there."""
    written: set[Variable] = set()
    for x, part in _parts(v):
        if scope.values.views[x] != part or x in written:
            base = scope.assembler.address(scope.base(v), part.offset, v.dtype)
            target = Place(base, part.strides)
            scope.builder.copy(scope.place(x), target, x.type.shape, x.dtype)
        written.add(x)
    return True


# --- slices -------------------------------------------------------------------------------------

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


def _reads_for_slice(values: Values, v: Variable) -> Sequence[Variable]:
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
    return _copy_late_view(scope, v) if v in scope.values.late else write_element(scope, v)


def _write_change(scope: Scope, v: Variable) -> bool:
    """A copy of the array, and then its part changed."""
    x, values, *symbols = v.inputs
    read = node(SLICE, (x, *symbols), v.params)
    part = _sliced(read, View.whole(v))
    a, builder = scope.assembler, scope.builder
    for size, least in _elements_needed(read):
        slots = [a.size(size), a.literal(least)]
        a.run("at_least", *slots, builder.check(v, *slots))
    if part is None:
        return write_change_of_element(scope, v)
    result = scope.result(v)
    builder.copy(scope.place(x), result, v.type.shape, v.dtype)
    target = Place(a.address(result.base, part.offset, v.dtype), part.strides)
    change = builder.copy if v.op is SET_SLICE else builder.add
    change(scope.place(values), target, values.type.shape, v.dtype)
    return True


_SIZES = slice(1, None)

MOVEMENT = {
    SIZE: Lowering(reads=_reads_for_size, write=_write_size),
    INTERVAL: Lowering(sizes=slice(0, None), write=_write_interval),
    CHECK_SIZE: Lowering(
        view=_unchanged, reads=_reads_for_size, checks=_sizes_agree, is_always_needed=True
    ),
    REARRANGE: Lowering(view=_rearranged),
    BROADCAST_TO: Lowering(
        view=_broadcast, sizes=_SIZES, checks=_none_negative, write=_copy_late_view
    ),
    RESHAPE: Lowering(
        view=_reshaped,
        sizes=_SIZES,
        checks=_as_many_elements,
        copies_to=True,
        write=_write_reshape,
    ),
    CONCATENATE: Lowering(parts=_parts, write=_write_concatenate),
    SLICE: Lowering(
        view=_sliced,
        sizes=_SIZES,
        reads=_reads_for_slice,
        checks=_elements_exist,
        write=_write_slice,
    ),
    SET_SLICE: Lowering(write=_write_change),
    ADD_SLICE: Lowering(write=_write_change),
}

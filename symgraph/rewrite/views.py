"""Views of views, parts of what was joined, and the joining of parts.

These rules belong to `simplify`. They move or drop elements and compute nothing, but that
``add_to_part`` may change the sign of a zero.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..core.dims import Size, maximum_zero, product
from ..core.variable import Variable, node
from ..ops.broadcast import BROADCAST_TO, REARRANGE, broadcast_to, rearrange
from ..ops.gather import SCATTER_ADD
from ..ops.join import CONCATENATE
from ..ops.shape import RESHAPE
from ..ops.sizes import CHECK_SIZE, known_size
from ..ops.slices import ADD_SLICE, SLICE, SYMBOL, At, Entry, Span, read_slice
from .engine import EVERY, RuleSet, rule
from .pattern import find_sizes, if_typed, is_full_of, uniform

__all__ = ["VIEWS"]

# --- views --------------------------------------------------------------------------------------


@rule("rearrange", of=EVERY)
def merge_rearranges(v: Variable) -> Variable | None:
    """rearrange(x, as it is) → x; rearrange(rearrange(x, a), b) → rearrange(x, a then b)."""
    (x,), (order,) = v.inputs, v.params
    # An axis of size 1 that is dropped and made again in its place is the same one.
    if v.type is x.type and all(
        axis == i or x.type.shape[i] == v.type.shape[i] == 1 for i, axis in enumerate(order)
    ):
        return x
    if x.op is REARRANGE:
        (inner,) = x.params
        return rearrange(x.inputs[0], [None if axis is None else inner[axis] for axis in order])
    return None


@rule("reshape", of=EVERY)
def merge_reshapes(v: Variable) -> Variable | None:
    """reshape(x, as it is) → x; reshape(reshape(x, a), b) → reshape(x, b)."""
    x = v.inputs[0]
    if x.type is v.type:
        return x
    if x.op is not RESHAPE:
        return None
    source = x.inputs[0]
    # Sizes that are not known to fit are checked by the inner one.
    if product(source.type.shape) != product(x.type.shape):
        return None
    return if_typed(v, lambda: node(RESHAPE, (source, *v.inputs[1:]), v.params))


@rule("reshape", of=EVERY)
def reshape_axes_of_one(v: Variable) -> Variable | None:
    """reshape(x, the same sizes but for ones) → rearrange(x)."""
    x = v.inputs[0]
    ours = [axis for axis, size in enumerate(x.type.shape) if size != 1]
    theirs = [size for size in v.type.shape if size != 1]
    if [x.type.shape[axis] for axis in ours] != theirs:
        return None
    kept = iter(ours)
    return rearrange(x, [None if size == 1 else next(kept) for size in v.type.shape])


@rule("slice", of=EVERY, reads=("rearrange",))
def slice_before_rearrange(v: Variable) -> Variable | None:
    """slice(rearrange(x)) → rearrange(slice(x))."""
    moved, *symbols = v.inputs
    if moved.op is not REARRANGE or symbols:
        return None
    (x,), (order,), (entries,) = moved.inputs, moved.params, v.params
    inner: list[Entry] = [None] * x.ndim
    outer: list[int | None] = []
    for axis, entry in zip(order, entries, strict=True):
        if axis is not None:
            inner[axis] = entry
        if isinstance(entry, At):
            continue  # a new axis has one element, at 0 and at -1
        if axis is None and entry is not None:
            return None
        outer.append(axis)
    # Axes that an index takes away move those behind them.
    gone = [axis for axis, entry in enumerate(inner) if isinstance(entry, At)]
    behind = [None if axis is None else axis - sum(g < axis for g in gone) for axis in outer]
    return rearrange(read_slice(x, inner, ()), behind)


@rule("slice", of=EVERY)
def drop_slice(v: Variable) -> Variable | None:
    """slice(x, all of it) → x."""
    x, *symbols = v.inputs
    return x if v.type is x.type and read_slice(x, v.params[0], symbols) is x else None


@rule("slice", of=EVERY, reads=("slice",))
def merge_slices(v: Variable) -> Variable | None:
    """slice(slice(x, a), b) → slice(x, a then b), where the bounds are numbers."""
    inner, *symbols = v.inputs
    if inner.op is not SLICE or symbols:
        return None
    x, *symbols = inner.inputs
    if symbols:
        return None
    rest = iter(v.params[0])
    merged: list[Entry] = []
    for first in inner.params[0]:
        if isinstance(first, At):
            merged.append(first)
            continue
        second = next(rest)
        if first is None or second is None:
            merged.append(second if first is None else first)
            continue
        both = _merge_entries(first, second)
        if both is None:
            return None
        merged.append(both)
    entries = [None if entry == Span(0, None, 1) else entry for entry in merged]
    return if_typed(v, lambda: read_slice(x, entries, ()))


@rule("slice", of=EVERY, reads=("slice",))
def index_of_reversed(v: Variable) -> Variable | None:
    """x[::-1][i] → x[-1 - i], so that the last row is known to be the last one."""
    inner, *symbols = v.inputs
    if inner.op is not SLICE or symbols:
        return None
    forward, entries = list(inner.params[0]), list(v.params[0])
    kept = [i for i, entry in enumerate(forward) if not isinstance(entry, At)]
    turned = False
    for i, axis in enumerate(kept):
        span: Any = forward[axis]
        entry: Any = entries[i]
        if isinstance(span, Span) and span.step == -1 and isinstance(entry, At):
            forward[axis] = None if span[:2] == (0, None) else span._replace(step=1)
            entries[i] = At(-1 - int(entry.index))
            turned = True
    if not turned:
        return None
    x, *symbols = inner.inputs
    return if_typed(v, lambda: read_slice(read_slice(x, forward, symbols), entries, ()))


@rule("slice", of=EVERY)
def index_of_last(v: Variable) -> Variable | None:
    """x[the size of the axis - 1] → x[-1]: the same element, and none where there is none."""
    x, *symbols = v.inputs
    entries = list(v.params[0])
    axes = [i for i, entry in enumerate(entries) for edge in (entry or ())[:2] if edge == SYMBOL]
    kept: list[Variable] = []
    for axis, symbol in zip(axes, symbols, strict=True):
        index = known_size(symbol) if isinstance(entries[axis], At) else None
        if index is not None and maximum_zero(index + 1) == x.type.shape[axis]:
            entries[axis] = At(-1)
        else:
            kept.append(symbol)
    if len(kept) == len(symbols):
        return None
    return if_typed(v, lambda: read_slice(x, entries, kept))


def _merge_entries(first: Any, second: Any) -> Entry:
    """The part of a part of one axis; None where it cannot be told without the size."""
    if first.step not in (1, -1):
        return None
    trimmed = _trims(first)
    if isinstance(second, At):
        return None if trimmed is None else _merge_index(*trimmed, first.step, second.index)
    more = _trims(second)
    if trimmed is not None and more is not None:
        more = more[:: first.step]  # the front of what is reversed is the back
        front, back = trimmed[0] + more[0], trimmed[1] + more[1]
        return Span(front, -back if back else None, first.step * second.step)
    bounds = (first.start, second.start, second.stop)
    if first.step == 1 and first.stop is None and None not in bounds and min(bounds) >= 0:
        return Span(first.start + second.start, first.start + second.stop, second.step)
    return None


def _trims(span: Any) -> tuple[int, int] | None:
    """How many elements a span takes off the front and the back of an axis of any size."""
    if span.start < 0 or (span.stop is not None and span.stop >= 0):
        return None
    return span.start, -(span.stop or 0)


def _merge_index(front: int, back: int, step: int, index: Any) -> At | None:
    """The element of a trimmed axis; None where the trimming might decide that there is none."""
    if (index < 0) == (step == 1):
        # Counted from the back of the axis.
        return At(index - back if step == 1 else -1 - index - back) if front == 0 else None
    return At(front + index if step == 1 else front - 1 - index) if back == 0 else None


@rule("rearrange", "reshape", "slice", of=EVERY, reads=("broadcast_to",))
def view_of_one_value(v: Variable) -> Variable | None:
    """view(broadcast_to(constant)) → broadcast_to(constant)."""
    wide = v.inputs[0]
    if wide.op is not BROADCAST_TO or uniform(wide) is None:
        return None
    value = wide.inputs[0]
    if v.op is SLICE:
        for size, entry in zip(wide.type.shape, v.params[0], strict=True):
            # An index may turn out to lie outside the axis, which is for the call to report.
            if isinstance(entry, At) and (entry.index == SYMBOL or not isinstance(size, int)):
                return None
    if v.op is RESHAPE and product(wide.type.shape) != product(v.type.shape):
        return None  # so is whether these fit
    sizes = find_sizes(v.type.shape, (*v.inputs[1:], wide, *wide.inputs[1:]))
    if sizes is None or value.type.ndim > len(sizes):
        return None
    return broadcast_to(value, sizes)


# --- joining and cutting ------------------------------------------------------------------------

# Longer chains of parts are left as they are, so that the work stays linear.
_MAX_PARTS = 64


@rule("concatenate", of=EVERY)
def merge_concatenates(v: Variable) -> Variable | None:
    """concatenate(x) → x; concatenate(concatenate(x, y), nothing, z) → concatenate(x, y, z)."""
    (axis,) = v.params
    parts: list[Variable] = []
    for x in v.inputs:
        if x.op is CONCATENATE and x.params == v.params:
            parts += x.inputs
        elif x.type.shape[axis] != 0 or x.op is CHECK_SIZE:  # what fails fails with no rows, too
            parts.append(x)
    if len(parts) == 1:
        return parts[0]
    if not parts or parts == list(v.inputs) or len(parts) > max(_MAX_PARTS, len(v.inputs)):
        return None
    return node(CONCATENATE, parts, v.params)


@rule("slice", of=EVERY, reads=("concatenate",))
def slice_of_concatenate(v: Variable) -> Variable | None:
    """slice(concatenate(x, y)) → slice(x), where it lies in x."""
    whole, *symbols = v.inputs
    if whole.op is not CONCATENATE or symbols:
        return None
    (axis,), (entries,) = whole.params, v.params
    entry = entries[axis]
    if entry is None:
        return None
    start = 0
    for part in whole.inputs:
        size = part.type.shape[axis]
        if not isinstance(size, int):
            return None
        inside = _entry_within(entry, start, size, whole.type.shape[axis])
        if inside is not None:
            moved = (*entries[:axis], inside, *entries[axis + 1 :])
            return if_typed(v, partial(read_slice, part, moved, ()))
        start += size
    return None


def _entry_within(entry: Any, start: int, size: int, total: Size) -> Entry:
    """The entry for the part of an axis from ``start``; None where it is not all in there."""
    if isinstance(entry, At):
        index: Any = entry.index
        if index < 0 and isinstance(total, int):
            index += total
        return At(index - start) if start <= index < start + size else None
    if entry.stop is None or entry.start < 0 or entry.stop < 0 or entry.start >= entry.stop:
        return None
    if start <= entry.start and entry.stop <= start + size:
        return Span(entry.start - start, entry.stop - start, entry.step)
    return None


@rule("add", of=EVERY, reads=("add_slice", "scatter_add"))
def add_to_part(v: Variable) -> Variable | None:
    """x + add_slice(zeros, y) → add_slice(x, y), and alike for scatter_add."""
    for x, part in (v.inputs, v.inputs[::-1]):
        is_part = part.op is ADD_SLICE or part.op is SCATTER_ADD
        if is_part and is_full_of(part.inputs[0], 0) and x.type is part.type:
            return node(part.op, (x, *part.inputs[1:]), part.params)
    return None


@rule("add_slice", of=EVERY)
def join_parts(v: Variable) -> Variable | None:
    """add_slice(add_slice(zeros, x), y) → concatenate(x, y), where they fill the axis."""
    parts: dict[int, tuple[Any, Variable]] = {}
    axis = -1
    whole = v
    while whole.op is ADD_SLICE and len(parts) < _MAX_PARTS:
        base, values, *symbols = whole.inputs
        (entries,) = whole.params
        used = [i for i, entry in enumerate(entries) if entry is not None]
        if symbols or len(used) != 1 or (axis not in (-1, used[0])):
            return None
        (axis,) = used
        span: Any = entries[axis]
        if isinstance(span, At) or span.step != 1 or span.start < 0 or span.start in parts:
            return None
        parts[span.start] = (span.stop, values)
        whole = base
    if not is_full_of(whole, 0):
        return None
    position: Any = 0
    ordered: list[Variable] = []
    while position is not None and position != v.type.shape[axis]:
        if position not in parts:
            return None
        position, values = parts.pop(position)
        ordered.append(values)
    if parts or len(ordered) < 2:
        return None
    return if_typed(v, lambda: node(CONCATENATE, ordered, (axis,)))


VIEWS = RuleSet(
    merge_rearranges,
    merge_reshapes,
    reshape_axes_of_one,
    view_of_one_value,
    slice_before_rearrange,
    drop_slice,
    merge_slices,
    index_of_reversed,
    index_of_last,
    merge_concatenates,
    slice_of_concatenate,
    add_to_part,
    join_parts,
)

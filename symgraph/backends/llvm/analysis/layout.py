"""Where values lie in memory: views of buffers, with strides that are formulas of sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ....core.dims import Size, maximum_zero
from ....core.variable import Variable
from ....ops.broadcast import BROADCAST_TO, REARRANGE
from ....ops.conv import WINDOWS
from ....ops.gradient import CLIP_GRADIENT, STOP_GRADIENT
from ....ops.reshape import RESHAPE
from ....ops.sizes import CHECK_SIZE, size_of
from ....ops.slices import SLICE, SYMBOL, At, Span

__all__ = ["View", "contiguous_strides", "elements_needed", "is_contiguous", "view_of"]


# No axis has more elements; 64 bits hold it.
_MOST = (1 << 63) - 1


class View(NamedTuple):
    """A value as a part of what another variable's buffer holds; units are elements.

    A whole identity: views that are equal are the same elements in the same order, so a view may
    be the key of whatever is made of these elements.
    """

    root: Variable
    offset: Size
    shape: tuple[Size, ...]
    strides: tuple[Size, ...]

    @staticmethod
    def whole(root: Variable) -> View:
        """All of a variable's own buffer, in C order."""
        return View(root, 0, root.type.shape, contiguous_strides(root.type.shape))


def contiguous_strides(shape: Sequence[Size]) -> tuple[Size, ...]:
    """The strides of an array in C order; an axis without elements counts as one with one.

    So a stride of 0 always means that the axis is broadcast.
    """
    strides: list[Size] = []
    total: Size = 1
    for size in reversed(shape):
        strides.append(total)
        total = total * (size or 1)
    return tuple(reversed(strides))


def is_contiguous(shape: Sequence[Size], strides: Sequence[Size]) -> bool:
    """Whether the strides are those of C order, as far as sizes are known; 0 and 1 aside."""
    return all(
        size == 1 or stride == wanted
        for size, stride, wanted in zip(shape, strides, contiguous_strides(shape), strict=True)
    )


def view_of(v: Variable, source: View) -> View | None:
    """The node as a view of its first input, which lies as ``source`` says; None: it is none."""
    found = _offset_and_strides(v, source)
    return None if found is None else View(source.root, found[0], v.type.shape, found[1])


def _offset_and_strides(v: Variable, source: View) -> tuple[Size, tuple[Size, ...]] | None:
    if v.op in (CHECK_SIZE, STOP_GRADIENT, CLIP_GRADIENT):
        return source.offset, source.strides
    if v.op is REARRANGE:
        order = v.params[0]
        return source.offset, tuple(0 if axis is None else source.strides[axis] for axis in order)
    if v.op is BROADCAST_TO:
        return source.offset, _broadcast_strides(v, source.strides)
    if v.op is RESHAPE:
        if not is_contiguous(v.inputs[0].type.shape, source.strides):
            return None
        return source.offset, contiguous_strides(v.type.shape)
    if v.op is SLICE:
        return _sliced(v, source)
    if v.op is WINDOWS:
        axis, _, stride, dilation = v.params
        own = source.strides[axis]
        both = (own * stride, own * dilation)
        return source.offset, (*source.strides[:axis], *both, *source.strides[axis + 1 :])
    return None


def _broadcast_strides(v: Variable, strides: tuple[Size, ...]) -> tuple[Size, ...]:
    old, new = v.inputs[0].type.shape, v.type.shape
    extra = len(new) - len(old)
    return (0,) * extra + tuple(
        0 if size == 1 and wide != 1 else stride
        for size, wide, stride in zip(old, new[extra:], strides, strict=True)
    )


def _sliced(v: Variable, source: View) -> tuple[Size, tuple[Size, ...]] | None:
    x, *symbols = v.inputs
    rest = iter(symbols)
    offset = source.offset
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
            offset = offset + (index if index >= 0 else size + index) * stride
        else:
            start = _start(entry, size, rest)
            length = next(lengths)
            if entry.step < 0:
                if entry.step != -1:
                    return None
                start = start + length - 1
            offset = offset + start * stride
            strides.append(stride * entry.step)
    return offset, tuple(strides)


def elements_needed(v: Variable) -> list[tuple[Size, int]]:
    """For a slice: sizes of axes, and the least that they must be for its elements to exist."""
    return [
        (size, min(max(int(entry.index) + 1, -int(entry.index)), _MOST))
        for size, entry in zip(v.inputs[0].type.shape, v.params[0], strict=True)
        if isinstance(entry, At) and entry.index != SYMBOL and not isinstance(size, int)
    ]


def _start(entry: Span, size: Size, symbols: Iterator[Variable]) -> Size:
    """Where a span starts, as a number of elements."""
    start: Size = size_of(next(symbols)) if entry.start == SYMBOL else int(entry.start)
    if entry.stop == SYMBOL:
        next(symbols)
    if isinstance(start, int) and start < 0:
        whole = size + start
        if isinstance(whole, int):
            return max(whole, 0)
        return maximum_zero(whole)
    return start

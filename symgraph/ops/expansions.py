"""Ops in terms of others, so that a backend needs to lower few: parts of arrays, windows, totals.

Positions along an axis are the numbers ``0, 1, …`` taken apart as the axis is; then gathering and
scattering do what slices and windows do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.op import Op
from ..core.variable import Variable, node
from .broadcast import filled, rearrange, reduce_sum
from .comparison import equal, invert, not_equal
from .cumulative import CUMPROD
from .elementwise import add, floor_divide, maximum, minimum, multiply, subtract
from .gather import GATHER, SCATTER_ADD, SCATTER_SET, place_of
from .in_range import no_negative
from .join import concatenate
from .promotion import cast_to
from .ranges import iota
from .reduce import ALL, ANY, PROD
from .sizes import as_scalar, shape_of
from .slices import ADD_SLICE, SET_SLICE, SLICE, SYMBOL, At, Entry, read_slice
from .windows import OVERLAP_ADD, WINDOWS, span_of

__all__: list[str] = []

_INT64 = np.dtype("int64")


# --- totals -------------------------------------------------------------------------------------


def _expand_any(v: Variable) -> Variable:
    """Whether a true element was counted."""
    axes, keepdims = v.params
    return not_equal(reduce_sum(cast_to(v.inputs[0], _INT64), axes, keepdims=keepdims), 0)


def _expand_all(v: Variable) -> Variable:
    """Whether no false element was counted."""
    axes, keepdims = v.params
    return equal(reduce_sum(cast_to(invert(v.inputs[0]), _INT64), axes, keepdims=keepdims), 0)


def _expand_prod(v: Variable) -> Variable:
    """The last of the running products of 1 and the elements."""
    (x,), (axis,) = v.inputs, v.params
    one = filled(1, x.dtype, [1 if i == axis else size for i, size in enumerate(shape_of(x))])
    products = node(CUMPROD, (concatenate([one, x], axis),), (axis,))
    entries: list[Entry] = [None] * x.ndim
    entries[axis] = At(-1)
    return read_slice(products, entries, ())


ANY.attach(expand=_expand_any)
ALL.attach(expand=_expand_all)
PROD.attach(expand=_expand_prod)


# --- parts --------------------------------------------------------------------------------------


def _expand_change(scatter: Op, change: Callable[..., Variable]) -> Callable[..., Variable]:
    """A copy with a part changed: scattered to the part's positions; ``change`` does so to all."""

    def expand(v: Variable) -> Variable:
        x, values, *symbols = v.inputs
        (entries,) = v.params
        axes = tuple(axis for axis, entry in enumerate(entries) if entry is not None)
        if not axes:
            return change(x, values)
        positions = _positions(x, entries, symbols)
        # Of the values' axes those of spans come together, where the indices stand.
        kinds = [entry is None for entry in entries if not isinstance(entry, At)]
        whole = [i for i, is_whole in enumerate(kinds) if is_whole]
        spans = [i for i, is_whole in enumerate(kinds) if not is_whole]
        place = place_of(axes)
        values = rearrange(values, [*whole[:place], *spans, *whole[place:]])
        return node(scatter, (x, values, *positions), (axes,))

    return expand


def _positions(
    x: Variable, entries: Sequence[Entry], symbols: Sequence[Variable]
) -> list[Variable]:
    """The positions that each entry means on its axis, laid out to broadcast with the others."""
    rest = iter(symbols)
    found: list[Variable] = []
    for axis, entry in enumerate(entries):
        if entry is not None:
            own = [next(rest) for edge in entry[:2] if edge == SYMBOL]
            found.append(node(SLICE, (iota(shape_of(x)[axis]), *own), ((entry,),)))
    n_spans = sum(position.ndim for position in found)
    before = 0
    for i, position in enumerate(found):
        if position.ndim:
            after = n_spans - before - 1
            found[i] = rearrange(position, [*[None] * before, 0, *[None] * after])
            before += 1
    return found


SET_SLICE.attach(expand=_expand_change(SCATTER_SET, lambda x, values: values))
ADD_SLICE.attach(expand=_expand_change(SCATTER_ADD, add))


# --- windows ------------------------------------------------------------------------------------


def _window_positions(count: Any, size: Any, stride: int, dilation: int) -> Variable:
    """``[windows, elements]``: where each element of each window lies on the axis."""
    starts, steps = multiply(iota(count), stride), multiply(iota(size), dilation)
    return add(rearrange(starts, [0, None]), rearrange(steps, [None, 0]))


def _expand_windows(v: Variable) -> Variable:
    (x,) = v.inputs
    axis, size, stride, dilation = v.params
    span = span_of(size, dilation)
    rest = subtract(as_scalar(shape_of(x)[axis]), span)
    count = maximum(add(rest, 1), 0) if stride == 1 else add(floor_divide(rest, stride), 1)
    # What is left beside one window is not negative, or the call fails: the first is at 0.
    too_large = f"a window over {span} elements is larger than axis {axis}: what is left"
    first = minimum(no_negative(rest, too_large), 0)
    positions = add(first, _window_positions(count, size, stride, dilation))
    return node(GATHER, (x, positions), ((axis,),))


def _expand_overlap_add(v: Variable) -> Variable:
    x, *symbols = v.inputs
    (known,), axis, stride, dilation = v.params
    sizes = list(shape_of(x))
    positions = _window_positions(sizes[axis], sizes[axis + 1], stride, dilation)
    sizes[axis : axis + 2] = [symbols[0] if known is None else known]
    return node(SCATTER_ADD, (filled(0, x.dtype, sizes), x, positions), ((axis,),))


WINDOWS.attach(expand=_expand_windows)
OVERLAP_ADD.attach(expand=_expand_overlap_add)

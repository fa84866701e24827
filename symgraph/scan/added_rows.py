"""Rows that a state has added at indices, in each step some, added for all steps at once.

What adds them is ``total.add_at(i, rows)``, with one array of indices or more, or with an index for
each step.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.graph import replace
from ..core.variable import Variable
from ..ops.broadcast import rearrange
from ..ops.gather import SCATTER_ADD, place_of
from ..ops.slices import (
    ADD_SLICE,
    SET_SLICE,
    SYMBOL,
    At,
    AtIndices,
    change_slice,
    read_slice,
    take_out_indices,
)
from .open import OpenLoop

__all__ = ["add_rows_over_time", "adds_rows", "is_sum_of_rows", "rows_and_indices"]


def adds_rows(v: Variable) -> bool:
    """Whether this is its first input with rows added at indices that are computed."""
    return v.op is SCATTER_ADD or (v.op is ADD_SLICE and At(SYMBOL) in v.params[0])


def is_sum_of_rows(loop: OpenLoop, v: Variable) -> bool:
    """Whether rows that steps add can be added for all steps at once."""
    part = _part_of(loop, v)
    return part is not None and any(index in loop.varying for index in part.indices)


def rows_and_indices(loop: OpenLoop, v: Variable) -> list[Variable]:
    """The rows, and the indices that change."""
    part = _part_of(loop, v)
    assert part is not None
    return [v.inputs[1], *(index for index in part.indices if index in loop.varying)]


def add_rows_over_time(
    loop: OpenLoop, total: Variable, v: Variable, over_time: Sequence[Variable]
) -> Variable:
    """The ``total`` with the rows of all steps added, from them and the indices over time."""
    part, (rows, *changing) = _part_of(loop, v), over_time
    assert part is not None
    given = iter(changing)
    ndim = max(index.ndim for index in part.indices)
    indices = [
        _with_ndim(next(given), ndim + 1)
        if index in loop.varying
        else replace([index], loop.fixed)[0]
        for index in part.indices
    ]
    place = place_of(part.axes)
    order = [*range(1, place + 1), 0, *range(place + 1, rows.ndim)]
    symbols = replace(part.symbols, loop.fixed)
    changed = read_slice(total, part.entries, symbols)
    # Of sequences of several lengths it is not known that as many rows are read.
    assert SCATTER_ADD.build is not None
    added = SCATTER_ADD.build((changed, rearrange(rows, order), *indices), part.axes)
    if changed is total:
        return added
    return change_slice(SET_SLICE, total, added, part.entries, symbols)


def _part_of(loop: OpenLoop, v: Variable) -> AtIndices[Variable] | None:
    """The part to which rows are added: at these indices, of a part that is the same each time."""
    _, _, *indices = v.inputs
    if v.op is SCATTER_ADD:
        return AtIndices((None,) * v.ndim, [], indices, v.params[0])
    return take_out_indices(v.params[0], indices, loop.varying.__contains__)


def _with_ndim(index: Variable, ndim: int) -> Variable:
    """An index over time so that it broadcasts with others over time of so many axes."""
    gap = [None] * (ndim - index.ndim)
    return rearrange(index, [0, *gap, *range(1, index.ndim)])

"""The running results of a function of two rows in groups of rows, many at a time.

The rows are cut into groups. Within each, results run from its first row, in one loop for all
groups; a second loop, over the groups, finds what came before each; and both meet in one
expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.graph import replace
from ..core.variable import Variable
from ..ops.broadcast import filled, rearrange
from ..ops.elementwise import floor_divide, maximum, multiply, subtract
from ..ops.join import concatenate
from ..ops.reshape import reshape
from ..ops.sizes import as_scalar, shape_of
from ..ops.slices import slice_axis
from .combination import Combination
from .op import Loop, Read, State, make_loop
from .stacked import stacked

__all__ = ["NAME", "as_long_as", "first_of", "in_groups", "number_of_groups", "one_by_one"]

NAME = "associative_scan"
"""What the loops are called."""


def as_long_as(x: Variable, results: Variable) -> Variable:
    """The results, which are as many as the rows of ``x``, whatever formula their size is."""
    return reshape(results, shape_of(x))


def one_by_one(combine: Combination, rows: Sequence[Variable], n: Any) -> list[Variable]:
    """The first row, and ``n`` results after it; of no rows one of zeros."""
    firsts = [first_of(x) for x in rows]
    steps = max(n, 0) if isinstance(n, int) else maximum(n, 0)
    return _loop(combine, firsts, rows, steps, offset=1)


def _loop(
    combine: Combination, firsts: Sequence[Variable], rows: Sequence[Variable], n: Any, offset: int
) -> list[Variable]:
    """What comes before the rows (a stack of one), and ``n`` results from it on."""
    reads = [Read(x, offset, v) for x, v in zip(rows, combine.right, strict=True)]
    parts = zip(firsts, combine.left, combine.outputs, strict=True)
    states = [State(first, {-1: v}, new) for first, v, new in parts]
    return Loop(make_loop(as_scalar(n), reads, states, [], role="grouping", name=NAME)).buffers


def first_of(x: Variable) -> Variable:
    """The first row, as a stack of one; zeros where there is none."""
    if not (isinstance(x.type.shape[0], int) and x.type.shape[0] > 0):
        zeros = filled(0, x.dtype, [1, *shape_of(x)[1:]])
        x = rearrange(concatenate([x[:1], zeros])[0], [None, *range(x.ndim - 1)])
    return x[:1]


def number_of_groups(x: Variable, group: int | Variable) -> Variable:
    """The most groups of so many rows of ``x`` that leave a row before them."""
    n = as_scalar(shape_of(x)[0])
    return floor_divide(maximum(subtract(n, 1), 0), group)


def in_groups(
    combine: Combination,
    rows: Sequence[Variable],
    n_groups: Variable,
    group: int | Variable,
) -> list[Variable] | None:
    """The results, by so many groups of so many rows; None where the function cannot be done for
    many rows at once.

    The groups are at the end. Before them is at least one row: so something comes before every
    group, and no row has to be made up.
    """
    n = as_scalar(shape_of(rows[0])[0])
    n_before = subtract(n, multiply(n_groups, group))
    # Of each group the first row, then of each group the second, ...
    groups = [_time_first(_cut(slice_axis(x, 0, n_before), n_groups, group)) for x in rows]
    for_all = combine.stacked([x[0] for x in groups])
    if for_all is None:
        return None
    before = one_by_one(combine, rows, subtract(n_before, 1))
    within = _loop(for_all, [x[:1] for x in groups], groups, subtract(group, 1), offset=1)
    totals = _loop(combine, [x[-1:] for x in before], [x[-1] for x in within], n_groups, offset=0)
    carried = [slice_axis(x, 0, 0, n_groups) for x in totals]
    meeting = replace(for_all.outputs, dict(zip(for_all.left, carried, strict=True)))
    after = stacked(meeting, dict(zip(for_all.right, within, strict=True)))
    assert after is not None  # all of it is of ops that could be stacked
    return [
        as_long_as(x, concatenate([slice_axis(first, 0, 0, n), _joined(rest)]))
        for x, first, rest in zip(rows, before, after, strict=True)
    ]


def _cut(x: Variable, n_groups: Variable, group: int | Variable) -> Variable:
    return reshape(x, (n_groups, group, *shape_of(x)[1:]))


def _time_first(x: Variable) -> Variable:
    return rearrange(x, [1, 0, *range(2, x.ndim)])


def _joined(x: Variable) -> Variable:
    """Rows by place and group, in the order of the sequence."""
    by_group = _time_first(x)
    n_groups, size, *rest = shape_of(by_group)
    return reshape(by_group, (multiply(n_groups, size), *rest))

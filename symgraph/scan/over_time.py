"""Values of a loop's body over time: where they can be read, once the loop is closed.

A gradient loop reads rows from the last to the first. What is computed of all its steps reads the
values over time from the last step to the first then: rows that were read lie in the order in which
they were made, and the loop writes the others from the last place to the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.dims import maximum_zero
from ..core.variable import Variable
from ..ops.elementwise import add
from ..ops.sizes import size_of
from ..ops.slices import reversed_rows, slice_axis
from .op import Read
from .open import OpenLoop
from .residuals import row_read

__all__ = ["Results", "Trace", "keep_over_time", "may_turn", "rows_between"]

# The results of a closed loop by the number that they have in the open one.
Results = Mapping[int, Variable]


@dataclass(frozen=True)
class Trace:
    """A value of the body over time: the rows of ``read``, or a result from its row ``first``."""

    read: Read | None = None
    result: int = -1
    first: int = 0
    is_turned: bool = False
    """Whether it is read from the last step to the first."""

    @property
    def results(self) -> set[int]:
        """The results of the loop that it needs."""
        return set() if self.read else {self.result}

    @property
    def traces(self) -> list[Trace]:
        """The values over time that it is made of: itself."""
        return [self]

    def turned(self) -> Trace:
        """The same, from the last step to the first."""
        return replace(self, is_turned=True)

    def over_time(self, loop: OpenLoop, results: Results) -> Variable:
        """The value over time, ``[n, ...]``, once the loop is closed."""
        base, first = results.get(self.result), self.first
        if self.read is not None:
            read = loop.reads[self.read.symbol]  # whose sequence may have moved
            base, first = read.sequence, read.offset
        assert base is not None
        over_time = rows_between(loop, base, first, first)
        return reversed_rows(over_time) if self.is_turned else over_time


def rows_between(loop: OpenLoop, base: Variable, first: int, last: int) -> Variable:
    """The rows from ``first`` to those that steps read with the offset ``last``.

    Where the loop has as many steps as rows allow that are read ahead, the length says so.
    """
    length, n_steps = base.type.shape[0], size_of(loop.n_steps)
    if n_steps + last == length:
        return slice_axis(base, 0, first) if first else base
    furthest = max((r.offset for r in loop.reads.values() if r.sequence is base), default=-1)
    if last <= furthest and maximum_zero(length - furthest) == n_steps:
        stop = last - furthest or None
        return slice_axis(base, 0, first, stop) if first or stop else base
    return slice_axis(base, 0, first, add(loop.n_steps, last))


def keep_over_time(loop: OpenLoop, value: Variable) -> Trace:
    """How to read a value of the body over time; a new plain output if need be."""
    if value in loop.reads:
        return Trace(loop.reads[value])
    if value in loop.taps:
        i, tap = loop.taps[value]
        return Trace(result=i, first=loop.states[i].depth + tap)
    result, first = loop.keep(value)
    return Trace(result=result, first=first)


def may_turn(loop: OpenLoop, traces: Sequence[Trace], read: Sequence[int]) -> bool:
    """Whether all of these traces are better read from the last step to the first.

    So it is where the loop reads rows that way, and nobody else ``read``s what it keeps for them.
    """
    kept = {trace.result for trace in traces if trace.read is None}
    others = {*range(len(loop.states)), *read}
    reads = [trace.read for trace in traces if trace.read is not None] or loop.reads.values()
    directions = (row_read(each.sequence, each.offset).direction for each in reads)
    return bool(kept) and kept.isdisjoint(others) and -1 in directions

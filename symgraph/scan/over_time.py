"""Values of a loop's body over time: where they can be read, once the loop is closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.variable import Variable
from ..ops.elementwise import add
from ..ops.sizes import size_of
from ..ops.slices import slice_axis
from .op import Read
from .open import OpenLoop

__all__ = ["Results", "Trace", "keep_over_time"]

# The results of a closed loop by the number that they have in the open one.
Results = Mapping[int, Variable]


@dataclass(frozen=True)
class Trace:
    """A value of the body over time: the rows of ``read``, or a result from its row ``first``."""

    read: Read | None = None
    result: int = -1
    first: int = 0

    @property
    def results(self) -> set[int]:
        """The results of the loop that it needs."""
        return set() if self.read else {self.result}

    def over_time(self, loop: OpenLoop, results: Results) -> Variable:
        """The value over time, ``[n, ...]``, once the loop is closed."""
        base, first = results.get(self.result), self.first
        if self.read is not None:
            base, first = self.read.sequence, self.read.offset
        assert base is not None
        stop = add(loop.n_steps, first)
        if size_of(stop) == base.type.shape[0]:
            return slice_axis(base, 0, first)
        return slice_axis(base, 0, first, stop)


def keep_over_time(loop: OpenLoop, value: Variable) -> Trace:
    """How to read a value of the body over time; a new plain output if need be."""
    if value in loop.reads:
        return Trace(loop.reads[value])
    for i, state in enumerate(loop.states):
        for tap, symbol in state.taps.items():
            if value is symbol:
                return Trace(result=i, first=state.depth + tap)
    result, first = loop.keep(value)
    return Trace(result=result, first=first)

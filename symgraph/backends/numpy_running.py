"""Loops on NumPy of which a step is one ufunc of the state and a row: its running results.

The ufunc's `accumulate` does the same operations in the same order, many times as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..core.variable import Variable
from ..ops.elementwise import WHERE
from ..scan.op import Loop
from .plan import call_of

__all__ = ["Running"]


class _Row(NamedTuple):
    """What a step reads: of which sequence, and how far from its own number."""

    sequence: int
    offset: int


class Running(NamedTuple):
    """What a loop does at every step."""

    function: np.ufunc
    """Of the state and the row, what the state becomes."""
    row: _Row
    begins: _Row | None
    """A bool: whether the state becomes the row as it is."""

    @classmethod
    def of(cls, loop: Loop) -> Running | None:
        """What the loop does, where it is no more than that."""
        taps = [list(state.taps) for state in loop.states]
        if taps != [[-1]] or loop.outputs or loop.condition is not None:
            return None
        (state,) = loop.states
        rows = {
            read.symbol: _Row(i, read.offset)
            for i, reads in enumerate(loop.reads_by_sequence)
            for read in reads
        }
        new, begins, first = state.new, None, None
        if new.op is WHERE and new.inputs[0] in rows and new.inputs[0].ndim == 0:
            flag, first, new = new.inputs
            begins = rows[flag]
        row = _other_operand(new, state.taps[-1])
        if row is None or row not in rows or first not in (None, row):
            return None
        function = call_of(new)
        return cls(function, rows[row], begins) if isinstance(function, np.ufunc) else None

    def write(
        self, states: np.ndarray, sequences: Sequence[np.ndarray], start: int, stop: int
    ) -> bool:
        """Whether these steps could be done at once: then the states after them are written, of
        which the first one is there, the state before them."""
        states[1:] = sequences[self.row.sequence][start + self.row.offset : stop + self.row.offset]
        if self.begins is not None:
            flags = sequences[self.begins.sequence]
            begins = flags[start + self.begins.offset : stop + self.begins.offset]
            if begins[1:].any():
                return False
            states = states[1:] if begins[0] else states
        self.function.accumulate(states, axis=0, dtype=states.dtype, out=states)
        return True


def _other_operand(v: Variable, state: Variable) -> Variable | None:
    """The operand that meets the state on its right, or on any side of a commutative op; all of one
    type."""
    if len(v.inputs) != 2 or state not in v.inputs:
        return None
    place = v.inputs.index(state)
    other = v.inputs[1 - place]
    is_in_order = place == 0 or "commutative" in v.op.traits
    is_alike = v.type is state.type is other.type
    return other if other is not state and is_in_order and is_alike else None

"""Where a loop's results lie while it runs: all their rows, or a ring of the last ones.

Rows are reached by addresses that advance from turn to turn. Where only the steps tell how many
there are, the room is doubled when it is full, and the addresses move with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ....core.dims import Size, product
from ....core.variable import Variable
from ....ops.slices import SLICE
from ....scan.last_rows import kept_rows
from ....scan.op import State
from ..analysis.layout import contiguous_strides
from ..machine.assembler import Assembler
from .program import Place
from .scope import Scope

__all__ = ["GrowingRows", "LastRows", "Ring", "Rows", "Turns", "few_rows"]

# How many rows a loop of unknown length is given at first.
_FIRST_ROWS = 64


@dataclass
class Turns:
    """What happens to addresses when a loop turns: they advance, rotate, or move with what grew."""

    assembler: Assembler
    steps: Size = 1
    """How many steps a turn takes."""
    strides: dict[int, Size] = field(default_factory=dict)
    """For slots of addresses that advance, how many elements they move from step to step."""
    advances: list[tuple[int, int]] = field(default_factory=list)
    """Slots of addresses, and of the bytes by which they advance."""
    rings: list[list[int]] = field(default_factory=list)
    """Slots of addresses that rotate, the oldest row first."""
    followers: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Slots of addresses, each of the last row that the turn before wrote: what it follows, the
    distance in elements, and their bytes."""
    growing: list[tuple[int, ...]] = field(default_factory=list)
    """Buffers that grow: slots of the address, the rows ahead, a row's bytes, the movement."""
    moving: list[tuple[int, int]] = field(default_factory=list)
    """Slots of addresses in buffers that grow, and of these buffers' movements."""
    _followed: dict[int, tuple[int, Size]] = field(default_factory=dict)
    """For slots of addresses that follow others, which, and how far these move at each step."""
    _beside: dict[tuple[int, Size], int] = field(default_factory=dict)

    def address(self, base: int, offset: Size, stride: Size, dtype: np.dtype) -> int:
        """A slot with an address that advances by a stride at each turn."""
        a = self.assembler
        slot = a.slot()
        a.run("address", slot, base, a.size(offset), dtype.itemsize)
        self.strides[slot] = stride
        self.advances.append((slot, a.size(stride * self.steps * dtype.itemsize)))
        return slot

    def beside(self, base: int, offset: Size, dtype: np.dtype) -> int:
        """The slot with an address so far from another, as which it moves."""
        if isinstance(offset, int) and offset == 0:
            return base
        slot = self._beside.get((base, offset))
        if slot is None:
            slot = self._beside[base, offset] = self._begin_beside(base, offset, dtype)
        return slot

    def _begin_beside(self, base: int, offset: Size, dtype: np.dtype) -> int:
        a = self.assembler
        if base in self.strides:
            slot = self.address(base, offset, self.strides[base], dtype)
            self.moving += [(slot, moved) for other, moved in self.moving if other == base]
            return slot
        if base not in self._followed:
            return a.address(base, offset, dtype)
        slot = a.slot()
        a.run("address", slot, base, a.size(offset), dtype.itemsize)
        self.follow(slot, *self._followed[base], dtype, offset)
        return slot

    def room(self) -> int:
        """The slot that tells how many rows there is room for in what grows."""
        a, capacity = self.assembler, self.assembler.slot()
        if self.growing:
            a.run("address", capacity, a.literal(self.first_rows), a.literal(0), 1)
        return capacity

    @property
    def first_rows(self) -> int:
        """How many rows there is room for at first: a whole number of turns, as twice as many."""
        return max(_FIRST_ROWS, self.steps) if isinstance(self.steps, int) else _FIRST_ROWS

    def grow(self, turn: int, capacity: int, no_room: int) -> None:
        """Make room for the row of this turn; ``no_room`` is the status where there is none."""
        words = [word for entry in (*self.growing, *self.moving) for word in entry]
        counts = (len(self.growing), len(self.moving))
        self.assembler.run("grow", turn, capacity, no_room, *counts, *words)

    def follow(
        self, before: int, row: int, stride: Size, dtype: np.dtype, offset: Size = 0
    ) -> None:
        """Let a slot hold, from the second turn on, the address of the row before that of another,
        which advances; or an address so far behind it."""
        self._followed[before] = (row, stride)
        distance = self.assembler.size(stride * (self.steps - 1) + offset)
        self.followers.append((before, row, distance, dtype.itemsize))

    def rotate(self) -> None:
        """Let the row of this turn be the one before, and the oldest one that of the next turn."""
        for ring in self.rings:
            self.assembler.run("rotate", len(ring), *reversed(ring))
        for follower in self.followers:
            self.assembler.run("address", *follower)


class Rows:
    """The rows of a result that stay where they are written: initial ones, then those of turns."""

    def __init__(self, scope: Scope, turns: Turns, result: Variable, depth: int) -> None:
        self._scope, self._turns, self._depth = scope, turns, depth
        self.count = depth
        """How many rows before that of a step are there for it."""
        self._row, self._dtype = product(result.type.shape[1:]), result.dtype
        self._strides = contiguous_strides(result.type.shape[1:])
        self._stride: Size = scope.values.views[result].strides[0]
        """How far one row is from the next one."""
        self._addresses: dict[int, int] = {}
        self.base = self._open(result)
        """The slot with the address of the first row."""

    def _open(self, result: Variable) -> int:
        return self._scope.place(result).base

    def begin(self, initial: Variable) -> None:
        """Let the initial rows be those before the first turn."""
        target = Place(self.base, (self._row, *self._strides))
        shape = (self._depth, *initial.type.shape[1:])
        self._scope.builder.copy(self._scope.place(initial), target, shape, self._dtype)

    def place(self, tap: int) -> Place:
        """Where a row lies: so many steps from the new one."""
        return Place(self.at(tap), self._strides)

    def at(self, tap: int) -> int:
        """The slot with the address of a row, which advances: so many steps from the new one."""
        if tap not in self._addresses:
            self._addresses[tap] = self._address(tap)
        return self._addresses[tap]

    def _address(self, tap: int) -> int:
        offset = (self._depth + tap) * self._stride
        return self._turns.address(self.base, offset, self._stride, self._dtype)

    def close(self) -> None:
        """Let the result be where it lies, now that the loop has ended."""


class GrowingRows(Rows):
    """Rows whose number only the steps tell."""

    def _open(self, result: Variable) -> int:
        a = self._scope.assembler
        self._moved = a.slot()
        base = self._scope.bases[result] = a.slot()
        a.allocate(base, (self._depth + self._turns.first_rows) * self._row, self._dtype)
        row_bytes = a.size(self._row * self._dtype.itemsize)
        self._turns.growing.append((base, a.literal(self._depth), row_bytes, self._moved))
        return base

    def _address(self, tap: int) -> int:
        slot = super()._address(tap)
        self._turns.moving.append((slot, self._moved))
        return slot


class Ring(Rows):
    """The last rows of a state, of which nobody reads others: each new one replaces the oldest.

    There are ``count`` of them, at least the initial ones; before so many steps the first are none.
    """

    def __init__(
        self, scope: Scope, turns: Turns, state: State, result: Variable | None, count: int
    ) -> None:
        a = scope.assembler
        buffer = self._take(scope, state, result, count, count + 1)
        slots = [a.slot() for _ in range(count + 1)]
        for i, slot in enumerate(slots):
            a.run("address", slot, buffer, a.size(self._row * i), self._dtype.itemsize)
        turns.rings.append(slots)
        self._addresses = {i - count: slot for i, slot in enumerate(slots)}

    def _take(
        self, scope: Scope, state: State, result: Variable | None, count: int, room: int
    ) -> int:
        """A buffer with room for so many rows, where the initial ones are the last of the count."""
        self._scope, self._result = scope, result
        self._depth, self.count = state.depth, count
        self._row, self._dtype = product(state.new.type.shape), state.new.dtype
        self._strides = contiguous_strides(state.new.type.shape)
        buffer = scope.builder.buffers.take(room * self._row, self._dtype)
        first = self._row * (count - state.depth)
        self.base = scope.assembler.address(buffer, first, self._dtype)
        return buffer

    def close(self) -> None:
        if self._result is None:
            return
        # So far before the last row the first one would lie.
        first = (self._result.type.shape[0] - 1) * self._row
        last = self._last_row(self._result)
        self._scope.bases[self._result] = self._scope.assembler.address(last, -first, self._dtype)

    def _last_row(self, result: Variable) -> int:
        """The slot with the address of the last row, before which the others lie in order."""
        count = self.count
        if count == 1:
            return self._addresses[-1]
        # Wherever the ring stands when the loop ends.
        builder, a = self._scope.builder, self._scope.assembler
        base = builder.buffers.take(count * self._row, self._dtype)
        rows = [a.address(base, i * self._row, self._dtype) for i in range(count)]
        shape = result.type.shape[1:]
        strides = contiguous_strides(shape)
        for i, row in enumerate(rows):
            source = Place(self._addresses[i - count], strides)
            builder.copy(source, Place(row, strides), shape, self._dtype)
        return rows[-1]


class LastRows(Ring):
    """The last rows of a state that is in registers while steps follow each other, in order."""

    def __init__(
        self, scope: Scope, turns: Turns, state: State, result: Variable | None, count: int
    ) -> None:
        a, buffer = scope.assembler, self._take(scope, state, result, count, count)
        self._addresses = {
            i - count: a.address(buffer, self._row * i, self._dtype) for i in range(count)
        }

    def _last_row(self, result: Variable) -> int:
        return self._addresses[-1]


def few_rows(scope: Scope, state: State, result: Variable | None) -> int | None:
    """How many last rows of a state are kept; None where all are."""
    values = scope.values

    def is_copied(v: Variable) -> bool:
        return v.op is SLICE and values.views[v].root is v

    return kept_rows(scope.graph, result, state.depth, needed=values.needed, is_copied=is_copied)

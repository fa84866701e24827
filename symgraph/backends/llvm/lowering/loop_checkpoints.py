"""The checkpoints of a loop: at every so-many-th turn the last rows of its states are copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ....core.dims import Size, product
from ....core.variable import Variable
from ....scan.op import State
from ..analysis.layout import contiguous_strides
from .loop_rows import Rows, Turns
from .program import Place
from .scope import Scope

__all__ = ["Checkpoints", "checkpoints_of"]


class _Kept(NamedTuple):
    """A state of which there are checkpoints, and the slot with the address of the next one."""

    state: State
    rows: Rows
    at: int

    @property
    def size(self) -> Size:
        """How many elements a checkpoint has."""
        return product(self.state.initial.type.shape)

    @property
    def dtype(self) -> np.dtype:
        """Of these elements."""
        return self.state.initial.dtype


class Checkpoints:
    """The checkpoints of a loop in the making, of the states of which somebody reads them.

    Where only the steps tell how many there are, their room grows.
    """

    def __init__(self, scope: Scope, every: Size, *, grows: bool) -> None:
        self._scope, self._every, self._grows = scope, every, grows
        self._turns = Turns(scope.assembler)
        self._kept: list[_Kept] = []
        self._taken, self._count = scope.assembler.slot(), scope.assembler.slot()

    def keep(self, state: State, rows: Rows, result: Variable) -> None:
        """Keep those of a state, whose last rows lie as told, for the result."""
        a, at = self._scope.assembler, self._scope.assembler.slot()
        size, dtype = product(state.initial.type.shape), state.initial.dtype
        if self._grows:
            base, moved = a.slot(), a.slot()
            self._scope.bases[result] = base
            a.allocate(base, size * self._turns.first_rows, dtype)
            row_bytes = a.size(size * dtype.itemsize)
            self._turns.growing.append((base, a.literal(0), row_bytes, moved))
            self._turns.moving.append((at, moved))
        else:
            base = self._scope.base(result)
        a.run("address", at, base, a.literal(0), 1)
        for tap in range(-state.depth, 0):
            rows.at(tap)  # which have to be there before the loop begins
        self._kept.append(_Kept(state, rows, at))

    def begin(self) -> None:
        """What is written before the loop: the states before the first step."""
        a = self._scope.assembler
        a.run("address", self._taken, a.literal(0), a.literal(0), 1)
        self._capacity = self._turns.room()
        self.copy()

    def write(self, turn: int, turns: Size, no_room: Callable[[int], int]) -> None:
        """The part of a turn that keeps the states before it, where it is one of those."""
        a = self._scope.assembler
        every = a.size(self._every)
        a.sometimes(turn, a.size(turns), every, self._count, lambda: self.write_always(no_room))

    def write_always(self, no_room: Callable[[int], int]) -> None:
        """The part of every turn that keeps the states before it."""
        a = self._scope.assembler
        if self._turns.growing:
            self._turns.grow(self._taken, self._capacity, no_room(self._taken))
        self.copy()
        a.run("address", self._taken, self._taken, a.literal(1), 1)
        for kept in self._kept:
            a.run("address", kept.at, kept.at, a.size(kept.size), kept.dtype.itemsize)

    def copy(self) -> None:
        """Copy the last rows of the states, as they are now, to where the next checkpoints lie."""
        builder, a = self._scope.builder, self._scope.assembler
        for state, rows, at in self._kept:
            shape = state.initial.type.shape[1:]
            for i in range(state.depth):
                target = a.slot()
                a.run(
                    "address", target, at, a.size(product(shape) * i), state.initial.dtype.itemsize
                )
                place = Place(target, contiguous_strides(shape))
                builder.copy(rows.place(i - state.depth), place, shape, state.initial.dtype)


def checkpoints_of(
    scope: Scope,
    every: Size | None,
    states: Sequence[tuple[State, Rows, Variable | None]],
    *,
    grows: bool,
) -> Checkpoints | None:
    """The checkpoints of a loop, of the states that have a result for them; None without any."""
    if every is None or all(result is None for _, _, result in states):
        return None
    checkpoints = Checkpoints(scope, every, grows=grows)
    for state, rows, result in states:
        if result is not None:
            checkpoints.keep(state, rows, result)
    checkpoints.begin()
    return checkpoints

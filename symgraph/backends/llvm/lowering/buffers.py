"""Buffers of a scope, used again when what they hold has been read for the last time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ....core.dims import Size
from ....core.size_bounds import without_rests
from ..machine.assembler import Assembler

__all__ = ["Buffers"]

# By number of elements and bytes of one the slots of buffers that nobody uses: room, and nothing
# that it holds.
_Free = dict[tuple[Size, int], list[int]]


class Buffers:
    """Memory for values; buffers of equal size follow one another in one place."""

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._free: list[_Free] = [defaultdict(list)]
        """What anyone may have, and what the part that is being written has given back."""
        self._kinds: dict[int, tuple[Size, int]] = {}

    def take(self, elements: Size, dtype: np.dtype) -> int:
        """A slot with the address of a buffer that nobody uses."""
        # Of steps in chunks the last chunk, which may be shorter, can have the room of the others.
        elements = without_rests(elements)
        kind = (elements, dtype.itemsize)
        # What is allocated as the program goes belongs to the turn of a loop that made it.
        for free in reversed(self._free):
            if free[kind]:
                return free[kind].pop()
        slot = self._assembler.memory(elements, dtype)
        if self._assembler.is_known_at_entry(elements):
            self._kinds[slot] = kind
        return slot

    def give_back(self, slot: int) -> None:
        """Let the buffer be used again; no matter if it is none of ours."""
        kind = self._kinds.get(slot)
        if kind is not None:
            self._free[-1][kind].append(slot)
            if self._assembler.guarded:
                elements, itemsize = kind
                self._assembler.run("fill", slot, self._assembler.size(elements), itemsize)

    @contextmanager
    def part(self, given_back: list[int]) -> Iterator[None]:
        """Let what is given back meanwhile be used again by this part of the program alone, and
        list it at the end: other parts may run at the same time."""
        own: _Free = defaultdict(list)
        self._free.append(own)
        yield
        self._free.pop()
        given_back += [slot for slots in own.values() for slot in slots]

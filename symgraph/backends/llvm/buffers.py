"""Buffers of a scope, used again when what they hold has been read for the last time."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ...core.dims import Size
from .assemble import Assembler

__all__ = ["Buffers"]


class Buffers:
    """Memory for values; buffers of equal size follow one another in one place."""

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._free: dict[tuple[Size, int], list[int]] = defaultdict(list)
        self._kinds: dict[int, tuple[Size, int]] = {}

    def take(self, elements: Size, dtype: np.dtype) -> int:
        """A slot with the address of a buffer that nobody uses."""
        kind = (elements, dtype.itemsize)
        # What is allocated as the program goes belongs to the turn of a loop that made it.
        if self._free[kind]:
            return self._free[kind].pop()
        slot = self._assembler.memory(elements, dtype)
        if self._assembler.is_known_at_entry(elements):
            self._kinds[slot] = kind
        return slot

    def give_back(self, slot: int) -> None:
        """Let the buffer be used again; no matter if it is none of ours."""
        kind = self._kinds.get(slot)
        if kind is not None:
            self._free[kind].append(slot)

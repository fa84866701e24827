"""Guarded memory of native programs, for tests; its switch is in ``backends/guarded.py``.

All memory of a call begins as a pattern that is NaN as a float and no index as an integer, and what
a program gives back is filled with it once more: what is read before it was written, or after it
was given back, or beside an array, turns results to NaN. After the call the zones around all arrays
are looked at: what was written beside an array is a `MemoryGuardError`. Such programs have more
instructions, are not kept on disk, and their calls take the long way.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ....core import provenance
from ....core.errors import MemoryGuardError, explain
from ..lowering.image import Lowered
from ..machine.frame import Frame, Slot
from ..machine.memory import BLOCK_EXTRA, PATTERN, PATTERN_FACTOR
from .call_memory import CallMemory, array_at

__all__ = ["GUARDED", "Guard"]

GUARDED = "its memory is guarded"
# How many bytes at least lie between two arrays.
_ZONE = 64


class _Fenced:
    """An array with a zone of the pattern on each side."""

    def __init__(self, shape: Sequence[int], dtype: np.dtype, what: str) -> None:
        size = prod(shape) * dtype.itemsize
        self._storage = _filled(size + 3 * _ZONE)
        address = self._storage.__array_interface__["data"][0]
        self._start = _ZONE + -address % _ZONE
        self._stop = self._start + size
        self.what = what
        self.array = self._storage[self._start : self._stop].view(dtype).reshape(shape)

    @staticmethod
    def copy(array: np.ndarray, what: str) -> _Fenced:
        """A copy of the array."""
        fenced = _Fenced(array.shape, array.dtype, what)
        fenced.array[...] = array
        return fenced

    def look(self) -> None:
        """Raise unless the zones are as they were."""
        _look(self._storage, 0, self._start, self.what)
        _look(self._storage, self._stop, self._storage.size, self.what)

    def look_for_changes(self, original: np.ndarray) -> None:
        """Raise unless the array is as it was, too."""
        self.look()
        if self.array.tobytes() != original.tobytes():
            raise _fault(f"{self.what} was changed, and may only be read")


def _filled(size: int) -> np.ndarray:
    """So many bytes of the pattern, or up to three more."""
    words = np.empty((size + 3) // 4, np.uint32)
    words[:] = _pattern(words.__array_interface__["data"][0], words.size)
    return words.view(np.uint8)


def _pattern(address: int, count: int) -> np.ndarray:
    """So many words of the pattern, from an address on."""
    places = np.arange(count, dtype=np.uint32) + np.uint32(address >> 2 & 0xFFFFFFFF)
    return places * np.uint32(PATTERN_FACTOR) >> np.uint32(16) | np.uint32(PATTERN)


def _look(storage: np.ndarray, start: int, stop: int, what: str) -> None:
    """Raise unless these bytes are the pattern."""
    first = start & -4
    address = storage.__array_interface__["data"][0] + first
    expected = _pattern(address, (stop - first + 3) // 4).view(np.uint8)
    wrong = np.flatnonzero(storage[start:stop] != expected[start - first : stop - first])
    if wrong.size:
        place = f"{start + int(wrong[0])} of {storage.size}"
        raise _fault(f"{wrong.size} bytes were written beside {what}, the first at {place}")


def _fault(what: str) -> MemoryGuardError:
    return MemoryGuardError(explain(what, remedy="This is a fault of symgraph's own; report it."))


class Guard:
    """The guarded memory of one program."""

    def __init__(self, lowered: Lowered, constants: Sequence[tuple[int, np.ndarray]]) -> None:
        self.lowered = lowered
        self._originals = [array for _, array in constants]
        self._copies = [_Fenced.copy(array, "a constant") for array in self._originals]
        self.constants = [
            (slot, copy.array) for (slot, _), copy in zip(constants, self._copies, strict=True)
        ]

    def memory(self) -> CallMemory:
        """The memory of one call."""
        return _GuardedMemory(self)

    def look(self) -> None:
        """Raise unless the constants are as they were."""
        for copy, original in zip(self._copies, self._originals, strict=True):
            copy.look_for_changes(original)


class _GuardedMemory(CallMemory):
    """The memory of one call, with zones around everything."""

    def __init__(self, guard: Guard) -> None:
        super().__init__([])
        self._guard = guard
        self._arguments: list[tuple[_Fenced, np.ndarray]] = []
        self._results: list[_Fenced] = []
        self._storage = _filled(0)
        self._first = 0

    def arguments(self, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        for i, array in enumerate(arrays):
            self._arguments.append((_Fenced.copy(array, f"argument {i + 1}"), array))
        return [copy.array for copy, _ in self._arguments]

    def arena(self, size: int) -> int:
        self._storage = _filled(size + 4 * _ZONE)
        address = self._storage.__array_interface__["data"][0]
        self._first = _ZONE + -address % _ZONE
        return address + self._first

    def result(self, number: int, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        v = self._guard.lowered.outputs[number]
        what = "a constant" if v is None else provenance.describe(v)
        fenced = _Fenced(shape, dtype, f"result {number + 1}, {what}")
        self._results.append(fenced)
        return fenced.array

    def handed_over(self, result: np.ndarray) -> np.ndarray:
        return result.copy()

    def look(self, frame: Frame) -> None:
        self._guard.look()
        for copy, original in self._arguments:
            copy.look_for_changes(original)
        for result in self._results:
            result.look()
        self._look_at_arena(frame)
        self._look_at_blocks(frame)

    def _look_at_arena(self, frame: Frame) -> None:
        at, before = self._first, 0
        for room in self._guard.lowered.rooms:
            # What lies before a buffer may have been written with it, or with the one before.
            what = self._room(room.status)
            _look(self._storage, before, at, what)
            before = at + max(frame[room.elements], 0) * room.itemsize
            at = at + (before - at + 127 & -64)
            _look(self._storage, before, at, what)
        _look(self._storage, before, self._storage.size, "the last buffer")

    def _look_at_blocks(self, frame: Frame) -> None:
        block = frame[Slot.BLOCKS]
        while block:
            following, size, status = array_at(block, [3], (1,), np.dtype(np.int64)).tolist()
            storage = array_at(block, [size + BLOCK_EXTRA], (1,), np.dtype(np.uint8))
            start = (block + 2 * _ZONE - 1 & -_ZONE) - block
            _look(storage, 24, start, self._room(status))
            # The last bytes of an odd number have not been filled.
            _look(storage, start + size, (size + BLOCK_EXTRA) & -4, self._room(status))
            block = following

    def _room(self, status: int) -> str:
        """The buffer for which this status would say that it is too large."""
        return f"the buffer of {provenance.describe(self._guard.lowered.checks[status - 1].node)}"

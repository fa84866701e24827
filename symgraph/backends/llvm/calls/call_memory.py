"""Where the arrays of one call lie, and arrays over memory that is not NumPy's."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from ..machine.frame import Frame

__all__ = ["CallMemory", "array_at"]

_NO_ARENA = np.empty(0, np.uint8)


class CallMemory:
    """The memory of one call of a program."""

    def __init__(self, arenas: list[np.ndarray]) -> None:
        self._arenas = arenas
        """What earlier calls have left."""
        self._arena = _NO_ARENA

    def arguments(self, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """What the program reads for these arguments."""
        return arrays

    def arena(self, size: int) -> int:
        """The address of so many bytes that no other call uses, on a cache line."""
        try:
            self._arena = self._arenas.pop()
        except IndexError:
            self._arena = _NO_ARENA
        if self._arena.size < size + 128:
            self._arena = np.empty(size + 128, np.uint8)
        return (self._arena.__array_interface__["data"][0] + 63) & -64

    def result(self, number: int, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An array for a result, and which of them it is."""
        return np.empty(shape, dtype)

    def look(self, frame: Frame) -> None:
        """Raise for what a program should not have done to its memory."""

    def handed_over(self, result: np.ndarray) -> np.ndarray:
        """The result as the caller gets it."""
        return result

    def end(self) -> None:
        """Leave the arena for the next call."""
        if self._arena.size:
            self._arenas.append(self._arena)


def array_at(
    address: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype
) -> np.ndarray:
    """An array over memory that is not ours; strides in elements."""
    if 0 in shape or not address:
        return np.zeros(shape, dtype)
    low = sum(min(0, (n - 1) * s) for n, s in zip(shape, strides, strict=True))
    high = sum(max(0, (n - 1) * s) for n, s in zip(shape, strides, strict=True))
    start = address + low * dtype.itemsize
    memory = (ctypes.c_char * ((high - low + 1) * dtype.itemsize)).from_address(start)
    return np.ndarray(
        shape,
        dtype,
        buffer=memoryview(memory),
        offset=-low * dtype.itemsize,
        strides=[s * dtype.itemsize for s in strides],
    )

"""What is said of arrays that no memory holds, and of sizes that cannot be counted."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

__all__ = ["array_text", "is_too_large", "room_text"]

# What NumPy says of arrays and sizes that it cannot count.
_UNCOUNTABLE = (
    "array is too big",
    "iterator is too large",
    "Maximum allowed dimension exceeded",
    "Maximum allowed size exceeded",
    "int too large to convert",
    "index-sized integer",
)
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def is_too_large(error: BaseException) -> bool:
    """Whether NumPy finds no memory for an array, or none that could be large enough."""
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, ValueError | OverflowError) and any(t in text for t in _UNCOUNTABLE)
    )


def array_text(shape: Sequence[int], dtype: np.dtype) -> str:
    """An array's shape and dtype, and how much memory it takes."""
    total = prod(shape) * dtype.itemsize
    if not total:
        return f"an array of shape {tuple(shape)} and dtype {dtype} has strides that none can count"
    return f"an array of shape {tuple(shape)} and dtype {dtype} takes {_amount(total)}"


def room_text(elements: int, dtype: np.dtype) -> str:
    """How much memory so many numbers take."""
    return f"room for {elements} numbers of {dtype} takes {_amount(elements * dtype.itemsize)}"


def _amount(size: int) -> str:
    """So many bytes, in a unit that suits them."""
    power = min(max(size.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    # Powers of two of integers that no float holds.
    whole, part = divmod(size * 10 >> 10 * power, 10) if power else (size, 0)
    return f"{whole}.{part} {_UNITS[power]}" if power else f"{whole} {_UNITS[0]}"

"""How far checkpoints are apart, in numbers."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["interval_of"]


def interval_of(steps: int, kept: int, each: int, memory: int) -> int:
    """What `dims.interval` is for these numbers."""
    steps, kept, each = max(steps, 1), max(kept, 0), max(each, 1)
    root = math.ceil(math.sqrt(steps))
    if memory <= 0:
        return root
    # The least interval for each number of chunks, which makes their parts as even as can be.
    counts = np.arange(1, root + 1)
    every = np.concatenate([(steps - 1) // counts + 1, counts[::-1]])
    chunks = (steps - 1) // every
    taken, again = kept * chunks + each * every, chunks * every
    fits = taken <= max(memory, taken.min())
    return int(every[np.where(fits, again, steps).argmin()])

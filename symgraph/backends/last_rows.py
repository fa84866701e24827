"""The last rows of an array that is not there as a whole, read by the numbers of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["LastRows"]


class LastRows:
    """An array of so many rows of which the last ones are there, and no others may be read.

    Indexed as the array would be: slices up to its end are such arrays too, until all of their rows
    are there.
    """

    def __init__(self, rows: np.ndarray, length: int) -> None:
        self._rows = rows
        self.shape: tuple[int, ...] = (length, *rows.shape[1:])
        self.dtype = rows.dtype

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray | LastRows:
        """The part at a number or a slice of rows, and at what else there is of other axes."""
        first, *others = index
        chosen = range(self.shape[0])[first]
        missing = self.shape[0] - len(self._rows)
        if isinstance(chosen, int):
            return self._rows[(chosen - missing, *others)]
        if not chosen:
            return self._rows[(slice(0), *others)]
        if min(chosen[0], chosen[-1]) < missing:
            assert chosen.step == 1, "rows that are not there are read"
            assert chosen[-1] == self.shape[0] - 1, "rows that are not there are read"
            return LastRows(self._rows[(slice(None), *others)], len(chosen))
        stop = chosen[-1] - missing + chosen.step
        part = slice(chosen[0] - missing, stop if stop >= 0 else None, chosen.step)
        return self._rows[(part, *others)]

"""Where the time of a program's calls goes: counters and a log beside the program."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....core.variable import Variable
from ...profile import MAX_MARKS, STEP, Profile, ProfileRow, record
from .assembler import Assembler
from .runtime import LOG_WORDS, MARK_WORDS

__all__ = ["Timing"]

_CYCLES = ctypes.CFUNCTYPE(ctypes.c_int64)
# How many kernels and loops of a program are timed: its counters stay where they are.
_MAX_ROWS = 4096


class Timing:
    """The counters and the log of one program; of its calls one is timed at a time."""

    def __init__(self) -> None:
        self.profile = Profile()
        self._counters = np.zeros((_MAX_ROWS + 1, 2), np.int64)  # the last ones are those of steps
        self._log = np.zeros(LOG_WORDS + MARK_WORDS * MAX_MARKS, np.int64)
        self._cycles: Callable[[], int] | None = None

    def measure(
        self, assembler: Assembler, nodes: Sequence[Variable], depth: int, write: Callable[[], Any]
    ) -> None:
        """Write a part of a program so that its time is counted, in a row for these nodes."""
        number = len(self.profile.rows)
        if number < _MAX_ROWS:
            self.profile.rows.append(ProfileRow.of(nodes, depth))
        self._measure(assembler, number, number, write)

    def measure_step(self, assembler: Assembler, write: Callable[[], Any]) -> None:
        """Write the body of a loop so that its steps are in the log."""
        self._measure(assembler, len(self.profile.rows), STEP, write)

    def _measure(
        self, assembler: Assembler, n_rows: int, number: int, write: Callable[[], Any]
    ) -> None:
        if n_rows == _MAX_ROWS:
            write()
            return
        counter = self._counters[number].ctypes.data
        assembler.main.open(assembler.runtime["timed"], counter, self._log.ctypes.data, number)
        write()
        assembler.main.close()

    def link(self, cycles: int) -> None:
        """Tell the address of the function that reads the clock."""
        self._cycles = _CYCLES(cycles)

    def call(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """The function's result, its time added to the rows; what ran is recorded if it ended."""
        assert self._cycles is not None
        self._counters[:] = 0
        self._log[:LOG_WORDS] = 0, MAX_MARKS
        start, first = time.perf_counter(), self._cycles()
        try:
            result = function(*arguments)
        finally:
            cycles, seconds = self._cycles() - first, time.perf_counter() - start
            self.profile.calls.append((start, seconds))
            rows = self.profile.rows
            counters = self._counters[: len(rows)].tolist()
            for row, (spent, runs) in zip(rows, counters, strict=True):
                row.runs += runs
                row.seconds += spent * seconds / max(cycles, 1)
        end = LOG_WORDS + MARK_WORDS * int(self._log[0])
        marks = self._log[LOG_WORDS:end].reshape(-1, MARK_WORDS).copy()
        passed = (marks[:, 1] - first) * (seconds * 1e9 / max(cycles, 1))
        marks[:, 1] = int(start * 1e9) + passed.astype(np.int64)
        record(self.profile, marks)
        return result

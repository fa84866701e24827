"""Where the time of a program's calls goes: counters beside the program, rows of the profile."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....core import provenance
from ....core.variable import Variable
from ...profile import Profile, ProfileRow
from .assembler import Assembler

__all__ = ["Timing"]

_CYCLES = ctypes.CFUNCTYPE(ctypes.c_int64)
# How many kernels and loops of a program are timed: its counters stay where they are.
_MAX_ROWS = 4096


class Timing:
    """The counters of one program; of its calls one is timed at a time."""

    def __init__(self) -> None:
        self.profile = Profile()
        self._counters = np.zeros((_MAX_ROWS, 2), np.int64)
        self._cycles: Callable[[], int] | None = None

    def measure(
        self, assembler: Assembler, nodes: Sequence[Variable], depth: int, write: Callable[[], Any]
    ) -> None:
        """Write a part of a program so that its time is counted, in a row for these nodes."""
        number = len(self.profile.rows)
        if number == _MAX_ROWS:
            write()
            return
        names = [v.op.name for v in nodes]
        name = " ".join(names) if len(names) <= 4 else f"{' '.join(names[:3])} … {names[-1]}"
        lines = [line for v in nodes if (line := provenance.line_of(v)) is not None]
        is_loop = nodes[0].op.name == "scan"
        line = lines[-1] if lines else None
        self.profile.rows.append(ProfileRow(name, line, depth, is_loop=is_loop))
        address = self._counters.ctypes.data + 16 * number
        assembler.main.open(assembler.runtime["timed"], address)
        write()
        assembler.main.close()

    def link(self, cycles: int) -> None:
        """Tell the address of the function that reads the clock."""
        self._cycles = _CYCLES(cycles)

    def call(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """The function's result, its time added to the rows."""
        assert self._cycles is not None
        self._counters[:] = 0
        start, first = time.perf_counter(), self._cycles()
        try:
            return function(*arguments)
        finally:
            cycles, seconds = self._cycles() - first, time.perf_counter() - start
            self.profile.calls.append((start, seconds))
            counters = self._counters.tolist()
            for row, (spent, runs) in zip(self.profile.rows, counters, strict=False):
                row.runs += runs
                row.seconds += spent * seconds / max(cycles, 1)

"""Where the time of a function's calls went: by kernel, by loop and by call, and in which order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..core import provenance
from ..core.variable import Variable
from ..scan.op import SCAN

__all__ = ["END", "MAX_MARKS", "STEP", "Log", "Profile", "ProfileRow", "Recording", "record"]

MAX_MARKS = 1 << 17
"""How many beginnings and ends are recorded: of one call, and of all that are kept."""
STEP, END = -1, -2
"""In place of a row's number: a step of the loop around it begins; what began last ends."""
# Kinds of ops; what computes several is of the first of their kinds.
_RANKS: list[str] = ["product", "reduction", "elementwise", "movement", "other"]


class Recording(NamedTuple):
    """What ran in one call, and when."""

    thread: int
    """The thread that called, as `threading.get_ident` names it."""
    marks: np.ndarray[Any, Any]
    """Beginnings and ends in order, [marks, 2]: a row's number, `STEP` or `END`; and when, in
    nanoseconds of the clock of `time.perf_counter`."""


class Log:
    """The marks of the call that is being made, where Python makes them; once there is no room,
    what begins is left out."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin again."""
        self._words: list[int] = []
        self._room = MAX_MARKS

    def begin(self, number: int, when: int) -> bool:
        """Whether there was room for what begins, and for its end."""
        if self._room < 2:
            return False
        self._room -= 2
        self._words += number, when
        return True

    def end(self, when: int) -> None:
        """Mark the end of what began last."""
        self._words += END, when

    def marks(self) -> np.ndarray[Any, Any]:
        """All of them, as a `Recording` has them."""
        return np.array(self._words, np.int64).reshape(-1, 2)


@dataclass
class ProfileRow:
    """The time spent in one kernel or loop, over all calls."""

    name: str
    """The op's name, or the kernel's."""
    line: str | None
    """The user's line, where it is known."""
    depth: int
    """0 outside loops, 1 in the body of a loop, and so on."""
    is_loop: bool = False
    """Whether this is a loop: its time includes that of the rows of its body, which follow it."""
    runs: int = 0
    seconds: float = 0.0
    kind: str = "other"
    """``"loop"``, or what sort of op it is: ``"product"``, ``"elementwise"`` …"""
    label: str = ""
    """What a trace calls it: a loop by its own name, else the ops, each once."""
    near: str | None = None
    """The line, or else, outside loops, that of an operation that it is made of."""

    @staticmethod
    def of(nodes: Sequence[Variable], depth: int) -> ProfileRow:
        """The row of what computes these nodes."""
        names = [v.op.name for v in nodes]
        name = _listed(names, 4)
        lines = [line for v in nodes if (line := provenance.line_of(v)) is not None]
        line, is_loop = lines[-1] if lines else None, nodes[0].op is SCAN
        kind = "loop" if is_loop else min((v.op.kind for v in nodes), key=_RANKS.index)
        label = (is_loop and nodes[0].name) or _listed(list(dict.fromkeys(names)), 6)
        near = line if depth else line or next(filter(None, map(_near, reversed(nodes))), None)
        return ProfileRow(name, line, depth, is_loop, kind=kind, label=label, near=near)


def _near(v: Variable) -> str | None:
    """The line of one of the operations that the node is made of, if any of the nearest has one."""
    layer: Sequence[Variable] = [v]
    for _ in range(4):
        layer = [x for y in layer for x in y.inputs if x.inputs][:16]
        line = next(filter(None, map(provenance.line_of, layer)), None)
        if line is not None:
            return line
    return None


def _listed(names: Sequence[str], most: int) -> str:
    """The names; of more than ``most`` the first and the last."""
    return " ".join([*names[: most - 1], "…", names[-1]] if len(names) > most else names)


@dataclass
class Profile:
    """The time of a function's calls; printable as a table, the slowest first.

    >>> x = sg.vector("x")
    >>> f = sg.compile([x], sg.exp(x), backend="numpy", profile=True)
    >>> y = f([0.0]), f([1.0])
    >>> [(row.name, row.runs) for row in f.profile.rows], len(f.profile.calls)
    ([('exp', 2)], 2)
    """

    rows: list[ProfileRow] = field(default_factory=list)
    """One for each kernel and loop, in order of execution."""
    calls: list[tuple[float, float]] = field(default_factory=list)
    """When each call began, on the clock of `time.perf_counter`, and how many seconds it took."""

    recordings: deque[Recording] = field(default_factory=deque)
    """What ran in the latest of them, as many as have `MAX_MARKS` marks together."""
    _n_marks: int = field(default=0, repr=False)

    @property
    def seconds(self) -> float:
        """The seconds of all calls together."""
        return sum(seconds for _, seconds in self.calls)

    def __str__(self) -> str:
        total = self.seconds or 1.0
        ranked = sorted(self.rows, key=lambda row: -row.seconds)
        lines = [
            f"{len(self.calls)} calls, {self.seconds * 1e3:.3f} ms",
            f"{'ms':>10} {'%':>6} {'runs':>9}  kernel",
        ]
        lines += [
            f"{row.seconds * 1e3:>10.3f} {100 * row.seconds / total:>6.1f} {row.runs:>9}  "
            f"{'  ' * row.depth}{row.name}{' (loop)' if row.is_loop else ''}"
            f"{f'  {row.line}' if row.line else ''}"
            for row in ranked
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def record(profile: Profile, marks: np.ndarray[Any, Any]) -> None:
    """Keep the marks of a call that this thread has just made, in the place of the oldest ones."""
    profile.recordings.append(Recording(threading.get_ident(), marks))
    profile._n_marks += len(marks)
    while len(profile.recordings) > 1 and profile._n_marks > MAX_MARKS:
        profile._n_marks -= len(profile.recordings.popleft().marks)

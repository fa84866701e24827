"""What a loop is given: sequences and their taps, states and their initial values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .drawer import Drawer

__all__ = ["MOST_STEPS", "Loop", "add_index", "add_sequence", "add_state"]

MOST_STEPS = 17


@dataclass
class Loop:
    """A loop in the making."""

    sequences: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    arguments: dict[str, Any] = field(default_factory=dict)
    """The step's parameters, with values of one step."""
    states: list[tuple[str, Any]] = field(default_factory=list)
    """For each state the newest past value's name, and its value."""
    index: str | None = None
    """The parameter that counts the steps."""
    options: str = ""
    body: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    until: str = ""


def _rows(x: np.ndarray, tap: int = 0) -> np.ndarray:
    """The row of a first step, or zeros."""
    row = np.zeros(x.shape[1:], x.dtype)
    return x[max(0, tap)] if len(x) > max(0, tap) else row


_TAPS = ([0], [-1, 0], [0, 1], [-2, 0], [-1, 0, 2], [1], [0, -1], [-1], [3], [-4, 0], [2, -2])
_PAST = ([-1], [-2], [-2, -1], [-1, -3], [-3, -2, -1], [-3], [-5, -1])


def add_sequence(d: Drawer, loop: Loop) -> None:
    """A sequence, read at one place or several, or the steps' numbers."""
    taps = d.one_of(_TAPS[1:]) if d.chance(0.25) else [0]
    x = _sequence(d, taps)
    if x is None:
        return
    value = d.values[x]
    if loop.index is None and d.chance(0.3):
        add_index(d, loop, f"{x}.shape[0]", len(value))
        return
    if taps != [0]:
        loop.sequences.append(f'{{"input": {x}, "taps": {taps}}}')
    else:
        loop.sequences.append(f"{x}[::-1]" if d.chance(0.1) else x)
    for tap in taps:
        loop.arguments[d.fresh("r")] = _rows(value, tap)


def add_index(d: Drawer, loop: Loop, size: str, length: int) -> None:
    """The steps' numbers, up or down, as a sequence."""
    loop.index = d.fresh("i")
    loop.sequences.append(f"sg.arange({size})" + ("[::-1]" if d.chance(0.25) else ""))
    loop.arguments[loop.index] = np.int64(max(0, length // 2))


def _sequence(d: Drawer, taps: list[int]) -> str | None:
    """The name of something with rows: a new argument of as many as the steps need, or any."""
    if not d.is_at_top_of_a_case:
        return d.pick(lambda v: 0 < v.ndim < 3 and len(v) <= MOST_STEPS)
    assert d.steps is not None
    reach = max(0, *taps) - min(0, *taps)
    names = [x.name for x in d.inputs if d.values[x.name].shape[:1] == (d.steps + reach,)]
    if names and d.chance(0.15):
        return d.one_of(names)
    length = d.steps + reach + (d.integer(1, 2) if d.chance(0.15) else 0)
    return d.declare([length, *_row(d)], _dtype(d))


def _row(d: Drawer) -> list[int]:
    """The shape of a row, that of an argument's before perhaps."""
    known = [list(d.values[x.name].shape[1:]) for x in d.inputs]
    if known and d.chance(0.6):
        return d.one_of(known)
    return d.one_of(([2], [], [3], [1], [3, 2], [2, 2], [0]), (6, 3, 3, 2, 2, 2, 1))


def _dtype(d: Drawer) -> str:
    return "int64" if d.chance(0.1) else d.dtype


def add_state(d: Drawer, loop: Loop) -> None:
    """A state with one past value or several, or an output without a past."""
    if d.chance(0.2) and loop.arguments:
        loop.infos.append("None")
        loop.states.append(("", None))
        return
    name = d.fresh("h")
    if d.is_at_top_of_a_case:
        _add_new_state(d, loop, name)
        return
    x = d.pick(lambda v: v.ndim < 3)
    if x is None:
        return
    value = d.values[x]
    if value.ndim and d.chance(0.2):  # as users begin
        dtype = value.dtype.name if value.dtype.kind == "f" else "float64"
        loop.infos.append(d.one_of(("sg.zeros", "sg.ones")) + f"({x}.shape[1:], dtype={dtype!r})")
        loop.arguments[name] = first = np.zeros(value.shape[1:], dtype)
        loop.states.append((name, first))
        return
    fitting = [taps for taps in _PAST[1:] if value.ndim and -min(taps) == len(value)]
    if fitting and d.chance(0.5):
        _add_past(d, loop, name, x, d.one_of(fitting))
        return
    loop.infos.append(x)
    loop.arguments[name] = value
    loop.states.append((name, value))


def _add_new_state(d: Drawer, loop: Loop, name: str) -> None:
    """A state whose initial rows are a new argument."""
    taps = d.one_of(_PAST) if d.chance(0.4) else []
    rows = [-min(taps)] if taps else []
    x = d.declare([*rows, *_row(d)], _dtype(d))
    if taps:
        _add_past(d, loop, name, x, taps)
        return
    loop.infos.append(x)
    loop.arguments[name] = d.values[x]
    loop.states.append((name, d.values[x]))


def _add_past(d: Drawer, loop: Loop, name: str, x: str, taps: list[int]) -> None:
    """A state that is read at these taps, from these initial rows."""
    loop.infos.append(f'{{"initial": {x}, "taps": {taps}}}')
    for tap in taps:
        loop.arguments[name if tap == taps[-1] else d.fresh("h")] = d.values[x][tap]
    loop.states.append((name, d.values[x][-1]))

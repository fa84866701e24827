"""A loop as a loop in Python: the step evaluated once for each row, on arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import ScanError
from ..core.values import weak_kind
from ..core.variable import Variable
from ..ops.inputs import tensor
from ..ops.promotion import as_variable
from ..scan.step import Until
from .values import prepared

__all__ = ["Walk", "walk"]

# What takes the dtype of anything that it meets.
_NARROWEST = {float: "float32", int: "int8"}


@dataclass
class Walk:
    """What a loop in Python found."""

    outputs: list[np.ndarray]
    dtypes: list[np.dtype | None]
    """For each output the dtype of the state that it is; None for one without a past."""
    steps: int


@dataclass
class _Sequence:
    """Rows of an array, at taps from the step's own."""

    rows: np.ndarray
    taps: Sequence[int]

    @property
    def n_steps(self) -> int:
        """How many steps find all their rows."""
        return max(0, len(self.rows) - max(0, *self.taps) + min(0, *self.taps))

    def at(self, t: int, *, go_backwards: bool) -> list[np.ndarray]:
        """What step ``t`` reads; zeros where there is no such step."""
        if t >= self.n_steps:
            return [np.zeros(self.rows.shape[1:], self.rows.dtype) for _ in self.taps]
        starts = range(-min(0, *self.taps), len(self.rows) - max(0, *self.taps))
        start = starts[-1 - t] if go_backwards else starts[t]
        return [self.rows[start + tap] for tap in self.taps]


def walk(
    step: Callable[..., Any],
    sequences: Sequence[Any],
    infos: Sequence[Any],
    others: Sequence[Any],
    *,
    n_steps: Any = None,
    go_backwards: bool = False,
) -> Walk:
    """The outputs of a loop over arrays, and how many steps it takes.

    What `scan` takes, with arrays for variables. ``step`` is built for each set of dtypes that its
    states have had, and evaluated without any rewriting.
    """
    read = [
        _Sequence(np.asarray(s["input"]), s.get("taps", [0]))
        if isinstance(s, Mapping)
        else _Sequence(np.asarray(s), [0])
        for s in sequences
    ]
    n = min(s.n_steps for s in read) if n_steps is None else int(n_steps)
    taps = [_taps_of(info) for info in infos]
    past = [_initial_rows(info) for info in infos]
    fixed = [np.asarray(x) if isinstance(x, (np.ndarray, np.generic)) else x for x in others]
    run = _Built(step, past, taps, fixed, [weak_kind(info) is not None for info in infos])
    new: list[list[np.ndarray]] = []
    t = 0
    while t < max(n, 1):
        rows = [row for s in read for row in s.at(t, go_backwards=go_backwards)]
        results, stops = run(rows)
        new = new or [[] for _ in results]
        for i, result in enumerate(results):
            new[i].append(result)
            if i < len(past) and taps[i]:
                past[i].append(result)
        t += 1
        if stops:
            break
    taken = min(t, n)
    dtypes = [past[i][0].dtype if i < len(past) and past[i] else None for i in range(len(new))]
    return Walk([np.stack(values)[:taken] for values in new], dtypes, taken)


class _Built:
    """A step built for the dtypes of its states. Those that begin with Python numbers take the
    dtypes of their new values."""

    def __init__(
        self,
        step: Callable[..., Any],
        past: list[list[np.ndarray]],
        taps: list[Sequence[int]],
        fixed: list[Any],
        weak: list[bool],
    ) -> None:
        self.step, self.past, self.taps, self.fixed, self.weak = step, past, taps, fixed, weak
        self.run: Callable[..., Sequence[np.ndarray]] | None = None
        self.ends = False

    def __call__(self, rows: list[np.ndarray]) -> tuple[list[np.ndarray], bool]:
        """The new values, and whether the loop ends."""
        while self.run is None:
            self.build(rows)
        results = [np.asarray(r) for r in self.run(*self.arguments(rows))]
        stops = bool(results.pop()) if self.ends else False
        states = zip(results, self.past, strict=False)
        results[: len(self.past)] = [_as_state(i, r, p) for i, (r, p) in enumerate(states)]
        return results, stops

    def arguments(self, rows: list[np.ndarray]) -> list[np.ndarray]:
        earlier = [p[tap] for p, taps in zip(self.past, self.taps, strict=True) for tap in taps]
        return [*rows, *earlier, *(x for x in self.fixed if isinstance(x, np.ndarray))]

    def build(self, rows: list[np.ndarray]) -> None:
        """Build the step, or give states other dtypes, from which it is built again."""
        symbols = [tensor(None, x.shape, x.dtype) for x in self.arguments(rows)]
        given = iter(symbols)
        count = len(rows) + sum(len(taps) for taps in self.taps)
        arguments = [next(given) for _ in range(count)]
        arguments += [next(given) if isinstance(x, np.ndarray) else x for x in self.fixed]
        returned = self.step(*arguments)
        ends: list[Variable] = []
        if isinstance(returned, (list, tuple)) and isinstance(returned[-1], Until):
            ends = [as_variable(returned[-1].condition, "until")]
            returned = returned[0] if len(returned) == 2 else returned[:-1]
        several = isinstance(returned, (list, tuple))
        outputs = [as_variable(x, "step") for x in (returned if several else [returned])]
        self.ends = bool(ends)
        settled = True
        for i, (past, output) in enumerate(zip(self.past, outputs, strict=False)):
            dtype = np.dtype("int64") if output.dtype == np.int8 else output.dtype
            if self.weak[i] and past[0].dtype != dtype:
                past[:] = [np.asarray(x, dtype) for x in past]
                self.weak[i] = settled = False
        if settled:
            self.run = prepared(symbols, [*outputs, *ends])


def _as_state(number: int, result: np.ndarray, past: Sequence[np.ndarray]) -> np.ndarray:
    """A new value in the type of its state; of what is no state as it is."""
    if not past:
        return result
    try:
        return np.broadcast_to(result, past[0].shape).astype(past[0].dtype)
    except ValueError:
        raise ScanError.here(
            f"check_scan: the state of output {number} has the shape {past[0].shape}; "
            f"the step returns {result.shape}",
            remedy="Give an initial value of the shape that the step returns.",
        ) from None


def _taps_of(info: Any) -> Sequence[int]:
    if isinstance(info, Mapping):
        return info.get("taps", [-1])
    return [] if info is None else [-1]


def _initial_rows(info: Any) -> list[np.ndarray]:
    """The rows before the first step, the oldest first."""
    if info is None:
        return []
    if isinstance(info, Mapping) and "taps" in info:
        rows = np.asarray(info["initial"])
        return [np.asarray(row) for row in rows] if rows.ndim else [rows]
    value = info["initial"] if isinstance(info, Mapping) else info
    return [np.asarray(value, _NARROWEST.get(type(value)))]

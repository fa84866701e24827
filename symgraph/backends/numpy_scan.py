"""Loops on NumPy: the body's plan run once for each step, its results written where they belong.

Of a state of which the last rows alone are read no others are kept: its buffer is a window, which
moves on after some steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import provenance
from ..core.binding import bind_sizes, shape_numbers
from ..core.errors import CallError, SymgraphError, explain
from ..core.graph import Graph
from ..core.origins import call_in_steps, loops_around
from ..core.variable import Variable
from ..scan.last_rows import kept_rows
from ..scan.op import Loop
from ..scan.paths import loops_in
from .last_rows import LastRows
from .numpy_running import Running
from .plan import Plan, in_step

__all__ = ["NumpyLoop", "few_rows"]

# How many rows a loop of unknown length is given at first; and the steps after which windows move.
_FIRST_ROWS = 64


def few_rows(graph: Graph) -> Mapping[Variable, Mapping[int, int]]:
    """For each loop of the graph the states of which not all rows are kept, and how many are."""
    return {v: dict(_few_rows(v, graph)) for v in loops_in(graph)}


def _few_rows(scan: Variable, graph: Graph) -> Iterator[tuple[int, int]]:
    items = {x.params[0]: x for x, _ in graph.users[scan]}
    for k, state in enumerate(Loop(scan).states):
        count = kept_rows(graph, items.get(k), state.depth)
        if count is not None:
            yield k, count


@dataclass
class _Rows:
    """The rows of a result that are there, in an array with room for more."""

    array: np.ndarray
    depth: int
    """How many rows come before that of step 0."""
    first: int = 0
    """The step of which the row lies after ``depth`` others."""

    def at(self, step: int) -> int:
        """Where the row of a step lies."""
        return self.depth + step - self.first

    def make_room(self, n: int, *, capacity: int) -> None:
        """Let there be room for all rows up to step ``n``; if there is none, for so many steps."""
        if len(self.array) < self.at(n):
            larger = np.empty((self.at(capacity), *self.array.shape[1:]), self.array.dtype)
            larger[: len(self.array)] = self.array
            self.array = larger

    def move(self, start: int, stop: int) -> None:
        """Keep no rows but the last ones before a step, and have room for those up to another."""
        moved = np.empty((self.depth + stop - start, *self.array.shape[1:]), self.array.dtype)
        moved[: self.depth] = self.array[self.at(start) - self.depth : self.at(start)]
        self.array, self.first = moved, start


class _Checkpoints:
    """The last rows of states before every so-many-th step, where a loop has checkpoints."""

    def __init__(self, interval: np.ndarray | None, depths: Sequence[int]) -> None:
        self._every = None if interval is None else max(len(interval), 1)
        self._depths = depths
        self._kept: list[list[np.ndarray]] = [[] for _ in depths]

    def cut(self, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """The spans of steps, so that at every step with a checkpoint one begins."""
        for start, stop in spans:
            if self._every is not None:
                for middle in range(start - start % self._every + self._every, stop, self._every):
                    yield start, middle
                    start = middle
            yield start, stop

    def keep(self, step: int, results: Sequence[_Rows]) -> None:
        """Keep the rows before a step, where it has a checkpoint."""
        if self._every is not None and step % self._every == 0:
            for rows, depth, kept in zip(results, self._depths, self._kept, strict=False):
                kept.append(rows.array[rows.at(step) - depth : rows.at(step)].copy())

    def arrays(self, taken: int, results: Sequence[_Rows], *, ends: bool) -> list[np.ndarray]:
        """The checkpoints after so many steps; whether there is one where it ``ends``."""
        if self._every is None:
            return []
        if ends or taken == 0:
            self.keep(taken, results)
        return [np.array(kept) for kept in self._kept]


class NumpyLoop:
    """A scan node, ready to run: from the values of its inputs to its buffers and traces.

    ``few_rows``: for states of which no more rows are kept, how many last ones are. ``each_step``:
    whether the body's plan is run for each step, however little it does.
    """

    def __init__(
        self, scan: Variable, body: Plan, few_rows: Mapping[int, int], *, each_step: bool
    ) -> None:
        self._scan = scan
        self._body = body
        self._few_rows = few_rows
        self._loop = loop = Loop(scan)
        self._states = loop.states
        self._depths = [result.depth for result in loop.results]
        self._n_changing = len(loop.changing)
        self._until = loop.layout.until
        self._running = None if each_step else Running.of(loop)

    def __call__(self, n_steps: Any, *arrays: np.ndarray) -> tuple[np.ndarray | LastRows, ...]:
        """Buffers and traces, for the values of the node's inputs."""
        n = int(n_steps)
        parts = self._loop.layout.parts((n_steps, *arrays))
        self._check(n, parts.sequences, parts.initials)
        values = self._body.slots()
        values[self._n_changing : self._n_changing + len(parts.fixed)] = parts.fixed
        rows = list(map(self._first_rows, range(len(self._states)), parts.initials))
        kept = _Checkpoints(parts.interval, self._depths[: len(rows)])
        number = 0 if parts.first is None else int(parts.first)
        taken = call_in_steps(
            (*loops_around(), self._scan),
            lambda: self._run(n, values, parts.sequences, rows, kept, number),
        )
        if len(rows) < len(self._depths):
            rows += [_Rows(trace, 0) for trace in self._empty_traces((n_steps, *arrays))]
        checkpoints = kept.arrays(taken, rows, ends=self._loop.layout.ends_at_checkpoint)
        results: list[np.ndarray | LastRows] = [each.array[: each.at(taken)] for each in rows]
        for k, count in self._few_rows.items():
            last = rows[k].array[rows[k].at(taken) - count : rows[k].at(taken)]
            results[k] = LastRows(last, self._depths[k] + taken)
        return (*results, *checkpoints)

    def _first_rows(self, k: int, initial: np.ndarray) -> _Rows:
        """The rows of a state before the first step; of those that are kept the oldest are none."""
        depth = self._few_rows.get(k, len(initial))
        array = np.zeros((depth, *initial.shape[1:]), initial.dtype)
        array[depth - len(initial) :] = initial
        return _Rows(array, depth)

    def _run(
        self,
        n: int,
        values: list[Any],
        sequences: Sequence[np.ndarray],
        results: list[_Rows],
        kept: _Checkpoints,
        number: int,
    ) -> int:
        """How many steps were taken; the results have their rows then. Messages count them from
        ``number`` on."""
        body, n_changing = self._body, self._n_changing
        spans = _spans(n, in_parts=self._until, in_windows=bool(self._few_rows))
        for start, stop in kept.cut(spans):
            kept.keep(start, results)
            self._make_room(results, n, start, stop)
            if self._run_at_once(start, stop, sequences, results):
                continue
            rows = self._rows(start, stop, sequences, results)
            targets = self._targets(results)
            for t, row in enumerate(rows, start):
                values[:n_changing] = row
                try:
                    body.run(values)
                except SymgraphError as error:
                    raise in_step(error, number + t, self._scan) from error.__cause__
                if len(targets) < len(self._depths):
                    room = stop if self._until else n
                    results += [_Rows(trace, 0) for trace in self._new_traces(values, room)]
                    targets = self._targets(results)
                for target, offset, shape, slot in targets:
                    value = values[slot]
                    if value.shape != shape:
                        raise self._changed_shape(number + t, slot, shape, value.shape)
                    target[offset + t] = value
                if self._until and values[body.outputs[-1]]:
                    return t + 1
        return n

    def _run_at_once(
        self, start: int, stop: int, sequences: Sequence[np.ndarray], results: list[_Rows]
    ) -> bool:
        """Whether these steps are done, all at once."""
        if self._running is None:
            return False
        (rows,) = results
        states = rows.array[rows.at(start - 1) : rows.at(stop)]
        return self._running.write(states, sequences, start, stop)

    def _rows(
        self, start: int, stop: int, sequences: Sequence[np.ndarray], results: list[_Rows]
    ) -> Iterator[tuple[Any, ...]]:
        """For each step the slices and the taps that it reads; taps are read when it begins."""
        read = [
            sequence[start + offset : stop + offset]
            for sequence, reads in zip(sequences, self._loop.reads_by_sequence, strict=True)
            for _, offset, _ in reads
        ]
        read += [
            rows.array[rows.at(start + tap) : rows.at(stop + tap)]
            for rows, state in zip(results, self._states, strict=False)
            for tap in state.taps
        ]
        return zip(*read, strict=True) if read else itertools.repeat((), stop - start)

    def _make_room(self, results: list[_Rows], n: int, start: int, stop: int) -> None:
        """Let the results have room for the rows of these steps."""
        for k, rows in enumerate(results):
            if k in self._few_rows:
                rows.move(start, stop)
            else:
                rows.make_room(stop, capacity=min(n, max(2 * start, stop)) if self._until else n)

    def _targets(self, results: list[_Rows]) -> list[tuple[np.ndarray, int, tuple[Any, ...], int]]:
        """For each result its array, where step 0 lies, the shape of a row, the slot to store."""
        return [
            (rows.array, rows.at(0), rows.array.shape[1:], slot)
            for rows, slot in zip(results, self._body.outputs, strict=False)
        ]

    def _new_traces(self, values: list[Any], n: int) -> list[np.ndarray]:
        """Room for the plain outputs, of which the first step has just computed the first."""
        outputs = self._body.outputs[len(self._states) : len(self._depths)]
        first = [values[slot] for slot in outputs]
        return [np.empty((n, *value.shape), value.dtype) for value in first]

    def _empty_traces(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """The traces of no steps, of which only the types tell the shapes."""
        types, shapes = [x.type for x in self._scan.inputs], [a.shape for a in arrays]
        sizes = bind_sizes(types, shapes)
        # A size that cannot be solved for its parts may be that of an input, whole.
        known = {
            size: number
            for type, shape in zip(types, shapes, strict=True)
            for size, number in zip(type.shape, shape, strict=True)
        }
        traces = []
        for output in self._loop.outputs:
            numbers = shape_numbers(output.type.shape, sizes)
            pairs = zip(output.type.shape, numbers, strict=True)
            shape = [known.get(size, 0) if number is None else number for size, number in pairs]
            traces.append(np.empty((0, *shape), output.dtype))
        return traces

    # --- what can go wrong ----------------------------------------------------------------------

    def _check(
        self, n: int, sequences: Sequence[np.ndarray], initials: Sequence[np.ndarray]
    ) -> None:
        if n < 0:
            raise self._error(f"the number of steps is {n}; it is at least 0")
        for rows, reads in zip(sequences, self._loop.reads_by_sequence, strict=True):
            needed = n + max(read.offset for read in reads)
            if len(rows) < needed and n > 0:
                name = provenance.describe(reads[0].sequence)
                raise self._error(f"{n} steps read {needed} rows of {name}, which has {len(rows)}")
        for initial, state in zip(initials, self._states, strict=True):
            if len(initial) != state.depth:
                name = provenance.describe(state.initial)
                raise self._error(
                    f"taps {list(state.taps)} take an initial value of {state.depth} rows; "
                    f"{name} has {len(initial)}"
                )

    def _error(self, what: str) -> CallError:
        return CallError(explain(f"scan: {what}", line=provenance.line_of(self._scan)))

    def _changed_shape(
        self, t: int, slot: int, expected: tuple[Any, ...], found: tuple[Any, ...]
    ) -> CallError:
        i = self._body.outputs.index(slot)
        n = len(self._states)
        kind = f"state {i}" if i < n else f"output {i - n}"
        return self._error(f"{kind} has shape {found} in step {t}; {expected} is expected")


def _spans(n: int, *, in_parts: bool, in_windows: bool) -> Iterator[tuple[int, int]]:
    """The steps from 0 to ``n`` at once; or in parts that double, where few may be taken; or some
    at a time."""
    start, stop = 0, min(n, _FIRST_ROWS) if in_parts or in_windows else n
    while start < n:
        yield start, stop
        start, stop = stop, min(n, stop + _FIRST_ROWS if in_windows else 2 * stop)

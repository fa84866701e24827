"""Loops on NumPy: the body's plan run once for each step, its results written where they belong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.binding import bind_sizes, shape_numbers
from ..core.errors import CallError, SymgraphError, explain
from ..core.variable import Variable
from ..scan.op import Loop
from .plan import Plan

__all__ = ["NumpyLoop"]

# How many rows a loop of unknown length is given at first.
_FIRST_ROWS = 64


class NumpyLoop:
    """A scan node, ready to run: from the values of its inputs to its buffers and traces."""

    def __init__(self, scan: Variable, body: Plan) -> None:
        self._scan = scan
        self._body = body
        self._loop = loop = Loop(scan)
        self._states = loop.states
        self._depths = [result.depth for result in loop.results]
        self._n_changing = len(loop.changing)
        self._until = loop.layout.until

    def __call__(self, n_steps: Any, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Buffers and traces, for the values of the node's inputs."""
        n = int(n_steps)
        parts = self._loop.layout.parts((n_steps, *arrays))
        self._check(n, parts.sequences, parts.initials)
        values = self._body.slots()
        values[self._n_changing : self._n_changing + len(parts.fixed)] = parts.fixed
        buffers = [
            np.empty((state.depth, *initial.shape[1:]), initial.dtype)
            for state, initial in zip(self._states, parts.initials, strict=True)
        ]
        for buffer, initial in zip(buffers, parts.initials, strict=True):
            buffer[...] = initial
        taken, results = self._run(n, values, parts.sequences, buffers)
        if len(results) < len(self._depths):
            results += self._empty_traces((n_steps, *arrays))
        results = [
            result[: depth + taken] for depth, result in zip(self._depths, results, strict=True)
        ]
        return (*results, *self._checkpoints(taken, results))

    def _run(
        self, n: int, values: list[Any], sequences: Sequence[np.ndarray], results: list[np.ndarray]
    ) -> tuple[int, list[np.ndarray]]:
        """How many steps were taken, and the results with as many rows or more."""
        body, n_changing = self._body, self._n_changing
        for start, stop in _spans(n, in_parts=self._until):
            results = self._with_rows(results, stop)
            rows = self._rows(start, stop, sequences, results)
            targets = self._targets(results)
            for t, row in enumerate(rows, start):
                values[:n_changing] = row
                try:
                    body.run(values)
                except SymgraphError as error:
                    raise self._in_step(t, error) from error.__cause__
                if len(targets) < len(self._depths):
                    results += self._new_traces(values, stop)
                    targets = self._targets(results)
                for target, depth, shape, slot in targets:
                    value = values[slot]
                    if value.shape != shape:
                        raise self._changed_shape(t, slot, shape, value.shape)
                    target[depth + t] = value
                if self._until and values[body.outputs[-1]]:
                    return t + 1, results
        return n, results

    def _rows(
        self, start: int, stop: int, sequences: Sequence[np.ndarray], results: list[np.ndarray]
    ) -> Iterator[tuple[Any, ...]]:
        """For each step the slices and the taps that it reads; taps are read when it begins."""
        read = [
            sequence[start + offset : stop + offset]
            for sequence, reads in zip(sequences, self._loop.reads_by_sequence, strict=True)
            for _, offset, _ in reads
        ]
        read += [
            buffer[start + state.depth + tap : stop + state.depth + tap]
            for buffer, state in zip(results, self._states, strict=False)
            for tap in state.taps
        ]
        return zip(*read, strict=True) if read else itertools.repeat((), stop - start)

    def _with_rows(self, results: list[np.ndarray], n: int) -> list[np.ndarray]:
        """Copies of the results so far with room for ``n`` steps."""
        grown = []
        for depth, result in zip(self._depths, results, strict=False):
            larger = np.empty((depth + n, *result.shape[1:]), result.dtype)
            larger[: len(result)] = result
            grown.append(larger)
        return grown

    def _targets(
        self, results: list[np.ndarray]
    ) -> list[tuple[np.ndarray, int, tuple[Any, ...], int]]:
        """For each result its array, its first row, the shape of a row, and the slot to store."""
        return [
            (result, depth, result.shape[1:], slot)
            for result, depth, slot in zip(results, self._depths, self._body.outputs, strict=False)
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

    def _checkpoints(self, n: int, results: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        """The states before every so-many-th step, where the loop has checkpoints."""
        every = self._loop.layout.checkpoint_every
        if every is not None:
            starts = np.arange(0, n + 1, every)
            for buffer, state in zip(results, self._states, strict=False):
                yield buffer[starts[:, None] + np.arange(state.depth)]

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

    def _in_step(self, t: int, error: SymgraphError) -> SymgraphError:
        line = provenance.line_of(self._scan)
        return type(error)(f"{error}\n  in step {t} of the loop" + (f" at {line}" if line else ""))

    def _changed_shape(
        self, t: int, slot: int, expected: tuple[Any, ...], found: tuple[Any, ...]
    ) -> CallError:
        i = self._body.outputs.index(slot)
        n = len(self._states)
        kind = f"state {i}" if i < n else f"output {i - n}"
        return self._error(f"{kind} has shape {found} in step {t}; {expected} is expected")


def _spans(n: int, *, in_parts: bool) -> Iterator[tuple[int, int]]:
    """The steps from 0 to ``n`` at once; or in parts that double, where few may be taken."""
    start, stop = 0, min(n, _FIRST_ROWS) if in_parts else n
    while start < n:
        yield start, stop
        start, stop = stop, min(n, 2 * stop)

"""Slices and single elements: one Slice for all axes, one Gather for each index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ...core.variable import Variable
from ...ops.slices import SYMBOL, At, Bound, Entry, Span
from .write_sizes import vector_of
from .writer import Value, Writer, writes

__all__ = ["sliced"]

_INT64 = np.dtype("int64")
_FIRST, _LAST = np.iinfo(_INT64).min, np.iinfo(_INT64).max

_Edge: TypeAlias = int | Variable


class _Cut(NamedTuple):
    """What Slice takes for one axis."""

    axis: int
    start: _Edge
    stop: _Edge
    step: int


@writes("slice")
def _write_slice(w: Writer, v: Variable) -> Value:
    x, *symbols = v.inputs
    value, entries = w.part(x, v.params[0])
    return sliced(w, value, entries, symbols)


def sliced(w: Writer, x: Value, entries: Sequence[Entry], symbols: Sequence[Variable]) -> Value:
    """The part of a value that these entries give, in which the symbols stand."""
    rest = iter(symbols)
    cuts: list[_Cut] = []
    turns: list[_Cut] = []
    indices: list[tuple[int, _Edge]] = []
    for axis, entry in enumerate(entries):
        if isinstance(entry, At):
            indices.append((axis, _edge(entry.index, rest)))
        elif isinstance(entry, Span):
            start = _edge(entry.start, rest)
            stop = _LAST if entry.stop is None else _edge(entry.stop, rest)
            is_whole = entry.stop is None and isinstance(start, int) and start == 0
            if entry.step > 0:
                cuts.append(_Cut(axis, start, stop, entry.step))
            else:  # from the end of what the bounds leave
                cuts += [] if is_whole else [_Cut(axis, start, stop, 1)]
                turns.append(_Cut(axis, -1, _FIRST, entry.step))
    if {cut.axis for cut in cuts}.isdisjoint(turn.axis for turn in turns):
        cuts, turns = sorted([*cuts, *turns], key=lambda cut: cut.axis), []
    x = _cut(w, _cut(w, x, cuts), turns)
    for axis, index in reversed(indices):
        is_symbol = isinstance(index, Variable)
        at = w.cast(w.value(index), _INT64) if is_symbol else w.number(index, _INT64)
        x = w.emit("Gather", x, at, axis=axis)
    return x


def _edge(bound: Bound, symbols: Iterator[Variable]) -> _Edge:
    if bound == SYMBOL:
        return next(symbols)
    assert isinstance(bound, int)
    return bound


def _cut(w: Writer, x: Value, cuts: Sequence[_Cut]) -> Value:
    if not cuts:
        return x
    axes, starts, stops, steps = (list(entries) for entries in zip(*cuts, strict=True))
    operands = [x, vector_of(w, starts), vector_of(w, stops), w.ints(*axes)]
    if any(step != 1 for step in steps):
        operands.append(w.ints(*steps))
    return w.emit("Slice", *operands, dtype=x.dtype)

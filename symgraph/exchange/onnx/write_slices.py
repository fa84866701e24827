"""Parts of arrays: at most one node for what runs forwards, and one for what runs backwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...core.variable import Variable
from ...ops.elementwise import to_int64
from ...ops.slices import SYMBOL, At, Entry, Span
from .write_sizes import Entry as Number
from .write_sizes import vector_of
from .writer import Value, Writer, writes

_INT64 = np.dtype("int64")
_LAST, _FIRST = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@writes("slice")
def _write_slice(w: Writer, v: Variable) -> Value:
    x, *symbols = v.inputs
    (entries,) = v.params
    value, bounds = w.value(x), _bounds(entries, symbols)
    picked = [axis for axis, entry in enumerate(entries) if isinstance(entry, At)]
    if len(picked) == 1 and len(bounds) == 1:
        return _picked(w, value, picked[0], bounds[picked[0]][0])
    forwards = {axis: b for axis, b in bounds.items() if not _is_all(b)}
    if forwards:
        value = _sliced(w, value, forwards)
    steps = {axis: entry.step for axis, entry in enumerate(entries) if isinstance(entry, Span)}
    backwards = {axis: (-1, _FIRST, step) for axis, step in steps.items() if step < 0}
    if backwards:
        value = _sliced(w, value, backwards)
    return w.emit("Squeeze", value, w.ints(*picked)) if picked else value


def _bounds(
    entries: Sequence[Entry], symbols: Sequence[Variable]
) -> dict[int, tuple[Number, Number, int]]:
    """For each axis of which not all is meant: where it starts and stops, and a positive step."""
    rest = iter(symbols)
    found: dict[int, tuple[Number, Number, int]] = {}
    for axis, entry in enumerate(entries):
        if isinstance(entry, At):
            index = _edge(entry.index, rest)
            found[axis] = (index, _after(index), 1)
        elif isinstance(entry, Span):
            start = _edge(entry.start, rest)
            stop = _LAST if entry.stop is None else _edge(entry.stop, rest)
            found[axis] = (start, stop, max(entry.step, 1))
    return found


def _is_all(bounds: tuple[Number, Number, int]) -> bool:
    return all(
        isinstance(edge, int) and edge == other
        for edge, other in zip(bounds, (0, _LAST, 1), strict=True)
    )


def _edge(edge: int | str, symbols: Iterator[Variable]) -> Number:
    return next(symbols) if edge == SYMBOL or isinstance(edge, str) else edge


def _after(index: Number) -> Number:
    """Where a slice of one element stops, for an index that may count from the end."""
    if isinstance(index, Variable):
        return to_int64(index) + 1
    return index + 1 if index != -1 else _LAST


def _picked(w: Writer, x: Value, axis: int, index: Number) -> Value:
    if isinstance(index, Variable):
        return w.emit("Gather", x, w.cast(w.value(index), _INT64), axis=axis)
    return w.emit("Gather", x, w.number(index, _INT64), axis=axis)


def _sliced(w: Writer, x: Value, bounds: Mapping[int, tuple[Number, Number, int]]) -> Value:
    starts, stops, steps = zip(*bounds.values(), strict=True)
    last = [] if all(step == 1 for step in steps) else [w.ints(*steps)]
    return w.emit("Slice", x, vector_of(w, starts), vector_of(w, stops), w.ints(*bounds), *last)

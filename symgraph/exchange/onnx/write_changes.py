"""Copies of arrays with a part changed; what is added to zeros is that with zeros around it."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.variable import Variable
from ...ops.broadcast import BROADCAST_TO
from ...ops.slices import At, Entry, Span
from ...rewrite.pattern import uniform
from .write_maths import OnnxMaths
from .write_sizes import Entry as Number
from .write_sizes import shape_of, template_vector, vector_of
from .writer import Value, Writer, writes


@writes("set_slice")
def _write_set_slice(w: Writer, v: Variable) -> Value:
    return w.expanded(v)


@writes("add_slice")
def _write_add_slice(w: Writer, v: Variable) -> Value:
    """A gradient of a slice adds to zeros, or to that of another slice."""
    x, values, *symbols = v.inputs
    (entries,) = v.params
    is_zero = x.op is BROADCAST_TO and uniform(x) == 0
    if v.dtype.kind == "b" or not all(map(_is_plain, entries)):
        return w.expanded(v)
    value = w.value(values)
    picked = [axis for axis, entry in enumerate(entries) if isinstance(entry, At)]
    if picked:
        value = w.emit("Unsqueeze", value, w.ints(*picked))
    padded = w.emit("Pad", value, _pads(w, v, value, entries, symbols))
    return padded if is_zero else w.emit("Add", w.value(x), padded)


def _is_plain(entry: Entry) -> bool:
    """Whether a part runs forwards without gaps, from a place counted from the start."""
    if isinstance(entry, Span):
        return entry.step == 1 and (isinstance(entry.start, str) or entry.start >= 0)
    # An index that is a symbol may count from the end.
    return entry is None or (not isinstance(entry.index, str) and entry.index >= 0)


def _pads(
    w: Writer, v: Variable, part: Value, entries: Sequence[Entry], symbols: Sequence[Variable]
) -> Value:
    """How much is before the part on each axis, and then how much is after it."""
    starts = _starts(entries, symbols)
    x = v.inputs[0]
    rest = iter(v.inputs[1].type.shape)
    lengths = [1 if isinstance(entry, At) else next(rest) for entry in entries]
    after = [
        size - start - length if isinstance(size, int) and isinstance(start, int) else None
        for size, start, length in zip(x.type.shape, starts, lengths, strict=True)
    ]
    known = [number for number in (*starts, *after) if isinstance(number, int)]
    if len(known) == 2 * len(starts):
        return w.ints(*known)
    m, before = OnnxMaths(w), vector_of(w, starts)
    if x.op is BROADCAST_TO:
        whole = template_vector(w, x.params[0], x.inputs[1:])
    else:
        whole = shape_of(w, w.value(x))
    rest_after = m.subtract(m.subtract(whole, before), shape_of(w, part))
    return w.emit("Concat", before, rest_after, axis=0)


def _starts(entries: Sequence[Entry], symbols: Sequence[Variable]) -> list[Number]:
    rest = iter(symbols)
    starts: list[Number] = []
    for entry in entries:
        edges = [] if entry is None else [entry.index] if isinstance(entry, At) else entry[:2]
        own = [next(rest) if isinstance(edge, str) else edge for edge in edges]
        starts.append(0 if not own or own[0] is None else own[0])
    return starts

"""Sizes as ONNX takes them: vectors of int64, of which consecutive axes are one `Shape`.

A scalar that is a size is written where it is read, in the form in which it is read there: as a
vector of one element, or as a scalar. So ``x.shape[0] * 2`` that a reshape takes is not made a
scalar first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core.variable import CONSTANT, Variable, ancestors
from ...ops.promotion import CAST
from ...ops.sizes import SIZE, is_size
from .writer import Value, Writer, rule_for, writes

__all__ = ["Entry", "as_vector", "shape_of", "template_vector", "vector_of"]

Entry = int | Variable
"""A number, or an integer scalar."""
_INT64 = np.dtype("int64")


def template_vector(
    w: Writer, template: Sequence[int | None], symbols: Sequence[Variable]
) -> Value:
    """The vector for a template: numbers, and None for each symbol."""
    rest = iter(symbols)
    return vector_of(w, [next(rest) if size is None else size for size in template])


def shape_of(w: Writer, x: Value, start: int = 0, end: int | None = None) -> Value:
    """The vector of the sizes of some axes; of all that begin with ``start`` for no end."""
    bounds: dict[str, Any] = {"start": start} if start else {}
    bounds |= {} if end is None else {"end": end}
    return w.once(("shape", x.name, start, end), lambda: w.emit("Shape", x, dtype=_INT64, **bounds))


def vector_of(w: Writer, entries: Sequence[Entry]) -> Value:
    """The vector of the entries."""
    parts = [_part(w, run) for run in _runs(entries)]
    return parts[0] if len(parts) == 1 else w.emit("Concat", *parts, axis=0)


def _runs(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The entries in groups, each of which is one value: numbers, or consecutive axes of one x."""
    runs: list[list[Entry]] = []
    for entry in entries:
        if runs and _goes_on(runs[-1][-1], entry):
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return runs or [[]]


def _goes_on(last: Entry, entry: Entry) -> bool:
    if not isinstance(last, Variable) or not isinstance(entry, Variable):
        return not isinstance(last, Variable) and not isinstance(entry, Variable)
    if last.op is not SIZE or entry.op is not SIZE:
        return False
    return last.inputs == entry.inputs and last.params[0] + 1 == entry.params[0]


def _part(w: Writer, run: Sequence[Entry]) -> Value:
    first = run[0] if run else 0
    if not isinstance(first, Variable):
        return w.ints(*(int(size) for size in run if not isinstance(size, Variable)))
    if first.op is not SIZE:
        return as_vector(w, first)
    (x,), (start,) = first.inputs, first.params
    end = start + len(run)
    return shape_of(w, w.value(x), start, None if end == x.ndim else end)


def as_vector(w: Writer, scalar: Variable) -> Value:
    """An integer scalar as a vector of one int64."""
    vectors: dict[Variable, Value] = {}
    for v in ancestors([scalar]):
        if v is scalar or _is_put_off(w, v):
            vectors[v] = w.once(("vector", v), lambda v=v: _vector(w, v, vectors))
    return vectors[scalar]


def _is_put_off(w: Writer, v: Variable) -> bool:
    """Whether a size is still to be written, so that it may as well be a vector."""
    return is_size(v) and w.find(v) is None


def _vector(w: Writer, v: Variable, vectors: Mapping[Variable, Value]) -> Value:
    if v.op is CONSTANT:
        return w.ints(int(v.params[0].array))
    if v.op is SIZE:
        return _part(w, [v])
    rule = rule_for(v.op)
    if not _is_put_off(w, v) or rule is None:
        return w.emit("Unsqueeze", w.cast(w.value(v), _INT64), w.ints(0))
    if v.op is CAST:
        return vectors[v.inputs[0]] if v.inputs[0] in vectors else as_vector(w, v.inputs[0])
    # Arithmetic of one element each, by the same rule, on operands that are vectors.
    inside = w.alike()
    for x in v.inputs:
        if x.op is not CONSTANT:
            inside.define(x, vectors[x] if x in vectors else as_vector(w, x))
    result = rule(inside, v)
    assert isinstance(result, Value)
    return result


@writes("size")
def _write_size(w: Writer, v: Variable) -> Value:
    return w.emit("Squeeze", _part(w, [v]))

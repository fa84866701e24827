"""Reductions: sums, extremes and products over axes."""

from __future__ import annotations

from ...core.variable import Variable
from .writer import Value, Writer, writes


@writes("sum")
def _write_sum(w: Writer, v: Variable) -> Value:
    axes, keepdims = v.params
    return w.emit("ReduceSum", w.value(v.inputs[0]), w.ints(*axes), keepdims=int(keepdims))

"""Reductions: sums, extremes and products over axes, running sums, and what they normalise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.variable import Variable
from ...ops.promotion import CAST
from .write_maths import OnnxMaths
from .writer import Value, Writer, writes

_BOOL, _INT64 = np.dtype("bool"), np.dtype("int64")
_UINT64 = np.dtype("uint64")
_EXTREMES = {"max": "ReduceMax", "min": "ReduceMin"}
_POSITIONS = {"argmax": "ArgMax", "argmin": "ArgMin"}


def reduced(w: Writer, op_type: str, x: Value, axes: Sequence[int], *, keepdims: bool) -> Value:
    """A reduction over axes."""
    return w.emit(op_type, x, w.ints(*axes), keepdims=int(keepdims))


@writes("sum")
def _write_sum(w: Writer, v: Variable) -> Value:
    (x,), (axes, keepdims) = v.inputs, v.params
    if x.dtype in (_INT64, _UINT64) and not _is_small(x):
        return _sum_by_halves(OnnxMaths(w), w.value(x), axes, keepdims=keepdims)
    return reduced(w, "ReduceSum", w.value(x), axes, keepdims=keepdims)


def _is_small(x: Variable) -> bool:
    """Whether integers were so small before that their sums are exact in float64."""
    return x.op is CAST and x.inputs[0].dtype.itemsize <= 4


def _sum_by_halves(m: OnnxMaths, x: Value, axes: Sequence[int], *, keepdims: bool) -> Value:
    """The sum of 64-bit integers, which wraps; onnxruntime adds up in float64."""
    bits = m.w.cast(x, _UINT64)
    halves = (m.shift_right(bits, 32), m.bit_and(bits, 0xFFFFFFFF))
    high, low = (
        reduced(m.w, "ReduceSum", m.w.cast(half, _INT64), axes, keepdims=keepdims)
        for half in halves
    )
    return m.w.cast(m.add(m.multiply(high, 1 << 32), low), x.dtype)


@writes("prod")
def _write_prod(w: Writer, v: Variable) -> Value:
    return reduced(w, "ReduceProd", w.value(v.inputs[0]), v.params, keepdims=False)


@writes(*_EXTREMES)
def _write_extreme(w: Writer, v: Variable) -> Value:
    axes, keepdims = v.params
    x, m = w.value(v.inputs[0]), OnnxMaths(w)
    result = reduced(w, _EXTREMES[v.op.name], _ordered(m, x), axes, keepdims=keepdims)
    return _as_unsigned(m, result) if x.dtype == _UINT64 else result


def _ordered(m: OnnxMaths, x: Value) -> Value:
    """What is ordered as unsigned 64-bit integers are, as signed ones."""
    return m.w.cast(m.bit_xor(x, 1 << 63), _INT64) if x.dtype == _UINT64 else x


def _as_unsigned(m: OnnxMaths, x: Value) -> Value:
    return m.bit_xor(m.w.cast(x, _UINT64), 1 << 63)


@writes(*_POSITIONS)
def _write_position(w: Writer, v: Variable) -> Value:
    x = _ordered(OnnxMaths(w), w.value(v.inputs[0]))
    return w.emit(_POSITIONS[v.op.name], x, dtype=_INT64, axis=v.params[0], keepdims=0)


@writes("any", "all")
def _write_any_or_all(w: Writer, v: Variable) -> Value:
    """By counting: an extreme of nothing is refused."""
    axes, keepdims = v.params
    x, m = w.value(v.inputs[0]), OnnxMaths(w)
    wrong = x if v.op.name == "any" else m.bit_not(x)
    count = reduced(w, "ReduceSum", w.cast(wrong, _INT64), axes, keepdims=keepdims)
    found = w.cast(count, _BOOL)
    return found if v.op.name == "any" else m.bit_not(found)


@writes("cumsum")
def _write_cumsum(w: Writer, v: Variable) -> Value:
    return w.emit("CumSum", w.value(v.inputs[0]), w.number(v.params[0], _INT64))


@writes("softmax", "log_softmax")
def _write_shares(w: Writer, v: Variable) -> Value:
    (axes,) = v.params
    if len(axes) > 1:
        return w.expanded(v)
    op_type = "Softmax" if v.op.name == "softmax" else "LogSoftmax"
    return w.emit(op_type, w.value(v.inputs[0]), axis=axes[0])


@writes("logsumexp")
def _write_logsumexp(w: Writer, v: Variable) -> Value:
    axes, keepdims = v.params
    return reduced(w, "ReduceLogSumExp", w.value(v.inputs[0]), axes, keepdims=keepdims)

"""Reductions: sums, extremes and products over axes, running sums, and what they normalise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.variable import Variable
from .write_maths import OnnxMaths
from .writer import Value, Writer, writes

_BOOL, _INT32, _INT64 = np.dtype("bool"), np.dtype("int32"), np.dtype("int64")
_UINT64 = np.dtype("uint64")
_EXTREMES = {"max": "ReduceMax", "min": "ReduceMin"}
_POSITIONS = {"argmax": "ArgMax", "argmin": "ArgMin"}
CUMPROD_OPSET = 26


def reduced(w: Writer, op_type: str, x: Value, axes: Sequence[int], *, keepdims: bool) -> Value:
    """A reduction over axes."""
    return w.emit(op_type, x, w.ints(*axes), keepdims=int(keepdims))


@writes("sum")
def _write_sum(w: Writer, v: Variable) -> Value:
    axes, keepdims = v.params
    return reduced(w, "ReduceSum", w.value(v.inputs[0]), axes, keepdims=keepdims)


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
    count = reduced(w, "ReduceSum", w.cast(wrong, _INT32), axes, keepdims=keepdims)
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

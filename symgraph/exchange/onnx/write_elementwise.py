"""Elementwise ops: those that ONNX has under a name of its own; all others go by their formulas."""

from __future__ import annotations

import numpy as np

from ...core.variable import Variable
from .write_maths import OnnxMaths, called
from .write_special import polygamma
from .writer import Value, Writer, writes, writes_formulas

_FLOAT64 = np.dtype("float64")
# Ops that ONNX has whole while their formulas make several of them.
_WHOLE = {"reciprocal": "Reciprocal", "relu": "Relu", "sigmoid": "Sigmoid", "softplus": "Softplus"}
# Those that onnxruntime runs in float32 alone, or no more exactly in float64.
_NARROW = ("softplus", "sigmoid")


@writes_formulas
def _write_formula(w: Writer, v: Variable) -> Value:
    return _by_formula(w, v)


def _by_formula(w: Writer, v: Variable) -> Value:
    """The result of an elementwise op by its formula."""
    assert v.op.formula is not None
    result = v.op.formula(OnnxMaths(w), *w.values(v.inputs))
    return result if isinstance(result, Value) else w.number(result, v.dtype)


@writes(*_WHOLE)
def _write_whole(w: Writer, v: Variable) -> Value:
    x = w.value(v.inputs[0])
    if x.dtype.kind != "f" or (x.dtype == _FLOAT64 and v.op.name in _NARROW):
        return _by_formula(w, v)
    return w.emit(_WHOLE[v.op.name], x)


@writes("cast")
def _write_cast(w: Writer, v: Variable) -> Value:
    return OnnxMaths(w).cast(w.value(v.inputs[0]), v.dtype)


@writes("square")
def _write_square(w: Writer, v: Variable) -> Value:
    x = w.value(v.inputs[0])
    return w.emit("Mul", x, x)


@writes("scale")
def _write_scale(w: Writer, v: Variable) -> Value:
    m = OnnxMaths(w)
    x, y = w.values(v.inputs)
    return m.select(m.bit_or(m.eq(x, 0.0), m.eq(y, 0.0)), 0.0, m.multiply(x, y))


@writes("polygamma")
def _write_polygamma(w: Writer, v: Variable) -> Value:
    (order,) = v.params

    def derivative(m: OnnxMaths, x: Value) -> Value:
        return polygamma(m, x, order)

    return called(w, f"polygamma_{order}", derivative, w.value(v.inputs[0]))

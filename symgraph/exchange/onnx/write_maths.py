"""The scalar protocol of elementwise ops, by nodes of ONNX: for ops that ONNX does not have.

`OnnxMaths` implements `symgraph.ops.formula.Maths` on values, so that an elementwise op is written
by its formula, those of users too. What ONNX lacks is a composition: short ones stand where they
are used, long ones are local functions, one node each, which are written once in a model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import write_floats, write_integers, write_special
from .write_primitives import Primitives
from .writer import Value, Writer

__all__ = ["DOMAIN", "OnnxMaths", "called"]

DOMAIN = "symgraph"
"""The domain of local functions that stand for what ONNX lacks."""
_BOOL, _FLOAT64 = np.dtype("bool"), np.dtype("float64")
# Of the ops that onnxruntime runs in float32 alone, with the composition for float64.
_BY_FLOAT32 = {
    "Tan": write_floats.tan,
    "Asin": write_floats.arcsin,
    "Acos": write_floats.arccos,
    "Atan": write_floats.arctan,
    "Sinh": write_floats.sinh,
    "Cosh": write_floats.cosh,
    "Asinh": write_floats.arcsinh,
    "Acosh": write_floats.arccosh,
    "Atanh": write_floats.arctanh,
    "Erf": write_special.erf,
}
Composition = Callable[["OnnxMaths", Value], Value]


def called(w: Writer, name: str, function: Callable[..., Value], *inputs: Value) -> Value:
    """The result of a composition as one node: a call of a local function of that name.

    The function takes float64, to which operands are converted, and gives it; its result is in the
    dtype of the operands.
    """
    dtype = inputs[0].dtype
    if (DOMAIN, name) not in w.model.functions:
        inside = w.apart()
        parameters = [inside.fresh(_FLOAT64, "x") for _ in inputs]
        inside.function(DOMAIN, name, parameters, [function(OnnxMaths(inside), *parameters)])
    wide = [w.cast(x, _FLOAT64) for x in inputs]
    return w.cast(w.emit(name, *wide, domain=DOMAIN), dtype)


class OnnxMaths(Primitives):
    """`Maths` whose values are those of a graph that is written; Python numbers stand beside."""

    def floor_divide(self, x: Any, y: Any) -> Value:
        x, y = self.pair(x, y)
        kind = write_floats if x.dtype.kind == "f" else write_integers
        return kind.floor_divide(self, x, y)

    def remainder(self, x: Any, y: Any) -> Value:
        x, y = self.pair(x, y)
        kind = write_floats if x.dtype.kind == "f" else write_integers
        return kind.remainder(self, x, y)

    def power(self, x: Any, y: Any) -> Value:
        x, y = self.pair(x, y)
        if x.dtype.kind != "f":
            return write_integers.power(self, x, y)
        return self.w.emit("Pow", x, y)

    def arctan2(self, x: Any, y: Any) -> Value:
        return called(self.w, "arctan2", write_floats.arctan2, *self.pair(x, y))

    # --- functions that ONNX lacks --------------------------------------------------------------

    def expm1(self, x: Value) -> Value:
        return called(self.w, "expm1", write_floats.expm1, x)

    def log1p(self, x: Value) -> Value:
        return called(self.w, "log1p", write_floats.log1p, x)

    def log2(self, x: Value) -> Value:
        return called(self.w, "log2", write_floats.log2, x)

    def log10(self, x: Value) -> Value:
        return called(self.w, "log10", write_floats.log10, x)

    def erfc(self, x: Value) -> Value:
        return called(self.w, "erfc", write_special.erfc, x)

    def erfinv(self, x: Value) -> Value:
        return called(self.w, "erfinv", write_special.erfinv, x)

    def gammaln(self, x: Value) -> Value:
        return called(self.w, "gammaln", write_special.gammaln, x)

    def digamma(self, x: Value) -> Value:
        return called(self.w, "digamma", write_special.digamma, x)

    def shift_left(self, x: Any, y: Any) -> Value:
        return write_integers.shift_left(self, *self.pair(x, y))

    def shift_right(self, x: Any, y: Any) -> Value:
        return write_integers.shift_right(self, *self.pair(x, y))

    # --- functions that onnxruntime has for float32 alone ----------

    def _by_float32(self, op_type: str, x: Value) -> Value:
        if x.dtype == _FLOAT64:
            return called(self.w, op_type.lower(), _BY_FLOAT32[op_type], x)
        return self.w.emit(op_type, x)

    def tan(self, x: Value) -> Value:
        return self._by_float32("Tan", x)

    def arcsin(self, x: Value) -> Value:
        return self._by_float32("Asin", x)

    def arccos(self, x: Value) -> Value:
        return self._by_float32("Acos", x)

    def arctan(self, x: Value) -> Value:
        return self._by_float32("Atan", x)

    def sinh(self, x: Value) -> Value:
        return self._by_float32("Sinh", x)

    def cosh(self, x: Value) -> Value:
        return self._by_float32("Cosh", x)

    def arcsinh(self, x: Value) -> Value:
        return self._by_float32("Asinh", x)

    def arccosh(self, x: Value) -> Value:
        return self._by_float32("Acosh", x)

    def arctanh(self, x: Value) -> Value:
        return self._by_float32("Atanh", x)

    def erf(self, x: Value) -> Value:
        return self._by_float32("Erf", x)

"""The part of the scalar protocol of elementwise ops that one or two nodes of ONNX make."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .writer import Value, Writer

__all__ = ["Primitives"]

_BOOL = np.dtype("bool")


class Primitives:
    """Functions of values of a graph that is written, of one dtype; Python numbers stand beside."""

    def __init__(self, w: Writer) -> None:
        self.w = w

    def on(self, w: Writer) -> Self:
        """The same functions for the values of another graph."""
        return type(self)(w)

    def number(self, x: Any, like: Value) -> Value:
        """A number as a constant of the dtype of a value; a value itself."""
        return x if isinstance(x, Value) else self.w.number(x, like.dtype)

    def pair(self, x: Any, y: Any) -> tuple[Value, Value]:
        """Two operands, of which at least one is a value, as values."""
        model = x if isinstance(x, Value) else y
        return self.number(x, model), self.number(y, model)

    def binary(self, op_type: str, x: Any, y: Any, dtype: np.dtype | None = None) -> Value:
        """A node of two operands."""
        x, y = self.pair(x, y)
        return self.w.emit(op_type, x, y, dtype=dtype)

    # --- arithmetic -----------------------------------------------------------------------------

    def add(self, x: Any, y: Any) -> Value:
        return self.binary("Add", x, y)

    def subtract(self, x: Any, y: Any) -> Value:
        return self.binary("Sub", x, y)

    def multiply(self, x: Any, y: Any) -> Value:
        return self.binary("Mul", x, y)

    def divide(self, x: Any, y: Any) -> Value:
        return self.binary("Div", x, y)

    def fmod(self, x: Any, y: Any) -> Value:
        """What the division of floats leaves, with the dividend's sign."""
        x, y = self.pair(x, y)
        return self.w.emit("Mod", x, y, fmod=1)

    def maximum(self, x: Any, y: Any) -> Value:
        return self.binary("Max", x, y)

    def minimum(self, x: Any, y: Any) -> Value:
        return self.binary("Min", x, y)

    def negative(self, x: Value) -> Value:
        if x.dtype.kind == "u":
            return self.subtract(0, x)
        return self.w.emit("Neg", x)

    def absolute(self, x: Value) -> Value:
        return self.w.emit("Abs", x)

    def sign(self, x: Value) -> Value:
        return self.w.emit("Sign", x)

    # --- whole numbers --------------------------------------------------------------------------

    def floor(self, x: Value) -> Value:
        return self._whole("Floor", x)

    def ceil(self, x: Value) -> Value:
        return self._whole("Ceil", x)

    def rint(self, x: Value) -> Value:
        return self._whole("Round", x)

    def _whole(self, op_type: str, x: Value) -> Value:
        return self.w.emit(op_type, x) if x.dtype.kind == "f" else x

    def trunc(self, x: Value) -> Value:
        if x.dtype.kind != "f":
            return x
        return self.select(self.lt(x, 0.0), self.ceil(x), self.floor(x))

    # --- functions ---------------------------------------------------------------

    def sqrt(self, x: Value) -> Value:
        return self.w.emit("Sqrt", x)

    def exp(self, x: Value) -> Value:
        return self.w.emit("Exp", x)

    def exp2(self, x: Value) -> Value:
        return self.binary("Pow", 2.0, x)

    def log(self, x: Value) -> Value:
        return self.w.emit("Log", x)

    def sin(self, x: Value) -> Value:
        return self.w.emit("Sin", x)

    def cos(self, x: Value) -> Value:
        return self.w.emit("Cos", x)

    def tanh(self, x: Value) -> Value:
        return self.w.emit("Tanh", x)

    def sigmoid(self, x: Value) -> Value:
        if x.dtype == np.dtype("float32"):
            return self.w.emit("Sigmoid", x)
        # onnxruntime's has no more digits in float64.
        return self.w.emit("Reciprocal", self.add(self.exp(self.negative(x)), 1.0))

    # --- comparisons ----------------------------------------------------------------------------

    def eq(self, x: Any, y: Any) -> Value:
        return self.binary("Equal", x, y, _BOOL)

    def ne(self, x: Any, y: Any) -> Value:
        return self.w.emit("Not", self.eq(x, y))

    def lt(self, x: Any, y: Any) -> Value:
        return self._order("Less", x, y)

    def le(self, x: Any, y: Any) -> Value:
        return self._order("LessOrEqual", x, y)

    def gt(self, x: Any, y: Any) -> Value:
        return self._order("Greater", x, y)

    def ge(self, x: Any, y: Any) -> Value:
        return self._order("GreaterOrEqual", x, y)

    def _order(self, op_type: str, x: Any, y: Any) -> Value:
        return self.binary(op_type, x, y, _BOOL)

    def isnan(self, x: Value) -> Value:
        return self.w.emit("IsNaN", x, dtype=_BOOL) if x.dtype.kind == "f" else self.ne(x, x)

    def isinf(self, x: Value) -> Value:
        return self.w.emit("IsInf", x, dtype=_BOOL) if x.dtype.kind == "f" else self.ne(x, x)

    def isfinite(self, x: Value) -> Value:
        return self.lt(self.absolute(x), np.inf) if x.dtype.kind == "f" else self.eq(x, x)

    # --- bits -----------------------------------------------------------------------------------

    def bit_and(self, x: Any, y: Any) -> Value:
        return self._bits("And", x, y)

    def bit_or(self, x: Any, y: Any) -> Value:
        return self._bits("Or", x, y)

    def bit_xor(self, x: Any, y: Any) -> Value:
        return self._bits("Xor", x, y)

    def _bits(self, word: str, x: Any, y: Any) -> Value:
        x, y = self.pair(x, y)
        return self.w.emit(word if x.dtype == _BOOL else f"Bitwise{word}", x, y)

    def bit_not(self, x: Value) -> Value:
        return self.w.emit("Not" if x.dtype == _BOOL else "BitwiseNot", x)

    # --- choice and conversion ------------------------------------------------------------------

    def select(self, condition: Value, x: Any, y: Any) -> Value:
        x, y = self.pair(x, y)
        return self.w.emit("Where", condition, x, y, dtype=x.dtype)

    def cast(self, x: Value, dtype: np.dtype) -> Value:
        is_narrow = dtype.kind in "iu" and dtype.itemsize < 4
        if x.dtype.kind == "f" and is_narrow:  # of which the lowest bits are kept
            x = self.w.cast(x, np.dtype("int32"))
        elif x.dtype.kind == "f" and dtype == np.dtype("uint32"):
            x = self.w.cast(x, np.dtype("int64"))
        return self.w.cast(x, dtype)

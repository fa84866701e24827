"""Vector instructions: arithmetic, comparisons, bits, choice and conversion, and polynomials.

A value is a vector of `lanes` elements, or a scalar, and each call writes instructions. Integers
wrap and shift as NumPy's do; maximum and minimum give NaN where an operand is NaN. Functions are
made of these in the files beside this one, and listed in `functions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..code.cpu import Cpu
from ..code.emit import BOOL, F32, F64, I64, Function, Value, constant_text, type_text

__all__ = ["Vectors", "in_double"]


class Vectors:
    """Instructions on values of one number of lanes, written into a function."""

    def __init__(self, function: Function, lanes: int, cpu: Cpu) -> None:
        self.function = function
        self.lanes = lanes
        self.cpu = cpu

    # --- the pieces -----------------------------------------------------------------------------

    def constant(self, number: Any, dtype: np.dtype) -> Value:
        """The number in every lane."""
        return Value(constant_text(number, dtype, self.lanes), dtype, self.lanes)

    def pair(self, x: Any, y: Any) -> tuple[Value, Value]:
        """Both as values: a number is a constant of the other one's dtype."""
        if not isinstance(x, Value):
            x = self.constant(x, y.dtype)
        elif not isinstance(y, Value):
            y = self.constant(y, x.dtype)
        return x, y

    def binary(self, instruction: str, x: Any, y: Any) -> Value:
        """An instruction on two values of one type."""
        x, y = self.pair(x, y)
        return self.function.value(f"{instruction} {x.type} {x}, {y}", x.dtype, x.lanes)

    def _arithmetic(self, for_floats: str, for_integers: str, x: Any, y: Any) -> Value:
        x, y = self.pair(x, y)
        instruction = for_floats if x.dtype.kind == "f" else for_integers
        return self.function.value(f"{instruction} {x.type} {x}, {y}", x.dtype, x.lanes)

    def intrinsic(self, name: str, *values: Value) -> Value:
        """LLVM's function of this name on values of one type."""
        first = values[0]
        letter = "f" if first.dtype.kind == "f" else "i"
        size = f"{letter}{8 * first.dtype.itemsize}"
        full = f"llvm.{name}.{size if first.lanes == 1 else f'v{first.lanes}{size}'}"
        kind = first.type
        self.function.declare(full, f"{kind} ({', '.join([kind] * len(values))})")
        arguments = ", ".join(f"{kind} {v}" for v in values)
        return self.function.value(f"call {kind} @{full}({arguments})", first.dtype, first.lanes)

    def fma(self, x: Any, y: Any, z: Any) -> Value:
        """``x * y + z``, rounded once where the CPU can."""
        like = next(v for v in (x, y, z) if isinstance(v, Value))
        x, y, z = (v if isinstance(v, Value) else self.constant(v, like.dtype) for v in (x, y, z))
        return self.intrinsic("fma" if self.cpu.has_fma else "fmuladd", x, y, z)

    def polynomial(
        self, x: Value, coefficients: tuple[float, ...], square: Value | None = None
    ) -> Value:
        """The polynomial with these coefficients, lowest power first; ``square`` is x², if at hand.

        Neighbours are taken in pairs and the pairs by powers of x²: half as many steps in a row.
        """
        pairs = [
            self.fma(odd, x, even)
            for even, odd in zip(coefficients[::2], coefficients[1::2], strict=False)
        ]
        if len(coefficients) % 2:
            pairs.append(self.constant(coefficients[-1], x.dtype))
        *rest, total = pairs
        if rest and square is None:
            square = self.multiply(x, x)
        for pair in reversed(rest):
            total = self.fma(total, square, pair)
        return total

    def compare(self, for_floats: str, signed: str, unsigned: str, x: Any, y: Any) -> Value:
        """A comparison, as bools."""
        x, y = self.pair(x, y)
        kind = x.dtype.kind
        predicate = (
            f"fcmp {for_floats}" if kind == "f" else f"icmp {signed if kind == 'i' else unsigned}"
        )
        return self.function.value(f"{predicate} {x.type} {x}, {y}", BOOL, x.lanes)

    def reinterpret(self, x: Value, dtype: np.dtype) -> Value:
        """The same bits as another dtype."""
        kind = type_text(dtype, x.lanes)
        return self.function.value(f"bitcast {x.type} {x} to {kind}", dtype, x.lanes)

    def convert(self, instruction: str, x: Value, dtype: np.dtype) -> Value:
        """A conversion instruction."""
        kind = type_text(dtype, x.lanes)
        return self.function.value(f"{instruction} {x.type} {x} to {kind}", dtype, x.lanes)

    def copysign(self, x: Value, sign: Value) -> Value:
        """``|x|`` with the sign of another value."""
        return self.intrinsic("copysign", x, sign)

    # --- arithmetic -----------------------------------------------------------------------------

    def add(self, x: Any, y: Any) -> Value:
        return self._arithmetic("fadd", "add", x, y)

    def subtract(self, x: Any, y: Any) -> Value:
        return self._arithmetic("fsub", "sub", x, y)

    def multiply(self, x: Any, y: Any) -> Value:
        return self._arithmetic("fmul", "mul", x, y)

    def divide(self, x: Any, y: Any) -> Value:
        return self.binary("fdiv", x, y)

    def negative(self, x: Value) -> Value:
        if x.dtype.kind == "f":
            return self.function.value(f"fneg {x.type} {x}", x.dtype, x.lanes)
        return self.subtract(0, x)

    def absolute(self, x: Value) -> Value:
        if x.dtype.kind == "f":
            return self.intrinsic("fabs", x)
        return self.select(self.lt(x, 0), self.negative(x), x) if x.dtype.kind == "i" else x

    def sign(self, x: Value) -> Value:
        one = self.select(self.gt(x, 0), self.constant(1, x.dtype), self.constant(0, x.dtype))
        if x.dtype.kind == "u":
            return one
        signed = self.select(self.lt(x, 0), self.constant(-1, x.dtype), one)
        return self.select(self.isnan(x), x, signed) if x.dtype.kind == "f" else signed

    def maximum(self, x: Any, y: Any) -> Value:
        return self._extreme("ogt", self.gt, x, y)

    def minimum(self, x: Any, y: Any) -> Value:
        return self._extreme("olt", self.lt, x, y)

    def _extreme(self, ordered: str, better: Callable[..., Value], x: Any, y: Any) -> Value:
        x, y = self.pair(x, y)
        if x.dtype == BOOL:
            return self.bit_or(x, y) if ordered == "ogt" else self.bit_and(x, y)
        if x.dtype.kind != "f":
            return self.select(better(x, y), x, y)
        # Neither greater nor equal: one of them is NaN, and the first NaN is the result.
        chosen = self.select(better(x, y), x, y)
        return self.select(self.compare("uno", "", "", x, x), x, chosen)

    # --- rounding -------------------------------------------------------------------------------

    def _round(self, name: str, x: Value) -> Value:
        return self.intrinsic(name, x) if x.dtype.kind == "f" else x

    def floor(self, x: Value) -> Value:
        return self._round("floor", x)

    def ceil(self, x: Value) -> Value:
        return self._round("ceil", x)

    def trunc(self, x: Value) -> Value:
        return self._round("trunc", x)

    def rint(self, x: Value) -> Value:
        return self._round("rint", x)

    def sqrt(self, x: Value) -> Value:
        return self.intrinsic("sqrt", x)

    # --- comparisons ----------------------------------------------------------------------------

    def eq(self, x: Any, y: Any) -> Value:
        return self.compare("oeq", "eq", "eq", x, y)

    def ne(self, x: Any, y: Any) -> Value:
        return self.compare("une", "ne", "ne", x, y)

    def lt(self, x: Any, y: Any) -> Value:
        return self.compare("olt", "slt", "ult", x, y)

    def le(self, x: Any, y: Any) -> Value:
        return self.compare("ole", "sle", "ule", x, y)

    def gt(self, x: Any, y: Any) -> Value:
        return self.compare("ogt", "sgt", "ugt", x, y)

    def ge(self, x: Any, y: Any) -> Value:
        return self.compare("oge", "sge", "uge", x, y)

    def isnan(self, x: Value) -> Value:
        return self.compare("uno", "ne", "ne", x, x)

    def isinf(self, x: Value) -> Value:
        if x.dtype.kind != "f":
            return self.ne(x, x)
        return self.eq(self.absolute(x), float("inf"))

    def isfinite(self, x: Value) -> Value:
        if x.dtype.kind != "f":
            return self.eq(x, x)
        return self.lt(self.absolute(x), float("inf"))

    # --- bits -----------------------------------------------------------------------------------

    def bit_and(self, x: Any, y: Any) -> Value:
        return self.binary("and", x, y)

    def bit_or(self, x: Any, y: Any) -> Value:
        return self.binary("or", x, y)

    def bit_xor(self, x: Any, y: Any) -> Value:
        return self.binary("xor", x, y)

    def bit_not(self, x: Value) -> Value:
        return self.bit_xor(x, 1 if x.dtype == BOOL else -1)

    def shift_left(self, x: Any, y: Any) -> Value:
        x, y = self.pair(x, y)
        safe = self._shift_count(y)
        return self.select(safe[0], self.binary("shl", x, safe[1]), self.constant(0, x.dtype))

    def shift_right(self, x: Any, y: Any) -> Value:
        x, y = self.pair(x, y)
        fits, count = self._shift_count(y)
        if x.dtype.kind == "u":
            return self.select(fits, self.binary("lshr", x, count), self.constant(0, x.dtype))
        # Past the last bit only the sign is left.
        last = self.constant(8 * x.dtype.itemsize - 1, x.dtype)
        return self.binary("ashr", x, self.select(fits, y, last))

    def _shift_count(self, y: Value) -> tuple[Value, Value]:
        """Whether the count is less than the number of bits, and a count that surely is."""
        fits = self.compare("", "ult", "ult", y, 8 * y.dtype.itemsize)
        return fits, self.select(fits, y, self.constant(0, y.dtype))

    # --- choice and conversion ------------------------------------------------------------------

    def select(self, condition: Value, x: Any, y: Any) -> Value:
        x, y = self.pair(x, y)
        return self.function.value(
            f"select {condition.type} {condition}, {x.type} {x}, {y.type} {y}", x.dtype, x.lanes
        )

    def cast(self, x: Value, dtype: np.dtype) -> Value:
        """The value converted as C converts."""
        source = x.dtype
        if source == dtype:
            return x
        if dtype == BOOL:
            return self.ne(x, 0)
        if source.kind == "f" and dtype.kind == "f":
            return self.convert(
                "fpext" if dtype.itemsize > source.itemsize else "fptrunc", x, dtype
            )
        if dtype.kind == "f":
            return self.convert("sitofp" if source.kind == "i" else "uitofp", x, dtype)
        if source.kind == "f":
            return self._float_to_integer(x, dtype)
        if dtype.itemsize == source.itemsize:
            return Value(x.text, dtype, x.lanes) if source != BOOL else self._widen(x, dtype)
        if dtype.itemsize < source.itemsize:
            return self.convert("trunc", x, dtype)
        return self._widen(x, dtype)

    def _widen(self, x: Value, dtype: np.dtype) -> Value:
        return self.convert("sext" if x.dtype.kind == "i" else "zext", x, dtype)

    def _float_to_integer(self, x: Value, dtype: np.dtype) -> Value:
        if dtype.kind == "u" and dtype.itemsize == 8:
            half = 2.0**63
            high = self.ge(x, half)
            low = self._whole(self.select(high, self.subtract(x, half), x), I64)
            top = self.select(high, self.constant(-(2**63), I64), self.constant(0, I64))
            return self.cast(self.bit_xor(low, top), dtype)
        wide = I64 if dtype.itemsize == 8 or dtype == np.dtype("uint32") else np.dtype("int32")
        return self.cast(self._whole(x, wide), dtype)

    def _whole(self, x: Value, dtype: np.dtype) -> Value:
        """A float as a signed integer, which takes its least value for what it does not hold."""
        limit = 2.0 ** (8 * dtype.itemsize - 1)
        fits = self.bit_and(self.ge(x, -limit), self.lt(x, limit))
        return self.convert("fptosi", self.select(fits, x, -limit), dtype)

    # --- functions ------------------------------------------------------------------------------

    def shared(self, function: Callable[..., Value], x: Value) -> Value:
        """The function of one value, written once in a module and called."""
        kind = x.type
        name = f"{function.__name__}.{x.dtype.name}x{x.lanes}"
        if name not in self.function.parts:
            inner = Function(f"{kind} ({kind} %x)", linkage="internal fastcc ")
            vectors = Vectors(inner, x.lanes, self.cpu)
            result = function(vectors, Value("%x", x.dtype, x.lanes))
            inner.do(f"ret {kind} {result}")
            self.function.add_part(name, inner)
        return self.function.value(f"call fastcc {kind} @{name}({kind} {x})", x.dtype, x.lanes)


def in_double(function: Callable[..., Value]) -> Callable[..., Value]:
    """The function on float64; on float32 it goes by way of float64."""

    @wraps(function)
    def on_both(m: Vectors, *values: Value) -> Value:
        if values[0].dtype == F64:
            return function(m, *values)
        return m.cast(function(m, *(m.cast(v, F64) for v in values)), F32)

    return on_both

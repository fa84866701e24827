"""Floor division and its remainder, as NumPy's are."""

from __future__ import annotations

from typing import Any

from ..code.emit import Value
from .library import call_library
from .vectors import Vectors

__all__ = ["floor_divide", "remainder"]


def floor_divide(m: Vectors, x: Any, y: Any) -> Value:
    """The quotient rounded down."""
    x, y = m.pair(x, y)
    if x.dtype.kind == "f":
        return _float_division(m, x, y)[0]
    return _integer_division(m, x, y)[0]


def remainder(m: Vectors, x: Any, y: Any) -> Value:
    """What floor division leaves; it has the divisor's sign."""
    x, y = m.pair(x, y)
    if x.dtype.kind == "f":
        return _float_division(m, x, y)[1]
    return _integer_division(m, x, y)[1]


def _integer_division(m: Vectors, x: Value, y: Value) -> tuple[Value, Value]:
    """Quotient and remainder with the divisor's sign; 0 and 0 for division by zero."""
    one, zero = m.constant(1, x.dtype), m.constant(0, x.dtype)
    by_zero = m.eq(y, 0)
    if x.dtype.kind == "u":
        safe = m.select(by_zero, one, y)
        quotient, rest = m.binary("udiv", x, safe), m.binary("urem", x, safe)
        return m.select(by_zero, zero, quotient), m.select(by_zero, zero, rest)
    # The least integer over −1 traps; its quotient is its negative, which wraps.
    by_minus_one = m.eq(y, -1)
    safe = m.select(m.bit_or(by_zero, by_minus_one), one, y)
    quotient, rest = m.binary("sdiv", x, safe), m.binary("srem", x, safe)
    differs = m.lt(m.bit_xor(rest, safe), 0)
    adjust = m.bit_and(m.ne(rest, 0), differs)
    quotient = m.select(adjust, m.subtract(quotient, 1), quotient)
    rest = m.select(adjust, m.add(rest, safe), rest)
    quotient = m.select(by_minus_one, m.negative(x), quotient)
    return m.select(by_zero, zero, quotient), m.select(by_zero, zero, rest)


def _float_division(m: Vectors, x: Value, y: Value) -> tuple[Value, Value]:
    """NumPy's ``divmod``: the remainder is exact and has the divisor's sign."""
    rest = call_library(m, "fmod", x, y)
    by_zero = m.eq(y, 0.0)
    differs = m.ne(m.lt(y, 0.0), m.lt(rest, 0.0))
    adjust = m.bit_and(m.ne(rest, 0.0), differs)
    quotient = m.divide(m.subtract(x, rest), y)
    quotient = m.select(adjust, m.subtract(quotient, 1.0), quotient)
    adjusted = m.select(adjust, m.add(rest, y), rest)
    signed_zero = m.copysign(m.constant(0.0, x.dtype), y)
    adjusted = m.select(m.eq(adjusted, 0.0), signed_zero, adjusted)
    whole = m.floor(quotient)
    whole = m.select(m.gt(m.subtract(quotient, whole), 0.5), m.add(whole, 1.0), whole)
    zero = m.copysign(m.constant(0.0, x.dtype), m.divide(x, y))
    whole = m.select(m.eq(quotient, 0.0), zero, whole)
    return (
        m.select(by_zero, m.divide(x, y), whole),
        m.select(by_zero, rest, adjusted),
    )

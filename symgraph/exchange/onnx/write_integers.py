"""Arithmetic of integers that never asks onnxruntime what ends it: a division by 0, MIN / -1."""

from __future__ import annotations

import numpy as np

from .write_primitives import Primitives
from .writer import Value, declared_alike

__all__ = ["floor_divide", "power", "remainder", "shift_left", "shift_right"]

_BOOL, _INT64 = np.dtype("bool"), np.dtype("int64")


def _safe(m: Primitives, y: Value) -> Value:
    """The divisor, with 1 for 0 and for -1."""
    known = m.w.known(y)
    if known is not None and not np.isin(known, (0, -1)).any():
        return y
    is_bad = m.eq(y, 0)
    if y.dtype.kind == "i":
        is_bad = m.bit_or(is_bad, m.eq(y, -1))
    return m.select(is_bad, 1, y)


def floor_divide(m: Primitives, x: Value, y: Value) -> Value:
    """The quotient rounded down; 0 for a division by 0."""
    safe = _safe(m, y)
    quotient = m.divide(x, safe)
    if y.dtype.kind == "i":
        rest = m.subtract(x, m.multiply(quotient, safe))
        known = m.w.known(y)
        if known is not None and (known > 0).all():
            is_below = m.lt(rest, 0)
        else:
            is_below = m.bit_and(m.ne(rest, 0), m.bit_xor(m.lt(rest, 0), m.lt(y, 0)))
        quotient = m.subtract(quotient, m.w.cast(is_below, x.dtype))
    if safe is y:
        return quotient
    if y.dtype.kind == "i":
        quotient = m.select(m.eq(y, -1), m.negative(x), quotient)
    return m.select(m.eq(y, 0), 0, quotient)


def remainder(m: Primitives, x: Value, y: Value) -> Value:
    """What the division leaves, with the divisor's sign; 0 for a division by 0."""
    return m.binary("Mod", x, _safe(m, y))


def power(m: Primitives, x: Value, y: Value) -> Value:
    """``x ** y``, which wraps: by squaring, in a loop over the bits of the exponents.

    onnxruntime's own goes by way of floats.
    """
    known = m.w.known(y)
    if known is not None and known.size == 1 and 0 <= (exponent := int(known.reshape(()))) <= 4:
        return _small_power(m, x, exponent)
    shape = m.w.emit("Shape", m.add(x, y), dtype=_INT64)
    ones = m.w.emit("Expand", m.number(1, x), shape)
    start = [m.w.emit("Expand", x, shape), m.w.emit("Expand", y, shape), ones]
    return _loop_over_bits(m, start)


def _small_power(m: Primitives, x: Value, exponent: int) -> Value:
    if exponent == 0:
        return m.add(m.multiply(x, 0), 1)
    result = x
    for _ in range(exponent - 1):
        result = m.multiply(result, x)
    return result


def _loop_over_bits(m: Primitives, start: list[Value]) -> Value:
    """The powers for bases, exponents and ones: the product of squares of which a bit is set."""
    w = m.w
    inner = w.inner()
    n = m.on(inner)
    dtype = start[0].dtype
    step, go_on = inner.fresh(_INT64), inner.fresh(_BOOL)
    base, exponent, product = (inner.fresh(dtype) for _ in start)
    is_odd = n.ne(n.bit_and(exponent, 1), 0)
    results = [
        inner.emit("Identity", go_on),
        n.multiply(base, base),
        shift_right(n, exponent, n.number(1, exponent)),
        n.select(is_odd, n.multiply(product, base), product),
    ]
    body = inner.graph(
        "power",
        [
            declared_alike(x, is_scalar=x in (step, go_on))
            for x in (step, go_on, base, exponent, product)
        ],
        [declared_alike(x, is_scalar=x is results[0]) for x in results],
    )
    count = w.number(8 * dtype.itemsize, _INT64)
    return w.emit_several("Loop", [count, None, *start], [dtype] * 3, body=body)[2]


def _unsigned(dtype: np.dtype) -> np.dtype:
    return np.dtype(f"uint{8 * dtype.itemsize}")


def _shifted(m: Primitives, direction: str, x: Value, y: Value) -> Value:
    """The bits moved, with zeros in their place; none is left where they are moved too far."""
    bits = 8 * x.dtype.itemsize
    unsigned = _unsigned(x.dtype)
    known = m.w.known(y)
    x, y = m.w.cast(x, unsigned), m.w.cast(y, unsigned)
    if known is not None and (known >= 0).all() and (known < bits).all():
        return m.w.emit("BitShift", x, y, direction=direction)
    is_far = m.ge(y, bits)
    moved = m.w.emit("BitShift", x, m.select(is_far, 0, y), direction=direction)
    return m.select(is_far, 0, moved)


def shift_left(m: Primitives, x: Value, y: Value) -> Value:
    """The bits moved up."""
    return m.w.cast(_shifted(m, "LEFT", x, y), x.dtype)


def shift_right(m: Primitives, x: Value, y: Value) -> Value:
    """The bits moved down; those of a negative number are filled up with its sign."""
    if x.dtype.kind == "u":
        return _shifted(m, "RIGHT", x, y)
    is_negative = m.lt(x, 0)
    inverted = m.select(is_negative, m.bit_not(x), x)
    moved = m.w.cast(_shifted(m, "RIGHT", inverted, y), x.dtype)
    return m.select(is_negative, m.bit_not(moved), moved)

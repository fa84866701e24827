"""Functions of float64 that ONNX, or onnxruntime, lacks, by those that it has.

Each is a composition over the scalar protocol of elementwise ops, to a few units in the last place.
"""

from __future__ import annotations

import math
from typing import Any

from ...ops.formula import Maths
from .write_primitives import Primitives

__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "copysign",
    "cosh",
    "expm1",
    "floor_divide",
    "log10",
    "log1p",
    "log2",
    "polynomial",
    "remainder",
    "sinh",
    "tan",
]

Value = Any
_LN2, _LN10 = math.log(2.0), math.log(10.0)


def polynomial(m: Maths, x: Value, coefficients: tuple[float, ...]) -> Value:
    """The polynomial of these coefficients, that of the constant first."""
    total: Value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = m.add(m.multiply(x, total), coefficient)
    return total


def copysign(m: Maths, size: Value, sign: Value) -> Value:
    """The size with the sign of another number, of a zero too."""
    is_negative = m.lt(m.select(m.eq(sign, 0.0), m.divide(1.0, sign), sign), 0.0)
    return m.select(is_negative, m.negative(size), size)


# --- division -----------------------------------------------------------------------------------


def remainder(m: Primitives, x: Value, y: Value) -> Value:
    """What the division leaves, with the divisor's sign."""
    rest = m.fmod(x, y)
    return m.select(_is_on_other_side(m, rest, y), m.add(rest, y), rest)


def _is_on_other_side(m: Primitives, rest: Value, y: Value) -> Value:
    """Whether what a division towards zero leaves has not the divisor's sign."""
    return m.bit_and(m.ne(rest, 0.0), m.bit_xor(m.lt(rest, 0.0), m.lt(y, 0.0)))


def floor_divide(m: Primitives, x: Value, y: Value) -> Value:
    """The quotient rounded down, which is that of a multiple of the divisor, as in NumPy."""
    rest = m.fmod(x, y)
    whole = m.rint(m.divide(m.subtract(x, rest), y))
    whole = m.select(_is_on_other_side(m, rest, y), m.subtract(whole, 1.0), whole)
    return m.select(m.eq(y, 0.0), m.divide(x, y), whole)


# --- exponentials and logarithms ----------------------------------------------------------------


def expm1(m: Maths, x: Value) -> Value:
    """``exp(x) - 1`` by Kahan's quotient, in which the rounding of the exponential cancels."""
    power = m.exp(x)
    above = m.subtract(power, 1.0)
    exact = m.divide(m.multiply(above, x), m.log(power))
    is_far = m.bit_or(m.gt(x, 40.0), m.lt(x, -40.0))
    return m.select(m.eq(power, 1.0), x, m.select(is_far, above, exact))


def log1p(m: Maths, x: Value) -> Value:
    """``log(1 + x)`` by Kahan's quotient."""
    more = m.add(x, 1.0)
    exact = m.divide(m.multiply(m.log(more), x), m.subtract(more, 1.0))
    is_far = m.bit_or(m.gt(x, 1e16), m.le(x, -1.0))
    return m.select(m.eq(more, 1.0), x, m.select(is_far, m.log(more), exact))


def log2(m: Maths, x: Value) -> Value:
    """The logarithm to base 2, exact for powers of it."""
    result = m.multiply(m.log(x), 1.0 / _LN2)
    whole = m.rint(result)
    return m.select(m.eq(m.exp2(whole), x), whole, result)


def log10(m: Maths, x: Value) -> Value:
    """The logarithm to base 10."""
    return m.multiply(m.log(x), 1.0 / _LN10)


# --- hyperbolic functions -----------------------------------------------------------------------


def sinh(m: Maths, x: Value) -> Value:
    """The hyperbolic sine."""
    size = m.absolute(x)
    small = m.expm1(size)
    near = m.multiply(m.add(small, m.divide(small, m.add(small, 1.0))), 0.5)
    root = m.exp(m.multiply(size, 0.5))
    far = m.multiply(m.multiply(root, 0.5), root)
    return copysign(m, m.select(m.gt(size, 22.0), far, near), x)


def cosh(m: Maths, x: Value) -> Value:
    """The hyperbolic cosine."""
    root = m.exp(m.multiply(m.absolute(x), 0.5))
    half = m.multiply(root, 0.5)
    return m.add(m.multiply(half, root), m.divide(0.25, m.multiply(half, root)))


def arcsinh(m: Maths, x: Value) -> Value:
    """The number with this hyperbolic sine."""
    size = m.absolute(x)
    square = m.multiply(size, size)
    root = m.sqrt(m.add(square, 1.0))
    near = m.log1p(m.add(size, m.divide(square, m.add(root, 1.0))))
    far = m.add(m.log(size), _LN2)
    return copysign(m, m.select(m.gt(size, 1e9), far, near), x)


def arccosh(m: Maths, x: Value) -> Value:
    """The number of at least 0 with this hyperbolic cosine."""
    above = m.subtract(x, 1.0)
    root = m.multiply(m.sqrt(above), m.sqrt(m.add(above, 2.0)))
    return m.select(m.gt(x, 1e9), m.add(m.log(x), _LN2), m.log1p(m.add(above, root)))


def arctanh(m: Maths, x: Value) -> Value:
    """The number with this hyperbolic tangent."""
    size = m.absolute(x)
    quotient = m.divide(m.multiply(size, 2.0), m.subtract(1.0, size))
    return copysign(m, m.multiply(m.log1p(quotient), 0.5), x)


# --- angles -------------------------------------------------------------------------------------

# Of Cephes' atan (Moshier 1989): the arcus tangent on |x| ≤ 0.66 is x + x³ P(x²) / Q(x²).
_ATAN_P = (
    -6.485021904942025371773e1,
    -1.228866684490136173410e2,
    -7.500855792314704667340e1,
    -1.615753718733365076637e1,
    -8.750608600031904122785e-1,
)
_ATAN_Q = (
    1.945506571482613964425e2,
    4.853903996359136964868e2,
    4.328810604912902668951e2,
    1.650270098316988542046e2,
    2.485846490142306297962e1,
    1.0,
)
_PI_LOW = 6.123233995736765886130e-17
"""What half of π is more than its float64."""


def tan(m: Maths, x: Value) -> Value:
    """The tangent."""
    return m.divide(m.sin(x), m.cos(x))


def arctan(m: Maths, x: Value) -> Value:
    """The angle with this tangent."""
    size = m.absolute(x)
    is_far, is_near = m.gt(size, 2.41421356237309504880), m.le(size, 0.66)
    middle = m.divide(m.subtract(size, 1.0), m.add(size, 1.0))
    reduced = m.select(is_far, m.divide(-1.0, size), m.select(is_near, size, middle))
    square = m.multiply(reduced, reduced)
    series = m.divide(polynomial(m, square, _ATAN_P), polynomial(m, square, _ATAN_Q))
    angle = m.add(m.multiply(m.multiply(series, square), reduced), reduced)
    far = m.add(m.add(angle, _PI_LOW), math.pi / 2)
    half = m.add(m.add(angle, _PI_LOW / 2), math.pi / 4)
    return copysign(m, m.select(is_far, far, m.select(is_near, angle, half)), x)


def arcsin(m: Maths, x: Value) -> Value:
    """The angle with this sine."""
    return arctan(m, m.divide(x, _cosine(m, x)))


def _cosine(m: Maths, sine: Value) -> Value:
    return m.sqrt(m.multiply(m.subtract(1.0, sine), m.add(sine, 1.0)))


def arccos(m: Maths, x: Value) -> Value:
    """The angle with this cosine."""
    half = m.divide(m.sqrt(m.subtract(1.0, x)), m.sqrt(m.add(x, 1.0)))
    return m.multiply(arctan(m, half), 2.0)


def arctan2(m: Maths, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), with the signs of zeros and infinities of C."""
    width, height = m.absolute(x), m.absolute(y)
    both = m.bit_and(m.isinf(x), m.isinf(y))
    large, small = m.maximum(width, height), m.minimum(width, height)
    ratio = m.divide(small, m.select(m.eq(large, 0.0), 1.0, large))
    ratio = m.select(both, 1.0, ratio)
    flat = arctan(m, ratio)
    angle = m.select(m.gt(height, width), m.subtract(math.pi / 2, flat), flat)
    is_left = m.lt(m.select(m.eq(x, 0.0), m.divide(1.0, x), x), 0.0)
    angle = m.select(is_left, m.subtract(math.pi, angle), angle)
    return copysign(m, angle, y)

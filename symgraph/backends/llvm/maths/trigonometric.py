"""Circular functions and their inverses on vectors, in float64 (float32 goes through it).

Arguments beyond 2^28 are left to the C library, since their reduction takes hundreds of bits of π.
"""

from __future__ import annotations

import numpy as np

from ..code.emit import F64, I64, Value
from .library import call_library
from .vectors import Vectors, in_double

__all__ = ["arccos", "arcsin", "arctan", "cos", "sin", "tan"]

# π/2 in three parts (fdlibm's e_rem_pio2.c), each exact for a multiple below 2^20 or by FMA.
_HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33)
# sin(r) = r + r³ S(r²), cos(r) = 1 − r²/2 + r⁴ C(r²) on |r| ≤ π/4: fdlibm's k_sin.c and k_cos.c.
_SIN = (
    -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
    2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10,
)  # fmt: skip
_COS = (
    4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
    -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11,
)  # fmt: skip
_LARGE = 2.0**28


def _reduce(m: Vectors, x: Value) -> tuple[Value, Value]:
    """The quadrant (as an integer) and the rest, with x = quadrant · π/2 + rest."""
    k = m.rint(m.multiply(x, 2 / np.pi))
    r = m.fma(k, -_HALF_PI[0], x)
    # Two products, so that what the second one rounds away is not lost near multiples of π/2.
    second = m.fma(k, -_HALF_PI[1], r)
    lost = m.fma(k, -_HALF_PI[1], m.subtract(r, second))
    rest = m.add(second, m.fma(k, -_HALF_PI[2], lost))
    bounded = m.select(m.lt(m.absolute(k), 2.0**30), k, m.constant(0.0, k.dtype))
    return m.cast(bounded, np.dtype("int32")), rest


def _sin_of_rest(m: Vectors, r: Value, square: Value) -> Value:
    return m.fma(m.multiply(square, r), m.polynomial(square, _SIN), r)


def _cos_of_rest(m: Vectors, square: Value) -> Value:
    half = m.multiply(square, 0.5)
    whole = m.subtract(1.0, half)
    lost = m.subtract(m.subtract(1.0, whole), half)
    return m.add(whole, m.fma(m.multiply(square, square), m.polynomial(square, _COS), lost))


def _odd(m: Vectors, quadrant: Value) -> Value:
    return m.ne(m.bit_and(quadrant, 1), 0)


def _flip(m: Vectors, x: Value, quadrant: Value) -> Value:
    """``x``, negated where the quadrant's second bit is set."""
    sign = m.binary("shl", m.cast(m.bit_and(quadrant, 2), I64), 62)
    return m.reinterpret(m.bit_xor(m.reinterpret(x, I64), sign), F64)


def _quadrants(m: Vectors, x: Value, offset: int) -> Value:
    quadrant, r = _reduce(m, x)
    if offset:
        quadrant = m.add(quadrant, offset)
    square = m.multiply(r, r)
    chosen = m.select(_odd(m, quadrant), _cos_of_rest(m, square), _sin_of_rest(m, r, square))
    return _flip(m, chosen, quadrant)


def _with_library(m: Vectors, x: Value, result: Value, name: str) -> Value:
    """The result, or the C library's where an argument is large (or not finite)."""
    # Without exact products no argument that has to be reduced comes out right.
    limit = _LARGE if m.cpu.has_fma else 0.75
    return call_library(
        m, name, x, instead_of=result, where=m.compare("uge", "", "", m.absolute(x), limit)
    )


@in_double
def sin(m: Vectors, x: Value) -> Value:
    """The sine."""
    result = m.select(m.eq(x, 0.0), x, _quadrants(m, x, 0))
    return _with_library(m, x, result, "sin")


@in_double
def cos(m: Vectors, x: Value) -> Value:
    """The cosine."""
    return _with_library(m, x, _quadrants(m, x, 1), "cos")


@in_double
def tan(m: Vectors, x: Value) -> Value:
    """The tangent."""
    quadrant, r = _reduce(m, x)
    square = m.multiply(r, r)
    sine, cosine = _sin_of_rest(m, r, square), _cos_of_rest(m, square)
    odd = _odd(m, quadrant)
    top = m.select(odd, m.negative(cosine), sine)
    result = m.divide(top, m.select(odd, sine, cosine))
    result = m.select(m.eq(x, 0.0), x, result)
    return _with_library(m, x, result, "tan")


# --- inverses -----------------------------------------------------------------------------------

# fdlibm's e_asin.c: (asin(x) − x) / x = z P(z) / Q(z), z = x² ≤ ¼.
_ASIN_P = (
    1.66666666666666657415e-01, -3.25565818622400915405e-01, 2.01212532134862925881e-01,
    -4.00555345006794114027e-02, 7.91534994289814532176e-04, 3.47933107596021167570e-05,
)  # fmt: skip
_ASIN_Q = (
    1.0, -2.40339491173441421878e00, 2.02094576023350569471e00, -6.88283971605453293030e-01,
    7.70381505559019352791e-02,
)  # fmt: skip
# Cephes' atan.c: (atan(x) − x) / x = z P(z) / Q(z), |x| ≤ 0.66.
_ATAN_P = (
    -6.485021904942025371773e1, -1.228866684490136173410e2, -7.500855792314704667340e1,
    -1.615753718733365076637e1, -8.750608600031904122785e-1,
)  # fmt: skip
_ATAN_Q = (
    1.945506571482613964425e2, 4.853903996359136964868e2, 4.328810604912902668951e2,
    1.650270098316988542046e2, 2.485846490142306297962e1, 1.0,
)  # fmt: skip
_HALF_PI_LOW = 6.123233995736766e-17


def _asin_remainder(m: Vectors, z: Value) -> Value:
    return m.multiply(z, m.divide(m.polynomial(z, _ASIN_P), m.polynomial(z, _ASIN_Q)))


@in_double
def arcsin(m: Vectors, x: Value) -> Value:
    """The inverse sine."""
    size = m.absolute(x)
    large = m.gt(size, 0.5)
    z = m.select(large, m.multiply(m.subtract(1.0, size), 0.5), m.multiply(x, x))
    root = m.sqrt(z)
    remainder = _asin_remainder(m, z)
    small = m.fma(size, remainder, size)
    # What the square root rounded away; it matters beside π/2.
    lost = m.divide(m.fma(m.negative(root), root, z), m.add(root, root))
    lost = m.select(m.eq(root, 0.0), m.constant(0.0, x.dtype), lost)
    part = m.add(m.fma(root, remainder, lost), root)
    far = m.subtract(np.pi / 2, m.subtract(m.multiply(part, 2.0), _HALF_PI_LOW))
    return m.copysign(m.select(large, far, small), x)


@in_double
def arccos(m: Vectors, x: Value) -> Value:
    """The inverse cosine."""
    size = m.absolute(x)
    large = m.gt(size, 0.5)
    z = m.select(large, m.multiply(m.subtract(1.0, size), 0.5), m.multiply(x, x))
    root = m.sqrt(z)
    remainder = _asin_remainder(m, z)
    small = m.subtract(np.pi / 2, m.subtract(x, m.subtract(_HALF_PI_LOW, m.multiply(x, remainder))))
    lost = m.divide(m.fma(m.negative(root), root, z), m.add(root, root))
    lost = m.select(m.eq(root, 0.0), m.constant(0.0, x.dtype), lost)
    part = m.multiply(m.add(m.fma(root, remainder, lost), root), 2.0)
    far = m.select(m.lt(x, 0.0), m.subtract(np.pi, m.subtract(part, 2 * _HALF_PI_LOW)), part)
    return m.select(large, far, small)


@in_double
def arctan(m: Vectors, x: Value) -> Value:
    """The inverse tangent."""
    size = m.absolute(x)
    # Beyond 1 + √2 take −1/x, beyond 0.66 take (x − 1) / (x + 1): one division for all.
    far, middle = m.gt(size, 2.41421356237309504880), m.gt(size, 0.66)
    top = m.select(middle, m.subtract(size, 1.0), size)
    top = m.select(far, m.constant(-1.0, x.dtype), top)
    bottom = m.select(middle, m.add(size, 1.0), m.constant(1.0, x.dtype))
    bottom = m.select(far, size, bottom)
    reduced = m.divide(top, bottom)
    z = m.multiply(reduced, reduced)
    ratio = m.divide(m.polynomial(z, _ATAN_P), m.polynomial(z, _ATAN_Q))
    value = m.fma(m.multiply(reduced, z), ratio, reduced)
    zero = m.constant(0.0, x.dtype)
    low = m.select(middle, m.constant(_HALF_PI_LOW / 2, x.dtype), zero)
    low = m.select(far, m.constant(_HALF_PI_LOW, x.dtype), low)
    high = m.select(middle, m.constant(np.pi / 4, x.dtype), zero)
    high = m.select(far, m.constant(np.pi / 2, x.dtype), high)
    return m.copysign(m.add(high, m.add(value, low)), x)

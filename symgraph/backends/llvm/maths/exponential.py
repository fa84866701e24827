"""Exponentials and logarithms on vectors: reduction to a small interval, then a polynomial.

Coefficients are Chebyshev fits of the series' remainder, so that the leading terms stay exact.
"""

from __future__ import annotations

import numpy as np

from ..code.emit import F32, F64, I32, I64, Value
from .vectors import Vectors, in_double

__all__ = [
    "arccosh",
    "arcsinh",
    "arctanh",
    "cosh",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sigmoid",
    "sinh",
    "tanh",
]

_LOG2_E = 1.4426950408889634
_LN2 = 0.6931471805599453
# ln 2 in two parts; the high one has zeros at its end, so that k times it is exact.
_LN2_PARTS = {
    F32: (0.693359375, -2.12194440e-4),
    F64: (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
# (exp(r) − 1 − r) / r² on |r| ≤ ln 2 / 2.
_EXP = {
    F32: (0.5000000014286223, 0.16666666682534356, 0.04166645680967788, 0.008333310024225292,
          0.0013934541928270264, 0.0001989198131397769),
    F64: (0.5000000000000001, 0.16666666666666669, 0.04166666666662064, 0.008333333333329793,
          0.0013888888918939168, 0.00019841269864380513, 2.4801518641395993e-05,
          2.75572664186123e-06, 2.7621338669142925e-07, 2.510134692835034e-08),
}  # fmt: skip
# (log(1 + f) − f + f²/2) / f³ on √½ ≤ 1 + f ≤ √2.
_LOG_F32 = (
    0.33333331180030046, -0.24999996957950882, 0.200007157488921, -0.16667802319501254,
    0.1424905764569748, -0.12425687331451106, 0.1168541992348674, -0.11479733846637635,
    0.06971611471451178,
)  # fmt: skip
# R(s²) of fdlibm's e_log.c, where s = f / (2 + f) and log(1 + f) = f − f²/2 + s (f²/2 + R).
_LOG_F64 = (
    0.0, 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
    2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
    1.479819860511658591e-01,
)  # fmt: skip
# Where exp is surely infinite, and where it is surely zero.
_OVERFLOW = {F32: 89.0, F64: 710.0}
_UNDERFLOW = {F32: -104.0, F64: -746.0}


def _clamp(m: Vectors, x: Value, low: float, high: float) -> Value:
    """``x`` between the bounds; NaN stays."""
    x = m.select(m.gt(x, high), m.constant(high, x.dtype), x)
    return m.select(m.lt(x, low), m.constant(low, x.dtype), x)


def scale_by_power(m: Vectors, x: Value, k: Value) -> Value:
    """``x · 2^k`` for a whole number k, into the subnormals and to infinity, rounded once."""
    if m.cpu.has_ldexp:
        count = m.convert("fptosi", k, I32)
        size = f"{8 * x.dtype.itemsize}"
        name = (
            f"llvm.ldexp.v{x.lanes}f{size}.v{x.lanes}i32"
            if x.lanes > 1
            else f"llvm.ldexp.f{size}.i32"
        )
        m.function.declare(name, f"{x.type} ({x.type}, {count.type})")
        return m.function.value(
            f"call {x.type} @{name}({x.type} {x}, {count.type} {count})", x.dtype, x.lanes
        )
    # 2^k itself may be out of range where the product is not: apply it in two halves.
    integer, bits, bias = (I32, 23, 127) if x.dtype == F32 else (I64, 52, 1023)
    whole = m.cast(m.convert("fptosi", k, I32), integer)
    half = m.binary("ashr", whole, 1)
    rest = m.subtract(whole, half)
    for part in (half, rest):
        power = m.reinterpret(m.binary("shl", m.add(part, bias), bits), x.dtype)
        x = m.multiply(x, power)
    return x


def _reduce(m: Vectors, x: Value) -> tuple[Value, Value]:
    """k and r with x = k ln 2 + r, |r| ≤ ln 2 / 2."""
    high, low = _LN2_PARTS[x.dtype]
    k = m.rint(m.multiply(x, _LOG2_E))
    return k, m.fma(k, -low, m.fma(k, -high, x))


def _whole_power(m: Vectors, x: Value, factor: float, offset: int = 0) -> tuple[Value, Value]:
    """k, factor · x rounded, and 2^(k + offset), which must be neither subnormal nor infinite."""
    integer, bits, bias = (I32, 23, 127) if x.dtype == F32 else (I64, 52, 1023)
    # Beside a number this large nothing is left behind the point, and k stands in the last bits,
    # with the exponent's bias: shifted into the exponent's place they are the power.
    large = 1.5 * 2.0**bits + bias + offset
    total = m.fma(x, factor, large)
    power = m.binary("shl", m.reinterpret(total, integer), bits)
    return m.subtract(total, large), m.reinterpret(power, x.dtype)


def _exp_minus_one(m: Vectors, r: Value) -> Value:
    """``exp(r) − 1`` for a reduced argument."""
    square = m.multiply(r, r)
    return m.fma(square, m.polynomial(r, _EXP[r.dtype], square), r)


def exp(m: Vectors, x: Value) -> Value:
    """The exponential; 1 ULP."""
    k, r = _reduce(m, _clamp(m, x, _UNDERFLOW[x.dtype], _OVERFLOW[x.dtype]))
    return scale_by_power(m, m.add(_exp_minus_one(m, r), 1.0), k)


def exp2(m: Vectors, x: Value) -> Value:
    """``2^x``; exact for whole numbers."""
    high = 130.0 if x.dtype == F32 else 1030.0
    x = _clamp(m, x, -151.0 if x.dtype == F32 else -1076.0, high)
    k = m.rint(x)
    r = m.multiply(m.subtract(x, k), _LN2)
    return scale_by_power(m, m.add(_exp_minus_one(m, r), 1.0), k)


def expm1(m: Vectors, x: Value) -> Value:
    """``exp(x) − 1`` without cancellation."""
    bounded = _clamp(m, x, -40.0, _OVERFLOW[x.dtype])
    k, r = _reduce(m, bounded)
    part = _exp_minus_one(m, r)
    # 2^k may overflow where the result does not: work at 2^(k − 1) and double.
    lower = m.select(m.gt(k, 64.0), m.subtract(k, 1.0), k)
    power = scale_by_power(m, m.constant(1.0, x.dtype), lower)
    result = m.fma(power, part, m.subtract(power, 1.0))
    result = m.select(m.gt(k, 64.0), m.multiply(result, 2.0), result)
    return m.select(m.eq(x, 0.0), x, result)


def tanh(m: Vectors, x: Value) -> Value:
    """The hyperbolic tangent: t / (t + 2) with t = exp(2|x|) − 1."""
    limit = 10.0 if x.dtype == F32 else 20.0
    size = m.absolute(x)
    bounded = m.select(m.gt(size, limit), m.constant(limit, x.dtype), size)
    k, power = _whole_power(m, bounded, 2.0 * _LOG2_E)
    r = m.fma(k, -_LN2, m.add(bounded, bounded))
    t = m.fma(power, _exp_minus_one(m, r), m.subtract(power, 1.0))
    return m.copysign(m.divide(t, m.add(t, 2.0)), x)


def sigmoid(m: Vectors, x: Value) -> Value:
    """``1 / (1 + exp(−x))``, both parts of the fraction times a power of 2 against overflow."""
    low, high, offset = (-106.0, 65.0, -32) if x.dtype == F32 else (-750.0, 500.0, -256)
    bounded = _clamp(m, x, low, high)
    k, power = _whole_power(m, bounded, -_LOG2_E, offset)
    ln2_high, ln2_low = _LN2_PARTS[x.dtype]
    r = m.fma(k, -ln2_low, m.fma(k, -ln2_high, m.negative(bounded)))
    part = m.fma(power, _exp_minus_one(m, r), power)
    scale = 2.0**offset
    return m.divide(scale, m.add(part, scale))


def sinh(m: Vectors, x: Value) -> Value:
    """The hyperbolic sine."""
    size = m.absolute(x)
    less = expm1(m, m.select(m.gt(size, 20.0), m.constant(1.0, x.dtype), size))
    small = m.multiply(m.add(less, m.divide(less, m.add(less, 1.0))), 0.5)
    half = exp(m, m.multiply(size, 0.5))
    large = m.multiply(m.multiply(half, 0.5), half)
    return m.copysign(m.select(m.gt(size, 20.0), large, small), x)


def cosh(m: Vectors, x: Value) -> Value:
    """The hyperbolic cosine."""
    size = m.absolute(x)
    half = exp(m, m.multiply(size, 0.5))
    large = m.multiply(m.multiply(half, 0.5), half)
    whole = exp(m, m.select(m.gt(size, 20.0), m.constant(1.0, x.dtype), size))
    small = m.multiply(m.add(whole, m.divide(1.0, whole)), 0.5)
    return m.select(m.gt(size, 20.0), large, small)


# --- logarithms ---------------------------------------------------------------------------------


def _split(m: Vectors, x: Value) -> tuple[Value, Value]:
    """k and f with x = 2^k (1 + f), √½ ≤ 1 + f ≤ √2, for positive finite x."""
    integer, bits, bias, low = (
        (I32, 23, 127, 2.0**-126) if x.dtype == F32 else (I64, 52, 1023, 2.0**-1022)
    )
    subnormal = m.lt(x, low)
    x = m.select(subnormal, m.multiply(x, 2.0**54), x)
    pattern = m.reinterpret(x, integer)
    # Adding the distance from √½ to 1 carries into the exponent for mantissas above √2.
    root = int(np.asarray(np.sqrt(0.5), x.dtype).view(integer))
    one = int(np.asarray(1.0, x.dtype).view(integer))
    shifted = m.add(pattern, one - root)
    k = m.subtract(m.binary("ashr", shifted, bits), bias)
    mantissa = m.add(m.bit_and(shifted, (1 << bits) - 1), root)
    f = m.subtract(m.reinterpret(mantissa, x.dtype), 1.0)
    k = m.convert("sitofp", m.cast(k, I32), x.dtype)
    return m.select(subnormal, m.subtract(k, 54.0), k), f


def _log_parts(m: Vectors, f: Value) -> tuple[Value, Value]:
    """``log(1 + f) − f`` as −f²/2 (not yet negated) and the rest."""
    square = m.multiply(f, f)
    half = m.multiply(square, 0.5)
    if f.dtype == F32:
        return half, m.multiply(m.multiply(square, f), m.polynomial(f, _LOG_F32))
    s = m.divide(f, m.add(f, 2.0))
    z = m.multiply(s, s)
    series = m.multiply(z, m.polynomial(z, _LOG_F64[1:]))
    return half, m.multiply(s, m.add(half, series))


def _edges(m: Vectors, x: Value, result: Value) -> Value:
    """The logarithm where x is no positive finite number: −Inf, NaN, Inf."""
    result = m.select(m.eq(x, 0.0), m.constant(-np.inf, x.dtype), result)
    result = m.select(m.compare("ult", "", "", x, 0.0), m.constant(np.nan, x.dtype), result)
    # Inf and NaN are their own logarithms.
    return m.select(m.compare("ult", "", "", x, float("inf")), result, x)


def log(m: Vectors, x: Value) -> Value:
    """The natural logarithm; 1 ULP."""
    k, f = _split(m, x)
    high, low = _LN2_PARTS[x.dtype]
    half, rest = _log_parts(m, f)
    tail = m.subtract(m.fma(k, low, rest), half)
    return _edges(m, x, m.fma(k, high, m.add(tail, f)))


def log1p(m: Vectors, x: Value) -> Value:
    """``log(1 + x)`` without cancellation."""
    total = m.add(x, 1.0)
    k, f = _split(m, total)
    # What rounding 1 + x lost, relative to it.
    large = m.gt(x, 1.0)
    lost = m.select(
        large, m.subtract(1.0, m.subtract(total, x)), m.subtract(x, m.subtract(total, 1.0))
    )
    correction = m.divide(lost, total)
    high, low = _LN2_PARTS[x.dtype]
    half, rest = _log_parts(m, f)
    tail = m.subtract(m.add(m.fma(k, low, rest), correction), half)
    result = _edges(m, total, m.fma(k, high, m.add(tail, f)))
    # Tiny numbers, and −0, are their own result.
    return m.select(m.lt(m.absolute(x), 2.0**-54), x, result)


@in_double
def log2(m: Vectors, x: Value) -> Value:
    """The logarithm to base 2; exact for powers of 2."""
    k, f = _split(m, x)
    high, low = _log_in_base(m, f, _LOG2_E, 1.4426950407214463, 1.6751713164886512e-10)
    return _edges(m, x, m.add(m.add(high, k), low))


@in_double
def log10(m: Vectors, x: Value) -> Value:
    """The logarithm to base 10."""
    k, f = _split(m, x)
    high, low = _log_in_base(
        m, f, 0.4342944819032518, 4.34294481878168880939e-01, 2.50829467116452752298e-11
    )
    low = m.fma(k, 3.69423907715893078616e-13, low)
    return _edges(m, x, m.add(m.fma(k, 3.01029995663611771306e-01, high), low))


def _log_in_base(
    m: Vectors, f: Value, factor: float, factor_high: float, factor_low: float
) -> tuple[Value, Value]:
    """``log(1 + f)`` times a factor, in two parts (fdlibm's e_log2.c)."""
    half, rest = _log_parts(m, f)
    pattern = m.reinterpret(m.subtract(f, half), I64)
    high = m.reinterpret(m.bit_and(pattern, -(1 << 32)), F64)
    low = m.add(m.subtract(m.subtract(f, high), half), rest)
    small = m.fma(m.add(low, high), factor_low, m.multiply(low, factor_high))
    return m.multiply(high, factor_high), small


@in_double
def arcsinh(m: Vectors, x: Value) -> Value:
    """The inverse hyperbolic sine."""
    size = m.absolute(x)
    huge = m.gt(size, 2.0**28)
    bounded = m.select(huge, m.constant(1.0, x.dtype), size)
    square = m.multiply(bounded, bounded)
    root = m.add(m.sqrt(m.add(square, 1.0)), 1.0)
    argument = m.add(bounded, m.divide(square, root))
    # One logarithm serves both branches.
    result = log1p(m, m.select(huge, m.subtract(size, 1.0), argument))
    result = m.select(huge, m.add(result, _LN2), result)
    return m.copysign(result, x)


@in_double
def arccosh(m: Vectors, x: Value) -> Value:
    """The inverse hyperbolic cosine."""
    huge = m.gt(x, 2.0**28)
    t = m.subtract(m.select(huge, m.constant(1.0, x.dtype), x), 1.0)
    argument = m.add(t, m.sqrt(m.fma(t, t, m.multiply(t, 2.0))))
    result = log1p(m, m.select(huge, m.subtract(x, 1.0), argument))
    result = m.select(huge, m.add(result, _LN2), result)
    return m.select(m.lt(x, 1.0), m.constant(np.nan, x.dtype), result)


@in_double
def arctanh(m: Vectors, x: Value) -> Value:
    """The inverse hyperbolic tangent."""
    size = m.absolute(x)
    argument = m.divide(m.multiply(size, 2.0), m.subtract(1.0, size))
    return m.copysign(m.multiply(log1p(m, argument), 0.5), x)

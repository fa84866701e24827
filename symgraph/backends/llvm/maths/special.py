"""The error function on vectors, powers, and what SciPy and the C library compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..code.emit import F32, F64, Function, Value
from . import exponential
from .library import call_library, call_scipy
from .vectors import Vectors, in_double

__all__ = ["arctan2", "digamma", "erf", "erfc", "erfinv", "gammaln", "power"]


def arctan2(m: Vectors, x: Any, y: Any) -> Value:
    """The angle of the point (y, x), by the C library."""
    return call_library(m, "atan2", *m.pair(x, y))


@in_double
def gammaln(m: Vectors, x: Value) -> Value:
    """The logarithm of the absolute value of the gamma function, by SciPy."""
    return call_scipy(m, "sg_gammaln", x)


@in_double
def digamma(m: Vectors, x: Value) -> Value:
    """The derivative of `gammaln`, by SciPy."""
    return call_scipy(m, "sg_digamma", x)


# --- the error function -------------------------------------------------------------------------

# erf(x) / x − 1 as a polynomial in x² on |x| ≤ 1.
_ERF = {
    F32: (0.1283791658483509, -0.37612626666720334, 0.11283594715160218, -0.026854212010626412,
          0.005189087423433974, -0.000801686428716587, 7.875875062685488e-05),
    F64: (0.1283791670955126, -0.3761263890318375, 0.11283791670954879, -0.026866170645076792,
          0.0052239776248180145, -0.000854832698083379, 0.0001205533111164271,
          -1.4925595266831182e-05, 1.6461000484121368e-06, -1.6350312701054695e-07,
          1.4659775274047436e-08, -1.1372848856791674e-09, 5.957176147748911e-11),
}  # fmt: skip
# exp(x²) erfc(x) (x + ½) as a polynomial in (x − 3) / (x + 3), x ≥ 0.45.
_ERFC = {
    F32: (0.6265040295649277, -0.06781055180737007, -0.023781208501527793, 0.0648224993810687,
          -0.05963543260116093, 0.03415559013951834, -0.011896468128185667,
          0.0012517538308181226, 0.000981095822298836, -0.00034350007771392075,
          -9.418986505299773e-05),
    F64: (0.6265040291348648, -0.0678105530622907, -0.02378114717672457, 0.06482257935139416,
          -0.0596368317077094, 0.034154013671462875, -0.01188525745781232,
          0.0012646959172041361, 0.0009443451576933232, -0.00038991622377220034,
          -5.257971022398901e-05, 6.255017870376814e-05, 2.473703460197633e-06,
          -1.0052074267654273e-05, -3.6206926033071615e-07, 1.74016790574704e-06,
          1.699504312849107e-07, -3.1349080598676585e-07, -5.855061542439639e-08,
          5.427665850829513e-08, 1.055312301322957e-08, -6.988347485230101e-09),
}  # fmt: skip


def _erf_near_zero(m: Vectors, x: Value) -> Value:
    return m.fma(x, m.polynomial(m.multiply(x, x), _ERF[x.dtype]), x)


def _lost_by_square(m: Vectors, x: Value, square: Value) -> Value:
    """What ``x * x`` is more than it was rounded to."""
    if m.cpu.has_fma:
        return m.fma(x, x, m.negative(square))
    # By halves of the mantissa, whose products are exact.
    integer, bits = (np.dtype("int32"), 12) if x.dtype == F32 else (np.dtype("int64"), 27)
    high = m.reinterpret(m.bit_and(m.reinterpret(x, integer), -(1 << bits)), x.dtype)
    low = m.subtract(x, high)
    rest = m.subtract(m.multiply(high, high), square)
    return m.add(m.add(rest, m.multiply(m.add(high, high), low)), m.multiply(low, low))


def _erfc_far(m: Vectors, size: Value) -> Value:
    """erfc of numbers from 0.45 to where it vanishes."""
    limit = 11.0 if size.dtype == F32 else 28.0
    size = m.select(m.gt(size, limit), m.constant(limit, size.dtype), size)
    series = m.polynomial(m.divide(m.subtract(size, 3.0), m.add(size, 3.0)), _ERFC[size.dtype])
    square = m.multiply(size, size)
    lost = _lost_by_square(m, size, square)
    # exp(−x²) with what the square lost, to first order.
    power = exponential.exp(m, m.negative(square))
    return m.divide(m.multiply(m.fma(m.negative(lost), power, power), series), m.add(size, 0.5))


def erf(m: Vectors, x: Value) -> Value:
    """The error function."""
    size = m.absolute(x)
    far = m.copysign(m.subtract(1.0, _erfc_far(m, size)), x)
    return m.select(m.gt(size, 1.0), far, _erf_near_zero(m, x))


def erfc(m: Vectors, x: Value) -> Value:
    """``1 − erf(x)`` without cancellation."""
    size = m.absolute(x)
    far = _erfc_far(m, size)
    far = m.select(m.lt(x, 0.0), m.subtract(2.0, far), far)
    # Beyond 0.47 erf is above ½, and the difference would cancel.
    return m.select(m.gt(size, 0.47), far, m.subtract(1.0, _erf_near_zero(m, x)))


# The normal quantile of Wichura, "Algorithm AS 241" (1988): numerators and denominators, lowest
# power first; for p within 0.425 of ½ by 0.425² − (p − ½)², for less by √(−ln p) less 1.6 or 5.
_CENTRE = (
    (3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
     45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727),
    (1.0, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077, 21213.794301586595867,
     39307.89580009271061, 28729.085735721942674, 5226.495278852545925),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504,
     1.27045825245236838258, 0.24178072517745061177, 0.0227238449892691845833,
     7.7454501427834140764e-4),
    (1.0, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455,
     0.14810397642748007459, 0.0151986665636164571966, 5.475938084995344946e-4,
     1.05075007164441684324e-9),
)  # fmt: skip
_FAR_TAIL = (
    (6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 0.29656057182850489123,
     0.026532189526576123093, 0.0012426609473880784386, 2.71155556874348757815e-5,
     2.01033439929228813265e-7),
    (1.0, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148525,
     7.868691311456132591e-4, 1.8463183175100546818e-5, 1.4215117583164458887e-7,
     2.04426310338993978564e-15),
)  # fmt: skip


def _quotient(m: Vectors, x: Value, parts: tuple[tuple[float, ...], tuple[float, ...]]) -> Value:
    return m.divide(m.polynomial(x, parts[0]), m.polynomial(x, parts[1]))


@in_double
def erfinv(m: Vectors, x: Value) -> Value:
    """The inverse error function: the quantile of ``(1 + x) / 2``, less a factor of √2."""
    size, half, scale = m.absolute(x), m.multiply(x, 0.5), np.sqrt(0.5)
    centre = m.subtract(0.425**2, m.multiply(half, half))
    near = m.multiply(x, m.multiply(_quotient(m, centre, _CENTRE), scale / 2))
    near = m.add(near, 0.0)  # as SciPy's: 0 of −0
    above = m.multiply(m.subtract(1.0, size), 0.5)
    root = m.sqrt(m.negative(m.shared(exponential.log, above)))
    tail = _quotient(m, m.subtract(root, 1.6), _TAIL)
    far_tail = _quotient(m, m.subtract(root, 5.0), _FAR_TAIL)
    far = m.multiply(m.select(m.gt(root, 5.0), far_tail, tail), scale)
    far = m.copysign(m.select(m.eq(size, 1.0), m.constant(np.inf, F64), far), x)
    return m.select(m.le(size, 0.85), near, far)


# --- powers -------------------------------------------------------------------------------------


def power(m: Vectors, x: Any, y: Any) -> Value:
    """``x^y``: in float32 by way of float64, in float64 by the C library."""
    x, y = m.pair(x, y)
    if x.dtype.kind != "f":
        return _integer_power(m, x, y)
    if x.dtype == F64:
        return call_library(m, "pow", x, y)
    return m.cast(_power_by_logarithm(m, m.cast(x, F64), m.cast(y, F64)), F32)


def _power_by_logarithm(m: Vectors, x: Value, y: Value) -> Value:
    """``x^y`` to some 40 bits."""
    size = m.absolute(x)
    exponent = m.multiply(y, m.shared(exponential.log, size))
    result = exponential.exp(m, exponent)
    half = m.multiply(y, 0.5)
    is_whole = m.eq(m.rint(y), y)
    is_odd = m.bit_and(is_whole, m.ne(m.rint(half), half))
    one = m.constant(1.0, F64)
    result = m.select(m.eq(size, 1.0), one, result)
    negated = m.select(is_odd, m.negative(result), result)
    undefined = m.bit_and(m.bit_not(is_whole), m.isfinite(x))
    below = m.select(undefined, m.constant(np.nan, F64), negated)
    below = m.select(m.isnan(y), y, below)
    result = m.select(m.lt(x, 0.0), below, result)
    # −0 to an odd power keeps its sign.
    result = m.select(m.bit_and(m.eq(x, 0.0), is_odd), m.copysign(result, x), result)
    return m.select(m.bit_or(m.eq(y, 0.0), m.eq(x, 1.0)), one, result)


def _integer_power(m: Vectors, x: Value, y: Value) -> Value:
    """``x^y`` on integers, which wraps; by squaring, until no exponent has a bit left."""
    kind, lanes, dtype = x.type, x.lanes, x.dtype
    full = f"integer_power.{dtype.name}x{lanes}"
    if full not in m.function.parts:
        inner = Function(f"{kind} ({kind} %x, {kind} %y)", linkage="internal ")
        v = Vectors(inner, lanes, m.cpu)
        one = v.constant(1, dtype)
        start = [Value("%x", dtype, lanes), Value("%y", dtype, lanes), one]
        loop = inner.begin_loop(str(8 * dtype.itemsize), carried=start)
        base, exponent, result = loop.carried
        odd = v.ne(v.bit_and(exponent, 1), 0)
        result = v.select(odd, v.multiply(result, base), result)
        base = v.multiply(base, base)
        exponent = v.binary("lshr", exponent, 1)
        inner.end_loop(loop, [base, exponent, result])
        inner.do(f"ret {kind} {loop.carried[2]}")
        m.function.add_part(full, inner)
    return m.function.value(f"call {kind} @{full}({kind} {x}, {kind} {y})", dtype, lanes)

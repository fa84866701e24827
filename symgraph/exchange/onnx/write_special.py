"""The error function and its kin, and the gamma function's, in float64 by arithmetic and exp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops.formula import Maths
from .write_floats import copysign, polynomial

__all__ = ["digamma", "erf", "erfc", "erfinv", "gammaln", "polygamma"]

Value = Any

# --- the error function -------------------------------------------------------------------------

# erf(x) / x − 1 as a polynomial in x² on |x| ≤ 1.
_ERF = (
    0.1283791670955126, -0.3761263890318375, 0.11283791670954879, -0.026866170645076792,
    0.0052239776248180145, -0.000854832698083379, 0.0001205533111164271, -1.4925595266831182e-05,
    1.6461000484121368e-06, -1.6350312701054695e-07, 1.4659775274047436e-08,
    -1.1372848856791674e-09, 5.957176147748911e-11,
)  # fmt: skip
# exp(x²) erfc(x) (x + ½) as a polynomial in (x − 3) / (x + 3), x ≥ 0.45.
_ERFC = (
    0.6265040291348648, -0.0678105530622907, -0.02378114717672457, 0.06482257935139416,
    -0.0596368317077094, 0.034154013671462875, -0.01188525745781232, 0.0012646959172041361,
    0.0009443451576933232, -0.00038991622377220034, -5.257971022398901e-05, 6.255017870376814e-05,
    2.473703460197633e-06, -1.0052074267654273e-05, -3.6206926033071615e-07, 1.74016790574704e-06,
    1.699504312849107e-07, -3.1349080598676585e-07, -5.855061542439639e-08, 5.427665850829513e-08,
    1.055312301322957e-08, -6.988347485230101e-09,
)  # fmt: skip


def erf(m: Maths, x: Value) -> Value:
    """The error function."""
    size = m.absolute(x)
    far = copysign(m, m.subtract(1.0, _erfc_far(m, size)), x)
    return m.select(m.gt(size, 1.0), far, _erf_near(m, x))


def erfc(m: Maths, x: Value) -> Value:
    """``1 − erf(x)`` without cancellation."""
    size = m.absolute(x)
    far = _erfc_far(m, size)
    far = m.select(m.lt(x, 0.0), m.subtract(2.0, far), far)
    # Beyond 0.47 erf is above ½, and the difference would cancel.
    return m.select(m.gt(size, 0.47), far, m.subtract(1.0, _erf_near(m, x)))


def _erf_near(m: Maths, x: Value) -> Value:
    return m.add(m.multiply(x, polynomial(m, m.multiply(x, x), _ERF)), x)


def _erfc_far(m: Maths, size: Value) -> Value:
    """erfc of numbers from 0.45 to where it vanishes."""
    size = m.select(m.gt(size, 28.0), 28.0, size)
    series = polynomial(m, m.divide(m.subtract(size, 3.0), m.add(size, 3.0)), _ERFC)
    # The square by a part with few bits, whose square is exact, and the rest.
    high = m.cast(m.cast(size, np.dtype("float32")), np.dtype("float64"))
    rest = m.multiply(m.subtract(size, high), m.add(size, high))
    power = m.multiply(m.exp(m.negative(m.multiply(high, high))), m.exp(m.negative(rest)))
    return m.divide(m.multiply(power, series), m.add(size, 0.5))


# Of Winitzki's "A handy approximation for the error function and its inverse" (2008).
_WINITZKI = 0.147


def erfinv(m: Maths, x: Value) -> Value:
    """The number whose error function is ``x``: an approximation, made closer twice."""
    size = m.absolute(x)
    log = m.log(m.multiply(m.subtract(1.0, size), m.add(size, 1.0)))
    part = m.add(m.multiply(log, 0.5), 2.0 / (math.pi * _WINITZKI))
    root = m.sqrt(m.subtract(m.multiply(part, part), m.multiply(log, 1.0 / _WINITZKI)))
    guess = m.sqrt(m.subtract(root, part))
    for _ in range(2):
        guess = _closer(m, guess, size)
    edge = m.select(m.eq(size, 1.0), math.inf, guess)
    return copysign(m, m.select(m.gt(size, 1.0), math.nan, edge), x)


def _closer(m: Maths, guess: Value, size: Value) -> Value:
    """A better guess, by Halley's method on erf below ½ and on erfc above, where it is exact."""
    below = m.subtract(m.erf(guess), size)
    above = m.subtract(m.subtract(1.0, size), m.erfc(guess))
    error = m.select(m.gt(size, 0.5), above, below)
    slope = m.multiply(m.exp(m.negative(m.multiply(guess, guess))), 2.0 / math.sqrt(math.pi))
    step = m.divide(error, slope)
    return m.subtract(guess, m.divide(step, m.add(m.multiply(guess, step), 1.0)))


# --- the gamma function -------------------------------------------------------------------------

# Of Cephes' lgam (Moshier 1989): ln Γ(2 + x) is x B(x) / C(x) on [0, 1].
_GAMMA_B = (
    -8.53555664245765465627e5, -1.72173700820839662146e6, -1.16237097492762307383e6,
    -3.31612992738871184744e5, -3.88016315134637840924e4, -1.37825152569120859100e3,
)  # fmt: skip
_GAMMA_C = (
    -2.01889141433532773231e6, -2.53252307177582951285e6, -1.13933444367982507207e6,
    -2.20528590553854454839e5, -1.70642106651881159223e4, -3.51815701436523470549e2, 1.0,
)  # fmt: skip
# Bernoulli's numbers B₂, B₄, …
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_SHIFTS = 10
"""By how much arguments are raised before asymptotic series."""


def gammaln(m: Maths, x: Value) -> Value:
    """The logarithm of the absolute value of the gamma function."""
    is_low = m.lt(x, 0.5)
    positive = _gammaln_of_positive(m, m.select(is_low, m.subtract(1.0, x), x))
    sine = m.absolute(m.sin(m.multiply(_from_whole(m, x), math.pi)))
    reflected = m.subtract(m.subtract(math.log(math.pi), m.log(sine)), positive)
    result = m.select(is_low, reflected, positive)
    return m.select(m.isinf(x), x, result)


def _from_whole(m: Maths, x: Value) -> Value:
    """How far a number is from the nearest whole one."""
    return m.subtract(x, m.rint(x))


def _gammaln_of_positive(m: Maths, x: Value) -> Value:
    """``ln Γ`` of numbers from 0.5 on; exactly 0 at 1 and 2."""
    below = m.add(m.select(m.lt(x, 2.0), m.subtract(x, 1.0), m.subtract(x, 2.0)), 0.0)
    below = m.select(m.lt(x, 1.0), x, below)
    series = m.divide(polynomial(m, below, _GAMMA_B), polynomial(m, below, _GAMMA_C))
    divisor = m.select(m.lt(x, 2.0), x, 1.0)
    divisor = m.select(m.lt(x, 1.0), m.multiply(x, m.add(x, 1.0)), divisor)
    near = m.subtract(m.multiply(series, below), m.log(divisor))
    product = x
    for i in range(1, _SHIFTS):
        product = m.multiply(product, m.add(x, float(i)))
    is_middle = m.lt(x, float(_SHIFTS))
    large = m.select(is_middle, m.add(x, float(_SHIFTS)), x)
    far = _stirling(m, large)
    far = m.select(is_middle, m.subtract(far, m.log(product)), far)
    return m.select(m.lt(x, 3.0), near, far)


def _stirling(m: Maths, x: Value) -> Value:
    inverse = m.divide(1.0, x)
    terms = tuple(b / ((2 * k + 2) * (2 * k + 1)) for k, b in enumerate(_BERNOULLI))
    series = m.multiply(polynomial(m, m.multiply(inverse, inverse), terms), inverse)
    leading = m.subtract(m.multiply(m.subtract(x, 0.5), m.log(x)), x)
    return m.add(m.add(leading, 0.5 * math.log(2 * math.pi)), series)


def digamma(m: Maths, x: Value) -> Value:
    """The derivative of `gammaln`."""
    is_low = m.lt(x, 0.0)
    positive = _digamma_of_positive(m, m.select(is_low, m.subtract(1.0, x), x))
    cotangent = _cotangent(m, x)
    reflected = m.subtract(positive, m.multiply(cotangent, math.pi))
    return m.select(is_low, reflected, positive)


def _cotangent(m: Maths, x: Value) -> Value:
    """``cot(π x)``, NaN at whole numbers, where it has poles of both signs."""
    angle = m.multiply(_from_whole(m, x), math.pi)
    sine = m.sin(angle)
    return m.divide(m.cos(angle), m.select(m.eq(sine, 0.0), math.nan, sine))


def _digamma_of_positive(m: Maths, x: Value) -> Value:
    large = m.add(x, float(_SHIFTS))
    inverse = m.divide(1.0, large)
    square = m.multiply(inverse, inverse)
    terms = tuple(b / (2 * k + 2) for k, b in enumerate(_BERNOULLI))
    series = m.multiply(polynomial(m, square, terms), square)
    result = m.subtract(m.subtract(m.log(large), m.multiply(inverse, 0.5)), series)
    for i in reversed(range(_SHIFTS)):
        result = m.subtract(result, m.divide(1.0, m.add(x, float(i)) if i else x))
    return result


def polygamma(m: Maths, x: Value, order: int) -> Value:
    """The derivative of `digamma` of this order, at least 1."""
    is_low = m.lt(x, 0.0)
    positive = _hurwitz_zeta(m, m.select(is_low, m.subtract(1.0, x), x), order + 1)
    sign = (-1) ** (order + 1)
    positive = m.multiply(positive, float(sign * math.factorial(order)))
    by_angle = polynomial(m, _cotangent(m, x), _cotangent_derivative(order))
    reflected = m.subtract(m.multiply(positive, float((-1) ** order)), by_angle)
    return m.select(is_low, reflected, positive)


def _hurwitz_zeta(m: Maths, x: Value, s: int) -> Value:
    """``Σ (x + k)⁻ˢ`` for x ≥ 0, by the formula of Euler and Maclaurin."""
    large = m.add(x, float(_SHIFTS))
    inverse = m.divide(1.0, large)
    square = m.multiply(inverse, inverse)
    terms = tuple(
        b * math.prod(range(s, s + 2 * k + 1)) / math.factorial(2 * k + 2)
        for k, b in enumerate(_BERNOULLI)
    )
    rest = m.add(m.multiply(polynomial(m, square, terms), inverse), 0.5)
    tail = m.add(m.multiply(rest, inverse), 1.0 / (s - 1))
    total = m.multiply(m.power(inverse, float(s - 1)), tail)
    for i in reversed(range(_SHIFTS)):
        total = m.add(total, m.power(m.add(x, float(i)) if i else x, float(-s)))
    return total


def _cotangent_derivative(order: int) -> tuple[float, ...]:
    """The coefficients of ``π dⁿ/dxⁿ cot(π x)`` as a polynomial in ``cot(π x)``."""
    coefficients = [0.0, math.pi]
    for _ in range(order):  # the derivative of c is -π (1 + c²)
        slopes = [i * c * -math.pi for i, c in enumerate(coefficients)][1:]
        coefficients = [
            (slopes[i] if i < len(slopes) else 0.0) + (slopes[i - 2] if i >= 2 else 0.0)
            for i in range(len(slopes) + 2)
        ]
    return tuple(coefficients)

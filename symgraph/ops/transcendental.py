"""Roots, powers, exponentials, logarithms and angles, element by element.

Integers are converted to floats first (except by `power`). Where the limit of a derivative is
finite the derivative is: ``x ** 2`` at 0, ``x ** y`` by ``y`` at ``x = 0``, `hypot` at the origin
(0, the middle of its subgradients).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.errors import SymgraphValueError
from ..core.variable import Variable, constant_value, make_constant
from .cancel import FACTOR_RULES, by_terms, in_power, without_factor
from .comparison import equal, greater_equal, logical_and
from .elementwise import (
    add,
    divide,
    multiply,
    negative,
    scale,
    square,
    subtract,
    unscale,
    where,
)
from .entry import elementwise
from .in_range import no_negative
from .promotion import as_variable, cast_to, to_float

__all__ = [
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "exp",
    "exp2",
    "expm1",
    "hypot",
    "log",
    "log10",
    "log1mexp",
    "log1p",
    "log2",
    "pow",
    "power",
    "rad2deg",
    "radians",
    "reciprocal",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]

_of_floats = partial(elementwise, operands="float")

_LN2, _LN10 = math.log(2.0), math.log(10.0)

# --- roots and powers ---------------------------------------------------------------------------

SQRT = _of_floats("sqrt", lambda m, x: m.sqrt(x), [lambda ct, z, x: _by_radicand(ct, z)])
RECIPROCAL = _of_floats(
    "reciprocal", lambda m, x: m.divide(1.0, x), [lambda ct, z, x: scale(ct, negative(square(z)))]
)


def _by_radicand(ct: Variable, z: Variable) -> Variable:
    """``ct / (2 * z)``; where the root is a factor of the cotangent, finite at 0 too."""

    def cancelled(term: Variable) -> Variable | None:
        rest = without_factor(term, z)
        return None if rest is None else multiply(rest, 0.5)

    return by_terms(ct, cancelled, lambda terms: scale(terms, divide(0.5, z)))


def sqrt(x: ArrayLike) -> Variable:
    """The square root, a float; NaN below 0. The gradient at 0 is infinite.

    >>> sg.sqrt([4.0, 9.0]).eval()
    array([2., 3.], dtype=float32)
    """
    return SQRT(x)


def reciprocal(x: ArrayLike) -> Variable:
    """``1 / x``, a float, of integers too (where NumPy gives 0).

    >>> sg.reciprocal([2, 4]).eval()
    array([0.5 , 0.25])
    """
    return RECIPROCAL(x)


def _power_by_base(ct: Variable, z: Variable, x: Variable, y: Variable) -> Variable:
    """``ct * y * x ** (y - 1)``, which is 0 for ``y = 0`` whatever ``x`` is."""
    exponent = constant_value(y)
    if exponent is not None and exponent.size == 1:
        number = float(exponent.reshape(()))
        if number == 0.0:
            return scale(ct, make_constant(np.zeros((), x.dtype)))
        if number == 1.0:
            return ct
        lower = x if number == 2.0 else power(x, number - 1.0)
        if not 0.0 < number < 1.0:
            return scale(ct, multiply(lower, number))
        return by_terms(
            ct,
            lambda term: _by_base_of_root(term, z, x, number),
            lambda terms: scale(terms, multiply(lower, number)),
        )
    is_zero = equal(y, 0)
    factor = multiply(y, power(x, subtract(where(is_zero, 1, y), 1)))
    return scale(ct, where(is_zero, 0, factor))


def _by_base_of_root(ct: Variable, z: Variable, x: Variable, number: float) -> Variable | None:
    """``ct * number * x ** (number - 1)`` where ``z = x ** number`` is a factor often enough.

    Each time that it is taken out of the cotangent the exponent of ``x`` rises by ``number``.
    """
    exponent = number - 1.0
    while exponent < -_ROUNDING:
        rest = without_factor(ct, z)
        if rest is None:
            return None
        ct, exponent = rest, exponent + number
    if exponent < _ROUNDING:
        return multiply(ct, number)
    return scale(ct, multiply(power(x, exponent), number))


_ROUNDING = 1e-6  # of exponents such as 1/3 in float32, added up


def _power_by_exponent(ct: Variable, z: Variable, x: Variable, y: Variable) -> Variable:
    """``ct * z * log(x)``, which is 0 for ``x = 0`` unless ``y`` is negative."""
    vanishes = logical_and(equal(x, 0), greater_equal(y, 0))
    return scale(ct, where(vanishes, 0, multiply(z, log(where(vanishes, 1, x)))))


POWER = elementwise(
    "power",
    lambda m, x, y: m.power(x, y),
    [_power_by_base, _power_by_exponent],
    bools=lambda x, y: power(cast_to(x, _INT8), cast_to(y, _INT8)),
)
_INT8 = np.dtype("int8")
FACTOR_RULES[POWER] = in_power


def power(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x ** y`` of broadcast operands; a `SymgraphValueError` for an integer to one below 0.

    By the number 0.5 it is the square root, as in NumPy: NaN of minus infinity, which is infinity
    by an exponent of 0.5 that is computed. A negative exponent of integers that is computed is a
    `CallError`. Derivatives are finite where their limits are: of ``x ** 2`` at 0, and by ``y``
    where ``x`` is 0.

    >>> sg.power([2.0, 3.0], 2).eval()
    array([4., 9.], dtype=float32)
    """
    result = POWER(x, y)
    exponent = constant_value(result.inputs[1])
    if exponent is not None and exponent.shape == () and exponent == 0.5:
        return sqrt(result.inputs[0])
    if exponent is not None and result.dtype.kind in "iu" and (exponent < 0).any():
        raise SymgraphValueError.here(
            f"power: {provenance.describe(result.inputs[0])} cannot be raised to a negative "
            "integer power: the result would not be an integer",
            remedy="Convert it to a float with .astype first.",
        )
    if exponent is None and result.dtype.kind == "i":
        base, computed = result.inputs
        refused = "an integer has no negative integer power: the exponent"
        return POWER(base, no_negative(computed, refused))
    return result


pow = power

HYPOT = _of_floats(
    "hypot",
    lambda m, x, y: _hypot(m, m.absolute(x), m.absolute(y)),
    [lambda ct, z, x, y: scale(ct, _ratio(x, z)), lambda ct, z, x, y: scale(ct, _ratio(y, z))],
    traits=["commutative"],
)


def _hypot(m: Any, x: Any, y: Any) -> Any:
    """``sqrt(x² + y²)`` of numbers that are not negative, without overflow."""
    large, small = m.maximum(x, y), m.minimum(x, y)
    ratio = m.divide(small, m.select(m.eq(large, 0.0), 1.0, large))
    length = m.multiply(large, m.sqrt(m.add(m.multiply(ratio, ratio), 1.0)))
    return m.select(m.bit_or(m.isinf(x), m.isinf(y)), math.inf, length)


def _ratio(x: Variable, length: Variable) -> Variable:
    return where(equal(length, 0), 0, divide(x, length))


def hypot(x: ArrayLike, y: ArrayLike) -> Variable:
    """``sqrt(x ** 2 + y ** 2)``, a float, without overflow; the gradient at the origin is 0.

    >>> sg.hypot(3.0, 4.0).eval()
    np.float32(5.0)
    """
    return HYPOT(x, y)


# --- exponentials and logarithms ----------------------------------------------------------------

EXP = _of_floats("exp", lambda m, x: m.exp(x), [lambda ct, z, x: scale(ct, z)])
EXP2 = _of_floats("exp2", lambda m, x: m.exp2(x), [lambda ct, z, x: scale(ct, multiply(z, _LN2))])
EXPM1 = elementwise(
    "expm1",
    lambda m, x: m.expm1(x),
    [lambda ct, z, x: scale(ct, exp(x))],  # z + 1 would lose the digits where x is very negative
    operands="float",
)
LOG = _of_floats("log", lambda m, x: m.log(x), [lambda ct, z, x: unscale(ct, x)])
LOG2 = _of_floats(
    "log2", lambda m, x: m.log2(x), [lambda ct, z, x: multiply(unscale(ct, x), 1.0 / _LN2)]
)
LOG10 = _of_floats(
    "log10", lambda m, x: m.log10(x), [lambda ct, z, x: multiply(unscale(ct, x), 1.0 / _LN10)]
)
LOG1P = _of_floats("log1p", lambda m, x: m.log1p(x), [lambda ct, z, x: unscale(ct, add(x, 1.0))])


def _log1mexp(m: Any, x: Any) -> Any:
    """One of two forms, each where it is exact (Mächler 2012)."""
    return m.select(
        m.gt(x, -_LN2),
        m.log(m.negative(m.expm1(x))),
        m.log1p(m.negative(m.exp(x))),
    )


# What `log` and `log1p` of such formulas become; not among the public functions.
LOG1MEXP = _of_floats(
    "log1mexp", _log1mexp, [lambda ct, z, x: unscale(ct, negative(expm1(negative(x))))]
)


def exp(x: ArrayLike) -> Variable:
    """The exponential of each element, a float.

    >>> sg.exp([0.0, -1000.0]).eval()
    array([1., 0.], dtype=float32)
    """
    return EXP(x)


def exp2(x: ArrayLike) -> Variable:
    """``2 ** x``, a float.

    >>> sg.exp2([3, -1]).eval()
    array([8. , 0.5])
    """
    return EXP2(x)


def expm1(x: ArrayLike) -> Variable:
    """``exp(x) - 1``, a float, exact near 0.

    >>> sg.expm1(1e-10).eval()
    np.float32(1e-10)
    """
    return EXPM1(x)


def log(x: ArrayLike) -> Variable:
    """The natural logarithm, a float; -Inf at 0, NaN below.

    >>> sg.log([1.0, 0.0]).eval()
    array([  0., -inf], dtype=float32)
    """
    return LOG(x)


def log2(x: ArrayLike) -> Variable:
    """The logarithm to base 2, a float; -Inf at 0, NaN below.

    >>> sg.log2([8, 0.5]).eval()
    array([ 3., -1.], dtype=float32)
    """
    return LOG2(x)


def log10(x: ArrayLike) -> Variable:
    """The logarithm to base 10, a float; -Inf at 0, NaN below.

    >>> sg.log10([10.0, 0.0]).eval()
    array([  1., -inf], dtype=float32)
    """
    return LOG10(x)


def log1p(x: ArrayLike) -> Variable:
    """``log(1 + x)``, a float, exact near 0; -Inf at -1, NaN below.

    >>> sg.log1p(1e-10).eval()
    np.float32(1e-10)
    """
    return LOG1P(x)


def log1mexp(x: ArrayLike) -> Variable:
    """``log(1 - exp(x))``, exact for every ``x`` below 0; -Inf at 0, NaN above."""
    return LOG1MEXP(x)


# --- angles -------------------------------------------------------------------------------------

SIN = _of_floats("sin", lambda m, x: m.sin(x), [lambda ct, z, x: scale(ct, cos(x))])
COS = _of_floats("cos", lambda m, x: m.cos(x), [lambda ct, z, x: scale(ct, negative(sin(x)))])
TAN = _of_floats("tan", lambda m, x: m.tan(x), [lambda ct, z, x: scale(ct, add(square(z), 1.0))])
# 1 - x² without cancellation near 1. One op, for the derivatives of its factors cancel near 0.
ONE_MINUS_SQUARE = _of_floats(
    "one_minus_square",
    lambda m, x: m.multiply(m.subtract(1.0, x), m.add(x, 1.0)),
    [lambda ct, z, x: scale(ct, multiply(x, -2.0))],
)
ARCSIN = _of_floats(
    "arcsin",
    lambda m, x: m.arcsin(x),
    [lambda ct, z, x: scale(ct, reciprocal(sqrt(ONE_MINUS_SQUARE(x))))],
)
ARCCOS = _of_floats(
    "arccos",
    lambda m, x: m.arccos(x),
    [lambda ct, z, x: scale(ct, divide(-1.0, sqrt(ONE_MINUS_SQUARE(x))))],
)
ARCTAN = _of_floats(
    "arctan", lambda m, x: m.arctan(x), [lambda ct, z, x: scale(ct, square(_inverse_length(x)))]
)
ARCTAN2 = _of_floats(
    "arctan2",
    lambda m, y, x: m.arctan2(y, x),
    [
        lambda ct, z, y, x: scale(ct, divide(divide(x, hypot(x, y)), hypot(x, y))),
        lambda ct, z, y, x: scale(ct, negative(divide(divide(y, hypot(x, y)), hypot(x, y)))),
    ],
)
SINH = _of_floats("sinh", lambda m, x: m.sinh(x), [lambda ct, z, x: scale(ct, cosh(x))])
COSH = _of_floats("cosh", lambda m, x: m.cosh(x), [lambda ct, z, x: scale(ct, sinh(x))])
TANH = _of_floats(
    "tanh", lambda m, x: m.tanh(x), [lambda ct, z, x: scale(ct, subtract(1.0, square(z)))]
)
ARCSINH = _of_floats(
    "arcsinh", lambda m, x: m.arcsinh(x), [lambda ct, z, x: scale(ct, _inverse_length(x))]
)
ARCCOSH = _of_floats(
    "arccosh",
    lambda m, x: m.arccosh(x),
    [lambda ct, z, x: scale(ct, reciprocal(multiply(sqrt(subtract(x, 1.0)), sqrt(add(x, 1.0)))))],
)
ARCTANH = _of_floats(
    "arctanh",
    lambda m, x: m.arctanh(x),
    [lambda ct, z, x: scale(ct, reciprocal(ONE_MINUS_SQUARE(x)))],
)


def _inverse_length(x: Variable) -> Variable:
    """``1 / sqrt(1 + x²)``, also where the square overflows."""
    return reciprocal(hypot(x, 1.0))


def sin(x: ArrayLike) -> Variable:
    """The sine of an angle in radians, a float.

    >>> sg.sin([0.0, np.pi / 2]).eval().round(4)
    array([0., 1.], dtype=float32)
    """
    return SIN(x)


def cos(x: ArrayLike) -> Variable:
    """The cosine of an angle in radians, a float.

    >>> sg.cos([0.0, np.pi]).eval().round(4)
    array([ 1., -1.], dtype=float32)
    """
    return COS(x)


def tan(x: ArrayLike) -> Variable:
    """The tangent of an angle in radians, a float.

    >>> sg.tan(0.0).eval()
    np.float32(0.0)
    """
    return TAN(x)


def arcsin(x: ArrayLike) -> Variable:
    """The angle from -π/2 to π/2 with this sine; NaN outside of [-1, 1].

    >>> sg.arcsin(1.0).eval().round(4)
    np.float32(1.5708)
    """
    return ARCSIN(x)


def arccos(x: ArrayLike) -> Variable:
    """The angle from 0 to π with this cosine; NaN outside of [-1, 1].

    >>> sg.arccos(-1.0).eval().round(4)
    np.float32(3.1416)
    """
    return ARCCOS(x)


def arctan(x: ArrayLike) -> Variable:
    """The angle from -π/2 to π/2 with this tangent.

    >>> sg.arctan(1.0).eval().round(4)
    np.float32(0.7854)
    """
    return ARCTAN(x)


def sinh(x: ArrayLike) -> Variable:
    """The hyperbolic sine, a float.

    >>> sg.sinh(0.0).eval()
    np.float32(0.0)
    """
    return SINH(x)


def cosh(x: ArrayLike) -> Variable:
    """The hyperbolic cosine, a float.

    >>> sg.cosh([0.0, 1000.0]).eval()
    array([ 1., inf], dtype=float32)
    """
    return COSH(x)


def tanh(x: ArrayLike) -> Variable:
    """The hyperbolic tangent, a float.

    >>> sg.tanh([0.0, 100.0]).eval()
    array([0., 1.], dtype=float32)
    """
    return TANH(x)


def arcsinh(x: ArrayLike) -> Variable:
    """The number with this hyperbolic sine.

    >>> sg.arcsinh(0.0).eval()
    np.float32(0.0)
    """
    return ARCSINH(x)


def arccosh(x: ArrayLike) -> Variable:
    """The number of at least 0 with this hyperbolic cosine; NaN below 1.

    >>> sg.arccosh([1.0, 0.0]).eval()
    array([ 0., nan], dtype=float32)
    """
    return ARCCOSH(x)


def arctanh(x: ArrayLike) -> Variable:
    """The number with this hyperbolic tangent; infinite at ±1, NaN outside.

    >>> sg.arctanh([0.0, 1.0]).eval()
    array([ 0., inf], dtype=float32)
    """
    return ARCTANH(x)


def arctan2(y: ArrayLike, x: ArrayLike) -> Variable:
    """The angle from -π to π of the point (x, y), with NumPy's signs at zeros and infinities.

    >>> sg.arctan2(1.0, -1.0).eval().round(4)
    np.float32(2.3562)
    """
    return ARCTAN2(y, x)


def deg2rad(x: ArrayLike) -> Variable:
    """Degrees as radians.

    >>> sg.deg2rad(180.0).eval().round(4)
    np.float32(3.1416)
    """
    return multiply(to_float(as_variable(x, "deg2rad")), math.pi / 180.0)


def rad2deg(x: ArrayLike) -> Variable:
    """Radians as degrees.

    >>> sg.rad2deg(np.pi).eval()
    np.float32(180.0)
    """
    return multiply(to_float(as_variable(x, "rad2deg")), 180.0 / math.pi)


asin, acos, atan, atan2 = arcsin, arccos, arctan, arctan2
asinh, acosh, atanh = arcsinh, arccosh, arctanh


radians = deg2rad
degrees = rad2deg

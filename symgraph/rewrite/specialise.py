"""The same result by cheaper operations: powers, products and quotients by constants.

Results differ by rounding at most; NaN and infinity stay. ``x ** -0.5`` is left out: it differs
from a square root at ``-0.0`` and minus infinity, as ``x ** 0.5`` does, which is built as one.
"""

from __future__ import annotations

import numpy as np

from ..core.variable import Variable, make_constant
from ..ops.broadcast import SUM
from ..ops.elementwise import multiply
from .engine import FLOATS, NUMBERS, RuleSet, rule
from .pattern import fit, template, uniform

__all__ = ["SPECIALISE"]


@rule("divide", of=FLOATS, reads=("constant", "broadcast_to", "rearrange"))
def divide_by_power_of_two(v: Variable) -> Variable | None:
    """x / 2 → x * 0.5, for constants whose reciprocal is exact."""
    x, divisor = v.inputs
    if x.op is SUM and not v.ndim:
        # The mean of everything costs one division: it is computed alike for all sizes.
        return None
    value = uniform(divisor)
    if value is None or not np.isfinite(value) or np.frexp(value)[0] not in (0.5, -0.5):
        return None
    with np.errstate(all="ignore"):
        reciprocal = np.asarray(1 / value, v.dtype)
    if not np.isfinite(reciprocal) or abs(reciprocal) < np.finfo(v.dtype).tiny:
        return None
    return fit(multiply(x, make_constant(reciprocal)), v, v.inputs)


SPECIALISE = RuleSet(
    template("x ** 2", "square(x)", of=NUMBERS),
    template("x ** 3", "square(x) * x", of=NUMBERS),
    template("x ** 4", "square(square(x))", of=NUMBERS),
    template("x ** -1", "reciprocal(x)", of=FLOATS),
    template("x ** -2", "square(reciprocal(x))", of=FLOATS),
    template("x * x", "square(x)", of=NUMBERS),
    template("scale(x, x)", "square(x)", of=FLOATS),
    divide_by_power_of_two,
)

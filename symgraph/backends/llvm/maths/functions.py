"""The scalar protocol of elementwise ops: which function is computed how.

`VectorMaths` implements `symgraph.ops.formula.Maths`. What is longer than a call is written once in
a module and called; exponentials are so frequent in a loop that they stand where they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from ..code.emit import Value
from . import division, exponential, special, trigonometric
from .vectors import Vectors

__all__ = ["VectorMaths"]


def _once(function: Callable[..., Value]) -> Callable[..., Value]:
    """The function, written once in a module and called."""

    @wraps(function)
    def call(m: Vectors, x: Value) -> Value:
        return m.shared(function, x)

    return call


class VectorMaths(Vectors):
    """`Maths` that writes into a function."""

    floor_divide = division.floor_divide
    remainder = division.remainder

    exp = exponential.exp
    tanh = exponential.tanh
    sigmoid = exponential.sigmoid
    expm1 = _once(exponential.expm1)
    exp2 = _once(exponential.exp2)
    log = _once(exponential.log)
    log2 = _once(exponential.log2)
    log10 = _once(exponential.log10)
    log1p = _once(exponential.log1p)
    sinh = _once(exponential.sinh)
    cosh = _once(exponential.cosh)
    arcsinh = _once(exponential.arcsinh)
    arccosh = _once(exponential.arccosh)
    arctanh = _once(exponential.arctanh)

    sin = _once(trigonometric.sin)
    cos = _once(trigonometric.cos)
    tan = _once(trigonometric.tan)
    arcsin = _once(trigonometric.arcsin)
    arccos = _once(trigonometric.arccos)
    arctan = _once(trigonometric.arctan)

    power = special.power
    arctan2 = special.arctan2
    erf = _once(special.erf)
    erfc = _once(special.erfc)
    erfinv = special.erfinv
    gammaln = special.gammaln
    digamma = special.digamma

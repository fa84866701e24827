"""The error function and its kin, and the derivatives of the gamma function's logarithm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from ..core.annotations import ArrayLike
from ..core.errors import SymgraphValueError
from ..core.op import Op
from ..core.types import TensorType
from ..core.variable import Variable, node
from . import special
from .elementwise import multiply, negative, scale, square
from .entry import elementwise
from .promotion import as_variable, to_float
from .transcendental import exp, reciprocal

__all__ = ["digamma", "erf", "erfc", "erfinv", "gammaln", "polygamma"]

_of_floats = partial(elementwise, operands="float")

_TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)

ERF = _of_floats("erf", lambda m, x: m.erf(x), [lambda ct, z, x: scale(ct, _bell(x))])
ERFC = _of_floats("erfc", lambda m, x: m.erfc(x), [lambda ct, z, x: scale(ct, negative(_bell(x)))])
ERFINV = _of_floats(
    "erfinv", lambda m, x: m.erfinv(x), [lambda ct, z, x: scale(ct, reciprocal(_bell(z)))]
)
GAMMALN = _of_floats("gammaln", lambda m, x: m.gammaln(x), [lambda ct, z, x: scale(ct, digamma(x))])
DIGAMMA = _of_floats(
    "digamma", lambda m, x: m.digamma(x), [lambda ct, z, x: scale(ct, polygamma(1, x))]
)


def _bell(x: Variable) -> Variable:
    """``2 / sqrt(π) * exp(-x²)``, the derivative of erf."""
    return multiply(exp(negative(square(x))), _TWO_OVER_ROOT_PI)


def erf(x: ArrayLike) -> Variable:
    """The error function, a float.

    >>> sg.erf([0.0, 10.0]).eval()
    array([0., 1.], dtype=float32)
    """
    return ERF(x)


def erfc(x: ArrayLike) -> Variable:
    """``1 - erf(x)``, a float, exact for large ``x``.

    >>> sg.erfc(0.0).eval()
    np.float32(1.0)
    """
    return ERFC(x)


def erfinv(x: ArrayLike) -> Variable:
    """The number whose error function is ``x``; infinite at ±1, NaN outside.

    >>> sg.erfinv([0.0, 1.0]).eval()
    array([ 0., inf], dtype=float32)
    """
    return ERFINV(x)


def gammaln(x: ArrayLike) -> Variable:
    """The logarithm of the absolute value of the gamma function; infinite at 0, -1, -2 …

    >>> sg.exp(sg.gammaln(5.0)).eval().round(4)
    np.float32(24.0)
    """
    return GAMMALN(x)


def digamma(x: ArrayLike) -> Variable:
    """The derivative of `gammaln`.

    >>> sg.digamma(1.0).eval().round(4)
    np.float32(-0.5772)
    """
    return DIGAMMA(x)


def _infer_polygamma(inputs: Sequence[Variable], order: int) -> TensorType:
    return inputs[0].type


def _evaluate_polygamma(arrays: Sequence[np.ndarray], order: int) -> np.ndarray:
    return np.asarray(special.polygamma(order, arrays[0]), arrays[0].dtype)


# The derivative of digamma of this order. Not written as a formula: it needs a sum of varying
# length, and stands in no inner loop.
POLYGAMMA = Op(
    "polygamma",
    _infer_polygamma,
    _evaluate_polygamma,
    vjp=lambda z, ct: [scale(ct, polygamma(z.params[0] + 1, z.inputs[0]))],
    build=lambda inputs, order: polygamma(order, inputs[0]),
    params=("order",),
)


def polygamma(order: int, x: ArrayLike) -> Variable:
    """The derivative of `digamma` of the given order; order 0 is `digamma` itself.

    A negative order, or one that is no int, is a `SymgraphValueError`.

    >>> sg.polygamma(1, 1.0).eval().round(4)
    np.float32(1.6449)
    """
    if not isinstance(order, (int, np.integer)) or isinstance(order, bool) or order < 0:
        raise SymgraphValueError.here(
            f"polygamma: the order is a whole number of at least 0, not {order!r}"
        )
    x = to_float(as_variable(x, "polygamma"))
    return node(POLYGAMMA, (x,), (int(order),)) if order else digamma(x)

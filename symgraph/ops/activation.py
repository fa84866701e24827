"""The nonlinearities of neural networks, stable for arguments of any size.

The gradient of `relu` (and of its kin) at 0 is 0, the one from below.
"""

from __future__ import annotations

import math
from typing import Any

from ..core.errors import SymgraphValueError
from ..core.variable import Variable
from .comparison import greater
from .elementwise import add, masked, multiply, negative, scale, square, subtract, where
from .entry import elementwise
from .promotion import as_variable, to_float
from .special_functions import erfc
from .transcendental import expm1, tanh

__all__ = [
    "elu",
    "gelu",
    "leaky_relu",
    "log_sigmoid",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
]

SIGMOID = elementwise(
    "sigmoid",
    lambda m, x: m.sigmoid(x),
    [lambda ct, z, x: scale(ct, multiply(z, subtract(1.0, z)))],
    operands="float",
)
SOFTPLUS = elementwise(
    "softplus",
    lambda m, x: m.add(m.maximum(x, 0.0), m.log1p(m.exp(m.negative(m.absolute(x))))),
    [lambda ct, z, x: scale(ct, sigmoid(x))],
    operands="float",
)
RELU = elementwise(
    "relu", lambda m, x: m.maximum(x, 0), [lambda ct, z, x: masked(greater(z, 0), ct)]
)


def sigmoid(x: Any) -> Variable:
    """``1 / (1 + exp(-x))``."""
    return SIGMOID(x)


def softplus(x: Any) -> Variable:
    """``log(1 + exp(x))``, without overflow."""
    return SOFTPLUS(x)


def log_sigmoid(x: Any) -> Variable:
    """``log(sigmoid(x))``, without underflow."""
    return negative(softplus(negative(_float(x, "log_sigmoid"))))


def relu(x: Any) -> Variable:
    """``max(x, 0)``; the gradient at 0 is 0."""
    return RELU(x)


def leaky_relu(x: Any, alpha: float = 0.01) -> Variable:
    """``x`` where it is above 0, elsewhere ``alpha * x``."""
    x = _float(x, "leaky_relu")
    return where(greater(x, 0.0), x, multiply(x, alpha))


def elu(x: Any, alpha: float = 1.0) -> Variable:
    """``x`` where it is above 0, elsewhere ``alpha * (exp(x) - 1)`` (Clevert et al. 2015)."""
    x = _float(x, "elu")
    return where(greater(x, 0.0), x, multiply(expm1(x), alpha))


def silu(x: Any) -> Variable:
    """``x * sigmoid(x)``, also called swish."""
    x = _float(x, "silu")
    return multiply(x, sigmoid(x))


def gelu(x: Any, *, approximate: str = "none") -> Variable:
    """``x * Φ(x)``, with Φ the normal distribution function (Hendrycks and Gimpel 2016).

    ``approximate="tanh"`` is the paper's formula with tanh.
    """
    x = _float(x, "gelu")
    half = multiply(x, 0.5)
    if approximate == "none":
        return multiply(half, erfc(multiply(x, -math.sqrt(0.5))))
    if approximate == "tanh":
        inner = multiply(add(x, multiply(multiply(square(x), x), 0.044715)), math.sqrt(2 / math.pi))
        return multiply(half, add(tanh(inner), 1.0))
    raise SymgraphValueError.here(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")


def _float(x: Any, function: str) -> Variable:
    return to_float(as_variable(x, function))

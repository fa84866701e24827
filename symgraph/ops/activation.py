"""The nonlinearities of neural networks, stable for arguments of any size.

The gradient of `relu` (and of its kin) at 0 is 0, the one from below.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from ..core.annotations import ArrayLike, ScalarLike
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


def sigmoid(x: ArrayLike) -> Variable:
    """``1 / (1 + exp(-x))``, a float.

    >>> sg.sigmoid([0.0, 100.0]).eval()
    array([0.5, 1. ], dtype=float32)
    """
    return SIGMOID(x)


def softplus(x: ArrayLike) -> Variable:
    """``log(1 + exp(x))``, a float, without overflow.

    >>> sg.softplus([-1000.0, 1000.0]).eval()
    array([   0., 1000.], dtype=float32)
    """
    return SOFTPLUS(x)


def log_sigmoid(x: ArrayLike) -> Variable:
    """``log(sigmoid(x))``, a float, without underflow.

    >>> sg.log_sigmoid(-1000.0).eval()
    np.float32(-1000.0)
    """
    return negative(softplus(negative(_float(x, "log_sigmoid"))))


def relu(x: ArrayLike) -> Variable:
    """``max(x, 0)``, in the dtype of ``x``; the gradient at 0 is 0.

    >>> sg.relu([-1.0, 2.0]).eval()
    array([0., 2.], dtype=float32)
    """
    return RELU(x)


def leaky_relu(x: ArrayLike, alpha: ScalarLike = 0.01) -> Variable:
    """``x`` where it is above 0, elsewhere ``alpha * x``; the gradient at 0 is ``alpha``.

    >>> sg.leaky_relu([-1.0, 2.0], 0.5).eval()
    array([-0.5,  2. ], dtype=float32)
    """
    x = _float(x, "leaky_relu")
    return where(greater(x, 0.0), x, multiply(x, alpha))


def elu(x: ArrayLike, alpha: ScalarLike = 1.0) -> Variable:
    """``x`` where it is above 0, elsewhere ``alpha * (exp(x) - 1)`` (Clevert et al. 2015).

    The gradient at 0 is ``alpha``, the one from below.

    >>> sg.elu([-1000.0, 2.0]).eval()
    array([-1.,  2.], dtype=float32)
    """
    x = _float(x, "elu")
    return where(greater(x, 0.0), x, multiply(expm1(x), alpha))


def silu(x: ArrayLike) -> Variable:
    """``x * sigmoid(x)``, also called swish.

    >>> sg.silu([0.0, 100.0]).eval()
    array([  0., 100.], dtype=float32)
    """
    x = _float(x, "silu")
    return multiply(x, sigmoid(x))


def gelu(x: ArrayLike, *, approximate: Literal["none", "tanh"] = "none") -> Variable:
    """``x * Φ(x)``, with Φ the normal distribution function (Hendrycks and Gimpel 2016).

    ``approximate="tanh"`` is the paper's formula with tanh; another one a `SymgraphValueError`.

    >>> sg.gelu([0.0, 100.0]).eval()
    array([  0., 100.], dtype=float32)
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

"""The same function, without overflow, underflow or cancellation on the way.

These rules do change results, where the formula as written loses them: they give a finite number
(the right one) instead of NaN or infinity, and more correct digits. That is their purpose, and the
list of what they change is the list of the rules. Where the mathematical value itself is infinite
or undefined, so is the result, but for ``log(exp(x)) → x`` and its kin at infinite ``x``.
"""

from __future__ import annotations

from ..core.variable import Variable, node
from ..ops.activation import SIGMOID, log_sigmoid
from ..ops.broadcast import BROADCAST_TO, REARRANGE, SUM, rearrange
from ..ops.elementwise import DIVIDE, MULTIPLY, NEGATIVE, SUBTRACT, divide, multiply, negative, subtract
from ..ops.gather import GATHER
from ..ops.shape import RESHAPE
from ..ops.slices import SLICE
from ..ops.softmax import LOG_SOFTMAX, LOGSUMEXP, SOFTMAX
from ..ops.transcendental import EXP, LOG, log
from .engine import RuleSet, rule
from .pattern import template

__all__ = ["STABILISE"]

# --- logarithms and exponentials near 1 and 0 ---------------------------------------------------

LOGARITHMS = RuleSet(
    template("log(exp(x))", "x"),
    template("log(sigmoid(x))", "-softplus(-x)"),
    template("log(1 + exp(x))", "softplus(x)"),
    template("log1p(exp(x))", "softplus(x)"),
    template("log(1 + x)", "log1p(x)"),
    template("log(1 - x)", "log1p(-x)"),
    template("log1p(-sigmoid(x))", "-softplus(x)"),
    template("log(exp(x) + exp(y))", "logaddexp(x, y)"),
    template("exp(x) - 1", "expm1(x)"),
    template("1 - exp(x)", "-expm1(x)"),
)

# --- sigmoids -----------------------------------------------------------------------------------

SIGMOIDS = RuleSet(
    template("1 - sigmoid(x)", "sigmoid(-x)"),
    template("1 / (1 + exp(x))", "sigmoid(-x)"),
    template("reciprocal(1 + exp(x))", "sigmoid(-x)"),
    template("exp(x) / (1 + exp(x))", "sigmoid(x)"),
)

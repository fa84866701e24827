"""The same function, without overflow, underflow or cancellation on the way.

These rules do change results, where the formula as it was written loses them: they give the right
finite number instead of NaN or infinity, and more correct digits; what they change is the list of
the rules. Where the value itself is infinite or undefined, so it stays, but for what a written-out
softmax or logsumexp has in common with the op that takes its place: over nothing it is an error,
and one logit of +Inf makes all of them NaN.

Gradients are taken from the formula as it was written, so the last rules cancel what they multiply
and divide by: ``(c / z) * z`` is ``c`` where ``z`` is a probability that underflowed.
"""

from __future__ import annotations

from ..core.op import Op
from ..core.variable import Variable, node
from ..ops.activation import SIGMOID
from ..ops.broadcast import BROADCAST_TO, REARRANGE, SUM, restore_axes
from ..ops.elementwise import DIVIDE, subtract
from ..ops.gather import GATHER
from ..ops.shape import RESHAPE
from ..ops.slices import SLICE
from ..ops.softmax import LOG_SOFTMAX, LOGSUMEXP, SOFTMAX
from ..ops.transcendental import EXP, log
from .cancel import cancel_factor, cancel_product, cancel_quotient, weights_by_shares
from .engine import FLOATS, RuleSet, rule
from .pattern import template
from .quotients import cancel_across, cancel_divisor

__all__ = ["STABILISE"]

# --- logarithms, exponentials and sigmoids ------------------------------------------------------

LOGARITHMS = RuleSet(
    template("log(exp(x))", "x", of=FLOATS),
    template("log(sigmoid(x))", "-softplus(-x)", of=FLOATS),
    template("log(1 + exp(x))", "softplus(x)", of=FLOATS),
    template("log1p(exp(x))", "softplus(x)", of=FLOATS),
    template("log1p(-sigmoid(x))", "-softplus(x)", of=FLOATS),
    template("log(exp(x) + exp(y))", "logaddexp(x, y)", of=FLOATS),
    template("log1p(-exp(x))", "log1mexp(x)", of=FLOATS),
    template("log(-expm1(x))", "log1mexp(x)", of=FLOATS),
    template("log(expm1(x))", "x + log1mexp(-x)", of=FLOATS),
    template("log(1 + x)", "log1p(x)", of=FLOATS),
    template("log(1 - x)", "log1p(-x)", of=FLOATS),
    template("exp(x) - 1", "expm1(x)", of=FLOATS),
    template("1 - exp(x)", "-expm1(x)", of=FLOATS),
    template("1 / (1 + exp(x))", "sigmoid(-x)", of=FLOATS),
    template("exp(x) / (1 + exp(x))", "sigmoid(x)", of=FLOATS),
    template("exp(x) * sigmoid(-x)", "sigmoid(x)", of=FLOATS),
    template("exp(-x) * sigmoid(x)", "sigmoid(-x)", of=FLOATS),
    template("scale(exp(x), sigmoid(-x))", "sigmoid(x)", of=FLOATS),
    template("scale(exp(-x), sigmoid(x))", "sigmoid(-x)", of=FLOATS),
    template("exp(x) * (y / expm1(x))", "y / -expm1(-x)", of=FLOATS),
    template("scale(exp(x), y / expm1(x))", "unscale(y, -expm1(-x))", of=FLOATS),
    template("scale(exp(x), unscale(y, expm1(x)))", "unscale(y, -expm1(-x))", of=FLOATS),
    template("unscale(scale(y, exp(x)), expm1(x))", "unscale(y, -expm1(-x))", of=FLOATS),
)


@rule("log", of=FLOATS, reads=("gather", "slice", "rearrange", "reshape", "broadcast_to"))
def log_of_view(v: Variable) -> Variable | None:
    """log(view(softmax(x))) → view(log(softmax(x))); of sigmoid too."""
    (view,) = v.inputs
    source = view
    while source.op in _VIEWS:
        source = source.inputs[0]
    if source is view or source.op not in (SOFTMAX, SIGMOID):
        return None
    return node(view.op, (log(view.inputs[0]), *view.inputs[1:]), view.params)


_VIEWS = frozenset({GATHER, SLICE, REARRANGE, RESHAPE, BROADCAST_TO})

# --- softmax ------------------------------------------------------------------------------------


@rule("log", of=FLOATS, reads=("softmax",))
def log_of_softmax(v: Variable) -> Variable | None:
    """log(softmax(x)) → log_softmax(x)."""
    (x,) = v.inputs
    return node(LOG_SOFTMAX, x.inputs, x.params) if x.op is SOFTMAX else None


@rule("log", of=FLOATS, reads=("sum",))
def log_of_sum(v: Variable) -> Variable | None:
    """log(sum(exp(x))) → logsumexp(x)."""
    (total,) = v.inputs
    if total.op is not SUM or total.inputs[0].op is not EXP:
        return None
    return node(LOGSUMEXP, total.inputs[0].inputs, total.params)


@rule("log", of=FLOATS, reads=("divide",))
def log_of_mean(v: Variable) -> Variable | None:
    """log(sum(exp(x)) / n) → logsumexp(x) - log(n)."""
    (quotient,) = v.inputs
    if quotient.op is not DIVIDE:
        return None
    total, count = quotient.inputs
    if total.op is not SUM or total.inputs[0].op is not EXP or total.type is not v.type:
        return None
    return subtract(node(LOGSUMEXP, total.inputs[0].inputs, total.params), log(count))


@rule("divide", of=FLOATS, reads=("exp",))
def shares(v: Variable) -> Variable | None:
    """exp(x) / sum(exp(x)) → softmax(x)."""
    weights, total = v.inputs
    if weights.op is not EXP or weights.type is not v.type:
        return None
    axes = _summed_axes(total, SUM, weights)
    return None if axes is None else node(SOFTMAX, weights.inputs, (axes,))


@rule("subtract", of=FLOATS, reads=("logsumexp", "rearrange"))
def log_shares(v: Variable) -> Variable | None:
    """x - logsumexp(x) → log_softmax(x)."""
    x, total = v.inputs
    if x.type is not v.type:
        return None
    axes = _summed_axes(total, LOGSUMEXP, x)
    return None if axes is None else node(LOG_SOFTMAX, (x,), (axes,))


def _summed_axes(total: Variable, op: Op, x: Variable) -> tuple[int, ...] | None:
    """The axes of ``x`` over which an op reduced it to ``total``, which lies along the others."""
    reduced = total.inputs[0] if total.op is REARRANGE else total
    if reduced.op is not op or reduced.inputs[0] is not x:
        return None
    axes, keepdims = reduced.params
    leading = axes == tuple(range(len(axes)))
    if total is reduced:
        return axes if keepdims or leading else None
    return axes if not keepdims and total is restore_axes(reduced, axes, x.ndim) else None


STABILISE = LOGARITHMS + RuleSet(
    log_of_view,
    log_of_softmax,
    log_of_sum,
    log_of_mean,
    shares,
    log_shares,
    cancel_factor,
    cancel_product,
    cancel_quotient,
    weights_by_shares,
    cancel_divisor,
    cancel_across,
)

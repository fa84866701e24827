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
from ..ops.elementwise import (
    ADD,
    DIVIDE,
    MULTIPLY,
    NEGATIVE,
    SUBTRACT,
    WHERE,
    multiply,
    negative,
    subtract,
    where,
)
from ..ops.gather import GATHER, SCATTER_ADD
from ..ops.shape import RESHAPE
from ..ops.slices import ADD_SLICE, SLICE
from ..ops.softmax import LOG_SOFTMAX, LOGSUMEXP, SOFTMAX
from ..ops.transcendental import EXP, log
from .engine import RuleSet, rule
from .pattern import fit, is_full_of, template

__all__ = ["STABILISE"]

# --- logarithms, exponentials and sigmoids ------------------------------------------------------

LOGARITHMS = RuleSet(
    template("log(exp(x))", "x"),
    template("log(sigmoid(x))", "-softplus(-x)"),
    template("log(1 + exp(x))", "softplus(x)"),
    template("log1p(exp(x))", "softplus(x)"),
    template("log1p(-sigmoid(x))", "-softplus(x)"),
    template("log(exp(x) + exp(y))", "logaddexp(x, y)"),
    template("log(1 + x)", "log1p(x)"),
    template("log(1 - x)", "log1p(-x)"),
    template("exp(x) - 1", "expm1(x)"),
    template("1 - exp(x)", "-expm1(x)"),
    template("1 / (1 + exp(x))", "sigmoid(-x)"),
    template("exp(x) / (1 + exp(x))", "sigmoid(x)"),
    template("exp(x) * sigmoid(-x)", "sigmoid(x)"),
    template("exp(-x) * sigmoid(x)", "sigmoid(-x)"),
)


@rule("log", reads=("gather", "slice", "rearrange", "reshape", "broadcast_to"))
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


@rule("log", reads=("softmax",))
def log_of_softmax(v: Variable) -> Variable | None:
    """log(softmax(x)) → log_softmax(x)."""
    (x,) = v.inputs
    return node(LOG_SOFTMAX, x.inputs, x.params) if x.op is SOFTMAX else None


@rule("log", reads=("sum",))
def log_of_sum(v: Variable) -> Variable | None:
    """log(sum(exp(x))) → logsumexp(x)."""
    (total,) = v.inputs
    if total.op is not SUM or total.inputs[0].op is not EXP:
        return None
    return node(LOGSUMEXP, total.inputs[0].inputs, total.params)


@rule("log", reads=("divide",))
def log_of_mean(v: Variable) -> Variable | None:
    """log(sum(exp(x)) / n) → logsumexp(x) - log(n)."""
    (quotient,) = v.inputs
    if quotient.op is not DIVIDE:
        return None
    total, count = quotient.inputs
    if total.op is not SUM or total.inputs[0].op is not EXP or total.type is not v.type:
        return None
    return subtract(node(LOGSUMEXP, total.inputs[0].inputs, total.params), log(count))


@rule("divide", reads=("exp",))
def shares(v: Variable) -> Variable | None:
    """exp(x) / sum(exp(x)) → softmax(x)."""
    weights, total = v.inputs
    if weights.op is not EXP or weights.type is not v.type:
        return None
    axes = _summed_axes(total, SUM, weights)
    return None if axes is None else node(SOFTMAX, weights.inputs, (axes,))


@rule("subtract", reads=("logsumexp", "rearrange"))
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


# --- what derivatives multiply and divide by ----------------------------------------------------

# Nothing that these ops give is zero, but for underflow.
_POSITIVE = frozenset({SOFTMAX, SIGMOID, EXP})
_DEPTH = 8


@rule("multiply", reads=("sigmoid", "softmax", "exp", "negative"))
def cancel_factor(v: Variable) -> Variable | None:
    """(c / z) * z → c, where z is a sigmoid, a softmax or an exponential."""
    for x, y in (v.inputs, v.inputs[::-1]):
        z = x.inputs[0] if x.op is NEGATIVE else x
        if z.op not in _POSITIVE:
            continue
        made = _times(y, z)
        if made is not None:
            return fit(negative(made) if z is not x else made, v, v.inputs)
    return None


def _times(y: Variable, z: Variable) -> Variable | None:
    """``y * z`` where that cancels a division by ``z``."""
    if y.op in (ADD, SUBTRACT):
        a, b = y.inputs
        first, second = _without_divisor(a, z, _DEPTH), _without_divisor(b, z, _DEPTH)
        if first is None and second is None:
            return None
        return y.op.build(
            (
                multiply(a, z) if first is None else first,
                multiply(b, z) if second is None else second,
            )
        )
    return _without_divisor(y, z, _DEPTH)


@rule("multiply", reads=("multiply", "negative"))
def cancel_product(v: Variable) -> Variable | None:
    """(c / z) * (z * w) → c * w, where z is a sigmoid, or 1 - sigmoid."""
    for x, y in (v.inputs, v.inputs[::-1]):
        product = y.inputs[0] if y.op is NEGATIVE else y
        if product.op is not MULTIPLY:
            continue
        for z, w in (product.inputs, product.inputs[::-1]):
            if z.op in _POSITIVE or _is_complement(z):
                made = _without_divisor(x, z, _DEPTH)
                if made is not None:
                    made = multiply(made, w)
                    return fit(negative(made) if product is not y else made, v, v.inputs)
    return None


def _is_complement(z: Variable) -> bool:
    return z.op is SUBTRACT and z.inputs[1].op is SIGMOID and is_full_of(z.inputs[0], 1)


@rule("multiply", reads=("divide", "negative"))
def cancel_quotient(v: Variable) -> Variable | None:
    """(c / z) * (z / d) → c / d, where z is a sigmoid, a softmax or an exponential."""
    for x, y in (v.inputs, v.inputs[::-1]):
        quotient = y.inputs[0] if y.op is NEGATIVE else y
        if quotient.op is not DIVIDE or quotient.inputs[0].op not in _POSITIVE:
            continue
        made = _without_divisor(x, quotient.inputs[0], _DEPTH)
        if made is not None:
            made = DIVIDE.build((made, quotient.inputs[1]))
            return fit(negative(made) if quotient is not y else made, v, v.inputs)
    return None


@rule("multiply", reads=("exp",))
def weights_by_shares(v: Variable) -> Variable | None:
    """exp(x) * (c / sum(exp(x))) → softmax(x) * c; exp(x) * (c / (1 + exp(x))) → sigmoid(x) * c."""
    for weights, y in (v.inputs, v.inputs[::-1]):
        if weights.op is not EXP or weights.type is not v.type:
            continue
        total = _find_total(y, weights)
        if total is None:
            continue
        made = _without_divisor(y, _along(total, weights), _DEPTH)
        if made is None:
            continue
        if total.op is SUM:
            share = node(SOFTMAX, weights.inputs, total.params[:1])
        else:
            share = node(SIGMOID, weights.inputs)
        return fit(multiply(share, made), v, v.inputs)
    return None


def _find_total(y: Variable, weights: Variable) -> Variable | None:
    """The sum of the weights, or of 1 and the weights, by which something in ``y`` is divided."""
    pending, steps = [y], 0
    while pending and steps < 4 * _DEPTH:
        steps += 1
        v = pending.pop()
        if v.op is DIVIDE and _is_total(v.inputs[1], weights):
            return v.inputs[1]
        if v.op in _LINEAR:
            pending += v.inputs
    return None


def _is_total(x: Variable, weights: Variable) -> bool:
    if x.op is SUM:
        return x.inputs[0] is weights
    return x.op is ADD and weights in x.inputs and any(is_full_of(one, 1) for one in x.inputs)


def _along(total: Variable, weights: Variable) -> Variable:
    """The total as it lies along the weights."""
    if total.op is not SUM or total.params[1]:
        return total
    axes = total.params[0]
    return total if axes == tuple(range(len(axes))) else restore_axes(total, axes, weights.ndim)


_LINEAR = frozenset(
    {ADD, SUBTRACT, NEGATIVE, MULTIPLY, DIVIDE, WHERE, SUM, REARRANGE, BROADCAST_TO}
)


def _without_divisor(y: Variable, z: Variable, depth: int) -> Variable | None:
    """``y * z`` where ``y`` is divided by ``z``: the same without the division; else None."""
    if depth == 0:
        return None
    op, inputs = y.op, y.inputs
    if op is DIVIDE:
        if inputs[1] is z:
            return inputs[0] if inputs[0].type is y.type else fit(inputs[0], y, inputs)
        above = _without_divisor(inputs[0], z, depth - 1)
        return None if above is None else DIVIDE.build((above, inputs[1]))
    if op is NEGATIVE:
        inner = _without_divisor(inputs[0], z, depth - 1)
        return None if inner is None else negative(inner)
    if op is MULTIPLY:
        for a, b in (inputs, inputs[::-1]):
            inner = _without_divisor(a, z, depth - 1)
            if inner is not None:
                return multiply(inner, b)
        return None
    if op is ADD or op is SUBTRACT:
        parts = [_without_divisor(x, z, depth - 1) for x in inputs]
        return None if None in parts else op.build(parts)
    if op is WHERE:
        return _in_branch(y, z, depth)
    if op is SCATTER_ADD or op is ADD_SLICE:
        return _in_part(y, z, depth)
    if op in (SUM, REARRANGE, BROADCAST_TO):
        return _in_view(y, z, depth)
    return None


def _in_branch(y: Variable, z: Variable, depth: int) -> Variable | None:
    condition, taken, other = y.inputs
    if is_full_of(other, 0):
        inner = _without_divisor(taken, z, depth - 1)
        return None if inner is None else where(condition, inner, other)
    if is_full_of(taken, 0):
        inner = _without_divisor(other, z, depth - 1)
        return None if inner is None else where(condition, taken, inner)
    return None


def _in_part(y: Variable, z: Variable, depth: int) -> Variable | None:
    """Of values stored among zeros, which are divided by the same part of ``z``."""
    base, values, *indices = y.inputs
    if not is_full_of(base, 0) or base.type is not z.type:
        return None
    part = node(GATHER if y.op is SCATTER_ADD else SLICE, (z, *indices), y.params)
    inner = _without_divisor(values, part, depth - 1)
    return None if inner is None else node(y.op, (base, inner, *indices), y.params)


def _in_view(y: Variable, z: Variable, depth: int) -> Variable | None:
    """Of a total, or of something repeated or with other axes: what was divided before."""
    x, *sizes = y.inputs
    if y.op is SUM:
        axes, keepdims = y.params
        missing = x.ndim - z.ndim
        if not keepdims or any(i >= missing and z.type.shape[i - missing] != 1 for i in axes):
            return None  # the divisor has to be one and the same for all that is added up
    elif y.op is BROADCAST_TO:
        if x.ndim != y.ndim:
            return None
    elif z.op is REARRANGE and z.params == y.params:
        (z,) = z.inputs
    else:
        return None
    inner = _without_divisor(x, z, depth - 1)
    return None if inner is None else node(y.op, (inner, *sizes), y.params)


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
)

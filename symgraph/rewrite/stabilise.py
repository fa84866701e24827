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

from ..core.graph import rebuild
from ..core.op import Op
from ..core.variable import Variable, node
from ..ops.activation import SIGMOID
from ..ops.broadcast import BROADCAST_TO, REARRANGE, SUM, restore_axes
from ..ops.elementwise import (
    ADD,
    DIVIDE,
    NEGATIVE,
    SUBTRACT,
    WHERE,
    negative,
    subtract,
    where,
)
from ..ops.gather import GATHER, SCATTER_ADD
from ..ops.shape import RESHAPE
from ..ops.slices import ADD_SLICE, SLICE
from ..ops.softmax import LOG_SOFTMAX, LOGSUMEXP, SOFTMAX
from ..ops.transcendental import EXP, log
from .engine import FLOATS, RuleSet, rule
from .pattern import fit, is_full_of, template
from .quotients import (
    POSITIVE,
    PRODUCTS,
    QUOTIENTS,
    cancel_across,
    cancel_divisor,
    is_complement,
    share_of_two,
)

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


# --- what derivatives multiply and divide by ----------------------------------------------------

_DEPTH = 8


@rule("multiply", "scale", of=FLOATS, reads=("sigmoid", "softmax", "exp", "negative"))
def cancel_factor(v: Variable) -> Variable | None:
    """(c / z) * z → c, where z is a sigmoid, a softmax or an exponential."""
    for x, y in (v.inputs, v.inputs[::-1]):
        z = x.inputs[0] if x.op is NEGATIVE else x
        if z.op not in POSITIVE:
            continue
        made = _times(y, z, v.op)
        if made is not None:
            return fit(negative(made) if z is not x else made, v, v.inputs)
    return None


def _times(y: Variable, z: Variable, product: Op) -> Variable | None:
    """The product ``y * z`` where that cancels a division by ``z``."""
    if y.op in (ADD, SUBTRACT):
        a, b = y.inputs
        first, second = _cancelled(a, z), _cancelled(b, z)
        if first is None and second is None:
            return None
        return rebuild(
            y,
            [
                product(a, z) if first is None else first,
                product(b, z) if second is None else second,
            ],
        )
    return _cancelled(y, z)


@rule("multiply", "scale", of=FLOATS, reads=("multiply", "scale", "negative"))
def cancel_product(v: Variable) -> Variable | None:
    """(c / z) * (z * w) → c * w, where z is a sigmoid, or 1 - sigmoid; of sums of quotients too."""
    for x, y in (v.inputs, v.inputs[::-1]):
        product = y.inputs[0] if y.op is NEGATIVE else y
        if product.op not in PRODUCTS:
            continue
        z, w = product.inputs
        if any(factor.op in POSITIVE or is_complement(factor) for factor in (z, w)):
            made = _times_product(x, z, w, v.op)
            if made is not None:
                return fit(negative(made) if product is not y else made, v, v.inputs)
    return None


def _times_product(x: Variable, z: Variable, w: Variable, product: Op) -> Variable | None:
    """``x * (z * w)`` where that cancels a division by one of the factors in every term."""
    if x.op is ADD or x.op is SUBTRACT:
        # Of sums of sums there are none that matter, and so no deeper look.
        terms = [term for term in x.inputs if term.op not in (ADD, SUBTRACT)]
        parts = [_times_product(term, z, w, product) for term in terms]
        found = [part for part in parts if part is not None]
        return rebuild(x, found) if len(found) == 2 else None
    for divisor, other in ((z, w), (w, z)):
        if divisor.op in POSITIVE or is_complement(divisor):
            made = _cancelled(x, divisor)
            if made is not None:
                return product(made, other)
    return None


@rule("multiply", "scale", of=FLOATS, reads=("divide", "unscale", "negative"))
def cancel_quotient(v: Variable) -> Variable | None:
    """(c / z) * (z / d) → c / d, where z is a sigmoid, a softmax or an exponential."""
    for x, y in (v.inputs, v.inputs[::-1]):
        quotient = y.inputs[0] if y.op is NEGATIVE else y
        if quotient.op not in QUOTIENTS or quotient.inputs[0].op not in POSITIVE:
            continue
        made = _cancelled(x, quotient.inputs[0])
        if made is not None:
            made = rebuild(quotient, (made, quotient.inputs[1]))
            return fit(negative(made) if quotient is not y else made, v, v.inputs)
    return None


@rule("multiply", "scale", of=FLOATS, reads=("exp",))
def weights_by_shares(v: Variable) -> Variable | None:
    """exp(x) * (c / sum(exp(x))) → softmax(x) * c; with 1 + exp(x) → sigmoid(x) * c."""
    for weights, y in (v.inputs, v.inputs[::-1]):
        if weights.op is not EXP or weights.type is not v.type:
            continue
        total = _find_total(y, weights)
        if total is None:
            continue
        made = _cancelled(y, _along(total, weights))
        if made is None:
            continue
        pair = share_of_two(total, weights)
        if pair is not None:
            return fit(v.op(pair, made), v, v.inputs)
        if total.op is DIVIDE:
            total, count = total.inputs
            made = v.op(made, count)
        share = node(SOFTMAX, weights.inputs, total.params[:1])
        return fit(v.op(share, made), v, v.inputs)
    return None


def _find_total(y: Variable, weights: Variable) -> Variable | None:
    """The sum or mean of the weights, or 1 and the weights, by which ``y`` is divided somewhere."""
    divisors = (d.inputs[0] if d.op is REARRANGE else d for d in _divisors(y))
    return next((d for d in divisors if _is_total(d, weights)), None)


def _is_total(x: Variable, weights: Variable) -> bool:
    if x.op is DIVIDE and x.inputs[1].ndim == 0:
        x = x.inputs[0]
    if x.op is SUM:
        return x.inputs[0] is weights
    return share_of_two(x, weights) is not None


def _divisors(y: Variable) -> list[Variable]:
    """What ``y`` is divided by, here or there in what it is made of nearby."""
    found = []
    pending, steps = [y], 0
    while pending and steps < 4 * _DEPTH:
        steps += 1
        v = pending.pop()
        if v.op in QUOTIENTS:
            found.append(v.inputs[1])
        if v.op in _LINEAR:
            pending += v.inputs
    return found


def _along(total: Variable, weights: Variable) -> Variable:
    """The total (or mean) as it lies along the weights."""
    summed = total.inputs[0] if total.op is DIVIDE else total
    if summed.op is not SUM or summed.params[1]:
        return total
    axes = summed.params[0]
    return total if axes == tuple(range(len(axes))) else restore_axes(total, axes, weights.ndim)


_LINEAR = frozenset(
    {
        ADD,
        SUBTRACT,
        NEGATIVE,
        *PRODUCTS,
        *QUOTIENTS,
        WHERE,
        SUM,
        REARRANGE,
        BROADCAST_TO,
        SCATTER_ADD,
        ADD_SLICE,
    }
)


def _cancelled(y: Variable, z: Variable) -> Variable | None:
    """``y * z`` where ``y`` is divided by ``z``: the same without the division; else None."""
    # Asked of many products; most have no such divisor near.
    for divisor in _divisors(y):
        if divisor is z or z in divisor.inputs or divisor in z.inputs:
            return _without_divisor(y, z, _DEPTH)
    return None


def _without_divisor(y: Variable, z: Variable, depth: int) -> Variable | None:
    """As `_cancelled`, within the given depth."""
    if depth == 0:
        return None
    op, inputs = y.op, y.inputs
    if op in QUOTIENTS:
        if inputs[1] is z:
            return inputs[0] if inputs[0].type is y.type else fit(inputs[0], y, inputs)
        above = _without_divisor(inputs[0], z, depth - 1)
        return None if above is None else rebuild(y, (above, inputs[1]))
    if op is NEGATIVE:
        inner = _without_divisor(inputs[0], z, depth - 1)
        return None if inner is None else negative(inner)
    if op in PRODUCTS:
        for a, b in (inputs, inputs[::-1]):
            inner = _without_divisor(a, z, depth - 1)
            if inner is not None:
                return op(inner, b)
        return None
    if op is ADD or op is SUBTRACT:
        parts = [_without_divisor(x, z, depth - 1) for x in inputs]
        return rebuild(y, [x for x in parts if x is not None]) if None not in parts else None
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
        aligned = keepdims or z.ndim == 0 or axes == tuple(range(len(axes)))
        if not aligned or any(i >= missing and z.type.shape[i - missing] != 1 for i in axes):
            return None  # the divisor has to be one and the same for all that is added up
    elif y.op is BROADCAST_TO:
        if x.ndim != y.ndim:
            return None
    elif z.op is REARRANGE and z.params == y.params:
        (z,) = z.inputs
    elif not _leads(y):
        return None
    inner = _without_divisor(x, z, depth - 1)
    return None if inner is None else node(y.op, (inner, *sizes), y.params)


def _leads(view: Variable) -> bool:
    """Whether the view has only further axes before the old ones, where products align alike."""
    (x,) = view.inputs
    (order,) = view.params
    missing = len(order) - x.ndim
    return order == (None,) * missing + tuple(range(x.ndim))


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

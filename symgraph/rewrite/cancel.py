"""Products in which a factor cancels what is divided by, as gradients have them.

``(c / z) * z`` is ``c`` where ``z`` is a probability that underflowed. The quotient may lie deep in
what is multiplied, below sums, choices and views; only what is near is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from ..core.graph import rebuild
from ..core.op import Op
from ..core.variable import Variable, node
from ..ops.broadcast import BROADCAST_TO, REARRANGE, SUM, restore_axes
from ..ops.elementwise import ADD, DIVIDE, NEGATIVE, SUBTRACT, WHERE, negative, where
from ..ops.gather import GATHER, SCATTER_ADD
from ..ops.slices import ADD_SLICE, SLICE
from ..ops.softmax import SOFTMAX
from ..ops.transcendental import EXP
from .engine import FLOATS, rule
from .pattern import fit, is_full_of
from .quotients import POSITIVE, PRODUCTS, QUOTIENTS, is_complement, share_of_two

__all__ = ["cancel_factor", "cancel_product", "cancel_quotient", "weights_by_shares"]

_DEPTH = 8


@rule("multiply", "scale", of=FLOATS, reads=("sigmoid", "softmax", "exp", "negative"))
def cancel_factor(v: Variable) -> Variable | None:
    """(c / z) * z → c, where z is a sigmoid, a softmax or an exponential."""
    for x, y in (v.inputs, v.inputs[::-1]):
        z = x.inputs[0] if x.op is NEGATIVE else x
        if z.op not in POSITIVE:
            continue
        rest = _times(y, z, v.op)
        if rest is not None:
            return fit(negative(rest) if z is not x else rest, v, v.inputs)
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
            rest = _times_product(x, z, w, v.op)
            if rest is not None:
                return fit(negative(rest) if product is not y else rest, v, v.inputs)
    return None


def _times_product(x: Variable, z: Variable, w: Variable, product: Op) -> Variable | None:
    """``x * (z * w)`` where that cancels a division by one of the factors in every term."""
    if x.op is ADD or x.op is SUBTRACT:
        # Of sums of sums there are none that matter, and so no deeper look.
        terms = [term for term in x.inputs if term.op not in (ADD, SUBTRACT)]
        parts = [_times_product(term, z, w, product) for term in terms]
        whole = [part for part in parts if part is not None]
        return rebuild(x, whole) if len(whole) == 2 else None
    for divisor, other in ((z, w), (w, z)):
        if divisor.op in POSITIVE or is_complement(divisor):
            rest = _cancelled(x, divisor)
            if rest is not None:
                return product(rest, other)
    return None


@rule("multiply", "scale", of=FLOATS, reads=("divide", "unscale", "negative"))
def cancel_quotient(v: Variable) -> Variable | None:
    """(c / z) * (z / d) → c / d, where z is a sigmoid, a softmax or an exponential."""
    for x, y in (v.inputs, v.inputs[::-1]):
        quotient = y.inputs[0] if y.op is NEGATIVE else y
        if quotient.op not in QUOTIENTS or quotient.inputs[0].op not in POSITIVE:
            continue
        rest = _cancelled(x, quotient.inputs[0])
        if rest is not None:
            rest = rebuild(quotient, (rest, quotient.inputs[1]))
            return fit(negative(rest) if quotient is not y else rest, v, v.inputs)
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
        rest = _cancelled(y, _along(total, weights))
        if rest is None:
            continue
        pair = share_of_two(total, weights)
        if pair is not None:
            return fit(v.op(pair, rest), v, v.inputs)
        if total.op is DIVIDE:
            total, count = total.inputs
            rest = v.op(rest, count)
        share = node(SOFTMAX, weights.inputs, total.params[:1])
        return fit(v.op(share, rest), v, v.inputs)
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
    """What ``y`` is divided by, here or there in what it is rest of nearby."""
    divisors = []
    pending, steps = [y], 0
    while pending and steps < 4 * _DEPTH:
        steps += 1
        v = pending.pop()
        if v.op in QUOTIENTS:
            divisors.append(v.inputs[1])
        if v.op in _RULES:
            pending += v.inputs
    return divisors


def _along(total: Variable, weights: Variable) -> Variable:
    """The total (or mean) as it lies along the weights."""
    summed = total.inputs[0] if total.op is DIVIDE else total
    if summed.op is not SUM or summed.params[1]:
        return total
    axes = summed.params[0]
    return total if axes == tuple(range(len(axes))) else restore_axes(total, axes, weights.ndim)


def _cancelled(y: Variable, z: Variable) -> Variable | None:
    """``y * z`` where ``y`` is divided by ``z``: the same without the division; else None."""
    # Asked of many products; most have no such divisor near.
    for divisor in _divisors(y):
        if divisor is z or z in divisor.inputs or divisor in z.inputs:
            return _without_divisor(y, z, _DEPTH)
    return None


def _without_divisor(y: Variable, z: Variable, depth: int) -> Variable | None:
    """As `_cancelled`, within the given depth: by the rule for what makes ``y``."""
    rule = _RULES.get(y.op)
    return None if rule is None or depth == 0 else rule(y, z, depth - 1)


def _of_quotient(y: Variable, z: Variable, depth: int) -> Variable | None:
    dividend, divisor = y.inputs
    if divisor is z:
        return dividend if dividend.type is y.type else fit(dividend, y, y.inputs)
    above = _without_divisor(dividend, z, depth)
    return None if above is None else rebuild(y, (above, divisor))


def _of_negative(y: Variable, z: Variable, depth: int) -> Variable | None:
    inner = _without_divisor(y.inputs[0], z, depth)
    return None if inner is None else negative(inner)


def _of_product(y: Variable, z: Variable, depth: int) -> Variable | None:
    for a, b in (y.inputs, y.inputs[::-1]):
        inner = _without_divisor(a, z, depth)
        if inner is not None:
            return y.op(inner, b)
    return None


def _of_terms(y: Variable, z: Variable, depth: int) -> Variable | None:
    parts = [_without_divisor(x, z, depth) for x in y.inputs]
    return rebuild(y, [x for x in parts if x is not None]) if None not in parts else None


def _of_choice(y: Variable, z: Variable, depth: int) -> Variable | None:
    """Of a choice between something and zeros."""
    condition, taken, other = y.inputs
    if is_full_of(other, 0):
        inner = _without_divisor(taken, z, depth)
        return None if inner is None else where(condition, inner, other)
    if is_full_of(taken, 0):
        inner = _without_divisor(other, z, depth)
        return None if inner is None else where(condition, taken, inner)
    return None


def _of_part(y: Variable, z: Variable, depth: int) -> Variable | None:
    """Of values stored among zeros, which are divided by the same part of ``z``."""
    base, values, *indices = y.inputs
    if not is_full_of(base, 0) or base.type is not z.type:
        return None
    part = node(GATHER if y.op is SCATTER_ADD else SLICE, (z, *indices), y.params)
    inner = _without_divisor(values, part, depth)
    return None if inner is None else node(y.op, (base, inner, *indices), y.params)


def _of_total(y: Variable, z: Variable, depth: int) -> Variable | None:
    """Of a sum, where the divisor is one and the same for all that is added up."""
    (x,), (axes, keepdims) = y.inputs, y.params
    missing = x.ndim - z.ndim
    aligned = keepdims or z.ndim == 0 or axes == tuple(range(len(axes)))
    if not aligned or any(i >= missing and z.type.shape[i - missing] != 1 for i in axes):
        return None
    return _of_view(y, z, depth)


def _of_copies(y: Variable, z: Variable, depth: int) -> Variable | None:
    return _of_view(y, z, depth) if y.inputs[0].ndim == y.ndim else None


def _of_rearranged(y: Variable, z: Variable, depth: int) -> Variable | None:
    if z.op is REARRANGE and z.params == y.params:
        return _of_view(y, z.inputs[0], depth)
    (x,), (order,) = y.inputs, y.params
    # Further axes before the old ones alone: products align alike.
    leads = order == (None,) * (len(order) - x.ndim) + tuple(range(x.ndim))
    return _of_view(y, z, depth) if leads else None


def _of_view(y: Variable, z: Variable, depth: int) -> Variable | None:
    x, *sizes = y.inputs
    inner = _without_divisor(x, z, depth)
    return None if inner is None else node(y.op, (inner, *sizes), y.params)


# For each op that is linear how what it gives loses a divisor: by its operands' losing it.
_RULES: dict[Op, Callable[[Variable, Variable, int], Variable | None]] = {
    **dict.fromkeys(QUOTIENTS, _of_quotient),
    **dict.fromkeys(PRODUCTS, _of_product),
    NEGATIVE: _of_negative,
    ADD: _of_terms,
    SUBTRACT: _of_terms,
    WHERE: _of_choice,
    SCATTER_ADD: _of_part,
    ADD_SLICE: _of_part,
    SUM: _of_total,
    BROADCAST_TO: _of_copies,
    REARRANGE: _of_rearranged,
}

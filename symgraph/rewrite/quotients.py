"""Quotients in which a factor cancels what is divided by, as derivatives in forward mode have them.

``(t * z) / z`` is ``t`` where ``z`` is a probability that underflowed, and
``(t * exp(x)) / (1 + exp(x))`` is ``t * sigmoid(x)`` where the exponential is infinite.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..core.graph import rebuild
from ..core.variable import Variable, node
from ..ops.activation import SIGMOID
from ..ops.broadcast import REARRANGE, SUM, restore_axes
from ..ops.elementwise import (
    ADD,
    DIVIDE,
    MULTIPLY,
    NEGATIVE,
    SCALE,
    SUBTRACT,
    UNSCALE,
    negative,
)
from ..ops.gather import GATHER
from ..ops.slices import SLICE
from ..ops.softmax import SOFTMAX, weight_of_first
from ..ops.transcendental import EXP
from .engine import FLOATS, rule
from .pattern import fit, is_full_of

__all__ = [
    "POSITIVE",
    "PRODUCTS",
    "QUOTIENTS",
    "cancel_across",
    "cancel_divisor",
    "is_complement",
    "share_of_two",
]

# Nothing that these ops give is zero, but for underflow.
POSITIVE = frozenset({SOFTMAX, SIGMOID, EXP})
PRODUCTS = frozenset({MULTIPLY, SCALE})
QUOTIENTS = frozenset({DIVIDE, UNSCALE})
_PARTS = frozenset({GATHER, SLICE})
_DEPTH = 8

# What becomes of each factor; of one that cancels, nothing is left.
_Shares = Mapping[Variable, Variable | None]


@rule(
    "divide",
    "unscale",
    of=FLOATS,
    reads=(
        "sigmoid",
        "softmax",
        "exp",
        "add",
        "subtract",
        "sum",
        "rearrange",
        "slice",
        "gather",
        "divide",
    ),
)
def cancel_divisor(v: Variable) -> Variable | None:
    """(c * z) / z → c, where z is a sigmoid, 1 - sigmoid, a softmax or a sum of exponentials."""
    dividend, divisor = v.inputs
    made = _divided(dividend, divisor)
    return None if made is None else fit(made, v, v.inputs)


@rule("multiply", "scale", of=FLOATS, reads=("divide", "unscale"))
def cancel_across(v: Variable) -> Variable | None:
    """(a / z) * (c * z) → a * c, for the same z."""
    for x, y in (v.inputs, v.inputs[::-1]):
        if x.op in QUOTIENTS and x.type is v.type:
            made = _divided(y, x.inputs[1])
            if made is not None:
                return fit(v.op(x.inputs[0], made), v, v.inputs)
    return None


def _divided(y: Variable, z: Variable) -> Variable | None:
    """``y / z`` without the division, if every term of ``y`` has such a factor."""
    if y.op in QUOTIENTS and z.op is DIVIDE and y.inputs[1] is z.inputs[1]:
        return _divided(y.inputs[0], z.inputs[0])
    if z.op in POSITIVE or is_complement(z):
        return _replaced(y, {z: None}, _DEPTH)
    if z.op is ADD:
        shares = {w: share for w in z.inputs if (share := share_of_two(z, w)) is not None}
        return _replaced(y, shares, _DEPTH) if shares else None
    total = _as_kept(z)
    if total.op is SUM and total.inputs[0].op is EXP:
        return _over_sum(y, total)
    if z.op in _PARTS and z.inputs[0].op in POSITIVE:
        return _of_part(y, z)
    return None


def _as_kept(total: Variable) -> Variable:
    """A sum whose axes were put back, as the sum that keeps them; anything else as it is."""
    if total.op is not REARRANGE or total.inputs[0].op is not SUM:
        return total
    summed = total.inputs[0]
    (x,), (axes, keepdims) = summed.inputs, summed.params
    if keepdims or total is not restore_axes(summed, axes, x.ndim):
        return total
    return node(SUM, (x,), (axes, True))


def _over_sum(y: Variable, total: Variable) -> Variable | None:
    """Products with exponentials, or a sum of them, which are divided by the exponentials' sum."""
    (weights,), (axes, keepdims) = total.inputs, total.params
    shares = {weights: node(SOFTMAX, weights.inputs, (axes,))}
    if y.op is NEGATIVE:
        made = _over_sum(y.inputs[0], total)
        return None if made is None else negative(made)
    leading = axes == tuple(range(len(axes)))
    added = y.inputs[0] if y.op is REARRANGE else y
    if added.op is not SUM or added.params[0] != axes:
        return _replaced(y, shares, _DEPTH) if keepdims or leading else None
    kept = tuple(axis for axis in range(weights.ndim) if axis not in axes)
    drops = y.op is REARRANGE and y.params == (kept,) and added.params == (axes, True)
    if not (drops and not keepdims) and not (y is added and (leading or y.params == total.params)):
        return None
    made = _replaced(added.inputs[0], shares, _DEPTH)
    return None if made is None else node(SUM, (made,), (axes, keepdims if drops else y.params[1]))


def _of_part(y: Variable, z: Variable) -> Variable | None:
    """A part of products, divided by the same part of one of the factors."""
    if y.op is not z.op or y.params != z.params or y.inputs[1:] != z.inputs[1:]:
        return None
    made = _replaced(y.inputs[0], {z.inputs[0]: None}, _DEPTH)
    if made is None or made.type is not y.inputs[0].type:
        return None
    return node(y.op, (made, *y.inputs[1:]), y.params)


def share_of_two(total: Variable, weights: Variable) -> Variable | None:
    """exp(x) / (1 + exp(x)), or exp(x) / (exp(x) + exp(y)); None for other totals and weights."""
    if total.op is not ADD or weights.op is not EXP or weights not in total.inputs:
        return None
    first, second = total.inputs
    other = second if first is weights else first
    (x,) = weights.inputs
    if is_full_of(other, 1):
        return node(SIGMOID, (x,))
    return None if other.op is not EXP else weight_of_first(x, other.inputs[0])


def is_complement(z: Variable) -> bool:
    """Whether this is 1 - sigmoid(x)."""
    return z.op is SUBTRACT and z.inputs[1].op is SIGMOID and is_full_of(z.inputs[0], 1)


def _replaced(y: Variable, shares: _Shares, depth: int) -> Variable | None:
    """``y`` with one such factor in each of its terms replaced; None if a term has none."""
    if depth == 0:
        return None
    if y in shares:
        share = shares[y]
        return fit(1, y, y.inputs) if share is None else share
    if y.op is NEGATIVE:
        inner = _replaced(y.inputs[0], shares, depth - 1)
        return None if inner is None else negative(inner)
    if y.op in PRODUCTS:
        return _replaced_in_product(y, shares, depth)
    if y.op is ADD or y.op is SUBTRACT:
        parts = [_replaced(x, shares, depth - 1) for x in y.inputs]
        return rebuild(y, [x for x in parts if x is not None]) if None not in parts else None
    return None


def _replaced_in_product(y: Variable, shares: _Shares, depth: int) -> Variable | None:
    for a, b in (y.inputs, y.inputs[::-1]):
        if a in shares and shares[a] is None:
            return fit(b, y, y.inputs)
    for a, b in (y.inputs, y.inputs[::-1]):
        inner = _replaced(a, shares, depth - 1)
        if inner is not None:
            return y.op(inner, b)
    return None

"""Cotangents without a factor that the next derivative divides by.

The derivative of a root divides by the root. Where what comes after multiplied by it, as in
``sqrt(x) ** 2``, the quotient has a finite limit at 0, which neither factor knows of. So the
factor is taken out before: out of products, powers, sums and choices, and of what came back
through views, parts and joins. Only what is near is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from ..core.dims import Size
from ..core.graph import rebuild
from ..core.op import Op
from ..core.variable import CONSTANT, Variable, constant_value, make_constant
from .broadcast import BROADCAST_TO, SUM, broadcast_to, restore_axes
from .elementwise import (
    ADD,
    DIVIDE,
    MULTIPLY,
    NEGATIVE,
    SCALE,
    SQUARE,
    SUBTRACT,
    UNSCALE,
    WHERE,
    add,
    terms_of,
)
from .promotion import CAST
from .sizes import shape_of

__all__ = ["FACTOR_RULES", "by_terms", "in_power", "without_factor"]

_DEPTH = 12
_NEARBY = 32


def by_terms(
    cotangent: Variable,
    cancelled: Callable[[Variable], Variable | None],
    otherwise: Callable[[Variable], Variable],
) -> Variable:
    """What a linear function makes of a cotangent: of each term alone where that can be cancelled.

    ``cancelled`` gives None where it cannot; to the sum of those terms goes ``otherwise``.
    """
    found: list[Variable] = []
    others: list[Variable] = []
    for term in terms_of(cotangent):
        made = cancelled(term)
        if made is None:
            others.append(term)
        else:
            found.append(made)
    if not found:
        return otherwise(cotangent)
    return reduce(add, found if not others else [*found, otherwise(reduce(add, others))])


def without_factor(x: Variable, factor: Variable, depth: int = _DEPTH) -> Variable | None:
    """``x / factor``, where that is a factor of every term of ``x``; else None."""
    if x is factor:
        return broadcast_to(make_constant(np.ones((), x.dtype)), shape_of(x))
    if depth == 0 or x.serial < factor.serial:
        return None
    return FACTOR_RULES.get(x.op, _in_layout)(x, factor, depth)


def _in_square(x: Variable, factor: Variable, depth: int) -> Variable | None:
    (base,) = x.inputs
    rest = without_factor(base, factor, depth - 1)
    return None if rest is None else SCALE(rest, base)


def in_power(x: Variable, factor: Variable, depth: int) -> Variable | None:
    """The factor out of the base of a power whose exponent is a number of at least 2."""
    base, exponent = x.inputs
    value = constant_value(exponent)
    if value is None or value.size != 1 or not value.min() >= 2:
        return None
    rest = without_factor(base, factor, depth - 1)
    if rest is None:
        return None
    lower = value.reshape(()) - 1
    power = base if lower == 1 else x.op(base, make_constant(lower.astype(base.dtype)))
    return SCALE(rest, power)


def _in_product(x: Variable, factor: Variable, depth: int) -> Variable | None:
    for a, b in (x.inputs, x.inputs[::-1]):
        rest = without_factor(a, factor, depth - 1)
        if rest is not None:
            return x.op(rest, b)
    return None


def _in_dividend(x: Variable, factor: Variable, depth: int) -> Variable | None:
    rest = without_factor(x.inputs[0], factor, depth - 1)
    return None if rest is None else x.op(rest, x.inputs[1])


def _in_terms(x: Variable, factor: Variable, depth: int) -> Variable | None:
    """The op on all its terms without the factor; terms of zero are without any."""
    n_others = 1 if x.op is WHERE else 0  # a condition is no term
    rest = list(x.inputs[:n_others])
    for term in x.inputs[n_others:]:
        part = term if _is_zero(term) else without_factor(term, factor, depth - 1)
        if part is None:
            return None
        rest.append(part)
    return x.op(*rest)


def _in_copies(x: Variable, factor: Variable, depth: int) -> Variable | None:
    """The factor out of a sum, or of copies, of what it is broadcast against."""
    inner, *sizes = x.inputs
    if x.op is SUM and factor.type is x.type:
        axes, keepdims = x.params
        if not keepdims and axes != tuple(range(len(axes))):
            factor = restore_axes(factor, axes, inner.ndim)
        if any(_size_of(factor, inner, axis) != 1 for axis in axes):
            return None
    elif x.op is SUM or factor.ndim > inner.ndim:
        return None
    rest = without_factor(inner, factor, depth - 1)
    return None if rest is None else rebuild(x, (rest, *sizes))


def _size_of(factor: Variable, model: Variable, axis: int) -> Size:
    """The size of a factor on an axis of what it is broadcast against."""
    axis -= model.ndim - factor.ndim
    return 1 if axis < 0 else factor.type.shape[axis]


def _in_layout(x: Variable, factor: Variable, depth: int) -> Variable | None:
    """The factor out of what came back through a view, a part or a join of it.

    There ``x`` is what that op makes of a cotangent of its result, which has the result as factor.
    """
    for inner in x.inputs:
        for laid in _nearby(inner, factor):
            if laid.type is not inner.type or not _lays_out(laid.op):
                continue
            assert laid.op.vjp is not None
            for position, part in enumerate(laid.inputs):
                if part is factor and laid.op.vjp(laid, inner)[position] is x:
                    rest = without_factor(inner, laid, depth - 1)
                    return None if rest is None else laid.op.vjp(laid, rest)[position]
    return None


def _lays_out(op: Op) -> bool:
    return op is CAST or "layout" in op.traits


# For each op how a factor is taken out of what it gives; out of layouts where there is none.
FACTOR_RULES: dict[Op, Callable[[Variable, Variable, int], Variable | None]] = {
    SQUARE: _in_square,
    MULTIPLY: _in_product,
    SCALE: _in_product,
    DIVIDE: _in_dividend,
    UNSCALE: _in_dividend,
    ADD: _in_terms,
    SUBTRACT: _in_terms,
    NEGATIVE: _in_terms,
    WHERE: _in_terms,
    SUM: _in_copies,
    BROADCAST_TO: _in_copies,
}


def _nearby(x: Variable, factor: Variable) -> list[Variable]:
    """What ``x`` is made of, nearest first, as far as it is younger than the factor."""
    found = [x]
    for v in found:
        if len(found) > _NEARBY:
            break
        found += [y for y in v.inputs if y.serial > factor.serial and y not in found]
    return found


def _is_zero(x: Variable) -> bool:
    while x.op is BROADCAST_TO:
        x = x.inputs[0]
    return x.op is CONSTANT and not x.params[0].array.any()

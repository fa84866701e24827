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
)
from .sizes import shape_of

__all__ = ["by_terms", "without_factor"]

_DEPTH = 12
_NEARBY = 32
# Ops that lay elements out anew. By name, since some of them are made above.
_LAYOUTS = frozenset(
    {
        *("rearrange", "reshape", "cast", "check_size", "concatenate"),
        *("slice", "gather", "set_slice", "scatter_set"),
    }
)


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
    stack = [cotangent]
    while stack:
        term = stack.pop()
        if term.op is ADD and all(x.type is cotangent.type for x in term.inputs):
            stack.extend(reversed(term.inputs))
            continue
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
    op, inputs = x.op, x.inputs
    if op is SQUARE or op.name == "power":
        lower = _lower_power(x)
        rest = None if lower is None else without_factor(inputs[0], factor, depth - 1)
        return None if rest is None or lower is None else SCALE(rest, lower)
    if op is MULTIPLY or op is SCALE:
        for a, b in (inputs, inputs[::-1]):
            rest = without_factor(a, factor, depth - 1)
            if rest is not None:
                return op(rest, b)
        return None
    if op is DIVIDE or op is UNSCALE:
        rest = without_factor(inputs[0], factor, depth - 1)
        return None if rest is None else op(rest, inputs[1])
    if op in (ADD, SUBTRACT, NEGATIVE):
        return _in_terms(x, (), inputs, factor, depth)
    if op is WHERE:
        return _in_terms(x, inputs[:1], inputs[1:], factor, depth)
    if op is SUM or op is BROADCAST_TO:
        return _in_copies(x, factor, depth)
    return _in_layout(x, factor, depth)


def _lower_power(power: Variable) -> Variable | None:
    """A power with an exponent that is less by one."""
    if power.op is SQUARE:
        return power.inputs[0]
    base, exponent = power.inputs
    value = constant_value(exponent)
    if value is None or value.size != 1 or not value.min() >= 2:
        return None
    lower = value.reshape(()) - 1
    return base if lower == 1 else power.op(base, make_constant(lower.astype(base.dtype)))


def _in_terms(
    x: Variable,
    others: tuple[Variable, ...],
    terms: tuple[Variable, ...],
    factor: Variable,
    depth: int,
) -> Variable | None:
    """The op on all its terms without the factor; terms of zero are without any."""
    rest = list(others)
    for term in terms:
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
            if laid.type is not inner.type or laid.op.name not in _LAYOUTS:
                continue
            assert laid.op.vjp is not None
            for position, part in enumerate(laid.inputs):
                if part is factor and laid.op.vjp(laid, inner)[position] is x:
                    rest = without_factor(inner, laid, depth - 1)
                    return None if rest is None else laid.op.vjp(laid, rest)[position]
    return None


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

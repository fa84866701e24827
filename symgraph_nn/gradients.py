"""What may be done to gradients before a rule gets them: each takes a list and returns one."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    SymgraphTypeError,
    SymgraphValueError,
    describe,
)

from .checks import check_axes
from .patterns import decays

__all__ = ["clip_norm", "clip_value", "weight_decay"]

_Limit: TypeAlias = float | np.number[Any] | np.ndarray[Any, Any] | sg.Variable


def clip_norm(grads: Sequence[sg.Variable], max_norm: _Limit) -> list[sg.Variable]:
    """The gradients scaled down together to this Euclidean norm where theirs is larger.

    ``g · min(1, max_norm / √(Σ g²))`` over all elements of all gradients (Pascanu et al. 2013).

    grads
        Floats of any shapes, in a list; others are a `DtypeError`. As many come back.
    max_norm
        A number of at least 0, or a scalar variable.

    Gradients whose squares are no floats any more are scaled all the same; where one is infinite
    or no number, there is no such norm, and all stay as they are.

    >>> (g,) = nn.clip_norm([sg.constant([3.0, 4.0])], 1.0)
    >>> g.eval()
    array([0.6, 0.8], dtype=float32)
    """
    listed = _check("clip_norm", grads, max_norm)
    filled = [g for g in listed if 0 not in g.type.shape]
    if not filled:
        return listed
    dtype = np.result_type(*(g.dtype for g in filled))
    limit = max_norm.astype(dtype) if isinstance(max_norm, sg.Variable) else float(max_norm)
    if isinstance(limit, float) and limit > np.finfo(dtype).max:
        return listed
    # In units of the largest element, so that no square overflows or vanishes.
    largest = reduce(sg.maximum, [_largest(g).astype(dtype) for g in filled])
    unit = sg.where(largest > 0, largest, 1)
    shares = [g / unit for g in listed]
    norm = sg.sqrt(reduce(operator.add, [sg.sum(sg.square(share)) for share in shares]))
    is_over = norm > limit / unit
    scale = limit / sg.maximum(norm, 1)  # the largest element alone has 1
    return [
        sg.where(is_over, (share * scale).astype(g.dtype), g)
        for g, share in zip(listed, shares, strict=True)
    ]


def _largest(x: sg.Variable) -> sg.Variable:
    """The largest absolute value, a scalar."""
    sizes = sg.abs(sg.ravel(x))
    if not all(isinstance(n, int) for n in x.shape):
        sizes = sg.concatenate([sizes, sg.zeros((1,), x.dtype)])  # there may be none
    return sg.max(sizes)


def clip_value(grads: Sequence[sg.Variable], limit: _Limit) -> list[sg.Variable]:
    """The gradients with every element brought into [-limit, limit], in a list.

    ``limit`` is a number of at least 0, or a scalar variable.

    >>> (g,) = nn.clip_value([sg.constant([3.0, -0.5])], 1.0)
    >>> g.eval()
    array([ 1. , -0.5], dtype=float32)
    """
    return [sg.clip(g, -limit, limit) for g in _check("clip_value", grads, limit)]


def weight_decay(
    grads: Sequence[sg.Variable],
    params: Sequence[sg.SharedVariable],
    rate: _Limit | Mapping[str, float],
) -> list[sg.Variable]:
    """The gradients with ``rate * p`` added: those of the loss plus ``rate / 2 · Σ p²``.

    One gradient for each parameter, in their order, else a `SymgraphValueError`; ``rate`` is a
    number of at least 0, a scalar variable, or numbers by patterns of names (``{"*.W": 0.1}``), as
    in `apply_rates`: what fits none does not decay.

    >>> p = sg.shared(np.array([1.0, -2.0]))
    >>> (g,) = nn.weight_decay([sg.zeros((2,), "float64")], [p], 0.1)
    >>> g.eval()
    array([ 0.1, -0.2])
    """
    by_name = isinstance(rate, Mapping)
    listed, weights = _check("weight_decay", grads, 0 if by_name else rate), list(params)
    if len(listed) != len(weights):
        raise SymgraphValueError.here(
            f"weight_decay: {len(weights)} parameters need as many gradients, not {len(listed)}"
        )
    rates = decays("weight_decay", rate, weights) if by_name else [rate] * len(weights)
    return [
        g if isinstance(r, float) and not r else g + r * p
        for g, p, r in zip(listed, weights, rates, strict=True)
    ]


def _check(owner: str, grads: Any, limit: Any) -> list[sg.Variable]:
    if not isinstance(grads, (list, tuple)) or not all(isinstance(g, sg.Variable) for g in grads):
        raise SymgraphTypeError.here(
            f"{owner}: a list of gradients is expected, not {grads!r}",
            remedy="Take them with sg.grad(loss, module.params).",
        )
    for g in grads:
        if g.dtype.kind != "f":
            raise DtypeError.here(
                f"{owner}: gradients are floats; found {describe(g)}",
                remedy="Convert it with .astype('float32').",
            )
    if isinstance(limit, sg.Variable):
        check_axes(limit, 0, owner, "a scalar")
    elif isinstance(limit, bool) or not isinstance(limit, (int, float, np.number, np.ndarray)):
        raise SymgraphTypeError.here(
            f"{owner}: a number or a scalar variable is expected, not {limit!r}"
        )
    elif np.ndim(limit) or not limit >= 0:
        raise SymgraphValueError.here(f"{owner}: a number of at least 0 is expected, not {limit}")
    return list(grads)

"""What may be done to gradients before a rule gets them: each takes a list and returns one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphTypeError, SymgraphValueError, explain, user_line

__all__ = ["clip_norm", "clip_value", "weight_decay"]


def clip_norm(grads: Sequence[sg.Variable], max_norm: Any) -> list[sg.Variable]:
    """The gradients scaled down together to this Euclidean norm where theirs is larger.

    The norm is that of all elements of all gradients (Pascanu et al. 2013). ``max_norm`` is a
    number or a scalar variable.
    """
    listed = _check("clip_norm", grads, max_norm)
    if not listed:
        return []
    norm = sg.sqrt(reduce(lambda a, b: a + b, [sg.sum(g * g) for g in listed]))
    # At most 1, and 1 exactly where nothing is to be done; never 0 / 0.
    scale = max_norm / sg.maximum(norm, max_norm)
    return [g * scale.astype(g.dtype) for g in listed]


def clip_value(grads: Sequence[sg.Variable], limit: Any) -> list[sg.Variable]:
    """The gradients with every element brought into [-limit, limit]."""
    return [sg.clip(g, -limit, limit) for g in _check("clip_value", grads, limit)]


def weight_decay(
    grads: Sequence[sg.Variable], params: Sequence[sg.SharedVariable], rate: Any
) -> list[sg.Variable]:
    """The gradients with ``rate * p`` added: those of the loss plus ``rate / 2 · Σ p²``."""
    listed, weights = _check("weight_decay", grads, rate), list(params)
    if len(listed) != len(weights):
        raise SymgraphValueError(
            explain(
                f"weight_decay: {len(weights)} parameters need as many gradients, "
                f"not {len(listed)}",
                line=user_line(),
            )
        )
    return [g + rate * p for g, p in zip(listed, weights, strict=True)]


def _check(owner: str, grads: Any, limit: Any) -> list[sg.Variable]:
    if not isinstance(grads, (list, tuple)) or not all(isinstance(g, sg.Variable) for g in grads):
        raise SymgraphTypeError(
            explain(
                f"{owner}: a list of gradients is expected, not {grads!r}",
                line=user_line(),
                remedy="Take them with sg.grad(loss, module.params).",
            )
        )
    if not isinstance(limit, (int, float, np.number, np.ndarray, sg.Variable)):
        raise SymgraphTypeError(
            explain(
                f"{owner}: a number or a scalar variable is expected, not {limit!r}",
                line=user_line(),
            )
        )
    if isinstance(limit, (int, float)) and not limit >= 0:
        raise SymgraphValueError(
            explain(f"{owner}: a number of at least 0 is expected, not {limit}", line=user_line())
        )
    return list(grads)

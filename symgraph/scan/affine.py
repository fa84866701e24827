"""What a step makes of states in which it is linear: factors of these, and what is added.

So are gradient loops in what they carry. Where each element of a row is made of those at its place
alone, the factors are rows, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ..core.graph import rebuild
from ..core.variable import Variable, make_constant
from ..ops.broadcast import filled
from ..ops.elementwise import (
    ADD,
    DIVIDE,
    MULTIPLY,
    NEGATIVE,
    SCALE,
    SUBTRACT,
    UNSCALE,
    WHERE,
    negative,
)
from ..ops.sizes import CHECK_SIZE, shape_of
from .late import read_values
from .op import Loop

__all__ = ["Sum", "affine_step"]

_OF_FIRST = frozenset({DIVIDE, UNSCALE, NEGATIVE, CHECK_SIZE})
"""What is linear in its first operand."""

Sum: TypeAlias = Sequence[Variable | None]
"""A sum of states each times a factor, these in order, and of a last term; None: no such summand"""


def affine_step(loop: Loop) -> list[Sum] | None:
    """For each state what a step makes of it, in terms of the body's symbols, those of states for
    sizes alone; None where that is no such sum, or states are of several types."""
    types = {state.initial.type.row for state in loop.states}
    if len(types) != 1 or any(list(state.taps) != [-1] for state in loop.states):
        return None
    initial = loop.states[0].initial
    one = filled(1, initial.dtype, shape_of(initial)[1:])
    symbols = [state.taps[-1] for state in loop.states]
    known: dict[Variable, Sum | None] = {
        x: [one if x is y else None for y in symbols] + [None] for x in symbols
    }
    for v in loop.body.nodes:
        if v not in known and not known.keys().isdisjoint(read_values(v)):
            known[v] = _sum_of(v, known, len(symbols))
    found = [known.get(state.new, _term(state.new, len(symbols))) for state in loop.states]
    sums = [x for x in found if x is not None]
    return sums if len(sums) == len(found) else None


def _term(x: Variable, n_states: int) -> Sum:
    return [*[None] * n_states, x]


def _sum_of(v: Variable, known: Mapping[Variable, Sum | None], n_states: int) -> Sum | None:
    """What an operation makes of sums, as a sum."""
    late = [i for i, x in enumerate(v.inputs) if x in known]
    if any(known[v.inputs[i]] is None for i in late):
        return None
    sums = [known.get(x) or _term(x, n_states) for x in v.inputs]
    if v.op in (ADD, SUBTRACT):
        return [_added(v, *pair) for pair in zip(*sums, strict=True)]
    if v.op is WHERE and 0 not in late:
        return [_chosen(v, *pair) for pair in zip(*sums[1:], strict=True)]
    if len(late) == 1 and (v.op in (MULTIPLY, SCALE) or (v.op in _OF_FIRST and late == [0])):
        return [None if x is None else _with_operand(v, late[0], x) for x in sums[late[0]]]
    return None


def _added(v: Variable, x: Variable | None, y: Variable | None) -> Variable | None:
    if x is not None and y is not None:
        return rebuild(v, [x, y])
    return negative(y) if y is not None and v.op is SUBTRACT else x if y is None else y


def _chosen(v: Variable, x: Variable | None, y: Variable | None) -> Variable | None:
    if x is None and y is None:
        return None
    zero = make_constant(np.zeros((), v.dtype))
    return rebuild(v, [v.inputs[0], zero if x is None else x, zero if y is None else y])


def _with_operand(v: Variable, place: int, x: Variable) -> Variable:
    return rebuild(v, [x if i == place else y for i, y in enumerate(v.inputs)])

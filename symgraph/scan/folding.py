"""Short loops of constants computed when they are compiled."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.graph import Graph
from ..core.types import TensorType
from ..core.variable import CONSTANT, ITEM, Variable, constant_value, item, make_constant
from .op import Loop, is_scan

__all__ = ["fold_loop"]

# How many operations are computed for a loop, and how many elements one may make.
_MOST_OPERATIONS, _MOST_ELEMENTS = 2000, 1000
# How many nodes the inputs of a loop of constants may have: each was made simple before.
_MOST_NODES = 50
_NEVER_FOLDED = frozenset({"check", "effect"})

Values = list[np.ndarray]


class _NotFolded(Exception):
    """Something that is computed by a call alone."""


def fold_loop(scan: Variable, inputs: Sequence[Variable]) -> dict[Variable, Variable] | None:
    """For each result of a loop on these inputs its value; None where that is not to be computed.

    It is not where an input is no constant, where it would take long, where something has effects,
    where a value is not finite, which a call may have to report, and where the loop has a name, by
    which somebody will look for it.
    """
    made_of = None if scan.name else _made_of_constants(inputs)
    if made_of is None:
        return None
    known: dict[Variable, Any] = {}
    try:
        with np.errstate(all="ignore"):
            for v in made_of:
                known[v] = _value(v, [known[x] for x in v.inputs], [0])
            values = _run(scan, [known[x] for x in inputs], [_MOST_OPERATIONS])
        return {item(scan, i): make_constant(value) for i, value in enumerate(values)}
    except (_NotFolded, ValueError, TypeError, IndexError, ArithmeticError):
        return None


def _made_of_constants(inputs: Sequence[Variable]) -> list[Variable] | None:
    """All that the inputs are made of, first things first; None where that is more than a few
    constants and what is written of them, such as zeros of some shape."""
    seen: set[Variable] = set()
    pending = list(inputs)
    while pending:
        v = pending.pop()
        if v in seen:
            continue
        seen.add(v)
        is_open = not v.inputs and v.op is not CONSTANT
        if is_open or is_scan(v) or len(seen) > _MOST_NODES:
            return None
        pending += v.inputs
    return sorted(seen, key=attrgetter("serial"))


def _run(scan: Variable, arrays: Values, left: list[int]) -> Values:
    """The results of a loop; ``left`` is how many operations may still be computed."""
    loop, layout = Loop(scan), scan.params[1]
    if layout.has_checkpoints or not _is_small(scan):
        raise _NotFolded
    n_steps, sequences, initials, fixed, *_ = layout.parts(arrays)
    states = [list(x) for x in initials]
    plain: list[Values] = [[] for _ in loop.outputs]
    for t in range(int(n_steps)):
        rows = [
            x[t + offset]
            for x, offsets in zip(sequences, layout.sequences, strict=True)
            for offset in offsets
        ]
        past = [s[tap] for s, taps in zip(states, layout.states, strict=True) for tap in taps]
        results = _computed(loop.body, [*rows, *past, *fixed], left)
        stops = layout.until and bool(results.pop())
        for values, result in zip([*states, *plain], results, strict=True):
            values.append(result)
        if stops:
            break
    types = scan.type.items
    stacks = [np.asarray(x, t.dtype) for x, t in zip([*states, *plain], types, strict=True)]
    return [_checked(x, t) for x, t in zip(stacks, types, strict=True)]


def _computed(body: Graph, arrays: Values, left: list[int]) -> Values:
    """The outputs of a body for these inputs."""
    known: dict[Variable, np.ndarray | Values] = dict(zip(body.inputs, arrays, strict=True))
    for v in body.nodes:
        if v in known:
            continue
        left[0] -= 1
        if left[0] < 0:
            raise _NotFolded
        known[v] = _value(v, [known[x] for x in v.inputs], left)
    return [np.asarray(known[v]) for v in body.outputs]


def _value(v: Variable, inputs: list, left: list[int]) -> np.ndarray | Values:
    """The value of one node for those of its inputs."""
    value = constant_value(v)
    if value is not None:
        return value
    if v.op is ITEM:
        return inputs[0][v.params[0]]
    if is_scan(v):
        return _run(v, inputs, left)
    if v.op.evaluate is None or not v.op.traits.isdisjoint(_NEVER_FOLDED):
        raise _NotFolded
    return _checked(np.asarray(v.op.evaluate(inputs, *v.params)), v.type)


def _checked(value: np.ndarray, type: TensorType) -> np.ndarray:
    """The value, which is finite, small, and of its type."""
    is_right = value.dtype == type.dtype and value.ndim == len(type.shape)
    if not is_right or value.size > _MOST_ELEMENTS:
        raise _NotFolded
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise _NotFolded
    return value


def _is_small(scan: Variable) -> bool:
    """Whether no result has more elements than may be computed, as far as types tell."""
    sizes = [product(type.shape) for type in scan.type.items]
    return all(not isinstance(size, int) or size <= _MOST_ELEMENTS for size in sizes)

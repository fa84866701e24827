"""Arithmetic on sizes as NumPy backends do it: exact, where arithmetic on values wraps."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import TooLargeError
from ..core.graph import Graph
from ..core.variable import Variable

__all__ = ["exact_call", "size_arithmetic"]

_INT64 = np.dtype("int64")
_LEAST, _LARGEST = -(1 << 63), (1 << 63) - 1
# Ops that take sizes, by the position of the first.
_FIRST_SIZE = {
    "broadcast_to": 1,
    "iota": 0,
    "overlap_add": 1,
    "random_bits": 1,
    "reshape": 1,
    "scan": 0,
    "set_slice": 2,
    "add_slice": 2,
    "slice": 1,
}
# What may lie between a size and what it is computed from.
_CHOICES = frozenset({"cast", "maximum", "minimum"})
_EXACT: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "floor_divide": lambda a, b: a // b if b else 0,
    "multiply": operator.mul,
    "negative": operator.neg,
    "square": lambda a: a * a,
    "subtract": operator.sub,
}


def size_arithmetic(graph: Graph) -> set[Variable]:
    """The nodes that compute int64 scalars of which sizes are made."""
    sizes: set[Variable] = set()
    found: set[Variable] = set()
    for v in reversed(graph.nodes):
        first = _FIRST_SIZE.get(v.op.name)
        if first is not None:
            sizes.update(v.inputs[first : 1 if v.op.name == "scan" else None])
        elif v in sizes and v.type.shape == ():
            if v.op.name in _EXACT and all(x.type is v.type for x in v.inputs):
                if v.dtype == _INT64:
                    found.add(v)
                    sizes.update(v.inputs)
            elif v.op.name in _CHOICES:
                sizes.update(v.inputs)
    return found


def exact_call(v: Variable) -> Callable[..., Any]:
    """What computes such a node; 64 bits have to hold the result."""
    compute = _EXACT[v.op.name]

    def call(*numbers: Any) -> np.ndarray:
        exact = compute(*map(int, numbers))
        if not _LEAST <= exact <= _LARGEST:
            raise TooLargeError(f"the size {exact} is more than can be counted")
        return np.asarray(exact, _INT64)

    return call

"""Arithmetic on sizes as NumPy backends do it: exact, where arithmetic on values wraps."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import TooLargeError
from ..core.graph import Graph
from ..core.op import Op
from ..core.variable import Variable
from ..ops.broadcast import BROADCAST_TO
from ..ops.elementwise import (
    ADD,
    FLOOR_DIVIDE,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATIVE,
    SQUARE,
    SUBTRACT,
)
from ..ops.promotion import CAST
from ..ops.ranges import IOTA
from ..ops.reshape import RESHAPE
from ..ops.slices import ADD_SLICE, SET_SLICE, SLICE
from ..ops.threefry import RANDOM_BITS
from ..ops.windows import OVERLAP_ADD
from ..scan.op import SCAN

__all__ = ["exact_call", "size_arithmetic"]

_INT64 = np.dtype("int64")
_LEAST, _LARGEST = -(1 << 63), (1 << 63) - 1
# Ops that take sizes, by the position of the first.
_FIRST_SIZE = {
    BROADCAST_TO: 1,
    IOTA: 0,
    OVERLAP_ADD: 1,
    RANDOM_BITS: 1,
    RESHAPE: 1,
    SCAN: 0,
    SET_SLICE: 2,
    ADD_SLICE: 2,
    SLICE: 1,
}
# What may lie between a size and what it is computed from.
_CHOICES = frozenset({CAST, MAXIMUM, MINIMUM})
_EXACT: dict[Op, Callable[..., Any]] = {
    ADD: operator.add,
    FLOOR_DIVIDE: lambda a, b: a // b if b else 0,
    MULTIPLY: operator.mul,
    NEGATIVE: operator.neg,
    SQUARE: lambda a: a * a,
    SUBTRACT: operator.sub,
}


def size_arithmetic(graph: Graph) -> set[Variable]:
    """The nodes that compute int64 scalars of which sizes are made."""
    sizes: set[Variable] = set()
    found: set[Variable] = set()
    for v in reversed(graph.nodes):
        first = _FIRST_SIZE.get(v.op)
        if first is not None:
            sizes.update(v.inputs[first : 1 if v.op is SCAN else None])
        elif v in sizes and v.type.shape == ():
            if v.op in _EXACT and all(x.type is v.type for x in v.inputs):
                if v.dtype == _INT64:
                    found.add(v)
                    sizes.update(v.inputs)
            elif v.op in _CHOICES:
                sizes.update(v.inputs)
    return found


def exact_call(v: Variable) -> Callable[..., Any]:
    """What computes such a node; 64 bits have to hold the result."""
    compute = _EXACT[v.op]

    def call(*numbers: Any) -> np.ndarray:
        exact = compute(*map(int, numbers))
        if not _LEAST <= exact <= _LARGEST:
            raise TooLargeError(f"the size {exact} is more than can be counted")
        return np.asarray(exact, _INT64)

    return call

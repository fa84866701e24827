"""How far checkpoints are apart, as a size that follows from the sizes of a call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core import dims
from ..core.annotations import SizeLike
from ..core.errors import SymgraphTypeError
from ..core.interval import interval_of
from ..core.op import Op
from ..core.types import TensorType, tensor_type
from ..core.variable import Variable, make_constant, node
from .comparison import less_equal
from .elementwise import add, floor_divide, maximum, multiply, subtract, where
from .extremes import amin, argmin
from .join import concatenate
from .positions import take
from .promotion import as_variable, cast_to
from .ranges import arange
from .rounding import ceil
from .sizes import size_of, size_rule
from .transcendental import sqrt

__all__ = ["INTERVAL", "ROOM", "interval_within", "room_for"]

_INT64, _FLOAT64 = np.dtype("int64"), np.dtype("float64")


def _infer_interval(inputs: Sequence[Variable]) -> TensorType:
    number = tensor_type(_INT64, ())
    if len(inputs) != 4 or any(x.type is not number for x in inputs):
        raise SymgraphTypeError(f"interval: four int64 scalars, not {[x.type for x in inputs]}")
    return number


def _evaluate_interval(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(interval_of(*map(int, arrays)), _INT64)


def _expand_interval(v: Variable) -> Variable:
    size = size_of(v)
    if isinstance(size, int):
        return make_constant(size, "int64")
    steps, kept, each, memory = v.inputs
    steps, kept, each = maximum(steps, 1), maximum(kept, 0), maximum(each, 1)
    root = cast_to(ceil(sqrt(cast_to(steps, _FLOAT64))), _INT64)
    last, numbers = subtract(steps, 1), arange(root)
    even = add(floor_divide(last, add(numbers, 1)), 1)
    every = concatenate([even, subtract(root, numbers)])
    chunks = floor_divide(last, every)
    taken, again = add(multiply(kept, chunks), multiply(each, every)), multiply(chunks, every)
    fits = less_equal(taken, maximum(memory, amin(taken)))
    chosen = take(every, argmin(where(fits, again, steps)))
    # By way of a float, whose size has no formula: so the new node can stand for that of the old.
    found = where(less_equal(memory, 0), cast_to(root, _FLOAT64), cast_to(chosen, _FLOAT64))
    return cast_to(found, _INT64)


# See `dims.interval`, of which it is the op.
INTERVAL = Op(
    "interval",
    _infer_interval,
    evaluate=_evaluate_interval,
    expand=_expand_interval,
    kind="movement",
    is_cheap=True,
)
size_rule(INTERVAL, dims.interval)


def interval_within(steps: SizeLike, kept: SizeLike, each: SizeLike, memory: SizeLike) -> Variable:
    """How many steps checkpoints are apart, an int64 scalar; see `dims.interval`."""
    parts = (as_variable(x, "interval") for x in (steps, kept, each, memory))
    made = node(INTERVAL, tuple(cast_to(x, _INT64) for x in parts))
    size = size_of(made)
    return make_constant(size, "int64") if isinstance(size, int) else made


def _infer_room(inputs: Sequence[Variable], what: str) -> TensorType:
    return tensor_type(_INT64, ())


# How many bytes something of a loop takes that is on the inputs after the first one: the first
# one is an estimate. As a size it is a number of its own, until all passes have told.
ROOM = Op(
    "room",
    _infer_room,
    evaluate=lambda arrays, what: np.asarray(arrays[0], _INT64),
    expand=lambda v: v.inputs[0],
    params=("what",),
    kind="movement",
    is_cheap=True,
)


def room_for(what: str, estimate: SizeLike, inputs: Sequence[Variable]) -> Variable:
    """The bytes that ``what`` takes of a loop on these inputs, an int64 scalar; see `ROOM`."""
    first = cast_to(as_variable(estimate, "room"), _INT64)
    return node(ROOM, (first, *inputs), (what,))

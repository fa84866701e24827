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
from .elementwise import add, floor_divide, maximum, minimum, multiply, subtract
from .promotion import as_variable, cast_to
from .rounding import ceil
from .sizes import size_of, size_rule
from .transcendental import sqrt

__all__ = ["INTERVAL", "interval_within"]

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
    steps, kept, each = maximum(steps, 0), maximum(kept, 0), maximum(each, 1)
    rest = subtract(memory, kept)
    least = _root(multiply(4, kept), multiply(each, steps))
    root = _root(maximum(subtract(rest, least), 0), add(rest, least))
    largest = floor_divide(add(maximum(rest, least), root), multiply(2, each))
    # By way of a float, whose size has no formula: so the new node can stand for that of the old.
    found = minimum(cast_to(largest, _FLOAT64), cast_to(steps, _FLOAT64))
    return cast_to(maximum(found, 1.0), _INT64)


def _root(a: Variable, b: Variable) -> Variable:
    product = multiply(cast_to(a, _FLOAT64), cast_to(maximum(b, 0), _FLOAT64))
    return maximum(cast_to(ceil(sqrt(product)), _INT64), 1)


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

"""Partial evaluation: what ops of ONNX make of integers of which some are symbols.

The integers lie in NumPy arrays of objects, so an op that moves them is NumPy's own function; an op
that calculates is one on ints and integer scalars. A comparison is known where the sizes tell, as a
size is never -1. What is not known is left to the readers, which make variables of the integers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.dims import Size, maximum_zero
from ...core.variable import Variable
from ...ops import elementwise
from ...ops.sizes import as_scalar, is_size, size_of
from .limits import MAX_AXES
from .read_arithmetic import truncated_quotient
from .read_dtypes import DTYPES_BY_NUMBER
from .read_node import Node
from .read_registry import calculates
from .read_values import Sizes, as_entries, objects

_Calculated = Sizes | np.ndarray | tuple[Any, ...] | None
# What sizes may be converted to and still be sizes.
_DTYPES = (np.dtype("int64"), np.dtype("int32"))


def _entries(node: Node, i: int) -> np.ndarray | None:
    return as_entries(node.value(i))


def _sizes(node: Node, entries: Any) -> Sizes:
    return Sizes(entries, node.dtype(0))


# --- moving -------------------------------------------------------------------------------------


@calculates("Identity")
def _identity(node: Node) -> _Calculated:
    entries = _entries(node, 0)
    return None if entries is None else _sizes(node, entries)


@calculates("Cast")
def _cast(node: Node) -> _Calculated:
    entries = _entries(node, 0)
    dtype = DTYPES_BY_NUMBER.get(node.attribute("to", 0))
    return None if entries is None or dtype not in _DTYPES else Sizes(entries, dtype)


@calculates("Unsqueeze", "Squeeze")
def _squeeze(node: Node) -> _Calculated:
    entries = _entries(node, 0)
    if entries is None:
        return None
    axes = node.ints(1) if node.has(1) else node.attribute("axes", None, kind=list)
    if node.op_type == "Unsqueeze":
        return _sizes(node, np.expand_dims(entries, tuple(axes or ())))
    return _sizes(node, np.squeeze(entries, None if axes is None else tuple(axes)))


@calculates("Reshape")
def _reshape(node: Node) -> _Calculated:
    entries, shape = _entries(node, 0), node.known(1) if node.has(1) else None
    if entries is None or shape is None:
        return None
    wanted = [int(size) for size in shape.reshape(-1)]
    if not node.attribute("allowzero", 0):
        wanted = [entries.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return _sizes(node, entries.reshape(wanted))


@calculates("Concat")
def _concat(node: Node) -> _Calculated:
    parts = [part for i in range(len(node.inputs)) if (part := _entries(node, i)) is not None]
    if len(parts) < len(node.inputs):
        return None
    return _sizes(node, np.concatenate(parts, node.attribute("axis", 1)))


@calculates("Gather")
def _gather(node: Node) -> _Calculated:
    entries, indices = _entries(node, 0), node.known(1)
    if entries is None or indices is None:
        return None
    return _sizes(node, entries.take(indices.astype(np.int64), node.attribute("axis", 0)))


@calculates("Slice")
def _slice(node: Node) -> _Calculated:
    entries = _entries(node, 0)
    if node.version < 10:
        starts, ends = node.attribute("starts", []), node.attribute("ends", [])
        axes, steps = node.attribute("axes", None, kind=list), None
    else:
        given = [node.known(i) if node.has(i) else None for i in range(1, 5)]
        starts, ends, axes, steps = (None if a is None else a.tolist() for a in given)
    if entries is None or starts is None or ends is None:
        return None
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * entries.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, None if step < 0 and end < -(2**31) else end, step)
    return _sizes(node, entries[tuple(index)])


@calculates("Split")
def _split(node: Node) -> _Calculated:
    entries = _entries(node, 0)
    lengths = node.ints(1) if node.has(1) else node.attribute("split", None, kind=list)
    if entries is None or lengths is None:
        return None
    ends = np.cumsum(lengths)[:-1].tolist()
    parts = np.split(entries, ends, node.attribute("axis", 0))
    return tuple(_sizes(node, part) for part in parts)


@calculates("Where")
def _where(node: Node) -> _Calculated:
    condition, x, y = node.known(0), _entries(node, 1), _entries(node, 2)
    if condition is None or x is None or y is None:
        return None
    return Sizes(np.where(condition, x, y), node.dtype(1))


# --- calculating --------------------------------------------------------------------------------


def _quotient(a: Any, b: Any) -> int | Variable:
    """The quotient, rounded towards zero."""
    if _is_natural(a) and _is_natural(b):
        return elementwise.floor_divide(a, b) if _symbolic(a, b) else int(a) // max(int(b), 1)
    if _symbolic(a, b):
        return truncated_quotient(as_scalar(a), as_scalar(b))
    quotient = abs(a) // max(abs(b), 1)
    return quotient if (a < 0) == (b < 0) else -quotient


def _symbolic(*entries: Any) -> bool:
    return any(isinstance(entry, Variable) for entry in entries)


def _is_natural(a: Any) -> bool:
    """Whether a size is known not to be negative."""
    size = _meaning(a)
    return size is not None and maximum_zero(size) == size


def _meaning(a: Any) -> Size | None:
    """The size that an entry stands for, if it is one."""
    if not isinstance(a, Variable):
        return int(a)
    return size_of(a) if is_size(a) else None


def _extreme(
    of_ints: Callable[[int, int], int], of_variables: Callable[[Any, Any], Variable]
) -> Callable[[Any, Any], Any]:
    def choose(a: Any, b: Any) -> Any:
        return of_variables(a, b) if _symbolic(a, b) else of_ints(a, b)

    return choose


_CALCULATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Div": _quotient,
    "Max": _extreme(max, elementwise.maximum),
    "Min": _extreme(min, elementwise.minimum),
    "Mul": operator.mul,
    "Sub": operator.sub,
}


@calculates(*_CALCULATIONS)
def _calculate(node: Node) -> _Calculated:
    parts = [part for i in range(len(node.inputs)) if (part := _entries(node, i)) is not None]
    if len(parts) < len(node.inputs) or node.version < 7:
        return None
    if not any(isinstance(v, Sizes) for v in node.inputs):
        return None  # numbers from data keep the arithmetic of their dtype
    calculate = np.frompyfunc(_CALCULATIONS[node.op_type], 2, 1)
    total: Any = parts[0]
    for part in parts[1:]:
        total = calculate(total, part)
    return _sizes(node, total)


@calculates("Neg")
def _negative(node: Node) -> _Calculated:
    entries = _entries(node, 0)
    if entries is None or not isinstance(node.value(0), Sizes):
        return None
    return _sizes(node, np.frompyfunc(operator.neg, 1, 1)(entries))


@calculates("ReduceProd", "ReduceSum")
def _reduce(node: Node) -> _Calculated:
    entries = _entries(node, 0)
    if entries is None or entries.ndim != 1 or len(entries) > MAX_AXES:
        return None
    op = operator.mul if node.op_type == "ReduceProd" else operator.add
    total: Any = 1 if node.op_type == "ReduceProd" else 0
    for entry in entries:
        total = op(total, entry)
    return _sizes(node, objects([total]) if node.attribute("keepdims", 1) else total)


# --- comparing ----------------------------------------------------------------------------------


def _is_equal(a: Any, b: Any) -> bool | None:
    """Whether two entries are equal, or None where the call tells."""
    x, y = _meaning(a), _meaning(b)
    if x is None or y is None:
        return None
    if isinstance(x - y, int):
        return x == y
    return False if _is_less(a, b) or _is_less(b, a) else None


def _is_less(a: Any, b: Any) -> bool | None:
    """Whether an entry is less than another, or None where the call tells."""
    x, y = _meaning(a), _meaning(b)
    if x is None or y is None:
        return None
    distance = y - x
    if isinstance(distance, int):
        return distance > 0
    if maximum_zero(distance - 1) == distance - 1:
        return True
    return False if maximum_zero(-distance) == -distance else None


_COMPARISONS: dict[str, Callable[[Any, Any], bool | None]] = {
    "Equal": _is_equal,
    "Greater": lambda a, b: _is_less(b, a),
    "Less": _is_less,
}


@calculates(*_COMPARISONS)
def _compare(node: Node) -> _Calculated:
    x, y = _entries(node, 0), _entries(node, 1)
    if x is None or y is None:
        return None
    found = Sizes(np.frompyfunc(_COMPARISONS[node.op_type], 2, 1)(x, y)).entries
    if any(answer is None for answer in found.reshape(-1)):
        return None
    return found.astype(bool)

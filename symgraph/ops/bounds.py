"""The bounds of a slice: what a user wrote, as an int or as a scalar that is not negative."""

from __future__ import annotations

import operator
import weakref
from typing import Any

import numpy as np

from ..core import provenance
from ..core.dims import Dim
from ..core.errors import SymgraphTypeError
from ..core.types import is_integer
from ..core.variable import Variable, constant_value
from .comparison import less
from .elementwise import (
    ADD,
    FLOOR_DIVIDE,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    add,
    maximum,
    minimum,
    to_int64,
    where,
)
from .promotion import CAST
from .sizes import SIZE, as_scalar, carry_size, shape_of, size_of, take_for_size

__all__ = ["bound"]

_FAR = 1 << 62


def bound(edge: Any, x: Variable, axis: int, *, after: bool = False) -> int | Variable | None:
    """An edge of a slice as a `Span` has it: an int, None, or a scalar that is not negative.

    With ``after`` the edge on the other side of that element.
    """
    if edge is None:
        return None
    if not isinstance(edge, Variable):
        try:
            return _after(_number(edge), x, axis) if after else _number(edge)
        except TypeError:
            raise _bad_bound(edge) from None
    if edge.ndim or not is_integer(edge.dtype):
        raise _bad_bound(edge)
    meaning, size = size_of(edge), x.type.shape[axis]
    distance = size - meaning
    if isinstance(distance, int) and 0 < distance <= 2 and isinstance(size, Dim):
        meaning = -distance  # x[:T - 1] is x[:-1], for an empty axis too
    if isinstance(meaning, int):
        return _after(meaning, x, axis) if after else meaning
    edge = to_int64(edge)
    if _is_never_negative(edge):
        return add(edge, 1) if after else edge
    return _clipped(edge, x, axis, after=after)


def _number(edge: Any) -> int:
    if isinstance(edge, (bool, np.bool_)):
        raise TypeError
    # Beyond these no axis has elements, and sums of two still fit 64 bits.
    return min(max(operator.index(edge), -_FAR), _FAR)


def _after(edge: int, x: Variable, axis: int) -> int | Variable:
    return shape_of(x)[axis] if edge == -1 else edge + 1


def _bad_bound(edge: Any) -> SymgraphTypeError:
    return SymgraphTypeError.here(
        f"the bounds of a slice are integers; found {provenance.describe(edge)}"
    )


# The first clipped edge for each size, scalar and side: later ones stand for the same size.
_first_clipped: weakref.WeakValueDictionary[tuple[Any, ...], Variable] = (
    weakref.WeakValueDictionary()
)


def _clipped(edge: Variable, x: Variable, axis: int, *, after: bool) -> Variable:
    """NumPy's meaning of a bound that may turn out negative, or too large."""
    length = as_scalar(shape_of(x)[axis])
    # The largest number plus one would be the least.
    moved = add(minimum(edge, length), 1) if after else edge
    clipped = where(less(edge, 0), maximum(add(moved, length), 0), minimum(moved, length))
    first = _first_clipped.setdefault((x.type.shape[axis], edge, after), clipped)
    take_for_size(first)
    carry_size(first, clipped)
    return clipped


_OPS_OF_SIZES = frozenset({ADD, MULTIPLY, MINIMUM, FLOOR_DIVIDE, CAST})


def _is_never_negative(scalar: Variable) -> bool:
    """Whether an integer scalar is known not to be negative, being made of sizes."""
    stack = [scalar]
    while stack:
        v = stack.pop()
        if v.op is SIZE or _is_natural(v) or (v.op is MAXIMUM and any(map(_is_natural, v.inputs))):
            continue
        if v.op not in _OPS_OF_SIZES:
            return False
        stack.extend(v.inputs)
    return True


def _is_natural(v: Variable) -> bool:
    value = constant_value(v)
    return value is not None and bool(value >= 0)

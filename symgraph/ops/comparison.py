"""Comparisons, logic and bits. None of them has a gradient."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..core.errors import SymgraphTypeError
from ..core.op import Op
from ..core.types import is_integer
from ..core.variable import Variable
from .entry import BOOL, elementwise
from .promotion import as_variable, cast_to

__all__ = [
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "eq",
    "equal",
    "greater",
    "greater_equal",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "ne",
    "not_equal",
    "right_shift",
]

# --- comparisons --------------------------------------------------------------------------------

_comparison = partial(elementwise, operands="any", result="bool", is_cheap=True)

EQUAL = _comparison("equal", lambda m, x, y: m.eq(x, y), traits=["commutative"])
NOT_EQUAL = _comparison("not_equal", lambda m, x, y: m.ne(x, y), traits=["commutative"])
LESS = _comparison("less", lambda m, x, y: m.lt(x, y))
LESS_EQUAL = _comparison("less_equal", lambda m, x, y: m.le(x, y))
GREATER = _comparison("greater", lambda m, x, y: m.gt(x, y))
GREATER_EQUAL = _comparison("greater_equal", lambda m, x, y: m.ge(x, y))
ISNAN = elementwise("isnan", lambda m, x: m.isnan(x), operands="float", result="bool")
ISINF = elementwise("isinf", lambda m, x: m.isinf(x), operands="float", result="bool")
ISFINITE = elementwise("isfinite", lambda m, x: m.isfinite(x), operands="float", result="bool")


_SWAPPED = {LESS: GREATER, LESS_EQUAL: GREATER_EQUAL, GREATER: LESS, GREATER_EQUAL: LESS_EQUAL}


def _compare(op: Op, x: Any, y: Any) -> Variable:
    """The comparison; with an int that the integers of the other side do not reach, as in NumPy."""
    if type(x) is int and isinstance(y, Variable):
        return _compare(_SWAPPED.get(op, op), y, x)
    if type(y) is int and isinstance(x, Variable) and is_integer(x.dtype):
        limits = np.iinfo(x.dtype)
        if not limits.min <= y <= limits.max:
            below = (LESS, LESS_EQUAL) if y > limits.max else (GREATER, GREATER_EQUAL)
            holds = op is NOT_EQUAL or op in below
            return (GREATER_EQUAL if holds else LESS)(x, limits.min)
    return op(x, y)


def equal(x: Any, y: Any) -> Variable:
    """Whether elements are equal (``==`` on variables is identity)."""
    return _compare(EQUAL, x, y)


def not_equal(x: Any, y: Any) -> Variable:
    """Whether elements differ; NaN differs from everything (``!=`` on variables is identity)."""
    return _compare(NOT_EQUAL, x, y)


eq = equal
ne = not_equal


def less(x: Any, y: Any) -> Variable:
    """``x < y``."""
    return _compare(LESS, x, y)


def less_equal(x: Any, y: Any) -> Variable:
    """``x <= y``."""
    return _compare(LESS_EQUAL, x, y)


def greater(x: Any, y: Any) -> Variable:
    """``x > y``."""
    return _compare(GREATER, x, y)


def greater_equal(x: Any, y: Any) -> Variable:
    """``x >= y``."""
    return _compare(GREATER_EQUAL, x, y)


def isnan(x: Any) -> Variable:
    """Whether elements are NaN."""
    return ISNAN(x)


def isinf(x: Any) -> Variable:
    """Whether elements are infinite, of either sign."""
    return ISINF(x)


def isfinite(x: Any) -> Variable:
    """Whether elements are neither infinite nor NaN."""
    return ISFINITE(x)


def as_condition(value: Any, function: str) -> Variable:
    """The truth of each element of what has to be symbolic, or an array: no plain bool."""
    if isinstance(value, (bool, np.bool_)):
        raise SymgraphTypeError.here(
            f"{function}: the condition is the plain bool {value}, known before anything is "
            "computed: == and != between variables tell whether they are one",
            remedy="sg.eq and sg.ne compare elements; a choice that is known now is Python's if.",
        )
    return as_bool(value, function)


# --- logic and bits -----------------------------------------------------------------------------

BITWISE_AND = elementwise(
    "bitwise_and",
    lambda m, x, y: m.bit_and(x, y),
    operands="bits",
    traits=["commutative"],
)
BITWISE_OR = elementwise(
    "bitwise_or",
    lambda m, x, y: m.bit_or(x, y),
    operands="bits",
    traits=["commutative"],
)
BITWISE_XOR = elementwise(
    "bitwise_xor",
    lambda m, x, y: m.bit_xor(x, y),
    operands="bits",
    traits=["commutative"],
)
INVERT = elementwise("invert", lambda m, x: m.bit_not(x), operands="bits")
LEFT_SHIFT = elementwise("left_shift", lambda m, x, y: m.shift_left(x, y), operands="integer")
RIGHT_SHIFT = elementwise("right_shift", lambda m, x, y: m.shift_right(x, y), operands="integer")


def bitwise_and(x: Any, y: Any) -> Variable:
    """``x & y``, for integers and bools."""
    return BITWISE_AND(x, y)


def bitwise_or(x: Any, y: Any) -> Variable:
    """``x | y``, for integers and bools."""
    return BITWISE_OR(x, y)


def bitwise_xor(x: Any, y: Any) -> Variable:
    """``x ^ y``, for integers and bools."""
    return BITWISE_XOR(x, y)


def invert(x: Any) -> Variable:
    """``~x``, for integers and bools."""
    return INVERT(x)


bitwise_not = invert


def left_shift(x: Any, y: Any) -> Variable:
    """``x << y``, for integers."""
    return LEFT_SHIFT(x, y)


def right_shift(x: Any, y: Any) -> Variable:
    """``x >> y``, for integers; the sign is kept."""
    return RIGHT_SHIFT(x, y)


def as_bool(x: Any, function: str) -> Variable:
    """The truth of each element: whether it is not zero."""
    return cast_to(as_variable(x, function), BOOL)


def logical_and(x: Any, y: Any) -> Variable:
    """Whether both elements are true (not zero)."""
    return BITWISE_AND(as_bool(x, "logical_and"), as_bool(y, "logical_and"))


def logical_or(x: Any, y: Any) -> Variable:
    """Whether one of the elements is true (not zero), or both are."""
    return BITWISE_OR(as_bool(x, "logical_or"), as_bool(y, "logical_or"))


def logical_xor(x: Any, y: Any) -> Variable:
    """Whether just one of the elements is true (not zero)."""
    return BITWISE_XOR(as_bool(x, "logical_xor"), as_bool(y, "logical_xor"))


def logical_not(x: Any) -> Variable:
    """Whether elements are false (zero)."""
    return INVERT(as_bool(x, "logical_not"))

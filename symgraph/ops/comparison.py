"""Comparisons, logic and bits. None of them has a gradient."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..core.annotations import ArrayLike
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


def equal(x: ArrayLike, y: ArrayLike) -> Variable:
    """Whether elements are equal, as bools (``==`` on variables is identity).

    >>> sg.eq([1.0, 2.0], 1).eval()
    array([ True, False])
    """
    return _compare(EQUAL, x, y)


def not_equal(x: ArrayLike, y: ArrayLike) -> Variable:
    """Whether elements differ; NaN differs from everything (``!=`` on variables is identity).

    >>> sg.ne([1.0, np.nan], [1.0, np.nan]).eval()
    array([False,  True])
    """
    return _compare(NOT_EQUAL, x, y)


eq = equal
ne = not_equal


def less(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x < y``, as bools; False beside NaN.

    >>> sg.less([1, 2], 2).eval()
    array([ True, False])
    """
    return _compare(LESS, x, y)


def less_equal(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x <= y``, as bools; False beside NaN.

    >>> sg.less_equal([1, 2], 2).eval()
    array([ True,  True])
    """
    return _compare(LESS_EQUAL, x, y)


def greater(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x > y``, as bools; False beside NaN.

    >>> sg.greater([1, 2], 1).eval()
    array([False,  True])
    """
    return _compare(GREATER, x, y)


def greater_equal(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x >= y``, as bools; False beside NaN.

    >>> sg.greater_equal([1, 2], 2).eval()
    array([False,  True])
    """
    return _compare(GREATER_EQUAL, x, y)


def isnan(x: ArrayLike) -> Variable:
    """Whether elements are NaN.

    >>> sg.isnan([1.0, np.nan]).eval()
    array([False,  True])
    """
    return ISNAN(x)


def isinf(x: ArrayLike) -> Variable:
    """Whether elements are infinite, of either sign.

    >>> sg.isinf([1.0, -np.inf]).eval()
    array([False,  True])
    """
    return ISINF(x)


def isfinite(x: ArrayLike) -> Variable:
    """Whether elements are neither infinite nor NaN.

    >>> sg.isfinite([1.0, np.inf, np.nan]).eval()
    array([ True, False, False])
    """
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


def bitwise_and(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x & y``, for integers and bools; a `DtypeError` for floats.

    >>> sg.bitwise_and(6, 3).eval()
    np.int64(2)
    """
    return BITWISE_AND(x, y)


def bitwise_or(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x | y``, for integers and bools; a `DtypeError` for floats.

    >>> sg.bitwise_or(6, 3).eval()
    np.int64(7)
    """
    return BITWISE_OR(x, y)


def bitwise_xor(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x ^ y``, for integers and bools; a `DtypeError` for floats.

    >>> sg.bitwise_xor(6, 3).eval()
    np.int64(5)
    """
    return BITWISE_XOR(x, y)


def invert(x: ArrayLike) -> Variable:
    """``~x``, for integers and bools; a `DtypeError` for floats.

    >>> sg.invert([True, False]).eval()
    array([False,  True])
    """
    return INVERT(x)


bitwise_not = invert


def left_shift(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x << y``, for integers; a `DtypeError` for others.

    >>> sg.left_shift(1, [2, 3]).eval()
    array([4, 8])
    """
    return LEFT_SHIFT(x, y)


def right_shift(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x >> y``, for integers, whose sign is kept; a `DtypeError` for others.

    >>> sg.right_shift(-8, 1).eval()
    np.int64(-4)
    """
    return RIGHT_SHIFT(x, y)


def as_bool(x: Any, function: str) -> Variable:
    """The truth of each element: whether it is not zero."""
    return cast_to(as_variable(x, function), BOOL)


def logical_and(x: ArrayLike, y: ArrayLike) -> Variable:
    """Whether both elements are true (not zero).

    >>> sg.logical_and([0, 1], [2, 2]).eval()
    array([False,  True])
    """
    return BITWISE_AND(as_bool(x, "logical_and"), as_bool(y, "logical_and"))


def logical_or(x: ArrayLike, y: ArrayLike) -> Variable:
    """Whether one of the elements is true (not zero), or both are.

    >>> sg.logical_or([0, 1], [0, 2]).eval()
    array([False,  True])
    """
    return BITWISE_OR(as_bool(x, "logical_or"), as_bool(y, "logical_or"))


def logical_xor(x: ArrayLike, y: ArrayLike) -> Variable:
    """Whether just one of the elements is true (not zero).

    >>> sg.logical_xor([0, 1], [2, 2]).eval()
    array([ True, False])
    """
    return BITWISE_XOR(as_bool(x, "logical_xor"), as_bool(y, "logical_xor"))


def logical_not(x: ArrayLike) -> Variable:
    """Whether elements are false (zero).

    >>> sg.logical_not([0, 2]).eval()
    array([ True, False])
    """
    return INVERT(as_bool(x, "logical_not"))

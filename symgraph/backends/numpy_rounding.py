"""The reference with roundings at random: how far apart two right results may be.

Each result of an operation is moved by a few units in the last place, each time by others, as if
another machine had computed it (Monte Carlo arithmetic; Parker, 1997). What comes out of several
runs shows how rounding grows on its way: where values cancel, over the steps of a loop, and where a
comparison is so near that rounding decides it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.op import Op
from ..core.types import TensorType, is_float
from ..core.variable import Variable
from ..ops.activation import RELU
from ..ops.elementwise import (
    ABSOLUTE,
    ADD,
    CLIP,
    DIVIDE,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATIVE,
    SQUARE,
    SUBTRACT,
    WHERE,
)
from ..ops.extremes import MAX, MIN
from ..ops.promotion import CAST
from ..ops.ranges import IOTA
from ..ops.softmax import LOG_SOFTMAX, LOGSUMEXP, SOFTMAX
from ..ops.sort import SORT
from ..ops.transcendental import POWER, RECIPROCAL, SQRT
from .plan import Call

__all__ = ["Rounding"]

# By how many units in the last place two machines' functions may differ.
_ULPS = 4.0
# The same for sums, for each square root of the number of terms.
_SUM_ULPS = 2.0
# Whole numbers up to here are counts, labels and masks: arithmetic does not round them.
_WHOLE = 2.0**20
# What only chooses among values that are there already.
_CHOOSING = frozenset(
    {WHERE, NEGATIVE, ABSOLUTE, MAXIMUM, MINIMUM, CLIP, RELU, MAX, MIN, SORT, IOTA}
)
_SUMS = frozenset({ADD, SUBTRACT})
_ARITHMETIC = _SUMS | {MULTIPLY, DIVIDE, SQUARE, SQRT, POWER, RECIPROCAL, CAST}
# What has a value of 0 or 1 for whole numbers that is not the true one.
_SATURATING = frozenset({SOFTMAX, LOG_SOFTMAX, LOGSUMEXP})


class Rounding:
    """Roundings at random, one after another; for one thread at a time."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def around(self, v: Variable, call: Call) -> Call:
        """What computes the node by ``call``, rounded otherwise each time."""
        op = v.op
        if not isinstance(v.type, TensorType) or not is_float(v.dtype) or op in _CHOOSING:
            return call
        if not op.traits.isdisjoint({"view", "leaf", "step", "layout"}):
            return call
        if op.kind == "elementwise":
            return lambda *operands: self._rounded_each(op, call(*operands), operands)
        return lambda *operands: self._rounded(op, call, operands)

    def _rounded_each(self, op: Op, result: Any, operands: Sequence[Any]) -> Any:
        """What an elementwise operation gave, rounded otherwise."""
        moved = self._moved(result, _is_exact(op, result, operands), _ULPS)
        return self._within_range(result, operands, moved, may_vanish=op not in _SUMS)

    def _rounded(self, op: Op, call: Call, operands: Sequence[Any]) -> Any:
        """What an operation of several terms gives, its terms and itself rounded otherwise."""
        result = call(*operands)
        is_whole = all(np.all(_is_whole(x)) for x in operands if is_float(x.dtype))
        if is_whole and op not in _SATURATING and np.all(_is_whole(result)):
            return result
        size = _SUM_ULPS * math.sqrt(_count_terms(result, operands))
        terms = [self._moved(x, _is_whole(x), size) if is_float(x.dtype) else x for x in operands]
        moved = self._moved(call(*terms), False, max(size, _ULPS))
        return self._within_range(result, (), moved, may_vanish=op in _SATURATING)

    def _moved(self, value: Any, exact: Any, size: float) -> Any:
        """The value, moved by at most so many units in the last place where it is not exact."""
        size *= np.finfo(value.dtype).eps
        factor = 1.0 + self._generator.uniform(-size, size, np.shape(value))
        return np.where(exact, value, value * factor).astype(value.dtype)

    def _within_range(
        self, result: Any, operands: Sequence[Any], moved: Any, *, may_vanish: bool
    ) -> Any:
        """Numbers in place of what is infinite or zero because it is out of range."""
        limits = np.finfo(result.dtype)
        ordinary: Any = True
        for x in operands:
            if is_float(x.dtype):
                ordinary = ordinary & np.isfinite(x) & (x != 0)
        beyond = np.isinf(result) & ordinary
        beneath = (result == 0) & ordinary & may_vanish
        if not (np.any(beyond) or np.any(beneath)):
            return moved
        random = self._generator.uniform(0.1, 1.0, np.shape(result))
        signs = self._generator.choice((-1.0, 1.0), np.shape(result))
        moved = np.where(beyond, np.sign(result) * random * float(limits.max), moved)
        moved = np.where(beneath, signs * random * float(limits.smallest_normal), moved)
        return moved.astype(result.dtype)


def _is_exact(op: Op, result: Any, operands: Sequence[Any]) -> Any:
    """Which elements of an elementwise operation's result no rounding made."""
    floats = [x for x in operands if is_float(x.dtype)]
    exact = _is_whole(result)
    for x in floats:
        exact = exact & _is_whole(x)
        if op not in _ARITHMETIC:
            exact = exact & (np.abs(x) <= 1)  # exp(0), log(1): others may have run into a limit
    for x in floats:
        if op in _SUMS:
            exact = exact | (x == 0)
        elif op in _ARITHMETIC:
            exact = exact | (np.abs(result) == np.abs(x))
    return exact


def _is_whole(value: Any) -> Any:
    return (value == np.floor(value)) & (np.abs(value) < _WHOLE)


def _count_terms(result: Any, operands: Sequence[Any]) -> float:
    """About how many terms an element of the result is made of."""
    sizes = sorted((x.size for x in operands), reverse=True)
    n = max(1, result.size)
    ratios = [sizes[0] / n] if sizes else [1.0]
    if len(sizes) > 1:
        ratios.append(math.sqrt(sizes[0] * sizes[1] / n))
    return max(1.0, *ratios, *(length for x in operands for length in x.shape))

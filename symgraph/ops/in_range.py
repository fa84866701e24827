"""Indices that count from 0 alone: classes and symbols, of which -1 is not the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.errors import DtypeError, IndexRangeError, ShapeError, explain
from ..core.op import Op
from ..core.types import TensorType, is_integer
from ..core.variable import Variable, constant_value, node
from .promotion import as_variable, cast_to, is_weak
from .sizes import as_scalar

__all__ = ["IN_RANGE", "in_range", "range_fault"]


def range_fault(wrong: int, size: int, what: str) -> str:
    """What is to say of an index outside its range."""
    return f"{what} {wrong} is not from 0 to below {size}"


def _infer_in_range(inputs: Sequence[Variable], what: str) -> TensorType:
    indices, _ = inputs
    if not is_integer(indices.dtype):
        raise DtypeError(f"{what}: indices are integers, not {indices.dtype}")
    return indices.type


def _check(indices: np.ndarray, size: int, what: str, line: str | None = None) -> None:
    if indices.size and not (int(indices.min()) >= 0 and int(indices.max()) < size):
        wrong = int(indices[(indices < 0) | (indices >= size)].flat[0])
        raise IndexRangeError(explain(range_fault(wrong, size, what), line=line))


def _evaluate_in_range(arrays: Sequence[np.ndarray], what: str) -> np.ndarray:
    indices, size = arrays
    _check(indices, int(size), what)
    return indices


# The indices, each of which is from 0 to below a size; else the call fails.
IN_RANGE = Op(
    "in_range",
    _infer_in_range,
    _evaluate_in_range,
    params=("what",),
    traits=frozenset({"view", "check", "traced"}),
)


def in_range(indices: Any, size: Any, what: str = "index") -> Variable:
    """The indices; one that is not from 0 to below ``size`` is an `IndexRangeError` at the call.

    For what is no place in an array but a class or a symbol: -1 does not count from the end.
    ``size`` is an int or an integer scalar; ``what`` names an index in the message.
    """
    found = as_variable(indices, "in_range")
    if not is_integer(found.dtype):
        raise DtypeError(
            explain(
                f"in_range takes integers; found {provenance.describe(found)}",
                line=provenance.user_line(),
            )
        )
    count = as_variable(size, "in_range")
    if count.ndim or not is_integer(count.dtype):
        raise ShapeError(
            explain(
                f"in_range: the size is an integer scalar, not {provenance.describe(count)}",
                line=provenance.user_line(),
            )
        )
    count = as_scalar(int(size)) if is_weak(size) else cast_to(count, np.dtype("int64"))
    values, number = constant_value(found), constant_value(count)
    if values is not None and number is not None:
        _check(values, int(number), what, provenance.user_line())
        return found
    return node(IN_RANGE, (found, count), (what,))

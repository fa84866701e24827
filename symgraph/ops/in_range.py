"""Indices that count from 0 alone: classes and symbols, of which -1 is not the last one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, SizeLike
from ..core.errors import (
    CallError,
    DtypeError,
    IndexRangeError,
    ShapeError,
    SymgraphError,
    explain,
)
from ..core.op import Op
from ..core.types import TensorType, is_integer
from ..core.variable import Variable, constant_value, node
from .promotion import as_variable, cast_to, is_weak
from .sizes import as_scalar

__all__ = ["IN_RANGE", "in_range", "no_negative", "range_error", "range_fault"]


def range_fault(wrong: int, size: int, what: str) -> str:
    """What is to say of an index outside its range."""
    return f"{what} {wrong} is not from 0 to below {size}"


def range_error(*, is_index: bool) -> type[SymgraphError]:
    """The type of error for a number outside its range."""
    return IndexRangeError if is_index else CallError


def _infer_in_range(inputs: Sequence[Variable], what: str, is_index: bool) -> TensorType:
    indices, _ = inputs
    if not is_integer(indices.dtype):
        raise DtypeError(f"{what}: indices are integers, not {indices.dtype}")
    return indices.type


def _check(
    indices: np.ndarray, size: int, what: str, *, is_index: bool, line: str | None = None
) -> None:
    if indices.size and not (int(indices.min()) >= 0 and int(indices.max()) < size):
        first = tuple(map(int, np.argwhere((indices < 0) | (indices >= size))[0]))
        fault = range_fault(int(indices[first]), size, what)
        error = range_error(is_index=is_index)(explain(fault, line=line))
        if isinstance(error, IndexRangeError):
            error.place = first
        raise error


def _evaluate_in_range(arrays: Sequence[np.ndarray], what: str, is_index: bool) -> np.ndarray:
    indices, size = arrays
    _check(indices, int(size), what, is_index=is_index)
    return indices


# The indices, each of which is from 0 to below a size; else the call fails.
IN_RANGE = Op(
    "in_range",
    _infer_in_range,
    _evaluate_in_range,
    params=("what", "is_index"),
    traits=frozenset({"view", "check", "traced"}),
)


def in_range(indices: ArrayLike, size: SizeLike, what: str = "index") -> Variable:
    """The indices; one that is not from 0 to below ``size`` is an `IndexRangeError` at the call.

    For what is no place in an array but a class or a symbol: -1 does not count from the end.
    ``size`` is an int or an integer scalar; ``what`` names an index in the message. Floats are a
    `DtypeError`, a size with axes a `ShapeError`.

    >>> label = sg.scalar(dtype="int64")
    >>> sg.in_range(label, 10, "class").eval({label: 3})
    np.int64(3)
    """
    found = as_variable(indices, "in_range")
    if not is_integer(found.dtype):
        raise DtypeError.here(f"in_range takes integers; found {provenance.describe(found)}")
    count = as_variable(size, "in_range")
    if count.ndim or not is_integer(count.dtype):
        raise ShapeError.here(
            f"in_range: the size is an integer scalar, not {provenance.describe(count)}"
        )
    count = as_scalar(int(size)) if is_weak(size) else cast_to(count, np.dtype("int64"))
    values, number = constant_value(found), constant_value(count)
    if values is not None and number is not None:
        _check(values, int(number), what, is_index=True, line=provenance.user_line())
        return found
    return node(IN_RANGE, (found, count), (what, True))


def no_negative(numbers: Variable, what: str) -> Variable:
    """The integers; a negative one is a `CallError`, in which ``what`` names it."""
    return node(IN_RANGE, (numbers, as_scalar(np.iinfo(np.int64).max)), (what, False))

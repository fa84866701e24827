"""Numbers in order: 0, 1, …; by equal steps; evenly from one end to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.annotations import DTypeLike, ScalarLike, SizeLike
from ..core.errors import (
    CallError,
    NumberRangeError,
    SymgraphTypeError,
    SymgraphValueError,
    TooLargeError,
)
from ..core.flags import check_flags
from ..core.op import Op
from ..core.types import TensorType, as_dtype, is_integer, tensor_type
from ..core.values import whole_number
from ..core.variable import Variable, make_constant, node
from .broadcast import template_numbers, template_sizes
from .elementwise import add, divide, floor_divide, maximum, multiply, negative, subtract, to_int64
from .promotion import as_int, as_variable, cast_to, is_weak, promote_arguments, to_float
from .sizes import refuse_negative, shape_operands

__all__ = ["IOTA", "arange", "iota", "linspace"]

_INT64 = np.dtype("int64")


def _infer_iota(
    inputs: Sequence[Variable], template: tuple[int | None], dtype: np.dtype
) -> TensorType:
    return tensor_type(dtype, template_sizes(template, inputs))


def _evaluate_iota(
    arrays: Sequence[np.ndarray], template: tuple[int | None], dtype: np.dtype
) -> np.ndarray:
    (length,) = template_numbers(template, arrays)
    if length < 0:
        raise CallError(f"arange: the length is negative: {length}")
    if length * dtype.itemsize >> 62:
        raise MemoryError  # NumPy takes some such lengths for 0
    return np.arange(length, dtype=dtype)


# The numbers 0, 1, … below a length; the input is the length where it is a symbol.
IOTA = Op("iota", _infer_iota, _evaluate_iota, params=("template", "dtype"))


def iota(length: SizeLike, dtype: np.dtype = _INT64) -> Variable:
    """The numbers 0, 1, … below a length."""
    template, symbols, _ = shape_operands((length,), "arange")
    refuse_negative(template, "arange")
    return node(IOTA, symbols, (template, dtype))


def arange(
    start: ScalarLike,
    stop: ScalarLike | None = None,
    step: ScalarLike = 1,
    dtype: DTypeLike | None = None,
) -> Variable:
    """The vector of numbers from ``start`` (0 for one argument) below ``stop``, ``step`` apart.

    Integers may be scalar variables, such as the sizes in ``x.shape``; floats have to be numbers.
    Without a dtype integers give int64, and Python floats float32 where NumPy has float64. No
    numbers where the step leads away from ``stop``. Other arguments, a step that is 0 and floats
    beside variables are a `SymgraphTypeError`.

    >>> x = sg.vector("x")
    >>> sg.arange(1, x.shape[0]).eval({x: [5.0, 5.0, 5.0]})
    array([1, 2])
    """
    if stop is None:
        start, stop = 0, start
    # An array of no dimensions is the number in it.
    start, stop, step = (
        v[()] if isinstance(v, np.ndarray) and v.ndim == 0 else v for v in (start, stop, step)
    )
    symbols = [v for v in (start, stop, step) if isinstance(v, Variable)]
    for symbol in symbols:
        if symbol.ndim or not is_integer(symbol.dtype):
            raise SymgraphTypeError.here(
                "arange takes numbers and integer scalars; found " + provenance.describe(symbol)
            )
    if not symbols:
        return _fixed_range(start, stop, step, dtype)
    return cast_to(_symbolic_range(start, stop, step), _INT64 if dtype is None else as_dtype(dtype))


def _symbolic_range(*ends: Any) -> Variable:
    """The range of int64 for a start, a stop and a step of which one is a symbol."""
    if any(isinstance(value, (float, np.floating)) for value in ends):
        raise SymgraphTypeError.here(
            "arange: the length of a range of floats has to be known",
            remedy="Multiply and add to sg.arange(n), for a symbolic n.",
        )
    # Differences of small or unsigned integers would wrap.
    start, stop, step = (
        to_int64(value) if isinstance(value, Variable) else as_int(value, "arange: a bound")
        for value in ends
    )
    length = cast_to(as_variable(_range_length(start, stop, step)), _INT64)
    numbers = iota(maximum(length, 0))
    if not (isinstance(step, int) and step == 1):
        numbers = multiply(numbers, step)
    if not (isinstance(start, int) and start == 0):
        numbers = add(numbers, start)
    return numbers


def _range_length(
    start: int | Variable, stop: int | Variable, step: int | Variable
) -> int | Variable:
    """The distance divided by the step, rounded up; negative for a range of nothing."""
    if isinstance(step, Variable):
        return negative(floor_divide(subtract(start, stop), step))
    _check_step(step)
    low, high = (start, stop) if step > 0 else (stop, start)
    distance = high if isinstance(low, int) and low == 0 else subtract(high, low)
    if abs(step) == 1:
        return distance
    return floor_divide(add(distance, abs(step) - 1), abs(step))


def _check_step(step: Any) -> None:
    if step == 0:
        raise SymgraphTypeError.here("arange: the step is 0")


_RANGE_ERRORS = {MemoryError: TooLargeError, OverflowError: NumberRangeError}


def _fixed_range(start: Any, stop: Any, step: Any, dtype: DTypeLike | None) -> Variable:
    """The range between numbers: an `IOTA` where it counts up from 0, else a constant."""
    for value in (start, stop, step):
        if isinstance(value, (bool, str)) or not isinstance(value, (int, float, np.number)):
            raise SymgraphTypeError.here(
                f"arange takes numbers and integer scalars; found {value!r}"
            )
    _check_step(step)
    if start == 0 and step == 1 and isinstance(stop, (int, np.integer)):
        return iota(max(int(stop), 0), _INT64 if dtype is None else as_dtype(dtype))
    numbers = _range_array(start, stop, step, dtype)
    if dtype is not None:
        wanted = as_dtype(dtype)
    elif is_integer(numbers.dtype):
        wanted = _INT64
    else:
        wanted = np.result_type(*(np.float32(v) if is_weak(v) else v for v in (start, stop, step)))
    if start == 0 and step == 1 and is_integer(numbers.dtype):
        return iota(len(numbers), wanted)
    return make_constant(numbers, wanted, what="arange")


def _range_array(start: Any, stop: Any, step: Any, dtype: DTypeLike | None) -> np.ndarray:
    """NumPy's range, in a dtype that holds its numbers."""
    try:
        # Python ints need not fit into int64, if the dtype is uint64.
        whole = dtype is not None and isinstance(start, int) and isinstance(stop, int)
        large = whole and max(abs(start), abs(stop)) >= 2**63
        return np.arange(start, stop, step, dtype=as_dtype(dtype) if large else None)
    except (ValueError, MemoryError, OverflowError) as error:
        kind = _RANGE_ERRORS.get(type(error), SymgraphValueError)
        raise kind.here(
            f"arange: there is no range from {start} to {stop} by {step}: {error}"
        ) from None


def linspace(
    start: ScalarLike,
    stop: ScalarLike,
    num: int = 50,
    *,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
) -> Variable:
    """The vector of ``num`` evenly spaced numbers from ``start`` to ``stop``.

    ``endpoint=False`` leaves ``stop`` out. The ends may be scalar variables. Without a dtype Python
    numbers give float32, where NumPy has float64. A ``num`` that is no int of at least 0 is a
    `SymgraphTypeError`; more samples than memory holds are a `TooLargeError`.

    >>> sg.linspace(0, 1, 5).eval()
    array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    check_flags("linspace", endpoint=endpoint)
    count = whole_number(num)
    if count is None or count < 0:
        raise SymgraphTypeError.here(
            f"linspace: the number of samples is an int of at least 0, not {num!r}"
        )
    if not isinstance(start, Variable) and not isinstance(stop, Variable):
        return _fixed_linspace(start, stop, count, endpoint, dtype)
    first, last = (to_float(v) for v in promote_arguments("linspace", (start, stop)))
    share = divide(iota(count, first.dtype), max(count - 1 if endpoint else count, 1))
    numbers = add(multiply(first, subtract(1.0, share)), multiply(last, share))
    return numbers if dtype is None else cast_to(numbers, as_dtype(dtype))


def _fixed_linspace(
    start: Any, stop: Any, count: int, endpoint: bool, dtype: DTypeLike | None
) -> Variable:
    ends = [np.float32(v) if is_weak(v) else v for v in (start, stop)]
    try:
        wanted = np.result_type(*ends, np.float32) if dtype is None else dtype
        numbers = np.linspace(start, stop, count, endpoint)
    except TypeError:
        raise SymgraphTypeError.here(
            f"linspace: the ends are numbers, not {start!r} and {stop!r}"
        ) from None
    except (ValueError, MemoryError):
        raise TooLargeError.here(
            f"linspace: no memory holds {count} samples as a constant"
        ) from None
    return make_constant(numbers, as_dtype(wanted), what="linspace")

"""Variables from nothing: inputs, constants, shared variables, and arrays with a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.errors import (
    CallError,
    DtypeError,
    NumberRangeError,
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
    TooLargeError,
)
from ..core.op import Op
from ..core.shared import SharedVariable, make_shared
from ..core.types import TensorType, as_dtype, is_integer, size_from, tensor_type
from ..core.values import whole_number
from ..core.variable import Variable, make_constant, make_input, node
from .broadcast import broadcast_to, rearrange, template_numbers, template_sizes
from .comparison import eq, greater_equal
from .elementwise import (
    add,
    divide,
    floor_divide,
    maximum,
    multiply,
    negative,
    subtract,
    to_int64,
    where,
)
from .promotion import (
    as_int,
    as_variable,
    cast_to,
    fill_with,
    is_weak,
    promote_arguments,
    to_float,
)
from .sizes import shape_of, shape_operands

__all__ = [
    "IOTA",
    "arange",
    "constant",
    "eye",
    "full",
    "full_like",
    "iota",
    "linspace",
    "matrix",
    "one_hot",
    "ones",
    "ones_like",
    "scalar",
    "shared",
    "tensor",
    "tensor3",
    "tensor4",
    "tri",
    "tril",
    "triu",
    "vector",
    "zeros",
    "zeros_like",
]

_INT64 = np.dtype("int64")


# --- inputs, constants, shared variables --------------------------------------------------------


def tensor(name: str | None = None, shape: Any = (), dtype: Any = "float32") -> Variable:
    """A new input. Sizes are ints, names (equal wherever they meet) or None (unknown)."""
    if name is not None and not isinstance(name, str):
        raise SymgraphTypeError.here(
            f"the name of a variable is a string, not {name!r}",
            remedy='Write sg.tensor("x", shape).',
        )
    if isinstance(shape, str) or whole_number(shape) is not None:
        shape = (shape,)
    elif isinstance(shape, Variable) or not np.iterable(shape):
        raise SymgraphTypeError.here(f"a shape is a tuple of ints, names and None; found {shape!r}")
    sizes = [size_from(entry) for entry in shape]
    return make_input(tensor_type(as_dtype(dtype), sizes), name)


def scalar(name: str | None = None, dtype: Any = "float32") -> Variable:
    """A new input of no axes."""
    return tensor(name, (), dtype)


def vector(name: str | None = None, dtype: Any = "float32") -> Variable:
    """A new input of one axis of unknown size."""
    return tensor(name, (None,), dtype)


def matrix(name: str | None = None, dtype: Any = "float32") -> Variable:
    """A new input of two axes of unknown sizes."""
    return tensor(name, (None, None), dtype)


def tensor3(name: str | None = None, dtype: Any = "float32") -> Variable:
    """A new input of three axes of unknown sizes."""
    return tensor(name, (None, None, None), dtype)


def tensor4(name: str | None = None, dtype: Any = "float32") -> Variable:
    """A new input of four axes of unknown sizes."""
    return tensor(name, (None, None, None, None), dtype)


def constant(value: Any, dtype: Any = None) -> Variable:
    """The variable with this fixed value, which is copied. Python floats become float32."""
    if isinstance(value, Variable):
        raise SymgraphTypeError.here(
            f"{provenance.describe(value)} is a symbol, not a value",
            remedy="Use the variable as it is.",
        )
    return make_constant(value, dtype)


def shared(value: Any, name: str | None = None) -> SharedVariable:
    """A new variable that keeps a value between calls, from a copy of this one.

    A Python float becomes float32; arrays and NumPy scalars keep their dtype.
    """
    if name is not None and not isinstance(name, str):
        raise SymgraphTypeError.here(
            f"the name of a shared variable is a string, not {name!r}",
            remedy="A dtype comes with the value: sg.shared(np.float32(1)).",
        )
    return make_shared(value, name)


# --- one value everywhere -----------------------------------------------------------------------


def full(shape: Any, value: Any, dtype: Any = "float32") -> Variable:
    """The value, which may be a variable, repeated to the shape."""
    dtype = as_dtype(dtype)
    filler = fill_with(value, dtype, "full")
    _check_sizes(shape, "full")
    return broadcast_to(filler, shape)


def _check_sizes(shape: Any, function: str) -> None:
    template, _, _ = shape_operands(shape, function)
    if any(entry is not None and entry < 0 for entry in template):
        raise ShapeError.here(f"{function}: a size is at least 0; found {tuple(template)}")


def zeros(shape: Any, dtype: Any = "float32") -> Variable:
    """Zeros in this shape."""
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = "float32") -> Variable:
    """Ones in this shape."""
    return full(shape, 1, dtype)


def full_like(x: Any, value: Any, dtype: Any = None) -> Variable:
    """The value in the shape of ``x``, and its dtype where no other is given."""
    x = as_variable(x, "full_like")
    return full(shape_of(x), value, x.dtype if dtype is None else dtype)


def zeros_like(x: Any, dtype: Any = None) -> Variable:
    """Zeros in the shape of ``x``, and its dtype where no other is given."""
    return full_like(x, 0, dtype)


def ones_like(x: Any, dtype: Any = None) -> Variable:
    """Ones in the shape of ``x``, and its dtype where no other is given."""
    return full_like(x, 1, dtype)


# --- numbers in order ---------------------------------------------------------------------------


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


def iota(length: Any, dtype: np.dtype = _INT64) -> Variable:
    """The numbers 0, 1, … below a length."""
    template, symbols, _ = shape_operands((length,), "arange")
    _check_sizes((length,), "arange")
    return node(IOTA, symbols, (template, dtype))


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Variable:
    """The numbers from ``start`` (0 if there is only one argument) below ``stop``, by ``step``.

    Integers may be symbols; floats have to be numbers. Integers give int64, Python floats float32
    where no dtype is given.
    """
    if stop is None:
        start, stop = 0, start
    # An array of no dimensions is the number in it.
    start, stop, step = given = [
        v[()] if isinstance(v, np.ndarray) and v.ndim == 0 else v for v in (start, stop, step)
    ]
    for value in given:
        if isinstance(value, Variable) and (value.ndim or not is_integer(value.dtype)):
            raise SymgraphTypeError.here(
                "arange takes numbers and integer scalars; found " + provenance.describe(value)
            )
    if not any(isinstance(value, Variable) for value in given):
        return _fixed_range(start, stop, step, dtype)
    if any(isinstance(value, (float, np.floating)) for value in given):
        raise SymgraphTypeError.here(
            "arange: the length of a range of floats has to be known",
            remedy="Multiply and add to sg.arange(n), for a symbolic n.",
        )
    wanted = _INT64 if dtype is None else as_dtype(dtype)
    # Differences of small or unsigned integers would wrap.
    start, stop, step = (
        to_int64(value) if isinstance(value, Variable) else as_int(value, "arange: a bound")
        for value in given
    )
    length = cast_to(as_variable(_range_length(start, stop, step)), _INT64)
    numbers = iota(maximum(length, 0))
    if not (isinstance(step, int) and step == 1):
        numbers = multiply(numbers, step)
    if not (isinstance(start, int) and start == 0):
        numbers = add(numbers, start)
    return cast_to(numbers, wanted)


def _range_length(start: Any, stop: Any, step: Any) -> Any:
    """The distance divided by the step, rounded up; negative for a range of nothing."""
    if isinstance(step, Variable):
        return negative(floor_divide(subtract(start, stop), step))
    _check_step(step)
    low, high = (start, stop) if step > 0 else (stop, start)
    distance = high if isinstance(low, int) and low == 0 else subtract(high, low)
    if abs(step) == 1:
        return distance
    return floor_divide(add(distance, abs(int(step)) - 1), abs(int(step)))


def _check_step(step: Any) -> None:
    if step == 0:
        raise SymgraphTypeError.here("arange: the step is 0")


_RANGE_ERRORS = {MemoryError: TooLargeError, OverflowError: NumberRangeError}


def _fixed_range(start: Any, stop: Any, step: Any, dtype: Any) -> Variable:
    for value in (start, stop, step):
        if isinstance(value, (bool, str)) or not isinstance(value, (int, float, np.number)):
            raise SymgraphTypeError.here(
                f"arange takes numbers and integer scalars; found {value!r}"
            )
    _check_step(step)
    if start == 0 and step == 1 and isinstance(stop, (int, np.integer)):
        return iota(max(int(stop), 0), _INT64 if dtype is None else as_dtype(dtype))
    try:
        # Python ints need not fit into int64, if the dtype is uint64.
        whole = dtype is not None and isinstance(start, int) and isinstance(stop, int)
        large = whole and max(abs(start), abs(stop)) >= 2**63
        numbers = np.arange(start, stop, step, dtype=as_dtype(dtype) if large else None)
    except (ValueError, MemoryError, OverflowError) as error:
        kind = _RANGE_ERRORS.get(type(error), SymgraphValueError)
        raise kind.here(
            f"arange: there is no range from {start} to {stop} by {step}: {error}"
        ) from None
    if dtype is not None:
        wanted = as_dtype(dtype)
    elif is_integer(numbers.dtype):
        wanted = _INT64
    else:
        wanted = np.result_type(*(np.float32(v) if is_weak(v) else v for v in (start, stop, step)))
    if start == 0 and step == 1 and is_integer(numbers.dtype):
        return iota(len(numbers), wanted)
    return make_constant(numbers, wanted, what="arange")


def linspace(
    start: Any, stop: Any, num: int = 50, *, endpoint: bool = True, dtype: Any = None
) -> Variable:
    """``num`` evenly spaced numbers from ``start`` to ``stop``, which the end may leave out.

    The ends may be scalar variables. float32 where nothing asks for another dtype.
    """
    count = whole_number(num)
    if count is None or count < 0:
        raise SymgraphTypeError.here(
            f"linspace: the number of samples is an int of at least 0, not {num!r}"
        )
    num = count
    if not isinstance(start, Variable) and not isinstance(stop, Variable):
        ends = [np.float32(v) if is_weak(v) else v for v in (start, stop)]
        wanted = as_dtype(np.result_type(*ends, np.float32) if dtype is None else dtype)
        try:
            numbers = np.linspace(start, stop, num, endpoint)
        except (ValueError, MemoryError):
            raise TooLargeError.here(
                f"linspace: no memory holds {num} samples as a constant"
            ) from None
        return make_constant(numbers, wanted, what="linspace")
    first, last = (to_float(v) for v in promote_arguments("linspace", (start, stop)))
    share = divide(iota(num, first.dtype), max(num - 1 if endpoint else num, 1))
    numbers = add(multiply(first, subtract(1.0, share)), multiply(last, share))
    return numbers if dtype is None else cast_to(numbers, as_dtype(dtype))


# --- matrices of zeros and ones -----------------------------------------------------------------


def _row_and_column(n: Any, m: Any) -> tuple[Variable, Variable]:
    return rearrange(iota(n), [0, None]), rearrange(iota(m), [None, 0])


def eye(n: Any, m: Any = None, k: Any = 0, dtype: Any = "float32") -> Variable:
    """The ``n`` by ``m`` matrix (``m`` is ``n``, if None) with ones on the k-th diagonal."""
    row, column = _row_and_column(n, n if m is None else m)
    return cast_to(eq(add(row, k), column), as_dtype(dtype))


def tri(n: Any, m: Any = None, k: Any = 0, dtype: Any = "float32") -> Variable:
    """The matrix with ones on and below the k-th diagonal."""
    row, column = _row_and_column(n, n if m is None else m)
    return cast_to(greater_equal(add(row, k), column), as_dtype(dtype))


def tril(x: Any, k: Any = 0) -> Variable:
    """``x`` with zeros above the k-th diagonal of its last two axes."""
    x, mask = _triangle(x, k, "tril")
    return where(mask, x, make_constant(np.zeros((), x.dtype)))


def triu(x: Any, k: Any = 0) -> Variable:
    """``x`` with zeros below the k-th diagonal of its last two axes."""
    below = subtract(k, 1) if isinstance(k, Variable) else as_int(k, "triu: the offset") - 1
    x, mask = _triangle(x, below, "triu")
    return where(mask, make_constant(np.zeros((), x.dtype)), x)


def _triangle(x: Any, k: Any, function: str) -> tuple[Variable, Variable]:
    x = as_variable(x, function)
    if x.ndim < 2:
        raise ShapeError.here(
            f"{function} takes a matrix, or a stack of them; found {provenance.describe(x)}"
        )
    *_, n, m = shape_of(x)
    return x, tri(n, m, k, "bool")


def one_hot(indices: Any, n: Any, dtype: Any = "float32") -> Variable:
    """Ones at the indices of a new last axis of size ``n``, elsewhere zeros.

    An index outside the axis gives a row of zeros.
    """
    indices = as_variable(indices, "one_hot")
    if not is_integer(indices.dtype):
        raise DtypeError.here(f"one_hot takes integers; found {provenance.describe(indices)}")
    if isinstance(n, (int, np.integer)) and n < 0:
        raise ShapeError.here(f"one_hot: a size is at least 0, not {n}")
    order = [*range(indices.ndim), None]
    return cast_to(eq(rearrange(indices, order), iota(n)), as_dtype(dtype))

"""Random numbers without state: the same key gives the same draw, in every backend.

A key is a vector of two uint32. Draws are words of `symgraph.ops.threefry` of a counter, so element
i of a draw does not depend on its shape. Draws, `split` and `fold_in` count in domains of their
own: none repeats another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import provenance, tracing
from ..core.annotations import ArrayLike, Axis, DTypeLike, Shape, SizeLike
from ..core.errors import DtypeError, SymgraphTypeError, SymgraphValueError
from ..core.shared import SharedVariable, make_shared
from ..core.types import as_dtype, is_integer
from ..core.values import entries_of
from ..core.variable import Variable, make_constant, node
from .broadcast import broadcast_to, unify_shapes
from .comparison import bitwise_and, less, right_shift
from .elementwise import add, multiply, negative, subtract, where
from .extremes import argmax
from .index import get
from .join import stack
from .promotion import as_variable, cast_to, fill_with, is_weak, to_float
from .reshape import reshape
from .shape import normalise_axis
from .sizes import refuse_negative, shape_of, shape_operands
from .special_functions import erfinv
from .threefry import DRAWS, FOLD_IN, RANDOM_BITS, SPLIT
from .transcendental import log

__all__ = [
    "Stream",
    "bernoulli",
    "categorical",
    "fold_in",
    "key",
    "normal",
    "split",
    "uniform",
]

_FLOAT32 = np.dtype("float32")
_UINT32 = np.dtype("uint32")
_INT64 = np.dtype("int64")

# --- keys ---------------------------------------------------------------------------------------


def key(seed: SizeLike) -> Variable:
    """The key for a seed, an int or an integer scalar: two uint32.

    >>> sg.random.key(7).eval()
    array([0, 7], dtype=uint32)
    """
    if isinstance(seed, Variable):
        _check_number(seed, "key")
        seed = cast_to(seed, _INT64)
        high = cast_to(right_shift(seed, np.int64(32)), _UINT32)
        return stack([high, cast_to(bitwise_and(seed, np.int64(0xFFFFFFFF)), _UINT32)])
    number = _number(seed, "key") & 0xFFFFFFFFFFFFFFFF
    return make_constant(np.array([number >> 32, number & 0xFFFFFFFF], _UINT32))


def _number(value: Any, function: str) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise SymgraphTypeError.here(
            f"random.{function} takes an int or an integer scalar; found {value!r}"
        )
    return int(value)


def _check_number(value: Variable, function: str) -> None:
    if value.ndim or not is_integer(value.dtype):
        raise SymgraphTypeError.here(
            f"random.{function} takes an int or an integer scalar; found "
            f"{provenance.describe(value)}"
        )


def _as_key(value: Any, function: str) -> Variable:
    found = as_variable(value, f"random.{function}")
    if found.dtype == _UINT32 and found.ndim == 1 and not isinstance(found.type.shape[0], int):
        found = reshape(found, (2,))
    if found.dtype != _UINT32 or found.type.shape != (2,):
        raise SymgraphTypeError.here(
            f"random.{function} takes a key; found {provenance.describe(found)}",
            remedy="sg.random.key(seed) makes one, split(key, n)[i] one of several.",
        )
    return found


def _bits(key: Variable, shape: Any, domain: int) -> Variable:
    template, symbols, _ = shape_operands(shape, "random")
    refuse_negative(template, "random")
    return node(RANDOM_BITS, (key, *symbols), (template, domain))


def split(key: ArrayLike, n: SizeLike = 2) -> Variable:
    """``n`` independent keys, ``[n, 2]``; scan goes through them as through any sequence.

    >>> sg.random.split(sg.random.key(7), 3).shape
    (3, 2)
    """
    return _bits(_as_key(key, "split"), (n, 2), SPLIT)


def fold_in(key: ArrayLike, data: SizeLike) -> Variable:
    """The key that belongs to a key and a number: an int, or an integer scalar.

    >>> sg.random.fold_in(sg.random.key(7), 1).shape
    (2,)
    """
    key = _as_key(key, "fold_in")
    if isinstance(data, Variable):
        _check_number(data, "fold_in")
    else:
        number = _number(data, "fold_in") & 0xFFFFFFFFFFFFFFFF
        data = make_constant(np.uint64(number).astype(np.int64))
    return node(FOLD_IN, (key, cast_to(data, _INT64)))


# --- distributions ------------------------------------------------------------------------------


def uniform(
    key: ArrayLike,
    shape: Shape = (),
    low: ArrayLike = 0.0,
    high: ArrayLike = 1.0,
    dtype: DTypeLike = "float32",
) -> Variable:
    """Numbers evenly distributed in ``[low, high)``; the bounds may be variables.

    Without a shape the draw has that of the bounds. What is no key is a `SymgraphTypeError`, a
    dtype of no floats a `DtypeError`.

    >>> sg.random.uniform(sg.random.key(7), (2, 3)).eval().shape
    (2, 3)
    """
    key, dtype = _as_key(key, "uniform"), _float_dtype(dtype, "uniform")
    (lower, upper), shape = _parameters((low, high), shape, dtype, "uniform")
    numbers = _fractions(key, shape, dtype)
    if is_weak(low) and is_weak(high) and (low, high) == (0, 1):
        return numbers
    scaled = add(multiply(numbers, subtract(upper, lower)), lower)
    return where(less(scaled, upper), scaled, lower)  # rounding may have reached the end


def normal(
    key: ArrayLike,
    shape: Shape = (),
    mean: ArrayLike = 0.0,
    std: ArrayLike = 1.0,
    dtype: DTypeLike = "float32",
) -> Variable:
    """Normally distributed numbers; mean and standard deviation may be variables.

    Without a shape the draw has that of mean and deviation. A deviation that is a number below 0
    is a `SymgraphValueError`.

    >>> draw = sg.random.normal(sg.random.key(7), 10_000, mean=3.0)
    >>> draw.mean().eval().round(1)
    np.float32(3.0)
    """
    key, dtype = _as_key(key, "normal"), _float_dtype(dtype, "normal")
    (centre, width), shape = _parameters((mean, std), shape, dtype, "normal")
    if is_weak(std) and std < 0:
        raise SymgraphValueError.here(
            f"random.normal: the standard deviation is at least 0, not {std}"
        )
    bits = _PRECISION[dtype]
    # Odd multiples of a small step: symmetric about 0, and never -1 or 1.
    signed = multiply(
        subtract(_whole(key, shape, dtype, bits), 2.0 ** (bits - 1) - 0.5), 0.5 ** (bits - 1)
    )
    numbers = multiply(erfinv(signed), math.sqrt(2.0))
    if not (is_weak(std) and std == 1):
        numbers = multiply(numbers, width)
    return numbers if is_weak(mean) and mean == 0 else add(numbers, centre)


def bernoulli(
    key: ArrayLike, shape: Shape = (), p: ArrayLike = 0.5, dtype: DTypeLike = "float32"
) -> Variable:
    """Ones with probability ``p``, which may be a variable, elsewhere zeros.

    Without a shape the draw has that of ``p``. A number that is no probability is a
    `SymgraphValueError`.

    >>> sg.random.bernoulli(sg.random.key(7), p=[0.0, 1.0]).eval()
    array([0., 1.], dtype=float32)
    """
    key, dtype = _as_key(key, "bernoulli"), as_dtype(dtype)
    if is_weak(p) and not 0 <= p <= 1:
        raise SymgraphValueError.here(
            f"random.bernoulli: a probability is between 0 and 1, not {p}"
        )
    working = to_float(as_variable(p, "random.bernoulli")).dtype if not is_weak(p) else _FLOAT32
    (chance,), shape = _parameters((p,), shape, working, "bernoulli")
    return cast_to(less(_fractions(key, shape, working), chance), dtype)


def categorical(key: ArrayLike, logits: ArrayLike, axis: Axis = -1) -> Variable:
    """Indices (int64) along an axis of ``logits``, with probabilities ``softmax(logits)``.

    The result has the shape of ``logits`` without the axis.

    >>> sg.random.categorical(sg.random.key(7), [-np.inf, 0.0]).eval()
    np.int64(1)
    """
    key = _as_key(key, "categorical")
    logits = to_float(as_variable(logits, "random.categorical"))
    axis = normalise_axis(axis, logits.ndim, "categorical")
    bits = _PRECISION[logits.dtype] - 1
    whole = _whole(key, shape_of(logits), logits.dtype, bits)
    open_fractions = multiply(add(whole, 0.5), 0.5**bits)
    # The largest of logits plus Gumbel noise is distributed as wanted.
    return argmax(subtract(logits, log(negative(log(open_fractions)))), axis=axis)


_PRECISION = {np.dtype("float32"): 24, np.dtype("float64"): 53}


def _whole(key: Variable, shape: Sequence[Any], dtype: np.dtype, bits: int) -> Variable:
    """Whole numbers, as floats, of so many random bits."""
    if dtype == np.float32:
        return cast_to(right_shift(_bits(key, shape, DRAWS), np.uint32(32 - bits)), dtype)
    words = _bits(key, (*shape, 2), DRAWS)
    high, low = (
        cast_to(right_shift(get(words, (..., i)), np.uint32(32 - kept)), dtype)
        for i, kept in enumerate((bits - 26, 26))
    )
    return add(multiply(high, 2.0**26), low)


def _fractions(key: Variable, shape: Sequence[Any], dtype: np.dtype) -> Variable:
    """Numbers evenly distributed in [0, 1)."""
    bits = _PRECISION[dtype]
    return multiply(_whole(key, shape, dtype, bits), 0.5**bits)


def _float_dtype(dtype: Any, function: str) -> np.dtype:
    found = as_dtype(dtype)
    if found.kind != "f":
        raise DtypeError.here(
            f"random.{function} gives floats, not {found}", remedy="Convert the draw with .astype."
        )
    return found


def _parameters(
    values: Sequence[Any], shape: Any, dtype: np.dtype, function: str
) -> tuple[list[Variable], tuple[Any, ...]]:
    """The parameters in the dtype of the draw, and its shape: theirs where none is given."""
    found = [fill_with(v, dtype, f"random.{function}") for v in values]
    several = entries_of(shape)
    sizes = (shape,) if several is None else tuple(several)
    if not sizes and any(v.ndim for v in found):
        found = unify_shapes(found, f"random.{function}")
        sizes = shape_of(add(found[0], found[-1]))
    return [broadcast_to(v, sizes) if v.ndim else v for v in found], sizes


# --- streams ------------------------------------------------------------------------------------


class Stream:
    """Fresh draws at each call of a compiled function and at each step of a scan.

    Keys are made of the seed, a shared counter that advances by one with each call, the number of
    the draw in the program, and the steps of the loops around it. ``counter`` is that shared
    variable: set it to repeat what was drawn.

    >>> f = sg.compile([], sg.random.Stream(7).uniform(3))
    >>> np.array_equal(f(), f())
    False
    """

    def __init__(self, seed: int = 0) -> None:
        self._base = key(seed)
        self._draws = 0
        self.counter: SharedVariable = make_shared(np.int64(0), "random_counter")
        self.counter.default_update = add(self.counter, 1)

    def key(self) -> Variable:
        """A key of its own, for the functions of `symgraph.random`.

        >>> sg.random.Stream(7).key().shape
        (2,)
        """
        found = fold_in(fold_in(self._base, self.counter), self._draws)
        self._draws += 1
        for step in tracing.current_steps():
            found = fold_in(found, step)
        return found

    def uniform(
        self,
        shape: Shape = (),
        low: ArrayLike = 0.0,
        high: ArrayLike = 1.0,
        dtype: DTypeLike = "float32",
    ) -> Variable:
        """As `uniform`, with a key of its own.

        >>> sg.random.Stream(7).uniform((2, 3)).shape
        (2, 3)
        """
        return uniform(self.key(), shape, low, high, dtype)

    def normal(
        self,
        shape: Shape = (),
        mean: ArrayLike = 0.0,
        std: ArrayLike = 1.0,
        dtype: DTypeLike = "float32",
    ) -> Variable:
        """As `normal`, with a key of its own.

        >>> sg.random.Stream(7).normal((2, 3)).shape
        (2, 3)
        """
        return normal(self.key(), shape, mean, std, dtype)

    def bernoulli(
        self, shape: Shape = (), p: ArrayLike = 0.5, dtype: DTypeLike = "float32"
    ) -> Variable:
        """As `bernoulli`, with a key of its own.

        >>> sg.random.Stream(7).bernoulli(4, p=0.1).shape
        (4,)
        """
        return bernoulli(self.key(), shape, p, dtype)

    def categorical(self, logits: ArrayLike, axis: Axis = -1) -> Variable:
        """As `categorical`, with a key of its own.

        >>> sg.random.Stream(7).categorical([[0.0, 1.0], [1.0, 0.0]]).shape
        (2,)
        """
        return categorical(self.key(), logits, axis)

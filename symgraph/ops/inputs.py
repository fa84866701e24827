"""Variables from nothing: inputs, constants and shared variables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, DTypeLike, ShapeEntry
from ..core.errors import SymgraphTypeError
from ..core.flags import check_name
from ..core.shared import SharedVariable, make_shared
from ..core.types import as_dtype, size_from, tensor_type
from ..core.values import whole_number
from ..core.variable import Variable, make_constant, make_input

__all__ = ["constant", "matrix", "scalar", "shared", "tensor", "tensor3", "tensor4", "vector"]


def tensor(
    name: str | None = None,
    shape: ShapeEntry | Sequence[ShapeEntry] = (),
    dtype: DTypeLike = "float32",
) -> Variable:
    """A new input.

    Each entry of ``shape`` is an int (a fixed size), a name (a size that is equal wherever it
    stands) or None (an unknown size); one entry alone makes a vector. Two calls make two inputs,
    even of one name. What is no such shape or name is a `SymgraphTypeError`, a size below 0 a
    `ShapeError`, a dtype that symgraph does not compute with a `DtypeError`.

    >>> x = sg.tensor("x", ("T", "B", 40))
    >>> x
    <x: float32[T, B, 40]>
    """
    check_name(name, "a variable", 'Write sg.tensor("x", shape).')
    sizes = [size_from(entry) for entry in _shape_entries(shape)]
    return make_input(tensor_type(as_dtype(dtype), sizes), name)


def _shape_entries(shape: Any) -> Iterable[ShapeEntry]:
    if isinstance(shape, str) or whole_number(shape) is not None:
        return (shape,)
    if isinstance(shape, Variable) or not np.iterable(shape):
        raise SymgraphTypeError.here(f"a shape is a tuple of ints, names and None; found {shape!r}")
    return shape


def scalar(name: str | None = None, dtype: DTypeLike = "float32") -> Variable:
    """A new input of no axes; otherwise as `tensor`.

    >>> rate = sg.scalar("rate")
    >>> (rate * 2).eval({rate: 0.5})
    np.float32(1.0)
    """
    return tensor(name, (), dtype)


def vector(name: str | None = None, dtype: DTypeLike = "float32") -> Variable:
    """A new input of one axis of unknown size; otherwise as `tensor`.

    >>> x = sg.vector("x", "int32")
    >>> x[::-1].eval({x: [1, 2, 3]})
    array([3, 2, 1], dtype=int32)
    """
    return tensor(name, (None,), dtype)


def matrix(name: str | None = None, dtype: DTypeLike = "float32") -> Variable:
    """A new input of two axes of unknown sizes; otherwise as `tensor`.

    >>> x = sg.matrix("x")
    >>> x.sum(axis=0).eval({x: [[1, 2], [3, 4]]})
    array([4., 6.], dtype=float32)
    """
    return tensor(name, (None, None), dtype)


def tensor3(name: str | None = None, dtype: DTypeLike = "float32") -> Variable:
    """A new input of three axes of unknown sizes; otherwise as `tensor`.

    >>> sg.tensor3("x").ndim
    3
    """
    return tensor(name, (None, None, None), dtype)


def tensor4(name: str | None = None, dtype: DTypeLike = "float32") -> Variable:
    """A new input of four axes of unknown sizes; otherwise as `tensor`.

    >>> sg.tensor4("x", "float64").dtype
    dtype('float64')
    """
    return tensor(name, (None, None, None, None), dtype)


def constant(value: ArrayLike, dtype: DTypeLike | None = None) -> Variable:
    """The variable with this fixed value, which is copied.

    Without a dtype, Python floats become float32 and arrays keep theirs. Equal constants are one
    variable. A variable, or a ragged list, is a `SymgraphTypeError`, what is no number a
    `DtypeError`, a number that does not fit the dtype a `NumberRangeError`.

    >>> sg.constant([1, 2.5]).eval()
    array([1. , 2.5], dtype=float32)
    """
    if isinstance(value, Variable):
        raise SymgraphTypeError.here(
            f"{provenance.describe(value)} is a symbol, not a value",
            remedy="Use the variable as it is.",
        )
    return make_constant(value, dtype)


def shared(value: ArrayLike, name: str | None = None) -> SharedVariable:
    """A new variable that keeps a value between calls, from a copy of this one.

    Its shape and dtype stay those of the value: a Python float becomes float32, arrays and NumPy
    scalars keep their dtype. ``get_value`` and ``set_value`` read and change what it keeps, and so
    do the updates of a compiled function. Errors as for `constant`.

    >>> w = sg.shared(np.zeros(2), "w")
    >>> w.set_value([1, 2])
    >>> (w * 10).eval()
    array([10., 20.])
    """
    check_name(name, "a shared variable", "A dtype comes with the value: sg.shared(np.float32(1)).")
    return make_shared(value, name)

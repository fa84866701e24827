"""What an ONNX value is while a model is read: known numbers, sizes, a parameter, or a variable.

Shapes are computed by ordinary nodes in ONNX (Shape, Gather, Mul, Concat, then Reshape). These are
evaluated as far as they are known while the model is read, so that what is made with them has its
sizes by name: an array that is known is a NumPy array, and integers of which some are symbols are
`Sizes`, a NumPy array of objects, on which NumPy indexes, joins and calculates as on any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ...core.errors import ExchangeError
from ...core.shared import SharedVariable, make_shared
from ...core.types import DTYPES
from ...core.variable import Variable, constant_value, make_constant
from ...ops.join import stack
from ...ops.promotion import cast_to
from ...ops.reshape import reshape
from ...ops.sizes import as_scalar, is_size, size_of

__all__ = [
    "Parameter",
    "Sizes",
    "Value",
    "as_entries",
    "as_value",
    "as_variable",
    "dtype_of",
    "is_number",
    "objects",
    "supported",
    "unsupported",
]


class Sizes:
    """Integers of which some are symbols: an array of ints and integer scalars."""

    def __init__(self, entries: Any, dtype: Any = np.int64) -> None:
        is_array = isinstance(entries, np.ndarray)
        self.entries = entries if is_array else objects([entries]).reshape(())
        self.dtype = np.dtype(dtype)

    def __repr__(self) -> str:
        return f"Sizes({self.entries.tolist()})"


@dataclass(eq=False)
class Parameter:
    """A float initialiser: a shared variable as soon as something computes with it.

    What only describes the work, such as the scales of a Resize, reads the array and leaves no
    shared variable behind.
    """

    name: str
    array: np.ndarray
    shared: SharedVariable | None = None

    @property
    def variable(self) -> SharedVariable:
        if self.shared is None:
            self.shared = make_shared(supported(self.array, f"initialiser {self.name!r}"))
            self.shared.name = self.name
        return self.shared


Value: TypeAlias = np.ndarray | Sizes | Parameter | Variable
"""A sequence is a tuple of these, which only the ops on sequences take."""


def supported(array: np.ndarray, what: str) -> np.ndarray:
    """The array, which has a dtype that symgraph computes with; an `ExchangeError` for others."""
    if array.dtype not in DTYPES:
        raise unsupported("string" if array.dtype.kind in "OSU" else str(array.dtype), what)
    return array


def unsupported(dtype: str, what: str) -> ExchangeError:
    """The error for what has another dtype than symgraph computes with."""
    return ExchangeError.here(
        f"{what} has dtype {dtype}, which symgraph does not compute with",
        remedy=f"Supported are {', '.join(map(str, DTYPES))}; convert the model.",
    )


def as_variable(value: Value, what: str) -> Variable:
    """The value as a variable; ``what`` names it in errors."""
    if isinstance(value, Variable):
        return value
    if isinstance(value, Parameter):
        return value.variable
    if isinstance(value, np.ndarray):
        return make_constant(supported(value, what))
    if not isinstance(value, Sizes):
        raise ExchangeError.here(f"{what} is a sequence, where a tensor is expected")
    parts = [as_scalar(entry) for entry in value.entries.reshape(-1)]
    if value.entries.ndim == 0:
        return cast_to(parts[0], value.dtype)
    return cast_to(reshape(stack(parts), value.entries.shape), value.dtype)


def as_value(value: Value) -> Value:
    """The value in its simplest form: known where all of its sizes are, or where it is constant."""
    if isinstance(value, Variable):
        known = constant_value(value)
        return value if known is None else known
    if not isinstance(value, Sizes):
        return value
    entries = [simple_entry(entry) for entry in value.entries.reshape(-1)]
    if not any(isinstance(entry, Variable) for entry in entries):
        return np.array(entries, value.dtype).reshape(value.entries.shape)
    return Sizes(objects(entries).reshape(value.entries.shape), value.dtype)


def simple_entry(entry: Any) -> int | Variable:
    """A size as an int where it is known."""
    if not isinstance(entry, Variable):
        return int(entry)
    value = constant_value(entry)
    if value is None and is_size(entry):
        size = size_of(entry)
        return size if isinstance(size, int) else entry
    return entry if value is None else int(value)


def is_number(value: Value | None) -> bool:
    """Whether the value is an integer scalar that only the call tells."""
    return isinstance(value, Variable) and value.ndim == 0 and value.dtype.kind == "i"


# How many elements of a variable are looked at one by one: bounds and sizes of axes are fewer.
_MOST_ENTRIES = 128
# How many integers are calculated with one by one.
_MOST_KNOWN = 1024


def as_entries(value: Value) -> np.ndarray | None:
    """The integers of a value as an array of objects, where there are so few that each is known.

    A variable counts where it is a scalar, or a vector of a known length.
    """
    if isinstance(value, Sizes):
        return value.entries if value.entries.size <= _MOST_KNOWN else None
    if isinstance(value, np.ndarray):
        is_integer = value.dtype.kind in "iu" and value.size <= _MOST_KNOWN
        return value.astype(object) if is_integer else None
    if isinstance(value, Variable) and value.dtype.kind in "iu":
        if value.ndim == 0:
            return objects([value]).reshape(())
        length = value.type.shape[0] if value.ndim == 1 else None
        if isinstance(length, int) and length <= _MOST_ENTRIES:
            return objects([value[i] for i in range(length)])
    return None


def objects(entries: Iterable[Any]) -> np.ndarray:
    """The entries as a vector of objects, which variables are here."""
    listed = list(entries)
    made = np.empty(len(listed), object)
    for i, entry in enumerate(listed):  # a slice would ask variables for arrays
        made[i] = entry
    return made


def dtype_of(value: Value) -> np.dtype:
    """The dtype of the elements."""
    return value.array.dtype if isinstance(value, Parameter) else value.dtype

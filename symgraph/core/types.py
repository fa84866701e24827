"""What is known of a value before it is computed: dtype and shape; and the promotion of dtypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .dims import Dim, Size, fresh_size, named_size
from .errors import DtypeError, ShapeError, SymgraphTypeError
from .interned import Interned, InternTable

__all__ = [
    "DTYPES",
    "TensorType",
    "TupleType",
    "Type",
    "as_dtype",
    "format_shape",
    "is_float",
    "is_integer",
    "size_from",
    "tensor_type",
]

DTYPES: tuple[np.dtype, ...] = (
    np.dtype("bool"),
    *(np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    np.dtype("float32"),
    np.dtype("float64"),
)


class TensorType(Interned):
    """A dtype and a shape of sizes; interned, so equal types are one object."""

    __slots__ = ("__weakref__", "dtype", "shape")

    dtype: np.dtype
    shape: tuple[Size, ...]

    def __new__(cls, *_args: object) -> TensorType:
        raise TypeError("make types with tensor_type(dtype, shape)")

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def row(self) -> TensorType:
        """The type of a row: without the first axis."""
        return tensor_type(self.dtype, self.shape[1:])

    def with_dtype(self, dtype: np.dtype) -> TensorType:
        """The type of the same shape and another dtype."""
        return tensor_type(dtype, self.shape)

    def with_shape(self, shape: Sequence[Size]) -> TensorType:
        """The type of the same dtype and another shape."""
        return tensor_type(self.dtype, shape)

    def __str__(self) -> str:
        return f"{self.dtype}{format_shape(self.shape)}"

    def __repr__(self) -> str:
        return f"TensorType({self})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return tensor_type, (self.dtype, self.shape)


class TupleType(Interned):
    """The types of an operation's several results; interned."""

    __slots__ = ("__weakref__", "items")

    items: tuple[TensorType, ...]

    def __new__(cls, items: Sequence[TensorType]) -> TupleType:
        key = tuple(items)
        found = _tuple_types.get(key)
        if found is None:
            found = object.__new__(cls)
            found.items = key
            found = _tuple_types.keep_first(key, found)
        return found

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.items))})"

    def __repr__(self) -> str:
        return f"TupleType{self}"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return TupleType, (self.items,)


Type: TypeAlias = TensorType | TupleType

_tensor_types: InternTable[TensorType] = InternTable()
_tuple_types: InternTable[TupleType] = InternTable()


def tensor_type(dtype: np.dtype, shape: Sequence[Size]) -> TensorType:
    """The interned type with this dtype and this shape of ints and Dims.

    A negative size is a `ShapeError`.
    """
    key = (dtype, tuple(shape))
    found = _tensor_types.get(key)
    if found is None:
        if any(isinstance(size, int) and size < 0 for size in shape):
            raise ShapeError.here(f"a size is at least 0; found {key[1]}")
        found = object.__new__(TensorType)
        found.dtype, found.shape = key
        found = _tensor_types.keep_first(key, found)
    return found


def size_from(entry: Any) -> Size:
    """The size for an entry of a user's shape: a number, a name, or None for an unknown size."""
    if entry is None:
        return fresh_size()
    if isinstance(entry, Dim):
        return entry
    if isinstance(entry, str):
        if not entry.isidentifier():
            raise ShapeError.here(
                f"a named size is an identifier such as 'T' or 'batch', not {entry!r}",
                remedy="Compound sizes come from arithmetic on x.shape.",
            )
        return named_size(entry)
    if isinstance(entry, (int, np.integer)) and not isinstance(entry, bool):
        if entry < 0:
            raise ShapeError.here(f"a size is at least 0, not {entry}")
        if entry >> 63:
            raise ShapeError.here(f"no array has a size of {entry}")
        return int(entry)
    raise SymgraphTypeError.here(
        f"a shape is made of ints, names and None; found {entry!r} ({type(entry).__name__})"
    )


def as_dtype(dtype: Any) -> np.dtype:
    """The supported NumPy dtype that is meant; anything else is a `DtypeError`."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is not None and not found.isnative:
        found = found.newbyteorder("=")
    if dtype is None or found is None or found not in _SUPPORTED:
        raise DtypeError.here(
            f"dtype {dtype!r} is not supported",
            remedy=f"Supported are {', '.join(str(d) for d in DTYPES)}.",
        )
    return found


_SUPPORTED = frozenset(DTYPES)


def is_float(dtype: np.dtype) -> bool:
    """Whether the dtype is a floating-point one."""
    return dtype.kind == "f"


def is_integer(dtype: np.dtype) -> bool:
    """Whether the dtype is an integer one, signed or not; bool is none."""
    return dtype.kind in "iu"


def format_shape(shape: Sequence[Size]) -> str:
    """The shape as text, such as ``[T, B, 40]``."""
    return f"[{', '.join(map(str, shape))}]"

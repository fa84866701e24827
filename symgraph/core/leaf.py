"""What tells leaves apart: an identity of their own, or their value."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .interned import Interned, InternTable
from .processes import origin

__all__ = ["Constant", "Leaf"]

_INLINE_BYTES = 1024
_counter = itertools.count()


class Leaf(Interned):
    """The identity of a leaf that is equal to no other one; survives pickling."""

    __slots__ = ("__weakref__", "key")

    key: tuple[str, int]

    def __new__(cls, key: tuple[str, int] | None = None) -> Leaf:
        if key is None:
            key = (origin(), next(_counter))
        found = _leaves.get(key)
        if found is None:
            found = object.__new__(cls)
            found.key = key
            found = _leaves.keep_first(key, found)
        return found

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Leaf, (self.key,)

    def __repr__(self) -> str:
        return f"Leaf({self.key[1]})"


class Constant:
    """A read-only array that is compared by its bytes, dtype and shape."""

    __slots__ = ("_hash", "array", "key")

    array: np.ndarray

    def __init__(self, array: np.ndarray) -> None:
        array = np.array(array, order="C")  # our own copy, which nobody changes
        array.flags.writeable = False
        self.array = array
        content = array.tobytes() if array.nbytes <= _INLINE_BYTES else _digest(array)
        self.key: tuple[Any, ...] = (array.dtype.str, array.shape, content)
        self._hash = hash(self.key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self.key == other.key

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Constant, (self.array,)

    def __repr__(self) -> str:
        return f"Constant({self.array!r})"


def _digest(array: np.ndarray) -> bytes:
    return hashlib.blake2b(array.data).digest()


_leaves: InternTable[Leaf] = InternTable()

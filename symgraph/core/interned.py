"""What is one object wherever it is equal, and so its own copy; and the tables of such objects."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import Any, Generic, Self, TypeVar

from .processes import give_lock

__all__ = ["InternTable", "Interned"]

V = TypeVar("V")


class Interned:
    """The base of what is compared by identity: copies, deep ones too, are the object itself."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class _Reference(weakref.ref[V]):
    """A weak reference that knows the key of what it refers to."""

    __slots__ = ("key",)

    key: Hashable


class InternTable(Generic[V]):
    """The living objects by what they are made of, one for each key.

    A `weakref.WeakValueDictionary` in meaning. Every node that is built asks such tables, mostly
    several: here a reference is made, and asked, without a call of Python's.
    """

    _lock: Any

    def __init__(self) -> None:
        self._references: dict[Hashable, _Reference[V]] = {}
        give_lock(self)

    def get(self, key: Hashable) -> V | None:
        """The living object of this key, None where there is none."""
        reference = self._references.get(key)
        return None if reference is None else reference()

    def keep_first(self, key: Hashable, made: V) -> V:
        """The object of this key: the one made just now, unless another thread came first."""
        reference = _Reference(made, self._forget)
        reference.key = key
        with self._lock:
            found = self._references.setdefault(key, reference)()
            if found is None:  # what dies just now, and is not forgotten yet
                self._references[key] = reference
                return made
        return found

    def _forget(self, reference: _Reference[V]) -> None:
        with self._lock:
            if self._references.get(reference.key) is reference:
                del self._references[reference.key]

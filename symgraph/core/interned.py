"""What is one object wherever it is equal, and so its own copy."""

from __future__ import annotations

from typing import Any, Self

__all__ = ["Interned"]


class Interned:
    """The base of what is compared by identity: copies, deep ones too, are the object itself."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

"""What public functions take, as types for their signatures."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

from .node import Node

__all__ = [
    "ArrayLike",
    "Axes",
    "Axis",
    "DTypeLike",
    "Index",
    "ScalarLike",
    "Shape",
    "ShapeEntry",
    "SizeLike",
]

_Entry: TypeAlias = float | np.generic | np.ndarray[Any, Any]
# Lists are told by depth: a recursive alias would take strings, which are sequences of strings.
ArrayLike: TypeAlias = (
    Node
    | _Entry
    | Sequence[_Entry]
    | Sequence[Sequence[_Entry]]
    | Sequence[Sequence[Sequence[_Entry]]]
)
"""A variable, or what NumPy makes an array of: an array, a number, nested lists of numbers."""

ScalarLike: TypeAlias = Node | _Entry
"""One number, or a scalar variable."""

DTypeLike: TypeAlias = str | type[Any] | np.dtype[Any]
"""A dtype, or its name or type: ``"float32"``, ``np.float32``, ``bool``."""

Axis: TypeAlias = int | np.integer[Any]
"""One axis; negative ones count from the end."""

Axes: TypeAlias = Axis | Sequence[Axis] | None
"""One axis, several, or None for all."""

SizeLike: TypeAlias = int | np.integer[Any] | Node
"""A size: a number, or an integer scalar such as an entry of ``x.shape``."""

Shape: TypeAlias = SizeLike | Sequence[SizeLike]
"""A shape, or the one size of a vector."""

ShapeEntry: TypeAlias = int | str | None
"""An axis of an input: a fixed size, a name for a size, or None for one that may be anything."""

_IndexPart: TypeAlias = (
    SizeLike | slice | EllipsisType | np.ndarray[Any, Any] | Sequence[int] | None
)
Index: TypeAlias = _IndexPart | tuple[_IndexPart, ...]
"""What stands in brackets: numbers, slices, ``...``, None, index arrays, masks, several of them."""

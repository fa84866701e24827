"""Types for the signatures of functions that take what symgraph's own take.

``ArrayLike`` is a variable or what NumPy makes an array of; `Axes`, `Shape`, `Index` and the others
say what stands for an axis, a shape, an index.
"""

from __future__ import annotations

from .core.annotations import (
    ArrayLike,
    Axes,
    Axis,
    DTypeLike,
    Index,
    ScalarLike,
    Shape,
    ShapeEntry,
    SizeLike,
)

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

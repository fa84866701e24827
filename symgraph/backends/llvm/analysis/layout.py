"""Where values lie in memory: views of buffers, with strides that are formulas of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ....core.dims import Size
from ....core.variable import Variable

__all__ = ["View", "contiguous_strides", "is_contiguous", "stretched"]


class View(NamedTuple):
    """A value as a part of what another variable's buffer holds; units are elements.

    A whole identity: views that are equal are the same elements in the same order, so a view may
    be the key of whatever is made of these elements.
    """

    root: Variable
    offset: Size
    shape: tuple[Size, ...]
    strides: tuple[Size, ...]

    @staticmethod
    def whole(root: Variable) -> View:
        """All of a variable's own buffer, in C order."""
        return View(root, 0, root.type.shape, contiguous_strides(root.type.shape))

    def seen(self, shape: Sequence[Size], strides: Sequence[Size], start: Size = 0) -> View:
        """The same elements in another shape and order, from so many elements on."""
        return View(self.root, self.offset + start, tuple(shape), tuple(strides))


def contiguous_strides(shape: Sequence[Size]) -> tuple[Size, ...]:
    """The strides of an array in C order; an axis without elements counts as one with one.

    So a stride of 0 always means that the axis is broadcast.
    """
    strides: list[Size] = []
    total: Size = 1
    for size in reversed(shape):
        strides.append(total)
        total = total * (size or 1)
    return tuple(reversed(strides))


def is_contiguous(shape: Sequence[Size], strides: Sequence[Size]) -> bool:
    """Whether the strides are those of C order, as far as sizes are known; 0 and 1 aside."""
    return all(
        size == 1 or stride == wanted
        for size, stride, wanted in zip(shape, strides, contiguous_strides(shape), strict=True)
    )


def stretched(
    shape: Sequence[Size], strides: Sequence[Size], space: Sequence[Size]
) -> tuple[Size, ...]:
    """The strides of an operand along the axes of the space that it is broadcast to."""
    extra = len(space) - len(shape)
    return (0,) * extra + tuple(
        0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True)
    )

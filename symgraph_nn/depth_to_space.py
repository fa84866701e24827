"""Channels laid out as pixels."""

from __future__ import annotations

import symgraph as sg
from symgraph.errors import ShapeError, describe
from symgraph.typing import ArrayLike

from .checks import as_variable, check_positive
from .module import Module

__all__ = ["DepthToSpace"]


class DepthToSpace(Module):
    """Images of more pixels from channels (Shi et al. 2016), in squares of ``size`` by ``size``.

    [..., height, width, size² · c] becomes [..., height · size, width · size, c]: channel
    ``(i · size + j) · c + k`` is channel k of the pixel in row i, column j of its square. After a
    `Conv2D` it does what `ConvTranspose2D` with that stride does, without overlaps.

    >>> up = nn.Sequential(nn.Conv2D(1, 4, 3, padding="same"), nn.DepthToSpace(2))
    >>> up(np.ones((1, 5, 6, 1), "float32")).eval().shape
    (1, 10, 12, 1)
    >>> nn.DepthToSpace(2)(np.array([[[1.0, 2.0, 3.0, 4.0]]])).eval()[..., 0]
    array([[1., 2.],
           [3., 4.]])
    """

    size: int

    def __init__(self, size: int) -> None:
        check_positive("DepthToSpace", size=size)
        self.size = size

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The larger images; a `ShapeError` where the channels cannot be shared among a square."""
        x, n = as_variable(x, self), self.size
        if x.ndim < 3:
            raise ShapeError.here(
                f"{self}: [..., height, width, channels] is expected; found {describe(x)}"
            )
        *leading, height, width, channels = x.shape
        if isinstance(channels, int) and channels % (n * n):
            raise ShapeError.here(
                f"{self}: {channels} channels of {describe(x)} are no multiple of {n * n}",
                remedy=f"Let the layer before give {n * n} channels for each that comes out.",
            )
        squares = sg.reshape(x, (*leading, height, width, n, n, channels // (n * n)))
        rows = sg.swapaxes(squares, -4, -3)
        return sg.reshape(rows, (*leading, height * n, width * n, channels // (n * n)))

    def __repr__(self) -> str:
        return f"DepthToSpace({self.size})"

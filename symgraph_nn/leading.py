"""Layers over images and signals, applied to any number of leading axes."""

from __future__ import annotations

from collections.abc import Callable

import symgraph as sg
from symgraph.errors import ShapeError, describe
from symgraph.typing import ArrayLike

from .checks import as_variable

__all__ = ["over_leading"]


def over_leading(
    x: ArrayLike, n_own: int, function: Callable[[sg.Variable], sg.Variable], owner: object
) -> sg.Variable:
    """What a function of [batch, ...] with so many axes of its own gives for all leading axes.

    So a layer over images is one over each frame of [time, batch, height, width, channels] too.
    Raises `ShapeError` where there is no leading axis.
    """
    x = as_variable(x, owner)
    n_leading = x.ndim - n_own
    if n_leading < 1:
        own = {2: "time, channels", 3: "height, width, channels"}[n_own]
        raise ShapeError.here(
            f"{owner}: [batch, {own}] is expected, or more leading axes; found {describe(x)} of "
            f"{x.ndim} axes"
        )
    if n_leading == 1:
        return function(x)
    leading, own_sizes = x.shape[:n_leading], x.shape[n_leading:]
    count = leading[0]
    for size in leading[1:]:
        count = count * size
    y = function(sg.reshape(x, (count, *own_sizes)))
    return sg.reshape(y, (*leading, *y.shape[1:]))

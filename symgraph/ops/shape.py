"""Arrays in other shapes: reshaping, and axes moved, inserted and dropped.

The latter are all `rearrange`; everything here is made of that and of ``reshape``.
"""

from __future__ import annotations

from typing import Any

from ..core import provenance
from ..core.errors import ShapeError, SymgraphTypeError
from ..core.values import entries_of, whole_number
from ..core.variable import Variable
from .broadcast import broadcast_to, rearrange
from .promotion import as_variable
from .reshape import RESHAPE, product_of, reshape
from .sizes import shape_of

__all__ = [
    "RESHAPE",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_to",
    "expand_dims",
    "flatten",
    "moveaxis",
    "normalise_axes",
    "normalise_axis",
    "ravel",
    "reshape",
    "shape",
    "size",
    "squeeze",
    "swapaxes",
    "transpose",
]


def shape(x: Any) -> tuple[Any, ...]:
    """The shape of ``x``: ints where known, elsewhere integer scalars."""
    return shape_of(as_variable(x, "shape"))


def size(x: Any, axis: int | None = None) -> Any:
    """The number of elements of ``x``, or of one axis: an int where known, or an integer scalar."""
    x = as_variable(x, "size")
    if axis is not None:
        return shape_of(x)[normalise_axis(axis, x.ndim, "size")]
    return product_of(shape_of(x))


def normalise_axis(axis: Any, ndim: int, function: str) -> int:
    """The axis counted from the front; a `ShapeError` where there is none."""
    number = whole_number(axis)
    if number is None:
        raise SymgraphTypeError.here(f"{function}: an axis is an int, not {axis!r}")
    if not -ndim <= number < ndim:
        raise ShapeError.here(f"{function}: there is no axis {axis}; there are {ndim} axes")
    return number % ndim


def normalise_axes(axes: Any, ndim: int, function: str) -> list[int]:
    """The axes (one, or several different ones) counted from the front, in the order given."""
    several = entries_of(axes)
    given = [axes] if several is None else several
    found = [normalise_axis(axis, ndim, function) for axis in given]
    if len(set(found)) != len(found):
        raise ShapeError.here(f"{function}: an axis is repeated in {axes}")
    return found


# --- axes joined ---------------------------------------------------------------------------------


def ravel(x: Any) -> Variable:
    """``x`` as one axis, the last one fastest."""
    x = as_variable(x, "ravel")
    return x if x.ndim == 1 else reshape(x, (-1,))


def flatten(x: Any, ndim: int = 1) -> Variable:
    """``x`` with its last axes joined into one, so that ``ndim`` axes are left."""
    x = as_variable(x, "flatten")
    number = whole_number(ndim)
    if number is None or not 1 <= number <= max(x.ndim, 1):
        raise ShapeError.here(f"flatten: {ndim!r} axes cannot be left of {provenance.describe(x)}")
    return x if x.ndim == number else reshape(x, (*shape_of(x)[: number - 1], -1))


# --- axes ---------------------------------------------------------------------------------------


def transpose(x: Any, axes: Any = None) -> Variable:
    """``x`` with its axes in this order; reversed where none is given."""
    x = as_variable(x, "transpose")
    if axes is None:
        return rearrange(x, range(x.ndim)[::-1])
    order = normalise_axes(axes, x.ndim, "transpose")
    if len(order) != x.ndim:
        raise ShapeError.here(
            f"transpose: {provenance.describe(x)} has {x.ndim} axes; the order {axes} has "
            f"{len(order)}"
        )
    return rearrange(x, order)


def swapaxes(x: Any, axis1: int, axis2: int) -> Variable:
    """``x`` with two axes exchanged."""
    x = as_variable(x, "swapaxes")
    a, b = (normalise_axis(axis, x.ndim, "swapaxes") for axis in (axis1, axis2))
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return rearrange(x, order)


def moveaxis(x: Any, source: Any, destination: Any) -> Variable:
    """``x`` with some axes moved to other places; the others keep their order."""
    x = as_variable(x, "moveaxis")
    sources = normalise_axes(source, x.ndim, "moveaxis")
    destinations = normalise_axes(destination, x.ndim, "moveaxis")
    if len(sources) != len(destinations):
        raise ShapeError.here(
            f"moveaxis: {len(sources)} axes cannot go to {len(destinations)} places"
        )
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return rearrange(x, order)


def expand_dims(x: Any, axis: Any) -> Variable:
    """``x`` with new axes of size 1 at these places of the result."""
    x = as_variable(x, "expand_dims")
    several = entries_of(axis)
    count = 1 if several is None else len(several)
    places = normalise_axes(axis, x.ndim + count, "expand_dims")
    kept = iter(range(x.ndim))
    return rearrange(x, [None if i in places else next(kept) for i in range(x.ndim + count)])


def squeeze(x: Any, axis: Any = None) -> Variable:
    """``x`` without axes of size 1: these, or all that are known to be so."""
    x = as_variable(x, "squeeze")
    if axis is None:
        dropped = [i for i, s in enumerate(x.type.shape) if s == 1]
    else:
        dropped = normalise_axes(axis, x.ndim, "squeeze")
        for i in dropped:
            if x.type.shape[i] != 1:
                raise ShapeError.here(
                    f"squeeze: axis {i} of {provenance.describe(x)} is not known to have size 1",
                    remedy="x[0] on that axis takes its only element away from it.",
                )
    return rearrange(x, [i for i in range(x.ndim) if i not in dropped])


def atleast_1d(x: Any) -> Variable:
    """``x``, with an axis of size 1 where it has none."""
    x = as_variable(x, "atleast_1d")
    return x if x.ndim else expand_dims(x, 0)


def atleast_2d(x: Any) -> Variable:
    """``x``, with leading axes of size 1 where it has fewer than two axes."""
    x = as_variable(x, "atleast_2d")
    return rearrange(x, [*([None] * (2 - x.ndim)), *range(x.ndim)])


def atleast_3d(x: Any) -> Variable:
    """``x`` with axes of size 1 where it has fewer than three: a vector lies on the second one."""
    x = as_variable(x, "atleast_3d")
    orders: list[list[int | None]] = [[None, None, None], [None, 0, None], [0, 1, None]]
    return x if x.ndim > 2 else rearrange(x, orders[x.ndim])

"""Arrays in other shapes: reshaping, and axes moved, inserted and dropped.

The latter are all `rearrange`; everything here is made of that and of ``reshape``. An axis is
counted from the front, a negative one from the end; one that is not there, or is named twice, is a
`ShapeError`, and what is no int a `SymgraphTypeError`.
"""

from __future__ import annotations

from ..core import provenance
from ..core.annotations import ArrayLike, Axes, Axis
from ..core.errors import ShapeError, SymgraphTypeError
from ..core.values import listed, whole_number
from ..core.variable import Variable
from .broadcast import broadcast_to, rearrange
from .promotion import as_variable
from .reshape import RESHAPE, product_of, reshape
from .sizes import shape_of

__all__ = [
    "RESHAPE",
    "along_axis",
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
    "reduced_axes",
    "reshape",
    "shape",
    "size",
    "squeeze",
    "swapaxes",
    "transpose",
]


def shape(x: ArrayLike) -> tuple[int | Variable, ...]:
    """The shape of ``x``: ints where known, elsewhere integer scalars (int64).

    >>> x = sg.tensor("x", ("T", 40))
    >>> sg.shape(x)
    (<size: int64[]>, 40)
    """
    return shape_of(as_variable(x, "shape"))


def size(x: ArrayLike, axis: Axis | None = None) -> int | Variable:
    """The number of elements of ``x``, or of one axis: an int where known, or an integer scalar.

    An axis that is not there is a `ShapeError`.

    >>> sg.size(sg.tensor("x", ("T", 40)), 1)
    40
    """
    x = as_variable(x, "size")
    if axis is not None:
        return shape_of(x)[normalise_axis(axis, x.ndim, "size")]
    return product_of(shape_of(x))


def normalise_axis(axis: Axis, ndim: int, function: str) -> int:
    """The axis counted from the front; a `ShapeError` where there is none."""
    number = whole_number(axis)
    if number is None:
        raise SymgraphTypeError.here(f"{function}: an axis is an int, not {axis!r}")
    if not -ndim <= number < ndim:
        raise ShapeError.here(f"{function}: there is no axis {axis}; there are {ndim} axes")
    return number % ndim


def normalise_axes(axes: Axes, ndim: int, function: str) -> list[int]:
    """The axes (one, or several different ones) counted from the front, in the order given."""
    numbers = [normalise_axis(axis, ndim, function) for axis in listed(axes)]
    if len(set(numbers)) != len(numbers):
        raise ShapeError.here(f"{function}: an axis is repeated in {axes}")
    return numbers


def along_axis(x: ArrayLike, axis: Axis | None, function: str) -> tuple[Variable, int]:
    """``x`` and the axis counted from the front; ``x`` flattened, and its axis, for None."""
    x = as_variable(x, function)
    return (ravel(x), 0) if axis is None else (x, normalise_axis(axis, x.ndim, function))


def reduced_axes(x: Variable, axis: Axes, function: str) -> tuple[int, ...]:
    """The axes that are meant, counted from the front, in order."""
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(sorted(normalise_axes(axis, x.ndim, function)))


# --- axes joined ---------------------------------------------------------------------------------


def ravel(x: ArrayLike) -> Variable:
    """``x`` as a vector, its last axis fastest; a scalar as one of one element.

    >>> sg.ravel([[1, 2], [3, 4]]).eval()
    array([1, 2, 3, 4])
    """
    x = as_variable(x, "ravel")
    return x if x.ndim == 1 else reshape(x, (-1,))


def flatten(x: ArrayLike, ndim: int = 1) -> Variable:
    """``x`` with its last axes joined into one, so that ``ndim`` axes are left.

    NumPy's method has no ``ndim``, Theano's has. One that is no int, below 1, or more than ``x``
    has, is a `ShapeError`.

    >>> sg.flatten(np.zeros((2, 3, 4)), 2).eval().shape
    (2, 12)
    """
    x = as_variable(x, "flatten")
    number = whole_number(ndim)
    if number is None or not 1 <= number <= max(x.ndim, 1):
        raise ShapeError.here(f"flatten: {ndim!r} axes cannot be left of {provenance.describe(x)}")
    return x if x.ndim == number else reshape(x, (*shape_of(x)[: number - 1], -1))


# --- axes ---------------------------------------------------------------------------------------


def transpose(x: ArrayLike, axes: Axes = None) -> Variable:
    """``x`` with its axes in this order; reversed where none is given.

    An order that does not name each axis once is a `ShapeError`.

    >>> sg.transpose(np.zeros((2, 3, 4)), (2, 0, 1)).eval().shape
    (4, 2, 3)
    """
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


def swapaxes(x: ArrayLike, axis1: Axis, axis2: Axis) -> Variable:
    """``x`` with two axes exchanged; an axis that is not there is a `ShapeError`.

    >>> sg.swapaxes(np.zeros((2, 3, 4)), 0, -1).eval().shape
    (4, 3, 2)
    """
    x = as_variable(x, "swapaxes")
    a, b = (normalise_axis(axis, x.ndim, "swapaxes") for axis in (axis1, axis2))
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return rearrange(x, order)


def moveaxis(x: ArrayLike, source: Axes, destination: Axes) -> Variable:
    """``x`` with an axis, or several, moved to other places; the others keep their order.

    Axes that are not there, named twice, or more or fewer than the places, are a `ShapeError`.

    >>> sg.moveaxis(np.zeros((2, 3, 4)), 0, -1).eval().shape
    (3, 4, 2)
    """
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


def expand_dims(x: ArrayLike, axis: Axes) -> Variable:
    """``x`` with new axes of size 1 at these places of the result.

    A place outside the result, or named twice, is a `ShapeError`.

    >>> sg.expand_dims(np.zeros((2, 3)), (0, -1)).eval().shape
    (1, 2, 3, 1)
    """
    x = as_variable(x, "expand_dims")
    ndim = x.ndim + len(listed(axis))
    places = normalise_axes(axis, ndim, "expand_dims")
    own = iter(range(x.ndim))
    return rearrange(x, [None if i in places else next(own) for i in range(ndim)])


def squeeze(x: ArrayLike, axis: Axes = None) -> Variable:
    """``x`` without axes of size 1: these, or all that are known to be so.

    An axis of another size, or of one that is not known, is a `ShapeError` if it is named, and
    stays if none is.

    >>> sg.squeeze(np.zeros((1, 3, 1)), 0).eval().shape
    (3, 1)
    """
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


def atleast_1d(x: ArrayLike) -> Variable:
    """``x``, with an axis of size 1 where it has none. NumPy takes several arrays, this one.

    >>> sg.atleast_1d(5).eval()
    array([5])
    """
    x = as_variable(x, "atleast_1d")
    return x if x.ndim else expand_dims(x, 0)


def atleast_2d(x: ArrayLike) -> Variable:
    """``x``, with leading axes of size 1 where it has fewer than two axes: a vector is a row.

    >>> sg.atleast_2d([1, 2]).eval()
    array([[1, 2]])
    """
    x = as_variable(x, "atleast_2d")
    return rearrange(x, [*([None] * (2 - x.ndim)), *range(x.ndim)])


def atleast_3d(x: ArrayLike) -> Variable:
    """``x`` with axes of size 1 where it has fewer than three: a vector lies on the second one.

    >>> sg.atleast_3d([1, 2]).eval().shape
    (1, 2, 1)
    """
    x = as_variable(x, "atleast_3d")
    orders: list[list[int | None]] = [[None, None, None], [None, 0, None], [0, 1, None]]
    return x if x.ndim > 2 else rearrange(x, orders[x.ndim])

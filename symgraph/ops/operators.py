"""Operators and methods of `Variable`, attached here so that core knows no op."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from ..core import provenance
from ..core.annotations import Axes, Shape
from ..core.errors import SymbolicValueError
from ..core.variable import Variable
from . import (
    comparison,
    contractions,
    cumulative,
    diagonals,
    elementwise,
    extremes,
    index,
    linalg,
    positions,
    reduce,
    repeat,
    rounding,
    shape,
    sort,
    transcendental,
)

__all__: list[str] = []


def _swapped(function: Callable[[Any, Any], Variable]) -> Callable[[Variable, Any], Variable]:
    return lambda x, y: function(y, x)


_BINARY = {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder,
    "pow": transcendental.power,
    "matmul": linalg.matmul,
    "and": comparison.bitwise_and,
    "or": comparison.bitwise_or,
    "xor": comparison.bitwise_xor,
    "lshift": comparison.left_shift,
    "rshift": comparison.right_shift,
}


def _reshape(x: Variable, *sizes: Shape) -> Variable:
    """``x`` in another shape, given as sizes or as one sequence of them; see `sg.reshape`.

    >>> sg.constant([1, 2, 3, 4]).reshape(2, -1).eval()
    array([[1, 2],
           [3, 4]])
    """
    new: Any = sizes[0] if len(sizes) == 1 else sizes
    return shape.reshape(x, new)


def _transpose(x: Variable, *axes: Axes) -> Variable:
    """``x`` with its axes reversed, or in the order given as axes or as one sequence of them.

    >>> sg.tensor("x", (2, 3, 4)).transpose(1, 0, 2).shape
    (3, 2, 4)
    """
    if not axes:
        return shape.transpose(x)
    order: Any = axes[0] if len(axes) == 1 else axes
    return shape.transpose(x, order)


def _copy(x: Variable) -> Variable:
    """``x`` itself: variables never change.

    >>> x = sg.scalar()
    >>> x.copy() is x
    True
    """
    return x


def _setitem(x: Variable, key: Any, value: Any) -> NoReturn:
    raise SymbolicValueError.here(
        f"{provenance.describe(x)} cannot be changed",
        remedy="x.set(index, value) and x.add_at(index, value) return a changed copy.",
    )


def _rounded(x: Variable, decimals: int | None = None) -> Variable:
    """``round(x)``: as `round`, for no decimals too, since no symbol is a Python int."""
    return rounding.round(x, decimals or 0)


def _length(x: Variable) -> int:
    """The size of the first axis, which has to be known."""
    if x.ndim and isinstance(x.type.shape[0], int):
        return x.type.shape[0]
    what = "has no axes" if not x.ndim else f"has an unknown length: {x.type.shape[0]}"
    raise SymbolicValueError.here(
        f"{provenance.describe(x)} {what}",
        remedy="x.shape[0] is the length as a symbol; sg.scan and sg.map go through x.",
    )


def _iterate(x: Variable) -> Iterator[Variable]:
    """The elements along the first axis, whose size has to be known."""
    return (index.get(x, i) for i in range(_length(x)))


def _contains(x: Variable, value: Any) -> NoReturn:
    raise SymbolicValueError.here(
        f"whether {provenance.describe(x)} contains a value is not known while the graph is built",
        remedy="Write sg.any(sg.eq(x, value)).",
    )


_OTHERS = {
    "__neg__": elementwise.negative,
    "__pos__": elementwise.positive,
    "__abs__": elementwise.absolute,
    "__invert__": comparison.invert,
    "__lt__": comparison.less,
    "__le__": comparison.less_equal,
    "__gt__": comparison.greater,
    "__ge__": comparison.greater_equal,
    "__contains__": _contains,
    "__divmod__": elementwise.divmod,
    "__getitem__": index.get,
    "__iter__": _iterate,
    "__len__": _length,
    "__rdivmod__": lambda x, y: elementwise.divmod(y, x),
    "__round__": _rounded,
    "__setitem__": _setitem,
}
# Methods that are functions of x and take what those take.
_METHODS: dict[str, Callable[..., Any]] = {
    "add_at": index.add_at,
    "all": reduce.all,
    "any": reduce.any,
    "argmax": extremes.argmax,
    "argmin": extremes.argmin,
    "argsort": sort.argsort,
    "astype": elementwise.astype,
    "clip": elementwise.clip,
    "copy": _copy,
    "cumprod": cumulative.cumprod,
    "cumsum": cumulative.cumsum,
    "diagonal": diagonals.diagonal,
    "dot": contractions.dot,
    "flatten": shape.flatten,
    "max": extremes.max,
    "mean": reduce.mean,
    "min": extremes.min,
    "nonzero": positions.nonzero,
    "prod": reduce.prod,
    "ravel": shape.ravel,
    "repeat": repeat.repeat,
    "reshape": _reshape,
    "round": rounding.round,
    "set": index.set_at,
    "sort": sort.sort,
    "squeeze": shape.squeeze,
    "std": reduce.std,
    "sum": reduce.sum,
    "swapaxes": shape.swapaxes,
    "take": positions.take,
    "trace": diagonals.trace,
    "transpose": _transpose,
    "var": reduce.var,
}
_PROPERTIES = {
    "T": _transpose,
    "mT": lambda x: shape.swapaxes(x, -1, -2),
    "shape": shape.shape,
    "size": shape.size,
}


def _attach() -> None:
    for name, function in _BINARY.items():
        setattr(Variable, f"__{name}__", function)
        setattr(Variable, f"__r{name}__", _swapped(function))
    for name, function in (*_OTHERS.items(), *_METHODS.items()):
        setattr(Variable, name, function)
    for name, function in _PROPERTIES.items():
        setattr(Variable, name, property(function))


_attach()

"""Whole numbers near a value. Being piecewise constant, they have a gradient of zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.annotations import ArrayLike
from ..core.op import Op
from ..core.variable import Variable
from .elementwise import divide, multiply
from .entry import elementwise
from .promotion import as_int, as_variable, cast_to

__all__ = ["around", "ceil", "floor", "rint", "round", "trunc"]

FLOOR = elementwise("floor", lambda m, x: m.floor(x), operands="float", traits=["step"])
CEIL = elementwise("ceil", lambda m, x: m.ceil(x), operands="float", traits=["step"])
TRUNC = elementwise("trunc", lambda m, x: m.trunc(x), operands="float", traits=["step"])
RINT = elementwise("rint", lambda m, x: m.rint(x), operands="float", traits=["step"])


def _step(op: Op, x: Any) -> Variable:
    """The step function of ``x``; integers are whole already."""
    x = as_variable(x, op.name)
    return op(x) if x.dtype.kind == "f" else x


def floor(x: ArrayLike) -> Variable:
    """The largest whole number that is not above each element; integers as they are.

    >>> sg.floor([1.5, -1.5]).eval()
    array([ 1., -2.], dtype=float32)
    """
    return _step(FLOOR, x)


def ceil(x: ArrayLike) -> Variable:
    """The smallest whole number that is not below each element; integers as they are.

    >>> sg.ceil([1.5, -1.5]).eval()
    array([ 2., -1.], dtype=float32)
    """
    return _step(CEIL, x)


def trunc(x: ArrayLike) -> Variable:
    """Each element without its fraction; integers as they are.

    >>> sg.trunc([1.5, -1.5]).eval()
    array([ 1., -1.], dtype=float32)
    """
    return _step(TRUNC, x)


def rint(x: ArrayLike) -> Variable:
    """The nearest whole number, the even one for halves, as a float.

    >>> sg.rint([0.5, 1.5]).eval()
    array([0., 2.], dtype=float32)
    """
    return RINT(x)


def round(x: ArrayLike, decimals: int = 0) -> Variable:
    """Each element rounded to so many decimals, halves to even; in the dtype that it has.

    Negative ``decimals`` are places before the point, and round integers too.

    >>> sg.round([1234, 1266], -2).eval()
    array([1200, 1300])
    """
    x, decimals = as_variable(x, "round"), as_int(decimals, "round: the number of decimals")
    if x.dtype.kind in "iu" and decimals < 0:
        return cast_to(round(cast_to(x, np.dtype("float64")), decimals), x.dtype)
    if x.dtype.kind != "f" or decimals == 0:
        return _step(RINT, x)
    power = 10.0 ** min(abs(decimals), 308)  # the largest that is a float
    if decimals > 0:
        return divide(rint(multiply(x, power)), power)
    return multiply(rint(divide(x, power)), power)


around = round

"""Learning rates and momenta: what they may be, and their value at a step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
)

from .typing import Rate
from .updates import Updates

__all__ = ["Scalar", "rate_at_step"]

# A rate in the dtype of a parameter: a number or a scalar variable.
Scalar = Callable[[sg.Variable], Any]


def rate_at_step(updates: Updates, value: Rate, name: str, *, ahead: int = 0) -> Scalar:
    """The rate at this step (or some steps ahead), for a parameter, in its dtype."""
    if callable(value) and not isinstance(value, sg.Variable):
        value = value(updates.count + ahead if ahead else updates.count)
    if isinstance(value, (bool, str)) or not isinstance(
        value, (int, float, np.number, np.ndarray, sg.Variable)
    ):
        raise SymgraphTypeError.here(
            f"{name}: a number, a scalar variable or a function of the step is expected, "
            f"not {value!r}"
        )
    axes = value.ndim if isinstance(value, (np.ndarray, sg.Variable)) else 0
    if axes:
        raise ShapeError.here(f"{name}: a scalar is expected; found {axes} axes")
    if isinstance(value, sg.Variable):
        if isinstance(value, sg.SharedVariable):
            _check_range(name, float(value.get_value()))
        wide = value.astype("float64")
        return lambda param: wide.astype(param.dtype)
    number = float(value)
    if not math.isfinite(number):
        raise SymgraphValueError.here(f"{name}: a finite number is expected, not {number}")
    _check_range(name, number)
    return lambda param: number


def _check_range(name: str, number: float) -> None:
    """Raise where a rate of this name cannot have the value."""
    if not number >= 0 or (name == "momentum" and number >= 1):
        wanted = "from 0 to below 1" if name == "momentum" else "of at least 0"
        raise SymgraphValueError.here(f"{name}: a number {wanted} is expected, not {number}")

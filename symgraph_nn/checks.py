"""What layers and losses ask of their arguments, with errors that name the layer and the line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
    describe,
)

__all__ = [
    "as_mask",
    "as_partner",
    "as_variable",
    "check_activation",
    "check_axes",
    "check_features",
    "check_float",
    "check_groups",
    "check_number",
    "check_positive",
    "check_share",
    "check_sizes",
]


def as_variable(value: Any, owner: object) -> sg.Variable:
    """The argument as a variable: itself, or a constant made of an array."""
    if isinstance(value, sg.Variable):
        return value
    if value is None or isinstance(value, (str, bytes, dict)) or callable(value):
        raise SymgraphTypeError.here(f"{owner}: a variable or an array is expected, not {value!r}")
    return sg.constant(value)


def as_partner(value: Any, partner: sg.Variable, owner: object) -> sg.Variable:
    """The argument as a variable; Python numbers in the dtype of the floats that they meet."""
    numbers = isinstance(value, (int, float, list, tuple)) and not isinstance(value, np.generic)
    weak = numbers and partner.dtype.kind == "f"
    return sg.constant(value, partner.dtype) if weak else as_variable(value, owner)


def as_mask(value: Any, owner: object) -> sg.Variable:
    """A mask as a variable; a plain bool, which a comparison by ``==`` is, is an error."""
    if isinstance(value, (bool, np.bool_)):
        raise SymgraphTypeError.here(
            f"{owner}: a mask is a variable or an array, not {value!r}",
            remedy="== and != between variables are identity; compare elements with sg.eq "
            "and sg.ne.",
        )
    return as_variable(value, owner)


def check_activation(owner: str, activation: Any) -> None:
    """Raise unless the activation is a function, or None."""
    if activation is not None and not callable(activation):
        raise SymgraphTypeError.here(
            f"{owner}: activation is a function such as sg.tanh, not {activation!r}"
        )


def check_axes(x: sg.Variable, n_axes: int, owner: object, layout: str) -> None:
    """Raise unless ``x`` has this number of axes; ``layout`` says what they are."""
    if x.ndim != n_axes:
        raise ShapeError.here(
            f"{owner}: {layout} is expected; found {describe(x)} of {x.ndim} axes"
        )


def check_features(x: sg.Variable, n_in: int, owner: object, axis: int = -1) -> None:
    """Raise where the size of an axis is known not to be what the layer was made for."""
    if x.ndim == 0:
        raise ShapeError.here(
            f"{owner}: {n_in} features are expected; found the scalar {describe(x)}"
        )
    size = x.shape[axis]
    if isinstance(size, int) and size != n_in:
        which = "the last axis" if axis == -1 else f"axis {axis}"
        raise ShapeError.here(
            f"{owner}: {n_in} features are expected on {which}; {describe(x)} has {size}",
            remedy="Make the layer with the number of features that it is given.",
        )


def check_float(x: sg.Variable, owner: object) -> None:
    """Raise unless the elements are floats."""
    if x.dtype.kind != "f":
        raise DtypeError.here(
            f"{owner}: floats are expected; found {describe(x)}",
            remedy="Convert it with .astype('float32').",
        )


def check_groups(owner: str, n_in: int, n_units: int, groups: int) -> None:
    """Raise unless the channels on both sides part into so many groups."""
    if n_in % groups or n_units % groups:
        raise SymgraphValueError.here(
            f"{owner}: {n_in} channels in and {n_units} out cannot be shared among {groups} groups",
            remedy="Give numbers of channels that are multiples of the number of groups.",
        )


def check_positive(owner: str, **sizes: Any) -> None:
    """Raise unless each argument is a whole number of at least 1."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise SymgraphValueError.here(
                f"{owner}: {name} is a whole number of at least 1, not {size!r}"
            )


def check_number(owner: str, **values: Any) -> None:
    """Raise unless each argument is a finite number of at least 0."""
    for name, value in values.items():
        if (
            isinstance(value, (bool, np.bool_))
            or not isinstance(value, (int, float, np.number))
            or not 0 <= value < math.inf
        ):
            raise SymgraphValueError.here(
                f"{owner}: {name} is a finite number of at least 0, not {value!r}"
            )


def check_share(owner: str, **values: Any) -> None:
    """Raise unless each argument is a number from 0 to below 1."""
    for name, value in values.items():
        if not isinstance(value, (int, float, np.number)) or not 0 <= value < 1:
            raise SymgraphValueError.here(
                f"{owner}: {name} is a number from 0 to below 1, not {value!r}"
            )


def check_sizes(owner: str, x: sg.Variable, other: sg.Variable, axes: Sequence[int]) -> None:
    """Raise where the two are known to have different sizes on one of these axes."""
    for axis in axes:
        a, b = x.type.shape[axis], other.type.shape[axis]
        if _are_different(a, b):
            raise ShapeError.here(
                f"{owner}: axis {axis} of {describe(x)} has size {a}, "
                f"that of {describe(other)} has {b}"
            )


def _are_different(a: Any, b: Any) -> bool:
    """Whether two sizes are different numbers, or different names."""
    if isinstance(a, int) or isinstance(b, int):
        return isinstance(a, int) and isinstance(b, int) and a != b
    return bool(a.is_name and b.is_name and a is not b)

"""The arguments of derivatives: float variables, and values that fit them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.errors import (
    GradientError,
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
)
from ..core.types import TupleType, is_float
from ..core.variable import Variable
from ..ops.promotion import fill_with
from ..ops.shape import reshape
from ..ops.sizes import check_size, shape_of

__all__ = ["Arrays", "Variables", "fit", "fit_all", "fit_sizes", "float_variables", "variables"]

Variables: TypeAlias = Variable | Sequence[Variable]
Arrays: TypeAlias = ArrayLike | Sequence[ArrayLike]


def variables(given: Any, function: str, role: str) -> tuple[list[Variable], bool]:
    """The variables given, and whether they came as a list."""
    several = not isinstance(given, Variable)
    try:
        found = list(given) if several else [given]
    except TypeError:
        found = [given]
    for v in found:
        if not isinstance(v, Variable) or isinstance(v.type, TupleType):
            raise SymgraphTypeError.here(
                f"{function}: {role} is a variable or a list of variables; found {v!r}"
            )
    return found, several


def float_variables(given: Any, function: str, role: str) -> tuple[list[Variable], bool]:
    """The variables given, and whether they came as a list; others than floats are an error."""
    found, several = variables(given, function, role)
    for v in found:
        if not is_float(v.dtype):
            raise GradientError.here(
                f"{function}: {provenance.describe(v)} in {role} has no derivative: "
                f"{v.dtype} is not a float dtype",
                remedy="Convert it with .astype('float32') before it is used, or leave it out.",
            )
    return found, several


def fit_all(values: Any, models: list[Variable], function: str, role: str) -> list[Variable]:
    """One value for each model, as variables of exactly their types."""
    given = list(values) if isinstance(values, (list, tuple)) else [values]
    if len(given) != len(models):
        raise SymgraphValueError.here(
            f"{function}: {len(models)} variables need as many {role}s, not {len(given)}"
        )
    return [fit(x, v, function, role) for x, v in zip(given, models, strict=True)]


def fit(value: Any, model: Variable, function: str, role: str) -> Variable:
    """The user's value as a variable of exactly the type of the model, which is a float's."""
    given = fill_with(value, model.dtype, function)
    what = f"{function}: the {role} of {provenance.describe(model)}"
    if given.ndim != model.ndim:
        raise ShapeError.here(f"{what} must have its shape; found {provenance.describe(given)}")
    return fit_sizes(given, model, what)


def fit_sizes(x: Variable, model: Variable, context: str) -> Variable:
    """``x`` with exactly the sizes of a model of as many axes; checked at the call if need be."""
    for axis in range(x.ndim):
        x = check_size(x, axis, model, axis, context)
    # A size may be known better than the model's.
    return x if x.type.shape == model.type.shape else reshape(x, shape_of(model))

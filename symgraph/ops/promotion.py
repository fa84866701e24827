"""Arguments of operations: made variables, and of one dtype, by NumPy's rules (NEP 50)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from ..core import provenance
from ..core.errors import DtypeError, NumberRangeError, SymgraphTypeError
from ..core.op import Op
from ..core.values import array_for, takes_kind, weak_kind, whole_number
from ..core.variable import Variable, constant_value, make_constant, node
from .formula import numpy_maths

__all__ = [
    "CAST",
    "as_int",
    "as_variable",
    "cast_to",
    "fill_with",
    "is_weak",
    "promote_arguments",
    "store_in",
    "to_float",
]


def _vjp_cast(cast: Variable, cotangent: Variable) -> list[Variable | None]:
    return [cast_to(cotangent, cast.inputs[0].dtype)]


# Conversion of the elements, as C converts. An integer result cuts the gradient.
CAST = Op(
    "cast",
    lambda inputs, dtype: inputs[0].type.with_dtype(dtype),
    evaluate=lambda arrays, dtype: numpy_maths.cast(arrays[0], dtype),
    vjp=_vjp_cast,
    formula=lambda maths, x, dtype: maths.cast(x, dtype),
    params=("dtype",),
    kind="elementwise",
    is_cheap=True,
)


_FLOAT32, _FLOAT64 = np.dtype("float32"), np.dtype("float64")


def is_weak(value: Any) -> TypeGuard[float]:
    """Whether the value is a Python number, which takes the dtype of what it meets."""
    return isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)


def as_variable(value: Any, function: str = "symgraph") -> Variable:
    """The variable for an argument that meets no other: itself, or a constant.

    A Python float becomes float32. Where there are partners, whose dtype a Python number has to
    take before it is rounded to any other, it is `promote_arguments`, `store_in` or `fill_with`.
    """
    if isinstance(value, Variable):
        if not hasattr(value.type, "dtype"):
            raise SymgraphTypeError(f"{function}: {value!r} has several results; take one of them")
        return value
    return make_constant(_checked(value, function), what=function)


def _checked(value: Any, function: str) -> Any:
    """The value, which is one that can be made a constant."""
    if value is None or isinstance(value, (str, bytes, dict, set)) or callable(value):
        raise SymgraphTypeError.here(
            f"{function}: expected a variable, an array or a number, not {value!r} "
            f"({type(value).__name__})"
        )
    return value


def store_in(dtype: np.dtype, value: Any, function: str) -> Variable:
    """The value in the dtype of what stores it, by NumPy's ``same_kind`` rule; it has to fit."""
    if not isinstance(value, Variable):
        return make_constant(array_for(_checked(value, function), dtype, function))
    variable = as_variable(value, function)
    if not np.can_cast(variable.dtype, dtype, "same_kind"):
        raise DtypeError.here(
            f"{function}: {provenance.describe(variable)} cannot be stored as {dtype}",
            remedy=f"Convert it with .astype('{dtype}').",
        )
    return cast_to(variable, dtype)


def fill_with(value: Any, dtype: np.dtype, function: str) -> Variable:
    """The value converted to a dtype that the user asked for: fractions may be cut off."""
    if isinstance(value, Variable):
        return cast_to(as_variable(value, function), dtype)
    return make_constant(_checked(value, function), dtype, what=function)


def as_int(value: Any, what: str) -> int:
    """The number for an argument that has to be a Python or NumPy int; ``what`` names it."""
    number = whole_number(value)
    if number is not None:
        return number
    if isinstance(value, bool):
        return int(value)
    raise SymgraphTypeError.here(f"{what} is an int, not {value!r}")


def promote_arguments(function: str, values: Sequence[Any]) -> list[Variable]:
    """The arguments as variables of their common dtype; Python numbers and lists are weak."""
    kinds = [None if isinstance(v, Variable) else weak_kind(v) for v in values]
    given = [
        as_variable(v, function) if kind is None else v
        for v, kind in zip(values, kinds, strict=True)
    ]
    common = None
    for v, kind in zip(given, kinds, strict=True):
        if kind is None and (common is None or v.type.dtype != common):
            # None counts as float64 to NumPy, so it has to be asked for first.
            common = v.type.dtype if common is None else np.result_type(common, v.type.dtype)
    weak = [kind for kind in kinds if kind is not None]
    if common is None:
        common = np.result_type(*(kind(0) for kind in weak))
        common = _FLOAT32 if common.kind == "f" else common
    for kind in weak:
        if not takes_kind(common, kind):
            common = np.result_type(common, kind(0))
    return [
        cast_to(v, common) if kind is None else _weak_constant(v, common, function)
        for v, kind in zip(given, kinds, strict=True)
    ]


def _weak_constant(value: Any, dtype: np.dtype, function: str) -> Variable:
    """The constant for a Python number or a list of them beside others of the dtype.

    As in NumPy an integer has to fit, and a float that is too large becomes infinite.
    """
    try:
        if isinstance(value, (list, tuple)):
            with np.errstate(all="ignore"):
                wide = np.asarray(value, _FLOAT64 if dtype.kind == "f" else dtype)
                return make_constant(wide.astype(dtype))
        # 0.0 == -0.0, so zeros are told apart by their text.
        key = repr(value) if isinstance(value, float) and not value else value
        return _small_constant(key, type(value), dtype)
    except OverflowError:
        raise NumberRangeError.here(
            f"{function}: the number {value} does not fit into {dtype}",
            remedy="Convert the other operand to a wider dtype with .astype.",
        ) from None
    except (TypeError, ValueError):
        return as_variable(value, function)  # a ragged list: the error says so


@functools.lru_cache(maxsize=1024)
def _small_constant(key: Any, kind: type, dtype: np.dtype) -> Variable:
    """The constant for a Python number; kept, since programs use few of them and often."""
    with np.errstate(all="ignore"):
        return make_constant(dtype.type(kind(key)))


def cast_to(x: Variable, dtype: np.dtype) -> Variable:
    """``x`` converted to the dtype; itself where it has it."""
    if x.dtype == dtype:
        return x
    value = constant_value(x)
    if value is not None and value.size == 1:
        with np.errstate(all="ignore"):
            return make_constant(numpy_maths.cast(value, dtype))
    converted = node(CAST, (x,), (dtype,))
    if x.dtype.kind == "f" and dtype.kind != "f":
        provenance.record(converted)  # gradients are cut here
    return converted


def to_float(x: Variable) -> Variable:
    """``x`` as a float: itself, float32 for integers of at most 16 bits, float64 for others."""
    if x.dtype.kind == "f":
        return x
    return cast_to(x, np.dtype("float32" if x.dtype.itemsize <= 2 else "float64"))

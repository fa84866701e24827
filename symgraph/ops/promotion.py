"""Arguments of operations: made variables, and of one dtype, by NumPy's rules (NEP 50)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.errors import DtypeError, SymgraphTypeError, explain
from ..core.op import Op
from ..core.variable import Variable, constant_value, make_constant, node
from .formula import numpy_maths

__all__ = ["CAST", "as_int", "as_variable", "cast_to", "is_weak", "promote_arguments", "to_float"]


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
    traits=frozenset({"elementwise"}),
)


_FLOAT32 = np.dtype("float32")


def is_weak(value: Any) -> bool:
    """Whether the value is a Python number, which takes the dtype of what it meets."""
    return isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)


def as_variable(value: Any, function: str = "symgraph") -> Variable:
    """The variable for an argument: itself, or a constant. A Python float becomes float32."""
    if isinstance(value, Variable):
        if not hasattr(value.type, "dtype"):
            raise SymgraphTypeError(f"{function}: {value!r} has several results; take one of them")
        return value
    if value is None or isinstance(value, (str, bytes, dict, set)) or callable(value):
        raise SymgraphTypeError(
            explain(
                f"{function}: expected a variable, an array or a number, not {value!r} "
                f"({type(value).__name__})",
                line=provenance.user_line(),
            )
        )
    return make_constant(value)


def as_int(value: Any, what: str) -> int:
    """The number for an argument that has to be a Python or NumPy int; ``what`` names it."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    raise SymgraphTypeError(
        explain(f"{what} is an int, not {value!r}", line=provenance.user_line())
    )


def promote_arguments(function: str, values: Sequence[Any]) -> list[Variable]:
    """The arguments as variables of their common dtype; Python numbers are weak."""
    given = [v if is_weak(v) else as_variable(v, function) for v in values]
    common = None
    for v in given:
        if isinstance(v, Variable) and (common is None or v.type.dtype != common):
            # None counts as float64 to NumPy, so it has to be asked for first.
            common = v.type.dtype if common is None else np.result_type(common, v.type.dtype)
    if common is None:
        common = np.result_type(*(type(v)(0) for v in given))
        common = _FLOAT32 if common.kind == "f" else common
    for v in given:
        if not isinstance(v, Variable) and not _takes(common, v):
            common = np.result_type(common, type(v)(0))
    return [
        cast_to(v, common) if isinstance(v, Variable) else _weak_constant(v, common, function)
        for v in given
    ]


def _takes(dtype: np.dtype, value: float) -> bool:
    """Whether the dtype of arrays stays what it is where they meet this Python number."""
    kind = dtype.kind
    return kind == "f" or isinstance(value, bool) or (kind != "b" and isinstance(value, int))


def _weak_constant(value: Any, dtype: np.dtype, function: str) -> Variable:
    # 0.0 == -0.0, so zeros are told apart by their text.
    key = repr(value) if isinstance(value, float) and not value else value
    try:
        return _small_constant(key, type(value), dtype)
    except OverflowError:
        raise DtypeError(
            explain(
                f"{function}: the number {value} does not fit into {dtype}",
                line=provenance.user_line(),
                remedy="Convert the other operand to a wider dtype with .astype.",
            )
        ) from None


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
            return make_constant(value.astype(dtype))
    converted = node(CAST, (x,), (dtype,))
    if x.dtype.kind == "f" and dtype.kind != "f":
        provenance.record(converted)  # gradients are cut here
    return converted


def to_float(x: Variable) -> Variable:
    """``x`` as a float: itself, float32 for integers of at most 16 bits, float64 for others."""
    if x.dtype.kind == "f":
        return x
    return cast_to(x, np.dtype("float32" if x.dtype.itemsize <= 2 else "float64"))

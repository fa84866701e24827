"""Arithmetic and choice, element by element; and how masked cotangents stay masked.

Gradients at kinks: `absolute` gives 0 at 0; equal operands of `maximum` and `minimum` share the
gradient equally; `clip` passes it at its bounds; `sign` and `floor_divide`, being piecewise
constant, have a gradient of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.errors import DtypeError, ShapeError, explain
from ..core.op import Op
from ..core.types import TensorType, as_dtype, tensor_type
from ..core.variable import CONSTANT, Variable, make_constant, node
from .broadcast import BROADCAST_TO, REARRANGE, broadcast_shapes, unify_shapes
from .comparison import (
    as_bool,
    equal,
    greater,
    greater_equal,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
)
from .entry import BOOL, elementwise, vjp_from
from .formula import numpy_maths
from .promotion import CAST, as_variable, cast_to, is_weak, promote_arguments

__all__ = [
    "abs",
    "absolute",
    "add",
    "add_cotangents",
    "astype",
    "cast",
    "clip",
    "divide",
    "floor_divide",
    "ifelse",
    "masked",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nan_to_num",
    "negative",
    "positive",
    "remainder",
    "scale",
    "sign",
    "square",
    "subtract",
    "true_divide",
    "where",
    "zero_like",
]

# --- choice -------------------------------------------------------------------------------------


def _infer_where(inputs: Sequence[Variable]) -> TensorType:
    condition, x, y = inputs
    if condition.dtype != BOOL or x.dtype != y.dtype:
        raise DtypeError(f"where: operands of {condition.dtype}, {x.dtype} and {y.dtype}")
    return tensor_type(x.dtype, broadcast_shapes([v.type.shape for v in inputs], "where"))


def _build_where(inputs: Sequence[Any]) -> Variable:
    condition, x, y = inputs
    condition = as_bool(condition, "where")
    return node(WHERE, unify_shapes([condition, *promote_arguments("where", (x, y))], "where"))


WHERE = Op(
    "where",
    _infer_where,
    evaluate=lambda arrays: numpy_maths.select(*arrays),
    vjp=vjp_from(
        [
            None,
            lambda ct, z, c, x, y: masked(c, ct),
            lambda ct, z, c, x, y: _masked_out(c, ct),
        ]
    ),
    formula=lambda m, c, x, y: m.select(c, x, y),
    build=_build_where,
    traits=frozenset({"elementwise"}),
)


def where(condition: Any, x: Any, y: Any) -> Variable:
    """``x`` where the condition holds, elsewhere ``y``; gradients reach the branch taken only."""
    return _build_where((condition, x, y))


def ifelse(condition: Any, x: Any, y: Any) -> Variable:
    """``x`` if the scalar condition holds, else ``y``, of one type; gradients reach that one only.

    Both are computed.
    """
    condition = as_variable(condition, "ifelse")
    if condition.ndim != 0:
        raise ShapeError(
            explain(
                f"ifelse: the condition is a scalar, not {provenance.describe(condition)}",
                line=provenance.user_line(),
                remedy="sg.where chooses element by element.",
            )
        )
    chosen = where(condition, x, y)
    if any(isinstance(v, Variable) and v.ndim != chosen.ndim for v in (x, y)):
        raise ShapeError(
            explain("ifelse: both values have one number of axes", line=provenance.user_line())
        )
    return chosen


def zero_like(x: Variable) -> Variable:
    """The scalar zero of the dtype of ``x``."""
    return make_constant(np.zeros((), x.dtype))


# --- masked cotangents --------------------------------------------------------------------------
# The derivative of ``where(c, a, b)`` hands ``where(c, cotangent, 0)`` to ``a``. A factor that is
# infinite or NaN where ``c`` is false must not turn that zero into NaN, so factors go inside:
# ``where(c, cotangent * factor, 0)``. Masks over masks are merged: a cotangent has one at most.


def masked(condition: Variable, cotangent: Variable) -> Variable:
    """The cotangent where the condition holds, elsewhere zero, whatever it is there."""
    parts = _unmask(cotangent)
    if parts is not None:
        holds, cotangent = parts
        condition = holds if holds is condition else logical_and(condition, holds)
    return where(condition, cotangent, zero_like(cotangent))


def _masked_out(condition: Variable, cotangent: Variable) -> Variable:
    """The cotangent where the condition does not hold, elsewhere zero."""
    if _unmask(cotangent) is not None:
        return masked(logical_not(condition), cotangent)
    return where(condition, zero_like(cotangent), cotangent)


def scale(cotangent: Variable, factor: Variable) -> Variable:
    """``cotangent * factor``, but zero where the cotangent comes from a branch not taken."""
    return within(cotangent, lambda taken: multiply(taken, factor))


def within(cotangent: Variable, change: Callable[[Variable], Variable]) -> Variable:
    """The cotangent changed by a linear function of each element, inside its mask if it has one."""
    parts = _unmask(cotangent)
    if parts is None:
        return change(cotangent)
    holds, taken = parts
    changed = change(taken)
    return where(holds, changed, zero_like(changed))


def add_cotangents(x: Variable, y: Variable) -> Variable:
    """``x + y``, zero where both are masked."""
    first, second = _unmask(x), _unmask(y)
    if first is None or second is None:
        return add(x, y)
    (condition, taken), (other, also_taken) = first, second
    if condition is other:
        total = add(taken, also_taken)
    elif logical_not(condition) is other or logical_not(other) is condition:
        return add(x, y)  # one or the other: no element is masked by both
    else:
        condition, total = logical_or(condition, other), add(x, y)
    return where(condition, total, zero_like(total))


def _unmask(cotangent: Variable) -> tuple[Variable, Variable] | None:
    """The condition and the values of a masked cotangent, seen through changes of its axes."""
    chain: list[Variable] = []
    while cotangent.op in (REARRANGE, BROADCAST_TO, CAST):
        chain.append(cotangent)
        cotangent = cotangent.inputs[0]
    if cotangent.op is not WHERE:
        return None
    condition, taken, other = cotangent.inputs
    if not _is_zero(other):
        if not _is_zero(taken):
            return None
        condition, taken = logical_not(condition), other
    shape = cotangent.type.shape
    if chain and not (condition.type.shape == shape == taken.type.shape):
        return None
    for view in reversed(chain):
        if view.op is CAST:
            taken = cast_to(taken, view.dtype)
        else:
            condition = node(view.op, (condition, *view.inputs[1:]), view.params)
            taken = node(view.op, (taken, *view.inputs[1:]), view.params)
    return condition, taken


def _is_zero(x: Variable) -> bool:
    return x.op is CONSTANT and x.ndim == 0 and not x.params[0].array


# --- arithmetic ---------------------------------------------------------------------------------

ADD = elementwise(
    "add",
    lambda m, x, y: m.add(x, y),
    [lambda ct, z, x, y: ct, lambda ct, z, x, y: ct],
    bools=logical_or,
    traits=["commutative", "associative"],
)
SUBTRACT = elementwise(
    "subtract",
    lambda m, x, y: m.subtract(x, y),
    [lambda ct, z, x, y: ct, lambda ct, z, x, y: within(ct, negative)],
)
MULTIPLY = elementwise(
    "multiply",
    lambda m, x, y: m.multiply(x, y),
    [lambda ct, z, x, y: scale(ct, y), lambda ct, z, x, y: scale(ct, x)],
    bools=logical_and,
    traits=["commutative", "associative"],
)
DIVIDE = elementwise(
    "divide",
    lambda m, x, y: m.divide(x, y),
    [
        lambda ct, z, x, y: within(ct, lambda taken: divide(taken, y)),
        lambda ct, z, x, y: scale(ct, negative(divide(z, y))),
    ],
    operands="quotient",
)
NEGATIVE = elementwise(
    "negative", lambda m, x: m.negative(x), [lambda ct, z, x: within(ct, negative)]
)
SQUARE = elementwise(
    "square",
    lambda m, x: m.multiply(x, x),
    [lambda ct, z, x: scale(ct, multiply(x, 2.0))],
    bools=lambda x: square(cast_to(x, _INT8)),
)
ABSOLUTE = elementwise(
    "absolute",
    lambda m, x: m.absolute(x),
    [lambda ct, z, x: scale(ct, sign(x))],
    bools=lambda x: x,
)
_INT8 = np.dtype("int8")


def add(x: Any, y: Any) -> Variable:
    """``x + y``; of bools, whether one is true, as in NumPy."""
    return ADD(x, y)


def subtract(x: Any, y: Any) -> Variable:
    """``x - y``."""
    return SUBTRACT(x, y)


def multiply(x: Any, y: Any) -> Variable:
    """``x * y``; of bools, whether both are true, as in NumPy."""
    return MULTIPLY(x, y)


def divide(x: Any, y: Any) -> Variable:
    """``x / y``; integers are divided as float64."""
    # A Python int need not fit into the integer dtype beside it, for that is not the result's.
    if type(y) is int and isinstance(x, Variable) and -_EXACT < y < _EXACT:
        y = float(y)
    elif type(x) is int and isinstance(y, Variable) and -_EXACT < x < _EXACT:
        x = float(x)
    return DIVIDE(x, y)


# Integers between this and its negative are floats, exactly.
_EXACT = 2**53


true_divide = divide


def negative(x: Any) -> Variable:
    """``-x``."""
    return NEGATIVE(x)


def positive(x: Any) -> Variable:
    """``+x``: ``x`` itself."""
    return as_variable(x, "positive")


def square(x: Any) -> Variable:
    """``x * x``."""
    return SQUARE(x)


def absolute(x: Any) -> Variable:
    """The absolute value; the gradient at 0 is 0."""
    return ABSOLUTE(x)


# --- whole parts --------------------------------------------------------------------------------

SIGN = elementwise("sign", lambda m, x: m.sign(x), traits=["step"])
FLOOR_DIVIDE = elementwise(
    "floor_divide",
    lambda m, x, y: m.floor_divide(x, y),
    bools=lambda x, y: floor_divide(cast_to(x, _INT8), cast_to(y, _INT8)),
    traits=["step"],
)
REMAINDER = elementwise(
    "remainder",
    lambda m, x, y: m.remainder(x, y),
    [
        lambda ct, z, x, y: ct,
        lambda ct, z, x, y: scale(ct, negative(floor_divide(x, y))),
    ],
    bools=lambda x, y: remainder(cast_to(x, _INT8), cast_to(y, _INT8)),
)


def sign(x: Any) -> Variable:
    """-1, 0 or 1 by the sign of each element; NaN for NaN."""
    return SIGN(x)


def floor_divide(x: Any, y: Any) -> Variable:
    """``x // y``, rounded down; an integer divided by zero gives 0."""
    return FLOOR_DIVIDE(x, y)


def remainder(x: Any, y: Any) -> Variable:
    """``x % y`` with the sign of ``y``; 0 for an integer divided by zero."""
    return REMAINDER(x, y)


mod = remainder

# --- the larger, the smaller, the bounded -------------------------------------------------------


def _share(cotangent: Variable, chosen: Variable, x: Variable, y: Variable) -> Variable:
    """The cotangent where an operand was chosen, half of it where both are equal."""
    return masked(chosen, scale(cotangent, where(equal(x, y), *_floats(x, 0.5, 1.0))))


def _floats(x: Variable, *values: float) -> list[Variable]:
    return [make_constant(value, x.dtype) for value in values]


MAXIMUM = elementwise(
    "maximum",
    lambda m, x, y: m.maximum(x, y),
    [
        lambda ct, z, x, y: _share(ct, greater_equal(x, y), x, y),
        lambda ct, z, x, y: _share(ct, less_equal(x, y), x, y),
    ],
    bools=logical_or,
    traits=["commutative", "associative"],
)
MINIMUM = elementwise(
    "minimum",
    lambda m, x, y: m.minimum(x, y),
    [
        lambda ct, z, x, y: _share(ct, less_equal(x, y), x, y),
        lambda ct, z, x, y: _share(ct, greater_equal(x, y), x, y),
    ],
    bools=logical_and,
    traits=["commutative", "associative"],
)
CLIP = elementwise(
    "clip",
    lambda m, x, low, high: m.minimum(m.maximum(x, low), high),
    [
        lambda ct, z, x, low, high: masked(
            logical_and(greater_equal(x, low), less_equal(x, high)), ct
        ),
        lambda ct, z, x, low, high: masked(logical_and(less(x, low), less_equal(low, high)), ct),
        lambda ct, z, x, low, high: masked(logical_or(greater(x, high), greater(low, high)), ct),
    ],
)


def maximum(x: Any, y: Any) -> Variable:
    """The larger of two elements, NaN if one is NaN; equal ones share the gradient equally."""
    return MAXIMUM(x, y)


def minimum(x: Any, y: Any) -> Variable:
    """The smaller of two elements, NaN if one is NaN; equal ones share the gradient equally."""
    return MINIMUM(x, y)


def clip(x: Any, min: Any = None, max: Any = None) -> Variable:
    """``x`` with no element below ``min`` or above ``max``; None is no bound.

    The gradient by ``x`` passes between the bounds and at them. Where ``min`` is above ``max`` the
    result is ``max``.
    """
    x = as_variable(x, "clip")
    if min is None and max is None:
        return x
    bounds = [bound for bound in (min, max) if bound is not None]
    dtype = promote_arguments("clip", [x, *bounds])[0].dtype
    lowest, highest = _extremes(dtype)
    return CLIP(x, lowest if min is None else min, highest if max is None else max)


def _extremes(dtype: np.dtype) -> tuple[Any, Any]:
    """The least and the greatest value of the dtype."""
    if dtype.kind == "f":
        return dtype.type(-np.inf), dtype.type(np.inf)
    info = np.iinfo(dtype)
    return dtype.type(info.min), dtype.type(info.max)


# --- conversion ---------------------------------------------------------------------------------


def cast(x: Any, dtype: Any) -> Variable:
    """``x`` converted to the dtype: fractions are cut off, as in NumPy; bools tell what is not 0.

    The gradient passes between floats and is cut by an integer or bool result.
    """
    wanted = as_dtype(dtype)
    if is_weak(x):
        return make_constant(x, wanted)
    return cast_to(as_variable(x, "cast"), wanted)


astype = cast


def nan_to_num(x: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Variable:
    """``x`` with NaN replaced, and infinities by the given or the largest finite numbers."""
    x = as_variable(x, "nan_to_num")
    if x.dtype.kind != "f":
        return x
    limit = np.finfo(x.dtype).max
    x = where(isnan(x), nan, x)
    x = where(equal(x, np.inf), limit if posinf is None else posinf, x)
    return where(equal(x, -np.inf), -limit if neginf is None else neginf, x)


abs = absolute

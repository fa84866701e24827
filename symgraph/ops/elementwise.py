"""Arithmetic and choice, element by element; and how zeros among derivatives stay zeros.

Gradients at kinks: `absolute` gives 0 at 0; equal operands of `maximum` and `minimum` share the
gradient equally; `clip` passes it at its bounds; `sign` and `floor_divide`, being piecewise
constant, have a gradient of zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import dims, provenance
from ..core.annotations import ArrayLike, DTypeLike, ScalarLike
from ..core.errors import DtypeError, ShapeError
from ..core.op import Op
from ..core.types import TensorType, as_dtype, tensor_type
from ..core.values import weak_kind
from ..core.variable import CONSTANT, Variable, make_constant, node
from .broadcast import BROADCAST_TO, REARRANGE, broadcast_shapes, seen_through, unify_shapes
from .comparison import (
    as_bool,
    as_condition,
    equal,
    greater,
    greater_equal,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_or,
)
from .entry import BOOL, elementwise, vjp_from
from .formula import numpy_maths
from .promotion import CAST, as_variable, cast_to, is_weak, promote_arguments
from .sizes import SIZE, size_rule

__all__ = [
    "abs",
    "absolute",
    "add",
    "astype",
    "cast",
    "clip",
    "divide",
    "divmod",
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
    "terms_of",
    "to_int64",
    "true_divide",
    "unscale",
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
            lambda ct, z, c, x, y: where(c, zero_like(ct), ct),
        ]
    ),
    formula=lambda m, c, x, y: m.select(c, x, y),
    build=_build_where,
    kind="elementwise",
    is_cheap=True,
)


def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Variable:
    """``x`` where the condition holds, elsewhere ``y``; gradients reach the branch taken only.

    All three are broadcast. A plain Python bool as condition is a `SymgraphTypeError`.

    >>> sg.where([True, False], 1.0, [2.0, 3.0]).eval()
    array([1., 3.], dtype=float32)
    """
    return _build_where((as_condition(condition, "where"), x, y))


def ifelse(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Variable:
    """``x`` if the scalar condition holds, else ``y``, of one type; gradients reach that one only.

    Both are computed. A `ShapeError` where the condition has axes or ``x`` and ``y`` differ in
    theirs.

    >>> x = sg.scalar()
    >>> sg.ifelse(x > 0, x, -x).eval({x: -2.0})
    np.float32(2.0)
    """
    condition = as_condition(condition, "ifelse")
    if condition.ndim != 0:
        raise ShapeError.here(
            f"ifelse: the condition is a scalar, not {provenance.describe(condition)}",
            remedy="sg.where chooses element by element.",
        )
    chosen = where(condition, x, y)
    if any(isinstance(v, Variable) and v.ndim != chosen.ndim for v in (x, y)):
        raise ShapeError.here("ifelse: both values have one number of axes")
    return chosen


def zero_like(x: Variable) -> Variable:
    """The scalar zero of the dtype of ``x``."""
    return make_constant(np.zeros((), x.dtype))


# --- derivatives that stay zero -----------------------------------------------------------------
# A branch not taken, a row not read and a factor of zero hand a cotangent of zero on, and what
# lies behind may have an infinite derivative just there: the square root of zero. So derivatives
# are multiplied by ops of their own, for which 0 · ∞ is 0, as in the theory of measure. By value,
# not by the shape of the graph: it holds behind views, joins, sums and loops. The derivatives of
# these ops are made of them again, and so it holds forwards, and to any order.

SCALE = elementwise(
    "scale",
    lambda m, x, y: m.select(m.bit_and(m.ne(y, 0), m.ne(x, 0)), m.multiply(x, y), 0),
    [lambda ct, z, x, y: scale(ct, y), lambda ct, z, x, y: scale(ct, x)],
    operands="float",
    traits=["commutative"],
    is_cheap=True,
)
UNSCALE = elementwise(
    "unscale",
    lambda m, x, y: m.select(m.eq(x, 0), 0, m.divide(x, y)),
    [
        lambda ct, z, x, y: unscale(ct, y),
        lambda ct, z, x, y: scale(ct, negative(unscale(z, y))),
    ],
    operands="float",
)


def scale(x: Any, y: Any) -> Variable:
    """``x * y``, but zero wherever either is, whatever the other."""
    return MULTIPLY(x, y) if _is_plain(x) or _is_plain(y) else SCALE(x, y)


def unscale(x: Any, y: Any) -> Variable:
    """``x / y``, but zero wherever ``x`` is, whatever ``y``."""
    return DIVIDE(x, y) if _is_plain(x) or _is_plain(y) else UNSCALE(x, y)


def _is_plain(x: Any) -> bool:
    """Whether this is one number, neither zero nor infinite: it makes no product undefined.

    So is the share of one element in a mean: of none there is no product.
    """
    if is_weak(x):
        return bool(x) and math.isfinite(x)
    x = seen_through(x, BROADCAST_TO, REARRANGE)
    if x.op is DIVIDE and _is_size(x.inputs[1]):
        x = x.inputs[0]
    if x.op is not CONSTANT or x.params[0].array.size != 1:
        return False
    return bool(np.isfinite(x.params[0].array).all() and x.params[0].array.all())


def _is_size(x: Variable) -> bool:
    """Whether this is the size of an axis, or a product of some, as a float."""
    stack = list(x.inputs) if x.op is CAST else [x]
    while stack:
        v = stack.pop()
        if v.op is MULTIPLY:
            stack += v.inputs
        elif v.op is not SIZE and not (v.op is CONSTANT and v.params[0].array.all()):
            return False
    return True


def masked(condition: Variable, cotangent: Variable) -> Variable:
    """The cotangent where the condition holds, elsewhere zero, whatever it is there."""
    return where(condition, cotangent, zero_like(cotangent))


# --- arithmetic ---------------------------------------------------------------------------------

ADD = elementwise(
    "add",
    lambda m, x, y: m.add(x, y),
    [lambda ct, z, x, y: ct, lambda ct, z, x, y: ct],
    bools=logical_or,
    traits=["commutative"],
    is_cheap=True,
)
SUBTRACT = elementwise(
    "subtract",
    lambda m, x, y: m.subtract(x, y),
    [lambda ct, z, x, y: ct, lambda ct, z, x, y: negative(ct)],
    is_cheap=True,
)
MULTIPLY = elementwise(
    "multiply",
    lambda m, x, y: m.multiply(x, y),
    [lambda ct, z, x, y: scale(ct, y), lambda ct, z, x, y: scale(ct, x)],
    bools=logical_and,
    traits=["commutative"],
    is_cheap=True,
)
DIVIDE = elementwise(
    "divide",
    lambda m, x, y: m.divide(x, y),
    [
        lambda ct, z, x, y: unscale(ct, y),
        lambda ct, z, x, y: scale(ct, negative(divide(z, y))),
    ],
    operands="quotient",
)
NEGATIVE = elementwise(
    "negative", lambda m, x: m.negative(x), [lambda ct, z, x: negative(ct)], is_cheap=True
)
SQUARE = elementwise(
    "square",
    lambda m, x: m.multiply(x, x),
    [lambda ct, z, x: scale(ct, multiply(x, 2.0))],
    bools=lambda x: square(cast_to(x, _INT8)),
    is_cheap=True,
)
ABSOLUTE = elementwise(
    "absolute",
    lambda m, x: m.absolute(x),
    [lambda ct, z, x: scale(ct, sign(x))],
    bools=lambda x: x,
    is_cheap=True,
)
_INT8, _FLOAT64 = np.dtype("int8"), np.dtype("float64")


def add(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x + y``; of bools, whether one is true, as in NumPy.

    >>> sg.add([1.0, 2.0], 1).eval()
    array([2., 3.], dtype=float32)
    """
    return ADD(x, y)


def terms_of(total: Variable) -> list[Variable]:
    """The terms of a sum of variables of one type, from left to right."""
    terms: list[Variable] = []
    stack = [total]
    while stack:
        v = stack.pop()
        if v.op is ADD and all(x.type is v.type for x in v.inputs):
            stack.extend(reversed(v.inputs))
        else:
            terms.append(v)
    return terms


def subtract(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x - y``; a `DtypeError` for bools.

    >>> sg.subtract([1.0, 2.0], 1).eval()
    array([0., 1.], dtype=float32)
    """
    return SUBTRACT(x, y)


def multiply(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x * y``; of bools, whether both are true, as in NumPy.

    >>> sg.multiply([1.0, 2.0], 2).eval()
    array([2., 4.], dtype=float32)
    """
    return MULTIPLY(x, y)


def divide(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x / y``; integers are divided as float64.

    >>> sg.divide([1.0, 2.0], 2).eval()
    array([0.5, 1. ], dtype=float32)
    """
    # A Python int need not fit into the integer dtype beside it, for that is not the result's.
    if type(y) is int and isinstance(x, Variable) and x.dtype.kind != "f":
        x = cast_to(x, _FLOAT64)
    elif type(x) is int and isinstance(y, Variable) and y.dtype.kind != "f":
        y = cast_to(y, _FLOAT64)
    return DIVIDE(x, y)


true_divide = divide


def negative(x: ArrayLike) -> Variable:
    """``-x``; a `DtypeError` for bools.

    >>> sg.negative([1.0, -2.0]).eval()
    array([-1.,  2.], dtype=float32)
    """
    return NEGATIVE(x)


def positive(x: ArrayLike) -> Variable:
    """``+x``: ``x`` itself.

    >>> sg.positive([1.0, -2.0]).eval()
    array([ 1., -2.], dtype=float32)
    """
    return as_variable(x, "positive")


def square(x: ArrayLike) -> Variable:
    """``x * x``.

    >>> sg.square([1, -2]).eval()
    array([1, 4])
    """
    return SQUARE(x)


def absolute(x: ArrayLike) -> Variable:
    """The absolute value; the gradient at 0 is 0.

    >>> sg.abs([1.0, -2.0]).eval()
    array([1., 2.], dtype=float32)
    """
    return ABSOLUTE(x)


# --- whole parts --------------------------------------------------------------------------------

SIGN = elementwise("sign", lambda m, x: m.sign(x), traits=["step"], is_cheap=True)
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


def sign(x: ArrayLike) -> Variable:
    """-1, 0 or 1 by the sign of each element, NaN for NaN; the gradient is 0.

    >>> sg.sign([-3.0, 0.0, 2.0]).eval()
    array([-1.,  0.,  1.], dtype=float32)
    """
    return SIGN(x)


def floor_divide(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x // y``, rounded down; an integer divided by zero gives 0. The gradient is 0.

    >>> sg.floor_divide([7, -7], 2).eval()
    array([ 3, -4])
    """
    return FLOOR_DIVIDE(x, y)


def remainder(x: ArrayLike, y: ArrayLike) -> Variable:
    """``x % y`` with the sign of ``y``; 0 for an integer divided by zero.

    >>> sg.remainder([7, -7], 3).eval()
    array([1, 2])
    """
    return REMAINDER(x, y)


mod = remainder


def divmod(x: ArrayLike, y: ArrayLike) -> tuple[Variable, Variable]:
    """``x // y`` and ``x % y``.

    >>> [z.eval() for z in sg.divmod(7.0, 2.0)]
    [np.float32(3.0), np.float32(1.0)]
    """
    return floor_divide(x, y), remainder(x, y)


# --- the larger, the smaller, the bounded -------------------------------------------------------


def _share(cotangent: Variable, chosen: Variable, x: Variable, y: Variable) -> Variable:
    """The cotangent where an operand was chosen, half of it where both are equal."""
    return masked(chosen, multiply(cotangent, where(equal(x, y), *_floats(x, 0.5, 1.0))))


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
    traits=["commutative"],
    is_cheap=True,
)
MINIMUM = elementwise(
    "minimum",
    lambda m, x, y: m.minimum(x, y),
    [
        lambda ct, z, x, y: _share(ct, less_equal(x, y), x, y),
        lambda ct, z, x, y: _share(ct, greater_equal(x, y), x, y),
    ],
    bools=logical_and,
    traits=["commutative"],
    is_cheap=True,
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
    bools=lambda x, low, high: logical_and(logical_or(x, low), high),
)


def maximum(x: ArrayLike, y: ArrayLike) -> Variable:
    """The larger of two elements, NaN if one is NaN; equal ones share the gradient equally.

    >>> sg.maximum([1.0, 3.0], 2.0).eval()
    array([2., 3.], dtype=float32)
    """
    return MAXIMUM(x, y)


def minimum(x: ArrayLike, y: ArrayLike) -> Variable:
    """The smaller of two elements, NaN if one is NaN; equal ones share the gradient equally.

    >>> sg.minimum([1.0, 3.0], 2.0).eval()
    array([1., 2.], dtype=float32)
    """
    return MINIMUM(x, y)


def to_int64(x: Variable) -> Variable:
    """Integers as int64; numbers of uint64 that it does not hold become its largest."""
    if x.dtype == np.uint64:
        x = minimum(x, make_constant(np.uint64(np.iinfo(np.int64).max)))
    return cast_to(x, np.dtype("int64"))


def clip(x: ArrayLike, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Variable:
    """``x`` with no element below ``min`` or above ``max``; None is no bound.

    The gradient by ``x`` passes between the bounds and at them. Where ``min`` is above ``max`` the
    result is ``max``.

    >>> sg.clip([-2.0, 0.5, 2.0], -1.0, 1.0).eval()
    array([-1. ,  0.5,  1. ], dtype=float32)
    """
    x = as_variable(x, "clip")
    min, max = _bounds_within(x.dtype, min, max)
    if min is None and max is None:
        return x
    bounds = [bound for bound in (min, max) if bound is not None]
    dtype = promote_arguments("clip", [x, *bounds])[0].dtype
    lowest, highest = _extremes(dtype)
    return CLIP(x, lowest if min is None else min, highest if max is None else max)


def _bounds_within(dtype: np.dtype, low: Any, high: Any) -> tuple[Any, Any]:
    """The bounds, but for Python ints beyond which an integer dtype has no values."""
    if dtype.kind in "iu":
        least, greatest = np.iinfo(dtype).min, np.iinfo(dtype).max
        low = None if type(low) is int and low < least else low
        high = None if type(high) is int and high > greatest else high
    return low, high


def _extremes(dtype: np.dtype) -> tuple[Any, Any]:
    """The least and the greatest value of the dtype."""
    if dtype.kind == "f":
        return dtype.type(-np.inf), dtype.type(np.inf)
    if dtype == BOOL:
        return np.False_, np.True_
    info = np.iinfo(dtype)
    return dtype.type(info.min), dtype.type(info.max)


# --- conversion ---------------------------------------------------------------------------------


def cast(x: ArrayLike, dtype: DTypeLike) -> Variable:
    """``x`` converted to the dtype: fractions are cut off, as in NumPy; bools tell what is not 0.

    The gradient passes between floats and is cut by an integer or bool result. A `DtypeError` for
    a dtype that there is not, a `NumberRangeError` for a Python number that does not fit.

    >>> sg.cast([1.7, -1.7], "int32").eval()
    array([ 1, -1], dtype=int32)
    """
    wanted = as_dtype(dtype)
    if not isinstance(x, Variable) and weak_kind(x) is not None:
        return make_constant(x, wanted, what="cast")
    return cast_to(as_variable(x, "cast"), wanted)


astype = cast


def nan_to_num(
    x: ArrayLike,
    nan: ScalarLike = 0.0,
    posinf: ScalarLike | None = None,
    neginf: ScalarLike | None = None,
) -> Variable:
    """``x`` with NaN replaced, and infinities by the given or the largest finite numbers.

    No gradient flows where an element was replaced.

    >>> sg.nan_to_num([np.nan, 1.0, np.inf], posinf=9.0).eval()
    array([0., 1., 9.], dtype=float32)
    """
    x = as_variable(x, "nan_to_num")
    if x.dtype.kind != "f":
        return x
    limit = np.finfo(x.dtype).max
    x = where(isnan(x), nan, x)
    x = where(equal(x, np.inf), limit if posinf is None else posinf, x)
    return where(equal(x, -np.inf), -limit if neginf is None else neginf, x)


abs = absolute


# --- sizes --------------------------------------------------------------------------------------

size_rule(ADD, lambda a, b: a + b)
size_rule(SUBTRACT, lambda a, b: a - b)
size_rule(MULTIPLY, lambda a, b: a * b)
size_rule(NEGATIVE, lambda a: -a)
size_rule(FLOOR_DIVIDE, dims.floor_div)
size_rule(MAXIMUM, lambda a, b: b + dims.maximum_zero(a - b))
size_rule(MINIMUM, dims.minimum)

"""Less work for the same result: algebra, logic, constants, dtypes and the noise of shapes.

Results stay the same to the last bit, NaN and infinity included, but for this list:

- the sign of a zero (``x + 0``, ``0 - x``, ``-(x - y)``, a sum over a part of zeros, `scale`);
- sums in another order (``sum(sum(x))``, and a sum of equal elements by multiplication);
- an index or a size that would turn out wrong in a value that nothing needs is not reported.

So ``x * 0`` and ``x - x`` become zero for integers only: a float may be NaN or infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.types import TensorType
from ..core.variable import CONSTANT, Variable, make_constant, node
from ..ops import activation, gradient  # noqa: F401 (templates name their ops)
from ..ops.broadcast import BROADCAST_TO, broadcast_to
from ..ops.elementwise import ADD, MULTIPLY, SUBTRACT, WHERE, add, multiply
from ..ops.promotion import CAST, cast_to
from .engine import BOOLS, EVERY, FLOATS, INTEGERS, NUMBERS, SIGNED, WHOLE, RuleSet, rule
from .pattern import fit, template, uniform
from .shapes import SHAPES
from .views import VIEWS

__all__ = ["SIMPLIFY"]


def _is_uniform(c: Variable, **_others: Variable) -> bool:
    return uniform(c) is not None


def _is_as_large(x: Variable, y: Variable) -> bool:
    return y.type.shape in ((), x.type.shape)


# --- algebra ------------------------------------------------------------------------------------

ALGEBRA = RuleSet(
    template("x + 0", "x", of=NUMBERS),
    template("x - 0", "x", of=NUMBERS),
    template("0 - x", "-x", of=NUMBERS),
    template("x * 1", "x", of=NUMBERS),
    template("x / 1", "x", of=FLOATS),
    template("x * -1", "-x", of=SIGNED),
    template("x / -1", "-x", of=FLOATS),
    template("x * 0", "0", of=INTEGERS),
    template("x - x", "0", of=INTEGERS),
    template("x // 1", "x", of=INTEGERS),
    template("x % 1", "0", of=INTEGERS),
    template("x ** 0", "1", of=NUMBERS),
    template("x ** 1", "x", of=NUMBERS),
    template("-(-x)", "x", of=NUMBERS),
    template("x - (-y)", "x + y", of=NUMBERS),
    template("x + (-y)", "x - y", of=NUMBERS),
    template("(-x) * (-y)", "x * y", of=NUMBERS),
    template("(-x) / (-y)", "x / y", of=FLOATS),
    template("(-x) * y", "-(x * y)", of=NUMBERS, when=_is_as_large),
    template("(-x) / y", "-(x / y)", of=FLOATS, when=_is_as_large),
    template("x / (-y)", "-(x / y)", of=FLOATS, when=_is_as_large),
    template("-(x * c)", "x * (-c)", of=NUMBERS, when=_is_uniform),
    template("(-x) * c", "x * (-c)", of=NUMBERS, when=_is_uniform),
    template("-(x - y)", "y - x", of=NUMBERS),
    template("x + (-y) * z", "x - y * z", of=NUMBERS),
    template("x - (-y) * z", "x + y * z", of=NUMBERS),
    template("absolute(-x)", "absolute(x)", of=SIGNED),
    template("absolute(absolute(x))", "absolute(x)", of=NUMBERS),
    template("square(-x)", "square(x)", of=NUMBERS),
    template("square(absolute(x))", "square(x)", of=NUMBERS),
    template("maximum(x, x)", "x", of=NUMBERS),
    template("minimum(x, x)", "x", of=NUMBERS),
    template("relu(relu(x))", "relu(x)", of=NUMBERS),
    # Derivatives are taken before: what only they see has done its work.
    template("stop_gradient(x)", "x", of=EVERY),
    template("clip_gradient(x, low, high)", "x", of=EVERY),
)


@rule("add", "subtract", of=INTEGERS, reads=("add", "subtract"))
def add_once(v: Variable) -> Variable | None:
    """(x + 1) + 2 → x + 3, of integers."""
    outer = _plus_constant(v)
    inner = None if outer is None else _plus_constant(outer[0])
    if outer is None or inner is None:
        return None
    with np.errstate(all="ignore"):
        total = outer[1] + inner[1]
    return fit(add(inner[0], make_constant(total)) if total else inner[0], v, v.inputs)


def _plus_constant(v: Variable) -> tuple[Variable, Any] | None:
    """What a sum consists of: a variable and a number; a difference has the number negated."""
    if v.op is not ADD and v.op is not SUBTRACT:
        return None
    x, y = v.inputs
    with np.errstate(all="ignore"):
        if (value := uniform(y)) is not None:
            return x, value if v.op is ADD else -value
    if v.op is ADD and (value := uniform(x)) is not None:
        return y, value
    return None


@rule("multiply", of=INTEGERS, reads=("multiply",))
def multiply_once(v: Variable) -> Variable | None:
    """(x * 2) * 3 → x * 6, of integers."""
    for x, outer in (v.inputs, v.inputs[::-1]):
        factor = uniform(outer)
        if factor is None or x.op is not MULTIPLY:
            continue
        for y, inner in (x.inputs, x.inputs[::-1]):
            if (value := uniform(inner)) is not None:
                with np.errstate(all="ignore"):
                    return fit(multiply(y, make_constant(factor * value)), v, v.inputs)
    return None


# --- products of derivatives --------------------------------------------------------------------
# Products for which 0 · ∞ is 0; beside a number that is neither they are like any others.


def _is_plain(c: Variable, **_others: Variable) -> bool:
    value = uniform(c)
    return value is not None and bool(value) and bool(np.isfinite(value))


DERIVATIVES = RuleSet(
    template("scale(x, 0)", "0", of=FLOATS),
    template("scale(x, c)", "x * c", of=FLOATS, when=_is_plain),
    template("scale(-x, -y)", "scale(x, y)", of=FLOATS),
    template("scale(-x, y)", "-scale(x, y)", of=FLOATS, when=_is_as_large),
    template("x + scale(-y, z)", "x - scale(y, z)", of=FLOATS),
    template("x - scale(-y, z)", "x + scale(y, z)", of=FLOATS),
    template("unscale(0, x)", "0", of=FLOATS),
    template("unscale(x, c)", "x / c", of=FLOATS, when=_is_plain),
    template("unscale(c, x)", "c / x", of=FLOATS, when=_is_plain),
    template("unscale(-x, -y)", "unscale(x, y)", of=FLOATS),
    template("unscale(-x, y)", "-unscale(x, y)", of=FLOATS, when=_is_as_large),
    template("unscale(x, -y)", "-unscale(x, y)", of=FLOATS, when=_is_as_large),
)


# --- logic and choice ---------------------------------------------------------------------------

LOGIC = RuleSet(
    template("invert(invert(x))", "x", of=WHOLE),
    template("invert(equal(x, y))", "not_equal(x, y)", of=EVERY),
    template("invert(not_equal(x, y))", "equal(x, y)", of=EVERY),
    template("bitwise_and(x, x)", "x", of=WHOLE),
    template("bitwise_or(x, x)", "x", of=WHOLE),
    template("bitwise_and(x, True)", "x", of=BOOLS),
    template("bitwise_and(x, False)", "False", of=BOOLS),
    template("bitwise_or(x, False)", "x", of=BOOLS),
    template("bitwise_or(x, True)", "True", of=BOOLS),
    template("equal(x, x)", "True", of=WHOLE),
    template("not_equal(x, x)", "False", of=WHOLE),
    template("less(x, x)", "False", of=EVERY),
    template("greater(x, x)", "False", of=EVERY),
    template("less_equal(x, x)", "True", of=WHOLE),
    template("greater_equal(x, x)", "True", of=WHOLE),
    template("where(c, x, x)", "x", of=EVERY),
    template("where(True, x, y)", "x", of=EVERY),
    template("where(False, x, y)", "y", of=EVERY),
    template("where(c, True, False)", "c", of=EVERY),
)


@rule("where", of=EVERY, reads=("where",))
def merge_wheres(v: Variable) -> Variable | None:
    """where(c, where(c, x, a), where(c, b, y)) → where(c, x, y)."""
    condition, x, y = v.inputs
    inner_x = x.inputs[1] if x.op is WHERE and x.inputs[0] is condition else x
    inner_y = y.inputs[2] if y.op is WHERE and y.inputs[0] is condition else y
    if inner_x is x and inner_y is y:
        return None
    return fit(node(WHERE, (condition, inner_x, inner_y)), v, v.inputs)


# --- constants ----------------------------------------------------------------------------------

_MAX_FOLDED = 1000
_NEVER_FOLDED = frozenset({"leaf", "check"})


@rule(of=EVERY)
def fold_constants(v: Variable) -> Variable | None:
    """f(constants) → its value, where it is small or no larger than what it is made of.

    A NaN that comes of numbers, and an infinity of finite ones, are left for the call, which may
    have to say where they came from.
    """
    for x in v.inputs:
        if x.op is not CONSTANT:
            return None
    op = v.op
    if op.evaluate is None or op is BROADCAST_TO or not op.traits.isdisjoint(_NEVER_FOLDED):
        return None
    if not isinstance(v.type, TensorType):
        return None
    size = product(v.type.shape)
    arrays = [x.params[0].array for x in v.inputs]
    if not isinstance(size, int) or size > max([_MAX_FOLDED, *(a.size for a in arrays)]):
        return None
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(op.evaluate(arrays, *v.params))
    except (ValueError, TypeError, IndexError, ArithmeticError):
        return None  # which the call will report
    if value.dtype != v.dtype or value.shape != v.type.shape:
        return None
    if any(_has(value, what) and not any(_has(x, what) for x in arrays) for what in _NO_NUMBERS):
        return None
    return make_constant(value)


_NO_NUMBERS = (np.isnan, lambda array: ~np.isfinite(array))


def _has(array: np.ndarray, what: Callable[[np.ndarray], np.ndarray]) -> bool:
    return array.dtype.kind == "f" and bool(what(array).any())


@rule("constant", of=EVERY)
def narrow_constant(v: Variable) -> Variable | None:
    """constant(x, x, x) → broadcast_to(x)."""
    array = v.params[0].array
    if array.size < 2 or array.flat[0] != array.flat[-1]:
        return None
    first = array.reshape(-1)[:1]
    # Bit by bit: -0.0 is not 0.0.
    if array.tobytes() != first.tobytes() * array.size:
        return None
    return broadcast_to(make_constant(first.reshape(())), array.shape)


# --- dtypes -------------------------------------------------------------------------------------


@rule("cast", of=EVERY)
def merge_casts(v: Variable) -> Variable | None:
    """cast(x, its own dtype) → x; cast(cast(x, a), b) → cast(x, b) where a holds all of x."""
    (x,), (dtype,) = v.inputs, v.params
    if x.dtype == dtype:
        return x
    if x.op is not CAST:
        return None
    source = x.inputs[0]
    if not _holds(x.dtype, source.dtype):
        return None
    # A float out of an integer's range converts to anything; an integer wraps.
    if x.dtype.kind == "f" and dtype.kind in "iu" and not _holds(dtype, source.dtype):
        return None
    return cast_to(source, dtype)


def _holds(wide: np.dtype, narrow: np.dtype) -> bool:
    """Whether every value of one dtype is one of the other too."""
    if wide.kind == "f" and narrow.kind in "iu":
        return narrow.itemsize * 8 <= np.finfo(wide).nmant + 1
    return np.can_cast(narrow, wide, "safe")


SIMPLIFY = (
    ALGEBRA
    + DERIVATIVES
    + LOGIC
    + RuleSet(
        add_once,
        multiply_once,
        merge_wheres,
        fold_constants,
        narrow_constant,
        merge_casts,
    )
    + SHAPES
    + VIEWS
)

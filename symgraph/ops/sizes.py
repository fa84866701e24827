"""Sizes as values: the integer scalars that ``x.shape`` gives, and what is known of them.

An op that makes an axis (``zeros``, ``reshape``, ``arange``) takes its sizes as integer scalars;
`size_of` finds the `Dim` that such a scalar stands for, so that ``zeros(x.shape)`` has x's type.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.annotations import Shape
from ..core.dims import Dim, Size, fresh_number, fresh_size
from ..core.errors import CallError, ShapeError, SymgraphTypeError
from ..core.op import Op
from ..core.size_differences import known_different
from ..core.types import TensorType, is_integer, tensor_type
from ..core.values import whole_number
from ..core.variable import Variable, constant_value, make_constant, node
from .promotion import CAST, cast_to

__all__ = [
    "CHECK_SIZE",
    "SIZE",
    "carry_size",
    "check_size",
    "known_size",
    "is_size",
    "preferred_size",
    "refuse_negative",
    "shape_of",
    "shape_operands",
    "size_of",
    "size_rule",
    "take_for_size",
    "unified_with",
    "unify_axis",
]

_INT64 = np.dtype("int64")
_WIDE = (_INT64, np.dtype("int32"))


def _infer_size(inputs: Sequence[Variable], axis: int) -> TensorType:
    return tensor_type(_INT64, ())


# The size of one axis, as an int64 scalar.
SIZE = Op(
    "size",
    _infer_size,
    evaluate=lambda arrays, axis: np.asarray(arrays[0].shape[axis], _INT64),
    params=("axis",),
    kind="movement",
    is_cheap=True,
)


def shape_of(x: Variable) -> tuple[int | Variable, ...]:
    """The shape of ``x``: ints where known, elsewhere integer scalars."""
    return tuple(
        size if isinstance(size, int) else node(SIZE, (x,), (axis,))
        for axis, size in enumerate(x.type.shape)
    )


# --- what is known of an integer scalar ---------------------------------------------------------

SizeRule = Callable[..., Size]
_rules: dict[Op, SizeRule] = {}
# What scalars stand for that have been asked: a number that depends on data for ever one Dim.
_found: weakref.WeakKeyDictionary[Variable, Size] = weakref.WeakKeyDictionary()


def size_rule(op: Op, rule: SizeRule) -> None:
    """Teach `size_of` an op on integer scalars: ``rule(*sizes)`` is the size of its result."""
    _rules[op] = rule


size_rule(CAST, lambda a: a)


def size_of(scalar: Variable) -> Size:
    """The size that an integer scalar stands for; an unknown one, always the same, if need be.

    What only data tell may be negative, and is then no size: ops that make an axis check it.
    """
    size = _meaning(scalar, ask=True)
    assert size is not None
    return size


def known_size(scalar: Variable) -> Size | None:
    """The size that an integer scalar stands for; None where no type depends on it so far."""
    return _meaning(scalar, ask=False)


def take_for_size(scalar: Variable) -> None:
    """Let an integer scalar that only data tell be known not to be negative."""
    _found.setdefault(scalar, fresh_size())


def _meaning(scalar: Variable, *, ask: bool) -> Size | None:
    size = _at_hand(scalar)
    stack = [scalar] if size is None else []
    while stack:
        v = stack[-1]
        rule = _rule_for(v)
        if rule is not None:
            sizes = [_at_hand(x) for x in v.inputs]
            missing = [x for x, known in zip(v.inputs, sizes, strict=True) if known is None]
            if missing:
                stack += missing
                continue
            size = rule(*sizes)
        elif ask:
            size = fresh_number()
        else:
            return None
        size = _found.setdefault(v, size)
        stack.pop()
    return size


def _at_hand(scalar: Variable) -> Size | None:
    """What a scalar stands for that is the size of an axis, a constant, or has been asked."""
    if scalar.op is SIZE:
        return scalar.inputs[0].type.shape[scalar.params[0]]
    value = constant_value(scalar)
    return int(value) if value is not None and value.shape == () else _found.get(scalar)


def is_size(v: Variable) -> bool:
    """Whether the variable is the size of an axis, or arithmetic with a rule for sizes."""
    return v.op is SIZE or _rule_for(v) is not None


def _rule_for(v: Variable) -> SizeRule | None:
    """The rule by which a variable's size follows from those of its inputs.

    Of int64 alone, since arithmetic of narrower integers wraps; a size that is converted to int32
    is taken to fit.
    """
    rule = _rules.get(v.op)
    if rule is None or v.type.shape != ():
        return None
    if v.op is CAST:
        (x,) = v.inputs
        fits = is_integer(x.dtype) and (x.dtype in _WIDE or np.can_cast(x.dtype, v.dtype))
        return rule if fits and v.dtype in _WIDE else None
    return rule if all(x.dtype == _INT64 for x in (v, *v.inputs)) else None


def carry_size(old: Variable, new: Variable) -> None:
    """Let ``new``, which replaces ``old``, stand for the same size, where it can.

    Where it cannot, types that speak of the size differ.
    """
    if old is new or old.type.__class__ is not TensorType or old.type.shape:
        return
    if not is_integer(old.dtype):
        return
    size = known_size(old)
    if not isinstance(size, Dim) or known_size(new) == size:
        return
    # A leaf, or what becomes a constant, is part of other graphs as well, and none of theirs is to
    # tell what this one's rules may do.
    if not is_size(new) and any(constant_value(x) is None for x in new.inputs):
        _found.setdefault(new, size)


def shape_operands(
    shape: Shape, function: str
) -> tuple[tuple[int | None, ...], list[Variable], tuple[Size, ...]]:
    """A user's shape taken apart: a template with None for each symbol, the symbols, the sizes.

    Accepts one size or a sequence of sizes; a size is an int or an integer scalar variable.
    """
    template: list[int | None] = []
    symbols: list[Variable] = []
    sizes: list[Size] = []
    for entry in _shape_entries(shape, function):
        if isinstance(entry, Variable) and entry.ndim == 0 and is_integer(entry.dtype):
            size = size_of(entry)
        else:
            size = whole_number(entry)
        if size is None:
            raise _bad_shape(function, entry)
        if not isinstance(size, int):
            symbols.append(cast_to(entry, _INT64))
        template.append(size if isinstance(size, int) else None)
        sizes.append(size)
    return tuple(template), symbols, tuple(sizes)


def refuse_negative(template: Sequence[int | None], function: str) -> None:
    """A `ShapeError` where a number in the template of a shape is negative."""
    if any(size is not None and size < 0 for size in template):
        raise ShapeError.here(f"{function}: a size is at least 0; found {tuple(template)}")


def _shape_entries(shape: Any, function: str) -> list[Any]:
    """The sizes in a shape: one size, a sequence of sizes, or a vector of known length."""
    if isinstance(shape, Variable) and shape.ndim == 1 and isinstance(shape.type.shape[0], int):
        return [shape[i] for i in range(shape.type.shape[0])]
    if isinstance(shape, Variable) or whole_number(shape) is not None:
        return [shape]
    try:
        return list(shape)
    except TypeError:
        raise _bad_shape(function, shape) from None


def _bad_shape(function: str, entry: Any) -> SymgraphTypeError:
    return SymgraphTypeError.here(
        f"{function}: a shape is made of ints and integer scalars; found "
        + provenance.describe(entry),
        remedy="x.shape gives the sizes of another variable.",
    )


# --- sizes that must agree ----------------------------------------------------------------------


def _infer_check_size(
    inputs: Sequence[Variable], axis: int, other_axis: int, context: str
) -> TensorType:
    x, other = inputs
    shape = list(x.type.shape)
    # Of sizes that tell equally much the other one counts: operands unify with their model.
    shape[axis] = preferred_size(other.type.shape[other_axis], shape[axis])
    return x.type.with_shape(shape)


def _evaluate_check_size(
    arrays: Sequence[np.ndarray], axis: int, other_axis: int, context: str
) -> np.ndarray:
    x, other = arrays
    if x.shape[axis] != other.shape[other_axis]:
        raise CallError(
            f"{context}: axis {axis} of an operand of shape {x.shape} has size {x.shape[axis]}, "
            f"axis {other_axis} of one of shape {other.shape} has size {other.shape[other_axis]}"
        )
    return x


def _vjp_check_size(check: Variable, cotangent: Variable) -> list[Variable | None]:
    # The cotangent has the size that the check settled on; the input's own size is equal.
    return [cotangent, None]


# x, known from here on to be as long on one axis as ``other`` is on one of its own.
CHECK_SIZE = Op(
    "check_size",
    _infer_check_size,
    evaluate=_evaluate_check_size,
    vjp=_vjp_check_size,
    params=("axis", "other_axis", "context"),
    traits=frozenset({"layout", "view", "check", "traced"}),
    kind="movement",
)


def preferred_size(a: Size, b: Size) -> Size:
    """The size that tells more: a number, then a name, then a formula, then an unknown."""
    return min((a, b), key=_rank)


def _rank(size: Size) -> int:
    if isinstance(size, int):
        return 0
    return 1 if size.is_name else 3 if size.is_unknown else 2


def check_size(x: Variable, axis: int, other: Variable, other_axis: int, context: str) -> Variable:
    """``x`` with the size of one axis unified with one of ``other``, at the call if need be.

    Sizes that are known to differ are a `ShapeError` now; ``context`` names the operation.
    """
    a, b = x.type.shape[axis], other.type.shape[other_axis]
    if a is b or (isinstance(a, int) and a == b):
        return x
    if known_different(a, b):
        raise ShapeError.here(
            f"{context}: sizes {a} and {b} differ: axis {axis} of {provenance.describe(x)}, "
            f"axis {other_axis} of {provenance.describe(other)}"
        )
    return node(CHECK_SIZE, (x, other), (axis, other_axis, context))


def unified_with(x: Variable, other: Variable, context: str) -> Variable:
    """``x``, known from here on to be as large as ``other`` on every axis."""
    for axis in range(x.ndim):
        x = check_size(x, axis, other, axis, context)
    return x


def unify_axis(
    operands: Sequence[Variable], axes: Sequence[int | None], context: str
) -> list[Variable]:
    """The operands with one axis of each (None: it has none) known to be equally long."""
    result = list(operands)
    axis_of = {i: axis for i, axis in enumerate(axes) if axis is not None}
    sizes = {i: result[i].type.shape[axis] for i, axis in axis_of.items()}
    if len(set(sizes.values())) <= 1:
        return result
    first = min(axis_of, key=lambda i: _rank(sizes[i]))
    for i, axis in axis_of.items():
        if i != first:
            result[i] = check_size(result[i], axis, result[first], axis_of[first], context)
    return result


def as_scalar(size: int | Variable) -> Variable:
    """A size as an int64 scalar variable."""
    return size if isinstance(size, Variable) else make_constant(np.int64(size))

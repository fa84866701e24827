"""ONNX's arithmetic, comparisons and logic: operands are broadcast, integers divided as in C."""

from __future__ import annotations

import functools
from collections.abc import Callable

from ...core.variable import Variable
from ...ops import comparison, elementwise
from ...ops.promotion import cast_to
from ...ops.shape import expand_dims
from ...ops.transcendental import power
from .read_node import Node
from .read_registry import reads
from .read_values import Value


def truncated_quotient(x: Variable, y: Variable) -> Variable:
    """Integers divided and rounded towards zero."""
    quotient = elementwise.floor_divide(x, y)
    if x.dtype.kind != "i":
        return quotient
    remainder = elementwise.subtract(x, elementwise.multiply(quotient, y))
    is_below = comparison.logical_and(
        comparison.ne(remainder, 0),
        comparison.ne(comparison.less(x, 0), comparison.less(y, 0)),
    )
    return elementwise.add(quotient, cast_to(is_below, x.dtype))


def _divide(x: Variable, y: Variable) -> Variable:
    return elementwise.divide(x, y) if x.dtype.kind == "f" else truncated_quotient(x, y)


_BINARY: dict[str, Callable[[Variable, Variable], Variable]] = {
    "Add": elementwise.add,
    "And": comparison.logical_and,
    "BitwiseAnd": comparison.bitwise_and,
    "BitwiseOr": comparison.bitwise_or,
    "BitwiseXor": comparison.bitwise_xor,
    "Div": _divide,
    "Equal": comparison.eq,
    "Greater": comparison.greater,
    "GreaterOrEqual": comparison.greater_equal,
    "Less": comparison.less,
    "LessOrEqual": comparison.less_equal,
    "Mul": elementwise.multiply,
    "Or": comparison.logical_or,
    "Sub": elementwise.subtract,
    "Xor": comparison.logical_xor,
}
_MANY: dict[str, Callable[[Variable, Variable], Variable]] = {
    "Max": elementwise.maximum,
    "Mean": elementwise.add,
    "Min": elementwise.minimum,
    "Sum": elementwise.add,
}


@reads(*_BINARY)
def _binary(node: Node) -> Value:
    x, y = _operands(node)
    return _BINARY[node.op_type](x, y)


def _operands(node: Node) -> tuple[Variable, Variable]:
    """Both operands; before version 7 the second one says where its axes lie."""
    x, y = node.variable(0), node.variable(1)
    if node.version < 7 and node.attribute("broadcast", 0) and 0 < y.ndim < x.ndim:
        first = node.axis(node.attribute("axis", x.ndim - y.ndim), x.ndim)
        y = expand_dims(y, tuple(range(y.ndim, x.ndim - first)))
    return x, y


@reads(*_MANY)
def _many(node: Node) -> Value:
    values = node.variables()
    if not values:
        raise node.refusal("it has no inputs")
    total = functools.reduce(_MANY[node.op_type], values)
    return elementwise.divide(total, len(values)) if node.op_type == "Mean" else total


@reads("Pow")
def _pow(node: Node) -> Value:
    x, y = _operands(node)
    return cast_to(power(x, y), x.dtype)


@reads("Mod")
def _mod(node: Node) -> Value:
    x, y = node.variable(0), node.variable(1)
    if not node.attribute("fmod", 0):
        return elementwise.remainder(x, y)
    if x.dtype.kind != "f":
        return elementwise.subtract(x, elementwise.multiply(truncated_quotient(x, y), y))
    rest = elementwise.remainder(elementwise.absolute(x), elementwise.absolute(y))
    return elementwise.where(comparison.less(x, 0), elementwise.negative(rest), rest)


@reads("BitShift")
def _bit_shift(node: Node) -> Value:
    direction = node.required("direction", str)
    shift = {"LEFT": comparison.left_shift, "RIGHT": comparison.right_shift}.get(direction)
    if shift is None:
        raise node.refusal(f"the direction is LEFT or RIGHT, not {direction!r}")
    return shift(node.variable(0), node.variable(1))

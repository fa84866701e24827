"""Elementwise ops of ONNX, and what else takes its operands as they are."""

from __future__ import annotations

from collections.abc import Callable

from ...core.variable import Variable
from ...ops import activation, comparison, elementwise, rounding, special_functions, transcendental
from ...ops.linalg import matmul
from .read_node import Node
from .read_registry import reads
from .read_values import Value

# Ops that are one function here, with as many inputs as they are given.
_SAME: dict[str, Callable[..., Variable]] = {
    "Abs": elementwise.absolute,
    "Acos": transcendental.arccos,
    "Acosh": transcendental.arccosh,
    "Asin": transcendental.arcsin,
    "Asinh": transcendental.arcsinh,
    "Atan": transcendental.arctan,
    "Atanh": transcendental.arctanh,
    "BitwiseNot": comparison.bitwise_not,
    "Ceil": rounding.ceil,
    "Cos": transcendental.cos,
    "Cosh": transcendental.cosh,
    "Erf": special_functions.erf,
    "Exp": transcendental.exp,
    "Floor": rounding.floor,
    "IsNaN": comparison.isnan,
    "Log": transcendental.log,
    "MatMul": matmul,
    "Neg": elementwise.negative,
    "Not": comparison.logical_not,
    "Reciprocal": transcendental.reciprocal,
    "Relu": activation.relu,
    "Round": rounding.rint,
    "Sigmoid": activation.sigmoid,
    "Sign": elementwise.sign,
    "Sin": transcendental.sin,
    "Sinh": transcendental.sinh,
    "Softplus": activation.softplus,
    "Sqrt": transcendental.sqrt,
    "Tan": transcendental.tan,
    "Tanh": transcendental.tanh,
    "Where": elementwise.where,
}


def _read_same(node: Node) -> Value:
    return _SAME[node.op_type](*node.variables())


reads(*_SAME)(_read_same)


@reads("IsInf")
def _is_infinite(node: Node) -> Value:
    x = node.variable(0)
    found = comparison.isinf(x)
    if not node.attribute("detect_positive", 1):
        found = comparison.logical_and(found, comparison.less(x, 0))
    if not node.attribute("detect_negative", 1):
        found = comparison.logical_and(found, comparison.greater(x, 0))
    return found


@reads("Identity")
def _identity(node: Node) -> Value:
    return node.value(0)

"""ONNX's activations: functions of one element, or of those along an axis."""

from __future__ import annotations

import math

from ...core.variable import Variable
from ...ops import activation, comparison, elementwise
from ...ops.shape import expand_dims
from ...ops.softmax import log_softmax, softmax
from ...ops.transcendental import expm1, tanh
from .read_node import Node
from .read_registry import reads
from .read_values import Value


@reads("LeakyRelu")
def _leaky_relu(node: Node) -> Value:
    return activation.leaky_relu(node.variable(0), node.attribute("alpha", 0.01))


@reads("PRelu")
def _prelu(node: Node) -> Value:
    x, slope = node.variable(0), node.variable(1)
    if node.version < 7 and slope.ndim == 1 and x.ndim > 2:  # one for each channel
        slope = expand_dims(slope, tuple(range(1, x.ndim - 1)))
    return elementwise.where(comparison.less(x, 0), slope * x, x)


@reads("Elu", "Celu")
def _elu(node: Node) -> Value:
    x, alpha = node.variable(0), node.attribute("alpha", 1.0)
    if node.op_type == "Elu":
        return activation.elu(x, alpha)
    negative = alpha * expm1(elementwise.minimum(x, 0) / alpha)
    return elementwise.maximum(x, 0) + negative


@reads("Selu")
def _selu(node: Node) -> Value:
    alpha = node.attribute("alpha", 1.6732632423543772 if node.version >= 6 else 1.6732)
    gamma = node.attribute("gamma", 1.0507009873554805 if node.version >= 6 else 1.0507)
    return gamma * activation.elu(node.variable(0), alpha)


@reads("ThresholdedRelu")
def _thresholded_relu(node: Node) -> Value:
    x = node.variable(0)
    is_above = comparison.greater(x, node.attribute("alpha", 1.0))
    return elementwise.where(is_above, x, elementwise.zero_like(x))


@reads("HardSigmoid")
def _hard_sigmoid(node: Node) -> Value:
    return _line(node.variable(0), node.attribute("alpha", 0.2), node.attribute("beta", 0.5))


def _line(x: Variable, slope: float, offset: float) -> Variable:
    """A line between 0 and 1."""
    return elementwise.clip(slope * x + offset, 0.0, 1.0)


@reads("HardSwish")
def _hard_swish(node: Node) -> Value:
    x = node.variable(0)
    return x * _line(x, 1 / 6, 0.5)


@reads("Gelu")
def _gelu(node: Node) -> Value:
    approximate = node.attribute("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise node.refusal(f"approximate is none or tanh, not {approximate!r}")
    return activation.gelu(node.variable(0), approximate=approximate)


@reads("Mish")
def _mish(node: Node) -> Value:
    x = node.variable(0)
    return x * tanh(activation.softplus(x))


@reads("Softsign")
def _softsign(node: Node) -> Value:
    x = node.variable(0)
    return x / (elementwise.absolute(x) + 1)


@reads("Shrink")
def _shrink(node: Node) -> Value:
    x, bound = node.variable(0), node.attribute("lambd", 0.5)
    bias = node.attribute("bias", 0.0)
    zero = elementwise.zero_like(x)
    lower, higher = (elementwise.cast(moved, x.dtype) for moved in (x - bias, x + bias))
    above = elementwise.where(comparison.greater(x, bound), lower, zero)
    return elementwise.where(comparison.less(x, -bound), higher, above)


@reads("Swish")
def _swish(node: Node) -> Value:
    x, alpha = node.variable(0), node.attribute("alpha", 1.0)
    return activation.silu(x) if alpha == 1 else x * activation.sigmoid(alpha * x)


@reads("SwiGLU")
def _gated_swish(node: Node) -> Value:
    gate, alpha = node.variable(0), node.attribute("alpha", 1.0)
    swish = activation.silu(gate) if alpha == 1 else gate * activation.sigmoid(alpha * gate)
    return swish * node.variable(1)


@reads("Clip")
def _clip(node: Node) -> Value:
    x = node.variable(0)
    if node.version < 11:
        low = node.attribute("min", -math.inf)
        return elementwise.clip(x, low, node.attribute("max", math.inf))
    low, high = (node.optional(i) for i in (1, 2))
    # The upper bound holds where they cross.
    x = x if low is None else elementwise.maximum(x, low.reshape(()))
    return x if high is None else elementwise.minimum(x, high.reshape(()))


@reads("Softmax", "LogSoftmax")
def _softmax(node: Node) -> Value:
    x = node.variable(0)
    function = softmax if node.op_type == "Softmax" else log_softmax
    if node.version < 13:
        return function(x, node.axes_from(node.attribute("axis", 1), x.ndim))
    return function(x, node.axis(node.attribute("axis", -1), x.ndim))

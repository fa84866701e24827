"""Activations and normalisation that ONNX has one op for, found by the expressions for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ...core.variable import Variable
from ...ops.activation import elu, gelu, leaky_relu
from ...ops.elementwise import DIVIDE, MULTIPLY, SUBTRACT, add, divide, multiply, square, subtract
from ...ops.reduce import mean
from ...ops.transcendental import SQRT, sqrt
from ...rewrite.pattern import uniform
from ..templates.parts import Place
from .whole_op import builds, placed, whole

__all__ = ["Lowered", "find_activation", "find_layer_norm"]

_FLOAT32 = np.dtype("float32")
Lowered: TypeAlias = frozenset[str]
"""The names of ops and functions that the user says in terms of others."""
GELU_OPSET = 20


def find_activation(v: Variable, opset: int, lowered: Lowered) -> Place | None:
    """The activations that ONNX has, in float32: onnxruntime has no others."""
    if v.op.name not in ("where", "multiply") or v.dtype != _FLOAT32:
        return None
    if v.op.name == "where":
        return _find_by_slope(v, lowered)
    return _find_gelu(v) if opset >= GELU_OPSET and "gelu" not in lowered else None


def _find_by_slope(v: Variable, lowered: Lowered) -> Place | None:
    """``elu`` and ``leaky_relu``: another value, times a number, where ``x`` is not above 0."""
    _, x, below = v.inputs
    if below.op.name != "multiply":
        return None
    numbers = [number for y in below.inputs if (number := uniform(y)) is not None]
    candidates: tuple[tuple[Callable[..., Variable], str], ...] = (
        (elu, "Elu"),
        (leaky_relu, "LeakyRelu"),
    )
    for function, op_type in candidates:
        for number in map(float, numbers):
            if function.__name__ not in lowered and builds(v, function, x, number):
                return _of_one(v, op_type, x, alpha=number)
    return None


def _of_one(v: Variable, op_type: str, x: Variable, **attributes: Any) -> Place:
    return placed(v, [x], lambda x: whole(op_type, [x], v.type, **attributes))


def _find_gelu(v: Variable) -> Place | None:
    """``gelu``, which is half of what it is of times another factor."""
    halves = [half for half in v.inputs if half.op is MULTIPLY]
    for x in (x for half in halves for x in half.inputs if x.type is v.type):
        for form in ("none", "tanh"):
            if builds(v, gelu, x, approximate=form):
                return _of_one(v, "Gelu", x, approximate=form)
    return None


def find_layer_norm(v: Variable, lowered: Lowered) -> Place | None:
    """``(x - μ) / √(σ² + ε) · gain + bias`` over the last axis."""
    for scaled, bias in (v.inputs, v.inputs[::-1]):
        if scaled.op.name != "multiply":
            continue
        for quotient, gain in (scaled.inputs, scaled.inputs[::-1]):
            if quotient.op is not DIVIDE or quotient.inputs[0].op is not SUBTRACT:
                continue
            x, epsilon = quotient.inputs[0].inputs[0], _epsilon_of(quotient.inputs[1])
            if epsilon is None or gain.ndim != 1 or bias.ndim != 1 or x.dtype.kind != "f":
                continue
            if builds(v, _layer_norm, x, gain, bias, epsilon):
                return _normalisation(v, x, gain, bias, epsilon)
    return None


def _normalisation(
    v: Variable, x: Variable, gain: Variable, bias: Variable, epsilon: float
) -> Place:
    return placed(
        v,
        [x, gain, bias],
        lambda *inputs: whole("LayerNormalization", inputs, v.type, axis=-1, epsilon=epsilon),
    )


def _epsilon_of(root: Variable) -> float | None:
    """The number that is added below a square root."""
    if root.op is not SQRT or root.inputs[0].op.name != "add":
        return None
    numbers = [number for x in root.inputs[0].inputs if (number := uniform(x)) is not None]
    return float(numbers[0]) if len(numbers) == 1 and math.isfinite(numbers[0]) else None


def _layer_norm(x: Variable, gain: Variable, bias: Variable, epsilon: float) -> Variable:
    centred = subtract(x, mean(x, axis=-1, keepdims=True))
    variance = mean(square(centred), axis=-1, keepdims=True)
    normalised = divide(centred, sqrt(add(variance, epsilon)))
    return add(multiply(normalised, gain), bias)

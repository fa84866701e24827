"""ONNX's random numbers, drawn afresh at each call, and Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.variable import Variable
from ...ops import create, elementwise
from ...ops.join import stack
from ...ops.promotion import cast_to
from ...ops.random import Stream
from ...ops.sizes import shape_of
from .read_node import Node
from .read_registry import reads
from .read_shape import dtype_named, shape_value
from .read_values import Value


def _stream(node: Node) -> Stream:
    """The stream for a node: one with its seed, or the model's own."""
    if "seed" not in node.attributes:
        return node.scope.model.stream
    return Stream(int(np.float32(_seed(node)).view(np.int32)))


def _seed(node: Node) -> float:
    whole = node.op_type == "Dropout"
    return float(node.attribute("seed", 0)) if whole else node.attribute("seed", 0.0)


def _drawn(node: Node, sizes: Sequence[Any], dtype: np.dtype) -> Value:
    if dtype.kind != "f":
        raise node.refusal(f"it draws floats, not {dtype}")
    stream = _stream(node)
    if node.op_type.startswith("RandomNormal"):
        mean, deviation = node.attribute("mean", 0.0), node.attribute("scale", 1.0)
        return stream.normal(sizes, mean, deviation, dtype)
    return stream.uniform(sizes, node.attribute("low", 0.0), node.attribute("high", 1.0), dtype)


@reads("RandomNormal", "RandomUniform")
def _random(node: Node) -> Value:
    return _drawn(node, node.required("shape", list), dtype_named(node, node.attribute("dtype", 1)))


@reads("RandomNormalLike", "RandomUniformLike")
def _random_like(node: Node) -> Value:
    number = node.attribute("dtype", 0)
    dtype = dtype_named(node, number) if number else node.dtype(0)
    return _drawn(node, shape_value(node, 0), dtype)


@reads("Bernoulli")
def _bernoulli(node: Node) -> Value:
    p, number = node.variable(0), node.attribute("dtype", 0)
    dtype = dtype_named(node, number) if number else p.dtype
    return _stream(node).bernoulli(shape_of(p), p, dtype)


@reads("Multinomial")
def _multinomial(node: Node) -> Value:
    logits, n = node.variable(0), node.attribute("sample_size", 1)
    stream = _stream(node)
    node.scope.model.budget.read_nodes(n)
    samples = stack([stream.categorical(logits) for _ in range(n)], axis=1)
    return cast_to(samples, dtype_named(node, node.attribute("dtype", 6)))


@reads("Dropout")
def _dropout(node: Node) -> tuple[Value, ...]:
    """The input while nobody trains; else a part of it, made larger, with zeros for the others."""
    x = node.variable(0)
    ratio: Any = node.attribute("ratio", 0.5)
    training: Any = node.version < 7 and not node.attribute("is_test", 0)
    if node.version >= 12:
        ratio = _scalar(node, 1, 0.5)
        training = _scalar(node, 2, False)
    everything = create.ones(shape_of(x), bool)
    if training is False or (not isinstance(ratio, Variable) and ratio == 0):
        return x, everything
    kept = _stream(node).bernoulli(shape_of(x), 1 - ratio, "bool")
    scale = 1 / (1 - ratio)
    larger = x * (cast_to(scale, x.dtype) if isinstance(scale, Variable) else scale)
    dropped = elementwise.where(kept, larger, elementwise.zero_like(x))
    if training is True:
        return dropped, kept
    return elementwise.where(training, dropped, x), elementwise.where(training, kept, everything)


def _scalar(node: Node, i: int, default: Any) -> Any:
    """An input of one element: a Python number where it is known, else a variable."""
    if not node.has(i):
        return default
    known = node.known(i)
    return node.variable(i).reshape(()) if known is None else known.reshape(()).item()

"""ONNX's normalisations, with scales and offsets for channels or for the last axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core import provenance
from ...core.errors import ShapeError
from ...core.types import is_float
from ...core.variable import Variable
from ...ops import comparison, elementwise, reduce
from ...ops.broadcast import rearrange
from ...ops.promotion import cast_to
from ...ops.reshape import reshape
from ...ops.sizes import shape_of
from ...ops.transcendental import reciprocal, sqrt
from .read_node import Node
from .read_pool import lp_norm
from .read_registry import reads
from .read_shape import divided, dtype_named
from .read_values import Value


def _for_channels(v: Variable, ndim: int) -> Variable:
    """A vector for the channels of an array that has them on its second axis."""
    if v.ndim != 1 or ndim < 2:
        raise ShapeError.here(f"{provenance.describe(v)} is no vector for channels of {ndim} axes")
    return rearrange(v, [0, *([None] * (ndim - 2))])


def _standardised(x: Variable, axes: Sequence[int], epsilon: float) -> Variable:
    """``x`` with mean 0 and variance 1 over the axes."""
    centred = x - reduce.mean(x, tuple(axes), keepdims=True)
    variance = reduce.mean(elementwise.square(centred), tuple(axes), keepdims=True)
    return centred / sqrt(variance + epsilon)


@reads("BatchNormalization")
def _batch_norm(node: Node) -> tuple[Value, ...]:
    x, scale, offset, mean, variance = (node.variable(i) for i in range(5))
    node.allow_only(spatial=1)
    epsilon = node.attribute("epsilon", 1e-5)
    if not _is_training(node):
        return (_with_statistics(x, scale, offset, mean, variance, epsilon),)
    axes = (0, *range(2, x.ndim))
    now = reduce.mean(x, axes), reduce.var(x, axes)
    momentum = node.attribute("momentum", 0.9)
    new = (
        cast_to(old * momentum + cast_to(value, old.dtype) * (1 - momentum), old.dtype)
        for old, value in zip((mean, variance), now, strict=True)
    )
    return _with_statistics(x, scale, offset, *now, epsilon), *new


def _is_training(node: Node) -> bool:
    if node.version >= 14:
        return bool(node.attribute("training_mode", 0))
    return node.version < 7 and not node.attribute("is_test", 0)


def _with_statistics(
    x: Variable,
    scale: Variable,
    offset: Variable,
    mean: Variable,
    variance: Variable,
    epsilon: float,
) -> Variable:
    mean, variance, scale, offset = (
        _for_channels(cast_to(v, x.dtype), x.ndim) for v in (mean, variance, scale, offset)
    )
    return (x - mean) / sqrt(variance + epsilon) * scale + offset


@reads("InstanceNormalization")
def _instance_norm(node: Node) -> Value:
    x, scale, offset = (node.variable(i) for i in range(3))
    result = _standardised(x, range(2, x.ndim), node.attribute("epsilon", 1e-5))
    return result * _for_channels(scale, x.ndim) + _for_channels(offset, x.ndim)


@reads("GroupNormalization")
def _group_norm(node: Node) -> Value:
    x, scale, offset = (node.variable(i) for i in range(3))
    groups = node.positive("num_groups")
    if x.ndim < 2:
        raise node.refusal(f"it takes [batch, channels, ...]; found {x.type}")
    batch, channels, *lengths = shape_of(x)
    if isinstance(channels, int) and channels % groups:
        raise node.refusal(f"{groups} groups do not fit {channels} channels")
    parts = reshape(x, (batch, groups, divided(channels, groups), *lengths))
    result = _standardised(parts, range(2, parts.ndim), node.attribute("epsilon", 1e-5))
    if node.version < 21:  # a scale and an offset for each group
        result = result * _for_channels(scale, parts.ndim) + _for_channels(offset, parts.ndim)
        return reshape(result, shape_of(x))
    result = reshape(result, shape_of(x))
    return result * _for_channels(scale, x.ndim) + _for_channels(offset, x.ndim)


@reads("LayerNormalization", "RMSNormalization")
def _layer_norm(node: Node) -> tuple[Value, ...]:
    x, scale = node.variable(0), node.variable(1)
    axes = node.axes_from(node.attribute("axis", -1), x.ndim)
    precise = cast_to(x, np.promote_types(x.dtype, _stash_dtype(node)))
    mean = None
    if node.op_type == "LayerNormalization":
        mean = reduce.mean(precise, axes, keepdims=True)
        precise = precise - mean
    square = reduce.mean(elementwise.square(precise), axes, keepdims=True)
    deviation = sqrt(square + node.attribute("epsilon", 1e-5))
    result = cast_to(precise / deviation, x.dtype) * scale
    if mean is None:
        return (result,)
    if node.has(2):
        result = result + node.variable(2)
    stash = _stash_dtype(node)
    return result, cast_to(mean, stash), cast_to(reciprocal(deviation), stash)


def _stash_dtype(node: Node) -> np.dtype:
    """The dtype of the statistics."""
    dtype = dtype_named(node, node.attribute("stash_type", 1))
    if not is_float(dtype):
        raise node.refusal(f"statistics are floats, not {dtype}")
    return dtype


@reads("MeanVarianceNormalization")
def _mean_variance(node: Node) -> Value:
    x = node.variable(0)
    axes = [node.axis(axis, x.ndim) for axis in node.attribute("axes", [0, 2, 3])]
    centred = x - reduce.mean(x, tuple(axes), keepdims=True)
    variance = reduce.mean(elementwise.square(centred), tuple(axes), keepdims=True)
    return centred / (sqrt(variance) + 1e-9)


@reads("LpNormalization")
def _lp_norm(node: Node) -> Value:
    x, p = node.variable(0), node.attribute("p", 2)
    if p not in (1, 2):
        raise node.refusal(f"p is 1 or 2, not {p}")
    size = lp_norm(x, (node.axis(node.attribute("axis", -1), x.ndim),), p, keepdims=True)
    is_zero = comparison.eq(size, 0)
    return elementwise.where(is_zero, 0.0, x / elementwise.where(is_zero, 1.0, size))

"""ONNX's conversions between dtypes, and to and from quantised integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.variable import Variable
from ...ops import elementwise, extremes, rounding
from ...ops.broadcast import rearrange
from ...ops.promotion import cast_to
from ...ops.repeat import repeat
from ...ops.reshape import reshape
from ...ops.sizes import shape_of
from .read_node import Node
from .read_registry import reads
from .read_shape import dtype_named
from .read_values import Value

_INT32 = np.dtype("int32")


@reads("Cast")
def _cast(node: Node) -> Value:
    to: Any = node.attribute("to", 0) if node.version >= 6 else node.required("to", str)
    if isinstance(to, str):
        to = {"FLOAT": 1, "DOUBLE": 11, "INT32": 6, "INT64": 7, "BOOL": 9}.get(to, 0)
    dtype = dtype_named(node, to)
    value = node.value(0)
    if isinstance(value, np.ndarray) and value.dtype.kind not in "biuf":
        raise node.refusal(f"symgraph does not convert from {value.dtype}")
    return elementwise.cast(node.variable(0), dtype)


@reads("CastLike")
def _cast_like(node: Node) -> Value:
    return elementwise.cast(node.variable(0), node.variable(1).dtype)


@reads("BitCast")
def _bit_cast(node: Node) -> Value:
    """The same bits as another integer of that size, or those of a known array as anything."""
    dtype = dtype_named(node, node.required("to", int))
    value, known = node.value(0), node.known(0)
    if dtype.itemsize != node.dtype(0).itemsize:
        raise node.refusal(f"{node.dtype(0)} and {dtype} are of different sizes")
    if isinstance(value, np.ndarray) and known is not None:
        return np.ascontiguousarray(known).view(dtype)
    if node.dtype(0).kind not in "iu" or dtype.kind not in "iu":
        raise node.refusal(f"the bits of {node.dtype(0)} are not read as {dtype}")
    return elementwise.cast(node.variable(0), dtype)


# --- quantised integers -------------------------------------------------------------------------


def _quantised_dtype(node: Node) -> np.dtype:
    """The dtype that a node quantises to."""
    if node.has(2):
        return node.variable(2).dtype
    number = node.attribute("output_dtype", 0)
    return dtype_named(node, number) if number else np.dtype("uint8")


def _along(node: Node, i: int, x: Variable) -> Variable:
    """A scale or zero point, broadcast to ``x``: one for all, for each row of an axis, or block."""
    value = node.variable(i)
    block = node.attribute("block_size", 0)
    if value.ndim == 0 or (value.ndim == 1 and value.type.shape[0] == 1):
        return reshape(value, ())
    axis = node.axis(node.attribute("axis", 1), x.ndim)
    if value.ndim == 1 and not block:
        return rearrange(value, [0 if i == axis else None for i in range(x.ndim)])
    size, blocks = shape_of(x)[axis], value.type.shape[axis]
    if not block and isinstance(size, int) and isinstance(blocks, int):
        block = -(-size // blocks)
    wide = repeat(value, block, axis)
    return wide[tuple(slice(None, size) if i == axis else slice(None) for i in range(x.ndim))]


def quantised(x: Variable, scale: Variable, zero: Variable | int, dtype: np.dtype) -> Variable:
    """``x / scale``, rounded, from the zero point on, within the bounds of the dtype."""
    bounds = np.iinfo(dtype)
    steps = rounding.rint(elementwise.divide(x, scale)) + cast_to_float(zero, x)
    return cast_to(elementwise.clip(steps, bounds.min, bounds.max), dtype)


def cast_to_float(zero: Variable | int, x: Variable) -> Variable | float:
    return cast_to(zero, x.dtype) if isinstance(zero, Variable) else float(zero)


@reads("QuantizeLinear")
def _quantise(node: Node) -> Value:
    x = node.variable(0)
    dtype = _quantised_dtype(node)
    if dtype.kind not in "iu":
        raise node.refusal(f"it quantises to integers, not {dtype}")
    zero = _along(node, 2, x) if node.has(2) else 0
    return quantised(cast_to(x, np.dtype("float32")), _along(node, 1, x), zero, dtype)


@reads("DequantizeLinear")
def _dequantise(node: Node) -> Value:
    x = node.variable(0)
    scale = _along(node, 1, x)
    if not node.has(2):
        return cast_to(x, scale.dtype) * scale
    zero = cast_to(_along(node, 2, x), _INT32)
    return cast_to(cast_to(x, _INT32) - zero, scale.dtype) * scale


@reads("DynamicQuantizeLinear")
def _quantise_dynamically(node: Node) -> tuple[Value, ...]:
    x = node.variable(0)
    low = elementwise.minimum(extremes.min(x), 0.0)
    high = elementwise.maximum(extremes.max(x), 0.0)
    scale = (high - low) / 255.0
    zero = cast_to(elementwise.clip(rounding.rint(-low / scale), 0.0, 255.0), np.dtype("uint8"))
    return quantised(x, scale, zero, np.dtype("uint8")), scale, zero

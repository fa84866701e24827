"""ONNX's pooling over windows and over whole axes, channels first there and last here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...autodiff.reverse import vjp
from ...core.variable import Variable
from ...ops import create, elementwise, extremes, ranges, reduce
from ...ops.broadcast import broadcast_to, rearrange
from ...ops.conv import all_windows
from ...ops.padding import pad
from ...ops.positions import take_along_axis
from ...ops.promotion import cast_to
from ...ops.reshape import product_of, reshape
from ...ops.sizes import as_scalar, shape_of
from ...ops.slices import slice_axis
from ...ops.transcendental import power, sqrt
from ...ops.windows import span_of, windows
from .read_conv import (
    Pair,
    channels_first,
    channels_last,
    each_axis,
    is_known,
    margins_of,
    with_same_sizes,
)
from .read_node import Node
from .read_registry import reads
from .read_shape import divided, padded
from .read_values import Value


@dataclass(frozen=True)
class _Pool:
    """The windows of a node over the axes of ``x``, which has its channels last."""

    node: Node
    x: Variable
    sizes: list[int]
    strides: list[int]
    dilations: list[int]
    margins: list[Pair]
    rounds_up: bool
    """Whether a window counts that reaches over the end."""

    @property
    def n(self) -> int:
        return len(self.sizes)

    @property
    def elements(self) -> tuple[int, ...]:
        """The axes of what `windows` gives that run within a window."""
        return tuple(range(1 + self.n, 1 + 2 * self.n))

    def padding(self, x: Variable, filler: Any) -> Variable:
        """``x`` with the margins around its axes."""
        return pad(x, [(0, 0), *self.margins, (0, 0)], constant_values=filler)

    def windows(self, x: Variable, filler: Any) -> Variable:
        """``[batch, *windows, *elements, channels]`` for an array that has its margins."""
        if self.rounds_up:
            beyond = [(0, stride - 1) for stride in self.strides]
            x = pad(x, [(0, 0), *beyond, (0, 0)], constant_values=filler)
        parts = all_windows(x, self.sizes, self.strides, self.dilations)
        if self.rounds_up:
            for i in range(self.n):
                parts = slice_axis(parts, 1 + i, 0, self._begun(i))
        return parts

    def finished(self, result: Variable) -> Variable:
        """What was made of each window, channels first."""
        lengths = shape_of(self.x)[1:-1]
        return channels_first(with_same_sizes(self.node, result, lengths, self.strides))

    def _begun(self, i: int) -> Any:
        """How many windows begin before the end of an axis, or in its margin before."""
        reach = shape_of(self.x)[1 + i] + self.margins[i][0]
        stride = self.strides[i]
        if isinstance(reach, Variable):
            return elementwise.floor_divide(reach + (stride - 1), stride)
        return -(-reach // stride)


def _pool_of(node: Node, x: Variable) -> _Pool:
    n = x.ndim - 2
    if n < 1:
        raise node.refusal(f"it takes [batch, channels, ...], not {x.ndim} axes")
    sizes = node.required("kernel_shape", list)
    if len(sizes) != n or min(sizes) < 1:
        raise node.refusal(f"a kernel_shape of {n} axes is not {sizes}")
    strides, dilations = (each_axis(node, k, n, 1) for k in ("strides", "dilations"))
    spans = [span_of(*axis) for axis in zip(sizes, dilations, strict=True)]
    x = channels_last(x)
    margins = margins_of(node, shape_of(x)[1:-1], spans, strides)
    rounds_up = bool(node.attribute("ceil_mode", 0))
    explicit = node.attribute("auto_pad", "NOTSET") == "NOTSET"
    return _Pool(node, x, sizes, strides, dilations, margins, rounds_up and explicit)


def _lowest(dtype: np.dtype) -> Any:
    return dtype.type(-np.inf if dtype.kind == "f" else np.iinfo(dtype).min)


@reads("MaxPool")
def _max_pool(node: Node) -> tuple[Value, ...]:
    pool = _pool_of(node, node.variable(0))
    lowest = _lowest(pool.x.dtype)
    parts = pool.windows(pool.padding(pool.x, lowest), lowest)
    largest = pool.finished(extremes.max(parts, axis=pool.elements))
    return (largest, _places(node, pool, parts)) if node.wants(1) else (largest,)


def _places(node: Node, pool: _Pool, parts: Variable) -> Value:
    """Where the largest elements lie in the flattened input, channels first."""
    _, *lengths, channels = shape_of(pool.x)
    count = math.prod(pool.sizes)
    total = product_of(lengths)
    order = node.attribute("storage_order", 0)
    numbers = reshape(ranges.arange(total), lengths if not order else lengths[::-1])
    numbers = rearrange(numbers, [None, *range(pool.n)[:: -1 if order else 1], None])
    places = pool.windows(pool.padding(numbers, 0), 0)
    sizes = shape_of(parts)
    counts = sizes[1 : 1 + pool.n]
    flat = reshape(parts, (sizes[0], *counts, count, channels))
    chosen = extremes.argmax(flat, axis=-2, keepdims=True)
    places = reshape(places, (1, *counts, count, 1))
    wide = broadcast_to(places, shape_of(flat))
    found = channels_first(take_along_axis(wide, chosen, -2)[..., 0, :])
    images = ranges.arange(sizes[0] * as_scalar(channels))
    images = reshape(images, (sizes[0], channels, *([1] * pool.n)))
    return found + images * as_scalar(total)


@reads("AveragePool")
def _average_pool(node: Node) -> Value:
    pool = _pool_of(node, node.variable(0))
    parts = pool.windows(pool.padding(pool.x, 0), 0)
    if not pool.rounds_up and is_known(pool.margins) and not any(map(any, pool.margins)):
        return pool.finished(reduce.mean(parts, axis=pool.elements))
    ones = create.ones((1, *shape_of(pool.x)[1:-1], 1), pool.x.dtype)
    counted = 1 if node.attribute("count_include_pad", 0) else 0
    counts = reduce.sum(pool.windows(pool.padding(ones, counted), 0), axis=pool.elements)
    return pool.finished(reduce.sum(parts, axis=pool.elements) / counts)


@reads("LpPool")
def _lp_pool(node: Node) -> Value:
    pool = _pool_of(node, node.variable(0))
    parts = pool.windows(pool.padding(pool.x, 0), 0)
    return pool.finished(lp_norm(parts, pool.elements, _power_of(node), keepdims=False))


def _power_of(node: Node) -> float:
    return node.attribute("p", 2) if node.version >= 2 else node.attribute("p", 2.0)


def lp_norm(x: Variable, axes: Sequence[int], p: float, *, keepdims: bool) -> Variable:
    """The p-norm over the axes."""
    size = elementwise.absolute(x)
    if p == 1:
        return reduce.sum(size, tuple(axes), keepdims=keepdims)
    if p == 2:
        return sqrt(reduce.sum(elementwise.square(x), tuple(axes), keepdims=keepdims))
    total = reduce.sum(power(size, float(p)), tuple(axes), keepdims=keepdims)
    return cast_to(power(total, 1 / p), x.dtype)


@reads("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(node: Node) -> Value:
    x = node.variable(0)
    axes = tuple(range(2, x.ndim))
    if node.op_type == "GlobalLpPool":
        return lp_norm(x, axes, _power_of(node), keepdims=True)
    pool = reduce.mean if node.op_type == "GlobalAveragePool" else extremes.max
    return pool(x, axes, keepdims=True)


@reads("MaxUnpool")
def _unpool(node: Node) -> Value:
    x, places = node.variable(0), node.variable(1)
    n = x.ndim - 2
    sizes, strides = node.required("kernel_shape", list), each_axis(node, "strides", n, 1)
    pads = node.attribute("pads", [0] * (2 * n))
    batch, channels, *lengths = shape_of(x)
    shape = [
        (length - 1) * strides[i] - pads[i] - pads[n + i] + sizes[i]
        for i, length in enumerate(lengths)
    ]
    total = product_of([batch, channels, *shape])
    flat = create.zeros((total,), x.dtype).set(reshape(places, (-1,)), reshape(x, (-1,)))
    result = reshape(flat, (batch, channels, *shape))
    if not node.has(2):
        return result
    wanted = node.sizes(2)[2:]
    more = [(0, size - own) for size, own in zip(wanted, shape, strict=True)]
    return padded(result, [(0, 0), (0, 0), *more], "constant")


@reads("LRN")
def _local_response(node: Node) -> Value:
    """Each element divided by a power of the squares of its neighbours among the channels."""
    x, size = node.variable(0), node.positive("size")
    before = (size - 1) // 2
    margins = [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)]
    squares = reduce.sum(windows(pad(elementwise.square(x), margins), 1, size), axis=2)
    alpha, beta = node.attribute("alpha", 1e-4), node.attribute("beta", 0.75)
    return x / power(node.attribute("bias", 1.0) + alpha / size * squares, beta)


@reads("Col2Im")
def _columns_to_image(node: Node) -> Value:
    """Blocks added up where they lie in an image: what flows back through its windows."""
    x, lengths, sizes = node.variable(0), node.sizes(1), node.ints(2)
    n = len(sizes)
    strides, dilations = (each_axis(node, k, n, 1) for k in ("strides", "dilations"))
    pads = node.attribute("pads", [0] * (2 * n))
    if len(pads) != 2 * n or len(lengths) != n:
        raise node.refusal(f"{len(pads)} pads and {len(lengths)} sizes for {n} axes")
    margins = list(zip(pads[:n], pads[n:], strict=True))
    batch, channels, _ = node.sizes_of(x, "batch", "channels", "blocks")
    channels = divided(channels, math.prod(sizes))
    lengths = [size + sum(pair) for size, pair in zip(lengths, margins, strict=True)]
    image = create.zeros((batch, *lengths, channels), x.dtype)
    parts = all_windows(image, sizes, strides, dilations)
    blocks = reshape(x, (batch, channels, *sizes, *shape_of(parts)[1 : 1 + n]))
    blocks = rearrange(blocks, [0, *range(2 + n, 2 + 2 * n), *range(2, 2 + n), 1])
    (image,) = vjp([parts], [image], [blocks])
    return padded(
        channels_first(image), [(0, 0), (0, 0), *((-a, -b) for a, b in margins)], "constant"
    )

"""ONNX's convolutions, channels first there and last here, over any number of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...autodiff.reverse import vjp
from ...core.variable import Variable
from ...ops import activation, create, elementwise
from ...ops.broadcast import rearrange
from ...ops.conv import convolve
from ...ops.join import concatenate
from ...ops.reshape import reshape
from ...ops.sizes import shape_of
from ...ops.slices import slice_axis
from ...ops.windows import span_of
from .read_node import Node
from .read_registry import reads
from .read_shape import divided, padded
from .read_values import Value, simple_entry

Pair = tuple[Any, Any]


def channels_last(x: Variable) -> Variable:
    """``[batch, *axes, channels]`` for ``[batch, channels, *axes]``."""
    return rearrange(x, [0, *range(2, x.ndim), 1])


def channels_first(x: Variable) -> Variable:
    """``[batch, channels, *axes]`` for ``[batch, *axes, channels]``."""
    return rearrange(x, [0, x.ndim - 1, *range(1, x.ndim - 1)])


def each_axis(node: Node, name: str, n: int, default: int) -> list[int]:
    """An attribute with a number for each of the axes under a window."""
    values = node.attribute(name, [default] * n)
    if len(values) != n or not all(isinstance(v, int) and v >= min(default, 1) for v in values):
        raise node.refusal(f"{name} of {n} axes are not {values}")
    return values


def margins_of(
    node: Node, sizes: Sequence[Any], spans: Sequence[int], strides: Sequence[int]
) -> list[Pair]:
    """How many elements stand before and after each axis of the given sizes."""
    n = len(sizes)
    how = node.attribute("auto_pad", "NOTSET")
    if how == "VALID":
        return [(0, 0)] * n
    if how in ("SAME_UPPER", "SAME_LOWER"):
        return [
            _halves(_missing(*axis), more_after=how == "SAME_UPPER")
            for axis in zip(sizes, spans, strides, strict=True)
        ]
    if how != "NOTSET":
        raise node.refusal(f"auto_pad={how!r} is unknown")
    pads = node.attribute("pads", [0] * (2 * n))
    if len(pads) != 2 * n:
        raise node.refusal(f"pads of {n} axes are not {pads}")
    return list(zip(pads[:n], pads[n:], strict=True))


def _missing(size: Any, span: int, stride: int) -> Any:
    """How many elements an axis lacks for as many windows as elements, divided by the stride."""
    if stride == 1:
        return span - 1
    missing = (divided(size + (stride - 1), stride) - 1) * stride + span - size
    return elementwise.maximum(missing, 0) if isinstance(size, Variable) else max(missing, 0)


def with_same_sizes(
    node: Node, x: Variable, sizes: Sequence[Any], strides: Sequence[int]
) -> Variable:
    """What windows gave of axes of these sizes, known to have as many as padding was to leave."""
    if not node.attribute("auto_pad", "NOTSET").startswith("SAME"):
        return x
    counts = [divided(n + (stride - 1), stride) for n, stride in zip(sizes, strides, strict=True)]
    return reshape(x, (shape_of(x)[0], *counts, shape_of(x)[-1]))


def _halves(total: Any, *, more_after: bool) -> Pair:
    half = elementwise.floor_divide(total, 2) if isinstance(total, Variable) else total // 2
    return (half, total - half) if more_after else (total - half, half)


def _sized(node: Node, filters: Variable) -> tuple[Variable, list[int]]:
    """The filters, channels first, with the sizes that they have or the node says."""
    own = list(filters.type.shape[2:])
    if not all(isinstance(size, int) for size in own):
        own = node.attribute("kernel_shape", [])
        if len(own) != filters.ndim - 2:
            raise node.refusal("the sizes of the filters are not known")
        filters = reshape(filters, (*shape_of(filters)[:2], *own))
    return filters, [size for size in own if isinstance(size, int)]


def is_known(margins: Sequence[Pair]) -> bool:
    return not any(isinstance(count, Variable) for pair in margins for count in pair)


@reads("Conv")
def _conv(node: Node) -> Value:
    return convolution(node, node.variable(0), node.variable(1), node.optional(2))


def convolution(node: Node, x: Variable, filters: Variable, bias: Variable | None) -> Variable:
    """The convolution with the node's attributes, channels first."""
    n = x.ndim - 2
    if n < 1 or filters.ndim != x.ndim:
        raise node.refusal(f"{x.ndim} axes of the input do not fit {filters.ndim} of the filters")
    strides, dilations = (each_axis(node, k, n, 1) for k in ("strides", "dilations"))
    filters, sizes = _sized(node, filters)
    filters = rearrange(filters, [*range(2, n + 2), 1, 0])
    x = channels_last(x)
    spans = [span_of(*axis) for axis in zip(sizes, dilations, strict=True)]
    lengths = shape_of(x)[1:-1]
    margins = margins_of(node, lengths, spans, strides)
    padding: Any = margins
    if not is_known(margins) or any(min(pair) < 0 for pair in margins):
        x, padding = padded(x, [(0, 0), *margins, (0, 0)], "constant"), "valid"
    groups = node.attribute("group", 1)
    result = convolve(x, filters, n, strides, padding, dilations, groups)
    result = with_same_sizes(node, result, lengths, strides)
    return channels_first(result if bias is None else result + bias)


@reads("ConvTranspose")
def _conv_transpose(node: Node) -> Value:
    """The transpose of a convolution: what flows back through one of signals that long."""
    x = channels_last(node.variable(0))
    filters, sizes = _sized(node, node.variable(1))
    n = x.ndim - 2
    strides, dilations = (each_axis(node, k, n, 1) for k in ("strides", "dilations"))
    groups = node.attribute("group", 1)
    if filters.ndim != n + 2:
        raise node.refusal(f"{n + 2} axes of the input do not fit {filters.ndim} of the filters")
    spans = [span_of(*axis) for axis in zip(sizes, dilations, strict=True)]
    lengths = [
        (size - 1) * stride + span
        for size, stride, span in zip(shape_of(x)[1:-1], strides, spans, strict=True)
    ]
    units = create.zeros((shape_of(x)[0], *lengths, shape_of(filters)[1] * groups), x.dtype)
    kernel = rearrange(filters, [*range(2, n + 2), 1, 0])
    forward = convolve(units, kernel, n, strides, "valid", dilations, groups)
    (result,) = vjp([forward], [units], [x])
    margins = _transposed_margins(node, shape_of(x)[1:-1], lengths, strides)
    result = padded(result, [(0, 0), *((-a, -b) for a, b in margins), (0, 0)], "constant")
    return channels_first(result if not node.has(2) else result + node.variable(2))


def _transposed_margins(
    node: Node, sizes: Sequence[Any], lengths: Sequence[Any], strides: Sequence[int]
) -> list[Pair]:
    """How many elements of each axis of the result are left out before and after."""
    n = len(sizes)
    extra = each_axis(node, "output_padding", n, 0)
    how = node.attribute("auto_pad", "NOTSET")
    wanted: Sequence[Any] | None = node.attribute("output_shape", None, kind=list)
    if wanted is None and how in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    if wanted is not None:
        wanted = wanted[-n:]
        pairs = []
        for length, more, size in zip(lengths, extra, wanted, strict=True):
            total = simple_entry(length + more - size)
            before, after = _halves(total, more_after=how == "SAME_UPPER")
            pairs.append((before, after - more))
        return pairs
    pads = [0] * (2 * n) if how == "VALID" else node.attribute("pads", [0] * (2 * n))
    return [(pads[i], pads[n + i] - extra[i]) for i in range(n)]


@reads("CausalConvWithState")
def _causal_convolution(node: Node) -> tuple[Value, ...]:
    x, filters = node.variable(0), node.variable(1)
    channels, _, size = node.sizes_of(filters, "channels", "1", "time")
    n, _, _ = node.sizes_of(x, "batch", "channels", "time")
    state = node.optional(3)
    before = create.zeros((n, channels, size - 1), x.dtype) if state is None else state
    joined = concatenate([before, x], 2)
    kernel = rearrange(filters, [2, 1, 0])
    if not isinstance(channels, int):
        raise node.refusal("the number of channels is not known")
    result = convolve(channels_last(joined), kernel, 1, 1, "valid", 1, channels)
    if node.has(2):
        result = result + node.variable(2)
    how = node.attribute("activation", "none")
    if how not in ("none", "silu", "swish"):
        raise node.refusal(f"the activation {how!r} is unknown")
    result = result if how == "none" else activation.silu(result)
    return channels_first(result), slice_axis(joined, 2, shape_of(x)[2])


@reads("ConvInteger")
def _integer_convolution(node: Node) -> Value:
    x, filters = (node.variable(i).astype("int32") for i in (0, 1))
    if node.has(2):
        x = x - node.variable(2).astype("int32").reshape(())
    if node.has(3):
        zero = node.variable(3).astype("int32")
        order = [0 if zero.ndim else None, *([None] * (filters.ndim - 1))]
        filters = filters - (rearrange(zero, order) if zero.ndim else zero)
    return convolution(node, x, filters, None)

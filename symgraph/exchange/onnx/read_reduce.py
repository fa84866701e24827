"""ONNX's reductions, running sums, orders and extremes along axes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...core.variable import Variable
from ...ops import create, cumulative, elementwise, extremes, reduce, softmax
from ...ops.positions import take_along_axis
from ...ops.promotion import cast_to
from ...ops.repeat import flip
from ...ops.reshape import product_of, reshape
from ...ops.sizes import as_scalar, shape_of
from ...ops.slices import slice_axis
from ...ops.sort import argsort
from ...ops.transcendental import log, sqrt
from .read_arithmetic import truncated_quotient
from .read_node import Node
from .read_registry import reads
from .read_shape import axes_of
from .read_values import Value

# What reduces a variable over axes, which stay with size 1.
_Reduction = Callable[[Variable, tuple[int, ...]], Variable]


def _sum(x: Variable, axes: tuple[int, ...]) -> Variable:
    return reduce.sum(x, axes, keepdims=True, dtype=x.dtype)


def _mean(x: Variable, axes: tuple[int, ...]) -> Variable:
    if x.dtype.kind == "f":
        return reduce.mean(x, axes, keepdims=True)
    count = as_scalar(product_of([shape_of(x)[axis] for axis in axes]))
    return truncated_quotient(_sum(x, axes), cast_to(count, x.dtype))


def _logsumexp(x: Variable, axes: tuple[int, ...]) -> Variable:
    if _is_empty(x, axes):
        return log(_sum(x, axes))
    return cast_to(softmax.logsumexp(x, axes, keepdims=True), x.dtype)


def _extreme(of: Callable[..., Variable], *, largest: bool) -> _Reduction:
    def reduction(x: Variable, axes: tuple[int, ...]) -> Variable:
        if not axes:
            return x
        if _is_empty(x, axes):
            sizes = [1 if i in axes else size for i, size in enumerate(shape_of(x))]
            return create.full(sizes, _limits(x.dtype)[0 if largest else 1], x.dtype)
        return of(x, axes, keepdims=True)

    return reduction


def _is_empty(x: Variable, axes: tuple[int, ...]) -> bool:
    """Whether there is known to be nothing that is reduced."""
    return any(x.type.shape[axis] == 0 for axis in axes)


def _limits(dtype: np.dtype) -> tuple[float, float]:
    """The least and the largest value of a dtype."""
    if dtype.kind == "f":
        return -math.inf, math.inf
    return (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


_REDUCTIONS: dict[str, _Reduction] = {
    "ReduceL1": lambda x, axes: _sum(elementwise.absolute(x), axes),
    "ReduceL2": lambda x, axes: cast_to(sqrt(_sum(elementwise.square(x), axes)), x.dtype),
    "ReduceLogSum": lambda x, axes: cast_to(log(_sum(x, axes)), x.dtype),
    "ReduceLogSumExp": _logsumexp,
    "ReduceMax": _extreme(extremes.max, largest=True),
    "ReduceMean": _mean,
    "ReduceMin": _extreme(extremes.min, largest=False),
    "ReduceProd": lambda x, axes: reduce.prod(x, axes, keepdims=True, dtype=x.dtype),
    "ReduceSum": _sum,
    "ReduceSumSquare": lambda x, axes: _sum(elementwise.square(x), axes),
}


@reads(*_REDUCTIONS)
def _reduce(node: Node) -> Value:
    x = node.variable(0)
    axes = axes_of(node, 1, x.ndim)
    if not axes:
        axes = [] if node.attribute("noop_with_empty_axes", 0) else list(range(x.ndim))
    result = _REDUCTIONS[node.op_type](x, tuple(sorted(axes)))
    return result if node.attribute("keepdims", 1) else without_axes(result, axes)


def without_axes(x: Variable, axes: list[int]) -> Variable:
    """``x`` without these axes, which have size 1."""
    return x[tuple(0 if i in axes else slice(None) for i in range(x.ndim))]


@reads("ArgMax", "ArgMin")
def _position(node: Node) -> Value:
    x = node.variable(0)
    axis = node.axis(node.attribute("axis", 0), x.ndim)
    keepdims = bool(node.attribute("keepdims", 1))
    find = extremes.argmax if node.op_type == "ArgMax" else extremes.argmin
    if not node.attribute("select_last_index", 0):
        return find(x, axis, keepdims=keepdims)
    last = as_scalar(shape_of(x)[axis]) - 1
    return last - find(flip(x, axis), axis, keepdims=keepdims)


@reads("CumSum", "CumProd")
def _cumulate(node: Node) -> Value:
    x = node.variable(0)
    axis = node.axis(node.number(1), x.ndim)
    is_sum, backwards = node.op_type == "CumSum", node.attribute("reverse", 0)
    if backwards:
        x = flip(x, axis)
    if node.attribute("exclusive", 0):
        function = cumulative.cumulative_sum if is_sum else cumulative.cumulative_prod
        sums = function(x, axis=axis, dtype=x.dtype, include_initial=True)
        x = slice_axis(sums, axis, 0, shape_of(x)[axis])
    else:
        x = (cumulative.cumsum if is_sum else cumulative.cumprod)(x, axis, dtype=x.dtype)
    return flip(x, axis) if backwards else x


@reads("TopK")
def _top(node: Node) -> tuple[Value, Value]:
    x = node.variable(0)
    axis = node.axis(node.attribute("axis", -1), x.ndim)
    k = node.size(1) if node.version >= 10 else node.required("k", int)
    order = argsort(x, axis)
    if node.attribute("largest", 1):
        # From the last one on, so that of equal elements the first one comes first.
        order = flip(as_scalar(shape_of(x)[axis]) - 1 - argsort(flip(x, axis), axis), axis)
    # There are as many as wanted, or the call fails: k is not larger than the axis.
    chosen = slice_axis(order, axis, 0, k)
    sizes = shape_of(chosen)
    chosen = reshape(chosen, (*sizes[:axis], k, *sizes[axis + 1 :]))
    return take_along_axis(x, chosen, axis), chosen


@reads("Hardmax")
def _hardmax(node: Node) -> Value:
    x = node.variable(0)
    if node.version < 13:
        n = x.ndim - len(node.axes_from(node.attribute("axis", 1), x.ndim))
        sizes = shape_of(x)
        flat = x.reshape((product_of(sizes[:n]), product_of(sizes[n:])))
        return _hardest(flat, 1).reshape(sizes)
    return _hardest(x, node.axis(node.attribute("axis", -1), x.ndim))


def _hardest(x: Variable, axis: int) -> Variable:
    """Ones at the first largest elements along an axis."""
    found = create.one_hot(extremes.argmax(x, axis), shape_of(x)[axis], x.dtype)
    order = [i if i < axis else x.ndim - 1 if i == axis else i - 1 for i in range(x.ndim)]
    return found.transpose(order)

"""The stretches of an axis under a moving window, as a view, and its adjoint, ``overlap_add``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.dims import Size, floor_div, maximum_zero
from ..core.errors import CallError, ShapeError
from ..core.op import Op
from ..core.types import TensorType
from ..core.variable import Variable, node
from .broadcast import template_numbers, template_sizes
from .promotion import as_variable
from .sizes import shape_of, shape_operands

__all__ = ["OVERLAP_ADD", "WINDOWS", "span_of", "windows"]


def span_of(size: int, dilation: int) -> int:
    """How many elements a window reaches over."""
    return (size - 1) * dilation + 1


def _infer_windows(
    inputs: Sequence[Variable], axis: int, size: int, stride: int, dilation: int
) -> TensorType:
    (x,) = inputs
    length = x.type.shape[axis]
    if isinstance(length, int) and length < span_of(size, dilation):
        raise ShapeError.here(
            f"a window over {span_of(size, dilation)} elements is larger than axis {axis} of "
            f"{provenance.describe(x)}, padding included"
        )
    count = _count(length, size, stride, dilation)
    return x.type.with_shape((*x.type.shape[:axis], count, size, *x.type.shape[axis + 1 :]))


def _count(length: Size, size: int, stride: int, dilation: int) -> Size:
    """How many windows fit into an axis, which is at least as long as one."""
    rest = length - span_of(size, dilation)
    return maximum_zero(rest + 1) if stride == 1 else floor_div(rest, stride) + 1


def _evaluate_windows(
    arrays: Sequence[np.ndarray], axis: int, size: int, stride: int, dilation: int
) -> np.ndarray:
    (x,) = arrays
    span = span_of(size, dilation)
    if x.shape[axis] < span:
        raise CallError(
            f"a window over {span} elements is larger than axis {axis} of an array of shape "
            f"{x.shape}, padding included"
        )
    every = np.lib.stride_tricks.sliding_window_view(x, span, axis)
    before = (slice(None),) * axis
    return np.moveaxis(every[(*before, slice(None, None, stride))][..., ::dilation], -1, axis + 1)


def _vjp_windows(parts: Variable, cotangent: Variable) -> list[Variable | None]:
    (x,) = parts.inputs
    axis, _, stride, dilation = parts.params
    template, symbols, _ = shape_operands(shape_of(x)[axis], "windows")
    return [node(OVERLAP_ADD, (cotangent, *symbols), (template, axis, stride, dilation))]


# The stretches of one axis under a window of so many elements, ``dilation`` apart, that moves on by
# ``stride``: the axis becomes two, the windows and the elements of each.
WINDOWS = Op(
    "windows",
    _infer_windows,
    _evaluate_windows,
    _vjp_windows,
    params=("axis", "size", "stride", "dilation"),
    traits=frozenset({"view", "traced"}),
    kind="movement",
)


def _infer_overlap_add(
    inputs: Sequence[Variable], template: tuple[int | None], axis: int, stride: int, dilation: int
) -> TensorType:
    x, *symbols = inputs
    (length,) = template_sizes(template, symbols)
    return x.type.with_shape((*x.type.shape[:axis], length, *x.type.shape[axis + 2 :]))


def _evaluate_overlap_add(
    arrays: Sequence[np.ndarray],
    template: tuple[int | None],
    axis: int,
    stride: int,
    dilation: int,
) -> np.ndarray:
    x, *symbols = arrays
    (length,) = template_numbers(template, symbols)
    result = np.zeros((*x.shape[:axis], length, *x.shape[axis + 2 :]), x.dtype)
    count, size = x.shape[axis : axis + 2]
    before = (slice(None),) * axis
    for i in range(size):
        start = i * dilation
        target = (*before, slice(start, start + (count - 1) * stride + 1, stride))
        result[target] += x[(*before, slice(None), i)]
    return result


def _vjp_overlap_add(total: Variable, cotangent: Variable) -> list[Variable | None]:
    x, *symbols = total.inputs
    _, axis, stride, dilation = total.params
    size = x.type.shape[axis + 1]
    parts = node(WINDOWS, (cotangent,), (axis, size, stride, dilation))
    return [parts, *([None] * len(symbols))]


# Windows put back where they came from, on an axis of the given length, and added up.
OVERLAP_ADD = Op(
    "overlap_add",
    _infer_overlap_add,
    _evaluate_overlap_add,
    _vjp_overlap_add,
    params=("template", "axis", "stride", "dilation"),
    kind="movement",
)


def windows(x: ArrayLike, axis: int, size: int, stride: int = 1, dilation: int = 1) -> Variable:
    """The stretches of one axis under a moving window: ``[windows, elements]`` in its place."""
    return node(WINDOWS, (as_variable(x, "windows"),), (axis, size, stride, dilation))

"""ONNX's GridSample, and the grids of affine maps that it is mostly given."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ...core.variable import Variable
from ...ops import comparison, create, elementwise, rounding
from ...ops.broadcast import broadcast_to, rearrange
from ...ops.gather import gather
from ...ops.join import stack
from ...ops.linalg import matmul
from ...ops.promotion import cast_to
from ...ops.ranges import iota
from ...ops.reshape import product_of, reshape
from ...ops.sizes import as_scalar, shape_of
from .read_conv import channels_first, channels_last
from .read_node import Node
from .read_registry import reads
from .read_values import Value

_INT64 = np.dtype("int64")
# Modes by the names of older versions as well, each with how many neighbours count on an axis.
_MODES = {
    "nearest": ("nearest", 1),
    "linear": ("linear", 2),
    "bilinear": ("linear", 2),
    "cubic": ("cubic", 4),
    "bicubic": ("cubic", 4),
}
# A neighbour on one axis: its place, and its weight.
_Neighbour = tuple[Variable, Any]


@reads("GridSample")
def _grid_sample(node: Node) -> Value:
    x, grid = node.variable(0), node.variable(1)
    mode, _ = _MODES.get(node.attribute("mode", "linear"), ("", 0))
    padding = node.attribute("padding_mode", "zeros")
    if not mode or padding not in ("zeros", "border", "reflection"):
        raise node.refusal(f"mode {mode!r} with padding_mode {padding!r} is unknown")
    corners = bool(node.attribute("align_corners", 0))
    source, n = channels_last(x), x.ndim - 2
    if not 1 <= n <= 3:
        raise node.refusal(f"it samples 1 to 3 axes, not {n}")
    axes: list[list[_Neighbour]] = []
    for i, size in enumerate(shape_of(x)[2:]):
        length = cast_to(as_scalar(size), grid.dtype)
        span = length - 1 if corners else length
        where = (grid[..., n - 1 - i] + 1) / 2 * span - (0.0 if corners else 0.5)
        borders = (0.0 * length, length - 1) if corners else (0 * length - 0.5, length - 0.5)
        axes.append(_neighbours(where, length, borders, mode, padding))
    rows = _batch(shape_of(grid)[:-1])
    total: Any = 0.0
    for corner in itertools.product(*axes):
        values = gather(source, [rows, *(place for place, _ in corner)], range(n + 1))
        weight: Any = 1.0
        for _, share in corner:
            weight = weight * share
        total = total + values * (weight[..., None] if isinstance(weight, Variable) else weight)
    return channels_first(cast_to(total, x.dtype))


def _batch(sizes: Any) -> Variable:
    """The number of each row of the batch, in an array of these sizes."""
    numbers = rearrange(iota(sizes[0]), [0, *([None] * (len(sizes) - 1))])
    return broadcast_to(numbers, sizes)


def _neighbours(
    where: Variable, length: Variable, borders: tuple[Variable, Variable], mode: str, padding: str
) -> list[_Neighbour]:
    """The neighbours on one axis, where nothing lies beyond its ends."""
    if mode == "nearest":
        where = rounding.rint(where)
    low, high = borders
    is_out = comparison.logical_or(where < low, where > high)
    if padding == "border":
        where = elementwise.where(is_out, elementwise.clip(where, 0.0, length - 1), where)
    elif padding == "reflection":
        where = elementwise.where(is_out, _reflected(where, low, high), where)
    first = rounding.floor(where)
    offsets = {"nearest": [0], "linear": [0, 1], "cubic": [-1, 0, 1, 2]}[mode]
    return [_neighbour(where, first + k, length, borders, mode, padding) for k in offsets]


def _neighbour(
    where: Variable,
    place: Variable,
    length: Variable,
    borders: tuple[Variable, Variable],
    mode: str,
    padding: str,
) -> _Neighbour:
    weight: Any = 1.0 if mode == "nearest" else _weight(where - place, mode)
    if padding == "zeros":
        is_in = comparison.logical_and(place >= 0, place < length)
        weight = elementwise.where(is_in, weight, elementwise.zero_like(where))
    elif padding == "reflection":
        place = rounding.trunc(_reflected(place, *borders))
    place = elementwise.maximum(elementwise.minimum(place, length - 1), 0)
    return cast_to(place, _INT64), weight


def _weight(distance: Variable, mode: str) -> Variable:
    d = elementwise.absolute(distance)
    if mode == "linear":
        return 1 - d
    a = -0.75
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    return elementwise.where(d <= 1, near, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a)


def _reflected(where: Variable, low: Variable, high: Variable) -> Variable:
    """Places mirrored at the borders until they lie within."""
    span = elementwise.maximum(high - low, 1e-6)
    turned = elementwise.remainder(where - low, 2 * span)
    return low + elementwise.minimum(turned, 2 * span - turned)


@reads("AffineGrid")
def _affine_grid(node: Node) -> Value:
    theta, wanted = node.variable(0), node.sizes(1)
    if len(wanted) < 3 or theta.ndim != 3:
        raise node.refusal(f"maps of {theta.ndim} axes to {len(wanted)} sizes are no affine grids")
    batch, _, *sizes = wanted
    corners = node.attribute("align_corners", 0)
    n = len(sizes)
    axes: list[Variable] = []
    for i in range(n - 1, -1, -1):  # the last axis comes first
        length = cast_to(as_scalar(sizes[i]), theta.dtype)
        place = iota(sizes[i], theta.dtype)
        along = place * 2 / (length - 1) - 1 if corners else (place * 2 + 1) / length - 1
        axes.append(
            broadcast_to(rearrange(along, [0 if j == i else None for j in range(n)]), sizes)
        )
    points = stack([*axes, create.ones(sizes, theta.dtype)])
    columns = reshape(points, (n + 1, product_of(sizes)))
    result = rearrange(matmul(theta, columns), [0, 2, 1])
    return reshape(result, (batch, *sizes, n))

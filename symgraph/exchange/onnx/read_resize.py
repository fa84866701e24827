"""ONNX's Resize and Upsample: one axis after the other, between neighbours with weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import ExchangeError
from ...core.variable import Variable
from ...ops import comparison, elementwise, reduce, rounding
from ...ops.broadcast import rearrange
from ...ops.join import stack
from ...ops.positions import take
from ...ops.promotion import cast_to
from ...ops.ranges import iota
from ...ops.sizes import as_scalar, shape_of
from .read_node import Node
from .read_registry import reads
from .read_shape import axes_of, divided
from .read_values import Value

_INT64, _FLOAT64 = np.dtype("int64"), np.dtype("float64")


@dataclass(frozen=True)
class _Way:
    """How a node makes one size of another."""

    mode: str
    coordinates: str
    nearest: str
    cubic: float
    excludes: bool
    antialias: bool
    beyond: float


@dataclass(frozen=True)
class _Axis:
    """What an axis becomes: its new size, how many times the old one, and which part of it."""

    axis: int
    size: Any
    scale: Any
    start: float = 0.0
    stop: float = 1.0


@reads("Resize", "Upsample")
def _resize(node: Node) -> Value:
    x = node.variable(0)
    is_old = node.version < 11
    way = _Way(
        node.attribute("mode", "nearest"),
        node.attribute("coordinate_transformation_mode", "asymmetric" if is_old else "half_pixel"),
        node.attribute("nearest_mode", "floor" if is_old else "round_prefer_floor"),
        node.attribute("cubic_coeff_a", -0.75),
        bool(node.attribute("exclude_outside", 0)),
        bool(node.attribute("antialias", 0)),
        node.attribute("extrapolation_value", 0.0),
    )
    result = cast_to(x, _FLOAT64) if way.mode != "nearest" else x
    for axis in _axes(node, x):
        result = _resized(node, result, axis, way)
    if x.dtype.kind in "iu" and result.dtype.kind == "f":
        bounds = np.iinfo(x.dtype)
        result = elementwise.clip(result, bounds.min, bounds.max)
    return cast_to(result, x.dtype)


def _axes(node: Node, x: Variable) -> list[_Axis]:
    """The axes that change."""
    own = shape_of(x)
    named = axes_of(node, len(node.inputs), x.ndim)
    axes = list(range(x.ndim)) if named is None else named
    if node.op_type == "Upsample" or node.version < 11:
        scales = node.array(1) if len(node.inputs) > 1 else node.required("scales", list)
        if len(scales) != len(axes):
            raise node.refusal(f"{len(scales)} scales for {len(axes)} axes")
        return [_scaled(a, own[a], float(s)) for a, s in zip(axes, scales, strict=True) if s != 1]
    region = node.array(1) if node.has(1) and _crops(node) else None
    pairs = [(0.0, 1.0)] * len(axes)
    if region is not None and region.size:
        if region.size != 2 * len(axes):
            raise node.refusal(f"a region of {region.size} numbers for {len(axes)} axes")
        pairs = [(float(region[i]), float(region[i + len(axes)])) for i in range(len(axes))]
    if node.has(3):
        found = _to_sizes(node, axes, own)
    else:
        scales = node.array(2)
        if len(scales) != len(axes):
            raise node.refusal(f"{len(scales)} scales for {len(axes)} axes")
        found = [_scaled(a, own[a], float(s)) for a, s in zip(axes, scales, strict=True)]
    cut = [_Axis(a.axis, a.size, a.scale, *p) for a, p in zip(found, pairs, strict=True)]
    return [a for a, p in zip(cut, pairs, strict=True) if a.size is not own[a.axis] or p != (0, 1)]


def _crops(node: Node) -> bool:
    return node.attribute("coordinate_transformation_mode", "") == "tf_crop_and_resize"


def _scaled(axis: int, size: Any, scale: float) -> _Axis:
    """An axis that becomes so many times as long."""
    if not isinstance(size, Variable):
        return _Axis(axis, size if scale == 1 else int(np.float32(scale) * size), scale)
    if scale == int(scale):
        return _Axis(axis, size if scale == 1 else size * int(scale), scale)
    if 1 / scale == int(1 / scale):
        return _Axis(axis, divided(size, int(1 / scale)), scale)
    length = rounding.floor(cast_to(size, _FLOAT64) * scale)
    return _Axis(axis, elementwise.maximum(cast_to(length, _INT64), 0), scale)


def _to_sizes(node: Node, axes: Sequence[int], own: Sequence[Any]) -> list[_Axis]:
    """The axes with the sizes that an input says."""
    wanted = node.sizes(3)
    if len(wanted) != len(axes):
        raise node.refusal(f"{len(wanted)} sizes for {len(axes)} axes")
    policy = node.attribute("keep_aspect_ratio_policy", "stretch")
    scales = [_quotient(new, own[a]) for a, new in zip(axes, wanted, strict=True)]
    if policy == "stretch":
        return [
            _Axis(a, own[a] if _same(new, own[a]) else new, scale)
            for a, new, scale in zip(axes, wanted, scales, strict=True)
        ]
    choose = {"not_larger": min, "not_smaller": max}.get(policy)
    if choose is None:
        raise node.refusal(f"keep_aspect_ratio_policy={policy!r} is unknown")
    if any(isinstance(scale, Variable) for scale in scales):
        raise _unknown_sizes(node, f"keep_aspect_ratio_policy={policy!r}")
    scale = choose(scales)
    return [_Axis(a, int(scale * own[a] + 0.5), scale) for a in axes]


def _unknown_sizes(node: Node, what: str) -> ExchangeError:
    """The error for sizes that the call tells: what is given as an input could be made known."""
    if isinstance(node.value(3), Variable):
        return node.unknown(3)
    return node.refusal(f"{what} is read for sizes that are numbers, or for scales")


def _same(a: Any, b: Any) -> bool:
    return a is b or (not isinstance(a, Variable) and not isinstance(b, Variable) and a == b)


def _quotient(a: Any, b: Any) -> Any:
    if isinstance(a, Variable) or isinstance(b, Variable):
        return cast_to(as_scalar(a), _FLOAT64) / cast_to(as_scalar(b), _FLOAT64)
    return a / b if b else 1.0


# --- one axis -----------------------------------------------------------------------------------


def _resized(node: Node, x: Variable, axis: _Axis, way: _Way) -> Variable:
    """``x`` with one axis of another size."""
    size = cast_to(as_scalar(shape_of(x)[axis.axis]), _INT64)
    where = _coordinates(node, axis, cast_to(size, _FLOAT64), way.coordinates)
    if way.mode == "nearest":
        result = take(x, _within(_nearest(node, where, way.nearest), size), axis.axis)
    else:
        result = _interpolated(node, x, axis, where, size, way)
    if way.coordinates != "tf_crop_and_resize":
        return result
    is_beyond = comparison.logical_or(where < 0, where > cast_to(size - 1, _FLOAT64))
    along = [0 if i == axis.axis else None for i in range(x.ndim)]
    return elementwise.where(rearrange(is_beyond, along), result.dtype.type(way.beyond), result)


def _coordinates(node: Node, axis: _Axis, size: Variable, mode: str) -> Variable:
    """Where the new elements lie among the old ones."""
    place = iota(axis.size, _FLOAT64)
    length = size * axis.scale
    if mode == "asymmetric":
        return place / axis.scale
    if mode in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"):
        where = (place + 0.5) / axis.scale - 0.5
        if mode == "half_pixel_symmetric":
            return where + size / 2 * (1 - cast_to(as_scalar(axis.size), _FLOAT64) / length)
        return where if mode == "half_pixel" else _unless_one(length, where, -0.5 + 0 * place)
    if mode in ("align_corners", "tf_crop_and_resize"):
        share = axis.stop - axis.start if mode == "tf_crop_and_resize" else 1.0
        steps = elementwise.where(comparison.eq(length, 1.0), 1.0, length - 1)
        alone = share * (size - 1) / 2 if mode == "tf_crop_and_resize" else 0 * size
        where = _unless_one(length, place * (share * (size - 1)) / steps, alone + 0 * place)
        return where + axis.start * (size - 1) if mode == "tf_crop_and_resize" else where
    raise node.refusal(f"coordinate_transformation_mode={mode!r} is unknown")


def _unless_one(length: Variable, where: Variable, alone: Variable) -> Variable:
    return elementwise.where(comparison.eq(length, 1.0), alone, where)


def _nearest(node: Node, where: Variable, how: str) -> Variable:
    ways: dict[str, Callable[[Variable], Variable]] = {
        "round_prefer_floor": lambda v: rounding.ceil(v - 0.5),
        "round_prefer_ceil": lambda v: rounding.floor(v + 0.5),
        "floor": rounding.floor,
        "ceil": rounding.ceil,
    }
    if how not in ways:
        raise node.refusal(f"nearest_mode={how!r} is unknown")
    return cast_to(ways[how](where), _INT64)


def _within(places: Variable, size: Variable) -> Variable:
    return elementwise.maximum(elementwise.minimum(places, size - 1), 0)


def _interpolated(
    node: Node, x: Variable, axis: _Axis, where: Variable, size: Variable, way: _Way
) -> Variable:
    """The sum of neighbours with their weights."""
    before = rounding.ceil(where) - 1
    offsets, weigh = _kernel(node, axis, way)
    distance = where - before
    weights = stack([weigh(distance - offset) for offset in offsets])
    places = stack([cast_to(before, _INT64) + offset for offset in offsets])
    if way.excludes:
        is_inside = comparison.logical_and(places >= 0, places < size)
        weights = elementwise.where(is_inside, weights, 0.0)
    if way.excludes or way.antialias:
        total = reduce.sum(weights, 0, keepdims=True)
        weights = weights / elementwise.where(comparison.eq(total, 0.0), 1.0, total)
    parts = take(x, _within(places, size), axis.axis)
    order = [{axis.axis: 0, axis.axis + 1: 1}.get(i) for i in range(x.ndim + 1)]
    return reduce.sum(parts * rearrange(weights, order), axis.axis)


def _kernel(
    node: Node, axis: _Axis, way: _Way
) -> tuple[Sequence[int], Callable[[Variable], Variable]]:
    """The neighbours that count, from the one before on, and their weight at a distance."""
    reach = {"linear": 1, "cubic": 2}.get(way.mode)
    if reach is None:
        raise node.refusal(f"mode={way.mode!r} is unknown")
    narrow = 1.0
    if way.antialias:
        if isinstance(axis.scale, Variable):
            raise _unknown_sizes(node, "antialias")
        narrow = max(min(axis.scale, 1.0), 1e-9)
    first = math.floor(-reach / narrow) + 1
    node.scope.model.budget.read_nodes(2 - 2 * first)

    def weigh(distance: Variable) -> Variable:
        d = elementwise.absolute(distance) * narrow
        if way.mode == "linear":
            return elementwise.clip(1 - d, 0.0, 1.0)
        a = way.cubic
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return elementwise.where(d <= 1, near, elementwise.where(d < 2, far, 0.0))

    return range(first, 2 - first), weigh

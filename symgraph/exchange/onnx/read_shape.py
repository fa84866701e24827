"""ONNX's ops on shapes: what moves, joins, cuts and repeats elements without looking at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.variable import Variable
from ...ops import create, elementwise, ranges, repeat, rounding
from ...ops.broadcast import broadcast_to, rearrange, unify_shapes
from ...ops.comparison import eq
from ...ops.index import get
from ...ops.join import concatenate, split
from ...ops.padding import pad
from ...ops.promotion import cast_to
from ...ops.reshape import product_of, reshape
from ...ops.shape import expand_dims, transpose
from ...ops.sizes import as_scalar, shape_of
from ...ops.slices import slice_axis
from .read_dtypes import DTYPES_BY_NUMBER, name_of_dtype
from .read_node import Node
from .read_registry import reads
from .read_values import Sizes, Value, objects

# From here on a bound of a slice means the end of the axis, of whatever size.
_FAR = 2**31 - 1


def shape_value(node: Node, i: int) -> tuple[int | Variable, ...]:
    """The sizes of an input: ints where known, elsewhere integer scalars."""
    value = node.value(i)
    if isinstance(value, Sizes):
        return tuple(value.entries.shape)
    return value.shape if isinstance(value, np.ndarray) else shape_of(node.variable(i))


@reads("Shape")
def _shape(node: Node) -> Value:
    sizes = shape_value(node, 0)
    start, end = node.attribute("start", 0), node.attribute("end", len(sizes))
    return Sizes(objects(sizes[start:end]))


@reads("Size")
def _size(node: Node) -> Value:
    return Sizes(product_of(shape_value(node, 0)))


@reads("Reshape")
def _reshape(node: Node) -> Value:
    x = node.variable(0)
    wanted = node.shape(1) if node.version >= 5 else list(node.required("shape", list))
    return reshape(x, _filled(node, wanted, x))


def _filled(node: Node, wanted: Sequence[Any], x: Variable) -> list[Any]:
    """The sizes with those of ``x`` for zeros, where zeros mean that."""
    if node.attribute("allowzero", 0):
        return list(wanted)
    own = shape_of(x)
    for i, size in enumerate(wanted):
        if not isinstance(size, Variable) and size == 0 and i >= len(own):
            raise node.refusal(f"size {i} is to be that of {x.ndim} axes")
    return [
        own[i] if not isinstance(size, Variable) and size == 0 else size
        for i, size in enumerate(wanted)
    ]


@reads("Flatten")
def _flatten(node: Node) -> Value:
    x = node.variable(0)
    n = x.ndim - len(node.axes_from(node.attribute("axis", 1), x.ndim))
    sizes = shape_of(x)
    return reshape(x, (product_of(sizes[:n]), product_of(sizes[n:])))


def axes_of(node: Node, i: int, ndim: int) -> list[int] | None:
    """The axes that an input, or an attribute of older versions, names; None for no such list."""
    axes = node.ints(i) if node.has(i) else node.attribute("axes", None, kind=list)
    return None if axes is None else [node.axis(axis, ndim) for axis in axes]


@reads("Squeeze")
def _squeeze(node: Node) -> Value:
    x = node.variable(0)
    axes = axes_of(node, 1, x.ndim)
    if axes is None:
        axes = [i for i, size in enumerate(x.type.shape) if size == 1]
    rest = [i for i in range(x.ndim) if i not in axes]
    if all(x.type.shape[i] == 1 for i in axes):
        return rearrange(x, rest)
    return reshape(x, [shape_of(x)[i] for i in rest])  # which fails at the call where one is not 1


@reads("Unsqueeze")
def _unsqueeze(node: Node) -> Value:
    x = node.variable(0)
    n = len(node.ints(1) if node.has(1) else node.required("axes", list))
    return expand_dims(x, tuple(axes_of(node, 1, x.ndim + n) or ()))


@reads("Transpose")
def _transpose(node: Node) -> Value:
    return transpose(node.variable(0), node.attribute("perm", None, kind=list))


@reads("Expand")
def _expand(node: Node) -> Value:
    return expanded(node.variable(0), node.shape(1))


def expanded(x: Variable, wanted: Sequence[int | Variable]) -> Variable:
    """``x`` broadcast with the sizes, either of which may be the larger one."""
    missing = len(wanted) - x.ndim
    sizes = [*([1] * -missing), *wanted]
    x = rearrange(x, [*([None] * missing), *range(x.ndim)])
    sizes = [
        own if not isinstance(size, Variable) and size == 1 else size
        for own, size in zip(shape_of(x), sizes, strict=True)
    ]
    model = broadcast_to(create.zeros((), bool), sizes)
    x, model = unify_shapes([x, model], "Expand")
    return broadcast_to(x, shape_of(model))


@reads("Tile")
def _tile(node: Node) -> Value:
    x = node.variable(0)
    if node.version < 6:
        repeats: list[Any] = [1] * x.ndim
        repeats[node.axis(node.number(2), x.ndim)] = node.size(1)
        return repeat.tile(x, repeats)
    return repeat.tile(x, node.sizes(1))


@reads("Concat")
def _concat(node: Node) -> Value:
    parts = node.variables()
    axis = node.attribute("axis", 1) if node.version < 4 else node.required("axis", int)
    return concatenate(parts, node.axis(axis, parts[0].ndim))


@reads("Split")
def _split(node: Node) -> tuple[Value, ...]:
    x = node.variable(0)
    axis = node.axis(node.attribute("axis", 0), x.ndim)
    n = len(node.proto.output)
    lengths = node.sizes(1) if node.has(1) else node.attribute("split", None, kind=list)
    if node.attribute("num_outputs", n) != n:
        raise node.refusal(f"num_outputs is {node.attribute('num_outputs', n)}; it has {n}")
    if lengths is None:
        return tuple(_chunks(x, n, axis, uneven=node.version >= 18))
    ends: list[Any] = [0]
    for length in lengths[:-1]:
        ends.append(ends[-1] + length)
    if len(lengths) != len(node.proto.output):
        raise node.refusal(f"{len(lengths)} lengths for {len(node.proto.output)} outputs")
    return tuple(split(x, ends[1:], axis))


def _chunks(x: Variable, n: int, axis: int, *, uneven: bool) -> list[Variable]:
    """``x`` cut into so many parts, of which the last may be smaller."""
    size = shape_of(x)[axis]
    if not uneven or (isinstance(size, int) and size % n == 0):
        return split(x, n, axis)
    length = divided(size + (n - 1), n)
    return split(x, [length * i for i in range(1, n)], axis)


@reads("Slice")
def _slice(node: Node) -> Value:
    x = node.variable(0)
    if node.version < 10:
        starts, ends = node.required("starts", list), node.required("ends", list)
        axes, steps = node.attribute("axes", None, kind=list), None
    else:
        starts, ends = node.sizes(1), node.sizes(2)
        axes = node.ints(3) if node.has(3) else None
        steps = node.ints(4) if node.has(4) else None
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index: list[Any] = [slice(None)] * x.ndim
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise node.refusal("starts, ends, axes and steps are not equally many")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[node.axis(axis, x.ndim)] = slice(_bound(start), _bound(end), step)
    return get(x, tuple(index))


def _bound(edge: int | Variable) -> int | Variable | None:
    """A bound of a slice; None where it lies beyond the end of any axis."""
    return edge if isinstance(edge, Variable) or -_FAR < edge < _FAR else None


@reads("Pad")
def _pad(node: Node) -> Value:
    x = node.variable(0)
    value: Any = 0
    if node.version < 11:
        name = "pads" if node.version >= 2 else "paddings"
        widths, value = node.required(name, list), node.attribute("value", 0.0)
    else:
        widths = node.sizes(1)
        if node.has(2):
            value = reshape(node.variable(2), ())
    axes = [node.axis(a, x.ndim) for a in node.ints(3)] if node.has(3) else list(range(x.ndim))
    mode = node.attribute("mode", "constant")
    if len(widths) != 2 * len(axes):
        raise node.refusal(f"{len(widths)} pads for {len(axes)} axes")
    pairs: list[Any] = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        pairs[axis] = (widths[i], widths[i + len(axes)])
    return padded(x, pairs, mode, value)


def padded(x: Variable, pairs: Sequence[tuple[Any, Any]], mode: str, value: Any = 0) -> Variable:
    """``x`` with so many elements before and after on each axis; negative ones take some away."""
    index = [
        slice(-before if _is_negative(before) else None, after if _is_negative(after) else None)
        for before, after in pairs
    ]
    widths = [tuple(0 if _is_negative(n) else n for n in pair) for pair in pairs]
    return pad(get(x, tuple(index)), widths, mode, value)


def _is_negative(n: Any) -> bool:
    return not isinstance(n, Variable) and n < 0


@reads("CenterCropPad")
def _center_crop_pad(node: Node) -> Value:
    x = node.variable(0)
    axes = axes_of(node, 2, x.ndim) or list(range(x.ndim))
    sizes = node.sizes(1)
    if len(sizes) != len(axes):
        raise node.refusal(f"{len(sizes)} sizes for {len(axes)} axes")
    for axis, wanted in zip(axes, sizes, strict=True):
        x = _centred(x, axis, wanted)
    return x


def _centred(x: Variable, axis: int, wanted: int | Variable) -> Variable:
    """The middle of an axis, or the axis in the middle of zeros."""
    size = shape_of(x)[axis]
    surplus = as_scalar(size) - wanted
    less = elementwise.maximum(surplus, 0)
    more = elementwise.maximum(-surplus, 0)
    start = elementwise.floor_divide(less, 2)
    x = slice_axis(x, axis, start, start + as_scalar(size) - less)
    before = elementwise.floor_divide(more, 2)
    pairs = [(before, more - before) if i == axis else (0, 0) for i in range(x.ndim)]
    return pad(x, pairs)


@reads("DepthToSpace")
def _depth_to_space(node: Node) -> Value:
    x, block = node.variable(0), node.positive("blocksize")
    n, c, h, w = node.sizes_of(x, "batch", "channels", "height", "width")
    depth = divided(c, block * block)
    mode = node.attribute("mode", "DCR")
    if mode == "DCR":
        parts = reshape(x, (n, block, block, depth, h, w))
        parts = rearrange(parts, (0, 3, 4, 1, 5, 2))
    elif mode == "CRD":
        parts = reshape(x, (n, depth, block, block, h, w))
        parts = rearrange(parts, (0, 1, 4, 2, 5, 3))
    else:
        raise node.refusal(f"the mode is DCR or CRD, not {mode!r}")
    return reshape(parts, (n, depth, h * block, w * block))


@reads("SpaceToDepth")
def _space_to_depth(node: Node) -> Value:
    x, block = node.variable(0), node.positive("blocksize")
    n, c, h, w = node.sizes_of(x, "batch", "channels", "height", "width")
    h, w = divided(h, block), divided(w, block)
    parts = reshape(x, (n, c, h, block, w, block))
    order = (0, 3, 5, 1, 2, 4) if node.attribute("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return reshape(rearrange(parts, order), (n, c * block * block, h, w))


def divided(size: Any, by: int) -> Any:
    """A size divided by a number, rounded down."""
    return elementwise.floor_divide(size, by) if isinstance(size, Variable) else size // by


# --- made of sizes ------------------------------------------------------------------------------


def dtype_named(node: Node, number: int) -> np.dtype:
    """The dtype for ONNX's number of an element type; others than symgraph's are refused."""
    dtype = DTYPES_BY_NUMBER.get(number)
    if dtype is None:
        raise node.refusal(f"symgraph does not compute with {name_of_dtype(number)}")
    return dtype


@reads("Constant")
def _constant(node: Node) -> Value:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        value = node.attribute(name, None)
        if value is not None:
            dtype = {"value_float": np.float32, "value_int": np.int64}.get(name.rstrip("s"))
            return np.asarray(value, dtype)
    raise node.refusal("a constant is a tensor of numbers")


@reads("ConstantOfShape")
def _constant_of_shape(node: Node) -> Value:
    value = node.attribute("value", np.zeros(1, np.float32))
    if value.size != 1:
        raise node.refusal("its value is one element")
    return create.full(node.sizes(0), value.reshape(()), value.dtype)


@reads("Range")
def _range(node: Node) -> Value:
    if node.dtype(0).kind in "iu":
        start, stop, step = (node.size(i) for i in range(3))
        return ranges.arange(start, stop, step, node.dtype(0))
    start, stop, step = (reshape(node.variable(i), ()) for i in range(3))
    number = rounding.ceil(elementwise.divide(stop - start, step))
    count = elementwise.maximum(cast_to(number, np.dtype(np.int64)), 0)
    return start + cast_to(ranges.arange(count), start.dtype) * step


@reads("EyeLike")
def _eye_like(node: Node) -> Value:
    sizes = shape_value(node, 0)
    number = node.attribute("dtype", None, kind=int)
    dtype = node.dtype(0) if number is None else dtype_named(node, number)
    if len(sizes) != 2:
        raise node.refusal(f"it takes a matrix, not {len(sizes)} axes")
    return create.eye(sizes[0], sizes[1], node.attribute("k", 0), dtype)


@reads("OneHot")
def _one_hot(node: Node) -> Value:
    indices = cast_to(node.variable(0), np.dtype(np.int64))
    # What is known may be a float.
    depth = node.size(1) if node.known(1) is None else node.number(1)
    axis = node.axis(node.attribute("axis", -1), indices.ndim + 1)
    indices = elementwise.where(indices < 0, indices + depth, indices)
    places = [0 if i == axis else None for i in range(indices.ndim + 1)]
    numbers = rearrange(ranges.arange(depth), places)
    values = node.variable(2)
    return elementwise.where(eq(expand_dims(indices, axis), numbers), values[1], values[0])


@reads("Trilu")
def _trilu(node: Node) -> Value:
    function = create.triu if node.attribute("upper", 1) else create.tril
    k = node.size(1) if node.has(1) else 0
    return function(node.variable(0), k)

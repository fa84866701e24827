"""ONNX's ops at indices: elements gathered, scattered, chosen and put into another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.variable import Variable
from ...core.variable import node as make_node
from ...ops import comparison, create, elementwise
from ...ops.broadcast import broadcast_to, rearrange
from ...ops.cumulative import RECURRENCE
from ...ops.gather import SCATTER_ADD, SCATTER_SET, gather, scatter
from ...ops.join import concatenate, stack
from ...ops.positions import flatnonzero, nonzero, take
from ...ops.promotion import cast_to
from ...ops.ranges import iota
from ...ops.reshape import product_of, reshape
from ...ops.shape import ravel
from ...ops.sizes import as_scalar, shape_of
from ...ops.sort import argsort
from .read_node import Node
from .read_registry import reads
from .read_values import Value

_INT64 = np.dtype("int64")


@reads("Gather")
def _gather(node: Node) -> Value:
    x = node.variable(0)
    return take(x, node.variable(1), node.axis(node.attribute("axis", 0), x.ndim))


def _grid(node: Node, x: Variable, indices: Variable, axis: int) -> list[Variable]:
    """Indices for all axes: those along one of them, each in its place on the others."""
    if indices.ndim != x.ndim:
        raise node.refusal(f"indices of {indices.ndim} axes do not fit an array of {x.ndim}")
    sizes = shape_of(indices)
    return [
        indices
        if i == axis
        else rearrange(iota(size), [0 if j == i else None for j in range(indices.ndim)])
        for i, size in enumerate(sizes)
    ]


@reads("GatherElements")
def _gather_elements(node: Node) -> Value:
    x, indices = node.variable(0), node.variable(1)
    axis = node.axis(node.attribute("axis", 0), x.ndim)
    return gather(x, _grid(node, x, indices, axis), range(x.ndim))


def _columns(node: Node, indices: Variable, batch: int, ndim: int) -> list[Variable]:
    """The index arrays that lie on the last axis, after those of the axes that run along."""
    n = indices.type.shape[-1]
    if not isinstance(n, int):
        raise node.refusal("the number of indices of an element is not known")
    if n + batch > ndim:
        raise node.refusal(f"{n} indices, after {batch} axes, of an array of {ndim}")
    sizes = shape_of(indices)[:-1]
    along = [
        rearrange(iota(sizes[i]), [0 if j == i else None for j in range(len(sizes))])
        for i in range(batch)
    ]
    return along + [indices[..., i] for i in range(n)]


@reads("GatherND")
def _gather_nd(node: Node) -> Value:
    x, indices = node.variable(0), node.variable(1)
    batch = node.attribute("batch_dims", 0)
    columns = _columns(node, indices, batch, x.ndim)
    if not columns:
        return broadcast_to(x, (*shape_of(indices)[:-1], *shape_of(x)))
    return gather(x, columns, range(len(columns)))


# --- scattering ---------------------------------------------------------------------------------


@reads("ScatterElements", "Scatter")
def _scatter_elements(node: Node) -> Value:
    x, indices, values = (node.variable(i) for i in range(3))
    axis = node.axis(node.attribute("axis", 0), x.ndim)
    return _scattered(node, x, _grid(node, x, indices, axis), values)


@reads("ScatterND")
def _scatter_nd(node: Node) -> Value:
    x, indices, values = (node.variable(i) for i in range(3))
    columns = _columns(node, indices, 0, x.ndim)
    return _scattered(node, x, columns, values) if columns else values


def _scattered(node: Node, x: Variable, indices: Sequence[Variable], values: Variable) -> Variable:
    how = node.attribute("reduction", "none")
    axes = range(len(indices))
    if how in ("none", "add"):
        op = SCATTER_SET if how == "none" else SCATTER_ADD
        return scatter(op, x, values, indices, axes)
    if how not in ("mul", "max", "min"):
        raise node.refusal(f"reduction={how!r} is unknown")
    positions, flat = _positions(x, indices), ravel(values)
    if how == "mul":
        result = elementwise.multiply(ravel(x), _products(x, positions, flat))
    elif how == "max":
        result = _largest(ravel(x), positions, flat)
    else:
        result = _mirrored(_largest(_mirrored(ravel(x)), positions, _mirrored(flat)))
    return reshape(result, shape_of(x))


def _positions(x: Variable, indices: Sequence[Variable]) -> Variable:
    """The positions in the flattened ``x`` of the elements that the indices of its axes mean."""
    flat: Any = as_scalar(0)
    for index, size in zip(indices, shape_of(x), strict=False):
        index = cast_to(index, _INT64)
        flat = flat * size + elementwise.where(index < 0, index + size, index)
    row = product_of(shape_of(x)[len(indices) :])
    return ravel(flat[..., None] * row + iota(row))


def _products(x: Variable, positions: Variable, values: Variable) -> Variable:
    """For each element of the flattened ``x`` the product of the values for its position.

    In the order of positions these are running products that begin anew at each position, which is
    a linear recurrence: ``s[i] = added[i] + factors[i] * s[i - 1]``.
    """
    order = argsort(positions)
    positions, values = take(positions, order), take(values, order)
    is_new = concatenate([create.ones((1,), bool), comparison.ne(positions[1:], positions[:-1])])
    is_new = is_new[: shape_of(values)[0]]
    zero = elementwise.zero_like(values)
    added, factors = (
        elementwise.where(is_new, values, zero),
        elementwise.where(is_new, zero, values),
    )
    products = make_node(RECURRENCE, (added, factors), (0,))
    return create.ones((product_of(shape_of(x)),), x.dtype).set(positions, products)


def _largest(x: Variable, positions: Variable, values: Variable) -> Variable:
    """The larger one of each element of a vector and of all the values for its position."""
    order = argsort(values)  # the last value that is stored somewhere is the largest then
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    stored = create.full_like(x, x.dtype.type(least))
    return elementwise.maximum(x, stored.set(take(positions, order), take(values, order)))


def _mirrored(x: Variable) -> Variable:
    """An array in which the order of all values is reversed."""
    return elementwise.negative(x) if x.dtype.kind == "f" else comparison.bitwise_not(x)


@reads("TensorScatter")
def _tensor_scatter(node: Node) -> Value:
    """A cache with new elements from some index on, which each row of the batch has its own."""
    cache, update = node.variable(0), node.variable(1)
    axis = node.axis(node.attribute("axis", -2), cache.ndim)
    if update.ndim != cache.ndim:
        raise node.refusal(f"{update.ndim} axes of the update are not {cache.ndim} of the cache")
    sizes = shape_of(update)
    grid = _grid(
        node, cache, broadcast_to(_along(iota(sizes[axis]), axis, cache.ndim), sizes), axis
    )
    if node.has(2):
        grid[axis] = grid[axis] + _along(cast_to(node.variable(2), _INT64), 0, cache.ndim)
    mode = node.attribute("mode", "linear")
    if mode == "circular":
        grid[axis] = elementwise.remainder(grid[axis], as_scalar(shape_of(cache)[axis]))
    elif mode != "linear":
        raise node.refusal(f"mode={mode!r} is unknown")
    return scatter(SCATTER_SET, cache, update, grid, range(cache.ndim))


def _along(x: Variable, axis: int, ndim: int) -> Variable:
    """A vector that lies along one of so many axes."""
    return rearrange(x, [0 if i == axis else None for i in range(ndim)])


# --- choosing and ordering ----------------------------------------------------------------------


@reads("NonZero")
def _nonzero(node: Node) -> Value:
    x = node.variable(0)
    return stack(list(nonzero(x if x.ndim else x.reshape((1,)))))


@reads("Compress")
def _compress(node: Node) -> Value:
    x, chosen = node.variable(0), flatnonzero(node.variable(1))
    axis = node.attribute("axis", None, kind=int)
    return take(x, chosen, None if axis is None else node.axis(axis, x.ndim))


@reads("ReverseSequence")
def _reverse_sequence(node: Node) -> Value:
    x, lengths = node.variable(0), cast_to(node.variable(1), _INT64)
    time, batch = node.attribute("time_axis", 0), node.attribute("batch_axis", 1)
    if x.ndim < 2 or lengths.ndim != 1:
        raise node.refusal(f"it reverses [time, batch, ...] by lengths [batch]; found {x.type}")
    if {time, batch} != {0, 1}:
        raise node.refusal(f"time and batch are the first two axes, not {time} and {batch}")
    steps = _along(iota(shape_of(x)[time]), time, 2)
    lengths = _along(lengths, batch, 2)
    turned = elementwise.where(steps < lengths, lengths - 1 - steps, steps)
    rows = broadcast_to(_along(iota(shape_of(x)[batch]), batch, 2), shape_of(turned))
    return gather(x, [turned, rows] if time == 0 else [rows, turned], (0, 1))


@reads("Unique")
def _unique(node: Node) -> tuple[Value, ...]:
    """The different values, the first place of each, which one each element is, their numbers."""
    x = node.variable(0)
    if "axis" in node.attributes and x.ndim > 1:
        raise node.refusal("different rows along an axis are not read; different elements are")
    x = ravel(x)
    size = shape_of(x)[0]
    order = argsort(x)
    ordered = take(x, order)
    is_new = concatenate([create.ones((1,), bool), comparison.ne(ordered[1:], ordered[:-1])])[:size]
    starts = flatnonzero(is_new)
    values, firsts = take(ordered, starts), take(order, starts)
    group = elementwise.cast(is_new, "int64").cumsum() - 1
    if not node.attribute("sorted", 1):
        by_place = argsort(firsts)
        values, firsts = take(values, by_place), take(firsts, by_place)
        group = take(argsort(by_place), group)
    inverse = create.zeros((size,), "int64").set(order, group)
    counts = create.zeros((shape_of(values)[0],), "int64").add_at(inverse, 1)
    return values, firsts, inverse, counts

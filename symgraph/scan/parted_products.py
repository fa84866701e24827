"""Products of a loop's body in parts, so that each can be where it costs least.

- ``concatenate([x_t, h]) @ K`` is ``x_t @ K_x + h @ K_h``: one of them needs no state.
- ``W @ x_t`` is ``(x_t' @ W')'``, a product of a row with a matrix that does not change.
- A product of which one slice alone is read is the product of a slice; where a slice is a plain
  output and others are not, each is a product by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

from ..core.graph import replace
from ..core.variable import Variable
from ..ops.broadcast import REARRANGE, seen_through
from ..ops.elementwise import add
from ..ops.join import CONCATENATE, concatenate
from ..ops.linalg import matmul
from ..ops.slices import SLICE, Span, slice_axis
from .moved_axes import axis_among, move_alike, rearranged
from .open import OpenLoop

__all__ = ["part_products"]


def part_products(loop: OpenLoop) -> None:
    """Let the body have products in parts where some parts need not be in the loop."""
    _narrow(loop)
    new: dict[Variable, Variable] = {}
    for v in loop.products:
        sides = [side for side, x in enumerate(v.inputs) if x in loop.varying]
        if len(sides) == 1:
            value = _parted(loop, v, sides[0])
            if value is not None:
                new[v] = replace([value], new, keep_lines=True)[0] if new else value
    if new:
        loop.substitute(new)


# --- slices -------------------------------------------------------------------------------------


def _narrow(loop: OpenLoop) -> None:
    """Read slices of products as products of slices, where nothing is computed twice."""
    readers: dict[Variable, list[Variable]] = {v: [] for v in loop.products}
    if not readers:
        return
    for v in loop.varying:
        for x in v.inputs:
            if x in readers:
                readers[x].append(v)
    ends, outputs = set(loop.ends()), {seen_through(v, REARRANGE) for v in loop.outputs}
    new: dict[Variable, Variable] = {}
    for product, slices in readers.items():
        if product in ends or not all(_is_part(v) for v in slices):
            continue
        if len(slices) == 1 or (any(v in outputs for v in slices) and _are_apart(slices)):
            for v in slices:
                new[v] = _of_part(v)
    if new:
        values = sorted(new, key=lambda v: v.serial)
        done: dict[Variable, Variable] = {}
        for v in values:
            done[v] = replace([new[v]], done, keep_lines=True)[0]
        loop.substitute(done)


def _is_part(v: Variable) -> bool:
    """Whether this is a slice of a matrix between bounds that are numbers."""
    return v.op is SLICE and all(
        entry is None
        or (
            isinstance(entry, Span)
            and entry.step == 1
            and isinstance(entry.start, int)
            and (entry.stop is None or isinstance(entry.stop, int))
        )
        for entry in v.params[0]
    )


def _are_apart(slices: list[Variable]) -> bool:
    """Whether slices are of columns, no two of the same ones."""
    spans = [v.params[0] for v in slices]
    width = slices[0].inputs[0].type.shape[1]
    if not isinstance(width, int) or any(rows is not None or cols is None for rows, cols in spans):
        return False
    edges = sorted(slice(cols.start, cols.stop).indices(width)[:2] for _, cols in spans)
    return all(a[1] <= b[0] for a, b in pairwise(edges))


def _of_part(v: Variable) -> Variable:
    """The product of slices that is a slice of a product."""
    left, right = v.inputs[0].inputs
    rows, columns = v.params[0]
    if rows is not None:
        left = slice_axis(left, 0, rows.start, rows.stop)
    if columns is not None:
        right = slice_axis(right, 1, columns.start, columns.stop)
    return matmul(left, right)


# --- concatenations, and products from the other side -------------------------------------------


class _Factor(NamedTuple):
    """A part of what changes in a product, and what it is multiplied by."""

    varying: Variable
    fixed: Variable
    is_row: bool
    """Whether this is a row of a sequence."""


def _parted(loop: OpenLoop, v: Variable, side: int) -> Variable | None:
    """The product as a sum of products, or from the other side; None where it stays as it is.

    ``side``: which factor changes from step to step.
    """
    x, fixed = v.inputs[side], v.inputs[1 - side]
    factors = list(_factors(loop, x, fixed, side))
    if not any(factor.is_row for factor in factors):
        factors = [_Factor(x, fixed, seen_through(x, REARRANGE) in loop.reads)]
    products = [_product(factor, side) for factor in factors]
    if products == [v]:
        return None
    total = products[0]
    for product in products[1:]:
        total = add(total, product)
    return total


def _product(factor: _Factor, side: int) -> Variable:
    x, fixed, is_row = factor
    if side == 0:
        return matmul(x, fixed)
    if not is_row and x.type.shape[1] != 1:
        return matmul(fixed, x)
    return rearranged(matmul(rearranged(x, (1, 0)), rearranged(fixed, (1, 0))), (1, 0))


def _factors(loop: OpenLoop, x: Variable, fixed: Variable, side: int) -> Iterator[_Factor]:
    """The rows of sequences that are joined in ``x``, and what else is, with their matrices."""
    joined = seen_through(x, REARRANGE)
    if joined.op is not CONCATENATE or axis_among(x, joined.params[0]) != 1 - side:
        return
    (axis,) = joined.params
    sizes = [part.type.shape[axis] for part in joined.inputs]
    edges = list(accumulate((size for size in sizes if isinstance(size, int)), initial=0))
    if len(edges) != len(sizes) + 1:
        return
    rest: list[tuple[Variable, Variable]] = []
    for part, start, stop in zip(joined.inputs, edges, edges[1:], strict=False):
        matrix = slice_axis(fixed, side, start, stop)
        if seen_through(part, REARRANGE) in loop.reads:
            yield _Factor(move_alike(x, part), matrix, is_row=True)
        else:
            rest.append((part, matrix))
    if rest:
        parts, matrices = zip(*rest, strict=True)
        whole = parts[0] if len(rest) == 1 else concatenate(parts, axis)
        matrix = matrices[0] if len(rest) == 1 else concatenate(matrices, side)
        yield _Factor(move_alike(x, whole), matrix, is_row=False)

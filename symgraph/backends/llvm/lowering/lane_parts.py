"""Elementwise loops of long rows, shared by threads: each takes a part of every row.

The elements of a row do not depend on each other, so no part waits for another, and nothing is
computed twice.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from ....core.dims import Size, floor_div
from ..kernels.nest import Access, Nest, Output
from ..kernels.small_loop import SmallLoop
from .loop_rows import Turns

__all__ = ["Part", "part_of", "parts_of_rows", "shortest_row"]

# A part has at least so many elements of each row, and begins with a cache line where rows do.
_LEAST, _LINE = 64, 16


class Part(NamedTuple):
    """The elements of rows from one place to another along an axis."""

    axis: int
    start: Size
    stop: Size


def shortest_row(threads: int) -> int:
    """How many elements a row has at least that so many threads share."""
    return _LEAST * threads


def parts_of_rows(loop: SmallLoop, threads: int) -> list[Part]:
    """As many parts of the loop's rows as there are threads; none where rows are too short, or may
    be as far as is known, or where all parts would write to one place."""
    space, outputs = loop.row.space, loop.row.outputs
    numbers = [size for size in space if isinstance(size, int)]
    if math.prod(numbers) < shortest_row(threads if len(numbers) == len(space) else 1):
        return []
    for axis, size in enumerate(space):
        unit = _LINE if axis == len(space) - 1 else 1
        is_long = not isinstance(size, int) or size >= threads * unit
        if is_long and all(o.access.strides[axis] != 0 for o in outputs):
            starts = [floor_div(floor_div(size, unit) * i, threads) * unit for i in range(threads)]
            return [Part(axis, *ends) for ends in pairwise([*starts, size])]
    return []


def part_of(loop: SmallLoop, turns: Turns, part: Part) -> tuple[SmallLoop, Turns]:
    """The loop on a part of its rows, and its turns: addresses of its own, which advance alike."""
    a, own = turns.assembler, Turns(turns.assembler, turns.steps)
    advances = dict(turns.advances)
    # By the address in the whole row and by how far elements lie apart.
    slots: dict[tuple[int, Size], int] = {}

    def moved(access: Access) -> Access:
        stride = access.strides[part.axis]
        key = (access.base, stride)
        if key not in slots:
            slot = slots[key] = a.slot()
            a.run("address", slot, access.base, a.size(part.start * stride), access.dtype.itemsize)
            if access.base in advances:
                own.advances.append((slot, advances[access.base]))
        return Access(slots[key], access.strides, access.dtype)

    row = loop.row
    space = (*row.space[: part.axis], part.stop - part.start, *row.space[part.axis + 1 :])
    inputs = [moved(access) for access in row.inputs]
    outputs = [Output(moved(o.access), o.value, o.kind) for o in row.outputs]
    for before, following, distance, itemsize in turns.followers:
        for (base, stride), slot in list(slots.items()):
            if base == before:
                own.followers.append((slot, slots[following, stride], distance, itemsize))
    small = replace(loop, row=Nest(space, row.reduced, inputs, row.operations, outputs))
    return small, own

"""Sizes that a loop's steps alone tell: how many there are, and how large a row of a trace is.

Outside the loop they are unknown sizes of its own, the same ones whenever its type is asked for.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ..core.dims import Atom, Dim, Size, fresh_size, size_atoms
from ..core.graph import Graph
from ..core.variable import Variable
from ..ops.sizes import size_of
from .layout import Layout

__all__ = ["atoms_of", "hand_on_sizes", "is_made_of", "row_sizes", "steps_taken"]


@dataclass
class _StepSizes:
    """The unknown sizes of one loop."""

    taken: Dim | None = None
    """How many steps a loop with ``until`` takes."""
    rows: dict[tuple[int, int], Size] = field(default_factory=dict)
    """By result and axis of a row: sizes that are computed in the body."""


# By the loop's body, its layout and the serials of its inputs (which, unlike the inputs, keep
# nothing alive): all that the loop is.
_sizes: weakref.WeakKeyDictionary[Graph, dict[tuple[Any, ...], _StepSizes]] = (
    weakref.WeakKeyDictionary()
)


def _key_of(inputs: Sequence[Variable], layout: Layout) -> tuple[Any, ...]:
    return (layout, *(v.serial for v in inputs))


def _sizes_of(inputs: Sequence[Variable], body: Graph, layout: Layout) -> _StepSizes:
    known = _sizes.setdefault(body, {})
    key = _key_of(inputs, layout)
    sizes = known.get(key)
    return sizes if sizes is not None else known.setdefault(key, _StepSizes())


def steps_taken(inputs: Sequence[Variable], body: Graph, layout: Layout) -> Size:
    """How many steps the loop takes, as it is known outside."""
    if not layout.until:
        return size_of(inputs[0])
    sizes = _sizes_of(inputs, body, layout)
    if sizes.taken is None:
        sizes.taken = fresh_size()
    return sizes.taken


def row_sizes(
    inputs: Sequence[Variable], body: Graph, layout: Layout, result: int, outer: Set[Atom]
) -> tuple[Size, ...]:
    """The sizes of a plain output's rows, as they are known outside the loop.

    ``outer``: the atoms of the body's inputs.

    What the body computes may be another number in each step, and in another loop with the same
    body: outside, it is an unknown size, on which all steps have to agree.
    """
    shape = body.outputs[result].type.shape
    if is_made_of(shape, outer):
        return shape
    rows = _sizes_of(inputs, body, layout).rows
    sizes: list[Size] = []
    for axis, size in enumerate(shape):
        if not is_made_of((size,), outer):
            alike = (s for (r, a), s in rows.items() if body.outputs[r].type.shape[a] == size)
            size = rows.setdefault((result, axis), next(alike, None) or fresh_size())
        sizes.append(size)
    return tuple(sizes)


def atoms_of(variables: Iterable[Variable]) -> set[Atom]:
    """What the sizes in the types of these variables are made of."""
    return {atom for v in variables for size in v.type.shape for atom in size_atoms(size)}


def is_made_of(shape: Sequence[Size], atoms: Set[Atom]) -> bool:
    """Whether sizes are made of no others than these; names mean the same everywhere."""
    return all(
        atom in atoms or atom[0] == "name"
        for size in shape
        if isinstance(size, Dim)
        for atom in size_atoms(size)
    )


def hand_on_sizes(
    old: Variable,
    inputs: Sequence[Variable],
    body: Graph,
    layout: Layout,
    numbers: Sequence[int] | None = None,
) -> None:
    """Let the loop with these parts, which will replace ``old``, have the sizes that it has.

    ``numbers``: for each result of the new loop which it was of the old one, where they moved.
    """
    old_body, old_layout = old.params
    before = _sizes.get(old_body, {}).get(_key_of(old.inputs, old_layout))
    if before is None:
        return
    now = _sizes_of(inputs, body, layout)
    now.taken = before.taken
    for (result, axis), size in before.rows.items():
        for k, was in enumerate(range(len(body.outputs)) if numbers is None else numbers):
            if was == result:
                now.rows[k, axis] = size

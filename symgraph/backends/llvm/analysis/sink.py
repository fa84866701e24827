"""Elementwise work moved behind the slices that take it apart.

``z = a + b`` of which only ``z[:, :n]``, ``z[:, n:2n]``, … are read becomes
``a[:, :n] + b[:, :n]``, …: then z is never stored, and what follows each part joins its kernel.
That is how one product for several gates is read. Only parts that do not overlap are moved, so
nothing is computed twice.
"""

from __future__ import annotations

from itertools import pairwise

from ....core.graph import Graph, replace
from ....core.variable import Variable, node
from ....ops.slices import SLICE, Entry, Span
from ....scan.op import rebuild_alike

__all__ = ["sink_slices"]

# The part of an axis, counted from the last one (−1), that a slice keeps.
Part = tuple[int, int, int]


def sink_slices(graph: Graph) -> Graph:
    """The same program, without the elementwise results that are only read in separate parts."""
    if not any(v.op is SLICE for v in graph.nodes):
        return graph
    parts = _find_parts(graph)
    if not parts:
        return graph
    rebuilt: dict[tuple[Variable, Part], Variable] = {}
    replacements = {
        v: _rebuilt(v.inputs[0], part, parts, rebuilt)
        for v in graph.nodes
        if v.op is SLICE and v.inputs[0] in parts and (part := _part_of(v)) is not None
    }
    outputs = replace(graph.outputs, replacements, keep_lines=True, rebuild=rebuild_alike)
    return Graph(graph.inputs, outputs)


def _part_of(v: Variable) -> Part | None:
    """The one axis and its bounds that a slice keeps; None where it is not so simple."""
    (x, *symbols) = v.inputs
    cut = [(i, entry) for i, entry in enumerate(v.params[0]) if entry is not None]
    if symbols or len(cut) != 1:
        return None
    axis, entry = cut[0]
    size = x.type.shape[axis]
    if not isinstance(entry, Span) or not isinstance(size, int) or entry.step != 1:
        return None
    start, stop, _ = slice(entry.start, entry.stop).indices(size)
    return (axis - x.ndim, start, stop) if start < stop else None


def _find_parts(graph: Graph) -> dict[Variable, set[Part]]:
    """Elementwise nodes that are read in disjoint parts of one axis, and these parts."""
    outputs, inputs = set(graph.outputs), set(graph.inputs)
    parts_read: dict[Variable, set[Part]] = {}
    for v in reversed(graph.nodes):
        if v.op.formula is None or v in outputs or v in inputs:
            continue
        parts: set[Part] = set()
        for user, _ in graph.users[v]:
            if user in parts_read:
                parts |= parts_read[user]
            elif user.op is SLICE and (part := _part_of(user)) is not None:
                parts.add(part)
            else:
                break
        else:
            if parts and _are_disjoint(v, parts):
                parts_read[v] = parts
    return parts_read


def _are_disjoint(v: Variable, parts: set[Part]) -> bool:
    axes = {axis for axis, _, _ in parts}
    if len(axes) != 1:
        return False
    (axis,) = axes
    # An operand that is broadcast along the axis would be computed once for each part.
    if v.ndim < -axis or v.type.shape[axis] == 1:
        return False
    ordered = sorted((start, stop) for _, start, stop in parts)
    return all(stop <= start for (_, stop), (start, _) in pairwise(ordered))


def _rebuilt(
    x: Variable, part: Part, parts: dict[Variable, set[Part]],
    rebuilt: dict[tuple[Variable, Part], Variable],
) -> Variable:  # fmt: skip
    """The part of an elementwise result, computed from parts of its operands."""
    stack = [x]
    while stack:
        v = stack[-1]
        if (v, part) in rebuilt:
            stack.pop()
            continue
        if v not in parts:
            rebuilt[v, part] = _sliced(v, part)
            stack.pop()
            continue
        missing = [y for y in v.inputs if (y, part) not in rebuilt]
        if missing:
            stack.extend(missing)
            continue
        rebuilt[v, part] = node(v.op, [rebuilt[y, part] for y in v.inputs], v.params)
        stack.pop()
    return rebuilt[x, part]


def _sliced(v: Variable, part: Part) -> Variable:
    axis, start, stop = part
    if v.ndim < -axis or v.type.shape[axis] == 1:
        return v
    entries: list[Entry] = [None] * v.ndim
    entries[axis] = Span(start, stop, 1)
    return node(SLICE, (v,), (tuple(entries),))

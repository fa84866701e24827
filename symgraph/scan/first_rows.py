"""The first rows of results, where nobody reads others: so many steps a loop runs, and no more.

A layer that runs from the last step to the first has at ``y[-1]`` what its first step gave. The
steps after those that give what is read are dead code, as an expression is that nobody reads.
"""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from ..core import provenance
from ..core.graph import Graph, Rebuild, replace
from ..core.variable import Variable, item, make_constant, node
from ..ops.elementwise import minimum
from ..ops.sizes import SIZE, size_of
from ..ops.slices import SLICE, At, Entry, Span, slice_axis
from .op import SCAN, Loop

__all__ = ["ALL_ROWS", "Rows", "first_steps_of", "run_first_steps"]


class Rows(NamedTuple):
    """The rows of an array that a view of it has, as far as they are told without its size."""

    start: int
    """The first of them."""
    stop: int | None
    """One more than the last that there may be; None for all that follow."""
    is_reversed: bool = False

    def part(self, entry: Entry) -> Rows | None:
        """Those that an entry for the first axis leaves of all that follow; None where it counts
        from the other end."""
        if entry is None:
            return self
        bounds, step = _bounds(entry), 1 if isinstance(entry, At) else entry.step
        if bounds is None:
            return None
        near, far = bounds
        if self.is_reversed:  # what is counted from the end is counted from the front
            near, far = -(far or 0), -near or None
        if near < 0 or (far is not None and far < 0) or (far is None and abs(step) > 1):
            return None
        stop = None if far is None else self.start + max(near, far)
        return Rows(self.start + near, stop, self.is_reversed != (step < 0))


ALL_ROWS = Rows(0, None)


def _bounds(entry: At | Span) -> tuple[int, int | None] | None:
    """The numbers between which an entry lies; None where they are no numbers."""
    first = entry.index if isinstance(entry, At) else entry.start
    if isinstance(first, str):
        return None
    if isinstance(entry, At):
        return first, first + 1 or None
    return None if isinstance(entry.stop, str) else (first, entry.stop)


def run_first_steps(graph: Graph, rebuild: Rebuild) -> Graph:
    """The graph with loops that run no more steps than give what is read of them."""
    # From the last loop on: one that runs fewer steps reads fewer rows of those before it.
    for scan in reversed([v for v in graph.nodes if v.op is SCAN]):
        new = _read_of_first_steps(scan, graph, rebuild) if scan in graph.users else {}
        if new:
            outputs = replace(graph.outputs, new, keep_lines=True, rebuild=rebuild)
            graph = Graph(graph.inputs, outputs)
    return graph


def _read_of_first_steps(
    scan: Variable, graph: Graph, rebuild: Rebuild
) -> dict[Variable, Variable]:
    """For what reads the results of a loop the same of its first steps; none where all count."""
    loop = Loop(scan)
    if loop.layout.has_checkpoints:
        return {}
    count, outputs = 1, set(graph.outputs)
    read: list[Variable] = []
    for result, _ in graph.users[scan]:
        found = _first_rows_read(graph, result, outputs)
        if found is None:
            return {}
        stop, readers = found
        count = max(count, stop - loop.results[result.params[0]].depth)
        read += readers
    short = None if loop.body.has_effects else first_steps_of(loop, count)
    if short is None:
        return {}
    of_short = {item(scan, k): item(short, k) for k in range(len(scan.type.items))}
    new = dict(zip(read, replace(read, of_short, keep_lines=True, rebuild=rebuild), strict=True))
    # Sizes that only steps tell are not those of the loop that they are read of.
    return new if all(old.type is v.type for old, v in new.items()) else {}


def first_steps_of(loop: Loop, count: int) -> Variable | None:
    """The loop that runs so many of the steps at most; None where there are no more."""
    n_steps = size_of(loop.n_steps)
    if isinstance(n_steps, int) and n_steps <= count:
        return None
    is_known = isinstance(n_steps, int)
    layout, parts = loop.layout.without_checkpoints(), loop.layout.parts(loop.node.inputs)
    inputs = parts._replace(
        n_steps=make_constant(count, "int64") if is_known else minimum(loop.n_steps, count),
        sequences=[
            slice_axis(x, 0, 0, count + max(offsets))
            for x, offsets in zip(parts.sequences, layout.sequences, strict=True)
        ],
        interval=None,
    )
    short = node(SCAN, inputs.flat(), (loop.body, layout))
    provenance.hand_on(loop.node, short)
    if loop.node.name and short.name is None:
        provenance.set_name(short, loop.node.name)
    return short


def _first_rows_read(
    graph: Graph, result: Variable, outputs: Set[Variable]
) -> tuple[int, list[Variable]] | None:
    """How many of a result's first rows are read at most, and by what; None where it may be
    others."""
    most = 0
    readers: list[Variable] = []
    pending = [(result, ALL_ROWS)]
    while pending:
        x, rows = pending.pop()
        if x in outputs:
            return None
        for user, position in graph.users[x]:
            if user.op is SIZE and user.params != (0,):
                readers.append(user)
                continue
            is_part = user.op is SLICE and position == 0
            part = rows.part(user.params[0][0]) if is_part else None
            if part is None:
                return None
            if part.stop is None:
                pending.append((user, part))
            else:
                most = max(most, part.stop)
                readers.append(user)
    return most, readers

"""Checkpoints settled, once the whole program tells who reads them.

- Where nobody does, since nobody asked for a gradient, a loop loses them and is one like any other.
- Where of the loop besides these only the last rows are read, its last chunk, which the gradient
  runs again anyway, has those rows: the loop ends at the last checkpoint.
- For what runs no loop with checkpoints they are taken out of the states over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_fields
from typing import NamedTuple

from ..core.graph import Graph, has_effect, replace
from ..core.variable import Variable, item
from ..ops.elementwise import add, multiply
from ..ops.positions import take
from ..ops.ranges import arange
from ..ops.slices import SLICE, SYMBOL, At, Span
from .op import Loop, make_alike
from .paths import loops_in, with_bodies
from .rewrites import Change, Replacements, rewrite_bodies, transform_loops
from .run_again import StepsAgain

__all__ = ["settle_checkpoints"]


class _LastRow(NamedTuple):
    """A variable that reads a row of a result, by its place from the end."""

    node: Variable
    result: int
    place: int


def settle_checkpoints(graph: Graph, *, are_kept: bool = False) -> Graph:
    """The graph in which loops have checkpoints only where somebody reads them.

    ``are_kept``: whether what the graph is for runs loops that have any.
    """
    if not _has_checkpoints(graph):
        return graph

    def settle(part: Graph) -> Graph:
        return transform_loops(part, lambda each: _settling(each, are_kept=are_kept))

    return rewrite_bodies(settle(graph), settle)


def _has_checkpoints(graph: Graph) -> bool:
    layouts = (v.params[1] for part in with_bodies(graph) for v in loops_in(part))
    return any(layout.has_checkpoints for layout in layouts)


def _settling(graph: Graph, *, are_kept: bool) -> Change:
    """What leaves the loops of the graph with the checkpoints that somebody reads."""
    needed = set(graph.nodes)

    def change(scan: Variable, inputs: Sequence[Variable]) -> Replacements | Variable:
        before, loop = Loop(scan), Loop(make_alike(scan, inputs, body=scan.params[0]))
        if not loop.layout.has_checkpoints:
            return loop.node
        if needed.isdisjoint(before.checkpoints):
            return _without_checkpoints(loop).node
        if not are_kept:
            return _taken_from_buffers(before, loop)
        if loop.layout.ends_at_checkpoint:
            return loop.node  # in an earlier round
        last_rows = _last_rows(before, graph)
        if last_rows is None:
            return loop.node
        return _ending_at_checkpoint(before, loop, last_rows)

    return change


def _without_checkpoints(loop: Loop) -> Loop:
    layout = loop.layout.without_checkpoints()
    inputs = loop.layout.parts(loop.node.inputs)._replace(interval=None).flat()
    return Loop(make_alike(loop.node, inputs, body=loop.body, layout=layout))


def _taken_from_buffers(before: Loop, loop: Loop) -> Replacements:
    """What the loop's results become, where the checkpoints are rows of the buffers."""
    plain, again = _without_checkpoints(loop), StepsAgain(loop)
    results = [item(plain.node, k) for k in range(len(plain.results))]
    new = dict(zip((item(before.node, k) for k in range(len(results))), results, strict=True))
    n_rows = add(again.n_later, 0 if loop.layout.ends_at_checkpoint else 1)
    starts = multiply(arange(n_rows), again.every)
    for old, buffer, state in zip(before.checkpoints, plain.buffers, plain.states, strict=True):
        rows = add(starts[:, None], arange(state.depth))
        new[old] = take(buffer, rows, axis=0)
    return new


def _ending_at_checkpoint(before: Loop, loop: Loop, last_rows: Sequence[_LastRow]) -> Replacements:
    """What the results become, where the loop ends at its last checkpoint."""
    again = StepsAgain(loop)
    layout = with_fields(loop.layout, ends_at_checkpoint=True)
    inputs = (again.tail_start, *loop.node.inputs[1:])
    short = Loop(make_alike(loop.node, inputs, body=loop.body, layout=layout))
    checkpoints = dict(zip(loop.checkpoints, short.checkpoints, strict=True))
    tail = replace([again.tail().node], checkpoints)[0]
    new = dict(zip(before.checkpoints, short.checkpoints, strict=True))
    new |= {read.node: item(tail, read.result)[read.place] for read in last_rows}
    return new


def _last_rows(loop: Loop, graph: Graph) -> list[_LastRow] | None:
    """All that is read of the buffers and traces, if that is nothing but last rows.

    Nor may anything be missed of what steps do besides, which are run again without that.
    """
    if loop.layout.until or any(map(has_effect, loop.body.nodes)):
        return None
    found: list[_LastRow] = []
    outputs = set(graph.outputs)
    pending = [(x, x.params[0], False) for x, _ in graph.users[loop.node]]
    while pending:
        x, result, is_cut = pending.pop()
        if result >= len(loop.results):
            continue
        depth = loop.results[result].depth
        if x in outputs:
            return None
        for user, _ in graph.users[x]:
            entry = _entry_of(user, x)
            count = 1 if is_cut else max(depth, 1)
            if isinstance(entry, At) and _is_among_last(entry, count):
                found.append(_LastRow(user, result, int(entry.index)))
            elif entry == Span(depth, None, 1):
                pending.append((user, result, True))
            else:
                return None
    return found


def _entry_of(user: Variable, x: Variable) -> At | Span | None:
    """Which part of the first axis alone a slice reads; None where that is none."""
    if user.op is not SLICE or user.inputs[0] is not x:
        return None
    first, *others = user.params[0]
    return first if all(entry is None for entry in others) else None


def _is_among_last(entry: At, count: int) -> bool:
    return entry.index != SYMBOL and -count <= int(entry.index) < 0

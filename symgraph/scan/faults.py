"""Loops that could do less, were they written in another way: what the rewrites cannot change."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.graph import Graph
from ..core.variable import Variable
from .last_rows import kept_rows, last_rows_read
from .op import Loop
from .written import has_gradient, loops_written

__all__ = ["find_traces_for_last_row", "find_unread_states"]


def find_traces_for_last_row(graph: Graph) -> Iterator[tuple[Variable, Variable]]:
    """Loops with the traces of plain outputs of which the last row alone is read."""
    for around, scan in loops_written(graph):
        loop = Loop(scan)
        n_states = len(loop.states)
        for x, _ in around.users[scan]:
            is_trace = n_states <= x.params[0] < n_states + len(loop.outputs)
            if is_trace and around.users[x] and last_rows_read(around, x) == 1:
                yield scan, x


def find_unread_states(graph: Graph) -> Iterator[tuple[Variable, int]]:
    """Loops with the numbers of states that no step reads; but for those of which the last row is
    read, and no gradient: a loop keeps no others of a state."""
    for around, scan in loops_written(graph):
        loop = Loop(scan)
        nodes = set(loop.body.nodes)
        items = {x.params[0]: x for x, _ in around.users[scan]}
        for k, state in enumerate(loop.states):
            if nodes.isdisjoint(state.taps.values()) and k in items:
                is_brief = kept_rows(around, items[k], state.depth) is not None
                if not is_brief or has_gradient(scan, around):
                    yield scan, k

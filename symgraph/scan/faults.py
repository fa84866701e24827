"""Loops that could do less, were they written in another way: what the rewrites cannot change."""

from __future__ import annotations

from collections.abc import Iterator

from ..core import provenance
from ..core.graph import Graph, has_effect
from ..core.types import TensorType
from ..core.variable import Variable
from ..ops.linalg import MATMUL
from ..ops.slices import SLICE
from .close import find_varying
from .last_rows import kept_rows, last_rows_read
from .op import Loop
from .paths import loop_paths
from .stacked import is_done_for_rows
from .written import has_gradient, loops_written

__all__ = ["find_stateless", "find_traces_for_last_row", "find_unread_states"]


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


def find_stateless(built: Graph, rewritten: Graph) -> Iterator[Variable]:
    """Loops without states, as they were built and still are, of operations that take batches."""
    lines = {
        provenance.lines_of(path[-1])
        for path in loop_paths(built)
        if not Loop(path[-1]).states and not Loop(path[-1]).layout.until
    }
    for _, scan in loops_written(rewritten):
        loop = Loop(scan)
        is_free = not loop.states and loop.condition is None and bool(loop.reads)
        if is_free and _takes_batches(loop) and provenance.lines_of(scan) in lines:
            yield scan


def _takes_batches(loop: Loop) -> bool:
    """Whether the loop computes something that can be computed for all rows at once."""
    symbols = [read.symbol for read in loop.reads]
    varying = find_varying(loop.body.outputs, symbols)
    computed = varying.difference(symbols)
    return bool(computed) and all(_is_batched(v, varying) for v in computed)


def _is_batched(v: Variable, varying: set[Variable]) -> bool:
    if has_effect(v) or not isinstance(v.type, TensorType):
        return False
    if v.op is SLICE and not varying.isdisjoint(v.inputs[1:]):
        return False  # each row is read somewhere else
    return v.op is MATMUL or is_done_for_rows(v)

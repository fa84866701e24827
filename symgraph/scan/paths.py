"""Words for loops: where each stands in a graph, and what the symbols of its body are called."""

from __future__ import annotations

from ..core.graph import Graph
from ..core.variable import Variable
from .op import Loop, is_scan

__all__ = ["loop_paths", "symbol_labels"]


def loop_paths(graph: Graph) -> list[tuple[Variable, ...]]:
    """The loops, each followed by those in its body, with the loops around them, outermost first.

    In the order of a report's ``loop_table``.
    """
    paths: list[tuple[Variable, ...]] = []
    pending: list[tuple[Variable, ...]] = [(v,) for v in reversed(graph.nodes) if is_scan(v)]
    while pending:
        path = pending.pop()
        paths.append(path)
        body: Graph = path[-1].params[0]
        pending += [(*path, v) for v in reversed(body.nodes) if is_scan(v)]
    return paths


def symbol_labels(loop: Loop) -> dict[Variable, str]:
    """What a step reads, in words: ``x[t]`` of a sequence, ``h[t-1]`` of a state."""
    labels: dict[Variable, str] = {}
    for i, reads in enumerate(loop.reads_by_sequence):
        for read in reads:
            labels[read.symbol] = f"{read.sequence.name or f'sequence {i}'}{_time(read.offset)}"
    for i, state in enumerate(loop.states):
        for tap, symbol in state.taps.items():
            labels[symbol] = f"{state.new.name or f'state {i}'}{_time(tap)}"
    for i, (symbol, outer) in enumerate(loop.fixed.items()):
        labels[symbol] = outer.name or f"fixed {i}"
    return labels


def _time(offset: int) -> str:
    return f"[t{offset:+d}]" if offset else "[t]"

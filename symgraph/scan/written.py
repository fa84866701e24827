"""Which loops somebody wrote: all but those of gradients, and those of `associative_scan`.

In a graph as it was built it is known of each loop; where the rewrites have made others of them,
those of gradients are told by what they read.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator

from ..core import provenance
from ..core.graph import Graph
from ..core.variable import Variable
from .paths import loop_paths
from .storage import gradient_loops

__all__ = ["GROUPING", "has_gradient", "loops_written", "mark_as_derived"]

GROUPING = "associative_scan"
"""The name of the loops that `associative_scan` makes."""
_derived: weakref.WeakSet[Variable] = weakref.WeakSet()


def mark_as_derived(loop: Variable) -> Variable:
    """The loop, known from now on to be nobody's own."""
    _derived.add(loop)
    return loop


def loops_written(graph: Graph) -> Iterator[tuple[Graph, Variable]]:
    """Each loop that somebody wrote, with the graph that it stands in, those in loops included."""
    done: set[tuple[Graph, Variable]] = set()
    gradients: dict[Graph, set[Variable]] = {}
    for path in loop_paths(graph):
        parts: list[Graph] = [graph, *(scan.params[0] for scan in path[:-1])]
        place = parts[-1], path[-1]
        if place in done:
            continue
        done.add(place)
        for part in parts:
            if part not in gradients:
                gradients[part] = set(gradient_loops(part))
        around = zip(parts, path, strict=True)
        if not any(_is_derived(loop) or loop in gradients[part] for part, loop in around):
            yield place


def _is_derived(loop: Variable) -> bool:
    """Whether it is known so; copies, where something in it was replaced, by their names alone."""
    name = loop.name or ""
    return loop in _derived or name == GROUPING or name.startswith("gradient of ")


def has_gradient(scan: Variable, graph: Graph) -> bool:
    """Whether there are loops of gradients of this one, in the graph that it stands in."""
    lines = provenance.lines_of(scan)
    return any(_is_derived(v) and provenance.lines_of(v) == lines for v in graph.nodes)

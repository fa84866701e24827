"""Which loops somebody wrote: all but those of gradients, and those of `associative_scan`.

In a graph as it was built it is known of each loop; where the rewrites have made others of them,
those of gradients are told by what they read.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..core import provenance
from ..core.graph import Graph
from ..core.variable import Variable
from ..ops.sizes import size_of
from .derived import is_derived
from .op import is_scan
from .paths import loop_paths
from .storage import gradient_loops

__all__ = ["has_gradient", "loops_written"]


def loops_written(graph: Graph) -> Iterator[tuple[Graph, Variable]]:
    """Each loop that somebody wrote, with the graph that it stands in, those in loops included; but
    for those that are known to have one step, or none."""
    done: set[tuple[Graph, Variable]] = set()
    derived: dict[Graph, set[Variable]] = {}
    for path in loop_paths(graph):
        parts: list[Graph] = [graph, *(scan.params[0] for scan in path[:-1])]
        place = parts[-1], path[-1]
        if place in done:
            continue
        done.add(place)
        for part in parts:
            if part not in derived:
                derived[part] = _derived_in(part)
        around = zip(parts, path, strict=True)
        if not _is_short(path[-1]) and not any(loop in derived[part] for part, loop in around):
            yield place


def _derived_in(graph: Graph) -> set[Variable]:
    """The loops of gradients, with those that run again what checkpoints did not keep; and those of
    `associative_scan`."""
    loops = [v for v in graph.nodes if is_scan(v)]
    lean = {provenance.lines_of(v) for v in loops if v.params[1].has_checkpoints}
    again = {v for v in loops if provenance.lines_of(v) in lean and not v.params[1].has_checkpoints}
    over_chunks = {v for v in loops if v.params[1].is_over_chunks}
    return again | over_chunks | set(gradient_loops(graph)) | set(filter(is_derived, loops))


def _is_short(scan: Variable) -> bool:
    steps = size_of(scan.inputs[0])
    return isinstance(steps, int) and steps < 2


def has_gradient(scan: Variable, graph: Graph) -> bool:
    """Whether there are loops of gradients of this one, in the graph that it stands in."""
    lines = provenance.lines_of(scan)
    return any(is_derived(v) and provenance.lines_of(v) == lines for v in graph.nodes)

"""Which loops somebody wrote: those whose role says so, and that are in no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..core import provenance
from ..core.dims import Size, product
from ..core.graph import Graph
from ..core.size_bounds import is_at_most
from ..core.variable import Variable
from ..ops.sizes import size_of
from .op import Loop
from .paths import loop_paths, loops_in

__all__ = ["has_gradient", "loops_written", "path_to", "steps_in_all"]


def loops_written(graph: Graph) -> Iterator[tuple[Graph, Variable]]:
    """Each loop that somebody wrote, with the graph that it stands in, those in loops included; but
    for those that are known to have one step at most."""
    done: set[tuple[Graph, Variable]] = set()
    for path in loop_paths(graph):
        around: Graph = [graph, *(scan.params[0] for scan in path[:-1])][-1]
        place = around, path[-1]
        if place not in done:
            done.add(place)
            if not _is_short(path[-1]) and all(map(_is_written, path)):
                yield place


def _is_written(scan: Variable) -> bool:
    return Loop(scan).layout.role == "written"


def _is_short(scan: Variable) -> bool:
    return is_at_most(size_of(scan.inputs[0]), 1)


def has_gradient(scan: Variable, graph: Graph) -> bool:
    """Whether there are loops of gradients of this one, in the graph that it stands in."""
    lines = provenance.lines_of(scan)
    loops = map(Loop, loops_in(graph))
    return any(
        loop.layout.role == "gradient" and provenance.lines_of(loop.node) == lines for loop in loops
    )


def path_to(scan: Variable, graph: Graph) -> tuple[Variable, ...]:
    """The loop after those that it is in, the outermost first."""
    return next(path for path in loop_paths(graph) if path[-1] is scan)


def steps_in_all(path: Sequence[Variable]) -> Size:
    """How many steps the last loop of a path makes in a call."""
    return product(size_of(Loop(scan).n_steps) for scan in path)

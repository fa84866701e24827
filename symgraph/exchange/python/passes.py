"""The passes from the graph as it was built to the one that is written: the NumPy backend's.

So the program has that backend's bits. Composites stay, and their bodies are rewritten by
themselves.
"""

from __future__ import annotations

from collections import Counter

from ...backends.base import Target
from ...compile.pipeline import all_passes
from ...core.graph import Graph
from ...core.op import Op
from ...core.provenance import without_lines
from ...ops.composite import body_of, is_composite
from ...rewrite.unify import with_united_sizes
from ...scan.op import SCAN, is_scan
from ...scan.regroup import with_groups
from .surroundings import Framework

__all__ = ["prepared"]


class _Written(Target):
    """What can be written for a framework; what cannot, and is no other ops, is refused later."""

    name = "python"

    def __init__(self, framework: Framework) -> None:
        self._table = framework.table

    def has_lowering(self, op: Op) -> bool:
        """Whether the op is written as it is."""
        return op.name in self._table or op is SCAN or op.expand is None


def prepared(graph: Graph, framework: Framework) -> tuple[Graph, dict[Graph, Graph]]:
    """The graph after all passes, and the bodies of composites, by what they were before."""
    target = _Written(framework)
    graph = _rewritten(graph, target)
    bodies: dict[Graph, Graph] = {}
    pending = [graph]
    while pending:
        for v in pending.pop().nodes:
            if is_scan(v):
                pending.append(v.params[0])
            elif is_composite(v) and body_of(v) not in bodies:
                bodies[body_of(v)] = _rewritten(body_of(v), target)
                pending.append(bodies[body_of(v)])
    return graph, bodies


def _rewritten(graph: Graph, target: Target) -> Graph:
    def run_passes(graph: Graph) -> Graph:
        graph = with_groups(graph)
        for _, run in all_passes():
            graph = run(graph, target, Counter())
        return graph

    with without_lines():
        return with_united_sizes(graph, run_passes, of_steps=True)

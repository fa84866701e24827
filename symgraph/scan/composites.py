"""Composites opened: their expressions put in their places, in loops and in one another."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import provenance
from ..core.graph import Graph, graph_of
from ..core.variable import ITEM, Variable
from ..ops.composite import is_composite, opened, opened_on, there_are_composites
from .op import rebuild_alike
from .rewrites import rewrite_bodies

__all__ = ["open_composites", "with_open_composites"]


def open_composites(outputs: Sequence[Variable]) -> list[Variable]:
    """The outputs as expressions without composites, in the bodies of loops too."""
    return list(with_open_composites(graph_of(outputs)).outputs)


def with_open_composites(graph: Graph) -> Graph:
    """The graph without composites, in the bodies of loops too; itself where there are none."""
    if not there_are_composites():
        return graph
    return rewrite_bodies(_open(graph), _open)


def _open(graph: Graph) -> Graph:
    while any(map(is_composite, graph.nodes)):  # one may hold others
        graph = Graph(graph.inputs, _open_outermost(graph))
    return graph


def _open_outermost(graph: Graph) -> list[Variable]:
    new: dict[Variable, Variable] = {v: v for v in graph.inputs}
    results: dict[Variable, list[Variable]] = {}
    for v in graph.nodes:
        if v in new:
            continue
        inputs = tuple([new[x] for x in v.inputs])
        if is_composite(v):
            results[v] = opened(v) if inputs == v.inputs else opened_on(v, inputs)
            # Of a tuple nothing is left: those that read it are its items.
            new[v] = results[v][0] if len(results[v]) == 1 else v
        elif v.op is ITEM and v.inputs[0] in results:
            new[v] = results[v.inputs[0]][v.params[0]]
        elif inputs == v.inputs:
            new[v] = v
            continue
        else:
            new[v] = rebuild_alike(v, inputs)
            provenance.set_lines(new[v], provenance.lines_of(v))
            provenance.carry_notes(v.notes, new[v])
        if v.name and new[v].name is None and new[v].inputs:
            provenance.set_name(new[v], v.name)
    return [new[v] for v in graph.outputs]

"""Composites opened: their expressions put in their places, in loops and in one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from ..core import provenance
from ..core.errors import SymgraphTypeError
from ..core.graph import Graph, graph_of
from ..core.variable import ITEM, Variable
from ..ops.composite import (
    body_of,
    is_composite,
    opened,
    opened_on,
    there_are_composites,
    with_body,
)
from .op import rebuild_alike
from .paths import with_bodies
from .rewrites import rewrite_bodies

__all__ = ["open_composites", "rewrite_composites", "with_open_composites"]


@overload
def open_composites(outputs: Variable) -> Variable: ...
@overload
def open_composites(outputs: Sequence[Variable]) -> list[Variable]: ...
def open_composites(outputs: Variable | Sequence[Variable]) -> Variable | list[Variable]:
    """The outputs (a variable, or a list) as the expressions that composites stand for.

    Those in the bodies of loops, and in one another, are opened too. `compile` begins with this.

    >>> double = sg.composite(lambda x: x + x, name="double")
    >>> x = sg.vector("x")
    >>> sg.open_composites(double(x)) is x + x
    True
    """
    ends: Any = [outputs] if isinstance(outputs, Variable) else outputs
    if not isinstance(ends, (list, tuple)) or not all(isinstance(v, Variable) for v in ends):
        raise SymgraphTypeError.here(
            f"open_composites takes a variable or a list of variables, not {outputs!r}"
        )
    made = with_open_composites(graph_of(ends)).outputs
    return made[0] if isinstance(outputs, Variable) else list(made)


def with_open_composites(graph: Graph) -> Graph:
    """The graph without composites, in the bodies of loops too; itself where there are none."""
    if not (there_are_composites() and _has_composites(graph)):
        return graph
    return rewrite_bodies(_open(graph), _open)


def _has_composites(graph: Graph) -> bool:
    return any(is_composite(v) for part in with_bodies(graph) for v in part.holders)


def rewrite_composites(graph: Graph, rewrite: Callable[[Graph], Graph]) -> Graph:
    """The graph with ``rewrite`` done to what is in its composites, which stay whole."""
    if not any(map(is_composite, graph.holders)):
        return graph
    new: dict[Variable, Variable] = {v: v for v in graph.inputs}
    for v in graph.nodes:
        if v in new:
            continue
        inputs = [new[x] for x in v.inputs]
        if is_composite(v):
            new[v] = with_body(v, inputs, rewrite(body_of(v)).canonical())
        else:
            new[v] = v if tuple(inputs) == v.inputs else rebuild_alike(v, inputs)
        _hand_on(v, new[v])
    return Graph(graph.inputs, [new[v] for v in graph.outputs])


def _open(graph: Graph) -> Graph:
    while any(map(is_composite, graph.holders)):  # one may hold others
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
        _hand_on(v, new[v])
    return [new[v] for v in graph.outputs]


def _hand_on(old: Variable, new: Variable) -> None:
    """Give what takes a variable's place its name, and its lines and notes if it is of its op."""
    if new is old or not new.inputs:
        return
    if old.name and new.name is None:
        provenance.set_name(new, old.name)
    if new.op is old.op:
        provenance.hand_on_all(old, new)
        provenance.carry_notes(old.notes, new)

"""Of what is read at one place of an axis alone, that place alone.

``(h @ W + b)[-1]`` of which nobody reads other rows becomes ``h[-1] @ W + b``, and so on down to
what gives no place of its own: a loop then keeps its last row alone, and one row is multiplied.
"""

from __future__ import annotations

from ..core import provenance
from ..core.graph import Graph, Rebuild, replace
from ..core.variable import Variable
from ..ops.places import Place, operand_places, part_of, place_in, read_at
from ..ops.slices import SLICE, At

__all__ = ["compute_at_places"]


def compute_at_places(graph: Graph, rebuild: Rebuild) -> Graph:
    """The graph without the places that nobody reads of what is read at one."""
    while True:
        reads = [v for v in graph.nodes if v.op is SLICE and _has_index(v)]
        parts = _parts(graph) if reads else {}
        pairs = ((v, parts.get(v.inputs[0])) for v in reads)
        new = {v: part for v, part in pairs if part is not None and part.type is v.type}
        if not new:
            return graph
        graph = Graph(graph.inputs, replace(graph.outputs, new, keep_lines=True, rebuild=rebuild))


def _has_index(v: Variable) -> bool:
    return any(isinstance(entry, At) for entry in v.params[0])


def _parts(graph: Graph) -> dict[Variable, Variable]:
    """For what is read at one place alone: what it is there."""
    places = _places(graph)
    parts: dict[Variable, Variable] = {}
    for v in graph.nodes:
        if v in places:
            place, theirs = places[v]
            operands = [
                parts[x] if at is not None and x in parts else read_at(x, at)
                for x, at in zip(v.inputs, theirs, strict=True)
            ]
            parts[v] = part_of(v, place, operands)
            provenance.hand_on(v, parts[v])
    return parts


_Known = dict[Variable, tuple[Place, list[Place | None]]]


def _places(graph: Graph) -> _Known:
    """What is read at one place alone: that place, and those of its operands."""
    places: _Known = {}
    outputs = set(graph.outputs)
    for v in reversed(graph.nodes):
        if v in outputs or v.op is SLICE:
            continue
        read = {_place_of_reading(user, i, places) for user, i in graph.users[v]}
        place = read.pop() if len(read) == 1 else None
        theirs = None if place is None else operand_places(v, place)
        if place is not None and theirs is not None:
            places[v] = place, list(theirs)
    return places


def _place_of_reading(user: Variable, operand: int, places: _Known) -> Place | None:
    """At which place alone a node reads an operand of its; None for others, or all."""
    if user in places:
        return places[user][1][operand]
    return place_in(user) if user.op is SLICE and operand == 0 else None

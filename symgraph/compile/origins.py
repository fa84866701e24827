"""What a program says of its nodes, and of those in its loops, when it is compiled."""

from __future__ import annotations

from functools import partial

from ..core.graph import Graph
from ..core.origins import Origins, Places, joined, place_among
from ..core.variable import Variable

__all__ = ["origins_of"]


def origins_of(graph: Graph) -> Origins:
    """The names and lines of the graph's nodes, and of those of bodies as its loops have them."""
    origins = Origins(partial(_look_inside, graph))
    origins.places.update([(v.serial, v.places) for v in graph.nodes if v.places])
    names = [(v.serial, v.given_name) for v in graph.nodes if v.given_name is not None]
    origins.names.update(names)
    return origins


def _look_inside(graph: Graph, origins: Origins) -> None:
    places = origins.places
    pending = [x for v in graph.nodes for x in _inside(v, places.get(v.serial, ()))]
    seen = set(pending)
    while pending:
        body, loop = pending.pop()
        for v in body.nodes:
            place = _learn(origins, v, loop) if v.inputs else ()
            if v.params:
                inside = [each for each in _inside(v, place) if each not in seen]
                pending += inside
                seen.update(inside)


def _learn(origins: Origins, v: Variable, loop: Places) -> Places:
    """Note where a node of a loop's body is written, and what it is called there."""
    known, places = origins.places.get(v.serial), v.places
    if len(places) > 1:
        place = place_among(places, loop)
        places = () if place is None else (place,)
    name = places[0].name if places else v.given_name
    if name is not None:
        origins.names.setdefault(v.serial, name)
    if places and known != places:
        origins.places[v.serial] = places if known is None else joined(known, places)
    return places


def _inside(v: Variable, places: Places) -> list[tuple[Graph, Places]]:
    """The graphs in a node's parameters, with where the node is written."""
    return [(part, places) for part in v.params if part.__class__ is Graph]

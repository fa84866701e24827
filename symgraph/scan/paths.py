"""Loops of a graph: where each stands in it, and what the symbols of its body are called."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import provenance
from ..core.graph import Graph
from ..core.variable import ITEM, Variable
from ..ops.broadcast import REARRANGE
from .op import Loop, is_scan

__all__ = ["counted_loops", "loop_paths", "loops_in", "symbol_labels", "with_bodies"]


def loops_in(graph: Graph) -> list[Variable]:
    """The loops among the nodes of the graph, in the order of these; those in bodies left out."""
    return [v for v in graph.holders if is_scan(v)]


def with_bodies(graph: Graph) -> list[Graph]:
    """The graph, and each distinct body of the loops in it, those of loops inside included."""
    found, seen, pending = list[Graph](), {graph}, [graph]
    while pending:
        found.append(pending.pop())
        for v in loops_in(found[-1]):
            if v.params[0] not in seen:
                seen.add(v.params[0])
                pending.append(v.params[0])
    return found


def loop_paths(graph: Graph) -> list[tuple[Variable, ...]]:
    """The loops, each followed by those in its body, with the loops around them, outermost first.

    In the order of a report's ``loop_table``.
    """
    paths: list[tuple[Variable, ...]] = []
    pending: list[tuple[Variable, ...]] = [(v,) for v in reversed(loops_in(graph))]
    while pending:
        path = pending.pop()
        paths.append(path)
        pending += [(*path, v) for v in reversed(loops_in(path[-1].params[0]))]
    return paths


def counted_loops(path: Sequence[Variable]) -> list[int]:
    """Which loops of a path, by their places in it, count the steps: not one over chunks where the
    steps of the next one have numbers that go on from chunk to chunk."""
    layouts = [Loop(scan).layout for scan in path]
    goes_on = [*(layout.is_numbered for layout in layouts[1:]), False]
    return [i for i, layout in enumerate(layouts) if not (layout.is_over_chunks and goes_on[i])]


def symbol_labels(loop: Loop) -> dict[Variable, str]:
    """What a step reads, in words: ``x[t]`` of a sequence, ``h[t-1]`` of a state."""
    labels: dict[Variable, str] = {}
    for i, reads in enumerate(loop.reads_by_sequence):
        for read in reads:
            labels[read.symbol] = f"{_sequence_label(read.sequence, i)}{_time(read.offset)}"
    for i, state in enumerate(loop.states):
        for tap, symbol in state.taps.items():
            labels[symbol] = f"{state.new.name or f'state {i}'}{_time(tap)}"
    for i, (symbol, outer) in enumerate(loop.fixed.items()):
        labels[symbol] = outer.name or _expression(outer) or f"fixed {i}{_of_named(outer)}"
    return labels


def _sequence_label(sequence: Variable, i: int) -> str:
    """The sequence's name; else its number, with what its rows were taken from if that is known."""
    if sequence.name:
        return sequence.name
    source = _source(sequence)
    if source.op is ITEM and is_scan(source.inputs[0]):
        results = Loop(source.inputs[0]).results
        if source.params[0] < len(results):
            value = results[source.params[0]].value
            words = provenance.name_of(value) or value.op.title_of(value.params)
            return f"sequence {i} ({words})"
    if source.name:
        return f"sequence {i} ({source.name})"
    return f"sequence {i}{_of_named(source)}"


def _expression(v: Variable) -> str | None:
    """A function of a variable that has a name, or the transpose of one."""
    name = v.inputs[0].name if len(v.inputs) == 1 else None
    if name and v.op.kind == "elementwise":
        return f"{v.op.title_of(v.params)}({name})"
    return f"{name}.T" if name and v.op is REARRANGE and v.params == ((1, 0),) else None


def _of_named(v: Variable) -> str:
    """What a value without a name is made of, as far as that has names."""
    names = ", ".join(name.strip("'") for name in provenance.named_sources(v))
    return f" (of {names})" if names else ""


def _source(v: Variable) -> Variable:
    """What was cut, turned round or put in another shape to make the variable."""
    while not v.name and v.op.kind == "movement" and v.inputs:
        first, *others = v.inputs
        if any(x.type.shape or x.dtype.kind != "i" for x in others):  # joined to others
            break
        v = first
    return v


def _time(offset: int) -> str:
    return f"[t{offset:+d}]" if offset else "[t]"

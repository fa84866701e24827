"""Looks at values, such as printing them: left out of programs, and kept in their order."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import provenance
from ..core.graph import Graph
from ..core.op import OPS
from ..core.variable import Variable, ancestors, item, make_input, node
from ..rewrite.engine import EVERY, Rule, RuleSet, sweep
from .composites import rewrite_composites
from .effects import IN_STEP
from .op import is_scan, make_alike, rebuild_alike
from .rewrites import rewrite_bodies

__all__ = ["in_order", "without_observers"]


def without_observers(graph: Graph) -> Graph:
    """The graph, loops included, that looks at nothing."""
    if not graph.has_observers:
        return graph
    names = tuple(op.name for op in OPS.values() if "observer" in op.traits)
    rules = RuleSet(Rule("leave looks out", names, EVERY, _looked_at))

    def bare(part: Graph) -> Graph:
        return rewrite_composites(sweep(part, rules, rebuild=rebuild_alike), bare)

    with provenance.without_lines():
        return rewrite_bodies(bare(graph), bare)


def _looks(v: Variable) -> bool:
    return "observer" in v.op.traits


def _looked_at(v: Variable) -> Variable:
    x = v.inputs[0]
    # It was made to depend on the step for the sake of the look.
    return x.inputs[0] if x.op is IN_STEP else x


def in_order(graph: Graph) -> Graph:
    """The graph in which each look needs the one that was written before it."""
    if not graph.has_observers:
        return graph
    with provenance.without_lines():
        return Graph(graph.inputs, _chained(graph, None))


def _chained(graph: Graph, first: Variable | None) -> list[Variable]:
    """The graph's outputs, where each look needs the one before it; the first one that variable."""
    new: dict[Variable, Variable] = {v: v for v in graph.inputs}
    before = first
    for v in _as_written(graph):
        if v in new:
            continue
        inputs = tuple([new[x] for x in v.inputs])
        if _looks(v):
            inputs = inputs if before is None else (*inputs, before)
            new[v] = before = node(v.op, inputs, v.params)
            provenance.take_place(v, before, last=False)
        elif is_scan(v) and v.params[0].has_observers:
            new[v] = _with_chained_body(v, inputs, before)
            before = item(new[v], 0)
        else:
            new[v] = v if inputs == v.inputs else rebuild_alike(v, inputs)
            if new[v] is not v:
                provenance.take_place(v, new[v], last=False)
    return [new[v] for v in graph.outputs]


def _with_chained_body(
    scan: Variable, inputs: Sequence[Variable], before: Variable | None
) -> Variable:
    """The loop whose first look needs what was before, which its steps get for this alone."""
    body: Graph = scan.params[0]
    if before is None:
        return make_alike(scan, inputs, body=Graph(body.inputs, _chained(body, None)).canonical())
    symbol = make_input(before.type)
    chained = Graph((*body.inputs, symbol), _chained(body, symbol)).canonical()
    parts = scan.params[1].parts(inputs)
    given = parts._replace(fixed=(*parts.fixed, before)).flat()
    return make_alike(scan, given, body=chained)


def _as_written(graph: Graph) -> list[Variable]:
    """The nodes, operands first, with the looks as they were written as far as this allows."""
    looks = [v for v in graph.nodes if _first_number(v) is not None]
    looks.sort(key=lambda v: (_first_number(v), v.serial))
    order: dict[Variable, None] = dict.fromkeys(graph.inputs)
    for v in looks:
        if v not in order:
            order |= dict.fromkeys(ancestors([v]))
    return list(order | dict.fromkeys(graph.nodes))


def _first_number(v: Variable) -> int | None:
    """The number of a look, or of the first one in a loop; None where there is none."""
    if _looks(v):
        return v.params[v.op.params.index("number")]
    numbers = [
        number
        for part in v.params
        if isinstance(part, Graph) and part.has_observers
        for number in map(_first_number, part.nodes)
        if number is not None
    ]
    return min(numbers, default=None)

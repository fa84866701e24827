"""The passes of the compiler: from the graph as it was built to the one that a backend runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from ..backends.base import Target, keeps_checkpoints
from ..core import provenance
from ..core.errors import BackendError, explain
from ..core.graph import Graph
from ..core.op import Op
from ..core.origins import call_within, origins
from ..core.provenance import without_lines
from ..core.variable import Variable
from ..ops import expansions  # noqa: F401 (attaches rules for what a backend lacks)
from ..rewrite.engine import EVERY, Rule, RuleSet, sweep
from ..rewrite.places import compute_at_places
from ..rewrite.simplify import SIMPLIFY
from ..rewrite.specialise import SPECIALISE
from ..rewrite.stabilise import STABILISE
from ..rewrite.unify import with_united_sizes, with_united_sizes_of_body
from ..scan.composites import with_open_composites
from ..scan.first_rows import run_first_steps
from ..scan.observers import in_order
from ..scan.op import rebuild_alike
from ..scan.paths import with_bodies
from ..scan.regroup import with_groups
from ..scan.rewrites import rewrite_bodies, rewrite_loops
from ..scan.room import settle_rooms
from ..scan.settle import settle_checkpoints
from ..scan.side_by_side import run_side_by_side
from .origins import origins_of
from .report import PassRow, count_nodes

__all__ = ["PASSES", "Hits", "Pass", "all_passes", "expand", "rewrite"]

Hits = Counter[str]
Pass = Callable[[Graph, Target, Hits], Graph]


def _apply(rules: RuleSet) -> Pass:
    """A pass that applies rules to the graph outside its loops."""
    return lambda graph, _, hits: sweep(graph, rules, hits, rebuild=rebuild_alike)


def _apply_in_loops(rules: RuleSet) -> Pass:
    """A pass that applies rules to loop bodies, and takes out of loops what need not be there."""

    def run(graph: Graph, target: Target, hits: Hits) -> Graph:
        def rewrite_body(body: Graph) -> Graph:
            body = sweep(body, rules, hits, rebuild=rebuild_alike)
            small = _what_is_read(body)
            return body if small is body else sweep(small, rules, hits, rebuild=rebuild_alike)

        return rewrite_loops(
            graph,
            partial(with_united_sizes_of_body, rewrite=rewrite_body),
            steps_are_cheap=target.steps_are_cheap,
        )

    return run


def _settle_and_simplify(graph: Graph, target: Target, hits: Hits) -> Graph:
    return _apply(SIMPLIFY)(_settle(graph, target), target, hits)


def _stabilise(graph: Graph, target: Target, hits: Hits) -> Graph:
    # In this order: stable forms are seen in whole arrays.
    return _what_is_read(_apply(SIMPLIFY + STABILISE)(graph, target, hits))


def _what_is_read(graph: Graph) -> Graph:
    """The graph without the places and the last steps of loops that nobody reads."""
    return run_first_steps(compute_at_places(graph, rebuild_alike), rebuild_alike)


def _settle(graph: Graph, target: Target) -> Graph:
    return settle_checkpoints(graph, are_kept=keeps_checkpoints(target))


_in_loops = _apply_in_loops(SIMPLIFY + STABILISE + SPECIALISE)


def _rewrite_loops(graph: Graph, target: Target, hits: Hits) -> Graph:
    graph = _in_loops(graph, target, hits)
    settled = settle_rooms(graph)
    if settled is graph:
        return graph
    return rewrite_bodies(settled, lambda body: _apply(SIMPLIFY)(body, target, hits))


PASSES: tuple[tuple[str, Pass], ...] = (
    ("simplify", _settle_and_simplify),
    ("stabilise", _stabilise),
    ("loops", _rewrite_loops),
    ("specialise", _apply(SIMPLIFY + STABILISE + SPECIALISE)),
)


def all_passes() -> tuple[tuple[str, Pass], ...]:
    """The passes by name, in order; the last one is for what the backend cannot run."""
    return (*PASSES, ("expand", expand))


def rewrite(
    graph: Graph, target: Target, *, of_steps: bool = False, keeps_steps: bool = False
) -> tuple[Graph, list[PassRow]]:
    """The graph after all passes, in terms that the target runs; and what each pass did.

    ``of_steps``: see `with_united_sizes`. ``keeps_steps``: for who names the steps in which values
    arise, even where other ones would be faster. It begins without composites: what goes out as it
    is keeps them through passes of its choice.
    """
    rows: list[PassRow] = []

    def run_passes(graph: Graph) -> Graph:
        rows.clear()
        if not (target.steps_are_cheap or keeps_steps):
            graph = with_groups(graph)
        for name, run in all_passes():
            graph = _run(name, run, graph, target, rows)
        return graph if keeps_steps else run_side_by_side(graph)

    def run_all() -> Graph:
        with without_lines():
            whole = with_open_composites(graph)
            return in_order(with_united_sizes(whole, run_passes, of_steps=of_steps))

    return call_within(origins() or origins_of(graph), run_all), rows


def _run(name: str, run: Pass, graph: Graph, target: Target, rows: list[PassRow]) -> Graph:
    """The graph after a pass; adds what the pass did to the rows."""
    nodes = rows[-1].nodes_after if rows else count_nodes(graph)
    start = time.perf_counter()
    hits: Hits = Counter()
    graph = run(graph, target, hits)
    seconds = time.perf_counter() - start
    rows.append(PassRow(name, seconds, nodes, count_nodes(graph), start, dict(hits)))
    return graph


def expand(graph: Graph, target: Target, hits: Hits) -> Graph:
    """The graph with ops that the target does not know in terms of those that it knows."""
    while unknown := _unknown(graph, target):
        previous, rules = graph, RuleSet(*(_expansion(op) for op in unknown if op.expand))

        def expand_part(part: Graph, rules: RuleSet = rules) -> Graph:
            return sweep(part, rules, hits, rebuild=rebuild_alike)

        graph = rewrite_bodies(expand_part(graph), expand_part)
        if graph is previous:
            names = ", ".join(sorted(op.name for op in unknown))
            raise BackendError(
                explain(
                    f"backend {target.name!r} cannot run {names}, nor expand it",
                    line=_line_of(unknown.values()),
                    remedy="Give the op a rule `expand`, or the backend a lowering.",
                )
            )
    return graph


def _line_of(nodes: Iterable[Variable]) -> str | None:
    """The user's line of one of these nodes, or else the one that compiles."""
    lines = map(provenance.nearest_line, nodes)
    return next((line for line in lines if line), None) or provenance.user_line()


def _expansion(op: Op) -> Rule:
    return Rule(f"expand {op.name}", (op.name,), EVERY, partial(_expanded, op))


def _expanded(op: Op, v: Variable) -> Variable | None:
    # An op of a user's may share its name with one that it has taken the place of.
    return op.expand(v) if v.op is op and op.expand is not None else None


def _unknown(graph: Graph, target: Target) -> dict[Op, Variable]:
    """The ops of the graph and its loop bodies that the target does not know, with a node each."""
    nodes: dict[Op, Variable] = {}
    for part in with_bodies(graph):
        for v in part.nodes:
            nodes.setdefault(v.op, v)
    return {
        op: v
        for op, v in nodes.items()
        if not target.has_lowering(op) and "leaf" not in op.traits  # which nobody computes
    }

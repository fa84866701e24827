"""The passes of the compiler: from the graph as it was built to the one that a backend runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from ..backends.base import Target
from ..core.errors import BackendError
from ..core.graph import Graph
from ..core.op import Op
from ..core.provenance import without_lines
from ..core.variable import Variable
from ..ops import expansions  # noqa: F401 (attaches rules for what a backend lacks)
from ..rewrite.engine import EVERY, Rule, RuleSet, sweep
from ..rewrite.simplify import SIMPLIFY
from ..rewrite.specialise import SPECIALISE
from ..rewrite.stabilise import STABILISE
from ..scan.composites import with_open_composites
from ..scan.observers import in_order
from ..scan.op import rebuild_alike
from ..scan.rewrites import rewrite_bodies, rewrite_loops, settle_checkpoints
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
            return sweep(body, rules, hits, rebuild=rebuild_alike)

        return rewrite_loops(graph, rewrite_body, steps_are_cheap=target.steps_are_cheap)

    return run


def _settle_and_simplify(graph: Graph, target: Target, hits: Hits) -> Graph:
    return _apply(SIMPLIFY)(settle_checkpoints(graph), target, hits)


PASSES: tuple[tuple[str, Pass], ...] = (
    ("simplify", _settle_and_simplify),
    ("stabilise", _apply(SIMPLIFY + STABILISE)),
    ("loops", _apply_in_loops(SIMPLIFY + STABILISE + SPECIALISE)),
    ("specialise", _apply(SIMPLIFY + STABILISE + SPECIALISE)),
)


def all_passes() -> tuple[tuple[str, Pass], ...]:
    """The passes by name, in order; the last one is for what the backend cannot run."""
    return (*PASSES, ("expand", expand))


def rewrite(graph: Graph, target: Target) -> tuple[Graph, list[PassRow]]:
    """The graph after all passes, in terms that the target runs; and what each pass did.

    It begins without composites: what goes out as it is keeps them through passes of its choice.
    """
    with without_lines():
        graph = with_open_composites(graph)
    rows: list[PassRow] = []
    nodes = count_nodes(graph)
    for name, run in all_passes():
        start = time.perf_counter()
        hits: Hits = Counter()
        with without_lines():
            graph = run(graph, target, hits)
        seconds = time.perf_counter() - start
        before, nodes = nodes, count_nodes(graph)
        rows.append(PassRow(name, seconds, before, nodes, start, dict(hits)))
    return in_order(graph), rows


def expand(graph: Graph, target: Target, hits: Hits) -> Graph:
    """The graph with ops that the target does not know in terms of those that it knows."""
    while rules := _expansions(graph, target):
        previous, ruleset = graph, RuleSet(*rules)

        def expand_part(part: Graph, rules: RuleSet = ruleset) -> Graph:
            return sweep(part, rules, hits, rebuild=rebuild_alike)

        graph = rewrite_bodies(expand_part(graph), expand_part)
        if graph is previous:
            names = ", ".join(rule.ops[0] for rule in rules)
            raise BackendError(f"backend {target.name!r} cannot run {names}, nor expand it")
    return graph


def _expanded(op: Op, v: Variable) -> Variable | None:
    # An op of a user's may share its name with one that it has taken the place of.
    return op.expand(v) if v.op is op and op.expand is not None else None


def _expansions(graph: Graph, target: Target) -> list[Rule]:
    """A rule for each op of the graph and its loop bodies that has to be expanded."""
    rules: dict[Op, Rule] = {}
    seen, pending = {graph}, [graph]
    while pending:
        for v in pending.pop().nodes:
            op = v.op
            if op not in rules and op.expand is not None and not target.has_lowering(op):
                rules[op] = Rule(f"expand {op.name}", (op.name,), EVERY, partial(_expanded, op))
            for part in v.params:
                if isinstance(part, Graph) and part not in seen:
                    seen.add(part)
                    pending.append(part)
    return list(rules.values())

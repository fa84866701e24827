"""The passes from the graph as it was built to the one that is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as with_fields
from functools import partial

from ...backends.base import Target
from ...compile.pipeline import expand
from ...core.graph import Graph
from ...core.op import Op
from ...core.provenance import without_lines
from ...core.variable import Variable, ancestors, node
from ...ops import expansions  # noqa: F401 (attaches rules for what has no rule here)
from ...ops.composite import COMPOSITE, body_of, is_composite
from ...rewrite.engine import Rule, RuleSet, sweep
from ...rewrite.simplify import SIMPLIFY
from ...rewrite.stabilise import STABILISE
from ...scan.op import rebuild_alike
from ...scan.rewrites import rewrite_bodies, rewrite_loops
from ...scan.room import settle_rooms
from ...scan.settle import settle_checkpoints
from . import write_tables  # noqa: F401 (the rules)
from .fused import fuse_layers
from .rebuild import rebuild_into
from .shortcuts import TEMPLATES, join_products
from .weights import Fold, FoldingInBody, KeepAll
from .whole import find_whole_ops
from .whole_products import WHOLE_PRODUCTS
from .writer import rule_for

__all__ = ["ONNX", "Options", "rewritten"]

Pass = Callable[[Graph], Graph]


@dataclass(frozen=True)
class Options:
    """What the user wants of the model."""

    opset: int
    fused: bool = True
    """Whether recurrent layers go out as ONNX's own ops."""
    lowered: frozenset[str] = frozenset()
    """What the user says in terms of other ops: names of ops and functions."""


class _Onnx(Target):
    """What ONNX has ops for; all steps of a loop at once cost less than each for itself."""

    name = "onnx"

    def has_lowering(self, op: Op) -> bool:
        """Whether the op is written as it is, or is refused when it comes to that."""
        return rule_for(op) is not None or op.expand is None


ONNX = _Onnx()


def rewritten(graph: Graph, fold: Fold, *, options: Options) -> Graph:
    """The graph after all passes, in terms of ops that are written.

    Recurrent layers are found first, since the passes take products out of loops; ``fold`` makes
    constants of their weights where it knows these. Composites stay, with bodies rewritten alike.
    """
    with without_lines():
        if options.fused:
            graph = fuse_layers(graph, fold)
        graph = find_whole_ops(graph, options.opset, options.lowered)
        for run in _passes(options.lowered):
            graph = run(graph)
        graph = rewrite_bodies(graph, lambda body: _with_bodies(body, KeepAll(), options=options))
        return _with_bodies(graph, fold, options=options)


def _with_bodies(graph: Graph, fold: Fold, *, options: Options) -> Graph:
    """The graph with the bodies of composites rewritten, and what they know taken out of them."""
    if not any(map(is_composite, graph.nodes)):
        return graph
    new: dict[Variable, Variable] = {v: v for v in graph.inputs}
    for v in filter(is_composite, graph.nodes):
        rebuild_into(v.inputs, new)
        body, inputs = body_of(v), [new[x] for x in v.inputs]
        inner = FoldingInBody(fold, dict(zip(body.inputs, inputs, strict=True)))
        body = rewritten(body, inner, options=options)
        title, read = v.params[0], set(body.nodes)
        names = (*title.inputs, *[""] * len(inner.more))
        ends = zip(body.inputs, (*inputs, *inner.more.values()), names, strict=True)
        given = {x: (outside, name) for x, outside, name in ends if x in read}
        title = with_fields(title, inputs=tuple(name for _, name in given.values()))
        body = Graph(list(given), body.outputs).canonical()
        new[v] = node(COMPOSITE, [outside for outside, _ in given.values()], (title, body))
    rebuild_into(graph.outputs, new)
    inputs = dict.fromkeys((*graph.inputs, *fold.more))
    return Graph(list(inputs), [new[v] for v in graph.outputs])


def _apply(rules: RuleSet) -> Pass:
    return lambda graph: sweep(graph, rules, rebuild=rebuild_alike)


def _apply_in_loops(rules: RuleSet) -> Pass:
    def run(graph: Graph) -> Graph:
        return rewrite_loops(graph, _apply(rules), steps_are_cheap=ONNX.steps_are_cheap)

    return run


def _multiply_whole(rules: RuleSet) -> Pass:
    """Products that were taken out of loops on the axes of what they multiply."""

    def run(graph: Graph) -> Graph:
        return rewrite_bodies(_apply(rules)(graph), _apply(rules))

    return run


def _expand(graph: Graph) -> Graph:
    return expand(graph, ONNX, Counter())


_FIRST, _ALL = SIMPLIFY + TEMPLATES, SIMPLIFY + STABILISE + TEMPLATES
_LAST = SIMPLIFY + WHOLE_PRODUCTS


def _passes(lowered: frozenset[str]) -> tuple[Pass, ...]:
    first, main, last = (
        _leaving(rules, lowered) if lowered else rules for rules in (_FIRST, _ALL, _LAST)
    )
    return (
        settle_checkpoints,
        _apply(first),
        _apply(main),
        _apply_in_loops(main),
        settle_rooms,
        _multiply_whole(last),
        _expand,
        join_products,
    )


def _leaving(rules: RuleSet, lowered: frozenset[str]) -> RuleSet:
    """The rules where they do not bring back the ops that the user says in terms of others."""

    def apply(each: Rule, v: Variable) -> Variable | None:
        made = each.apply(v)
        if made is None or made is v:
            return made
        new = ancestors([made], v.inputs)
        return None if any(x.op.name in lowered for x in new if x not in v.inputs) else made

    return RuleSet(*(with_fields(each, apply=partial(apply, each)) for each in rules))

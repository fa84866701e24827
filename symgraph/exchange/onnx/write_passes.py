"""The passes from the graph as it was built to the one that is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace as with_fields

from ...backends.base import Target
from ...compile.pipeline import expand
from ...core.graph import Graph
from ...core.op import Op
from ...core.provenance import without_lines
from ...core.variable import Variable, node
from ...ops import expansions  # noqa: F401 (attaches rules for what has no rule here)
from ...ops.composite import COMPOSITE, body_of, is_composite
from ...rewrite.engine import RuleSet, sweep
from ...rewrite.simplify import SIMPLIFY
from ...rewrite.stabilise import STABILISE
from ...scan.op import rebuild_alike
from ...scan.rewrites import rewrite_bodies, rewrite_loops, settle_checkpoints
from . import write_tables  # noqa: F401 (the rules)
from .fused import fuse_layers
from .rebuild import rebuild_into
from .shortcuts import TEMPLATES, join_products
from .weights import Fold, FoldingInBody, KeepAll
from .whole import find_whole_ops
from .whole_products import WHOLE_PRODUCTS
from .writer import rule_for

__all__ = ["ONNX", "rewritten"]

Pass = Callable[[Graph], Graph]


class _Onnx(Target):
    """What ONNX has ops for; all steps of a loop at once cost less than each for itself."""

    name = "onnx"

    def has_lowering(self, op: Op) -> bool:
        """Whether the op is written as it is, or is refused when it comes to that."""
        return rule_for(op) is not None or op.expand is None


ONNX = _Onnx()


def rewritten(graph: Graph, fold: Fold, *, fused: bool, opset: int) -> Graph:
    """The graph after all passes, in terms of ops that are written.

    Recurrent layers are found first, since the passes take products out of loops; ``fold`` makes
    constants of their weights where it knows these. Composites stay, with bodies rewritten alike.
    """
    with without_lines():
        if fused:
            graph = fuse_layers(graph, fold)
        graph = find_whole_ops(graph, opset)
        for run in _PASSES:
            graph = run(graph)
        graph = rewrite_bodies(
            graph, lambda body: _with_bodies(body, KeepAll(), fused=fused, opset=opset)
        )
        return _with_bodies(graph, fold, fused=fused, opset=opset)


def _with_bodies(graph: Graph, fold: Fold, *, fused: bool, opset: int) -> Graph:
    """The graph with the bodies of composites rewritten, and what they know taken out of them."""
    if not any(map(is_composite, graph.nodes)):
        return graph
    new: dict[Variable, Variable] = {v: v for v in graph.inputs}
    for v in filter(is_composite, graph.nodes):
        rebuild_into(v.inputs, new)
        body, inputs = body_of(v), [new[x] for x in v.inputs]
        inner = FoldingInBody(fold, dict(zip(body.inputs, inputs, strict=True)))
        body = rewritten(body, inner, fused=fused, opset=opset)
        title, read = v.params[0], set(body.nodes)
        names = (*title.inputs, *[""] * len(inner.more))
        ends = zip(body.inputs, (*inputs, *inner.more.values()), names, strict=True)
        given = {x: (outside, name) for x, outside, name in ends if x in read}
        title = with_fields(title, inputs=tuple(name for _, name in given.values()))
        body = Graph(list(given), body.outputs).canonical()
        new[v] = node(COMPOSITE, [outside for outside, _ in given.values()], (title, body))
    rebuild_into(graph.outputs, new)
    return Graph(graph.inputs, [new[v] for v in graph.outputs])


def _apply(rules: RuleSet) -> Pass:
    return lambda graph: sweep(graph, rules, rebuild=rebuild_alike)


def _rewrite_loops(graph: Graph) -> Graph:
    return rewrite_loops(
        graph, _apply(SIMPLIFY + STABILISE + TEMPLATES), steps_are_cheap=ONNX.steps_are_cheap
    )


def _multiply_whole(graph: Graph) -> Graph:
    """Products that were taken out of loops on the axes of what they multiply."""
    run = _apply(SIMPLIFY + WHOLE_PRODUCTS)
    return rewrite_bodies(run(graph), run)


def _expand(graph: Graph) -> Graph:
    return expand(graph, ONNX, Counter())


_PASSES: tuple[Pass, ...] = (
    settle_checkpoints,
    _apply(SIMPLIFY + TEMPLATES),
    _apply(SIMPLIFY + STABILISE + TEMPLATES),
    _rewrite_loops,
    _multiply_whole,
    _expand,
    join_products,
)

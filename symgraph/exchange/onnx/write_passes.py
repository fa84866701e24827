"""The passes from the graph as it was built to the one that is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ...backends.base import Target
from ...compile.pipeline import expand
from ...core.graph import Graph
from ...core.op import Op
from ...core.provenance import without_lines
from ...ops import expansions  # noqa: F401 (attaches rules for what has no rule here)
from ...rewrite.engine import RuleSet, sweep
from ...rewrite.simplify import SIMPLIFY
from ...rewrite.stabilise import STABILISE
from ...scan.composites import with_open_composites
from ...scan.op import rebuild_alike
from ...scan.rewrites import rewrite_loops, settle_checkpoints
from . import write_tables  # noqa: F401 (the rules)
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


def rewritten(graph: Graph) -> Graph:
    """The graph after all passes, in terms of ops that are written."""
    with without_lines():
        for run in _PASSES:
            graph = run(graph)
    return graph


def _apply(rules: RuleSet) -> Pass:
    return lambda graph: sweep(graph, rules, rebuild=rebuild_alike)


def _rewrite_loops(graph: Graph) -> Graph:
    return rewrite_loops(graph, _apply(SIMPLIFY + STABILISE), steps_are_cheap=ONNX.steps_are_cheap)


def _expand(graph: Graph) -> Graph:
    return expand(graph, ONNX, Counter())


_PASSES: tuple[Pass, ...] = (
    with_open_composites,
    settle_checkpoints,
    _apply(SIMPLIFY),
    _apply(SIMPLIFY + STABILISE),
    _rewrite_loops,
    _expand,
)

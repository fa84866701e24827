"""Which values may lie in memory otherwise than row after row, where rounding depends on that."""

from __future__ import annotations

from collections.abc import Collection

from ...core.graph import Graph
from ...core.variable import Variable
from ...ops.broadcast import REARRANGE

__all__ = ["laid_out_otherwise"]

# Ops whose results lie row after row, whatever their operands do.
_IN_ROWS = frozenset({"matmul", "reshape", "scan", "gather", "iota", "random_bits", "fold_in"})


def laid_out_otherwise(graph: Graph, given: Collection[Variable]) -> set[Variable]:
    """The variables of a graph that may not be laid out row after row.

    ``given`` are those among the inputs. A transposed array is one, what NumPy makes of it element
    by element too, and a part of an array has gaps.
    """
    found = set(given)
    turned = set(given)
    for v in graph.nodes:
        if v.op.name in _IN_ROWS or not v.inputs:
            continue
        if any(x in turned for x in v.inputs) or (v.op is REARRANGE and _permutes(v)):
            turned.add(v)
        if v in turned or "view" in v.op.traits:
            found.add(v)
    return {v for v in found if getattr(v, "ndim", 0) and v.inputs}


def _permutes(v: Variable) -> bool:
    kept = [axis for axis in v.params[0] if axis is not None]
    return kept != sorted(kept)

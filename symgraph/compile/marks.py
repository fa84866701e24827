"""Marks: what a graph computes beside its results to tell whether all its values are finite.

A mark is a sum of numbers that are 0, or NaN where a value is not finite. Marks are made in the
kernels that compute the values, and not of all values: sums, products and the like hand on what is
not finite, so that only where it might get lost has to be looked at.

Infinite constants are the user's own, such as those that a mask puts in the place of scores. Of
what may be infinite by them only NaN is marked, up to where a function makes it finite again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ..core import provenance
from ..core.graph import Graph
from ..core.types import TensorType, is_float
from ..core.variable import ITEM, Variable, constant_value, item, make_constant
from ..ops.elementwise import add
from ..ops.entry import elementwise
from ..ops.promotion import cast_to
from ..ops.reduce import sum as total_of
from ..scan.op import Loop, is_scan, make_alike, rebuild_alike

__all__ = ["is_computed", "with_mark"]

_FLOAT32 = np.dtype("float32")

# 0, or NaN where the value is not finite; and where it is NaN.
NOT_FINITE = elementwise("mark_not_finite", lambda m, x: m.subtract(x, x), operands="float")
NAN = elementwise("mark_nan", lambda m, x: m.select(m.isnan(x), x, 0.0), operands="float")

# fmt: off
# Ops of which the result is not finite wherever an operand is not.
_HAND_ON = frozenset((
    "absolute", "add", "add_slice", "broadcast_to", "concatenate", "cos", "cumsum", "log", "matmul",
    "multiply", "negative", "rearrange", "reshape", "scatter_add", "sin", "sqrt", "square",
    "stop_gradient", "subtract", "sum", "tan",
))
# Ops of which the result is finite where an operand is minus infinity; and where it is infinite.
_END_MINUS = frozenset(("clip", "exp", "exp2", "expm1", "logsumexp", "max", "maximum", "relu"))
_END_BOTH = frozenset(("arctan", "erf", "sigmoid", "softmax", "tanh"))
# fmt: on


def is_computed(v: Variable) -> bool:
    """Whether the variable is computed, and neither given nor moved nor chosen."""
    moves = v.op.kind == "movement" or v.op.name == "where" or v.op is ITEM
    return not (moves or "leaf" in v.op.traits)


def with_mark(graph: Graph) -> Graph:
    """The graph with one more output: 0 where all values are finite, else NaN."""
    with provenance.without_lines():
        marked, mark = _Marker(graph).marked(graph, frozenset(), is_body=False)
        return Graph(marked.inputs, (*marked.outputs, mark))


class _Marker:
    """Gives graphs marks; each distinct body once for each set of what may be infinite in it."""

    def __init__(self, graph: Graph) -> None:
        self._ends = _END_BOTH if _has_infinity(graph) else _END_BOTH | _END_MINUS
        self._bodies: dict[tuple[Graph, frozenset[Variable]], Graph] = {}

    def marked(
        self, graph: Graph, infinite: Collection[Variable], *, is_body: bool
    ) -> tuple[Graph, Variable]:
        """The graph in which loops have marks, and the mark of everything in it.

        ``infinite`` are the inputs that may be infinite by the user's own constants.
        """
        own = self._infinite(graph, infinite)
        new: dict[Variable, Variable] = {v: v for v in graph.inputs}
        marks: list[Variable] = []
        for v in graph.nodes:
            inputs = tuple([new[x] for x in v.inputs]) if v not in new else ()
            if is_scan(v):
                new[v], trace = self._marked_loop(v, inputs, self._inside(v, own))
                # The mark stands before them.
                new |= zip(Loop(v).checkpoints, Loop(new[v]).checkpoints, strict=True)
                marks.append(total_of(trace))
            elif v not in new:
                new[v] = v if inputs == v.inputs else rebuild_alike(v, inputs)
        for v in _where_it_is_lost(graph):
            if not (is_body and "leaf" in v.op.traits):
                op = NAN if v in own else NOT_FINITE
                marks.append(cast_to(total_of(op(new[v])), _FLOAT32))
        total: Variable = make_constant(np.zeros((), _FLOAT32))
        for mark in marks:
            total = add(total, mark)
        return Graph(graph.inputs, [new[v] for v in graph.outputs]), total

    def _marked_loop(
        self, scan: Variable, inputs: Sequence[Variable], infinite: frozenset[Variable]
    ) -> tuple[Variable, Variable]:
        """The loop with a trace of marks, and that trace."""
        loop = Loop(scan)
        body, n = loop.body, len(loop.results)
        key = body, infinite
        if key not in self._bodies:
            marked, mark = self.marked(body, infinite, is_body=True)
            outputs = (*marked.outputs[:n], mark, *marked.outputs[n:])
            self._bodies[key] = Graph(body.inputs, outputs).canonical()
        made = make_alike(scan, inputs, body=self._bodies[key])
        return made, item(made, n)

    def _infinite(self, graph: Graph, given: Collection[Variable]) -> set[Variable]:
        """What may be infinite because a constant is, or what is given."""
        own = set(given)
        for v in graph.nodes:
            value = constant_value(v)
            if value is not None:
                is_own = value.dtype.kind == "f" and bool(np.isinf(value).any())
            elif is_scan(v):
                body = v.params[0]
                is_own = not own.isdisjoint(v.inputs) or _has_infinity(body, of_any_sign=True)
                is_own = is_own and not self._infinite(body, self._inside(v, own)).isdisjoint(
                    body.outputs
                )
            else:
                is_own = v.op.name not in self._ends and not own.isdisjoint(v.inputs)
            if is_own:
                own.add(v)
        return own

    def _inside(self, scan: Variable, own: set[Variable]) -> frozenset[Variable]:
        """The symbols of a loop's body that may be infinite, where those outside may be."""
        loop = Loop(scan)
        pairs = zip(loop.body.inputs, loop.operands, strict=True)
        symbols = {symbol for symbol, outer in pairs if outer in own}
        while True:
            inner = self._infinite(loop.body, symbols)
            later = {
                symbol for s in loop.states if s.new in inner for symbol in s.taps.values()
            } - symbols
            if not later:
                return frozenset(symbols)
            symbols |= later


def _has_infinity(graph: Graph, *, of_any_sign: bool = False) -> bool:
    """Whether there is an infinite constant in the graph or in a loop's body; a positive one."""
    for v in graph.nodes:
        value = constant_value(v)
        if value is not None and value.dtype.kind == "f":
            found = np.isinf(value) if of_any_sign else np.isposinf(value)
            if found.any():
                return True
        if any(
            isinstance(p, Graph) and _has_infinity(p, of_any_sign=of_any_sign) for p in v.params
        ):
            return True
    return False


def _where_it_is_lost(graph: Graph) -> list[Variable]:
    """The floats that are given or computed, and that nothing is made of which is marked for it."""
    safe: set[Variable] = set()
    lost: list[Variable] = []
    for v in reversed(graph.nodes):
        if not isinstance(v.type, TensorType) or not is_float(v.dtype):
            continue
        if constant_value(v) is not None:
            continue
        if v not in safe and (is_computed(v) or "leaf" in v.op.traits):
            safe.add(v)
            lost.append(v)
        if v in safe and v.op.name in _HAND_ON:
            safe.update(v.inputs)
    return lost

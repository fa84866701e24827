"""The reference with somebody who looks at each value as it is computed, and knows where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from ..core.graph import Graph
from ..core.variable import Variable
from ..scan.op import SCAN, Loop
from .numpy import NumpyExecutable, Planner
from .plan import Call, Plan

__all__ = ["Look", "Place", "looking"]

Place: TypeAlias = tuple[tuple[Variable, int], ...]
"""Where a run is: the loops around it, from the outermost on, each with the number of its step."""

Look: TypeAlias = Callable[[Variable, Sequence[Any], Any, Place], None]
"""What is called with a node, the values of its operands, its own value, and the place."""


def looking(graph: Graph, look: Look, *, checks: bool = False) -> NumpyExecutable:
    """The graph as an executable, for one thread, that shows each value as it is computed.

    Those in loops too, where the symbols of what a step reads come first; a loop itself is shown
    when it is over. What is raised by ``look`` and derives from BaseException alone ends the run.
    The user's own looks do nothing, but with ``checks`` those that hold a value to a condition.
    """
    return NumpyExecutable(_LookingPlanner(look, checks=checks), graph)


class _LookingPlanner(Planner):
    """Makes plans that show values."""

    def __init__(self, look: Look, *, checks: bool) -> None:
        super().__init__()
        self._look, self._checks = look, checks
        self._loops: list[tuple[Variable, int]] = []

    def plan(self, graph: Graph, depth: int = 0) -> Plan:
        """The plan of a graph; that of a body shows what each step reads."""
        make_call = partial(self.call, depth=depth)
        return _LookingPlan(graph, make_call, self._begin_step) if depth else Plan(graph, make_call)

    def _begin_step(self, graph: Graph, values: Sequence[Any]) -> None:
        scan, step = self._loops[-1]
        self._loops[-1] = scan, step + 1
        for symbol, value in zip(graph.inputs, values, strict=True):
            self._look(symbol, (), value, tuple(self._loops))

    def call(self, v: Variable, depth: int) -> Call:
        """What computes a node and shows it."""
        if "observer" in v.op.traits and not (self._checks and "check" in v.op.traits):
            return lambda x, *_: x
        call = super().call(v, depth)

        def call_and_show(*operands: Any) -> Any:
            result = call(*operands)
            self._look(v, operands, result, tuple(self._loops))
            return result

        def run_and_show(*operands: Any) -> Any:
            first = Loop(v).layout.parts(operands).first
            self._loops.append((v, -1 if first is None else int(first) - 1))
            result = call(*operands)
            self._loops.pop()
            self._look(v, operands, result, tuple(self._loops))
            return result

        return run_and_show if v.op is SCAN else call_and_show


class _LookingPlan(Plan):
    """The plan of a body, which tells when a step begins."""

    def __init__(
        self,
        graph: Graph,
        make_call: Callable[[Variable], Call],
        begin: Callable[[Graph, Sequence[Any]], None],
    ) -> None:
        super().__init__(graph, make_call)
        self._graph, self._begin = graph, begin

    def run(self, values: list[Any]) -> None:
        """Tell that a step begins; fill the slots."""
        self._begin(self._graph, values[: self.n_inputs])
        super().run(values)

"""The reference backend: every node evaluated in order, by NumPy."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..core import provenance
from ..core.errors import TooLargeError, explain
from ..core.graph import Graph
from ..core.op import Op
from ..core.processes import give_lock
from ..core.variable import CONSTANT, Variable
from ..scan.op import SCAN
from .base import Backend, Executable
from .numpy_rounding import Rounding
from .numpy_scan import NumpyLoop, few_rows
from .plan import Call, Plan, ProfiledPlan, call_of
from .profile import Log, Profile, record
from .too_large import array_text

__all__ = ["BACKEND", "NumpyBackend", "NumpyExecutable", "Planner", "reference_call"]


class NumpyBackend(Backend):
    """Runs every op that has an ``evaluate`` rule, and loops."""

    name = "numpy"
    keeps_checkpoints = True

    def has_lowering(self, op: Op) -> bool:
        """Whether the op can be evaluated."""
        return op.evaluate is not None or op.formula is not None or op is SCAN

    def prepare(self, graph: Graph, *, threads: int = 1, profile: bool = False) -> NumpyExecutable:
        """The graph as a list of steps; threads are NumPy's own affair."""
        planner = Planner(Profile()) if profile else Planner(each_step=False)
        return NumpyExecutable(planner, graph)

    def prepare_rounding(self, graph: Graph, seed: int = 0) -> NumpyExecutable:
        """The graph as an executable whose every call rounds otherwise; for one thread."""
        return NumpyExecutable(Planner(around=Rounding(seed).around), graph)

    def prepare_measuring(self, graph: Graph, n_bytes: Counter[Variable]) -> NumpyExecutable:
        """The graph as an executable that adds up how many bytes each node computes.

        Those of bodies too, over all steps; loops themselves and what is given are not counted.
        """

        def measured(v: Variable, call: Call) -> Call:
            def call_and_count(*operands: Any) -> Any:
                result = call(*operands)
                n_bytes[v] += getattr(result, "nbytes", 0)
                return result

            return call_and_count

        return NumpyExecutable(Planner(around=measured), graph)


class Planner:
    """Makes plans: one for each distinct body, however often it is looped over.

    ``around``
        From a node and what computes it to what is called in its place; loops are left alone.
    ``each_step``
        Whether bodies are run for each step, for who watches them or counts.
    """

    def __init__(
        self,
        profile: Profile | None = None,
        around: Callable[[Variable, Call], Call] = lambda v, call: call,
        *,
        each_step: bool = True,
    ) -> None:
        self.profile, self.log = profile, Log()
        self._around, self._each_step = around, each_step
        self.bodies: dict[Graph, Plan] = {}
        self.few_rows: dict[Variable, Mapping[int, int]] = {}
        """For each loop met so far how many last rows of its states are kept, where not all are."""
        self.kernels: list[tuple[Any, ...]] = []

    def plan(self, graph: Graph, depth: int = 0) -> Plan:
        """The plan of a graph at this depth of loops."""
        self.few_rows.update(few_rows(graph))
        if self.profile is None:
            return Plan(graph, lambda v: self.call(v, depth))
        return ProfiledPlan(graph, lambda v: self.call(v, depth), self.profile, self.log, depth)

    def call(self, v: Variable, depth: int) -> Call:
        """What computes a node at this depth of loops."""
        self.kernels.append((v.op, v.params, tuple(x.type for x in v.inputs)))
        if v.op is not SCAN:
            return self._around(v, call_of(v))
        body: Graph = v.params[0]
        if body not in self.bodies:
            self.bodies[body] = self.plan(body, depth + 1)
        few_rows = self.few_rows.get(v, {})
        return NumpyLoop(v, self.bodies[body], few_rows, each_step=self._each_step)


def reference_call(v: Variable) -> Call:
    """What computes the node, a loop too, from the values of its inputs."""
    return Planner().call(v, 0)


class NumpyExecutable(Executable):
    """A graph that NumPy evaluates node by node."""

    _lock: Any

    def __init__(self, planner: Planner, graph: Graph) -> None:
        started = time.perf_counter()
        self.profile, self._log = planner.profile, planner.log
        self._plan = planner.plan(graph)
        self.seconds = {"plan": time.perf_counter() - started}
        self.kernels = len(planner.kernels)
        self.distinct_kernels = len(set(planner.kernels))
        self._outputs = graph.outputs
        self._constants = {id(v.params[0].array) for v in graph.nodes if v.op is CONSTANT}
        if self.profile is not None:
            give_lock(self)

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The graph's outputs for these inputs."""
        if self.profile is None:
            return self._run(arrays)
        with self._lock:  # the rows of a profile are counted by one thread at a time
            self._log.clear()
            start = time.perf_counter()
            try:
                results = self._run(arrays)
            finally:
                self.profile.calls.append((start, time.perf_counter() - start))
            record(self.profile, self._log.marks())
        return results

    def _run(self, arrays: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        plan = self._plan
        values = plan.slots(arrays)
        with np.errstate(all="ignore"):
            plan.run(values)
        taken = self._constants.union(map(id, arrays))
        results = []
        for v, slot in zip(self._outputs, plan.outputs, strict=True):
            value = values[slot]
            if not isinstance(value, np.ndarray):
                value = np.asarray(value)  # of no dimensions: ufuncs give NumPy scalars
            elif value.base is not None or id(value) in taken or not value.flags.c_contiguous:
                value = _copied(value, v)
            taken.add(id(value))
            results.append(value)
        return results


def _copied(result: np.ndarray, v: Variable) -> np.ndarray:
    try:
        return np.array(result, order="C")
    except MemoryError as error:
        text = f"no memory is left for a result: {array_text(result.shape, result.dtype)}"
        raise TooLargeError(explain(text, line=provenance.nearest_line(v))) from error


BACKEND = NumpyBackend()

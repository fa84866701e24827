"""Backends with a fault planted in them, for tests of what notices faults."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from symgraph.backends.base import BACKENDS, Backend, load_backend
from symgraph.backends.numpy import NumpyExecutable, Planner
from symgraph.core.graph import Graph, rebuild
from symgraph.core.variable import Variable
from symgraph.scan.op import is_scan, rebuild_alike
from symgraph.scan.rewrites import rewrite_bodies

# Whether a node of a graph is changed.
Predicate = Callable[[Variable, Graph], bool]


def plant(monkeypatch: pytest.MonkeyPatch, backend: Any) -> str:
    """The name under which `compile` finds the backend during this test."""
    module = ModuleType(f"planted_{id(backend)}")
    module.BACKEND = backend  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(BACKENDS, "faulty", module.__name__)
    return "faulty"


class Faulty:
    """A backend that runs another one on a graph with some nodes changed."""

    name = "faulty"
    programs = None

    def __init__(
        self,
        inner: str,
        where_to: Predicate,
        change: Callable[[Variable], Variable],
        *,
        where: str = "everywhere",
    ) -> None:
        self.inner: Backend = load_backend(inner)
        self.where_to, self.change, self.where = where_to, change, where
        self.steps_are_cheap = self.inner.steps_are_cheap
        self.has_lowering = self.inner.has_lowering

    def prepare(self, graph: Graph, *, threads: int = 1, profile: bool = False) -> Any:
        changed = graph
        if self.where != "loops":
            changed = self._changed(changed)
        if self.where != "outside":
            changed = rewrite_bodies(changed, self._changed)
        return self.inner.prepare(changed, threads=threads, profile=profile)

    def _changed(self, graph: Graph) -> Graph:
        new: dict[Variable, Variable] = {v: v for v in graph.inputs}
        for v in graph.nodes:
            if v in new:
                continue
            inputs = [new[x] for x in v.inputs]
            made = rebuild_alike(v, inputs) if is_scan(v) else rebuild(v, inputs)
            new[v] = self.change(made) if self.where_to(v, graph) else made
        return Graph(graph.inputs, [new[v] for v in graph.outputs])


class Miscounting:
    """The reference with what one op gives in one run of its node of a loop multiplied by 1.01."""

    name = "faulty"
    programs = None
    steps_are_cheap = False

    def __init__(self, op: str, step: int, factor: float = 1.01) -> None:
        self.has_lowering = load_backend("numpy").has_lowering
        self.op, self.step, self.factor = op, step, factor

    def prepare(self, graph: Graph, *, threads: int = 1, profile: bool = False) -> Any:
        def around(v: Variable, call: Callable[..., Any]) -> Callable[..., Any]:
            if v.op.name != self.op:
                return call
            runs = iter(range(10**9))

            def call_once_wrong(*operands: Any) -> Any:
                result = call(*operands)
                wrong = next(runs) == self.step
                return result * result.dtype.type(self.factor if wrong else 1)

            return call_once_wrong

        return NumpyExecutable(Planner(around=around), graph)

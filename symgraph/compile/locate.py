"""The first wrong value of a program: which operation, in which step of which loop.

A place to search is a graph, or the body of one loop of it while the loop runs. There all nodes are
made outputs and are compared with the reference's, in the order of execution. A fault that is not
there when all are outputs, because other code is made then, is followed from a wrong result to
what that is made of, a node at a time. A loop's result that is the first wrong value leads into the
loop, and so on inwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..core.graph import Graph
from ..core.types import TensorType
from ..core.variable import ITEM, PARAMETER, Variable
from ..scan.op import Loop, is_scan, make_alike
from ..scan.step_sizes import atoms_of, is_made_of
from .rounding import RUNS_TO_SEARCH, Difference, Suspect, compare, measure, reference

__all__ = ["Fault", "is_value", "locate"]

# How much the values may take that are looked at together; to compare them takes several times as
# much.
_BYTES = 2**26


@dataclass(frozen=True)
class Fault:
    """A wrong value, and where it is computed."""

    node: Variable
    """The operation: a loop itself where it hands on values that its body did not compute."""
    difference: Difference
    loops: tuple[tuple[Variable, int], ...]
    """The loops around it from the outermost on, each with the number of the step."""


@dataclass(frozen=True)
class _Candidate:
    """A wrong value of a place; candidates are in the order of execution."""

    row: int
    order: int
    node: Variable
    difference: Difference

    def when(self) -> tuple[int, int]:
        """When it is computed, to be compared with others."""
        return self.row, self.order


class _Place(Protocol):
    """Where to search."""

    nodes: list[Variable]
    """What is computed there, in the order of execution."""
    sizes: Mapping[Variable, int]
    """How many bytes the nodes compute."""

    def wrong_among(self, nodes: Sequence[Variable]) -> list[_Candidate]:
        """The wrong values of these nodes, and of the results, when the nodes are outputs too."""
        ...


def locate(graph: Graph, arrays: Sequence[np.ndarray], suspect: Suspect) -> Fault | None:
    """The first wrong value that the suspect computes for these inputs; None if none is found."""
    wrong = _first_wrong(_Whole(graph, arrays, suspect))
    loops: list[tuple[Variable, int]] = []
    while wrong is not None and wrong.node.op is ITEM and is_scan(wrong.node.inputs[0]):
        scan, number = wrong.node.inputs[0], wrong.node.params[0]
        place = _Inside(graph, arrays, suspect, scan)
        wrong = _first_wrong(place) or place.by_rows(number, wrong)
        loops.append((scan, place.first + wrong.row))
        if wrong.node.op is PARAMETER:  # what a step reads is not what it should be
            wrong = replace(wrong, node=scan)
        if wrong.node is scan:
            break
        graph, arrays = place.step(wrong.row)
        if place.has_ragged:  # the step by itself shows what has no trace
            wrong = _first_wrong(_Whole(graph, arrays, suspect)) or wrong
    return None if wrong is None else Fault(wrong.node, wrong.difference, tuple(loops))


def _first_wrong(place: _Place) -> _Candidate | None:
    """The first wrong value, with all nodes as outputs or else by a walk down from a result."""
    by_part = [_try(place, nodes) for nodes in _in_parts(place.nodes, place.sizes)]
    wrong = min(filter(None, by_part), key=_Candidate.when, default=None)
    if wrong is not None:
        return wrong
    below = _try(place, [])
    known = set(place.nodes)
    while below is not None:
        wrong = below
        inputs = [x for x in wrong.node.inputs if x in known]
        below = _try(place, inputs) if inputs else None
        if below is not None and (below.node not in inputs or below.when() > wrong.when()):
            below = None
    return wrong


def _in_parts(nodes: Sequence[Variable], sizes: Mapping[Variable, int]) -> list[list[Variable]]:
    """The nodes in parts whose values together take no more memory than is reasonable."""
    parts: list[list[Variable]] = [[]]
    total = 0
    for v in nodes:
        total += sizes[v]
        if total > _BYTES and parts[-1]:
            parts.append([])
            total = sizes[v]
        parts[-1].append(v)
    return parts


def _try(place: _Place, nodes: Sequence[Variable]) -> _Candidate | None:
    """The first wrong value with these nodes as outputs; None too if that cannot be run."""
    try:
        candidates = place.wrong_among(nodes)
    except Exception:  # a program that only this search makes; what was found so far stands
        return None
    return min(candidates, key=_Candidate.when, default=None)


def is_value(v: Variable) -> bool:
    """Whether a node computes one array."""
    return isinstance(v.type, TensorType) and "leaf" not in v.op.traits


class _Whole:
    """A graph."""

    def __init__(self, graph: Graph, arrays: Sequence[np.ndarray], suspect: Suspect) -> None:
        self._graph, self._arrays, self._suspect = graph, arrays, suspect
        self.nodes = [v for v in graph.nodes if is_value(v)]
        self.sizes = measure(graph, arrays)

    def wrong_among(self, nodes: Sequence[Variable]) -> list[_Candidate]:
        """The wrong values of these nodes and of the outputs."""
        values = list(dict.fromkeys([*nodes, *self._graph.outputs]))
        probe = Graph(self._graph.inputs, values)
        differences = compare(probe, self._arrays, self._suspect, runs=RUNS_TO_SEARCH)
        return [
            _Candidate(0, v.serial, v, difference)
            for v, difference in zip(values, differences, strict=True)
            if difference
        ]


class _Inside:
    """The body of a loop while it runs, step by step."""

    def __init__(
        self, graph: Graph, arrays: Sequence[np.ndarray], suspect: Suspect, scan: Variable
    ) -> None:
        self._graph, self._arrays, self._suspect = graph, arrays, suspect
        self._scan, self._loop = scan, Loop(scan)
        body = self._loop.body
        read = set(body.nodes)
        outer = atoms_of(body.inputs)
        # What a step reads comes first; what has another size in each step has no trace.
        changing = [x for x in self._loop.changing if x in read]
        values = [v for v in body.nodes if is_value(v)]
        first = self._loop.first
        self.first = 0
        """The number of the first step."""
        if first is not None:
            self.first = int(reference(Graph(graph.inputs, [first]))(*arrays)[0])
        traced = [v for v in values if is_made_of(v.type.shape, outer)]
        self.has_ragged = len(traced) < len(values)
        self.nodes = [*changing, *traced]
        self.sizes = measure(graph, arrays)

    def wrong_among(self, nodes: Sequence[Variable]) -> list[_Candidate]:
        """The wrong values of these nodes of the body, and of the loop's results."""
        loop = self._loop
        ends = [result.value for result in loop.results]
        condition = () if loop.condition is None else (loop.condition,)
        body = Graph(loop.body.inputs, (*ends, *nodes, *condition)).canonical()
        probe = Loop(make_alike(self._scan, self._scan.inputs, body=body))
        depths = [result.depth for result in probe.results]
        graph = Graph(self._graph.inputs, [*probe.buffers, *probe.traces])
        differences = compare(graph, self._arrays, self._suspect, skip=depths, runs=RUNS_TO_SEARCH)
        # A result that is wrong where the node itself is right was not handed on as it should be.
        seen = set(nodes)
        values = [*(v if v not in seen else self._scan for v in ends), *nodes]
        order = {v: i for i, v in enumerate(self.nodes)}
        return [
            _Candidate(
                difference.first_row,
                order.get(v, len(order)),
                v,
                difference.row(difference.first_row),
            )
            for v, difference in zip(values, differences, strict=True)
            if difference
        ]

    def by_rows(self, number: int, wrong: _Candidate) -> _Candidate:
        """The first wrong row of a result, where nothing inside the loop is found to be wrong."""
        results, row = self._loop.results, wrong.difference.first_row
        if number >= len(results):
            every = self._loop.checkpoint_every
            step = row * every - 1 if isinstance(every, int) else 0
        else:
            step = row - results[number].depth
        return _Candidate(max(step, 0), 0, self._scan, wrong.difference.row(row))

    def step(self, index: int) -> tuple[Graph, list[np.ndarray]]:
        """The body, and what the reference gives it in this step."""
        loop = self._loop
        needed = [*(read.sequence for read in loop.reads), *loop.buffers, *loop.fixed.values()]
        values = iter(reference(Graph(self._graph.inputs, needed))(*self._arrays))
        rows = [next(values)[index + read.offset] for read in loop.reads]
        for state in loop.states:
            buffer = next(values)
            rows += [buffer[state.depth + index + tap] for tap in state.taps]
        return loop.body, [np.array(x, order="C") for x in (*rows, *values)]

"""Unrolled chains: equal steps that a Python loop wrote one after another, where a scan has one.

Candidates are found by colours: variables that look alike down to a few levels, of which each is
made of the one before. Then each step is held against the step before it, operation by operation:
they may differ in constants and in the places that they read of one array, but not in parameters,
so that layers with parameters of their own are no chain.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..core import provenance
from ..core.graph import Graph
from ..core.provenance import Line
from ..core.types import TupleType
from ..core.variable import CONSTANT, Variable, ancestors
from ..ops.slices import SLICE, At
from .paths import with_bodies

__all__ = ["LEAST", "Chain", "find_chains"]

LEAST = 8
"""From how many steps on they are a chain; such of elementwise operations alone from _MANY on."""
_MANY = 20
# How deep variables are compared before steps are, loosely first; and the largest step.
_LEVELS, _MOST_NODES = (0, 1, 2, 4), 500
# Of how many steps it may turn out that they differ.
_FAILURES = 2


class Chain(NamedTuple):
    """Equal steps, one after another."""

    ends: tuple[Variable, ...]
    """One variable of each step, the same in all, the first step first."""
    nodes: int
    """How many variables a step has of its own."""
    lines: tuple[Line, ...]
    """The user's lines that wrote a step; empty where they are not recorded."""
    source: Variable | None
    """The nearest thing that it is made of and of which a line is known, if none is of its own."""


class _Run(NamedTuple):
    """Equal steps in a row: an end of each, what is inside them, what they have in common."""

    ends: list[Variable]
    inside: set[Variable]
    fixed: set[Variable]
    counts: list[int]
    """How many variables each step has, but for the first."""


def find_chains(graph: Graph) -> list[Chain]:
    """The unrolled chains of the graph and of the bodies in it, gradients of chains left out."""
    return [chain for part in with_bodies(graph) for chain in _chains_of(part)]


def _chains_of(graph: Graph) -> list[Chain]:
    runs: list[_Run] = []
    run_of: dict[Variable, int] = {}
    for members in _alike(graph):
        known = next((run_of[v] for v in members if v in run_of), None)
        if known is not None and len(members) <= len(runs[known].ends):
            continue
        ranks = _ranks(graph, members)
        run = _equal_steps(_one_by_rank(members, ranks), ranks)
        if not _is_worth_a_loop(run):
            continue
        if known is None:
            known = len(runs)
            runs.append(run)
        elif len(run.ends) > len(runs[known].ends):
            # The same steps, told from each other at a better place, or at a worse one.
            run.counts.extend(runs[known].counts)
            runs[known] = run
        run_of |= dict.fromkeys(run.inside, known)
    return [
        Chain(tuple(run.ends), max(run.counts), *_origin_of(run))
        for run in _without_gradients(runs)
    ]


def _is_worth_a_loop(run: _Run) -> bool:
    """Whether the steps are many, or some, of which each is more than one kernel's work."""
    if len(run.ends) < _MANY:
        return len(run.ends) >= LEAST and any(v.op.kind != "elementwise" for v in run.inside)
    return True


def _without_gradients(runs: Sequence[_Run]) -> Iterator[_Run]:
    """The runs but for those whose parameters are another one's: of an earlier one, for they are a
    linear chain's gradient; or of a larger one, for they are a part of it."""
    leaves = [_leaves_of(run) for run in runs]
    for k, run in enumerate(runs):
        others = (other for i, other in enumerate(runs) if i != k and leaves[k] <= leaves[i])
        if not any(_comes_first(other, run, runs) for other in others):
            yield run


def _leaves_of(run: _Run) -> set[Variable]:
    return {v for v in ancestors([*run.fixed]) if not v.inputs and v.op is not CONSTANT}


def _comes_first(run: _Run, other: _Run, runs: Sequence[_Run]) -> bool:
    """Whether a run stands for another one of the same parameters."""
    if run.ends[-1].serial < other.ends[0].serial:
        return True
    if other.ends[-1].serial < run.ends[0].serial:
        return False
    sizes = [len(each.ends) * max(each.counts) for each in (run, other)]
    return sizes[0] > sizes[1] or (sizes[0] == sizes[1] and runs.index(run) < runs.index(other))


def _alike(graph: Graph) -> Iterator[list[Variable]]:
    """Variables in groups of those that look alike, in the order of the graph."""
    colours: dict[Variable, Hashable] = {v: _colour(v) for v in graph.nodes}
    seen: set[tuple[Variable, ...]] = set()
    for level in range(_LEVELS[-1] + 1):
        if level in _LEVELS:
            groups: dict[Hashable, list[Variable]] = {}
            for v in graph.nodes:
                if v.inputs and not isinstance(v.type, TupleType):
                    groups.setdefault(colours[v], []).append(v)
            for members in groups.values():
                if len(members) >= LEAST and (key := tuple(members)) not in seen:
                    seen.add(key)
                    yield members
        numbers: dict[Hashable, int] = {}
        deeper = {v: (colours[v], *(colours[x] for x in v.inputs)) for v in graph.nodes}
        colours = {v: numbers.setdefault(key, len(numbers)) for v, key in deeper.items()}


def _colour(v: Variable) -> Hashable:
    if v.op is CONSTANT:
        return (v.op, v.type)
    if not v.inputs:
        return v
    return (v.op, v.type, _places(v))


def _places(v: Variable) -> Hashable:
    """The parameters, but for which row of an array is read."""
    if v.op is not SLICE:
        return v.params
    return tuple(At(0) if isinstance(x, At) and x.index != "symbol" else x for x in v.params[0])


def _ranks(graph: Graph, members: Sequence[Variable]) -> dict[Variable, int]:
    """For each variable how many members follow one another down to it, itself included."""
    among, ranks = set(members), dict[Variable, int]()
    for v in graph.nodes:
        rank = 0
        for x in v.inputs:
            rank = max(rank, ranks[x])
        ranks[v] = rank + (v in among)
    return ranks


def _one_by_rank(members: Sequence[Variable], ranks: dict[Variable, int]) -> list[Variable]:
    """The members that are alone in their rank, in order."""
    by_rank: dict[int, list[Variable]] = {}
    for v in members:
        by_rank.setdefault(ranks[v], []).append(v)
    return [by_rank[rank][0] for rank in sorted(by_rank) if len(by_rank[rank]) == 1]


def _equal_steps(members: Sequence[Variable], ranks: dict[Variable, int]) -> _Run:
    """The longest run of members of which each is made of the one before as that was made."""
    best = run = _Run(list(members[:1]), set(), set(), [])
    failures = 0
    for before, after in itertools.pairwise(members):
        step = _step(after, before, ranks)
        if step is None:
            run, failures = _Run([after], set(), set(), []), failures + 1
            if failures > _FAILURES:
                break
            continue
        run.ends.append(after)
        run.inside.update(step[0])
        run.counts.append(len(step[0]))
        run.fixed.update(step[1])
        best = max(best, run, key=lambda each: len(each.ends))
    return best


def _step(
    after: Variable, before: Variable, ranks: dict[Variable, int]
) -> tuple[set[Variable], set[Variable]] | None:
    """What is inside a step, and what it shares with the one before; None where they differ."""
    inside, fixed, rank = {after}, set[Variable](), ranks[before]
    pairs, seen = [*zip(after.inputs, before.inputs, strict=True)], {(after, before)}
    while pairs:
        pair = pairs.pop()
        a, b = pair
        if pair in seen:
            continue
        seen.add(pair)
        if a is b:
            fixed.add(a)
        elif _is_of_step_before(a, before, ranks) and (ranks[a] == ranks[b] + 1 or rank == 1):
            continue  # which is compared by itself
        elif not _look_alike(a, b) or len(inside) > _MOST_NODES:
            if rank == 1 and ranks[a] == 1 and not ranks[b]:
                continue  # what a chain begins with may be anything
            return None
        elif a.inputs:
            inside.add(a)
            pairs += zip(a.inputs, b.inputs, strict=True)
    return inside, fixed


def _is_of_step_before(v: Variable, end: Variable, ranks: dict[Variable, int]) -> bool:
    return v is end or 1 <= ranks[v] < ranks[end]


def _look_alike(a: Variable, b: Variable) -> bool:
    """Whether both are one operation, wherever it reads; or constants."""
    if a.op is not b.op or a.type is not b.type or len(a.inputs) != len(b.inputs):
        return False
    return _places(a) == _places(b) if a.inputs else a.op is CONSTANT


def _origin_of(run: _Run) -> tuple[tuple[Line, ...], Variable | None]:
    """The user's lines that wrote a step; where none are recorded, the nearest thing that it is
    made of and that has some. What all steps read may have been written anywhere."""
    for v in (*reversed(run.ends), *_latest_first(run.inside)):
        if lines := provenance.lines_of(v):
            return lines, None
    sources = _latest_first(ancestors([*run.fixed, *run.ends]))
    return (), next((v for v in sources if provenance.lines_of(v)), None)


def _latest_first(variables: Iterable[Variable]) -> list[Variable]:
    return sorted(variables, key=lambda v: -v.serial)

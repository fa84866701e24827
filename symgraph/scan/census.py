"""How many loops and bodies a graph has, and which of them are one computation run again.

Merging loops hides repetition (the nodes stay as many, the bodies in them grow), so bodies are what
counts. Two loops repeat each other when they have one body and their corresponding parameters
derive from the same shared variables, at other values: what a look-ahead by substitution does to
every loop of a model. So do two that differ by what they read alone, where that is one computation
on the same data, at other values. Layers with parameters of their own are no repeats, nor is one
layer applied to two inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.graph import Graph
from ..core.provenance import Line, lines_of
from ..core.shared import SharedVariable
from ..core.types import is_float
from ..core.variable import Variable, ancestors
from .layout import Layout
from .op import Loop, is_scan

__all__ = ["Census", "RepeatedBody", "count_loops"]


@dataclass(frozen=True)
class RepeatedBody:
    """Loops that run one body at other values of the same parameters."""

    loops: tuple[Variable, ...]
    lines: tuple[Line, ...]
    """The user's line for each of the loops: the innermost ones by which they differ."""

    @property
    def excess(self) -> int:
        """How many of the bodies are too many."""
        return len(self.loops) - 1

    def __str__(self) -> str:
        first, *others = map(str, self.lines)
        again = ", ".join(others)
        name = self.loops[0].name
        return f"loop{f' {name!r}' if name else ''} of {first}, again at {again}"


@dataclass(frozen=True)
class Census:
    """The loops of a graph, nested ones included."""

    loops: int
    bodies: int
    repeated: tuple[RepeatedBody, ...]


def count_loops(outputs: Sequence[Variable]) -> Census:
    """The census of everything that the outputs are made of."""
    scans = [v for v in ancestors(outputs) if is_scan(v)]
    count = sum(1 for _ in _all_bodies(scans))
    return Census(count, count, tuple(_find_repeated(scans)))


def _all_bodies(scans: Iterable[Variable]) -> Iterable[Graph]:
    """The body of each loop and of each loop within it."""
    pending = list(scans)
    while pending:
        body: Graph = pending.pop().params[0]
        yield body
        pending += [v for v in body.nodes if is_scan(v)]


def _find_repeated(scans: Sequence[Variable]) -> Iterable[RepeatedBody]:
    # One body may be looped over in several ways: what is a row here may be fixed there.
    alike: dict[tuple[Graph, Layout], list[list[Variable]]] = {}
    for scan in scans:
        groups = alike.setdefault(scan.params, [])
        for group in groups:
            if _repeats(group[0], scan):
                group.append(scan)
                break
        else:
            groups.append([scan])
    for groups in alike.values():
        for group in groups:
            if len(group) > 1:
                yield RepeatedBody(tuple(group), _telling_lines(group))


def _repeats(a: Variable, b: Variable) -> bool:
    """Whether two loops that are alike run their body at different values of one's parameters."""
    different = False
    for x, y in zip(Loop(a).fixed.values(), Loop(b).fixed.values(), strict=True):
        if x is y:
            continue
        ours, theirs = _parameters_of(x), _parameters_of(y)
        if not ours and not theirs:
            continue  # no parameters: a size, or data
        if not _derive_from_one(x, y):
            return False
        different = True
    return different or _is_one_computation(a, b)


def _derive_from_one(x: Variable, y: Variable) -> bool:
    """Whether both are made in one way from one shared variable, or values that stand in for it."""
    pairs = [(x, y)]
    for _ in range(200):
        if not pairs:
            return True
        x, y = pairs.pop()
        if x is y:
            continue
        if _are_made_alike(x, y) and x.op.kind != "elementwise":
            pairs += zip(x.inputs, y.inputs, strict=True)
        elif not (_stand_ins(x) & _stand_ins(y)):
            return False
    return not pairs


def _is_one_computation(a: Variable, b: Variable) -> bool:
    """Whether both are made in one way from the same leaves, but for values of parameters."""
    pairs, seen = [(a, b)], {(a, b)}
    different = False
    while pairs and len(seen) < _MAX_PAIRS:
        x, y = pairs.pop()
        if _are_made_alike(x, y):
            for pair in zip(x.inputs, y.inputs, strict=True):
                if pair[0] is not pair[1] and pair not in seen:
                    seen.add(pair)
                    pairs.append(pair)
        elif _values_of(x) & _values_of(y):
            different = True
        else:
            return False
    return different and not pairs


def _are_made_alike(x: Variable, y: Variable) -> bool:
    """Whether both are one op of as many inputs, some at least."""
    return x.op is y.op and x.params == y.params and 0 < len(x.inputs) == len(y.inputs)


# Beyond so many pairs two computations are taken to be different.
_MAX_PAIRS = 2000


def _values_of(x: Variable) -> set[Variable]:
    """The float shared variables of which ``x`` is another value, element by element."""
    return {v for v in _elementwise_sources(x) if v.type is x.type and is_float(v.dtype)}


def _parameters_of(x: Variable) -> set[Variable]:
    return {v for v in ancestors([x]) if isinstance(v, SharedVariable)}


def _stand_ins(x: Variable) -> set[Variable]:
    """The shared variables of the type of ``x`` from which it derives.

    Those element by element where there are any: a new value ``w - rate * gradient`` stands in for
    ``w``, not for all that its gradient is computed from.
    """
    return {v for v in _elementwise_sources(x) if v.type is x.type} or {
        v for v in _parameters_of(x) if v.type is x.type
    }


def _elementwise_sources(x: Variable) -> set[Variable]:
    """The shared variables from which ``x`` is computed by elementwise operations alone."""
    seen, stack = {x}, [x]
    while stack:
        v = stack.pop()
        if v.op.kind == "elementwise":
            stack += [source for source in v.inputs if source not in seen]
            seen.update(v.inputs)
    return {v for v in seen if isinstance(v, SharedVariable)}


def _telling_lines(scans: Sequence[Variable]) -> tuple[Line, ...]:
    """For each loop one of its recorded lines: at the innermost depth where they differ."""
    recorded = [lines_of(scan) or (Line("<unknown>", 0, "<unknown>"),) for scan in scans]
    for depth in range(min(map(len, recorded))):
        lines = tuple(stack[depth] for stack in recorded)
        if len(set(lines)) > 1:
            return lines
    return tuple(stack[0] for stack in recorded)

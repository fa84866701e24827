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
from typing import Any

from ..core.graph import Graph
from ..core.provenance import Line, lines_of
from ..core.shared import SharedVariable
from ..core.types import TensorType, TupleType, is_float
from ..core.variable import Variable, ancestors
from .layout import Layout
from .op import is_scan
from .paths import loops_in

__all__ = ["RepeatedBody", "count_loops", "find_repeated"]

# What is fixed in a loop, in order; None for what derives from no parameter.
_Fixed = tuple[Variable | None, ...]


@dataclass(frozen=True)
class RepeatedBody:
    """Loops that run one body at other values of the same parameters."""

    loops: tuple[Variable, ...]
    lines: tuple[Line, ...]
    """The user's line for each of the loops: the innermost ones by which they differ."""

    @property
    def excess(self) -> int:
        """How many bodies are too many, those within the loops included."""
        return (len(self.loops) - 1) * sum(1 for _ in _all_bodies(self.loops[:1]))

    def __str__(self) -> str:
        first, *others = map(str, self.lines)
        again = ", ".join(others)
        name = self.loops[0].name
        return f"loop{f' {name!r}' if name else ''} of {first}, again at {again}"


def count_loops(outputs: Sequence[Variable]) -> int:
    """How many loops, and so bodies, the outputs are made of, nested ones included."""
    return sum(1 for _ in _all_bodies(filter(is_scan, ancestors(outputs))))


def _all_bodies(scans: Iterable[Variable]) -> Iterable[Graph]:
    """The body of each loop and of each loop within it."""
    pending = list(scans)
    while pending:
        body: Graph = pending.pop().params[0]
        yield body
        pending += loops_in(body)


def find_repeated(outputs: Sequence[Variable]) -> Iterable[RepeatedBody]:
    """The groups of loops, among all that the outputs are made of, that repeat each other."""
    # One body may be looped over in several ways: what is a row here may be fixed there.
    alike: dict[tuple[Graph, Layout], list[Variable]] = {}
    for scan in filter(is_scan, ancestors(outputs)):
        alike.setdefault(scan.params, []).append(scan)
    for loops in alike.values():
        if len(loops) > 1:
            for group in _Repeats().groups(loops):
                if len(group) > 1:
                    yield RepeatedBody(tuple(group), _telling_lines(group))


class _Repeats:
    """Loops that are alike, in groups of those that run their body at different values of one's
    parameters.

    As there may be hundreds of loops of one body, few are compared two by two: those alone which
    derive from one parameter at least, and of all that have the same parameters fixed, those alone
    which are computed in ways of one shape.
    """

    def __init__(self) -> None:
        self._groups: list[list[Variable]] = []
        self._by_fixed: dict[_Fixed, dict[int, list[int]]] = {}
        """The numbers of groups, by what is fixed in their first loop, and by its shape."""
        self._fixed_of: dict[Variable, dict[_Fixed, None]] = {}
        """By a parameter: what derives from it and is fixed in a first loop."""
        self._parameters: dict[Variable, frozenset[Variable]] = {}
        self._shapes = _Shapes()

    def groups(self, loops: Sequence[Variable]) -> list[list[Variable]]:
        """The groups of these loops."""
        for loop in loops:
            fixed = self._fixed(loop)
            number = min(self._numbers(loop, fixed), default=None)
            if number is None:
                self._begin(loop, fixed)
            else:
                self._groups[number].append(loop)
        return self._groups

    def _begin(self, loop: Variable, fixed: _Fixed) -> None:
        by_shape = self._by_fixed.setdefault(fixed, {})
        by_shape.setdefault(self._shapes.of(loop), []).append(len(self._groups))
        for x in fixed:
            for parameter in self._parameters[x] if x is not None else ():
                self._fixed_of.setdefault(parameter, {})[fixed] = None
        self._groups.append([loop])

    def _fixed(self, loop: Variable) -> _Fixed:
        """What is fixed in the loop; None for what has no parameters: a size, or data."""
        return tuple(
            [x if self._parameters_of(x) else None for x in loop.params[1].parts(loop.inputs).fixed]
        )

    def _parameters_of(self, x: Variable) -> frozenset[Variable]:
        known = self._parameters.get(x)
        if known is None:
            known = self._parameters[x] = frozenset(_parameters_of(x))
        return known

    def _numbers(self, loop: Variable, fixed: _Fixed) -> Iterable[int]:
        """The groups whose first loop is repeated by this one."""
        same = self._by_fixed.get(fixed)
        for number in same.get(self._shapes.of(loop), ()) if same else ():
            if _is_one_computation(self._groups[number][0], loop):
                yield number
        parameters = {p for x in fixed if x is not None for p in self._parameters[x]}
        others = {other: None for p in parameters for other in self._fixed_of.get(p, ())}
        for other in others:
            if other != fixed and self._derive_alike(fixed, other):
                yield min(numbers[0] for numbers in self._by_fixed[other].values())

    def _derive_alike(self, fixed: _Fixed, other: _Fixed) -> bool:
        for x, y in zip(fixed, other, strict=True):
            if x is y:
                continue
            if x is None or y is None:
                return False
            # Of what both derive from there is a parameter at least.
            if self._parameters[x].isdisjoint(self._parameters[y]) or not _derive_from_one(x, y):
                return False
        return True


class _Shapes:
    """Numbers for the ways in which nodes are computed from leaves: one number for all that may be
    one computation at several values of parameters."""

    def __init__(self) -> None:
        self._numbers: dict[Variable, int] = {}
        self._of_keys: dict[Any, int] = {}
        self._sources: dict[Variable, frozenset[TensorType | TupleType]] = {}
        """The types of the parameters from which a node is computed element by element."""

    def of(self, x: Variable) -> int:
        """The number of the node's shape."""
        stack = [x]
        while stack:
            v = stack[-1]
            missing = [y for y in v.inputs if y not in self._numbers]
            stack += missing
            if not missing:
                stack.pop()
                if v not in self._numbers:
                    self._numbers[v] = self._number(v)
        return self._numbers[x]

    def _number(self, v: Variable) -> int:
        sources: frozenset[TensorType | TupleType] = frozenset()
        if isinstance(v, SharedVariable) and is_float(v.dtype):
            sources = frozenset([v.type])
        elif v.op.kind == "elementwise":
            sources = sources.union(*(self._sources[x] for x in v.inputs))
        self._sources[v] = sources
        key: Any = v
        if v.type in sources:
            key = v.type
        elif v.inputs:
            key = v.op, v.params, *(self._numbers[x] for x in v.inputs)
        return self._of_keys.setdefault(key, len(self._of_keys))


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

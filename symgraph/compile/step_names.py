"""What the values of a loop's step are called: after names, the source, or what they are of."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple, TypeAlias

from ..core import provenance
from ..core.dims import Size
from ..core.graph import Graph
from ..core.op import Op
from ..core.origins import Origins, call_in_steps, origins
from ..core.types import is_float
from ..core.variable import ITEM, Variable, ancestors
from ..ops.sizes import size_of
from ..scan.op import Loop, State, is_scan
from ..scan.paths import loop_paths, symbol_labels
from ..scan.residuals import Row, in_some_step, row_read
from ..scan.source_names import (
    Source,
    names_of_states,
    source_names,
    statement_of,
    states_in_source,
    unmasked,
)
from ..scan.storage import gradient_loops

__all__ = ["StepNames"]

_Path: TypeAlias = Sequence[Variable]


class StepNames:
    """What is called how in the step of a loop, which is the last of a path in a graph; ``built``
    is the graph as it was built, where assignments are known to mean what they say."""

    def __init__(self, graph: Graph, path: _Path, built: Graph) -> None:
        self.loop, self._path = Loop(path[-1]), path
        self.values: dict[Variable, str] = {}
        """Names of what the step computes."""
        self.results: dict[Variable, str] = {}
        """Names of states, of which the new values may have none of their own."""
        self.symbols: dict[Variable, str] = {}
        """Names of what it reads."""
        self.sources: dict[Variable, str] = {}
        """In a gradient the assignment of the loop's step that each value goes back through."""
        around: Graph = [graph, *(scan.params[0] for scan in path)][-2]
        self.forward = self._forward_in(around)
        """The loop that this one is the gradient of, if it is one, and goes step by step."""
        call_in_steps(path, lambda: self._name_values(built))
        if self.forward is not None:
            forward = [*path[:-1], self.forward]
            call_in_steps(forward, lambda: self._name_gradient(_forward(forward, built), built))

    def name_of(self, v: Variable) -> str | None:
        """What a value of the step is called; None where it has no name of its own."""
        return v.name or self.symbols.get(v) or self.values.get(v)

    def _name_values(self, built: Graph) -> None:
        path = self._path
        self.symbols = _symbols_within(path)
        if self.loop.layout.role == "gradient":
            self._tell_sources({statement_of(scan) for scan in path})
        else:
            self.values = _names_in_source(path, built)
            self._name_states()

    def _forward_in(self, around: Graph) -> Variable | None:
        found = gradient_loops(around).get(self.loop.node)
        return None if self.loop.layout.is_over_chunks else found

    def _tell_sources(self, around: Set[Source | None]) -> None:
        for v in self.loop.body.nodes:
            statement = statement_of(v) if v.inputs else None
            if statement is not None and statement not in around:
                self.sources[v] = ", ".join(statement[2])

    def _name_states(self) -> None:
        labels = _state_labels(self.loop, self.values)
        for i, (state, label) in enumerate(zip(self.loop.states, labels, strict=True)):
            self.symbols |= {x: f"{label}{_time(tap)}" for tap, x in state.taps.items()}
            chosen = unmasked(state)
            if chosen is not state.new and chosen in self.values:
                self.values[chosen], self.values[state.new] = f"{label}, unmasked", label
            if label != f"state {i}":
                self.results[state.new] = label

    def _name_gradient(self, forward: _Forward, built: Graph) -> None:
        """Names in a gradient, where ``t`` is the step of the loop that it goes back through."""
        known = dict(forward.rows())
        others: list[Variable] = []
        for symbol, row in _rows_of_reads(self.loop, forward.n_steps):
            if row in known:
                self.symbols[symbol] = known[row]
            elif symbol.type in forward.row_types and forward.is_behind(row.base):
                others.append(symbol)
        if len(others) == 1:
            self.symbols[others[0]] = "gradient from outside[t]"
        named = _named_in_order(self.loop.states, forward.carried(built))
        for state, carried in zip(self.loop.states, named, strict=True):
            if carried is not None:
                self.symbols[state.taps[-1]] = carried.before
                if state.new.inputs:
                    self.values[state.new] = carried.after


# --- names of values -----------------------------------------------------------------------------


_Operations: TypeAlias = Mapping[tuple[str, Source], Set[Op]]
"""The operations that had the names of assignments."""

# For each program, by its origins, which say where nodes are written.
_known: weakref.WeakKeyDictionary[Origins, _Operations] = weakref.WeakKeyDictionary()


def _named_operations(built: Graph) -> _Operations:
    """Those of the graph as it was built, of the program that is spoken of."""
    program = origins()
    assert program is not None
    if program not in _known:
        loops = [Loop(path[-1]) for path in loop_paths(built)]
        bodies = dict.fromkeys(each.body for each in loops if each.layout.role != "gradient")
        found: dict[tuple[str, Source], set[Op]] = {}
        for v, named in call_in_steps((), lambda: source_names([built, *bodies])).items():
            found.setdefault(named, set()).add(v.op)
        _known[program] = found
    return _known[program]


def _names_in_source(path: _Path, built: Graph) -> dict[Variable, str]:
    """What the values of a loop's step were called, by their own names or by the assignments that
    made them.

    Rewriting may have left a part of what an assignment made: the name stays with an operation of
    the kind that had it.
    """
    body, operations = Loop(path[-1]).body, _named_operations(built)
    around = {statement_of(scan) for scan in path}
    names = {
        v: found[0]
        for v, found in source_names([body]).items()
        if found[1] not in around and v.op in operations.get(found, {v.op})
    }
    names |= {v: v.name for v in body.nodes if v.name and v.inputs and not is_scan(v)}
    return names | _functions_of(names, body)


def _functions_of(names: Mapping[Variable, str], graph: Graph) -> dict[Variable, str]:
    """Names of values that are functions of a single one that has a name: ``sigmoid(f)``."""
    return {
        v: f"{v.op.title_of(v.params)}({names[v.inputs[0]]})"
        for v in graph.nodes
        if v not in names and v.op.kind == "elementwise" and len(v.inputs) == 1
        if v.inputs[0] in names
    }


def _state_labels(loop: Loop, names: Mapping[Variable, str]) -> list[str]:
    """What the states of a loop are called: each by a label of its own."""
    written = states_in_source(loop)
    known = [x or y for x, y in zip(names_of_states(loop, names), written, strict=True)]
    return [
        f"state {i}" if name is None or known.count(name) > 1 else name
        for i, name in enumerate(known)
    ]


def _symbols_within(path: _Path) -> dict[Variable, str]:
    """What the last loop of a path reads, with what the loops around it call that."""
    symbols: dict[Variable, str] = {}
    for scan in path:
        loop, around = Loop(scan), symbols
        symbols = symbol_labels(loop)
        symbols |= {x: around[outer] for x, outer in loop.fixed.items() if outer in around}
        for i, reads in enumerate(loop.reads_by_sequence):
            if reads[0].sequence in around:
                outer = around[reads[0].sequence]
                symbols |= {r.symbol: f"sequence {i} ({outer}){_time(r.offset)}" for r in reads}
    return symbols


def _time(offset: int) -> str:
    return f"[t{offset:+d}]" if offset else "[t]"


# --- what a gradient reads -----------------------------------------------------------------------


def _rows_of_reads(loop: Loop, n_steps: Size) -> Iterator[tuple[Variable, Row]]:
    """For each symbol of a gradient the row that it is, in terms of the step ``t``."""
    taken = size_of(loop.n_steps)
    for reads in loop.reads_by_sequence:
        reach = max(read.offset for read in reads)
        for sequence, offset, symbol in reads:
            row = row_read(sequence, offset, taken + reach).in_reverse(n_steps)
            yield symbol, in_some_step(row, n_steps)


class _Carried(NamedTuple):
    """What a gradient may carry from step to step, and what it is called before and after one."""

    type: object
    before: str
    after: str


class _Forward:
    """A loop as its gradient sees it."""

    def __init__(self, loop: Loop, names: Mapping[Variable, str], labels: Sequence[str]) -> None:
        self._loop, self._names, self._labels = loop, names, labels
        self.n_steps = size_of(loop.taken)
        self.row_types = {result.value.type for result in loop.results}

    def rows(self) -> Iterator[tuple[Row, str]]:
        """The rows that step ``t`` reads and leaves, with what they are called."""
        loop = self._loop
        symbols = symbol_labels(loop)
        for read in loop.reads:
            row = row_read(read.sequence, read.offset)
            yield in_some_step(row, self.n_steps), symbols[read.symbol]
        bases = [*loop.buffers, *loop.traces]
        for k, ((value, depth), base) in enumerate(zip(loop.results, bases, strict=True)):
            known = self._names.get(value) or value.op.title_of(value.params)
            label = self._labels[k] if k < len(self._labels) else known
            for back in range(depth + 1):
                row = Row(base, depth - back, 1)
                yield in_some_step(row, self.n_steps), f"{label}{_time(-back)}"

    def is_behind(self, v: Variable) -> bool:
        """Whether a float array is made of the loop's results, and not value by value: as no pass
        does, which takes work out of a gradient, but a cost."""
        made, scan = ancestors([v]), self._loop.node
        below = set(ancestors(scan.inputs)) | {scan}
        kinds = {x.op.kind for x in made if x.inputs and x not in below and x.op is not ITEM}
        return is_float(v.dtype) and scan in made and not kinds <= {"elementwise", "movement"}

    def carried(self, built: Graph) -> list[_Carried]:
        """The gradients of the states, and of what is fixed, in the order of the loop's vjp."""
        found: list[_Carried] = []
        for state, label in zip(self._loop.states, self._labels, strict=True):
            for back in range(state.depth):
                before, after = (f"gradient of {label}{_time(-k)}" for k in (back, back + 1))
                found.append(_Carried(state.new.type, before, after))
        for v, label in self._fixed_in(built).items():
            if is_float(v.dtype):
                text = f"gradient of {label}"
                found.append(_Carried(v.type, f"{text} so far", text))
        return found

    def _fixed_in(self, built: Graph) -> dict[Variable, str]:
        """What was fixed in the loop as it was built, if it is known which one it was."""
        scan = self._loop.node
        lines, inside = provenance.lines_of(scan), set(ancestors(scan.inputs))
        loops = [Loop(path[-1]) for path in loop_paths(built)]
        alike = [
            each
            for each in loops
            if each.layout.role == "written"
            and each.node.name == scan.name
            and provenance.lines_of(each.node) == lines
        ]
        leaves = [[v for v in each.fixed.values() if not v.inputs] for each in alike]
        twins = [each for each, of in zip(alike, leaves, strict=True) if inside.issuperset(of)]
        if len(twins) != 1:
            return {}
        symbols = symbol_labels(twins[0])
        labels = {v: symbols[x] for x, v in twins[0].fixed.items()}
        ends = [label.rpartition(".")[2] for label in labels.values()]
        return {
            v: end if ends.count(end) == 1 and v.name else label
            for (v, label), end in zip(labels.items(), ends, strict=True)
        }


def _forward(path: _Path, built: Graph) -> _Forward:
    """The last loop of the path, as its gradient sees it."""
    loop, names = Loop(path[-1]), _names_in_source(path, built)
    return _Forward(loop, names, _state_labels(loop, names))


def _named_in_order(states: Sequence[State], known: Sequence[_Carried]) -> list[_Carried | None]:
    """For each state what it carries, where types and their order leave one choice."""
    first = _matched(states, known)
    last = _matched(states[::-1], known[::-1])[::-1]
    return [x if x is y else None for x, y in zip(first, last, strict=True)]


def _matched(states: Sequence[State], known: Sequence[_Carried]) -> list[_Carried | None]:
    """For each state the next one of its type; nothing where there is none for one of them."""
    left = iter(known)
    found = [next((x for x in left if x.type is state.new.type), None) for state in states]
    return [None] * len(states) if None in found else found

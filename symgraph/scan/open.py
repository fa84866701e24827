"""A loop taken apart so that it can be changed, and closed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from operator import attrgetter

from ..core.graph import replace, replaced
from ..core.types import TensorType
from ..core.variable import Variable, ancestors, item, make_input
from ..ops.linalg import MATMUL
from .close import find_varying
from .op import Loop, Read, State, make_loop_instead
from .step_sizes import atoms_of, is_made_of

__all__ = ["OpenLoop"]


class OpenLoop:
    """A loop whose body is an expression over symbols: the inputs of the body that it had."""

    def __init__(self, loop: Loop) -> None:
        self.node: Variable = loop.node
        self.n_steps: Variable = loop.n_steps
        self._ending = loop.ending
        self.closed = loop
        """The loop, once it is closed again."""
        self.checkpoints: dict[int, Variable] = {}
        """Once it is closed: for states of which checkpoints are kept, by number, these."""
        one_for: dict[Variable, Variable] = {}
        for symbol, outer in loop.fixed.items():
            one_for.setdefault(outer, symbol)
        self.fixed: dict[Variable, Variable] = {symbol: outer for outer, symbol in one_for.items()}
        """The symbols for what does not change over time, with what they stand for."""
        self._outer_atoms = atoms_of(loop.body.inputs)
        self.reads: dict[Variable, Read] = {read.symbol: read for read in loop.reads}
        """The rows of sequences that a step reads, by their symbols."""
        self.states: list[State] = list(loop.states)
        self.taps: dict[Variable, tuple[int, int]] = {
            symbol: (i, tap)
            for i, state in enumerate(loop.states)
            for tap, symbol in state.taps.items()
        }
        """The symbols for earlier values of states: the number of the state, and the tap."""
        self.outputs: list[Variable] = list(loop.outputs)
        self.condition = loop.condition
        self._kept = self._find_kept()
        self._varying: set[Variable] | None = None
        self._replaced: list[Mapping[Variable, Variable]] = []
        self.has_new_parts = False
        """Whether its body has become more than parts of the one that it had, on other symbols."""
        same = {v: one_for[x] for v, x in loop.fixed.items() if one_for[x] is not v}
        if same:
            self.substitute(same)
            self.has_new_parts = True

    def move(self, moved: Mapping[Variable, Variable]) -> None:
        """Put other variables, of the same values, in place of those around the loop."""
        self.n_steps = moved.get(self.n_steps, self.n_steps)
        self._ending = tuple([moved.get(x, x) for x in self._ending])
        self.fixed = {symbol: moved.get(v, v) for symbol, v in self.fixed.items()}
        for symbol, read in self.reads.items():
            self.reads[symbol] = read._replace(sequence=moved.get(read.sequence, read.sequence))
        self.states = [s._replace(initial=moved.get(s.initial, s.initial)) for s in self.states]

    def substitute(self, parts: Mapping[Variable, Variable]) -> None:
        """Put other expressions in place of parts of the body."""
        self._replaced.append(parts)
        ends = self.ends()
        new = replaced(ends, parts, keep_lines=True)
        varying, self._varying = self._varying, None
        if any(x.inputs for x in parts.values()):
            self.has_new_parts = True
        elif varying is not None and varying.issuperset(parts):
            self._varying = {new[v] for v in varying if v in new}.union(self.symbols)
        values = iter([new[v] for v in ends])
        self.states = [state._replace(new=next(values)) for state in self.states]
        self.outputs = [next(values) for _ in self.outputs]
        self.condition = next(values, None)
        self._kept = self._find_kept()

    def as_now(self, values: Sequence[Variable]) -> Sequence[Variable]:
        """What values of the body as it was have become."""
        for parts in self._replaced:
            values = replace(values, parts, keep_lines=True)
        return values

    def read(self, sequence: Variable, symbol: Variable, offset: int = 0) -> None:
        """Let the symbol stand for a row of the sequence."""
        self.reads[symbol] = Read(sequence, offset, symbol)

    def keep(self, value: Variable) -> tuple[int, int]:
        """The result that has the body's ``value`` over time, and at which of its rows it starts.

        A state, or a plain output, made for the purpose if need be.
        """
        if value not in self._kept:
            self._kept[value] = len(self.states) + len(self.outputs), 0
            if self._varying is not None and value not in self._varying:
                self._varying = None
            self.outputs.append(value)
        return self._kept[value]

    def result_with(self, value: Variable) -> int | None:
        """The number of the result that has the body's value over time; None where none has."""
        return self._kept[value][0] if value in self._kept else None

    def is_output(self, value: Variable) -> bool:
        """Whether the body's value is a plain output."""
        result, _ = self._kept.get(value, (-1, 0))
        return result >= len(self.states) or (result >= 0 and value in self.outputs)

    def _find_kept(self) -> dict[Variable, tuple[int, int]]:
        """For values that are kept the first result that has them, and at which of its rows."""
        kept: dict[Variable, tuple[int, int]] = {}
        for i, state in enumerate(self.states):
            kept.setdefault(state.new, (i, state.depth))
        for i, output in enumerate(self.outputs, len(self.states)):
            kept.setdefault(output, (i, 0))
        return kept

    def has_fixed_size(self, value: Variable) -> bool:
        """Whether a value of the body is as large in each step: it can be kept over time."""
        type = value.type
        return isinstance(type, TensorType) and is_made_of(type.shape, self._outer_atoms)

    @property
    def is_lean(self) -> bool:
        """Whether it is to keep no more over time than what is read of it as it stands."""
        return self.node.params[1].is_lean

    @property
    def symbols(self) -> list[Variable]:
        """The symbols that stand for what changes from step to step."""
        return [*self.reads, *self.taps]

    @property
    def varying(self) -> Set[Variable]:
        """What the body computes that changes from step to step, and the symbols for such."""
        if self._varying is None:
            self._varying = find_varying(self.ends(), self.symbols)
        return self._varying

    @property
    def late(self) -> Set[Variable]:
        """What the body computes that needs what steps before it gave."""
        return find_varying(self.ends(), list(self.taps))

    def users(self) -> dict[Variable, list[Variable]]:
        """For what changes from step to step in the body, who reads it there."""
        users: dict[Variable, list[Variable]] = {v: [] for v in (*self.varying, *self.symbols)}
        for v in self.varying:
            for x in v.inputs:
                if x in users:
                    users[x].append(v)
        return users

    @property
    def products(self) -> list[Variable]:
        """The products of two matrices that change from step to step, the oldest first."""
        products = [
            v for v in self.varying if v.op is MATMUL and v.inputs[0].ndim == v.inputs[1].ndim == 2
        ]
        return sorted(products, key=attrgetter("serial"))

    def ends(self) -> list[Variable]:
        """All that the body computes: new states, plain outputs, the condition."""
        condition = [] if self.condition is None else [self.condition]
        return [*(state.new for state in self.states), *self.outputs, *condition]

    def close(self, read: Set[int]) -> dict[int, Variable]:
        """The loop again, without what is not ``read``: for each result read what it is now.

        Results are numbered as those of the loop were, plain outputs added since at the end.
        """
        numbers, below = self._live(read)
        states = [self.states[i] for i in numbers if i < len(self.states)]
        values = self._values(numbers)
        reads, merged = self._reads_among(below)
        if merged:
            values = replace(values, merged, keep_lines=True)
        condition = None if self.condition is None else values.pop()
        loop = make_loop_instead(
            Loop(self.node),
            numbers,
            self.n_steps,
            reads,
            [state._replace(new=new) for state, new in zip(states, values, strict=False)],
            values[len(states) :],
            condition=condition,
            fixed=self.fixed,
            ending=self._ending,
            varying=None if merged else self.varying,
        )
        self.closed = Loop(loop)
        self.checkpoints = dict(zip(numbers, self.closed.checkpoints, strict=False))
        if merged or self._has_other_operands(self.closed, reads):
            self.has_new_parts = True
        return {number: item(loop, k) for k, number in enumerate(numbers) if number in read}

    def _has_other_operands(self, closed: Loop, reads: list[Read]) -> bool:
        """Whether what the closed loop is given is not all what the symbols stand for."""
        as_before = {v for symbol, v in self.fixed.items() if v.type is symbol.type}
        return not as_before.issuperset(closed.fixed.values()) or any(
            read.symbol not in self.reads for read in reads
        )

    def _values(self, numbers: list[int]) -> list[Variable]:
        """The body's values of these results, and the condition."""
        ends = self.ends()
        return [ends[i] for i in numbers] + ([] if self.condition is None else [self.condition])

    def _reads_among(self, below: Set[Variable]) -> tuple[list[Read], dict[Variable, Variable]]:
        """The reads of these symbols, sequence by sequence, each row once; what symbols became."""
        rows: dict[Variable, dict[int, Read]] = {}
        replaced: dict[Variable, Variable] = {}
        for symbol, read in self.reads.items():
            if symbol not in below:
                continue
            row = read.sequence.type.row
            if row is not symbol.type:
                # The sequence has moved to one whose rows are of another unknown size.
                read = read._replace(symbol=make_input(row))
            first = rows.setdefault(read.sequence, {}).setdefault(read.offset, read)
            if first.symbol is not symbol:
                replaced[symbol] = first.symbol
        return [read for entry in rows.values() for read in entry.values()], replaced

    def _live(self, read: Set[int]) -> tuple[list[int], Set[Variable]]:
        """The results that something read depends on, by number, and all they are made of."""
        n_results = len(self.states) + len(self.outputs)
        new = {i for i in read if i < n_results} or {0}
        live, below = set[int](), set[Variable]()
        while new:
            live |= new
            below.update(ancestors(self._values(sorted(new)), below))
            new = {
                i
                for i, state in enumerate(self.states)
                if i not in live and not below.isdisjoint(state.taps.values())
            }
        return sorted(live), below

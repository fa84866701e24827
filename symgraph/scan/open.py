"""A loop taken apart so that it can be changed, and closed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core import provenance
from ..core.graph import replace
from ..core.variable import Variable, ancestors, item, make_input
from .close import close_body
from .op import Layout, Loop, is_told, keep_sizes, make_scan, sizes_told

__all__ = ["OpenLoop", "OpenState"]


@dataclass
class OpenState:
    """A state: its initial rows, the symbol for each tap, and its new value."""

    initial: Variable
    taps: dict[int, Variable]
    value: Variable


class OpenLoop:
    """A loop whose body is an expression over symbols."""

    def __init__(self, loop: Loop) -> None:
        layout = loop.layout
        self.node = loop.node
        self.n_steps = loop.n_steps
        self.truncate = layout.truncate
        changing = [make_input(v.type) for v in (*loop.slices, *loop.taps)]
        fixed = {outer: make_input(outer.type) for outer in loop.others}
        self.others = {symbol: outer for outer, symbol in fixed.items()}
        """The symbols for what does not change over time, with what they stand for."""
        self.symbol_for = dict(
            zip(loop.body.inputs, [*changing, *(fixed[v] for v in loop.others)], strict=True)
        )
        """The symbol for each input of the loop's body."""
        outputs = loop.body(*self.symbol_for.values())
        rest = iter(changing)
        self.slices: dict[Variable, tuple[Variable, int]] = {
            next(rest): (sequence, offset)
            for sequence, offsets in zip(loop.sequences, layout.sequences, strict=True)
            for offset in offsets
        }
        """The symbols for rows of sequences, with (sequence, offset)."""
        self.states = [
            OpenState(initial, {tap: next(rest) for tap in taps}, value)
            for initial, taps, value in zip(
                loop.initials, layout.states, outputs[: len(layout.states)], strict=True
            )
        ]
        self._told = sizes_told([*changing, *fixed.values()])
        self.condition = outputs.pop() if layout.until else None
        self.plain = outputs[len(layout.states) :]

    def move(self, moved: Mapping[Variable, Variable]) -> None:
        """Put other variables, of the same values, in place of those around the loop."""
        self.n_steps = moved.get(self.n_steps, self.n_steps)
        self.others = {symbol: moved.get(v, v) for symbol, v in self.others.items()}
        self.slices = {
            symbol: (moved.get(v, v), offset) for symbol, (v, offset) in self.slices.items()
        }
        for state in self.states:
            state.initial = moved.get(state.initial, state.initial)

    def substitute(self, replaced: Mapping[Variable, Variable]) -> None:
        """Put other expressions in place of parts of the body."""
        outputs = iter(replace(self.outputs(), replaced))
        for state in self.states:
            state.value = next(outputs)
        self.plain = [next(outputs) for _ in self.plain]
        self.condition = next(outputs, None)

    def keep(self, value: Variable) -> tuple[int, int]:
        """The result that has the body's ``value`` over time, and at which of its rows it starts.

        A state, or a plain output, made for the purpose if need be.
        """
        for i, state in enumerate(self.states):
            if state.value is value:
                return i, -min(state.taps)
        if value not in self.plain:
            self.plain.append(value)
        return len(self.states) + self.plain.index(value), 0

    def has_fixed_size(self, value: Variable) -> bool:
        """Whether a value of the body is as large in each step: it can be kept over time."""
        return is_told(value.type.shape, self._told)

    @property
    def symbols(self) -> list[Variable]:
        """The symbols that stand for what changes from step to step."""
        return [*self.slices, *(symbol for state in self.states for symbol in state.taps.values())]

    def outputs(self) -> list[Variable]:
        """The body's outputs: new states, plain outputs, the condition."""
        condition = [] if self.condition is None else [self.condition]
        return [*(state.value for state in self.states), *self.plain, *condition]

    def close(self, read: set[int]) -> dict[int, Variable]:
        """The loop again, without what is not ``read``: for each result read what it is now.

        Results are numbered as those of the loop were, plain outputs added since at the end.
        """
        n_states = len(self.states)
        live, plain = self._live(read)
        states = [self.states[i] for i in live]
        outputs = [state.value for state in states] + [self.plain[k] for k in plain]
        if self.condition is not None:
            outputs.append(self.condition)
        below = set(ancestors(outputs))
        # One entry for each sequence, and one symbol for each row of it that a step reads.
        rows: dict[Variable, dict[int, Variable]] = {}
        replaced: dict[Variable, Variable] = {}
        for symbol, (sequence, offset) in self.slices.items():
            if symbol in below:
                row = sequence.type.with_shape(sequence.type.shape[1:])
                # The sequence may have moved to one whose rows are of another unknown size.
                own = symbol if row is symbol.type else make_input(row)
                kept = rows.setdefault(sequence, {}).setdefault(offset, own)
                if kept is not symbol:
                    replaced[symbol] = kept
        symbols = [symbol for entry in rows.values() for symbol in entry.values()]
        symbols += [symbol for state in states for symbol in state.taps.values()]
        if replaced:
            outputs = replace(outputs, replaced)
        body, others = close_body(symbols, outputs, self.others)
        layout = Layout(
            tuple(tuple(entry) for entry in rows.values()),
            tuple(tuple(state.taps) for state in states),
            self.condition is not None,
            self.truncate,
        )
        initials = [state.initial for state in states]
        inputs = (self.n_steps, *rows, *initials, *others)
        numbers = [*live, *(n_states + i for i in plain)]
        keep_sizes(self.node, inputs, body, layout, dict(enumerate(numbers)))
        made = make_scan(
            self.n_steps,
            list(rows),
            initials,
            others,
            body,
            layout,
            lines=provenance.lines_of(self.node),
        )
        if self.node.name and made.name is None:
            provenance.set_name(made, self.node.name)
        results = {i: item(made, k) for k, i in enumerate(numbers)}
        return {i: results[i] for i in read if i in results}

    def _live(self, read: set[int]) -> tuple[list[int], list[int]]:
        """The states and the plain outputs that something read depends on."""
        n_states = len(self.states)
        plain = [k for k in range(len(self.plain)) if n_states + k in read]
        states = {i for i in range(n_states) if i in read}
        while True:
            roots = [self.states[i].value for i in states] + [self.plain[k] for k in plain]
            if self.condition is not None:
                roots.append(self.condition)
            below = set(ancestors(roots))
            more = {
                i
                for i, state in enumerate(self.states)
                if i not in states and any(symbol in below for symbol in state.taps.values())
            }
            if not more:
                break
            states |= more
        if not states and not plain:
            states = {0} if self.states else states
            plain = plain if states else [0]
        return sorted(states), plain

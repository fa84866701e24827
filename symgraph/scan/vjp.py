"""The gradient of a loop: a loop that runs backwards over what the loop left behind.

At step ``t`` the gradient loop reads the slices that step ``t`` of the loop read, its earlier
states (from the buffers, where they lie) and the cotangents of its outputs, and applies the body's
own vjp. Its states are

- for each state of the loop and ``j < depth``: the *pending* cotangent of the value at time
  ``t - j``, the sum of what the steps after ``t`` that read this value gave it;
- for each input that does not change over time: the sum of its cotangents so far.

Its plain outputs are the cotangents of the slices. The loop is built whole, whoever asks for what:
separate gradients of one cost then share it, and a later pass drops what nobody reads.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from ..autodiff.reverse import pull_back, zeros_for
from ..core import provenance
from ..core.graph import Graph, replace
from ..core.types import TensorType, is_float
from ..core.variable import Variable, constant_value, make_constant, make_input
from ..ops.broadcast import broadcast_to
from ..ops.elementwise import add, minimum, subtract
from ..ops.join import concatenate
from ..ops.sizes import shape_of, size_of, unified_with
from ..ops.slices import reversed_rows, slice_axis
from .cotangents import BufferCotangent, split_cotangent
from .effects import kept_effects
from .observers import without_observers
from .op import SCAN, Loop, Read, State, make_loop

__all__ = ["BodyGradient", "gradient_of_body", "padded", "reached_results", "vjp_of_steps"]

T = TypeVar("T")


class BodyGradient(NamedTuple):
    """The vjp of a body, on symbols of its own."""

    inputs: tuple[Variable, ...]
    """The symbols that stand for the body's inputs."""
    outputs: tuple[Variable, ...]
    """The body's outputs on these symbols."""
    cotangents: tuple[Variable | None, ...]
    """The symbols that stand for the outputs' cotangents; None where an output has none."""
    results: tuple[Variable | None, ...]
    """For each input of the body its cotangent; None where it has none."""


# By the body, which is interned and tells all types, and by which outputs have cotangents; with the
# places at which the body's nodes were written, which were handed on.
_known: weakref.WeakKeyDictionary[
    Graph, dict[tuple[bool, ...], tuple[list[provenance.Places], BodyGradient]]
] = weakref.WeakKeyDictionary()


def gradient_of_body(body: Graph, present: tuple[bool, ...]) -> BodyGradient:
    """The vjp of a body for cotangents of the outputs marked ``present``; equal bodies share it."""
    memo, places = _known.setdefault(body, {}), list(map(provenance.places_of, body.nodes))
    if present not in memo or memo[present][0] != places:
        memo[present] = places, _gradient_of_body(body, present)
    return memo[present][1]


def _gradient_of_body(body: Graph, present: tuple[bool, ...]) -> BodyGradient:
    # Fresh symbols: a nested loop's parameters must not meet those of the loop around it.
    inputs = tuple(make_input(v.type) for v in body.inputs)
    outputs = without_observers(body)(*inputs)
    cotangents = tuple(
        make_input(output.type) if there else None
        for output, there in zip(outputs, present, strict=False)
    )
    seeds: dict[Variable, Variable] = {}
    for output, cotangent in zip(outputs, cotangents, strict=False):
        if cotangent is not None:
            before = seeds.get(output)
            seeds[output] = cotangent if before is None else add(before, cotangent)
    wanted = [v for v in inputs if is_float(v.dtype)]
    with provenance.hand_on_lines():
        pulled = dict(zip(wanted, pull_back(seeds, wanted), strict=True))
    return BodyGradient(inputs, tuple(outputs), cotangents, tuple(map(pulled.get, inputs)))


def vjp_of_steps(
    loop: Loop,
    cotangents: Sequence[Variable | None],
    endings: Sequence[Variable | None] | None = None,
    first: Variable | None = None,
) -> Sequence[Variable | None]:
    """The cotangents of a loop's inputs, from those of its buffers and traces.

    ``endings``: for each state further ones, of as many last rows as there are initial ones.
    ``first``: how many steps of the gradient come before these; none where it is None.
    """
    return _GradientLoop(loop, cotangents, endings, first).input_cotangents()


def inner_vjp_scan(
    scan: Variable, cotangents: tuple[Variable | None, ...]
) -> Sequence[Variable | None]:
    """For each buffer and trace what the loop's later steps give it; None where that is nothing."""
    with provenance.without_lines():
        loop = Loop(scan)
        return _GradientLoop(loop, cotangents[: len(loop.results)]).later_cotangents()


def padded(cotangents: list[Variable | None], loop: Loop) -> list[Variable | None]:
    """The cotangents with none for the last inputs of a loop, which tell of numbers of steps."""
    return cotangents + [None] * (len(loop.node.inputs) - len(cotangents))


def reached_results(loop: Loop, arriving: Sequence[Variable | None]) -> tuple[bool, ...]:
    """Which new states and plain outputs have cotangents: from outside, or from later steps.

    What no cotangent reaches is disconnected, not zero.
    """
    present = [
        is_float(result.value.dtype) and cotangent is not None
        for result, cotangent in zip(loop.results, arriving, strict=True)
    ]
    while True:
        cotangents = _by_symbol(loop, gradient_of_body(loop.body, tuple(present)).results)
        before = list(present)
        for i, state in enumerate(loop.states):
            later = any(cotangents[symbol] is not None for symbol in state.taps.values())
            present[i] = present[i] or later
        if present == before:
            return tuple(present)


def _by_symbol(loop: Loop, values: Sequence[T]) -> dict[Variable, T]:
    """Values for the inputs of a loop's body, by these inputs."""
    return dict(zip(loop.body.inputs, values, strict=True))


class _Ran(NamedTuple):
    """A gradient loop, and how its results are found."""

    pending: list[list[Variable]]
    """For each state of the loop the symbols of its pending cotangents, the new value's first."""
    totals: list[Variable | None]
    """For each input that does not change over time the symbol of its sum."""
    buffers: dict[Variable, Variable]
    """What is carried, by its symbol."""
    traces: dict[Variable, Variable]
    """The cotangents of what the loop's steps read, by the symbol of that."""


class _GradientLoop:
    """The gradient loop of one loop, in the making."""

    def __init__(
        self,
        loop: Loop,
        cotangents: Sequence[Variable | None],
        endings: Sequence[Variable | None] | None = None,
        first: Variable | None = None,
    ) -> None:
        self.loop = loop
        self.first = first
        self.arriving = cotangents
        self.endings = endings or [None] * len(loop.states)
        present = list(cotangents)
        for i, ending in enumerate(self.endings):
            present[i] = present[i] if ending is None else ending
        self.body = gradient_of_body(loop.body, reached_results(loop, present))
        self.symbols = _by_symbol(loop, self.body.inputs)
        """For each input of the loop's body the symbol that stands for it in the gradient."""
        self.cotangents = _by_symbol(loop, self.body.results)
        """For each input of the loop's body its cotangent in one step."""
        self.taken = loop.taken
        self.n_steps = self.taken
        if loop.layout.truncate is not None:
            self.n_steps = minimum(loop.layout.truncate, self.taken)
        self.reads: list[Read] = []
        self.states: list[State] = []
        self.parts: dict[int, BufferCotangent] = {}
        """For states the cotangents of their buffers that come from outside."""
        self.rows: dict[Variable, Variable] = {}
        """What stands for symbols of outputs' cotangents, where that is not a row that is read."""

    def input_cotangents(self) -> Sequence[Variable | None]:
        """For each input of the loop its cotangent; None for integers and the number of steps."""
        loop = self.loop
        if all(cotangent is None for cotangent in self.cotangents.values()):
            return [None] * len(loop.node.inputs)
        ran = self._run()
        last = {symbol: buffer[-1] for symbol, buffer in ran.buffers.items()}
        found = [
            None,
            *(self._sequence_cotangent(reads, ran.traces) for reads in loop.reads_by_sequence),
            *(
                self._initial_cotangent(i, [last[x] for x in xs])
                for i, xs in enumerate(ran.pending)
            ),
            *(None if total is None else last[total] for total in ran.totals),
        ]
        return padded(found, loop)

    def later_cotangents(self) -> Sequence[Variable | None]:
        """For each result of the loop what steps that read it give it; None where none do."""
        loop = self.loop
        read = [any(self.cotangents[x] is not None for x in s.taps.values()) for s in loop.states]
        if not any(read):
            return [None] * len(loop.results)
        ran = self._run()
        # After k steps of the gradient loop what is pending belongs to the k-th value from the end.
        given = [
            self._before_last(buffer, state.depth, reversed_rows(ran.buffers[symbols[0]][1:]))
            if is_read
            else None
            for buffer, state, symbols, is_read in zip(
                loop.buffers, loop.states, ran.pending, read, strict=True
            )
        ]
        return [*given, *(None for _ in loop.outputs)]

    def _before_last(self, buffer: Variable, depth: int, rows: Variable) -> Variable:
        """Zeros like the buffer, but for these rows just before its last one."""
        stop = add(self.taken, depth - 1)
        return zeros_for(buffer).add_at(slice(subtract(stop, self.n_steps), stop), rows)

    def _run(self) -> _Ran:
        """The gradient loop, and what its results are."""
        loop = self.loop
        self._read_sequences()
        self._read_states()
        self._read_cotangents()
        self._read_effects()
        pending = [self._carry_pending(i, state) for i, state in enumerate(loop.states)]
        totals = [self._carry_total(v, self.cotangents[x]) for x, v in loop.fixed.items()]
        of_rows = {read.symbol: self.cotangents[read.symbol] for read in loop.reads}
        of_rows = {symbol: ct for symbol, ct in of_rows.items() if ct is not None}
        gradient_loop = Loop(self._make(list(of_rows.values())))
        carried = (state.taps[-1] for state in self.states)
        return _Ran(
            pending,
            totals,
            dict(zip(carried, gradient_loop.buffers, strict=True)),
            dict(zip(of_rows, gradient_loop.traces, strict=True)),
        )

    def _read_sequences(self) -> None:
        """The rows that the loop's own steps read, in reverse."""
        for reads in self.loop.reads_by_sequence:
            reach = max(read.offset for read in reads)
            used = reversed_rows(self._first_rows(reads[0].sequence, reach))
            self.reads += [Read(used, reach - r.offset, self.symbols[r.symbol]) for r in reads]

    def _first_rows(self, sequence: Variable, reach: int) -> Variable:
        """The rows of a sequence that the steps read."""
        if sequence.type.shape[0] == size_of(self.taken) + reach:
            return sequence
        return sequence[: add(self.taken, reach)]

    def _read_states(self) -> None:
        """The earlier states, from the buffers, in reverse."""
        for buffer, state in zip(self.loop.buffers, self.loop.states, strict=True):
            rows = reversed_rows(buffer)
            self.reads += [Read(rows, -tap, self.symbols[x]) for tap, x in state.taps.items()]

    def _read_cotangents(self) -> None:
        """The cotangents of plain outputs, and those of new states that come from outside."""
        cotangents = zip(self.loop.results, self.arriving, self.body.cotangents, strict=True)
        for k, (result, arriving, symbol) in enumerate(cotangents):
            if arriving is None or symbol is None:
                continue
            if result.depth:
                self.parts[k] = split_cotangent(arriving, result.depth)
                arriving = self.parts[k].rows
            if arriving is not None:
                row = self._row(symbol, arriving.type.row, self.body.outputs[k])
                self.reads.append(Read(reversed_rows(arriving), 0, row))

    def _read_effects(self) -> None:
        """What the steps' effects gave, so that they do not happen again."""
        outputs = self.body.outputs[len(self.loop.states) :]
        traces = dict(zip(outputs, self.loop.traces, strict=False))
        for output in kept_effects(list(traces)):
            self.rows[output] = row = make_input(output.type)
            self.reads.append(Read(reversed_rows(traces[output]), 0, row))

    def _row(self, symbol: Variable, row: TensorType, output: Variable) -> Variable:
        """What stands for a row of a cotangent: the symbol, or one of the size known outside."""
        if row is symbol.type:
            return symbol
        other = make_input(row)
        self.rows[symbol] = unified_with(other, output, "gradient of scan")
        return other

    def _carry_pending(self, i: int, state: State) -> list[Variable]:
        """Carry the pending cotangents of a state: their symbols, that of the new value first."""
        cotangent = self.body.cotangents[i]
        if cotangent is None:
            return []
        zero = make_constant(np.zeros((), state.initial.dtype))
        zeros = broadcast_to(zero, (1, *shape_of(state.initial)[1:]))
        symbols = [make_input(state.new.type) for _ in range(state.depth)]
        first, row = zeros, None
        parts = self.parts.get(i)
        if parts is not None:
            first = zeros if parts.last is None else parts.last[None]
            row = None if parts.rows is None else self.rows.get(cotangent, cotangent)
        if row is None and cotangent.type is symbols[0].type:
            symbols[0] = cotangent
        else:
            self.rows[cotangent] = symbols[0] if row is None else add(symbols[0], row)
        firsts = [first, *[zeros] * (state.depth - 1)]
        ending = self.endings[i]
        if ending is not None:
            rows = [ending[state.depth - 1 - j][None] for j in range(state.depth)]
            firsts = rows if first is zeros else [add(first, rows[0]), *rows[1:]]
        for j, symbol in enumerate(symbols):
            # What was pending one place on, plus what this step gives.
            tap = state.taps.get(-1 - j)
            terms = [*symbols[j + 1 : j + 2], None if tap is None else self.cotangents[tap]]
            terms = [term for term in terms if term is not None]
            new = add(*terms) if len(terms) == 2 else terms[0] if terms else zeros_for(symbol)
            self.states.append(State(firsts[j], {-1: symbol}, new))
        return symbols

    def _carry_total(self, fixed: Variable, cotangent: Variable | None) -> Variable | None:
        """Carry the sum of the cotangents of what does not change over time: its symbol."""
        if cotangent is None:
            return None
        zero = broadcast_to(make_constant(np.zeros((), fixed.dtype)), (1, *shape_of(fixed)))
        total = make_input(fixed.type)
        self.states.append(State(zero, {-1: total}, add(total, cotangent)))
        return total

    def _make(self, outputs: Sequence[Variable]) -> Variable:
        """The loop itself, whose plain outputs are the cotangents of what the loop's steps read."""
        fixed = {self.symbols[symbol]: v for symbol, v in self.loop.fixed.items()}
        ends = self._with_rows([*(state.new for state in self.states), *outputs], fixed)
        values = iter(ends)
        states = [state._replace(new=next(values)) for state in self.states]
        name = self.loop.node.name
        is_running = self.loop.layout.role in ("running", "running gradient")
        return make_loop(
            self.n_steps,
            self.reads,
            states,
            list(values),
            fixed=fixed,
            first=self.first,
            role="running gradient" if is_running else "gradient",
            is_over_chunks=self.loop.layout.is_over_chunks,
            name=f"gradient of {name}" if name else None,
            like=self.loop.node,
        )

    def _with_rows(
        self, values: list[Variable], fixed: Mapping[Variable, Variable]
    ) -> list[Variable]:
        """Values of a step with what stands for cotangents' symbols, and one symbol for each of
        the variables that are ``fixed``."""
        first: dict[Variable, Variable] = {}
        for symbol, v in fixed.items():
            first.setdefault(v, symbol)
        same = {symbol: first[v] for symbol, v in fixed.items() if first[v] is not symbol}
        rows = dict(zip(self.rows, replace(list(self.rows.values()), same), strict=True))
        return replace(values, rows | same) if rows or same else values

    def _sequence_cotangent(
        self, reads: Sequence[Read], traces: Mapping[Variable, Variable]
    ) -> Variable | None:
        """The cotangent of a sequence from those of its rows, which lie in reverse."""
        truncated = self.n_steps is not self.taken
        total: Variable | None = None
        for sequence, offset, symbol in reads:
            if symbol not in traces:
                continue
            trace = reversed_rows(traces[symbol])
            if truncated or sequence.type.shape[0] != trace.type.shape[0]:
                start = add(subtract(self.taken, self.n_steps), offset) if truncated else offset
                stop = add(self.taken, offset)
                if total is None:
                    total = zeros_for(sequence)
                total = total.add_at(slice(start, stop), trace)
            else:
                total = trace if total is None else add(total, trace)
        return total

    def _initial_cotangent(self, i: int, pending: Sequence[Variable]) -> Variable | None:
        """The cotangent of the initial rows: what is pending when the first step is through."""
        if not pending or not self._counts_initial(i):
            return None
        rows = concatenate([x[None] for x in reversed(pending)], axis=0)
        if self.n_steps is not self.taken:
            # Of the rows that are pending only those from before the first step are initial ones.
            depth = self.loop.states[i].depth
            between = minimum(depth, subtract(self.taken, self.n_steps))
            padded = concatenate([zeros_for(rows), rows], axis=0)
            rows = slice_axis(padded, 0, subtract(depth, between), subtract(2 * depth, between))
        parts = self.parts.get(i)
        if parts is not None and parts.initial is not None:
            rows = add(rows, parts.initial)
        return rows

    def _counts_initial(self, i: int) -> bool:
        """Whether the initial rows matter: a step reads the state, or somebody the rows."""
        taps = self.loop.states[i].taps
        is_read = any(self.cotangents[symbol] is not None for symbol in taps.values())
        if is_read or self.endings[i] is not None:
            return True
        parts = self.parts.get(i)
        if parts is None or parts.initial is not None:
            return parts is not None
        steps = constant_value(self.loop.n_steps)
        return parts.last_may_be_initial and not (steps is not None and int(steps) > 0)


SCAN.attach(inner_vjp=inner_vjp_scan)

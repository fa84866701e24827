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
from typing import NamedTuple

import numpy as np

from ..autodiff.reverse import pull_back, zeros_for
from ..core import provenance
from ..core.graph import Graph, replace
from ..core.types import TensorType, is_float
from ..core.variable import Variable, constant_value, item, make_constant, make_input, node
from ..ops.broadcast import broadcast_to
from ..ops.elementwise import add, minimum, subtract
from ..ops.join import concatenate
from ..ops.sizes import SIZE, shape_of, size_of, unified_with
from ..ops.slices import slice_axis
from .close import close_body
from .cotangents import BufferCotangent, split_cotangent
from .op import SCAN, Layout, Loop, make_scan

__all__ = ["BodyGradient", "gradient_of_body", "vjp_scan"]


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


# By the body, which is interned and tells all types, and by which outputs have cotangents.
_known: weakref.WeakKeyDictionary[Graph, dict[tuple[bool, ...], BodyGradient]] = (
    weakref.WeakKeyDictionary()
)


def gradient_of_body(body: Graph, present: tuple[bool, ...]) -> BodyGradient:
    """The vjp of a body for cotangents of the outputs marked ``present``; equal bodies share it."""
    memo = _known.setdefault(body, {})
    if present not in memo:
        # Fresh symbols: a nested loop's parameters must not meet those of the loop around it.
        inputs = tuple(make_input(v.type) for v in body.inputs)
        outputs = body(*inputs)
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
        found = dict(zip(wanted, pull_back(seeds, wanted), strict=True))
        results = tuple(found.get(v) for v in inputs)
        memo[present] = BodyGradient(inputs, tuple(outputs), cotangents, results)
    return memo[present]


def vjp_scan(scan: Variable, cotangents: tuple[Variable | None, ...]) -> Sequence[Variable | None]:
    """The cotangents of a loop's inputs, from those of its buffers and traces."""
    with provenance.without_lines():
        return _GradientLoop(Loop(scan), cotangents).input_cotangents()


def _reached(loop: Loop, arriving: Sequence[Variable | None]) -> tuple[bool, ...]:
    """Which new states and plain outputs have cotangents: from outside, or from later steps.

    What no cotangent reaches is disconnected, not zero.
    """
    outputs = (*loop.new_states, *loop.plain)
    present = [is_float(v.dtype) and arriving[k] is not None for k, v in enumerate(outputs)]
    while True:
        results = gradient_of_body(loop.body, tuple(present)).results
        before, first = list(present), len(loop.slices)
        for i, taps in enumerate(loop.layout.states):
            later = results[first : first + len(taps)]
            present[i] = present[i] or any(result is not None for result in later)
            first += len(taps)
        if present == before:
            return tuple(present)


class _GradientLoop:
    """The gradient loop of one loop, in the making."""

    def __init__(self, loop: Loop, cotangents: tuple[Variable | None, ...]) -> None:
        self.loop = loop
        layout = loop.layout
        self.arriving = cotangents
        present = _reached(loop, cotangents)
        self.reached_states = [i for i in range(len(loop.new_states)) if present[i]]
        self.body = gradient_of_body(loop.body, present)
        self.taken = self._steps_taken()
        self.n_steps = self.taken
        if layout.truncate is not None:
            self.n_steps = minimum(layout.truncate, self.taken)
        self.sequences: list[Variable] = []
        self.offsets: list[tuple[int, ...]] = []
        self.slices: list[Variable] = []
        self.initials: list[Variable] = []
        self.carried: list[Variable] = []
        self.outputs: list[Variable] = []

    def _steps_taken(self) -> Variable:
        if not self.loop.layout.until:
            return self.loop.n_steps
        if self.loop.plain:
            return node(SIZE, (item(self.loop.node, len(self.loop.new_states)),), (0,))
        length = node(SIZE, (item(self.loop.node, 0),), (0,))
        return subtract(length, self.loop.layout.depth(0))

    def input_cotangents(self) -> Sequence[Variable | None]:
        """For each input of the loop its cotangent; None for integers and the number of steps."""
        loop, layout = self.loop, self.loop.layout
        n_slices, n_taps = len(loop.slices), len(loop.taps)
        results = self.body.results
        if all(result is None for result in results):
            return [None] * len(loop.node.inputs)
        self._read_sequences()
        self._read_states()
        self._read_cotangents()
        pending = self._carry_pending(results[n_slices : n_slices + n_taps])
        totals = self._carry_totals(results[n_slices + n_taps :])
        given = {k: ct for k, ct in enumerate(results[:n_slices]) if ct is not None}
        gradient_loop = self._make(list(given.values()))
        traces = {
            k: item(gradient_loop, len(self.initials) + position)
            for position, k in enumerate(given)
        }
        last = [item(gradient_loop, k)[-1] for k in range(len(self.initials))]
        found: list[Variable | None] = [None]
        first = 0
        for sequence, offsets in zip(loop.sequences, layout.sequences, strict=True):
            parts = [(o, traces[first + k]) for k, o in enumerate(offsets) if first + k in traces]
            found.append(self._sequence_cotangent(sequence, parts) if parts else None)
            first += len(offsets)
        for i in range(len(loop.initials)):
            found.append(self._initial_cotangent(i, [last[k] for k in pending.get(i, ())]))
        found += [None if k is None else last[k] for k in totals]
        return found

    def _read(self, sequence: Variable, offsets: tuple[int, ...], slices: list[Variable]) -> None:
        self.sequences.append(sequence)
        self.offsets.append(offsets)
        self.slices += slices

    def _read_sequences(self) -> None:
        """The loop's own slices, in reverse."""
        first = 0
        for sequence, offsets in zip(self.loop.sequences, self.loop.layout.sequences, strict=True):
            reach = max(offsets)
            used = self._first_rows(sequence, reach)
            slices = list(self.body.inputs[first : first + len(offsets)])
            first += len(offsets)
            self._read(used[::-1], tuple(reach - o for o in offsets), slices)

    def _first_rows(self, sequence: Variable, reach: int) -> Variable:
        """The rows of a sequence that the steps read."""
        if sequence.type.shape[0] == size_of(self.taken) + reach:
            return sequence
        return sequence[: add(self.taken, reach)]

    def _read_states(self) -> None:
        """The earlier states, from the buffers, in reverse."""
        first = len(self.loop.slices)
        for i, taps in enumerate(self.loop.layout.states):
            buffer = item(self.loop.node, i)
            slices = list(self.body.inputs[first : first + len(taps)])
            first += len(taps)
            self._read(buffer[::-1], tuple(-tap for tap in taps), slices)

    def _read_cotangents(self) -> None:
        """The cotangents of plain outputs, and those of new states that come from outside."""
        self.parts: dict[int, BufferCotangent] = {}
        self.unified: dict[Variable, Variable] = {}
        """For symbols of cotangents whose rows are of other sizes outside what they are: those,
        as large as what they belong to."""
        for k, arriving in enumerate(self.arriving):
            symbol = self.body.cotangents[k]
            if arriving is None or symbol is None:
                continue
            if k < len(self.loop.initials):
                self.parts[k] = split_cotangent(arriving, self.loop.layout.depth(k))
                arriving = self.parts[k].rows
            if arriving is not None:
                row = arriving.type.with_shape(arriving.type.shape[1:])
                self._read(arriving[::-1], (0,), [self._row(symbol, row, self.body.outputs[k])])

    def _row(self, symbol: Variable, row: TensorType, output: Variable) -> Variable:
        """What stands for a row of a cotangent: the symbol, or one of the size known outside."""
        if row is symbol.type:
            return symbol
        other = make_input(row)
        self.unified[symbol] = unified_with(other, output, "gradient of scan")
        return other

    def _carry(self, initial: Variable, value: Variable) -> int:
        """A state of the gradient loop that starts with ``initial``; its position."""
        self.initials.append(initial)
        self.carried.append(value)
        return len(self.initials) - 1

    def _carry_pending(self, tap_cotangents: Sequence[Variable | None]) -> dict[int, list[int]]:
        """The pending cotangents of each state: for each the positions of its carried states."""
        replacements: dict[Variable, Variable] = {}
        pending: dict[int, list[int]] = {}
        self.contributions = contributions = dict[int, dict[int, Variable]]()
        first = 0
        for i, taps in enumerate(self.loop.layout.states):
            contributions[i] = {
                -1 - tap: ct
                for tap, ct in zip(taps, tap_cotangents[first : first + len(taps)], strict=True)
                if ct is not None
            }
            first += len(taps)
            if i not in self.reached_states:
                continue
            rows = self.loop.initials[i]
            first_rows = [
                broadcast_to(make_constant(np.zeros((), rows.dtype)), (1, *shape_of(rows)[1:]))
            ] * self.loop.layout.depth(i)
            parts = self.parts.get(i)
            if parts is not None and parts.last is not None:
                first_rows[0] = parts.last[None]
            symbols = [make_input(self.loop.new_states[i].type) for _ in first_rows]
            pending[i] = [self._carry(*pair) for pair in zip(first_rows, symbols, strict=True)]
            cotangent = self.body.cotangents[i]
            assert cotangent is not None
            replacements[cotangent] = (
                symbols[0] if parts is None or parts.rows is None else add(symbols[0], cotangent)
            )
        # New pending values: what was pending one place on, plus what this step gives.
        for i, positions in pending.items():
            for j in range(len(positions)):
                nxt = self.carried[positions[j + 1]] if j + 1 < len(positions) else None
                given = contributions[i].get(j)
                parts = [x for x in (nxt, given) if x is not None]
                self.outputs.append(
                    add(*parts)
                    if len(parts) == 2
                    else parts[0]
                    if parts
                    else zeros_for(self.carried[positions[j]])
                )
        self.replacements = replacements
        return pending

    def _carry_totals(self, cotangents: Sequence[Variable | None]) -> list[int | None]:
        """The sums of cotangents of what does not change over time: positions, None for none."""
        positions: list[int | None] = []
        for other, cotangent in zip(self.loop.others, cotangents, strict=True):
            if cotangent is None:
                positions.append(None)
                continue
            zero = broadcast_to(make_constant(np.zeros((), other.dtype)), (1, *shape_of(other)))
            total = make_input(other.type)
            positions.append(self._carry(zero, total))
            self.outputs.append(add(total, cotangent))
        return positions

    def _make(self, slice_cotangents: Sequence[Variable]) -> Variable:
        """The loop itself."""
        symbols = self.body.inputs[len(self.body.inputs) - len(self.loop.others) :]
        constants = dict(zip(symbols, self.loop.others, strict=True))
        known = {**self.replacements, **constants}
        if self.unified:
            rows = _replaced(self.unified, constants)
            known = {**rows, **_replaced(self.replacements, rows), **constants}
        outputs = replace([*self.outputs, *slice_cotangents], known)
        body, others = close_body([*self.slices, *self.carried], outputs)
        layout = Layout(tuple(self.offsets), ((-1,),) * len(self.carried))
        made = make_scan(
            self.n_steps,
            self.sequences,
            self.initials,
            others,
            body,
            layout,
            lines=provenance.lines_of(self.loop.node),
        )
        name = self.loop.node.name
        if name and made.name is None:
            provenance.set_name(made, f"gradient of {name}")
        return made

    def _sequence_cotangent(
        self, sequence: Variable, parts: Sequence[tuple[int, Variable]]
    ) -> Variable:
        """The cotangent of a sequence from those of its slices, which lie in reverse."""
        truncated = self.n_steps is not self.taken
        total: Variable | None = None
        for offset, reverse_trace in parts:
            trace = reverse_trace[::-1]
            if truncated or sequence.type.shape[0] != trace.type.shape[0]:
                start = add(subtract(self.taken, self.n_steps), offset) if truncated else offset
                stop = add(self.taken, offset)
                if total is None:
                    total = zeros_for(sequence)
                total = total.add_at(slice(start, stop), trace)
            else:
                total = trace if total is None else add(total, trace)
        assert total is not None
        return total

    def _initial_cotangent(self, i: int, pending: Sequence[Variable]) -> Variable | None:
        """The cotangent of the initial rows: what is pending when the first step is through."""
        if not pending or not self._counts_initial(i):
            return None
        rows = concatenate([x[None] for x in reversed(pending)], axis=0)
        if self.n_steps is not self.taken:
            # Of the rows that are pending only those from before the first step are initial ones.
            depth = self.loop.layout.depth(i)
            between = minimum(depth, subtract(self.taken, self.n_steps))
            padded = concatenate([zeros_for(rows), rows], axis=0)
            rows = slice_axis(padded, 0, subtract(depth, between), subtract(2 * depth, between))
        parts = self.parts.get(i)
        if parts is not None and parts.initial is not None:
            rows = add(rows, parts.initial)
        return rows

    def _counts_initial(self, i: int) -> bool:
        """Whether the initial rows matter: a step reads the state, or somebody the rows."""
        if self.contributions[i]:
            return True
        parts = self.parts.get(i)
        if parts is None or parts.initial is not None:
            return parts is not None
        steps = constant_value(self.loop.n_steps)
        return parts.last_may_be_initial and not (steps is not None and int(steps) > 0)


def _replaced(
    values: Mapping[Variable, Variable], replacements: Mapping[Variable, Variable]
) -> dict[Variable, Variable]:
    """The table with replacements made in its values."""
    return dict(zip(values, replace(list(values.values()), replacements), strict=True))


SCAN.attach(vjp=vjp_scan)

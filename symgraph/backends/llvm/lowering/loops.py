"""Loops in a program: rows are reached by addresses that advance from turn to turn.

A state of which only the last rows are read lives in a ring of rows; otherwise new values are
written where they stay. Right operands of products that do not change are packed before the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ....core import provenance
from ....core.dims import Atom, Dim, Size, maximum_zero, product
from ....core.errors import TooLargeError
from ....core.graph import Graph
from ....core.variable import ITEM, Variable
from ....ops.linalg import MATMUL
from ....ops.sizes import size_of
from ....ops.slices import SLICE, SYMBOL, At, Span
from ....scan.op import Loop
from ..analysis.layout import contiguous_strides
from ..analysis.sink import sink_slices
from .products import pack_ahead
from .program import PackedKey, Place
from .records import rule
from .rows_ahead import RowsAhead, find_rows_ahead
from .scope import Scope

__all__ = ["lower_scan"]

# How many rows a loop of unknown length is given at first.
_FIRST_ROWS = 64


@rule("scan")
def lower_scan(scope: Scope, v: Variable) -> bool:
    """A loop of native code; none where only its steps tell how large a row of a trace is."""
    loop = Loop(v)
    read = {x.params[0] for x, _ in scope.graph.users[v] if x in scope.needed}
    for i, row in enumerate(loop.plain, len(loop.new_states)):
        if i in read and not all(map(scope.assembler.is_bound, row.type.shape)):
            return False
    _LoopWriter(scope, v).write()
    return True


@dataclass
class _LoopWriter:
    scope: Scope
    node: Variable
    given: dict[Variable, Place] = field(default_factory=dict)
    destinations: dict[Variable, list[Place]] = field(default_factory=dict)
    advances: list[tuple[int, int]] = field(default_factory=list)
    row_strides: dict[Variable, Size] = field(default_factory=dict)
    """For each slice of a sequence how far it moves from step to step."""
    rings: list[list[int]] = field(default_factory=list)
    after: list[tuple[Variable, int, Size]] = field(default_factory=list)
    growing: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Of a loop of unknown length the buffers: slots of address, rows ahead, bytes, movement."""
    growing_addresses: list[tuple[int, int]] = field(default_factory=list)

    def write(self) -> None:
        scope, a = self.scope, self.scope.assembler
        loop = self.loop = Loop(self.node)
        self.items = {
            x.params[0]: x
            for x in scope.graph.nodes
            if x.op is ITEM and x.inputs[0] is self.node and x in scope.needed
        }
        self.n = self._number_of_steps()
        self._sequences()
        for state in range(len(loop.layout.states)):
            self._state(state)
        for i, x in enumerate(loop.plain):
            self._trace(len(loop.layout.states) + i, x)
        for x, other in zip(loop.constants, loop.others, strict=True):
            self.given[x] = (
                scope.place(other) if other in scope.needed else Place(a.literal(0), (0,) * x.ndim)
            )
        until = -1
        if loop.condition is not None:
            until = a.memory(1, np.dtype("bool"))
            self.destinations.setdefault(loop.condition, []).append(Place(until, ()))
        self._loop(until)

    def _loop(self, until: int) -> None:
        scope, a, loop = self.scope, self.scope.assembler, self.loop
        outputs = list(self.destinations)
        graph = sink_slices(Graph(loop.body.inputs, outputs))
        # What the slices were moved behind has other outputs only where an output was a slice.
        places = self.destinations.values()
        self.destinations = dict(zip(graph.outputs, places, strict=True))
        ahead = self._rows_ahead(graph)
        body = Scope(scope.lowering, graph, self.given)
        packed = self._pack_weights(body)
        turn = a.slot()

        capacity = a.slot()
        if self.growing:
            a.run("address", capacity, a.literal(_FIRST_ROWS), a.literal(0), 1)

        def write_body() -> None:
            if self.growing:
                words = [
                    slot for entry in (*self.growing, *self.growing_addresses) for slot in entry
                ]
                counts = (len(self.growing), len(self.growing_addresses))
                a.run("grow", turn, capacity, self._no_room(turn), *counts, *words)
            for each in ahead:
                each.write(body, turn, self.n)
            body.emit(self.destinations)
            for ring in self.rings:
                a.run("rotate", len(ring), *reversed(ring))

        with scope.lowering.inside(turn, self.node, self.n):
            a.loop(a.size(self.n), turn, self.advances, write_body, until=until)
        for key in packed:
            scope.lowering.buffers.give_back(scope.lowering.packed.pop(key))
        for each in ahead:
            scope.lowering.buffers.give_back(each.buffer)
        if loop.condition is not None:
            taken = self._steps_taken()
            if taken is not None:
                a.bind(taken, turn, at_entry=False)
        for x, last, offset in self.after:
            scope.bases[x] = a.address(last, -offset, x.dtype)

    def _steps_taken(self) -> Atom | None:
        """The atom that stands for the steps that were taken."""
        for depth, type in zip(
            [
                *map(self.loop.layout.depth, range(len(self.loop.layout.states))),
                *[0] * len(self.loop.plain),
            ],
            self.node.type.items,
            strict=True,
        ):
            size = type.shape[0] - depth
            if isinstance(size, Dim) and size.atom is not None:
                return size.atom
        return None

    def _number_of_steps(self) -> Size:
        a = self.scope.assembler
        n = size_of(self.loop.n_steps)
        if not isinstance(n, int) and (maximum_zero(n) is not n or not a.is_known_at_entry(n)):
            self._check(
                "at_least", n, 0, lambda n, least: f"the number of steps is {n}; it is at least 0"
            )
        return n

    def _no_room(self, turn: int) -> int:
        """The status of a call that finds no memory for the rows of a loop of unknown length."""
        return self.scope.lowering.check(
            self.node,
            turn,
            text=lambda steps: f"scan: no memory is left for the results of {steps} steps",
            error=TooLargeError,
        )

    def _check(self, rule: str, a: Size, b: Size, text: Callable[[int, int], str]) -> None:
        assembler = self.scope.assembler
        slots = [assembler.size(a), assembler.size(b)]
        check = self.scope.lowering.check(
            self.node, *slots, text=lambda a, b: f"scan: {text(a, b)}"
        )
        assembler.run(rule, *slots, check)

    # --- what is read ---------------------------------------------------------------------------

    def _moving(self, base: int, offset: Size, stride: Size, dtype: np.dtype) -> int:
        """A slot with an address that advances by a stride at each turn."""
        a = self.scope.assembler
        slot = a.slot()
        a.run("address", slot, base, a.size(offset), dtype.itemsize)
        self.advances.append((slot, a.size(stride * dtype.itemsize)))
        return slot

    def _sequences(self) -> None:
        scope, a, loop = self.scope, self.scope.assembler, self.loop
        slices = iter(loop.slices)
        for sequence, offsets in zip(loop.sequences, loop.layout.sequences, strict=True):
            self._check_length(sequence, max(offsets, default=0))
            if sequence not in scope.needed:
                for _ in offsets:
                    x = next(slices)
                    self.given[x] = Place(a.literal(0), (0,) * x.ndim)
                continue
            place = scope.place(sequence)
            stride, *rest = place.strides
            for offset in offsets:
                slot = self._moving(place.base, offset * stride, stride, sequence.dtype)
                x = next(slices)
                self.given[x] = Place(slot, tuple(rest))
                self.row_strides[x] = stride

    def _check_length(self, sequence: Variable, ahead: int) -> None:
        # Without a step no row is read.
        needed = self.n + ahead * (1 - maximum_zero(1 - self.n))
        spare = sequence.type.shape[0] - needed
        if (isinstance(spare, int) and spare >= 0) or (
            isinstance(spare, Dim) and maximum_zero(spare) is spare
        ):
            return
        name = provenance.describe(sequence)
        self._check(
            "at_least",
            sequence.type.shape[0],
            needed,
            lambda rows, needed: (
                f"{needed - ahead} steps read {needed} rows of {name}, which has {rows}"
            ),
        )

    # --- what is written ------------------------------------------------------------------------

    def _state(self, state: int) -> None:
        scope, a, loop = self.scope, self.scope.assembler, self.loop
        depth = loop.layout.depth(state)
        initial = loop.initials[state]
        if initial.type.shape[0] != depth:
            taps, name = list(loop.layout.states[state]), provenance.describe(initial)
            self._check(
                "check",
                initial.type.shape[0],
                depth,
                lambda rows, depth: (
                    f"taps {taps} take an initial value of {depth} rows; {name} has {rows}"
                ),
            )
        new = loop.new_states[state]
        row = product(new.type.shape)
        strides = contiguous_strides(new.type.shape)
        ring = self._reads_last_only(state, depth)
        rows = (depth + 1) if ring else depth + self.n
        item = self.items.get(state)
        moved = -1
        if ring:
            buffer = scope.lowering.buffers.take(rows * row, new.dtype)
        elif loop.condition is None:
            buffer = (
                scope.base(item)
                if item is not None
                else scope.lowering.buffers.take(rows * row, new.dtype)
            )
        else:
            buffer, moved = self._growing(depth, row, new.dtype)
            if item is not None:
                scope.bases[item] = buffer
        scope.lowering.copy(
            scope.place(initial),
            Place(buffer, contiguous_strides(initial.type.shape)),
            (depth, *initial.type.shape[1:]),
            new.dtype,
        )
        if ring:
            slots = [a.slot() for _ in range(depth + 1)]
            for i, slot in enumerate(slots):
                a.run("address", slot, buffer, a.size(row * i), new.dtype.itemsize)
            self.rings.append(slots)
            at = dict(enumerate(slots))
            if item is not None:
                self.after.append((item, slots[depth - 1], (depth + self.n - 1) * row))
        else:
            at = {
                i: self._moving(buffer, i * row, row, new.dtype)
                for i in {depth, *(depth + tap for tap in loop.layout.states[state])}
            }
            if moved >= 0:
                self.growing_addresses += [(slot, moved) for slot in at.values()]
        first = sum(len(taps) for taps in loop.layout.states[:state])
        for i, tap in enumerate(loop.layout.states[state]):
            self.given[loop.taps[first + i]] = Place(at[depth + tap], strides)
        self.destinations.setdefault(new, []).append(Place(at[depth], strides))

    def _growing(self, ahead: int, row: Size, dtype: np.dtype) -> tuple[int, int]:
        """A buffer whose room is doubled when it is full: slots of its address and its movement."""
        a = self.scope.assembler
        buffer, moved = a.slot(), a.slot()
        a.allocate(buffer, (ahead + _FIRST_ROWS) * row, dtype)
        self.growing.append((buffer, a.literal(ahead), a.size(row * dtype.itemsize), moved))
        return buffer, moved

    def _reads_last_only(self, state: int, depth: int) -> bool:
        """Whether nobody reads the state's buffer but for the rows that a ring still holds."""
        item = self.items.get(state)
        if item is None:
            return True
        if item in self.scope.outputs or self.loop.condition is not None:
            return False
        pending = [item]
        while pending:
            x = pending.pop()
            for user, _ in self.scope.graph.users[x]:
                if user not in self.scope.needed:
                    continue
                if user in self.scope.late or user.op is not SLICE or user.inputs[0] is not x:
                    return False
                entry = user.params[0][0]
                if isinstance(entry, Span):
                    # A slice up to the end has the same last rows.
                    if entry.stop is not None or entry.step != 1 or user in self.scope.outputs:
                        return False
                    pending.append(user)
                elif not isinstance(entry, At) or not _is_among_last(entry, depth):
                    return False
        return True

    def _trace(self, index: int, x: Variable) -> None:
        item = self.items.get(index)
        if item is None:
            return
        scope = self.scope
        row = product(x.type.shape)
        if self.loop.condition is None:
            buffer = scope.base(item)
            slot = self._moving(buffer, 0, row, x.dtype)
        else:
            buffer, moved = self._growing(0, row, x.dtype)
            scope.bases[item] = buffer
            slot = self._moving(buffer, 0, row, x.dtype)
            self.growing_addresses.append((slot, moved))
        self.destinations.setdefault(x, []).append(Place(slot, contiguous_strides(x.type.shape)))

    # --- products of rows ahead ------------------------------------------------------------------

    def _rows_ahead(self, graph: Graph) -> list[RowsAhead]:
        """The products that are computed for several steps at once: given to the body."""
        found = []
        for v in find_rows_ahead(graph, self.row_strides, self.loop.constants):
            x = v.inputs[0]
            each = RowsAhead.of(self.scope.lowering, v, self.given[x], self.row_strides[x])
            a = self.scope.assembler
            self.advances.append((each.place, a.size(each.advance() * v.dtype.itemsize)))
            self.given[v] = each.result
            found.append(each)
        return found

    # --- weights --------------------------------------------------------------------------------

    def _pack_weights(self, body: Scope) -> list[PackedKey]:
        """Pack the right operands that lie in what does not change over time: their keys."""
        constants = set(self.loop.constants)
        seen: set[Variable] = set()
        keys = []
        for v in body.graph.nodes:
            if v.op is MATMUL and v in body.needed and v.ndim == 2 and v.dtype.kind == "f":
                y = v.inputs[1]
                if y not in seen and body.views[y].root in constants:
                    seen.add(y)
                    key = pack_ahead(body, v)
                    if key is not None:
                        keys.append(key)
        return keys


def _is_among_last(entry: At, count: int) -> bool:
    """Whether the entry names one of the last rows, by a number from the end."""
    return entry.index != SYMBOL and -count <= int(entry.index) < 0

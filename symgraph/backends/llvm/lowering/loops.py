"""Loops in a program: what a step reads and where it writes, and the body in between.

Products of rows that are read are computed for several steps at once; right operands of products
that do not change are packed before the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ....core.dims import Atom, Dim, Size, floor_div, product
from ....core.graph import Graph
from ....core.types import TensorType
from ....core.variable import Variable
from ....ops.sizes import size_of
from ....scan.op import SCAN, Loop, Read, State
from ..analysis.analyses import SINK
from ..analysis.schedule import is_large
from ..analysis.traces import dying_rows
from ..kernels.small_loop import SmallLoop, small_loop_kernel
from .groups import write_scope
from .lane_parts import Part, part_of, parts_of_rows, shortest_row
from .loop_checkpoints import Checkpoints, checkpoints_of
from .loop_checks import LoopChecks
from .loop_rows import GrowingRows, LastRows, Ring, Rows, Turns, few_rows
from .products import pack_ahead
from .program import Place, Turn
from .records import Lowering
from .rows_ahead import ROWS, RowsAhead, factor_of, find_products
from .rows_in_place import RowsInPlace, result_of_rows
from .scope import Scope
from .small_body import SmallBody, small_body, steps_at_once
from .small_elements import loop_of_elements
from .small_parts import LoopPlaces
from .small_rows import loop_of_rows

__all__ = ["LOOPS"]

# How many steps a call of a small loop's kernel may take: some milliseconds.
_LONGEST_CALL = 1 << 20


def _write_scan(scope: Scope, v: Variable) -> bool:
    """A loop of native code; none where only its steps tell how large a row of a trace is."""
    writer = _LoopWriter(scope, Loop(v))
    for x, (value, depth) in zip(writer.items, writer.loop.results, strict=True):
        if x is not None and not depth and not all(map(scope.assembler.is_bound, value.type.shape)):
            return False
    writer.write()
    return True


class _LoopWriter:
    """A loop in the making."""

    def __init__(self, scope: Scope, loop: Loop) -> None:
        self.scope, self.loop = scope, loop
        self.n = size_of(loop.n_steps)
        self.checks = LoopChecks(scope, loop)
        items = (x for x, _ in scope.graph.users[loop.node] if x in scope.values.needed)
        by_result = {x.params[0]: x for x in items}
        self.items = [by_result.get(k) for k in range(len(loop.results))]
        """The items that have the loop's results; None where nobody reads one."""
        self.kept_rows = [x if x in scope.values.needed else None for x in loop.checkpoints]
        """For each state its checkpoints; None where nobody reads them."""
        self._keeps_checkpoints = any(x is not None for x in self.kept_rows)
        self.few_rows = [
            few_rows(scope, *each) for each in zip(loop.states, self.items, strict=False)
        ]
        """For each state how many last rows of it are kept; None where all are."""
        self.small = self._small_body()
        """The step, where the loop is one kernel."""
        self.at_once: Size = 1
        """How many steps a turn of the program takes; one where times are counted."""
        if self.small is not None and scope.builder.timing is None:
            self.at_once = steps_at_once(self.small.space, until=loop.condition is not None)
            if self._keeps_checkpoints and loop.checkpoint_every is not None:
                self.at_once = loop.checkpoint_every
        self.checkpoints: Checkpoints | None = None
        self.turns = Turns(scope.assembler, self.at_once)
        self.places: dict[Variable, Place] = {}
        """Where the body finds what it is given."""
        self.destinations: dict[Variable, list[Place]] = {}
        """Where the body stores what it computes."""
        self.row_strides: dict[Variable, Size] = {}
        """For each row of a sequence how far it moves from step to step."""

    def write(self) -> None:
        """Write the loop, and let its results be where they lie."""
        loop, a = self.loop, self.scope.assembler
        self.checks.steps()
        for reads in loop.reads_by_sequence:
            self._sequence(reads)
        n_states = len(loop.states)
        results = list(map(self._state, loop.states, self.items, self.few_rows))
        rows_of_states = list(results)
        self.checkpoints = checkpoints_of(
            self.scope,
            loop.checkpoint_every,
            list(zip(loop.states, rows_of_states, self.kept_rows, strict=False)),
            grows=loop.condition is not None,
        )
        results += filter(None, map(self._output, loop.outputs, self.items[n_states:]))
        for symbol, fixed in loop.fixed.items():
            is_needed = fixed in self.scope.values.needed
            self.places[symbol] = self.scope.place(fixed) if is_needed else self._nowhere(symbol)
        until = -1
        if loop.condition is not None:
            until = a.memory(1, np.dtype("bool"))
        if self.small is not None:
            self._steps_in_kernel(self.small, rows_of_states, until)
        else:
            if loop.condition is not None:
                self.destinations.setdefault(loop.condition, []).append(Place(until, ()))
            self._loop(until)
        for rows in results:
            rows.close()

    def _loop(self, until: int) -> None:
        scope, a, loop, turns = self.scope, self.scope.assembler, self.loop, self.turns
        body_of_loop = Graph(loop.body.inputs, tuple(self.destinations))
        found_by = (body_of_loop.inputs, body_of_loop.outputs)
        graph = scope.builder.analyse_once(found_by, SINK, body_of_loop)
        # What the slices were moved behind has other outputs only where an output was a slice.
        destinations = dict(zip(graph.outputs, self.destinations.values(), strict=True))
        ahead = self._rows_ahead(graph)
        body = Scope(scope.builder, graph, self.places)
        packed = pack_ahead(body, loop.fixed, [each.product for each in ahead])
        turn, capacity = a.slot(), turns.room()

        def write_body() -> None:
            if turns.growing:
                turns.grow(turn, capacity, self.checks.room(turn))
            if self.checkpoints is not None:
                self.checkpoints.write(turn, self.n, self.checks.room)
            for each in ahead:
                each.write(body, turn, self.n)
            write_scope(body, destinations)
            self._forget_rows()
            turns.rotate()

        def write_step() -> None:
            scope.builder.step(write_body)

        with scope.builder.inside(self._turn(turn), self.n):
            a.loop(a.size(self.n), turn, turns.advances, write_step, until=until)
        for key in packed:
            scope.builder.buffers.give_back(scope.builder.packed.pop(key))
        for each in ahead:
            each.give_back(scope.builder)
        self._end_checkpoints()
        self._bind_steps(turn)

    def _forget_rows(self) -> None:
        """In guarded programs, fill the rows that this step was the last to read."""
        a = self.scope.assembler
        if a.guarded:
            for x in dying_rows(self.loop, self.scope.values.views):
                a.run("fill", self.places[x].base, a.size(product(x.type.shape)), x.dtype.itemsize)

    def _bind_steps(self, slot: int) -> None:
        """Let the number of steps that were taken be known, where a condition ends the loop."""
        if self.loop.condition is not None:
            taken = self._steps_taken()
            if taken is not None:
                self.scope.assembler.bind(taken, slot, at_entry=False)

    def _steps_in_kernel(self, body: SmallBody, states: Sequence[Rows], until: int) -> None:
        """The loop as one kernel, or as one for each part of a row."""
        builder, loop = self.scope.builder, self.loop
        places = LoopPlaces(self.turns, self.places, states, self.destinations)
        if body.are_elements:
            small = loop_of_elements(loop, places)
        else:
            small = loop_of_rows(builder, loop, body, places)
        parts = parts_of_rows(small, builder.idle_threads) if self._may_be_shared() else []
        if not parts:
            self._run_in_kernel(small, self.turns, until)
            return
        work = floor_div(builder.works.of([loop.node]), len(parts))

        def write_part(part: Part) -> None:
            self._run_in_kernel(*part_of(small, self.turns, part), until)

        builder.write_together([(work, partial(write_part, part)) for part in parts])

    def _may_be_shared(self) -> bool:
        """Whether several threads may have enough to do."""
        builder, a = self.scope.builder, self.scope.assembler
        stops = self.loop.condition is not None or self._keeps_checkpoints
        if builder.idle_threads == 1 or stops:
            return False
        work = builder.works.of([self.loop.node])
        return a.is_bound(work) and is_large(work)

    def _run_in_kernel(self, small: SmallLoop, turns: Turns, until: int) -> None:
        """A kernel that takes so many steps at a time."""
        builder, a, loop = self.scope.builder, self.scope.assembler, self.loop
        found = small_loop_kernel(small, self.at_once, builder.cpu)
        nodes = [v for v in loop.body.nodes if v.inputs] or [loop.node]
        turn, step, taken, capacity = a.slot(), a.slot(), a.slot(), turns.room()
        operands = [*builder.operands(found, small.row), a.size(self.n), turn]
        if loop.condition is not None:
            operands += [a.literal(taken), until]
            a.run("address", taken, a.literal(0), a.literal(0), 1)

        def write_turn() -> None:
            if turns.growing:
                assert isinstance(self.at_once, int)
                a.run("polynomial", step, 0, 1, self.at_once, 1, turn)
                turns.grow(step, capacity, self.checks.room(step))
            if self.checkpoints is not None:
                self.checkpoints.write_always(self.checks.room)
            builder.timed(nodes, lambda: a.run_kernel(found.kernel, found.pieces, *operands))
            turns.rotate()

        def write_step() -> None:
            builder.step(write_turn)

        with builder.inside(self._turn(turn), self.n):
            spare = self.at_once - self.n
            takes_one_turn = isinstance(spare, int) and spare >= 0
            if takes_one_turn and until < 0 and self.checkpoints is None:
                write_step()
            else:
                n_turns = floor_div(self.n + (self.at_once - 1), self.at_once)
                a.loop(a.size(n_turns), turn, turns.advances, write_step, until=until)
        self._end_checkpoints()
        self._bind_steps(taken)

    def _turn(self, slot: int) -> Turn:
        """What messages tell the number of a step by."""
        first = self.loop.first
        return Turn(slot, self.loop.node, None if first is None else self.scope.place(first).base)

    def _end_checkpoints(self) -> None:
        if self.checkpoints is not None and self.loop.layout.ends_at_checkpoint:
            self.checkpoints.copy()

    def _small_body(self) -> SmallBody | None:
        """The step, where it is small."""
        loop, items = self.loop, self.items
        outputs = zip(loop.outputs, items[len(loop.states) :], strict=False)
        read = [v for v, result in outputs if result is not None]
        builder = self.scope.builder
        shared_from = shortest_row(builder.idle_threads) if self._may_be_shared() else None
        find = partial(small_body, loop, read, cpu=builder.cpu, shared_from=shared_from)
        small = find(self.few_rows)
        pairs = zip(self.few_rows, loop.states, strict=True)
        as_read = [count if count == state.depth else None for count, state in pairs]
        if small is None and as_read != self.few_rows:
            # More rows than steps read may be too many for registers.
            small = find(as_read)
            self.few_rows = self.few_rows if small is None else as_read
        if small is None or not self._keeps_checkpoints:
            return small
        # A call goes from one checkpoint to the next, however many steps that are.
        every, is_known = loop.checkpoint_every, isinstance(product(small.space), int)
        is_plain = loop.condition is not None or builder.timing is not None
        is_long = isinstance(every, int) and every > _LONGEST_CALL
        return small if is_known and not is_plain and not is_long else None

    def _steps_taken(self) -> Atom | None:
        """The atom that stands for the steps that were taken."""
        for result, type in zip(self.loop.results, self.loop.node.type.items, strict=False):
            size = type.shape[0] - result.depth
            if isinstance(size, Dim) and size.atom is not None:
                return size.atom
        return None

    # --- what is read ---------------------------------------------------------------------------

    def _nowhere(self, x: Variable) -> Place:
        """A place for what the body does not read."""
        return Place(self.scope.assembler.literal(0), (0,) * x.ndim)

    def _sequence(self, reads: Sequence[Read]) -> None:
        sequence = reads[0].sequence
        self.checks.length(sequence, max(read.offset for read in reads))
        if sequence not in self.scope.values.needed:
            self.places |= {read.symbol: self._nowhere(read.symbol) for read in reads}
            return
        place = self.scope.place(sequence)
        stride, *rest = place.strides
        for _, offset, symbol in reads:
            slot = self.turns.address(place.base, offset * stride, stride, sequence.dtype)
            self.places[symbol] = Place(slot, tuple(rest))
            self.row_strides[symbol] = stride

    # --- what is written ------------------------------------------------------------------------

    def _state(self, state: State, result: Variable | None, count: int | None) -> Rows:
        """The rows of a state, of which the initial ones are there, and how the body finds them."""
        self.checks.initial(state)
        rows = self._rows_of_state(state, result, count)
        rows.begin(state.initial)
        for tap, symbol in state.taps.items():
            self.places[symbol] = rows.place(tap)
        if not isinstance(rows, LastRows):
            self.destinations.setdefault(state.new, []).append(rows.place(0))
        return rows

    def _rows_of_state(self, state: State, result: Variable | None, count: int | None) -> Rows:
        if count is not None:
            kind = Ring if self.small is None else LastRows
            return kind(self.scope, self.turns, state, result, count)
        assert result is not None
        return self._rows(result, state.depth)

    def _rows(self, result: Variable, depth: int) -> Rows:
        if self.loop.condition is not None:
            return GrowingRows(self.scope, self.turns, result, depth)
        in_place = result_of_rows(self.scope, result, depth, self.n)
        if in_place is not None:
            return RowsInPlace(self.scope, self.turns, result, depth, in_place)
        return Rows(self.scope, self.turns, result, depth)

    def _output(self, output: Variable, result: Variable | None) -> Rows | None:
        """The rows of a plain output; None where nobody reads it."""
        if result is None:
            return None
        rows = self._rows(result, 0)
        self.destinations.setdefault(output, []).append(rows.place(0))
        return rows

    # --- products of rows ahead ------------------------------------------------------------------

    def _rows_ahead(self, graph: Graph) -> list[RowsAhead]:
        """The products that are computed for several steps at once: given to the body."""
        builder, ahead = self.scope.builder, list[RowsAhead]()
        products = list(find_products(graph, self.loop.fixed))
        if not products:
            return ahead
        given = {x: (self.places[x], stride) for x, stride in self.row_strides.items()}
        fixed = {x: (self.places[x], 0) for x in self.loop.fixed}
        early = self._early(graph)
        for v in products:
            x, batch = factor_of(v), v.type.shape[0]
            sources = given.copy()
            for other in ahead:
                if other.product.type.shape[0] == batch:  # whose results are of as many steps
                    sources |= other.results
            if x in sources:
                rows = RowsAhead.of_sequence(builder, v, *sources[x])
            elif x in early and not (isinstance(batch, int) and batch >= ROWS):
                rows = RowsAhead.of_computed(builder, v, sources | fixed)
            else:
                continue
            for value, (place, stride) in rows.results.items():
                bytes_moved = self.scope.assembler.size(stride * value.dtype.itemsize)
                self.turns.advances.append((place.base, bytes_moved))
                self.places[value] = place
            ahead.append(rows)
        return ahead

    def _early(self, graph: Graph) -> set[Variable]:
        """What the body computes of rows without its states, and can compute before its step."""
        loop, builder, a = self.loop, self.scope.builder, self.scope.assembler
        if loop.condition is not None or loop.body.has_effects or builder.timing is not None:
            return set()
        late = {symbol for state in loop.states for symbol in state.taps.values()}
        early: set[Variable] = set()
        for v in (v for v in graph.nodes if v.inputs):
            is_alone = v.op is not SCAN and late.isdisjoint(v.inputs)
            is_array = isinstance(v.type, TensorType) and all(map(a.is_bound, v.type.shape))
            (early if is_alone and is_array else late).add(v)
        return early


def _work(v: Variable, of_body: Callable[[Graph], Size]) -> Size:
    loop = Loop(v)
    return size_of(loop.n_steps) * of_body(loop.body)


LOOPS = {SCAN: Lowering(sizes=slice(1), work=_work, write=_write_scan)}

"""The gradient of a loop with checkpoints: some steps at a time, which run again from there.

Such a loop keeps its states before every so-many-th step alone. Its steps are cut there into
chunks, and the gradient goes through these from the last one to the first: it runs a chunk again,
and then the gradient loop of that chunk. What lives is of one chunk, but for the checkpoints.

The last chunk, the *tail*, stands by itself, since it may be shorter; the others are one loop over
chunks. With truncation the gradient ends within a chunk: of that one the *head* stands by itself
too, and the steps before it only run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..autodiff.reverse import zeros_for
from ..core import provenance
from ..core.variable import Variable, make_input
from ..ops.broadcast import filled
from ..ops.comparison import less
from ..ops.elementwise import add, floor_divide, maximum, minimum, multiply, subtract, where
from ..ops.gradient import stop_gradient
from ..ops.join import concatenate
from ..ops.ranges import arange
from ..ops.reshape import reshape
from ..ops.sizes import shape_of, size_of, take_for_size, unified_with
from ..ops.slices import ADD_SLICE, Entry, Span, change_slice, slice_axis
from .cotangents import BufferCotangent, split_cotangent
from .first_steps import vjp_of_first_steps
from .op import SCAN, Loop, Read, State, make_loop
from .run_again import StepsAgain
from .vjp import gradient_of_body, padded, reached_results, vjp_of_steps

__all__: list[str] = []

Maybe = Variable | None


def vjp_scan(scan: Variable, cotangents: tuple[Maybe, ...]) -> Sequence[Maybe]:
    """The cotangents of a loop's inputs, from those of its buffers, traces and checkpoints."""
    with provenance.without_lines():
        loop = Loop(scan)
        of_first_steps = vjp_of_first_steps(loop, cotangents)
        if of_first_steps is not None:
            return of_first_steps
        if loop.layout.has_checkpoints:
            return _GradientInChunks(loop, cotangents).input_cotangents()
        return vjp_of_steps(loop, cotangents)


@dataclass
class _Back:
    """What the gradient has gathered on its way back through steps."""

    pending: list[Maybe]
    """For each state the cotangents of the rows that its taps go back to, ``[depth, ...]``."""
    totals: dict[Variable, Variable] = field(default_factory=dict)
    """For what does not change over time the sums of its cotangents."""
    rows: dict[int, list[Variable]] = field(default_factory=dict)
    """For each read, by its number, the cotangents of its rows, in parts: the last steps' first."""

    def gather(self, back: _Back) -> None:
        """Add what came back through the steps before."""
        self.pending = back.pending
        for x, total in back.totals.items():
            self.totals[x] = add(self.totals[x], total) if x in self.totals else total
        for number, parts in back.rows.items():
            self.rows.setdefault(number, []).extend(parts)


class _GradientInChunks:
    """The gradient of one loop with checkpoints, in the making."""

    def __init__(self, loop: Loop, cotangents: tuple[Maybe, ...]) -> None:
        n_states, n_results = len(loop.states), len(loop.results)
        self.of_checkpoints = cotangents[n_results:]
        # What comes back to checkpoints arrives between chunks.
        in_parts = all(ct is None for ct in self.of_checkpoints)
        self.loop, self.again = loop, StepsAgain(loop, in_parts=in_parts)
        present = list(cotangents[:n_results])
        for i, of_state in enumerate(self.of_checkpoints):
            present[i] = of_state if present[i] is None else present[i]
        self.present = reached_results(loop, present)
        self.parts: list[BufferCotangent | None] = []
        """For each state the cotangents of its buffer that come from outside."""
        self.arriving: list[Maybe] = []
        """For each result the cotangents of its rows."""
        for k, (result, ct) in enumerate(zip(loop.results, cotangents, strict=False)):
            rows = ct if self.present[k] else None
            if k < n_states:
                self.parts.append(None if rows is None else split_cotangent(rows, result.depth))
                part = self.parts[-1]
                rows = None if part is None else part.rows
            self.arriving.append(rows)
        self.first: Variable | None = None
        """The first step that the gradient goes back to; None for the first of all."""
        if loop.layout.truncate is not None:
            self.first = maximum(subtract(self.again.taken, loop.layout.truncate), 0)

    def input_cotangents(self) -> Sequence[Maybe]:
        """For each input of the loop its cotangent; None where it has none."""
        loop, again = self.loop, self.again
        if all(ct is None for ct in gradient_of_body(loop.body, self.present).results):
            return [None] * len(loop.node.inputs)
        back = _Back([self._ending(i) for i in range(len(loop.states))])
        first_chunk: int | Variable = 0
        if self.first is None:
            tail = again.tail_start, again.taken
            back.gather(self._steps(*tail, back, again.tail_states()))
        else:
            # No chunk that begins before the first step.
            up = floor_divide(add(self.first, subtract(again.chunk, 1)), again.chunk)
            first_chunk = _of_data(minimum(up, again.n_chunks))
            tail = again.tail_start, again.taken
            back.gather(self._through_cut(*tail, back, again.tail_states()))
        count = again.n_chunks if self.first is None else subtract(again.n_chunks, first_chunk)
        if size_of(count) != 0:
            back.gather(self._through_chunks(first_chunk, count, back))
        back.pending = self._with_checkpoints(back.pending, first_chunk)
        if self.first is not None:
            chunk = maximum(subtract(first_chunk, 1), 0)
            head = multiply(chunk, again.chunk), multiply(first_chunk, again.chunk)
            states = [x[chunk] for x in loop.checkpoints]
            back.gather(self._through_cut(*head, back, states))
        return self._by_input(back)

    # --- through steps --------------------------------------------------------------------------

    def _ending(self, i: int) -> Maybe:
        """The cotangents of the last rows of a state, where any reach it."""
        state, part = self.loop.states[i], self.parts[i]
        if not self.present[i]:
            return None
        sizes = shape_of(state.initial)[1:]
        if part is None or part.last is None:
            return filled(0, state.new.dtype, (state.depth, *sizes))
        last = part.last[None]
        if state.depth == 1:
            return last
        return concatenate([filled(0, state.new.dtype, (state.depth - 1, *sizes)), last])

    def _with_checkpoints(self, pending: Sequence[Maybe], chunk: int | Variable) -> list[Maybe]:
        """What is pending at a checkpoint, and the cotangents of that."""
        return [
            x if x is None or ct is None else add(x, slice_axis(ct, 0, chunk, add(chunk, 1))[0])
            for x, ct in zip(pending, self.of_checkpoints, strict=True)
        ]

    def _through_cut(
        self, start: Variable, stop: Variable, back: _Back, initials: Sequence[Variable]
    ) -> _Back:
        """Back through steps of which those before the first one that counts only run again."""
        again, first = self.again, self.first
        assert first is not None
        begin = _of_data(minimum(maximum(first, start), stop))
        skipped = again.steps(start, subtract(begin, start), again.rows(start, begin), initials)
        is_cut = less(start, begin)
        rows = [
            where(is_cut, self._stopped(state, buffer[-state.depth :], begin), initial)
            for state, buffer, initial in zip(
                self.loop.states, skipped.buffers, initials, strict=True
            )
        ]
        return self._steps(begin, stop, back, rows)

    def _stopped(self, state: State, rows: Variable, step: Variable) -> Variable:
        """The rows before a step, as constants but for those that are initial ones."""
        depth = state.depth
        before = minimum(depth, step)
        later = slice_axis(stop_gradient(rows), 0, subtract(depth, before))
        joined = concatenate([slice_axis(state.initial, 0, before), later])
        return unified_with(joined, state.initial, "gradient of scan")

    def _steps(
        self, start: Variable, stop: Variable, back: _Back, initials: Sequence[Variable]
    ) -> _Back:
        """Back through steps, from the states before them."""
        arriving = [
            None if x is None else self.again.of_steps(x, start, stop) for x in self.arriving
        ]
        rows = self.again.rows(start, stop)
        count, later = subtract(stop, start), subtract(self.again.taken, stop)
        return self._back(start, count, later, rows, initials, arriving, back.pending)

    def _back(
        self,
        start: Variable,
        count: Variable,
        later: Variable,
        rows: Sequence[Variable],
        initials: Sequence[Variable],
        arriving: Sequence[Maybe],
        pending: Sequence[Maybe],
    ) -> _Back:
        """What comes back through so many steps, run again from the states before them; ``later``
        ones come after them."""

        def gradient(steps: Loop) -> list[Maybe]:
            cotangents = [
                x
                if x is None or not result.depth
                else _of_buffer(steps.buffers[k], x, result.depth)
                for k, (x, result) in enumerate(zip(arriving, steps.results, strict=True))
            ]
            return list(vjp_of_steps(steps, cotangents, pending, first=later))

        steps, found = self.again.vjp_of_steps(start, count, rows, initials, gradient)
        parts = steps.layout.parts(found)
        new = [
            x if x is None else unified_with(x, p, "gradient of scan") if p is not None else x
            for x, p in zip(parts.initials, pending, strict=True)
        ]
        back = _Back([x if p is not None else None for x, p in zip(new, pending, strict=True)])
        for x, total in zip(steps.layout.parts(steps.node.inputs).fixed, parts.fixed, strict=True):
            if total is not None:
                back.totals[x] = add(back.totals[x], total) if x in back.totals else total
        back.rows = {k: [x] for k, x in enumerate(parts.sequences) if x is not None}
        return back

    def _through_chunks(self, first: int | Variable, count: Variable, back: _Back) -> _Back:
        """Back through whole chunks, by a loop over them."""
        again = self.again
        reads: list[Read] = []

        def read(x: Variable) -> Variable:
            reads.append(Read(x[::-1], 0, make_input(x.type.row)))
            return reads[-1].symbol

        def read_chunks(x: Variable) -> Variable:
            return read(reshape(x, (count, again.chunk, *shape_of(x)[1:])))

        start, stop = multiply(first, again.chunk), again.tail_start
        starts = multiply(add(first, arange(count)), again.chunk)
        last = add(first, count)
        initials = []
        for x in self.loop.checkpoints:
            of_parts = slice_axis(x, 0, multiply(first, again.parts), multiply(last, again.parts))
            if again.parts == 1:
                initials.append(read(of_parts))
            else:
                initials.append(read(reshape(of_parts, (count, again.parts, *shape_of(x)[1:])))[0])
        rows = [read_chunks(x) for x in again.rows(start, stop)]
        arriving = [
            None if x is None else read_chunks(again.of_steps(x, start, stop))
            for x in self.arriving
        ]
        symbols = [None if x is None else make_input(x.type) for x in back.pending]
        pending: list[Maybe] = list(symbols)
        for i, ct in enumerate(self.of_checkpoints):
            symbol = symbols[i]
            if ct is not None and symbol is not None:
                # Of the checkpoints after the chunks.
                of_chunk = read(slice_axis(ct, 0, add(first, 1), add(last, 1)))
                pending[i] = add(symbol, of_chunk)
        # Read as rows: a step that computed it would keep the trace whose length tells all steps.
        later = read(subtract(again.taken, add(starts, again.chunk)))
        through = self._back(read(starts), again.chunk, later, rows, initials, arriving, pending)
        return self._loop_over_chunks(count, reads, symbols, back, through)

    def _loop_over_chunks(
        self,
        count: Variable,
        reads: Sequence[Read],
        symbols: Sequence[Maybe],
        back: _Back,
        through: _Back,
    ) -> _Back:
        """The loop whose step is to come back ``through`` a chunk; what it adds."""
        states = [
            State(x[None], {-1: symbol}, new)
            for x, symbol, new in zip(back.pending, symbols, through.pending, strict=True)
            if x is not None and symbol is not None and new is not None
        ]
        for x, total in through.totals.items():
            symbol = make_input(x.type)
            # Beginning with the sum after these chunks, so that what it is made of can be freed.
            after = back.totals.pop(x, None)
            first = filled(0, x.dtype, shape_of(x)) if after is None else after
            states.append(State(first[None], {-1: symbol}, add(symbol, total)))
        name = self.loop.node.name
        loop = Loop(
            make_loop(
                count,
                reads,
                states,
                [parts[0] for parts in through.rows.values()],
                role="gradient",
                is_over_chunks=True,
                name=f"gradient of {name}" if name else None,
                like=self.loop.node,
            )
        )
        last = iter([buffer[-1] for buffer in loop.buffers])
        new = _Back([None if x is None else next(last) for x in back.pending])
        new.totals = dict(zip(through.totals, last, strict=True))
        steps = multiply(count, self.again.chunk)
        for number, trace in zip(through.rows, loop.traces, strict=True):
            new.rows[number] = [reshape(trace[::-1], (steps, *shape_of(trace)[2:]))]
        return new

    # --- what has come back ---------------------------------------------------------------------

    def _by_input(self, back: _Back) -> list[Maybe]:
        """What came back through all steps, for each input of the loop."""
        loop = self.loop
        totals = dict(back.totals)
        numbers = iter(range(len(loop.reads)))
        found = [
            None,
            *(
                self._of_sequence([(read, back.rows.get(next(numbers))) for read in reads])
                for reads in loop.reads_by_sequence
            ),
            *(self._of_initial(i, back.pending[i]) for i in range(len(loop.states))),
            *(totals.pop(x, None) for x in loop.layout.parts(loop.node.inputs).fixed),
        ]
        return padded(found, loop)

    def _of_sequence(self, reads: Sequence[tuple[Read, list[Variable] | None]]) -> Maybe:
        """The cotangent of a sequence from those of the rows that steps read."""
        total: Maybe = None
        for (sequence, offset, _), parts in reads:
            if parts is None:
                continue
            rows = concatenate(parts[::-1]) if len(parts) > 1 else parts[0]
            if self.first is None and sequence.type.shape[0] == rows.type.shape[0]:
                total = rows if total is None else add(total, rows)
                continue
            start = offset if self.first is None else add(self.first, offset)
            total = zeros_for(sequence) if total is None else total
            total = total.add_at(slice(start, add(self.again.taken, offset)), rows)
        return total

    def _of_initial(self, i: int, pending: Maybe) -> Maybe:
        """The cotangent of initial rows from what is pending before the first step that counts."""
        if pending is None:
            return None
        depth, part = self.loop.states[i].depth, self.parts[i]
        if self.first is not None:
            # Of the rows that are pending only those from before the first step are initial ones.
            before = minimum(depth, self.first)
            padded = concatenate([zeros_for(pending), pending])
            pending = slice_axis(padded, 0, subtract(depth, before), subtract(2 * depth, before))
        if part is not None and part.initial is not None:
            pending = add(pending, part.initial)
        return unified_with(pending, self.loop.states[i].initial, "gradient of scan")


def _of_data(number: Variable) -> Variable:
    """A number that is none below zero as one that only data tell.

    As a formula of sizes it would be a long one, and sizes made of it would be found to differ.
    """
    number = where(less(number, 0), 0, number)
    take_for_size(number)
    return number


def _of_buffer(buffer: Variable, rows: Variable, depth: int) -> Variable:
    """The cotangent of a buffer of which the new rows have these."""
    entries: list[Entry] = [Span(depth, None, 1), *[None] * (buffer.ndim - 1)]
    return change_slice(ADD_SLICE, zeros_for(buffer), rows, entries, [])


SCAN.attach(vjp=vjp_scan)

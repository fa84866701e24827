"""Some steps of a loop run again, for its gradient, from the states that it kept before them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..core.graph import replace
from ..core.variable import Variable, make_input, node
from ..ops.elementwise import floor_divide, maximum, multiply, subtract
from ..ops.sizes import SIZE, check_size
from ..ops.slices import slice_axis
from .effects import kept_effects
from .observers import without_observers
from .op import Loop, Read, State, make_alike, make_loop
from .sizes import of_length

__all__ = ["StepsAgain"]


class StepsAgain:
    """The steps of a loop with checkpoints, to be run again without what they do besides.

    Nothing is printed or checked a second time, and what effects gave is read from where the loop
    left it. ``in_parts``: whether chunks may have several parts, each from a checkpoint on.
    """

    def __init__(self, loop: Loop, *, in_parts: bool = True) -> None:
        bare = without_observers(loop.body)
        if bare is not loop.body:
            loop_again = Loop(make_alike(loop.node, loop.node.inputs, body=bare.canonical()))
        else:
            loop_again = loop
        self.loop, self._bare = loop, loop_again
        self.states: list[State] = loop_again.states
        self.outputs: list[Variable] = list(loop_again.outputs)
        self.reads: list[Read] = [*loop_again.reads, *self._read_effects(loop_again)]
        """What a step reads: the loop's own reads, then what effects gave."""
        self.taken = loop.taken
        interval = loop.interval
        assert interval is not None
        self.every: Variable = node(SIZE, (interval,), (0,))
        """How many steps checkpoints are apart."""
        before_last = maximum(subtract(self.taken, 1), 0)
        self.n_later = floor_divide(before_last, self.every)
        """How many checkpoints there are after the first."""
        self.parts = loop.layout.chunk_parts
        self.chunk = _times(self.every, self.parts)
        """How many steps a chunk has."""
        self.n_chunks = floor_divide(before_last, self.chunk)
        """How many chunks there are before the tail."""
        self.tail_start = multiply(self.n_chunks, self.chunk)
        n_parts = _times(self.n_chunks, self.parts)
        self._tail_checkpoint = n_parts if self.parts > 1 else -1
        if not in_parts:
            self.n_chunks, self.chunk, self.parts = n_parts, self.every, 1

    def _read_effects(self, loop: Loop) -> list[Read]:
        traces = dict(zip(loop.outputs, self.loop.traces, strict=True))
        given = {v: make_input(v.type) for v in kept_effects(loop.outputs)}
        if given:
            values = iter(replace([*(s.new for s in loop.states), *loop.outputs], given))
            self.states = [state._replace(new=next(values)) for state in loop.states]
            self.outputs = list(values)
        return [Read(traces[v], 0, symbol) for v, symbol in given.items()]

    def rows(self, start: int | Variable, stop: Variable) -> list[Variable]:
        """For each read the rows that these steps read."""
        return [self.of_steps(x, start, stop, offset) for x, offset, _ in self.reads]

    def of_steps(
        self, x: Variable, start: int | Variable, stop: Variable, offset: int = 0
    ) -> Variable:
        """The rows of these steps, known to be as many."""
        rows = slice_axis(x, 0, _plus(start, offset), _plus(stop, offset))
        return check_size(rows, 0, of_length(subtract(stop, start)), 0, "scan")

    def steps(
        self,
        first: Variable,
        count: Variable,
        rows: Sequence[Variable],
        initials: Sequence[Variable],
    ) -> Loop:
        """A loop for so many steps, from the rows that they read and the states before them."""
        return self._loop(first, count, zip(rows, self.reads, strict=True), initials, again=True)

    def vjp_of_steps(
        self,
        first: Variable,
        count: Variable,
        rows: Sequence[Variable],
        initials: Sequence[Variable],
        gradient: Callable[[Loop], list[Variable | None]],
    ) -> tuple[Loop, list[Variable | None]]:
        """The steps as they were, and ``gradient`` of them in terms of what is run again."""
        again = self.steps(first, count, rows, initials)
        bare = zip(rows, self._bare.reads, strict=False)
        before = self._loop(first, count, bare, initials, again=False)
        cotangents = gradient(before)
        if again.node is before.node:
            return before, cotangents
        results = dict(zip(before.buffers, again.buffers, strict=True))
        results |= dict(zip(before.traces, again.traces, strict=True))
        new = iter(replace([ct for ct in cotangents if ct is not None], results, keep_lines=True))
        return before, [None if ct is None else next(new) for ct in cotangents]

    def _loop(
        self,
        first: Variable,
        count: Variable,
        rows: Iterable[tuple[Variable, Read]],
        initials: Sequence[Variable],
        *,
        again: bool,
    ) -> Loop:
        states = self.states if again else self._bare.states
        return Loop(
            make_loop(
                count,
                [Read(x, 0, read.symbol) for x, read in rows],
                [s._replace(initial=x) for x, s in zip(initials, states, strict=True)],
                self.outputs if again else self._bare.outputs,
                fixed=self._bare.fixed,
                first=first,
                role="again",
                name=self.loop.node.name,
                like=self.loop.node,
            )
        )

    def tail(self) -> Loop:
        """The last steps, from the last checkpoint on."""
        return self.steps(
            self.tail_start,
            subtract(self.taken, self.tail_start),
            self.rows(self.tail_start, self.taken),
            self.tail_states(),
        )

    def tail_states(self) -> list[Variable]:
        """The states before the tail."""
        return [checkpoints[self._tail_checkpoint] for checkpoints in self.loop.checkpoints]


def _plus(a: int | Variable, b: int) -> int | Variable:
    return a + b if b else a


def _times(a: Variable, b: int) -> Variable:
    return multiply(a, b) if b > 1 else a

"""Chunks between checkpoints that run again in parts, side by side.

Where a step is a few operations on numbers, each waits for the one before, and a step of several
parts at once takes no longer than that of one. So a chunk of such a loop goes over several
checkpoints, and its parts run again from these together: one loop, of which a step has a row of
numbers where that of the chunk has a number.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.graph import Graph
from ..core.types import TensorType
from ..core.variable import Variable, make_input
from ..ops.broadcast import rearrange
from ..ops.elementwise import add, floor_divide
from ..ops.join import concatenate
from ..ops.reshape import reshape
from ..ops.sizes import shape_of, size_of
from ..ops.slices import SLICE, At, slice_axis
from .op import Loop, Read, State, make_alike, make_loop
from .paths import loops_in, with_bodies
from .rewrites import Replacements, rewrite_bodies, transform_loops
from .stacked import stacked

__all__ = ["parts_of_chunks", "run_side_by_side"]

_PARTS = 4
"""With more, chunks are longer, and so is what is kept of one; with so many it is less than what
steps wait for that takes the time."""


def parts_of_chunks(loop: Loop) -> int:
    """How many parts a chunk of the loop has: several where all that a step computes are numbers.

    With truncation it has one, as the gradient may go back through fewer steps than that.
    """
    if loop.layout.truncate is not None:
        return 1
    return _PARTS if all(map(_is_number, loop.body.nodes)) else 1


def _is_number(v: Variable) -> bool:
    is_scalar = isinstance(v.type, TensorType) and v.type.shape == ()
    return is_scalar and (not v.inputs or v.op.kind == "elementwise")


def run_side_by_side(graph: Graph) -> Graph:
    """The graph in which chunks that have several parts run again in these."""
    loops = (v for part in with_bodies(graph) for v in loops_in(part))
    bodies = {v.params[0] for v in loops if v.params[1].is_over_chunks}
    if not bodies:
        return graph

    def in_parts(body: Graph) -> Graph:
        return transform_loops(body, lambda _: _change) if body in bodies else body

    return rewrite_bodies(graph, in_parts)


def _change(scan: Variable, inputs: Sequence[Variable]) -> Replacements | Variable:
    moved = make_alike(scan, inputs, body=scan.params[0])
    results = _results(Loop(moved)) if scan.params[1].role == "again" else None
    if results is None:
        return moved
    loop = Loop(scan)
    return dict(zip([*loop.buffers, *loop.traces], results, strict=True))


def _results(loop: Loop) -> list[Variable] | None:
    """What the loop leaves behind, run in parts; None where it begins at a single checkpoint."""
    checkpoints = [x for x in map(_checkpoints, loop.states) if x is not None]
    counts = {x.type.shape[0] for x in checkpoints}
    parts = counts.pop() if len(counts) == 1 and len(checkpoints) == len(loop.states) else None
    steps = _steps_of_parts(loop, checkpoints, parts) if isinstance(parts, int) else None
    if steps is None:
        return None
    rows = [_joined(x, loop.n_steps) for x in steps.over_time()]
    for i, state in enumerate(loop.states):
        rows[i] = concatenate([state.initial, rows[i]])
    return rows


def _checkpoints(state: State) -> Variable | None:
    """What a chunk is given of a state, if that is several checkpoints and the first is initial."""
    x = state.initial
    is_first = x.op is SLICE and x.params[0] == (At(0), *[None] * x.ndim)
    return x.inputs[0] if is_first and not x.inputs[0].inputs else None


def _steps_of_parts(loop: Loop, checkpoints: Sequence[Variable], parts: int) -> Loop | None:
    """The loop of which a step is one of each part; None where there is no such step."""
    every = floor_divide(loop.n_steps, parts)
    many = {v: make_input(v.type.with_shape((parts, *v.type.shape))) for v in loop.changing}
    ends = stacked([*(state.new for state in loop.states), *loop.outputs], many)
    if ends is None or size_of(every) * parts != size_of(loop.n_steps):
        return None

    def read(sequence: Variable, offset: int, symbol: Variable) -> Read:
        if offset or sequence.type.shape[0] != size_of(loop.n_steps):
            sequence = slice_axis(sequence, 0, offset, add(loop.n_steps, offset))
        by_part = reshape(sequence, (parts, every, *shape_of(sequence)[1:]))
        return Read(_swapped(by_part), 0, many[symbol])

    states = [
        State(_swapped(x), {tap: many[v] for tap, v in state.taps.items()}, new)
        for x, state, new in zip(checkpoints, loop.states, ends, strict=False)
    ]
    return Loop(
        make_loop(
            every,
            [read(*each) for each in loop.reads],
            states,
            ends[len(states) :],
            fixed=loop.fixed,
            first=loop.first,
            role="again",
            name=loop.node.name,
            like=loop.node,
        )
    )


def _joined(x: Variable, n_steps: Variable) -> Variable:
    """Rows by step and part as those of all steps."""
    return reshape(_swapped(x), (n_steps, *shape_of(x)[2:]))


def _swapped(x: Variable) -> Variable:
    """With its first two axes in the other order."""
    return rearrange(x, [1, 0, *range(2, x.ndim)])

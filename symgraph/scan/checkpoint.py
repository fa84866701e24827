"""A loop in chunks, of which only the states at the edges are kept for the gradient.

The loop becomes a loop over chunks of a loop over steps (and one more for the steps that are left
over). Its gradient runs each chunk's inner loop again: memory for ``n / every + every`` steps
instead of ``n``, for one more forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.variable import Variable, make_constant, make_input
from ..ops.elementwise import add, floor_divide, multiply, subtract
from ..ops.join import concatenate
from ..ops.shape import reshape
from ..ops.sizes import shape_of, size_of
from ..ops.slices import slice_axis
from .op import Loop, Read, State, make_loop

__all__ = ["scan_in_chunks", "traces_of"]


def scan_in_chunks(whole: Loop, every: int) -> list[Variable]:
    """The outputs over time of a loop: of each state, then of each plain output."""
    rows = _rows_over_time(whole)
    n_chunks = floor_divide(whole.n_steps, every)
    n_in_chunks = multiply(n_chunks, every)
    chunks = Loop(_scan_chunks(whole, rows, n_chunks, every))
    traces = [reshape(x, (n_in_chunks, *shape_of(x)[2:])) for x in chunks.traces]
    n_left = subtract(whole.n_steps, n_in_chunks)
    if size_of(n_left) == 0:
        return traces
    left = _part(
        whole,
        n_left,
        [slice_axis(x, 0, n_in_chunks, whole.n_steps) for x in rows],
        [buffer[-1] for buffer in chunks.buffers],
    )
    return [
        concatenate([trace, rest], axis=0)
        for trace, rest in zip(traces, traces_of(left), strict=True)
    ]


def _rows_over_time(loop: Loop) -> list[Variable]:
    """For each row that a step reads, the rows that it is in the n steps."""
    return [
        slice_axis(read.sequence, 0, read.offset, add(loop.n_steps, read.offset))
        for read in loop.reads
    ]


def _part(
    whole: Loop, n_steps: Variable, rows: Sequence[Variable], initials: Sequence[Variable]
) -> Loop:
    """The loop for some of its steps, from the rows that these read and the states before them."""
    reads = [Read(x, 0, read.symbol) for x, read in zip(rows, whole.reads, strict=True)]
    states = [state._replace(initial=x) for x, state in zip(initials, whole.states, strict=True)]
    return Loop(make_loop(n_steps, reads, states, whole.outputs, fixed=whole.fixed))


def _scan_chunks(whole: Loop, rows: Sequence[Variable], n_chunks: Variable, every: int) -> Variable:
    """The loop over chunks; its states are each state's last rows, its plain outputs the traces."""
    chunked = []
    for x in rows:
        used = slice_axis(x, 0, 0, multiply(n_chunks, every))
        chunked.append(reshape(used, (n_chunks, every, *shape_of(x)[1:])))
    reads = [Read(x, 0, make_input(x.type.row)) for x in chunked]
    initials = [make_input(state.initial.type) for state in whole.states]
    symbols = [read.symbol for read in reads]
    inner = _part(whole, make_constant(every, "int64"), symbols, initials)
    states = [
        State(state.initial[None], {-1: symbol}, slice_axis(buffer, 0, every))
        for state, symbol, buffer in zip(whole.states, initials, inner.buffers, strict=True)
    ]
    return make_loop(n_chunks, reads, states, traces_of(inner))


def traces_of(loop: Loop) -> list[Variable]:
    """The new values of each state over time, then the plain outputs."""
    buffers = zip(loop.buffers, loop.states, strict=True)
    return [*(slice_axis(buffer, 0, state.depth) for buffer, state in buffers), *loop.traces]

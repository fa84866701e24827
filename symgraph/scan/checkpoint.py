"""A loop in chunks, of which only the states at the edges are kept for the gradient.

That is a property of a loop. Its gradient reads the loop's *checkpoints*, the states before every
so-many-th step, and runs each chunk again from there: memory for ``n / every + every`` steps
instead of ``n``, for one more forward pass. A loop of which checkpoints are read is computed as a
loop over chunks of a loop over steps (and one more for the steps that are left over), so that
no other states need be kept; one of which none are read is computed as any other loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..autodiff.reverse import pull_back
from ..core import provenance
from ..core.graph import replace
from ..core.types import is_float
from ..core.variable import Variable, make_constant, make_input
from ..ops.elementwise import add, floor_divide, multiply, subtract
from ..ops.join import concatenate
from ..ops.shape import reshape
from ..ops.sizes import shape_of, size_of, unified_with
from ..ops.slices import slice_axis
from .cotangents import split_cotangent
from .op import Loop, Read, State, make_loop

__all__ = ["Chunks", "in_chunks", "vjp_in_chunks"]


class Chunks(NamedTuple):
    """What a loop in chunks leaves behind."""

    over_time: list[Variable]
    """The new values of each state over time, then the plain outputs."""
    checkpoints: list[Variable]
    """For each state the rows that its taps go back to, before each chunk and after the last."""

    def buffers(self, loop: Loop) -> list[Variable]:
        """The initial rows and the new values of the states, of the loop that was taken apart."""
        states = zip(loop.states, self.over_time, strict=False)
        return [concatenate([state.initial, trace], axis=0) for state, trace in states]


def in_chunks(whole: Loop) -> Chunks:
    """A loop computed chunk by chunk."""
    every = whole.layout.checkpoint_every
    assert every is not None
    rows = [
        slice_axis(read.sequence, 0, read.offset, add(whole.n_steps, read.offset))
        for read in whole.reads
    ]
    n_chunks = floor_divide(whole.n_steps, every)
    n_in_chunks = multiply(n_chunks, every)
    chunks = Loop(_scan_chunks(whole, rows, n_chunks, every))
    traces = [reshape(x, (n_in_chunks, *shape_of(x)[2:])) for x in chunks.traces]
    n_left = subtract(whole.n_steps, n_in_chunks)
    if size_of(n_left) != 0:
        left = _part(
            whole,
            n_left,
            [slice_axis(x, 0, n_in_chunks, whole.n_steps) for x in rows],
            [checkpoints[-1] for checkpoints in chunks.buffers],
        )
        rests = left.over_time()
        traces = [concatenate(parts, axis=0) for parts in zip(traces, rests, strict=True)]
    return Chunks(traces, chunks.buffers)


def vjp_in_chunks(loop: Loop, cotangents: Sequence[Variable | None]) -> list[Variable | None]:
    """The cotangents of a loop's inputs, computed chunk by chunk from its checkpoints."""
    chunks = in_chunks(loop)
    seeds: dict[Variable, Variable] = {}
    for target, cotangent in _targets(loop, chunks, cotangents):
        seeds[target] = unified_with(cotangent, target, "gradient of scan")
    wanted = list(dict.fromkeys(x for x in loop.node.inputs if is_float(x.dtype)))
    # Stopped there, since one input may be made of another.
    pulled = pull_back(seeds, wanted, stop=wanted)
    read = dict(zip(chunks.checkpoints, loop.checkpoints, strict=True))
    new = iter(replace([ct for ct in pulled if ct is not None], read, keep_lines=True))
    by_input = {x: None if ct is None else next(new) for x, ct in zip(wanted, pulled, strict=True)}
    return [by_input.pop(x, None) for x in loop.node.inputs]


def _targets(
    loop: Loop, chunks: Chunks, cotangents: Sequence[Variable | None]
) -> Iterator[tuple[Variable, Variable]]:
    """Of what in the loop in chunks the cotangents of the loop's results are cotangents."""
    n_states = len(loop.states)
    buffers = chunks.buffers(loop)
    results = [*buffers, *chunks.over_time[n_states:], *chunks.checkpoints]
    for k, (result, cotangent) in enumerate(zip(results, cotangents, strict=True)):
        if cotangent is None or not is_float(result.dtype):
            continue
        if k >= n_states:
            yield result, cotangent
            continue
        parts, trace = split_cotangent(cotangent, loop.states[k].depth), chunks.over_time[k]
        if parts.initial is not None:
            yield loop.states[k].initial, parts.initial
        if parts.rows is not None:
            yield trace, parts.rows
        if parts.last is not None:
            yield (result if parts.last_may_be_initial else trace)[-1], parts.last


def _part(
    whole: Loop, n_steps: Variable, rows: Sequence[Variable], initials: Sequence[Variable]
) -> Loop:
    """The loop for some of its steps, from the rows that these read and the states before them."""
    reads = [Read(x, 0, read.symbol) for x, read in zip(rows, whole.reads, strict=True)]
    states = [state._replace(initial=x) for x, state in zip(initials, whole.states, strict=True)]
    lines = provenance.lines_of(whole.node)
    return Loop(make_loop(n_steps, reads, states, whole.outputs, fixed=whole.fixed, lines=lines))


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
    lines = provenance.lines_of(whole.node)
    return make_loop(n_chunks, reads, states, inner.over_time(), name=whole.node.name, lines=lines)

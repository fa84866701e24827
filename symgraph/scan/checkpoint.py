"""A loop in chunks, of which only the states at the edges are kept for the gradient.

The loop becomes a loop over chunks of a loop over steps (and one more for the steps that are left
over). Its gradient runs each chunk's inner loop again: memory for ``n / every + every`` steps
instead of ``n``, for one more forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.variable import Variable, item, make_constant, make_input
from ..ops.elementwise import add, floor_divide, multiply, subtract
from ..ops.join import concatenate
from ..ops.shape import reshape
from ..ops.sizes import shape_of, size_of
from ..ops.slices import slice_axis
from .close import close_body
from .op import Layout, Loop, make_scan

__all__ = ["scan_in_chunks", "traces_of"]


def scan_in_chunks(whole: Loop, every: int) -> list[Variable]:
    """The outputs over time of a loop: of each state, then of each plain output."""
    layout = Layout(((0,),) * len(whole.slices), whole.layout.states)
    rows = _flat_sequences(whole)
    n_chunks = floor_divide(whole.n_steps, every)
    n_in_chunks = multiply(n_chunks, every)
    chunks = _scan_chunks(whole, layout, rows, n_chunks, every)
    n_states = len(whole.initials)
    traces = [
        reshape(x, (n_in_chunks, *shape_of(x)[2:]))
        for x in (item(chunks, n_states + k) for k in range(len(whole.body.outputs)))
    ]
    n_left = subtract(whole.n_steps, n_in_chunks)
    if size_of(n_left) == 0:
        return traces
    left = make_scan(
        n_left,
        [slice_axis(x, 0, n_in_chunks, whole.n_steps) for x in rows],
        [item(chunks, i)[-1] for i in range(n_states)],
        whole.others,
        whole.body,
        layout,
    )
    return [
        concatenate([trace, rest], axis=0)
        for trace, rest in zip(traces, traces_of(Loop(left)), strict=True)
    ]


def _flat_sequences(loop: Loop) -> list[Variable]:
    """For each slice that a step reads, the rows that it is in the n steps."""
    return [
        slice_axis(sequence, 0, offset, add(loop.n_steps, offset))
        for sequence, offsets in zip(loop.sequences, loop.layout.sequences, strict=True)
        for offset in offsets
    ]


def _scan_chunks(
    whole: Loop, layout: Layout, rows: Sequence[Variable], n_chunks: Variable, every: int
) -> Variable:
    """The loop over chunks; its states are each state's last rows, its plain outputs the traces."""
    chunked = []
    for x in rows:
        used = slice_axis(x, 0, 0, multiply(n_chunks, every))
        chunked.append(reshape(used, (n_chunks, every, *shape_of(x)[1:])))
    slices = [make_input(x.type.with_shape(x.type.shape[1:])) for x in chunked]
    initials = [make_input(x.type) for x in whole.initials]
    inner = make_scan(
        make_constant(every, "int64"), slices, initials, whole.others, whole.body, layout
    )
    last = [slice_axis(item(inner, i), 0, every) for i in range(len(initials))]
    body, others = close_body([*slices, *initials], [*last, *traces_of(Loop(inner))])
    return make_scan(
        n_chunks,
        chunked,
        [x[None] for x in whole.initials],
        others,
        body,
        Layout(((0,),) * len(slices), ((-1,),) * len(initials)),
    )


def traces_of(loop: Loop) -> list[Variable]:
    """The new values of each state over time, then the plain outputs."""
    n_states = len(loop.initials)
    states = [slice_axis(item(loop.node, i), 0, loop.layout.depth(i)) for i in range(n_states)]
    return states + [item(loop.node, n_states + k) for k in range(len(loop.plain))]

"""Graphs with each loop replaced by its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from ..core import provenance
from ..core.errors import ScanError
from ..core.graph import rebuild, replace
from ..core.variable import ITEM, Variable, ancestors
from ..ops.create import zeros
from ..ops.gradient import stop_gradient
from ..ops.join import concatenate, stack
from ..ops.sizes import shape_of, size_of
from ..scan.composites import open_composites
from ..scan.op import Loop, is_scan

__all__ = ["unroll"]


@overload
def unroll(results: Variable) -> Variable: ...
@overload
def unroll(results: Sequence[Variable]) -> list[Variable]: ...
def unroll(results: Variable | Sequence[Variable]) -> Variable | list[Variable]:
    """The same results without loops: each step of each loop written out, those within steps too.

    ``results`` is a variable or a list. Numbers of steps must be known when the graph is built;
    where a loop ends by ``until``, or its length is an input's, this is a `ScanError`. Gradients of
    what comes out are a reference for gradients of loops: none passes through a loop's.

    >>> x = sg.tensor("x", (2,))
    >>> loop = sg.scan(lambda x_t, total: total + x_t, [x], [0.0])
    >>> sg.testing.unroll(loop).eval({x: [1.0, 2.0]})
    array([1., 3.], dtype=float32)
    """
    several = not isinstance(results, Variable)
    outputs = open_composites(list(results) if several else [results])
    while any(is_scan(v) for v in ancestors(outputs)):
        outputs = _without_outer_loops(outputs)
    return outputs if several else outputs[0]


def _without_outer_loops(outputs: Sequence[Variable]) -> list[Variable]:
    """The outputs with the loops of the graph written out; steps may have loops of their own."""
    new: dict[Variable, Variable] = {}
    loops: dict[Variable, list[Variable]] = {}
    for v in sorted(ancestors(outputs), key=lambda v: v.serial):
        if v.op is ITEM and v.inputs[0] in loops:
            new[v] = loops[v.inputs[0]][v.params[0]]
            continue
        inputs = [new.get(source, source) for source in v.inputs]
        if is_scan(v):
            loops[v] = _steps_of(v, inputs)
        else:
            new[v] = v if inputs == list(v.inputs) else rebuild(v, inputs)
    return [new[v] for v in outputs]


def _steps_of(scan: Variable, inputs: Sequence[Variable]) -> list[Variable]:
    """The results of a loop with these inputs: buffers of states and traces of plain outputs."""
    loop, layout = Loop(scan), scan.params[1]
    n_steps, sequences, initials, fixed = layout.parts(inputs)
    n = _number_of_steps(scan, n_steps)
    depths = [state.depth for state in loop.states]
    states = [[x[i] for i in range(k)] for x, k in zip(initials, depths, strict=True)]
    plain: list[list[Variable]] = [[] for _ in loop.outputs]
    for t in range(max(n, 1)):  # no steps: the types of one
        rows = [
            x[t + offset] if n else zeros(shape_of(x)[1:], x.dtype)
            for x, reads in zip(sequences, loop.reads_by_sequence, strict=True)
            for _, offset, _ in reads
        ]
        past = [s[tap] for s, state in zip(states, loop.states, strict=True) for tap in state.taps]
        operands = dict(zip(loop.body.inputs, [*rows, *past, *fixed], strict=True))
        results = replace(loop.body.outputs, operands)
        if layout.truncate is not None and t < n - layout.truncate:
            results = [stop_gradient(r) for r in results]
        for rows_of, result in zip([*states, *plain], results, strict=True):
            rows_of.append(result)
    buffers = [_buffer(x, s[k:], n) for x, s, k in zip(initials, states, depths, strict=True)]
    traces = [stack(values, axis=0)[:n] for values in plain]
    every = layout.checkpoint_every
    if every is None:
        return [*buffers, *traces]
    starts = range(0, n + 1, every)
    checkpoints = [
        stack([stack(s[t : t + k], axis=0) for t in starts], axis=0)
        for s, k in zip(states, depths, strict=True)
    ]
    return [*buffers, *traces, *checkpoints]


def _buffer(initial: Variable, values: Sequence[Variable], n: int) -> Variable:
    """The initial rows and the new values of a state."""
    return concatenate([initial, stack(values, axis=0)], axis=0) if n else initial


def _number_of_steps(scan: Variable, n_steps: Variable) -> int:
    """How many steps a loop takes; a ScanError where only the data tell."""
    size = size_of(n_steps)
    if scan.params[1].until or not isinstance(size, int):
        raise ScanError.here(
            f"unroll: the number of steps of {provenance.describe(scan)} is not known "
            "when the graph is built",
            remedy="Give its sequences fixed lengths or n_steps a number, and leave until out.",
        )
    return max(size, 0)

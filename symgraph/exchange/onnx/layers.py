"""A loop taken for a recurrent layer of ONNX: which cell it runs, on what, and what is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.graph import Graph, replace
from ...core.variable import CONSTANT, Variable, make_input
from ...ops.sizes import size_of
from ...ops.slices import SLICE, At, Entry, Span, slice_axis
from ...scan.close import close_body
from ...scan.op import Loop
from .cells import CELLS, Cell, Weights, reference_of

__all__ = ["LAST", "ROWS", "Layer", "StateRead", "find_layer"]

# The entries by which a loop's outputs and its last state are read of a state's buffer.
ROWS, LAST = Span(1, None, 1), At(-1)
_BACKWARDS = Span(0, None, -1)


@dataclass(frozen=True)
class StateRead:
    """What is read of a state over time, the initial one first: ``node`` is a slice of that."""

    node: Variable
    state: int
    first: Entry
    """What is read of time."""
    others: tuple[Entry, ...]
    """What is read of the other axes."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A loop as a recurrent layer of ONNX."""

    scan: Variable
    cell: Cell
    x: Variable
    """The sequence, in its own order."""
    is_reverse: bool
    weights: Weights
    initials: Sequence[Variable]
    """The initial states, each [1, batch, n]."""
    reads: Sequence[StateRead]

    @property
    def n_units(self) -> int:
        """How many units there are."""
        n = self.initials[0].type.shape[-1]
        assert isinstance(n, int)
        return n

    @property
    def kind(self) -> tuple[object, ...]:
        """What two directions of one node have in common."""
        cell = self.cell
        peepholes = "p_i" in cell.roles
        return self.x, cell.op, peepholes, cell.activation, cell.linear_before_reset, self.n_units


def find_layer(scan: Variable, graph: Graph) -> Layer | None:
    """The loop of the graph as a layer; None where ONNX has no op for it, or not for what is read
    of it."""
    loop = Loop(scan)
    if not _may_be_layer(loop) or (reads := _reads_of(scan, graph)) is None:
        return None
    body, operands = _without_constants(loop)
    (read,), states = loop.reads, [x.type.row for x in (s.initial for s in loop.states)]
    for cell in CELLS:
        if cell.n_states != len(states) or len(cell.roles) != len(operands):
            continue
        reference, roles = reference_of(cell, read.symbol.type, states)
        if reference is body:
            x, is_reverse = _sequence_of(loop)
            weights = dict(zip(roles, operands, strict=True))
            initials = [state.initial for state in loop.states]
            return Layer(scan, cell, x, is_reverse, weights, initials, reads)
    return None


def _may_be_layer(loop: Loop) -> bool:
    """Whether it goes over rows [batch, features] of one sequence, with states of the last step."""
    reads, states = loop.reads, loop.states
    if len(reads) != 1 or reads[0].offset or not states or loop.outputs or loop.layout.until:
        return False
    values = (reads[0].sequence, *(state.initial for state in states))
    return all(tuple(state.taps) == (-1,) for state in states) and all(
        x.dtype == np.float32 and x.ndim == 3 and isinstance(x.type.shape[-1], int) for x in values
    )


def _reads_of(scan: Variable, graph: Graph) -> list[StateRead] | None:
    """What is read of a loop's results; None where a layer of ONNX has not got it."""
    outputs, found = set(graph.outputs), []
    for buffer, _ in graph.users[scan]:
        (state,) = buffer.params
        for user, _ in graph.users[buffer]:
            if buffer in outputs or user.op is not SLICE or len(user.inputs) > 1:
                return None
            first, *others = user.params[0]
            is_part = isinstance(first, Span) and state == 0 and _is_after_initial(first)
            if first != LAST and not is_part:
                return None
            found.append(StateRead(user, state, first, tuple(others)))
        if buffer in outputs:
            return None
    return found


def _is_after_initial(span: Span) -> bool:
    return isinstance(span.start, int) and span.start >= 1 and not isinstance(span.stop, str)


def _without_constants(loop: Loop) -> tuple[Graph, Sequence[Variable]]:
    """The loop's body with arrays that are constants of it given from outside, and what is."""
    arrays = [v for v in loop.body.nodes if v.op is CONSTANT and v.ndim]
    if not arrays:
        return loop.body, list(loop.fixed.values())
    symbols = {v: make_input(v.type) for v in arrays}
    given = {**loop.fixed, **{symbol: v for v, symbol in symbols.items()}}
    return close_body(loop.changing, replace(loop.body.outputs, symbols), given)


def _sequence_of(loop: Loop) -> tuple[Variable, bool]:
    """The sequence as long as the loop, and whether the loop goes through it from the end."""
    (read,) = loop.reads
    x = read.sequence
    if size_of(loop.n_steps) is not x.type.shape[0] and size_of(loop.n_steps) != x.type.shape[0]:
        return slice_axis(x, 0, 0, loop.n_steps), False
    if x.op is SLICE and x.params[0] == (_BACKWARDS, None, None):
        return x.inputs[0], True
    return x, False

"""Loops as ONNX has them: Scan, or Loop where a condition may end them.

A state of depth d is carried as d values, the oldest first, and moves on by one in each step. A
sequence that is read backwards is a scan input of direction 1. Scan of onnxruntime does not take
empty sequences: where there may be no step, If chooses between the loop and the initial values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.types import TensorType, tensor_type
from ...core.variable import Variable
from ...ops.create import zeros
from ...scan.op import Loop
from .graph_ends import GraphEnds
from .loop_results import LoopResult
from .loop_rows import has_steps, initial_rows, is_made_of_sizes, no_rows, rows_read
from .write_formulas import size_among
from .write_sizes import as_vector
from .writer import Value, Writer, declared, writes

if TYPE_CHECKING:
    from onnx import GraphProto, ValueInfoProto

_INT64, _BOOL = np.dtype("int64"), np.dtype("bool")


@writes("scan")
def _write_scan(w: Writer, v: Variable) -> list[Value]:
    loop = Loop(v)
    results = [LoopResult(loop, k, w.program) for k in range(len(loop.results))]
    there_are = has_steps(loop)
    if there_are is None and not any(result.may_be_empty for result in results):
        there_are = True  # nothing is read that makes sense otherwise
    if there_are is None:
        _write_choice(w, loop, results)
    elif there_are:
        _write_steps(w, loop, results)
    else:
        _write_no_step(w, loop, results)
    for result in results:
        result.define(w)
    return []


def _write_no_step(w: Writer, loop: Loop, results: Sequence[LoopResult]) -> None:
    """Let the results be those of no step at all."""
    states = iter(loop.states)
    for result in results:
        if result.initial is not None:
            result.last = w.value(initial_rows(next(states))[-1])
            empty = no_rows(result.initial)
        else:
            sizes = [size_among(size, loop.operands) for size in result.item.type.row.shape]
            empty = zeros((0, *sizes), dtype=result.type.dtype)
        if result.is_over_time:
            result.trace = w.value(empty)


def _write_choice(w: Writer, loop: Loop, results: Sequence[LoopResult]) -> None:
    """Let the results be those of the steps where there are some, or of none."""
    initials = [row for state in loop.states for row in initial_rows(state)]
    sequences = [rows_read(loop, read)[0] for read in loop.reads]
    for v in (*sequences, *loop.fixed.values(), *initials):
        if not is_made_of_sizes(v):
            w.value(v)  # before the branches, so that both see it
    there_are = w.cast(as_vector(w, loop.n_steps), _BOOL)
    branches: list[GraphProto] = []
    for name, write in (("steps", _write_steps), ("no_step", _write_no_step)):
        inner = w.inner()
        write(inner, loop, results)
        ends = GraphEnds(inner)
        for result in results:
            if result.is_last_read:
                ends.add(result.last, result.type)
            if result.is_over_time:
                ends.add(result.trace, result.item.type)
        branches.append(ends.graph(name, []))
    dtypes = [
        result.type.dtype
        for result in results
        for _ in range(result.is_last_read + result.is_over_time)
    ]
    then, other = branches
    found = iter(w.emit_several("If", [there_are], dtypes, then_branch=then, else_branch=other))
    for result in results:
        if result.is_last_read:
            result.last = next(found)
        if result.is_over_time:
            result.trace = next(found)


def _write_steps(w: Writer, loop: Loop, results: Sequence[LoopResult]) -> None:
    """Let the results be those of a Scan, or of a Loop where a condition may end it."""
    starts = [w.value(row) for state in loop.states for row in initial_rows(state)]
    over_time = [result for result in results if result.is_over_time]
    dtypes = [x.dtype for x in starts] + [result.type.dtype for result in over_time]
    body = _Body(w, loop)
    if loop.layout.until:
        graph = body.of_loop(over_time)
        found = w.emit_several("Loop", [w.value(loop.n_steps), None, *starts], dtypes, body=graph)
    else:
        rows = [rows_read(loop, read) for read in loop.reads]
        sequences = [w.value(x) for x, _ in rows] or [_numbers(w, loop.n_steps)]
        graph = body.of_scan(over_time)
        found = w.emit_several(
            "Scan",
            [*starts, *sequences],
            dtypes,
            body=graph,
            num_scan_inputs=len(sequences),
            **_directions("input", [direction for _, direction in rows]),
            **_directions("output", [int(result.is_reversed) for result in over_time]),
        )
    rest = iter(found)
    for state, result in zip(loop.states, results, strict=False):
        *_, result.last = [next(rest) for _ in range(state.depth)]
    for result in over_time:
        result.trace = next(rest)


def _numbers(w: Writer, n: Variable) -> Value:
    return w.emit("Range", w.number(0, _INT64), w.value(n), w.number(1, _INT64))


def _directions(ends: str, directions: Sequence[int]) -> dict[str, Any]:
    """The attribute of a Scan, where it is not what ONNX takes by default."""
    return {f"scan_{ends}_directions": list(directions)} if any(directions) else {}


# --- bodies ---------------------------------------------------------------------------------


class _Body:
    """The graph of one step."""

    def __init__(self, outer: Writer, loop: Loop) -> None:
        self._outer, self._loop = outer, loop
        self._w = outer.inner(loop.body)
        self._inputs: list[ValueInfoProto] = []
        for symbol, fixed in loop.fixed.items():
            self._w.define(symbol, outer.value(fixed))

    def of_scan(self, over_time: Sequence[LoopResult]) -> GraphProto:
        """The body of a Scan, which has these results over time."""
        rows = self._carried()
        for read in self._loop.reads:
            row = self._input(read.sequence.name or "row", read.symbol.type)
            self._w.define(read.symbol, row)
        if not self._loop.reads:
            self._input("step", tensor_type(_INT64, ()))
        return self._graph(over_time, rows, GraphEnds(self._w))

    def of_loop(self, over_time: Sequence[LoopResult]) -> GraphProto:
        """The body of a Loop, which has these results over time."""
        w, condition = self._w, self._loop.condition
        assert condition is not None
        step = self._input("step", tensor_type(_INT64, ()))
        self._input("goes_on", condition.type)
        rows = self._carried()
        for read in self._loop.reads:
            at = w.emit("Add", step, w.number(read.offset, _INT64)) if read.offset else step
            row = w.emit("Gather", self._outer.value(read.sequence), at, axis=0)
            w.define(read.symbol, row)
        ends = GraphEnds(w)
        w.write(self._loop.body.outputs)
        ends.add(w.emit("Not", w.value(condition)), condition.type)
        return self._graph(over_time, rows, ends)

    def _input(self, hint: str, type: TensorType) -> Value:
        name = self._w.model.unique(hint)
        self._inputs.append(declared(name, type))
        return Value(name, type.dtype)

    def _carried(self) -> list[list[Value]]:
        """What is carried of each state, the oldest first."""
        carried: list[list[Value]] = []
        for state in self._loop.states:
            hint = state.new.name or "state"
            rows = [self._input(hint, state.new.type) for _ in range(state.depth)]
            for tap, symbol in state.taps.items():
                self._w.define(symbol, rows[tap])
            carried.append(rows)
        return carried

    def _graph(
        self, over_time: Sequence[LoopResult], carried: Sequence[Sequence[Value]], ends: GraphEnds
    ) -> GraphProto:
        loop, w = self._loop, self._w
        w.write(loop.body.outputs)
        for state, rows in zip(loop.states, carried, strict=True):
            for value in (*rows[1:], w.value(state.new)):
                ends.add(value, state.new.type)
        numbers = {result.item.params[0] for result in over_time}
        for number, (value, _) in enumerate(loop.results):
            if number in numbers:
                ends.add(w.value(value), value.type)
        return ends.graph(loop.node.name or "step", self._inputs)

"""Scan and Loop of ONNX as `scan`.

A body is read as the step of a loop, on symbols, in a scope below that of the node: it sees the
names around it, and what it takes from there does not change over time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core.errors import SymgraphError
from ...core.variable import Variable, make_constant
from ...ops.comparison import less, logical_not
from ...ops.elementwise import add, maximum, where
from ...ops.join import stack
from ...ops.promotion import cast_to
from ...ops.ranges import arange
from ...ops.reshape import reshape
from ...ops.shape import moveaxis
from ...ops.sizes import shape_of, unified_with
from ...scan.build import last_value, scan, until
from . import library
from .read_node import Node
from .read_registry import reads
from .read_values import Value, as_entries, as_variable

_INT64 = np.dtype("int64")
# The number of steps of a loop that its condition alone ends.
_UNBOUNDED = np.iinfo(np.int64).max
_MOST_UNROLLED = 64
_COST_OF_A_STEP = 10
"""How many nodes a step counts for that is written out."""
_COST_OF_A_LOOP = 15


# --- Scan ---------------------------------------------------------------------------------------


@reads("Scan")
def _scan(node: Node) -> tuple[Value, ...]:
    if node.version < 9:
        return _scan_of_batch(node)
    body = node.required("body", library.onnx.GraphProto)
    values, n_states = node.variables(), _number_of_states(node, len(node.inputs))
    initial, sequences = values[:n_states], values[n_states:]
    n_outputs = len(body.output) - n_states
    reads_back = _directions(node, "scan_input_directions", len(sequences))
    for k, axis in enumerate(node.attribute("scan_input_axes", [0] * len(sequences))):
        x = moveaxis(sequences[k], node.axis(axis, sequences[k].ndim), 0)
        sequences[k] = x[::-1] if reads_back[k] else x

    def step(*rows_and_states: Variable) -> list[Variable]:
        rows, states = rows_and_states[: len(sequences)], rows_and_states[len(sequences) :]
        return _new_values(node, node.run("body", [*states, *rows]), states)

    results = _scanned(node, step, sequences, [*initial, *[None] * n_outputs])
    last = [last_value(trace, value) for trace, value in zip(results, initial, strict=False)]
    traces = results[n_states:]
    writes_back = _directions(node, "scan_output_directions", n_outputs)
    for k, axis in enumerate(node.attribute("scan_output_axes", [0] * n_outputs)):
        y = traces[k][::-1] if writes_back[k] else traces[k]
        traces[k] = moveaxis(y, 0, node.axis(axis, y.ndim))
    return *last, *traces


def _scan_of_batch(node: Node) -> tuple[Value, ...]:
    """Scan of version 8: a loop for each row of a batch, as many steps long as is said for it."""
    body = node.required("body", library.onnx.GraphProto)
    values = [node.variable(i) for i in range(1, len(node.inputs))]
    n_states = _number_of_states(node, len(values))
    n_outputs = len(body.output) - n_states
    reads_back = _directions(node, "directions", len(values) - n_states)
    lengths = [node.variable(0)] if node.has(0) else []
    if lengths and any(reads_back):
        raise node.refusal("sequences of lengths of their own are not read backwards")

    def run_row(*row: Variable) -> list[Variable]:
        initial, sequences = list(row[:n_states]), list(row[n_states : len(values)])
        steps = arange(shape_of(sequences[0])[0])
        limits = [less(steps, cast_to(length, _INT64)) for length in row[len(values) :]]
        sequences = [x[::-1] if back else x for x, back in zip(sequences, reads_back, strict=True)]

        def step(*others: Variable) -> list[Variable]:
            rows, n_rows = others[: len(sequences)], len(sequences) + len(limits)
            states = others[n_rows:]
            new = _new_values(node, node.run("body", [*states, *rows]), states)
            if not limits:
                return new
            old = [*states, *[0] * n_outputs]
            return [where(others[len(sequences)], n, o) for n, o in zip(new, old, strict=True)]

        traces = _scanned(node, step, [*sequences, *limits], [*initial, *[None] * n_outputs])
        last = [last_value(trace, value) for trace, value in zip(traces, initial, strict=False)]
        return [*last, *traces[n_states:]]

    n_results = n_states + n_outputs
    return tuple(_scanned(node, run_row, [*values, *lengths], [None] * n_results))


def _number_of_states(node: Node, n_inputs: int) -> int:
    n_states = n_inputs - node.required("num_scan_inputs", int)
    if not 0 <= n_states < n_inputs:
        raise node.refusal(f"of {n_inputs} inputs {n_inputs - n_states} are sequences")
    return n_states


def _directions(node: Node, name: str, number: int) -> list[bool]:
    """Which sequences run backwards."""
    directions = [bool(d) for d in node.attribute(name, [0] * number)]
    if len(directions) != number:
        raise node.refusal(f"{name} has {len(directions)} entries for {number} sequences")
    return directions


# --- Loop ---------------------------------------------------------------------------------------


@reads("Loop")
def _loop(node: Node) -> tuple[Value, ...]:
    n_steps = _number_of_steps(node)
    try:
        return _looped(node, n_steps)
    except SymgraphError as error:
        if not isinstance(n_steps, int) or n_steps > _MOST_UNROLLED:
            raise
        # States that change their sizes, and numbers that a step needs to know, such as axes.
        try:
            return _unrolled(node, n_steps)
        except SymgraphError:
            raise error from error.__cause__


def _looped(node: Node, n_steps: int | Variable) -> tuple[Value, ...]:
    """The results of a loop whose steps are all alike."""
    body = node.required("body", library.onnx.GraphProto)
    initial = [node.variable(i) for i in range(2, len(node.inputs))]
    n_outputs = len(body.output) - 1 - len(initial)

    # The step's number is a state: where the condition ends the loop there may be no last number.
    def step(number: Variable, *states: Variable) -> Any:
        # In a step that is taken the condition holds.
        goes_on, *results = node.run("body", [number, np.array(True), *states])
        new = [add(number, 1), *_new_values(node, results, states)]
        if isinstance(goes_on, np.ndarray) and goes_on.all():
            if isinstance(n_steps, int) and n_steps == _UNBOUNDED:
                raise node.refusal("the loop never ends")
            return new
        return new, until(logical_not(_scalar(as_variable(goes_on, "the condition"))))

    states = [make_constant(0, _INT64), *initial]
    traces = _scanned(node, step, [], [*states, *[None] * n_outputs], n_steps)
    last = [last_value(trace, value) for trace, value in zip(traces, states, strict=False)]
    return *last[1:], *traces[len(states) :]


def _unrolled(node: Node, n_steps: int) -> tuple[Value, ...]:
    """The results of a loop whose steps are written out one by one."""
    states: Sequence[Value] = [node.value(i) for i in range(2, len(node.inputs))]
    traces: list[list[Variable]] = []
    for number in range(n_steps):
        node.scope.model.budget.read_nodes(_COST_OF_A_STEP)
        goes_on, *results = node.run("body", [np.array(number), np.array(True), *states])
        states, outputs = results[: len(states)], results[len(states) :]
        traces.append(_variables(outputs))
        if not isinstance(goes_on, np.ndarray):
            raise node.refusal("whether it goes on after a step is not known when it is read")
        if not goes_on.all():
            break
    if not traces:
        raise node.refusal("it takes no step")
    return *states, *(stack(trace, axis=0) for trace in zip(*traces, strict=True))


def _number_of_steps(node: Node) -> int | Variable:
    """The most steps that are taken: none where the condition does not hold before the first."""
    count: int | Variable = _UNBOUNDED
    if node.has(0):
        entries = as_entries(node.value(0))
        count = _scalar(node.variable(0)) if entries is None else entries.reshape(-1)[0]
        count = maximum(count, 0) if isinstance(count, Variable) else max(int(count), 0)
    condition = node.known(1) if node.has(1) else np.array(True)
    if condition is None:
        return where(_scalar(node.variable(1)), count, 0)
    return count if condition.all() else 0


# --- values -------------------------------------------------------------------------------------


def _scanned(
    node: Node,
    step: Callable[..., Any],
    sequences: Sequence[Variable],
    initial: Sequence[Variable | None],
    n_steps: int | Variable | None = None,
) -> list[Variable]:
    """What the steps give over time; for None no later step reads it."""
    node.scope.model.budget.read_nodes(_COST_OF_A_LOOP)
    results = scan(step, sequences, initial, n_steps=n_steps, name=node.name or None)
    return results if isinstance(results, list) else [results]


def _new_values(node: Node, results: Sequence[Value], states: Sequence[Variable]) -> list[Variable]:
    """What a body gives: states, which are as large as they were, then outputs."""
    new = _variables(results)
    if len(new) < len(states):
        raise node.refusal(f"its body has {len(new)} results for {len(states)} states")
    for k, state in enumerate(states):
        if new[k].ndim != state.ndim:
            raise node.refusal(f"state {k} of {state.ndim} axes becomes one of {new[k].ndim}")
        new[k] = unified_with(new[k], state, f"state {k} of {node.label}")
    return new


def _variables(values: Sequence[Value]) -> list[Variable]:
    return [as_variable(value, "a result of the body") for value in values]


def _scalar(v: Variable) -> Variable:
    """The one element of a condition or count, which may be a vector of one."""
    return v if v.ndim == 0 else reshape(v, ())

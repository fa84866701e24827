"""A graph as a list of steps on numbered slots: how NumPy evaluates it.

Inputs have the first slots, then constants, then what is computed; a slot of the last kind is used
again as soon as its value has been read for the last time, so that arrays are freed early at no
cost. A plan holds no values: each run has a list of its own, and so threads do not meet.
"""

from __future__ import annotations

import contextlib
import operator
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..core import provenance
from ..core.binding import bind_sizes, shape_numbers
from ..core.errors import (
    BackendError,
    CallError,
    IndexRangeError,
    SymgraphError,
    TooLargeError,
    explain,
)
from ..core.graph import Graph
from ..core.op import Op
from ..core.types import TensorType, is_integer
from ..core.variable import CONSTANT, ITEM, Variable, ancestors
from ..ops.formula import numpy_maths
from ..ops.sizes import known_size
from ..scan.op import SCAN
from .exact_sizes import exact_call, size_arithmetic
from .profile import STEP, Log, Profile, ProfileRow
from .too_large import array_text, is_too_large

__all__ = ["Call", "Operand", "Plan", "ProfiledPlan", "call_of", "explained", "in_step"]

Call = Callable[..., Any]
"""From the values of a node's inputs to its own; a tuple for ops with several results."""

# What to call, what picks its arguments from the slots, the slot of the result, the node.
Step = tuple[Call, Callable[[list[Any]], Sequence], int, Variable]


class Plan:
    """The steps of a closed graph, and where its inputs and outputs lie."""

    def __init__(self, graph: Graph, make_call: Callable[[Variable], Call]) -> None:
        self._inputs = graph.inputs
        self.n_inputs: int = len(graph.inputs)
        slot: dict[Variable, int] = {v: i for i, v in enumerate(graph.inputs)}
        self._template: list[Any] = [None] * self.n_inputs
        for v in graph.nodes:
            if v.op is CONSTANT and v not in slot:
                slot[v] = len(self._template)
                self._template.append(v.params[0].array)
        computed = [v for v in graph.nodes if v not in slot]
        last_use = {x: v for v in computed for x in v.inputs}
        for v in (*graph.inputs, *graph.outputs):
            last_use.pop(v, None)
        sizes = size_arithmetic(graph)
        free: list[int] = []
        self.steps: list[Step] = []
        for v in computed:
            operands = [slot[x] for x in v.inputs]
            pick = _forgetting_picker(operands, free) if v.op is SCAN else _picker(operands)
            free += {slot[x] for x in v.inputs if last_use.get(x) is v and x.op is not CONSTANT}
            if not free:
                free.append(len(self._template))
                self._template.append(None)
            slot[v] = free.pop()
            call = make_call(v)
            self.steps.append((exact_call(v) if v in sizes else call, pick, slot[v], v))
        self.outputs: list[int] = [slot[v] for v in graph.outputs]

    def slots(self, inputs: Sequence[Any] = ()) -> list[Any]:
        """A list of values for one run: the inputs given, the constants, and room for the rest."""
        values = self._template.copy()
        values[: len(inputs)] = inputs
        return values

    def run(self, values: list[Any]) -> None:
        """Fill the slots, from those of the inputs to those of the outputs."""
        for call, pick, target, v in self.steps:
            try:
                values[target] = call(*pick(values))
            except Exception as error:
                if _is_complete(error, v):
                    raise
                first = partial(self._first_of, v, values)
                raise explained(error, v, pick(values), first) from error

    def _first_of(self, v: Variable, values: list[Any], steps: provenance.Steps) -> int | None:
        """The number of the first one of the steps for which a node is computed at once, by what
        their loop is told, if that can be computed already."""
        for *_, scan in self.steps:
            if scan.op is SCAN and provenance.loop_words(scan) == steps.loop:
                first = scan.params[1].parts(scan.inputs).first
                if first is not None and v in ancestors(scan.inputs):
                    return self._computed(first, values)
        return None

    def _computed(self, v: Variable, values: list[Any]) -> int | None:
        """A number that is made of the inputs, which a run keeps to its end."""
        with contextlib.suppress(SymgraphError):
            plan = Plan(Graph(self._inputs, [v]), call_of)
            again = plan.slots(values[: self.n_inputs])
            plan.run(again)
            return int(again[plan.outputs[0]])
        return None


class ProfiledPlan(Plan):
    """A plan that notes when each step begins and ends, and when each run of a loop's body does."""

    def __init__(
        self,
        graph: Graph,
        make_call: Callable[[Variable], Call],
        profile: Profile,
        log: Log,
        depth: int,
    ) -> None:
        rows: list[tuple[int, ProfileRow]] = []

        def make_call_and_row(v: Variable) -> Call:
            row = ProfileRow.of([v], depth)
            rows.append((len(profile.rows), row))
            profile.rows.append(row)
            return make_call(v)  # a loop's call makes the rows of its body, after its own

        super().__init__(graph, make_call_and_row)
        self.steps = [
            (_timed(call, number, row, log), pick, target, v)
            for (call, pick, target, v), (number, row) in zip(self.steps, rows, strict=True)
        ]
        self._log, self._is_body = log, depth > 0

    def run(self, values: list[Any]) -> None:
        """Fill the slots; the run of a loop's body is a step in the log."""
        clock, log = time.perf_counter_ns, self._log
        is_logged = self._is_body and log.begin(STEP, clock())
        super().run(values)
        if is_logged:
            log.end(clock())


def _timed(call: Call, number: int, row: ProfileRow, log: Log) -> Call:
    """The call, added to its row, also where it fails, and to the log by the row's number."""
    clock = time.perf_counter_ns

    def timed(*operands: Any) -> Any:
        start = clock()
        has_room = log.begin(number, start)
        try:
            return call(*operands)
        finally:
            end = clock()
            row.seconds += (end - start) * 1e-9
            row.runs += 1
            if has_room:
                log.end(end)

    return timed


def _picker(slots: list[int]) -> Callable[[list[Any]], Sequence]:
    """A function from the list of values to those in these slots, as a sequence."""
    if len(slots) > 1:
        return operator.itemgetter(*slots)
    start = slots[0] if slots else 0
    return operator.itemgetter(slice(start, start + len(slots)))


def _forgetting_picker(slots: list[int], free: Sequence[int]) -> Callable[[list[Any]], Sequence]:
    """The same, which lets go of what lies in free slots: a loop has the memory for its own."""
    pick, dead = _picker(slots), tuple(free)

    def forget_and_pick(values: list[Any]) -> Sequence:
        for slot in dead:
            values[slot] = None
        return pick(values)

    return forget_and_pick


# --- what computes a node -----------------------------------------------------------------------


def call_of(v: Variable) -> Call:
    """What computes the node: its op's rule, with the node's parameters."""
    op = v.op
    if op is ITEM:
        return operator.itemgetter(*v.params)
    if op.formula is not None and not v.params:
        return _formula_call(op, len(v.inputs))
    if op.evaluate is None:
        raise BackendError(
            explain(
                f"op {op.name!r} has no evaluation by NumPy and no expansion",
                line=provenance.line_of(v),
                remedy="Give the op a rule `evaluate` or `expand`.",
            )
        )
    return _evaluate_call(op.evaluate, v.params)


def _evaluate_call(evaluate: Callable[..., Any], params: tuple[Any, ...]) -> Call:
    if params:
        return lambda *arrays: evaluate(arrays, *params)
    return lambda *arrays: evaluate(arrays)


class _Recorder:
    """Maths that tells which function a formula calls, and on what."""

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        return lambda *values: (name, *values)


_formula_calls: dict[Op, Call] = {}


def _formula_call(op: Op, arity: int) -> Call:
    """The op's formula on NumPy's maths: NumPy's function itself where that is all of it."""
    call = _formula_calls.get(op)
    if call is None:
        assert op.formula is not None
        operands = [object() for _ in range(arity)]
        recorded = op.formula(_Recorder(), *operands)
        if isinstance(recorded, tuple) and list(recorded[1:]) == operands:
            call = getattr(numpy_maths, recorded[0])
        else:
            call = partial(op.formula, numpy_maths)
        call = _formula_calls.setdefault(op, call)
    return call


# --- what went wrong ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Operand:
    """What is known of an operand without its elements."""

    dtype: np.dtype
    shape: tuple[int, ...]


def _is_complete(error: Exception, v: Variable) -> bool:
    """Whether the error is raised as it is: a loop's errors have been explained inside."""
    return v.op is SCAN and isinstance(error, SymgraphError)


def in_step(error: SymgraphError, step: int, loop: Variable) -> SymgraphError:
    """The error, but for its cause, with the step of a loop in which it arose, the loop by its name
    and line; with the chunk of one over chunks."""
    step_word = "chunk" if loop.params[1].is_over_chunks else "step"
    return _in_step_of(error, f"{step_word} {step}", provenance.loop_words(loop))


def _in_step_of(error: SymgraphError, step: str, loop: str) -> SymgraphError:
    return type(error)(f"{error}\n  in {step} of {loop}")


def explained(
    error: Exception,
    v: Variable,
    values: Sequence[Any],
    first_of: Callable[[provenance.Steps], int | None] = lambda _: None,
) -> Exception:
    """The error of one step as symgraph's own: op, operands, the user's line, the first message.

    ``first_of``: the number of the first step of a part of a loop, if that is known.
    """
    message = str(error) or type(error).__name__
    if isinstance(error, SymgraphError):
        kind: type[Exception] = type(error)
    elif is_too_large(error):
        kind, message = TooLargeError, _result_text(v, values) or message
    else:
        kind = IndexRangeError if isinstance(error, IndexError) else CallError
    if "observer" in v.op.traits:  # its message is the user's
        return kind(explain(message, line=provenance.nearest_line(v)))
    operands = ", ".join(_operand(x, value) for x, value in zip(v.inputs, values, strict=True))
    # A check speaks for the op that asked for it.
    title = "" if "check" in v.op.traits else f"{v.op.name} failed: "
    what = f"{title}{message}" + (f"\n  on {operands}" if operands else "")
    told = kind(explain(what, line=provenance.nearest_line(v)))
    if isinstance(error, IndexRangeError):
        for step, steps in reversed(provenance.steps_at(v, error.place)):
            first = first_of(steps) if steps.is_part else 0
            words = steps.loop + (", counted from a checkpoint" if first is None else "")
            told = _in_step_of(told, f"step {step + (first or 0)}", words)
    return told


def _result_text(v: Variable, values: Sequence[Any]) -> str | None:
    """What the node's result takes, as far as its operands tell its shape."""
    if not isinstance(v.type, TensorType):
        return None
    known = [pair for pair in zip(v.inputs, values, strict=True) if hasattr(pair[1], "shape")]
    sizes = bind_sizes([x.type for x, _ in known], [value.shape for _, value in known])
    scalars = {
        known_size(x): int(value)
        for x, value in known
        if isinstance(value, np.generic | np.ndarray) and not x.ndim and is_integer(x.dtype)
    }
    pairs = zip(v.type.shape, shape_numbers(v.type.shape, sizes), strict=True)
    shape = [n for n in (scalars.get(size, n) for size, n in pairs) if n is not None]
    return array_text(shape, v.dtype) if len(shape) == v.ndim else None


def _operand(x: Variable, value: Any) -> str:
    """An operand as a message shows it: its name, dtype and actual shape."""
    if isinstance(value, tuple):
        return f"the results of {x.op.name}"
    name, found = provenance.name_of(x), f"{value.dtype}{list(value.shape)}"
    if name:
        return f"{name!r} {found}"
    sources = provenance.named_sources(x)
    return found + (f" (from {', '.join(sources)})" if sources else "")

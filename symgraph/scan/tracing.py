"""A step function called once, on symbols, and what it returns made the body of a loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

from ..core import provenance
from ..core.graph import Graph
from ..core.shared import SharedVariable
from ..core.tracing import within_loop
from ..core.variable import INPUT, Variable, make_constant, make_input, next_serial
from ..ops.ranges import arange
from .arguments import SequenceArgument, StateArgument
from .interval import with_checkpoints
from .layout import Layout
from .op import SCAN, Loop, Read, State, make_alike, make_loop
from .state_types import StateTypes
from .step import Step, Traced, as_output, until

__all__ = ["LoopBuilder"]


@dataclass
class LoopBuilder:
    """A loop in the making."""

    step: Step
    sequences: list[SequenceArgument]
    states: list[StateArgument]
    fixed: list[Any]
    truncate: int | None
    checkpoint_every: int | str | None = None
    memory: int | None = None
    n_steps: Variable = field(default_factory=lambda: make_constant(0))
    start: int = field(default_factory=next_serial)
    """What is younger was made in the step."""

    def build(self, *, strict: bool) -> Any:
        """The outputs of the loop, as `scan` returns them."""
        traced = self.trace_to_fixed_types()
        if strict:
            self._refuse_strays(traced)
        n_outputs = len(traced.outputs)
        for values, _ in traced.handed_out:
            traced.outputs += values
            self.states += [StateArgument(None, ()) for _ in values]
        loop = self.make(traced)
        if self.step.name:
            provenance.set_name(loop, self.step.name)
        traces = Loop(loop).over_time()
        # The loop has the states first, the step has its own order.
        states, others = iter(traces), iter(traces[sum(map(_is_recurrent, self.states)) :])
        ordered = iter([next(states if _is_recurrent(s) else others) for s in self.states])
        outputs = list(islice(ordered, n_outputs))
        for values, receive in traced.handed_out:
            receive(*islice(ordered, len(values)))
        return outputs if n_outputs > 1 else outputs[0]

    def make(self, traced: Traced) -> Variable:
        """The loop, from a trace in which states keep their types."""
        values = list(zip(self.states, traced.outputs, strict=True))
        loop = make_loop(
            self.n_steps,
            traced.reads,
            [
                State(s.initial, traced.taps[i], new)
                for i, (s, new) in enumerate(values)
                if s.initial is not None
            ],
            [output for s, output in values if s.initial is None],
            condition=traced.condition,
            truncate=self.truncate,
        )
        if self.checkpoint_every is None and self.memory is None:
            return loop
        return with_checkpoints(loop, every=self.checkpoint_every, memory=self.memory)

    def trace_to_fixed_types(self) -> Traced:
        """The trace in which every state has from step to step one type."""
        n_sequences = len(self.sequences)
        for _ in range(2 + sum(map(_is_recurrent, self.states)) * 4):
            del self.sequences[n_sequences:]
            traced = self._trace()
            if not StateTypes(self.step, self.sequences, self.states, traced).unify():
                return traced
        raise self.step.error("the states have no common type", "Cast them to one dtype and shape.")

    def _trace(self) -> Traced:
        """One call of the step, on fresh symbols."""
        reads = [read for s in self.sequences for read in _reads_of(s)]
        taps = [{tap: _tap_input(s, tap) for tap in s.taps} for s in self.states]
        rows = [read.symbol for read in reads]
        past = [symbol for symbols in taps for symbol in symbols.values()]
        number = partial(self._step_number, reads)
        with within_loop(number) as loop, provenance.record_lines_of_step():
            returned = self.step(rows, past, self.fixed)
            handed_out = [(make(), receive) for make, receive in loop.kept]
        outputs, condition = self.step.outputs(returned)
        traced = Traced(reads, taps, self._fit(outputs), condition, handed_out)
        traced.keep_effects(self.start, loop.step)
        return traced

    def _fit(self, outputs: Sequence[Any]) -> list[Variable]:
        """The outputs as variables, one for each state."""
        if not self.states:
            self.states = [StateArgument(None, ()) for _ in outputs]
        if len(outputs) != len(self.states):
            raise self.step.error(
                f"the step returned {len(outputs)} outputs; outputs_info has {len(self.states)} "
                "entries",
                "Give one entry for each output, None for those that later steps do not read.",
            )
        return [as_output(x, s) for x, s in zip(outputs, self.states, strict=True)]

    def _step_number(self, reads: list[Read]) -> Variable:
        """The number of the step: a row that it reads, or one more sequence."""
        numbers = arange(self.n_steps)
        for read in reads:
            if read.sequence is numbers and read.offset == 0:
                return read.symbol
        self.sequences.append(SequenceArgument(numbers, (0,), (0,)))
        reads += _reads_of(self.sequences[-1])
        return reads[-1].symbol

    def _refuse_strays(self, traced: Traced) -> None:
        """An error where the step uses what was not listed (``strict``)."""
        listed = {*traced.symbols, *(x for x in self.fixed if isinstance(x, Variable))}
        stack = list(traced.outputs) + ([traced.condition] if traced.condition is not None else [])
        seen = set(stack)
        while stack:
            v = stack.pop()
            if v in listed or isinstance(v, SharedVariable):
                continue
            if v.op is INPUT:
                raise self.step.error(
                    f"the step uses {provenance.describe(v)}, which is not listed",
                    "With strict=True, add it to non_sequences.",
                )
            fresh = [x for x in v.inputs if x not in seen]
            seen.update(fresh)
            stack.extend(fresh)


def _is_recurrent(state: StateArgument) -> bool:
    return state.initial is not None


def _reads_of(sequence: SequenceArgument) -> list[Read]:
    x = sequence.variable
    labels = [f"{x.name}[t{tap:+d}]" if tap else f"{x.name}[t]" for tap in sequence.taps]
    return [
        Read(x, offset, make_input(x.type.row, label if x.name else None))
        for offset, label in zip(sequence.offsets, labels, strict=True)
    ]


def _tap_input(state: StateArgument, tap: int) -> Variable:
    assert state.initial is not None
    return make_input(state.initial.type.row, f"past {state.label} [t{tap:+d}]")


def _build_scan(inputs: Sequence[Variable], body: Graph, layout: Layout) -> Variable:
    """The loop on inputs of other types than its body was traced for: the body is built again."""
    parts = layout.parts(inputs)

    def step(*arguments: Variable) -> Any:
        outputs = body(*arguments)
        return (outputs[:-1], until(outputs[-1])) if layout.until else outputs

    n_plain = len(body.outputs) - len(layout.states) - layout.until
    loop = LoopBuilder(
        step=Step(step),
        sequences=[
            SequenceArgument(x, offsets, offsets)
            for x, offsets in zip(parts.sequences, layout.sequences, strict=True)
        ],
        states=[
            StateArgument(x, taps, label=f"state {i}")
            for i, (x, taps) in enumerate(zip(parts.initials, layout.states, strict=True))
        ]
        + [StateArgument(None, (), label=f"plain output {i}") for i in range(n_plain)],
        fixed=list(parts.fixed),
        truncate=layout.truncate,
        n_steps=parts.n_steps,
    )
    made = loop.make(loop.trace_to_fixed_types())
    changed = Loop(made)
    like_before = replace(layout, sequences=changed.layout.sequences, states=changed.layout.states)
    read = changed.layout.parts(made.inputs)
    given = read._replace(interval=parts.interval, first=parts.first).flat()
    return make_alike(made, given, body=changed.body, layout=like_before)


SCAN.attach(build=_build_scan)

"""A step function called once, on symbols, and what it returns made the body of a loop.

States must keep their types from one step to the next. Where they do not at first, the step is
traced again with initial values of a wider dtype or a full shape.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.dims import Size, known_different
from ..core.errors import ScanError
from ..core.graph import Graph
from ..core.shared import SharedVariable
from ..core.tracing import within_loop
from ..core.values import takes_kind, weak_kind
from ..core.variable import INPUT, Variable, make_constant, make_input, next_serial
from ..ops.broadcast import broadcast_to
from ..ops.comparison import as_condition
from ..ops.promotion import as_variable, cast_to
from ..ops.ranges import arange
from ..ops.sizes import check_size, preferred_size, shape_of
from .arguments import SequenceArgument, StateArgument
from .close import find_outer
from .effects import effects_kept_in_step, values_of_effects
from .layout import Layout
from .op import SCAN, Loop, Read, State, make_loop
from .sizes import of_length, scalar_for

__all__ = ["LoopBuilder", "Until", "until"]


class Until:
    """The condition that ends a loop after the step in which it holds; made by `until`."""

    def __init__(self, condition: Any) -> None:
        self.condition = as_condition(condition, "until")
        if self.condition.ndim != 0:
            raise ScanError.here(
                f"until: the condition is a scalar, not {provenance.describe(self.condition)}",
                remedy="Reduce it with .any() or .all().",
            )


def until(condition: ArrayLike) -> Until:
    """The sign, for a step to return beside its outputs, that this step is the last one.

    The condition is a scalar, else it is a `ScanError`; its step counts.

    >>> def double(x):
    ...     return 2 * x, sg.until(x > 10)
    >>> sg.scan(double, outputs_info=[1], n_steps=100).eval()
    array([ 2,  4,  8, 16, 32])
    """
    return Until(condition)


@dataclass
class _Traced:
    """What one call of the step gave."""

    reads: list[Read]
    taps: list[dict[int, Variable]]
    """For each state the symbols of its taps."""
    outputs: list[Variable]
    condition: Variable | None
    several: bool
    handed_out: list[tuple[Sequence[Variable], Callable[..., None]]]
    """What the step makes besides its outputs, with who gets it."""

    @property
    def symbols(self) -> list[Variable]:
        """The symbols on which the step was called, the number of the step included."""
        past = (symbol for taps in self.taps for symbol in taps.values())
        return [*(read.symbol for read in self.reads), *past]

    def keep_effects(self, since: int, number: Callable[[], Variable]) -> None:
        """Let effects later than ``since`` happen in each step; ``number`` gives the step's."""
        condition = [] if self.condition is None else [self.condition]
        ends = [*self.outputs, *condition, *(x for values, _ in self.handed_out for x in values)]
        rest = iter(effects_kept_in_step(ends, self.symbols, since, number))
        self.outputs = list(islice(rest, len(self.outputs)))
        self.condition = next(rest) if condition else None
        self.handed_out = [(list(islice(rest, len(x))), receive) for x, receive in self.handed_out]
        values = values_of_effects(self.outputs, self.symbols, since)
        if values:
            self.handed_out.append((values, lambda *traces: None))


@dataclass
class LoopBuilder:
    """A loop in the making."""

    step: Callable[..., Any]
    sequences: list[SequenceArgument]
    states: list[StateArgument]
    fixed: list[Any]
    truncate: int | None
    checkpoint_every: int | None
    name: str | None
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
        if self.name:
            provenance.set_name(loop, self.name)
        traces = Loop(loop).over_time()
        # The loop has the states first, the step has its own order.
        states, others = iter(traces), iter(traces[sum(map(_is_recurrent, self.states)) :])
        ordered = iter([next(states if _is_recurrent(s) else others) for s in self.states])
        outputs = list(islice(ordered, n_outputs))
        for values, receive in traced.handed_out:
            receive(*islice(ordered, len(values)))
        return outputs if traced.several else outputs[0]

    def make(self, traced: _Traced) -> Variable:
        """The loop, from a trace in which states keep their types."""
        ends_early = traced.condition is not None or self.truncate is not None
        if self.checkpoint_every is not None and ends_early:
            raise self._error(
                "checkpoint_every does not go together with until or truncate_gradient",
                "Leave one of them out.",
            )
        values = list(zip(self.states, traced.outputs, strict=True))
        return make_loop(
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
            checkpoint_every=self.checkpoint_every,
        )

    def _trace(self, n_given: int) -> _Traced:
        """One call of the step, on fresh symbols."""
        del self.sequences[n_given:]
        reads = [read for s in self.sequences for read in _reads_of(s)]
        taps = [{tap: _tap_input(s, tap) for tap in s.taps} for s in self.states]
        rows = [read.symbol for read in reads]
        past = [symbol for symbols in taps for symbol in symbols.values()]
        with within_loop(lambda: self._step_number(reads)) as loop:
            try:
                returned = self.step(*rows, *past, *self.fixed)
            except TypeError:
                self._refuse_arguments(len(rows), len(past))
                raise
            handed_out = [(make(), receive) for make, receive in loop.kept]
        outputs, condition, several = self._parse_returned(returned)
        traced = _Traced(reads, taps, outputs, condition, several, handed_out)
        traced.keep_effects(self.start, loop.step)
        return traced

    def _refuse_arguments(self, n_rows: int, n_past: int) -> None:
        """An error where the step does not take as many arguments as it is called with."""
        counts = {"row": n_rows, "past output": n_past, "non-sequence": len(self.fixed)}
        try:
            signature = inspect.signature(self.step, follow_wrapped=False)
            signature.bind(*range(sum(counts.values())))
        except ValueError:
            return  # a builtin that does not tell
        except TypeError as error:
            parts = ", ".join(
                f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in counts.items() if n
            )
            raise self._error(
                f"the step is called with {parts or 'no arguments'}: {error} "
                f"({_step_line(self.step)})",
                "A step takes the rows of sequences, then past outputs, then non_sequences.",
            ) from None

    def _step_number(self, reads: list[Read]) -> Variable:
        """The number of the step: a row that it reads, or one more sequence."""
        numbers = arange(self.n_steps)
        for read in reads:
            if read.sequence is numbers and read.offset == 0:
                return read.symbol
        self.sequences.append(SequenceArgument(numbers, (0,), (0,)))
        reads += _reads_of(self.sequences[-1])
        return reads[-1].symbol

    def _parse_returned(self, returned: Any) -> tuple[list[Variable], Variable | None, bool]:
        condition = None
        if isinstance(returned, (list, tuple)) and returned and isinstance(returned[-1], Until):
            condition = cast_to(returned[-1].condition, np.dtype("bool"))
            returned = returned[0] if len(returned) == 2 else returned[:-1]
        several = isinstance(returned, (list, tuple))
        outputs = list(returned) if several else [returned]
        if isinstance(returned, (dict, Until)) or any(x is None for x in outputs) or not outputs:
            raise self._error(
                f"the step returned {returned!r}",
                "A step returns its outputs (a variable, or a list of variables), or "
                "(outputs, sg.until(condition)). Updates go to compile().",
            )
        if not self.states:
            self.states = [StateArgument(None, ()) for _ in outputs]
        if len(outputs) != len(self.states):
            raise self._error(
                f"the step returned {len(outputs)} outputs; outputs_info has {len(self.states)} "
                "entries",
                "Give one entry for each output, None for those that later steps do not read.",
            )
        outputs = [_as_output(x, s) for x, s in zip(outputs, self.states, strict=True)]
        return outputs, condition, len(outputs) > 1

    def trace_to_fixed_types(self) -> _Traced:
        """The trace in which every state has from step to step one type."""
        n_given = len(self.sequences)
        for _ in range(2 + sum(s.initial is not None for s in self.states) * 4):
            traced = self._trace(n_given)
            changed = [self._unify(i, traced) for i in range(len(self.states))]
            if not any(changed):
                return traced
        raise self._error("the states have no common type", "Cast them to one dtype and shape.")

    def _unify(self, i: int, traced: _Traced) -> bool:
        """Make the types of a state and its new value agree; True where the state changed."""
        state, new = self.states[i], traced.outputs[i]
        if state.initial is None:
            return False
        old = state.initial.type.row
        if old is new.type:
            return False
        if old.dtype != new.dtype:
            needed = _dtype_needed(old.dtype, new.dtype) if state.weak is not None else None
            if needed is not None:
                state.initial = state.rows_of(needed)
                return True
            raise self._type_error(
                state,
                new,
                f"Cast the new value with .astype('{old.dtype}'), "
                f"or the initial value with .astype('{new.dtype}').",
            )
        if len(old.shape) != len(new.type.shape):
            remedy = "Give the initial value as many axes as the output has."
            raise self._type_error(state, new, remedy)
        changed = False
        for axis, (ours, theirs) in enumerate(zip(old.shape, new.type.shape, strict=True)):
            changed |= self._unify_axis(i, axis, ours, theirs, traced)
        return changed

    def _unify_axis(self, i: int, axis: int, ours: Size, theirs: Size, traced: _Traced) -> bool:
        state, new = self.states[i], traced.outputs[i]
        assert state.initial is not None
        if ours == theirs:
            return False
        context = f"scan: axis {axis} of {state.label}"
        if theirs == 1:
            shape = list(shape_of(new))
            shape[axis] = self._outer_size(ours, state, traced)
            traced.outputs[i] = broadcast_to(new, shape)
            return False
        if ours == 1:
            shape = list(shape_of(state.initial))
            shape[axis + 1] = self._outer_size(theirs, state, traced)
            state.initial = broadcast_to(state.initial, shape)
            return True
        if known_different(ours, theirs):
            raise self._type_error(
                state, new, f"Sizes {ours} and {theirs} of axis {axis} cannot be equal."
            )
        if preferred_size(ours, theirs) == ours:
            past = traced.taps[i][state.taps[0]]
            traced.outputs[i] = check_size(new, axis, past, axis, context)
            return False
        model = of_length(self._outer_size(theirs, state, traced))
        state.initial = check_size(state.initial, axis + 1, model, 0, context)
        return True

    def _outer_size(self, size: Size, state: StateArgument, traced: _Traced) -> Any:
        """A size as an expression outside the loop."""
        sources = [s.variable for s in self.sequences]
        sources += [s.initial for s in self.states if s.initial is not None]
        _, outer = find_outer(traced.symbols, traced.outputs)
        scalar = scalar_for(size, [*sources, *outer])
        if scalar is None:
            raise self._error(
                f"the size {size} of {state.label} is known only inside the step",
                "Give the initial value the full shape of the output.",
            )
        return scalar

    def _refuse_strays(self, traced: _Traced) -> None:
        """An error where the step uses what was not listed (``strict``)."""
        listed = {*traced.symbols, *(x for x in self.fixed if isinstance(x, Variable))}
        stack = list(traced.outputs) + ([traced.condition] if traced.condition is not None else [])
        seen = set(stack)
        while stack:
            v = stack.pop()
            if v in listed or isinstance(v, SharedVariable):
                continue
            if v.op is INPUT:
                raise self._error(
                    f"the step uses {provenance.describe(v)}, which is not listed",
                    "With strict=True, add it to non_sequences.",
                )
            fresh = [x for x in v.inputs if x not in seen]
            seen.update(fresh)
            stack.extend(fresh)

    def _type_error(self, state: StateArgument, new: Variable, remedy: str) -> ScanError:
        assert state.initial is not None
        old = state.initial.type.row
        made = (
            provenance.line_of(state.initial) or provenance.line_of(state.initial.inputs[0])
            if (state.initial.inputs)
            else provenance.line_of(state.initial)
        )
        return self._error(
            f"{state.label} changes its type from one step to the next:\n"
            f"    the state is {old}" + (f" (initial value made at {made})" if made else "") + "\n"
            f"    the step returns {new.type} ({_step_line(self.step)})",
            remedy,
        )

    def _error(self, what: str, remedy: str) -> ScanError:
        title = f"scan {self.name!r}" if self.name else "scan"
        return ScanError.here(f"{title}: {what}", remedy=remedy)


def _as_output(value: Any, state: StateArgument) -> Variable:
    """What a step returned as a variable; a Python number takes the dtype of its state."""
    if state.initial is not None and state.weak is None:
        kind = weak_kind(value)
        if kind is not None and takes_kind(state.initial.dtype, kind):
            return make_constant(value, state.initial.dtype, what="scan")
    return as_variable(value, "scan")


def _dtype_needed(ours: np.dtype, found: np.dtype) -> np.dtype | None:
    """The dtype to try for a Python number whose new value has ``found``; None for no other."""
    if ours.kind == "i" and found == np.float64:
        # int64 and float32 give float64, but a weak number has no part in that.
        return np.dtype("float32")
    fits = np.can_cast(ours, found, "same_kind") or ours.kind + found.kind == "iu"
    return found if fits else None


def _step_line(step: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(step), "__code__", None)
    return f"step at {code.co_filename}:{code.co_firstlineno}" if code else f"step {step!r}"


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
        step=step,
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
        checkpoint_every=layout.checkpoint_every,
        name=None,
        n_steps=parts.n_steps,
    )
    return loop.make(loop.trace_to_fixed_types())


SCAN.attach(build=_build_scan)

"""The loop: one op, whose parameters are its body (a closed graph) and its layout.

Inputs, in order::

    n_steps, *sequences, *initials, *others

``n_steps`` is an int64 scalar. Step ``t`` reads ``sequence[t + offset]`` for each offset of each
sequence. A state is an output that later steps read: its initial is an array of ``depth`` rows (how
far back its oldest tap goes, oldest row first). Others do not change over time.

The body's inputs, in order: for each sequence and offset a slice; for each state and tap the value
so many steps back; the others. Its outputs: the new value of each state, the plain outputs, and,
where ``until`` is set, a bool scalar that ends the loop after this step.

Results (a tuple type; take them with `item`): for each state a *buffer* ``[depth + n, ...]``, the
initial rows followed by the n new values, so that a gradient loop reads earlier values where they
lie; for each plain output a *trace* ``[n, ...]``. ``n`` is ``n_steps``, or the number of steps
taken where ``until`` ends the loop earlier.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core import provenance
from ..core.dims import Dim, Size, fresh_size
from ..core.errors import ScanError
from ..core.graph import Graph, rebuild
from ..core.op import Op
from ..core.types import TensorType, TupleType, tensor_type
from ..core.variable import Variable, node
from ..ops.sizes import size_of

__all__ = [
    "SCAN",
    "Layout",
    "Loop",
    "is_scan",
    "keep_steps_taken",
    "make_scan",
    "rebuild_alike",
]

_BOOL = np.dtype("bool")


@dataclass(frozen=True)
class Layout:
    """How a loop's inputs and results belong together."""

    sequences: tuple[tuple[int, ...], ...]
    """For each sequence the offsets (at least 0) at which a step reads it."""
    states: tuple[tuple[int, ...], ...]
    """For each state its taps (negative), in the order of the body's inputs."""
    until: bool = False
    """Whether the body's last output ends the loop."""
    truncate: int | None = None
    """How many of the last steps the gradient goes back; None for all."""

    def depth(self, state: int) -> int:
        """How many initial rows a state has."""
        return -min(self.states[state])

    def with_truncate(self, truncate: int | None) -> Layout:
        """The layout with another truncation."""
        return replace(self, truncate=truncate)


class Loop:
    """A scan node's inputs, body and results, by what they are for."""

    def __init__(self, scan: Variable) -> None:
        self.node = scan
        self.body: Graph = scan.params[0]
        self.layout: Layout = scan.params[1]
        n_sequences, n_states = len(self.layout.sequences), len(self.layout.states)
        self.n_steps = scan.inputs[0]
        self.sequences = scan.inputs[1 : 1 + n_sequences]
        self.initials = scan.inputs[1 + n_sequences : 1 + n_sequences + n_states]
        self.others = scan.inputs[1 + n_sequences + n_states :]
        n_slices = sum(map(len, self.layout.sequences))
        n_taps = sum(map(len, self.layout.states))
        self.slices = self.body.inputs[:n_slices]
        self.taps = self.body.inputs[n_slices : n_slices + n_taps]
        self.constants = self.body.inputs[n_slices + n_taps :]
        self.new_states = self.body.outputs[:n_states]
        end = len(self.body.outputs) - self.layout.until
        self.plain = self.body.outputs[n_states:end]
        self.condition = self.body.outputs[end] if self.layout.until else None


def is_scan(variable: Variable) -> bool:
    """Whether the variable is a loop."""
    return variable.op is SCAN


# The number of steps that a loop with ``until`` takes: one unknown size for each such loop, by its
# body, its layout and the serials of its inputs (which, unlike the inputs, keep nothing alive).
_steps_taken: weakref.WeakKeyDictionary[Graph, dict[tuple, Dim]] = weakref.WeakKeyDictionary()


def _trace_size(inputs: Sequence[Variable], body: Graph, layout: Layout) -> Size:
    if not layout.until:
        return size_of(inputs[0])
    known = _steps_taken.setdefault(body, {})
    key = _key_of(inputs, layout)
    found = known.get(key)
    return found if found is not None else known.setdefault(key, fresh_size())


def _key_of(inputs: Sequence[Variable], layout: Layout) -> tuple:
    return (layout, *(v.serial for v in inputs))


def keep_steps_taken(
    old: Variable, inputs: Sequence[Variable], body: Graph, layout: Layout
) -> None:
    """Let the loop with these parts, which will replace ``old``, take as many steps as it does."""
    if layout.until:
        taken = _trace_size(old.inputs, *old.params)
        assert isinstance(taken, Dim)
        _steps_taken.setdefault(body, {})[_key_of(inputs, layout)] = taken


def rebuild_alike(variable: Variable, inputs: Sequence[Variable]) -> Variable:
    """The variable's op on other inputs that have the same values."""
    if variable.op is SCAN:
        keep_steps_taken(variable, inputs, *variable.params)
    return rebuild(variable, inputs)


def _infer_scan(inputs: Sequence[Variable], body: Graph, layout: Layout) -> TupleType:
    n_sequences, n_states = len(layout.sequences), len(layout.states)
    sequences = inputs[1 : 1 + n_sequences]
    initials = inputs[1 + n_sequences : 1 + n_sequences + n_states]
    expected: list[TensorType] = []
    for sequence, offsets in zip(sequences, layout.sequences, strict=True):
        expected += [sequence.type.with_shape(sequence.type.shape[1:])] * len(offsets)
    for initial, taps in zip(initials, layout.states, strict=True):
        expected += [initial.type.with_shape(initial.type.shape[1:])] * len(taps)
    expected += [x.type for x in inputs[1 + n_sequences + n_states :]]
    found = [x.type for x in body.inputs]
    if found != expected:
        raise ScanError(f"scan: the body takes {found}; it is given {expected}")
    n = _trace_size(inputs, body, layout)
    end = len(body.outputs) - layout.until
    if layout.until and body.outputs[end].type is not tensor_type(_BOOL, ()):
        raise ScanError(f"scan: the condition is {body.outputs[end].type}, not a bool scalar")
    results = []
    for i, output in enumerate(body.outputs[:end]):
        if i < n_states:
            initial = initials[i].type
            if initial.with_shape(initial.shape[1:]) is not output.type:
                raise ScanError(f"scan: a state of type {initial} becomes {output.type}")
            length = initial.shape[0] + n
        else:
            length = n
        results.append(tensor_type(output.type.dtype, (length, *output.type.shape)))
    return TupleType(results)


# vjp.py, tracing.py and steps.py attach the rules vjp, build and step_inputs.
SCAN = Op("scan", _infer_scan, params=("body", "layout"), traits=frozenset({"traced"}))


def make_scan(
    n_steps: Variable,
    sequences: Sequence[Variable],
    initials: Sequence[Variable],
    others: Sequence[Variable],
    body: Graph,
    layout: Layout,
    *,
    lines: tuple[provenance.Line, ...] = (),
) -> Variable:
    """The loop with these parts; ``lines`` are the user's, where they are not the present ones."""
    made = node(SCAN, (n_steps, *sequences, *initials, *others), (body, layout))
    provenance.set_lines(made, lines)
    return made

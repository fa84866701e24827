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
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np

from ..core import provenance
from ..core.dims import Atom, Dim, Size, fresh_size, size_atoms
from ..core.errors import ScanError
from ..core.graph import Graph, rebuild
from ..core.op import Op
from ..core.types import TensorType, TupleType, tensor_type
from ..core.variable import Variable, existing_node, node
from ..ops.sizes import carry_size, size_of

__all__ = [
    "SCAN",
    "Layout",
    "Loop",
    "is_scan",
    "is_told",
    "keep_sizes",
    "make_scan",
    "rebuild_alike",
    "sizes_told",
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


@dataclass
class _SizesFound:
    """The sizes that a loop's steps tell, as they are known outside: unknown ones of its own."""

    taken: Dim | None = None
    """How many steps a loop with ``until`` takes."""
    rows: dict[tuple[int, int], Size] = field(default_factory=dict)
    """By result and axis of a row: sizes that are computed in the body."""


# By the loop's body, its layout and the serials of its inputs (which, unlike the inputs, keep
# nothing alive): all that the loop is.
_sizes_found: weakref.WeakKeyDictionary[Graph, dict[tuple, _SizesFound]] = (
    weakref.WeakKeyDictionary()
)


def _key_of(inputs: Sequence[Variable], layout: Layout) -> tuple:
    return (layout, *(v.serial for v in inputs))


def _found_by(inputs: Sequence[Variable], body: Graph, layout: Layout) -> _SizesFound:
    known = _sizes_found.setdefault(body, {})
    key = _key_of(inputs, layout)
    found = known.get(key)
    return found if found is not None else known.setdefault(key, _SizesFound())


def _trace_size(inputs: Sequence[Variable], body: Graph, layout: Layout) -> Size:
    if not layout.until:
        return size_of(inputs[0])
    found = _found_by(inputs, body, layout)
    if found.taken is None:
        found.taken = fresh_size()
    return found.taken


def _row_sizes(
    inputs: Sequence[Variable], body: Graph, layout: Layout, result: int
) -> tuple[Size, ...]:
    """The sizes of a plain output's rows, as they are known outside the loop.

    What the body computes may be another number in each step, and in another loop with the same
    body: outside, it is an unknown size, on which all steps have to agree.
    """
    shape = body.outputs[result].type.shape
    told = sizes_told(body.inputs) if any(isinstance(size, Dim) for size in shape) else set()
    if is_told(shape, told):
        return shape
    found = _found_by(inputs, body, layout).rows
    sizes: list[Size] = []
    for axis, size in enumerate(shape):
        if not is_told((size,), told):
            alike = next((s for (r, a), s in found.items() if _is_size(body, r, a, size)), None)
            size = found.setdefault((result, axis), alike or fresh_size())
        sizes.append(size)
    return tuple(sizes)


def _is_size(body: Graph, result: int, axis: int, size: Size) -> bool:
    return body.outputs[result].type.shape[axis] == size


def sizes_told(variables: Iterable[Variable]) -> set[Atom]:
    """What the sizes in the types of these variables are made of."""
    return {atom for v in variables for size in v.type.shape for atom in size_atoms(size)}


def is_told(shape: Sequence[Size], told: Set[Atom]) -> bool:
    """Whether sizes are made of no others than these; names mean the same everywhere."""
    return all(
        atom in told or atom[0] == "name"
        for size in shape
        if isinstance(size, Dim)
        for atom in size_atoms(size)
    )


def keep_sizes(
    old: Variable,
    inputs: Sequence[Variable],
    body: Graph,
    layout: Layout,
    results: Mapping[int, int] | None = None,
) -> None:
    """Let the loop with these parts, which will replace ``old``, have the sizes that it has.

    ``results``: for results of the new loop which they were of the old one, where they moved.
    """
    old_body, old_layout = old.params
    before = _sizes_found.get(old_body, {}).get(_key_of(old.inputs, old_layout))
    if before is None or existing_node(SCAN, inputs, (body, layout)) is not None:
        return  # there is nothing to keep, or it has sizes already
    now = _found_by(inputs, body, layout)
    now.taken = before.taken
    for (result, axis), size in before.rows.items():
        moved = [new for new, was in results.items() if was == result] if results else [result]
        now.rows.update(((new, axis), size) for new in moved)


def rebuild_alike(variable: Variable, inputs: Sequence[Variable]) -> Variable:
    """The variable's op on other inputs that have the same values."""
    if variable.op is SCAN:
        keep_sizes(variable, inputs, *variable.params)
    made = rebuild(variable, inputs)
    carry_size(variable, made)  # where it cannot, the types that speak of the size differ
    return made


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
            shape = (initial.shape[0] + n, *output.type.shape)
        else:
            shape = (n, *_row_sizes(inputs, body, layout, i))
        results.append(tensor_type(output.type.dtype, shape))
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

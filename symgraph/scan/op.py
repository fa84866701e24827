"""The loop: one op, whose parameters are its body (a closed graph) and its layout.

`Loop` gives its parts as records, and `make_loop` makes a loop of such records; how they lie in the
node is known here alone. Inputs, in order::

    n_steps, *sequences, *initials, *fixed[, interval][, first]

``n_steps`` is an int64 scalar. Step ``t`` reads ``sequence[t + offset]`` for each offset of each
sequence. A state is an output that later steps read: its initial is an array of ``depth`` rows (how
far back its oldest tap goes, oldest row first). What is fixed does not change over time.

The body's inputs, in order: for each sequence and offset a slice; for each state and tap the value
so many steps back; what is fixed. Its outputs: the new value of each state, the plain outputs, and,
where ``until`` is set, a bool scalar that ends the loop after this step.

Results (a tuple type; take them with `item`): for each state a *buffer* ``[depth + n, ...]``, the
initial rows followed by the n new values, so that a gradient loop reads earlier values where they
lie; for each plain output a *trace* ``[n, ...]``. ``n`` is ``n_steps``, or the number of steps
taken where ``until`` ends the loop earlier. A loop with checkpoints has also, for each state, its
*checkpoints* ``[count, depth, ...]``: the rows that its taps go back to, before the first step and
after every so-many-th one but the last step; after the last step too, where the layout says so.
So many: as long as the interval is, a vector of zeros that takes no memory. ``first`` is an int64
scalar, by which alone messages go: the number of the first step, of a loop that takes a part of
another's steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace as with_fields
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..core import provenance
from ..core.dims import Size, floor_div, maximum_zero
from ..core.errors import ScanError
from ..core.graph import Graph
from ..core.op import Op
from ..core.origins import origins
from ..core.types import TensorType, TupleType, tensor_type
from ..core.variable import Variable, existing_node, item, node
from ..ops.elementwise import subtract
from ..ops.reshape import reshape
from ..ops.sizes import SIZE, shape_of, size_of
from ..ops.slices import slice_axis
from ..rewrite.engine import rebuild_sized
from .close import close_body
from .layout import Layout, Role
from .step_sizes import atoms_of, hand_on_sizes, row_sizes, steps_taken

__all__ = [
    "SCAN",
    "Loop",
    "Read",
    "Result",
    "State",
    "is_scan",
    "make_alike",
    "make_loop",
    "make_loop_instead",
    "rebuild_alike",
]

_BOOL = np.dtype("bool")


class Read(NamedTuple):
    """What step ``t`` reads of a sequence, ``sequence[t + offset]``; its symbol in the body."""

    sequence: Variable
    offset: int
    symbol: Variable


class State(NamedTuple):
    """An output that later steps read: its initial rows, the symbol for each tap, its new value."""

    initial: Variable
    taps: Mapping[int, Variable]
    new: Variable

    @property
    def depth(self) -> int:
        """How many initial rows there are: how far back the oldest tap goes."""
        return -min(self.taps)


class Result(NamedTuple):
    """What a loop leaves behind: a value of the body over time, after ``depth`` initial rows."""

    value: Variable
    depth: int


class Loop:
    """A scan node as records: what it reads, its states, what is fixed, its outputs."""

    def __init__(self, scan: Variable) -> None:
        self.node = scan
        self.body: Graph = scan.params[0]
        self.layout: Layout = scan.params[1]

    @property
    def title(self) -> str | None:
        """What a table calls it: its name, and whether it is a part of that loop; None without a
        name."""
        name = self.node.name
        return f"{name} from a checkpoint" if name and self.layout.is_numbered else name

    @property
    def n_steps(self) -> Variable:
        """The number of steps, or the most where ``condition`` may end the loop."""
        return self.node.inputs[0]

    @property
    def taken(self) -> Variable:
        """How many steps it takes, an int64 scalar: told by its results, where data decide."""
        if not self.layout.until:
            return self.n_steps
        if self.outputs:
            return node(SIZE, (self.traces[0],), (0,))
        return subtract(node(SIZE, (self.buffers[0],), (0,)), self.states[0].depth)

    @property
    def reads(self) -> list[Read]:
        """The rows of sequences that a step reads."""
        return [read for reads in self.reads_by_sequence for read in reads]

    @property
    def reads_by_sequence(self) -> list[list[Read]]:
        """For each sequence among the node's inputs what a step reads of it."""
        return self._inputs[0]

    @property
    def states(self) -> list[State]:
        """The outputs that later steps read."""
        return self._inputs[1]

    @property
    def fixed(self) -> dict[Variable, Variable]:
        """The body's symbols for what does not change over time, with what they stand for."""
        return self._inputs[2]

    @cached_property
    def _inputs(self) -> tuple[list[list[Read]], list[State], dict[Variable, Variable]]:
        inputs, symbols = self.layout.parts(self.node.inputs), iter(self.body.inputs)
        reads = [
            [Read(sequence, offset, next(symbols)) for offset in offsets]
            for sequence, offsets in zip(inputs.sequences, self.layout.sequences, strict=True)
        ]
        states = [
            State(initial, {tap: next(symbols) for tap in taps}, new)
            for initial, taps, new in zip(
                inputs.initials, self.layout.states, self.body.outputs, strict=False
            )
        ]
        return reads, states, dict(zip(symbols, inputs.fixed, strict=True))

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The body's plain outputs: those that no later step reads."""
        outputs = self.body.outputs
        return outputs[len(self.layout.states) : len(outputs) - self.layout.until]

    @property
    def condition(self) -> Variable | None:
        """The body's output that ends the loop after the step in which it holds."""
        return self.body.outputs[-1] if self.layout.until else None

    @property
    def changing(self) -> tuple[Variable, ...]:
        """The body's symbols for what changes from step to step: rows, then states."""
        return self.body.inputs[: len(self.body.inputs) - len(self.fixed)]

    @property
    def operands(self) -> list[Variable]:
        """For each of the body's symbols what outside the loop it is made from."""
        initials = [state.initial for state in self.states for _ in state.taps]
        return [*(read.sequence for read in self.reads), *initials, *self.fixed.values()]

    @property
    def results(self) -> list[Result]:
        """What the node's items are: buffers of states, traces of plain outputs."""
        buffers = [Result(state.new, state.depth) for state in self.states]
        return buffers + [Result(output, 0) for output in self.outputs]

    @property
    def buffers(self) -> list[Variable]:
        """The items that have the initial rows and the new values of the states."""
        return [item(self.node, i) for i in range(len(self.layout.states))]

    @property
    def traces(self) -> list[Variable]:
        """The items that have the plain outputs over time."""
        return [item(self.node, len(self.layout.states) + k) for k in range(len(self.outputs))]

    @property
    def interval(self) -> Variable | None:
        """A vector as long as checkpoints are apart; None without checkpoints."""
        return self.layout.parts(self.node.inputs).interval

    @property
    def first(self) -> Variable | None:
        """The number of the first step; None where it is 0."""
        return self.layout.parts(self.node.inputs).first

    @property
    def ending(self) -> tuple[Variable, ...]:
        """The inputs that no step reads: the interval, and the number of the first step."""
        parts = self.layout.parts(self.node.inputs)
        return tuple([x for x in (parts.interval, parts.first) if x is not None])

    @property
    def checkpoint_every(self) -> Size | None:
        """How many steps checkpoints are apart; None without checkpoints."""
        interval = self.interval
        return None if interval is None else interval.type.shape[0]

    @property
    def checkpoints(self) -> list[Variable]:
        """The items that have the states after every so-many-th step; without the property none."""
        first = len(self.layout.states) + len(self.outputs)
        return [item(self.node, i) for i in range(first, len(self.node.type.items))]

    def over_time(self) -> list[Variable]:
        """The new values of each state over time, then the plain outputs."""
        buffers = zip(self.buffers, self.states, strict=True)
        return [*(slice_axis(buffer, 0, state.depth) for buffer, state in buffers), *self.traces]


def is_scan(variable: Variable) -> bool:
    """Whether the variable is a loop."""
    return variable.op is SCAN


def make_loop(
    n_steps: Variable,
    reads: Sequence[Read],
    states: Sequence[State],
    outputs: Sequence[Variable],
    *,
    condition: Variable | None = None,
    fixed: Mapping[Variable, Variable] | None = None,
    truncate: int | None = None,
    first: Variable | None = None,
    role: Role = "written",
    is_over_chunks: bool = False,
    name: str | None = None,
    like: Variable | None = None,
) -> Variable:
    """The loop with these parts, whose new values and outputs are expressions of the symbols.

    What does not change over time is found in the expressions; ``fixed`` says what symbols for such
    variables stand for. ``like``: the loop whose lines it has, where they are not the present ones.
    """
    layout = Layout(
        (),
        (),
        truncate=truncate,
        is_over_chunks=is_over_chunks,
        role=role,
        is_numbered=first is not None,
    )
    ending = () if first is None else (first,)
    parts = _closed(layout, n_steps, reads, states, outputs, condition, fixed, ending)
    return _named(node(SCAN, *parts), name, like)


def make_loop_instead(
    loop: Loop,
    numbers: Sequence[int],
    n_steps: Variable,
    reads: Sequence[Read],
    states: Sequence[State],
    outputs: Sequence[Variable],
    *,
    condition: Variable | None,
    fixed: Mapping[Variable, Variable],
    ending: tuple[Variable, ...],
    varying: Set[Variable] | None = None,
) -> Variable:
    """A loop that replaces one, like it but for these parts, as those of `make_loop`.

    ``numbers``: for each of its results which it was of that one. ``ending``: see `Loop`.
    ``varying``: what changes from step to step, where that is known.
    """
    layout = loop.layout
    parts = _closed(layout, n_steps, reads, states, outputs, condition, fixed, ending, varying)
    _hand_on_sizes(loop.node, parts[0], *parts[1], numbers)
    return _named(node(SCAN, *parts), loop.node.name, loop.node)


def _closed(
    like: Layout,
    n_steps: Variable,
    reads: Sequence[Read],
    states: Sequence[State],
    outputs: Sequence[Variable],
    condition: Variable | None,
    fixed: Mapping[Variable, Variable] | None,
    ending: tuple[Variable, ...],
    varying: Set[Variable] | None = None,
) -> tuple[tuple[Variable, ...], tuple[Graph, Layout]]:
    """The inputs of a loop with these parts, and its parameters."""
    sequences = _by_sequence(reads)
    symbols = [read.symbol for read in reads]
    symbols += [symbol for state in states for symbol in state.taps.values()]
    ends = [] if condition is None else [condition]
    values = [*(state.new for state in states), *outputs, *ends]
    body, outer = close_body(symbols, values, fixed, varying)
    layout = with_fields(
        like,
        sequences=tuple(tuple(read.offset for read in group) for group in sequences),
        states=tuple(tuple(state.taps) for state in states),
        until=condition is not None,
    )
    initials = (state.initial for state in states)
    inputs = (n_steps, *(group[0].sequence for group in sequences), *initials, *outer, *ending)
    return inputs, (body, layout)


def _by_sequence(reads: Sequence[Read]) -> list[list[Read]]:
    """The reads in groups: those of one sequence that follow each other, each offset once."""
    groups: list[list[Read]] = []
    for read in reads:
        last = groups[-1] if groups else []
        offsets = [other.offset for other in last if other.sequence is read.sequence]
        if not offsets or read.offset in offsets:
            groups.append([])
        groups[-1].append(read)
    return groups


def make_alike(
    scan: Variable, inputs: Sequence[Variable], *, body: Graph, layout: Layout | None = None
) -> Variable:
    """The loop with another body, and layout, on inputs that have the same values.

    The body's first outputs are those of the loop, but for a condition, which stays the last one.
    """
    given: Layout = scan.params[1] if layout is None else layout
    params = (_with_types_of_states(body, given), given)
    _hand_on_sizes(scan, inputs, *params)
    return _named(node(SCAN, inputs, params), scan.name, scan)


def _with_types_of_states(body: Graph, layout: Layout) -> Graph:
    """The body of which the new values of states have the types that the states have.

    Where rewriting found a size to be a number, or another one, it is the state's size again.
    """
    symbols = iter(body.inputs[sum(map(len, layout.sequences)) :])
    states = [next(islice(symbols, len(taps) - 1, None)) for taps in layout.states]
    pairs = zip(states, body.outputs, strict=False)
    if all(new.type is state.type for state, new in pairs):
        return body
    news = [
        new if new.type is state.type else reshape(new, shape_of(state))
        for state, new in zip(states, body.outputs, strict=False)
    ]
    return Graph(body.inputs, [*news, *body.outputs[len(states) :]]).canonical()


def _named(loop: Variable, name: str | None, like: Variable | None) -> Variable:
    if like is not None:
        provenance.hand_on(like, loop)
    if name and (loop.name is None or origins() is None):
        provenance.set_name(loop, name)
    return loop


def rebuild_alike(variable: Variable, inputs: Sequence[Variable]) -> Variable:
    """The variable's op on other inputs that have the same values."""
    if variable.op is SCAN:
        _hand_on_sizes(variable, inputs, *variable.params)
    return rebuild_sized(variable, inputs)


def _hand_on_sizes(
    old: Variable,
    inputs: Sequence[Variable],
    body: Graph,
    layout: Layout,
    numbers: Sequence[int] | None = None,
) -> None:
    """Let a loop that is about to be made have the sizes of the one it replaces."""
    if existing_node(SCAN, inputs, (body, layout)) is None:  # else it has sizes already
        hand_on_sizes(old, inputs, body, layout, numbers)


def _infer_scan(inputs: Sequence[Variable], body: Graph, layout: Layout) -> TupleType:
    expected = list(_input_types(inputs, layout))
    types = [x.type for x in body.inputs]
    if types != expected:
        raise ScanError(f"scan: the body takes {types}; it is given {expected}")
    n = steps_taken(inputs, body, layout)
    most = size_of(inputs[0])
    if isinstance(most, int) and most < 0:
        raise ScanError.here(f"scan: the number of steps is {most}; it is at least 0")
    initials, interval = layout.parts(inputs).initials, layout.parts(inputs).interval
    outputs = list(body.outputs)
    if layout.until and (condition := outputs.pop().type) is not tensor_type(_BOOL, ()):
        raise ScanError(f"scan: the condition is {condition}, not a bool scalar")
    outer, results = atoms_of(body.inputs), []
    for i, output in enumerate(outputs):
        if i < len(initials):
            initial = initials[i].type
            if initial.row is not output.type:
                raise ScanError(f"scan: a state of type {initial} becomes {output.type}")
            shape = (initial.shape[0] + n, *output.type.shape)
        else:
            shape = (n, *row_sizes(inputs, body, layout, i, outer))
        results.append(tensor_type(output.type.dtype, shape))
    if interval is not None:
        last = n if layout.ends_at_checkpoint else maximum_zero(n - 1)
        n_rows = floor_div(last, interval.type.shape[0]) + 1
        results += [x.type.with_shape((n_rows, *x.type.shape)) for x in initials]
    return TupleType(results)


def _input_types(inputs: Sequence[Variable], layout: Layout) -> Iterator[TensorType]:
    """The types of the body's inputs, as the loop's inputs have them."""
    parts = layout.parts(inputs)
    for v, places in zip(
        (*parts.sequences, *parts.initials), (*layout.sequences, *layout.states), strict=True
    ):
        for _ in places:
            yield v.type.row
    for v in parts.fixed:
        yield v.type


# vjp.py attaches the rules vjp and inner_vjp, tracing.py build, and zero_paths.py step_inputs.
SCAN = Op("scan", _infer_scan, params=("body", "layout"), traits=frozenset({"traced"}))

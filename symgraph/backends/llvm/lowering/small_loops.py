"""Loops of which a step is a few elementwise operations, as one kernel with the loop inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....core.dims import Size, floor_div, product
from ....core.graph import Graph
from ....core.types import TensorType
from ....core.variable import CONSTANT, Variable
from ....scan.op import Loop, State
from ..analysis.layout import contiguous_strides, stretched
from ..code.cpu import Cpu
from ..kernels.nest import Access, Nest, Operation, Output, Reference
from ..kernels.small_loop import LAST, SmallLoop, StateTaps, most_lanes
from .loop_rows import LastRows, Rows
from .program import Place, ProgramBuilder

__all__ = ["SmallLoopBuilder", "small_space", "steps_at_once"]

# How many values a step may have, operations and what they read: most have to fit registers.
_MOST_VALUES = 128
# How far back a state's oldest tap may go.
_DEEPEST = 8
# How many elements of all steps are computed between two looks for Ctrl-C. Rows so long are
# computed step by step, as neighbours do not wait for each other.
_AT_ONCE = 4096
# The same for loops that may end at any step, whose room grows by so many rows at first.
_AT_ONCE_UNTIL = 512


def small_space(loop: Loop, needed: Sequence[Variable], cpu: Cpu) -> tuple[Size, ...] | None:
    """The shape of a row, where a step is small and elementwise; None where it is not, or where
    rows are known to be so long that a kernel has enough to do for one step.

    ``needed`` are the values of the body that are kept or decide.
    """
    graph = Graph(loop.body.inputs, needed)
    computed = [v for v in graph.nodes if v.inputs]
    if any(v.op.formula is None for v in computed):
        return None
    depths = [state.depth for state in loop.states]
    n_values = len(graph.nodes) + len(needed) + sum(depths)
    if n_values > _MOST_VALUES or max(depths, default=0) > _DEEPEST:
        return None
    spaces = {v.type.shape for v in (*computed, *needed) if isinstance(v.type, TensorType)}
    rows = [space for space in spaces if space]
    if len(rows) > 1:
        return None
    space = rows[0] if rows else ()
    size = product(space)
    if isinstance(size, int):
        widest = max((v.dtype for v in graph.nodes), key=lambda dtype: dtype.itemsize)
        return space if 0 < size <= max(1, most_lanes(cpu.lanes(widest), cpu)) else None
    # Beside rows without elements a number still has to be computed.
    are_rows = all(v.type.shape for v in needed)
    return space if are_rows and loop.condition is None else None


def steps_at_once(space: tuple[Size, ...], *, until: bool) -> Size:
    """How many steps a call of the kernel takes."""
    size = product(space)
    if not isinstance(size, int):
        return floor_div(_AT_ONCE, size + 1) + 1
    if not until:
        return max(1, _AT_ONCE // size)
    return 1 << max(0, (_AT_ONCE_UNTIL // size).bit_length() - 1)


class SmallLoopBuilder:
    """A small loop in the making: where a step reads and writes, and how that moves with time."""

    def __init__(
        self,
        builder: ProgramBuilder,
        space: tuple[Size, ...],
        places: Mapping[Variable, Place],
        strides: Mapping[int, Size],
    ) -> None:
        self._builder, self._space, self._places = builder, space, places
        self._strides = strides
        """How many elements the addresses in these slots move from step to step."""
        self._inputs: dict[tuple[Access, Size], int] = {}
        self._references: dict[Variable, Reference] = {}

    def loop(
        self, loop: Loop, rows: Sequence[Rows], destinations: Mapping[Variable, Sequence[Place]]
    ) -> SmallLoop:
        """The loop whose states have these rows, and which stores these values at every step."""
        first_carried = self._carry(loop.states)
        needed = dict.fromkeys([*(state.new for state in loop.states), *destinations])
        if loop.condition is not None:
            needed[loop.condition] = None
        operations: list[Operation] = []
        for v in Graph(loop.body.inputs, list(needed)).nodes:
            if v.inputs:
                assert v.op.formula is not None
                arguments = tuple(map(self._reference, v.inputs))
                self._references[v] = ("operation", len(operations))
                operations.append(Operation(v.op.formula, v.params, arguments))
        stored = [(v, place) for v, places in destinations.items() for place in places]
        outputs = [(*self._access(v, place), self._reference(v), None) for v, place in stored]
        states = []
        for state, own, first in zip(loop.states, rows, first_carried, strict=True):
            accesses = [self._access(state.new, own.place(-1 - i))[0] for i in range(state.depth)]
            initial = tuple(self._input(access, 0) for access in accesses)
            states.append(StateTaps(initial, self._reference(state.new)))
            if isinstance(own, LastRows):
                outputs += [
                    (access, 0, ("carried", first + i), LAST) for i, access in enumerate(accesses)
                ]
        inputs = list(self._inputs)
        nest = Nest(
            self._space,
            frozenset(),
            [access for access, _ in inputs],
            operations,
            [Output(access, value, kind) for access, _, value, kind in outputs],
        )
        moves = [*(move for _, move in inputs), *(move for _, move, _, _ in outputs)]
        until = None if loop.condition is None else self._reference(loop.condition)
        return SmallLoop(nest, moves, states, until)

    def _carry(self, states: Sequence[State]) -> list[int]:
        """For each state the number of its first carried value; its symbols are carried."""
        first, numbers = 0, []
        for state in states:
            for tap, symbol in state.taps.items():
                self._references[symbol] = ("carried", first - tap - 1)
            numbers.append(first)
            first += state.depth
        return numbers

    def _reference(self, x: Variable) -> Reference:
        reference = self._references.get(x)
        if reference is None:
            reference = self._references[x] = self._leaf(x)
        return reference

    def _leaf(self, x: Variable) -> Reference:
        if x.op is not CONSTANT:
            return ("input", self._input(*self._access(x, self._places[x])))
        array = x.params[0].array
        if array.size == 1:
            return ("constant", array.tobytes(), array.dtype)
        place = Place(self._builder.constant(x), contiguous_strides(array.shape))
        return ("input", self._input(*self._access(x, place)))

    def _input(self, access: Access, move: Size) -> int:
        return self._inputs.setdefault((access, move), len(self._inputs))

    def _access(self, v: Variable, place: Place) -> tuple[Access, Size]:
        """How the value is reached, and how that moves from step to step."""
        strides = stretched(v.type.shape, place.strides, self._space)
        return Access(place.base, strides, v.dtype), self._strides.get(place.base, 0)

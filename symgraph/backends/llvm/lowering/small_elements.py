"""Small loops whose values are a few elements each, every one of which is a number of its own.

So a step may take its values apart and put them together, add them up and multiply small matrices:
what moves elements costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from math import prod
from typing import Any

import numpy as np

from ....core.dims import Size, product
from ....core.graph import Graph
from ....core.op import Op
from ....core.types import TensorType
from ....core.variable import CONSTANT, Variable, walk
from ....ops.broadcast import BROADCAST_TO, REARRANGE, SUM
from ....ops.elementwise import ADD, MAXIMUM, MINIMUM, MULTIPLY
from ....ops.extremes import MAX, MIN
from ....ops.join import CONCATENATE
from ....ops.linalg import MATMUL
from ....ops.reshape import RESHAPE
from ....ops.slices import ADD_SLICE, SET_SLICE, SLICE, Entry
from ....scan.op import Loop, State
from ..kernels.nest import Access, Reference
from ..kernels.small_loop import LAST, SmallLoop, StateTaps
from .loop_rows import LastRows, Rows
from .program import Place
from .small_parts import LoopParts, LoopPlaces

__all__ = ["are_few_elements", "loop_of_elements"]

# How many elements a value may have, all states together with all their taps, and all that is read
# and stored.
_MOST_OF_ONE, _MOST_CARRIED, _MOST_MOVED = 16, 128, 256
# And how many operations on numbers a step may have, for the code of each is written: as many as
# the gradient of a recurrence by matrices of 4 by 4 needs. A function is as much as so many.
_MOST_OPERATIONS, _FUNCTION = 640, 48

# Numbers of references, in the shape of the value: what moves elements moves these.
Elements = np.ndarray

_MOVES: dict[Op, int | None] = {
    REARRANGE: 1, RESHAPE: 1, BROADCAST_TO: 1, SLICE: 1, SET_SLICE: 2, CONCATENATE: None,
}  # fmt: skip
"""What moves elements, and how many inputs it has where none is a size or a symbol."""
_TOTALS: dict[Op, Op] = {SUM: ADD, MAX: MAXIMUM, MIN: MINIMUM}
"""What puts two elements together for what reduces many."""


def are_few_elements(loop: Loop, depths: Sequence[int], needed: Sequence[Variable]) -> bool:
    """Whether a step that computes these values does so with few numbers, where so many last rows
    of each state are carried."""
    graph = Graph(loop.body.inputs, needed)
    sizes = {v: _count(v) for v in graph.nodes}
    if not all(0 < n <= _MOST_OF_ONE for n in sizes.values()):
        return False
    counts = [_operations(v) for v in graph.nodes if v.inputs]
    if any(count is None for count in counts) or sum(filter(None, counts)) > _MOST_OPERATIONS:
        return False
    pairs = zip(depths, loop.states, strict=True)
    carried = sum(depth * sizes[state.new] for depth, state in pairs)
    moved = sum(n for v, n in sizes.items() if not v.inputs) + sum(sizes[v] for v in needed)
    return carried <= _MOST_CARRIED and moved + carried <= _MOST_MOVED


def _count(v: Variable) -> int:
    """How many elements the value is known to have; 0 where that is not known."""
    count: Size = product(v.type.shape) if isinstance(v.type, TensorType) else 0
    return count if isinstance(count, int) else 0


def _operations(v: Variable) -> int | None:
    """On how many numbers the node operates; None where it cannot be taken apart."""
    if v.op.formula is not None:
        return prod(v.type.shape) * (1 if v.op.is_cheap else _FUNCTION)
    if v.op is ADD_SLICE and len(v.inputs) == 2 and v.dtype != bool:
        return prod(v.inputs[1].type.shape)
    if v.op in _MOVES:
        return 0 if _MOVES[v.op] in (None, len(v.inputs)) else None
    if v.op in _TOTALS:
        return prod(v.inputs[0].type.shape) if v.dtype == v.inputs[0].dtype else None
    if v.op is MATMUL and v.inputs[0].ndim == v.inputs[1].ndim == 2:
        return 2 * prod(v.type.shape) * v.inputs[0].type.shape[1]
    return None


def loop_of_elements(loop: Loop, places: LoopPlaces) -> SmallLoop:
    """The loop whose steps find and leave values there."""
    return _Builder(places).loop(loop)


class _Builder:
    """A loop in the making: every value is as many references as it has elements."""

    def __init__(self, places: LoopPlaces) -> None:
        self._places = places
        self._parts = LoopParts()
        self._known: list[Reference] = []
        self._elements: dict[Variable, Elements] = {}

    def loop(self, loop: Loop) -> SmallLoop:
        rows, stored = self._places.rows, self._places.stored
        first_carried = self._carry(loop.states, [each.count for each in rows])
        needed = [*(state.new for state in loop.states), *stored]
        needed += [] if loop.condition is None else [loop.condition]
        for v in walk(needed):  # in one order, however old the nodes are
            if v not in self._elements:
                self._elements[v] = self._computed(v) if v.inputs else self._leaf(v)
        for v, places in stored.items():
            for place in places:
                for index in np.ndindex(v.type.shape):
                    self._parts.output(*self._access(v, place, index), self._reference(v, index))
        taps = [
            each
            for state, own, first in zip(loop.states, rows, first_carried, strict=True)
            for each in self._taps(state, own, first)
        ]
        until = None if loop.condition is None else self._reference(loop.condition, ())
        return self._parts.loop((), taps, until)

    # --- states ---------------------------------------------------------------------------------

    def _carry(self, states: Sequence[State], counts: Sequence[int]) -> list[int]:
        """For each state the number of its first carried value; its symbols are carried."""
        first, numbers = 0, []
        for state, count in zip(states, counts, strict=True):
            shape = state.new.type.shape
            for tap, symbol in state.taps.items():
                carried = np.arange(prod(shape)).reshape(shape) * count + (first - tap - 1)
                self._elements[symbol] = self._made(symbol, partial(_carried, carried))
            numbers.append(first)
            first += count * prod(shape)
        return numbers

    def _taps(self, state: State, rows: Rows, first: int) -> Iterator[StateTaps]:
        """For each element of the state its values, of which the first carried one has this number;
        the last ones are stored where only they are kept."""
        backs = range(1, rows.count + 1)
        for index in np.ndindex(state.new.type.shape):
            accesses = [self._access(state.new, rows.place(-back), index)[0] for back in backs]
            if isinstance(rows, LastRows):
                for i, access in enumerate(accesses):
                    self._parts.output(access, 0, ("carried", first + i), LAST)
            initial = tuple(self._parts.input(access, 0) for access in accesses)
            yield StateTaps(initial, self._reference(state.new, index))
            first += rows.count

    # --- values ---------------------------------------------------------------------------------

    def _leaf(self, x: Variable) -> Elements:
        if x.op is CONSTANT:
            array = x.params[0].array
            return self._made(x, lambda i: ("constant", array[i].tobytes(), array.dtype))
        place = self._places.given[x]
        return self._made(x, lambda index: self._parts.input(*self._access(x, place, index)))

    def _computed(self, v: Variable) -> Elements:
        operands = [self._elements[x] for x in v.inputs]
        if v.op.formula is not None:
            return self._each(v.op, v.params, *operands)
        if v.op in _MOVES:
            return _moved(v.op, operands, v.params)
        if v.op is ADD_SLICE:
            return self._added(operands[0], operands[1], v.params[0])
        if v.op in _TOTALS:
            return self._total(_TOTALS[v.op], operands[0], v.params[0], v)
        left, right = operands
        products = self._each(MULTIPLY, (), left[:, :, None], right[None])
        return self._total(ADD, products, (1,), v)

    def _each(self, op: Op, params: tuple[Any, ...], *operands: Elements) -> Elements:
        """The op on all elements."""
        assert op.formula is not None
        operands = np.broadcast_arrays(*operands)
        elements = np.empty(operands[0].shape, np.int64)
        for index in np.ndindex(elements.shape):
            arguments = [self._known[x[index]] for x in operands]
            elements[index] = self._number(self._parts.operation(op.formula, params, *arguments))
        return elements

    def _total(self, op: Op, elements: Elements, axes: Sequence[int], total: Variable) -> Elements:
        """The elements put together along the axes, in the shape of the total."""
        kept = [axis for axis in range(elements.ndim) if axis not in axes]
        terms = np.transpose(elements, [*axes, *kept])
        terms = terms.reshape(-1, *total.type.shape)
        return reduce(partial(self._each, op, ()), terms)

    def _added(self, whole: Elements, values: Elements, entries: tuple[Entry, ...]) -> Elements:
        """The whole with the values added to a part."""
        part = _moved(SLICE, [whole], (entries,))
        return _moved(SET_SLICE, [whole, self._each(ADD, (), part, values)], (entries,))

    # --- elements -------------------------------------------------------------------------------

    def _made(self, v: Variable, make: Callable[[tuple[int, ...]], Reference]) -> Elements:
        """What is made of each index of a value, in C order."""
        elements = np.empty(v.type.shape, np.int64)
        for index in np.ndindex(elements.shape):
            elements[index] = self._number(make(index))
        return elements

    def _number(self, reference: Reference) -> int:
        self._known.append(reference)
        return len(self._known) - 1

    def _reference(self, v: Variable, index: tuple[int, ...]) -> Reference:
        return self._known[self._elements[v][index]]

    def _access(self, v: Variable, place: Place, index: tuple[int, ...]) -> tuple[Access, Size]:
        """How an element is reached, and how that moves from step to step."""
        offset = sum((i * s for i, s in zip(index, place.strides, strict=True)), start=0)
        turns = self._places.turns
        slot = turns.beside(place.base, offset, v.dtype)
        return Access(slot, (), v.dtype), turns.strides.get(slot, 0)


def _moved(op: Op, operands: Sequence[Elements], params: tuple[Any, ...]) -> Elements:
    """The elements where the op moves them to: it does with these numbers what it does with all."""
    assert op.evaluate is not None
    return np.asarray(op.evaluate(operands, *params))


def _carried(numbers: np.ndarray, index: tuple[int, ...]) -> Reference:
    return ("carried", int(numbers[index]))

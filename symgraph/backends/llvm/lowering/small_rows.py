"""Small loops whose values are rows of one shape, and numbers beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ....core.dims import Size
from ....core.variable import CONSTANT, Variable, walk
from ....scan.op import Loop, State
from ..analysis.layout import contiguous_strides, stretched
from ..kernels.nest import Access, Reference
from ..kernels.small_loop import LAST, TOTAL, SmallLoop, StateTaps
from .loop_rows import LastRows, Rows
from .program import Place, ProgramBuilder
from .small_body import SmallBody, Total
from .small_parts import LoopParts, LoopPlaces

__all__ = ["loop_of_rows"]


def loop_of_rows(
    builder: ProgramBuilder,
    loop: Loop,
    body: SmallBody,
    places: LoopPlaces,
) -> SmallLoop:
    """The loop whose steps find and leave values there."""
    return _Builder(builder, body, places).loop(loop)


class _Builder:
    """A loop in the making: every value is one reference."""

    def __init__(
        self,
        builder: ProgramBuilder,
        body: SmallBody,
        places: LoopPlaces,
    ) -> None:
        self._builder, self._places = builder, places
        self._space, self._totals = body.space, body.totals
        self._parts = LoopParts()
        self._references: dict[Variable, Reference] = {}

    def loop(self, loop: Loop) -> SmallLoop:
        rows, stored = self._places.rows, self._places.stored
        states = {i: state for i, state in enumerate(loop.states) if i not in self._totals}
        first_carried = self._carry([(state, rows[i].count) for i, state in states.items()])
        needed = [state.new for state in states.values()]
        needed += [total.value for total in self._totals.values()]
        needed += stored if loop.condition is None else [*stored, loop.condition]
        for v in walk(needed):  # in one order, however old the nodes are
            if v.inputs:
                assert v.op.formula is not None
                arguments = map(self._reference, v.inputs)
                self._references[v] = self._parts.operation(v.op.formula, v.params, *arguments)
        for v, places in stored.items():
            for place in places:
                self._parts.output(*self._access(v, place), self._reference(v))
        taps = [
            self._taps(state, rows[i], first)
            for (i, state), first in zip(states.items(), first_carried, strict=True)
        ]
        for i, total in self._totals.items():
            self._total(total, rows[i].place(-1), loop.states[i].new.dtype)
        until = None if loop.condition is None else self._reference(loop.condition)
        return self._parts.loop(self._space, taps, until)

    def _carry(self, states: Iterable[tuple[State, int]]) -> list[int]:
        """For each state the number of its first carried value; its symbols are carried."""
        first, numbers = 0, []
        for state, count in states:
            for tap, symbol in state.taps.items():
                self._references[symbol] = ("carried", first - tap - 1)
            numbers.append(first)
            first += count
        return numbers

    def _taps(self, state: State, rows: Rows, first: int) -> StateTaps:
        """The state, whose first carried value has this number; the last ones are stored where
        only they are kept."""
        accesses = [self._access(state.new, rows.place(-1 - i))[0] for i in range(rows.count)]
        if isinstance(rows, LastRows):
            for i, access in enumerate(accesses):
                self._parts.output(access, 0, ("carried", first + i), LAST)
        initial = tuple(self._parts.input(access, 0) for access in accesses)
        return StateTaps(initial, self._reference(state.new))

    def _total(self, total: Total, place: Place, dtype: np.dtype) -> None:
        value = self._reference(total.value)
        if total.is_subtracted:
            value = self._parts.operation(_negated, (), value)
        kept = iter(place.strides)
        axes = range(len(self._space))
        strides = tuple(0 if axis in total.axes else next(kept) for axis in axes)
        self._parts.output(Access(place.base, strides, dtype), 0, value, TOTAL)

    def _reference(self, x: Variable) -> Reference:
        reference = self._references.get(x)
        if reference is None:
            reference = self._references[x] = self._leaf(x)
        return reference

    def _leaf(self, x: Variable) -> Reference:
        if x.op is not CONSTANT:
            return self._parts.input(*self._access(x, self._places.given[x]))
        array = x.params[0].array
        if array.size == 1:
            return ("constant", array.tobytes(), array.dtype)
        place = Place(self._builder.constant(x), contiguous_strides(array.shape))
        return self._parts.input(*self._access(x, place))

    def _access(self, v: Variable, place: Place) -> tuple[Access, Size]:
        """How the value is reached, and how that moves from step to step."""
        strides = stretched(v.type.shape, place.strides, self._space)
        return Access(place.base, strides, v.dtype), self._places.turns.strides.get(place.base, 0)


def _negated(maths: Any, x: Any) -> Any:
    return maths.negative(x)

"""What both kinds of small loops are put together of: where values lie, and the parts so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ....core.dims import Size
from ....core.variable import Variable
from ..kernels.nest import Access, Nest, Operation, Output, Reference
from ..kernels.small_loop import SmallLoop, StateTaps
from .loop_rows import Rows, Turns
from .program import Place

__all__ = ["LoopParts", "LoopPlaces"]


class LoopPlaces(NamedTuple):
    """Where the steps of a loop find and leave values."""

    turns: Turns
    given: Mapping[Variable, Place]
    """What the body is given."""
    rows: Sequence[Rows]
    """The rows of each state."""
    stored: Mapping[Variable, Sequence[Place]]
    """What is stored at every step, in how many places ever."""


class LoopParts:
    """What a small loop reads, computes and stores: each input and each operation once."""

    def __init__(self) -> None:
        self._inputs: dict[tuple[Access, Size], Reference] = {}
        self._operations: dict[Operation, Reference] = {}
        self._outputs: list[tuple[Output, Size]] = []

    def input(self, access: Access, move: Size) -> Reference:
        """What is read from memory, which moves so far from step to step."""
        return self._inputs.setdefault((access, move), ("input", len(self._inputs)))

    def operation(
        self, formula: Callable[..., Any], params: tuple[Any, ...], *arguments: Reference
    ) -> Reference:
        """The result of an operation."""
        operation = Operation(formula, params, arguments)
        return self._operations.setdefault(operation, ("operation", len(self._operations)))

    def output(self, access: Access, move: Size, value: Reference, kind: str | None = None) -> None:
        """Have a value stored."""
        self._outputs.append((Output(access, value, kind), move))

    def loop(
        self, space: tuple[Size, ...], states: Sequence[StateTaps], until: Reference | None
    ) -> SmallLoop:
        """The loop over these rows."""
        inputs = [access for access, _ in self._inputs]
        outputs = [output for output, _ in self._outputs]
        moves = [*(move for _, move in self._inputs), *(move for _, move in self._outputs)]
        nest = Nest(space, frozenset(), inputs, list(self._operations), outputs)
        return SmallLoop(nest, moves, states, until)

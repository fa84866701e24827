"""Rows that a loop's body computes without its states, for some steps ahead of the present one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....core.dims import Size, product
from ....core.graph import Graph, replace
from ....core.variable import Variable, ancestors, make_input
from ..analysis.layout import contiguous_strides
from .groups import write_scope
from .program import Place, ProgramBuilder
from .scope import Scope

__all__ = ["ComputedRows"]


@dataclass(frozen=True)
class ComputedRows:
    """A value of the body, computed for some steps one after the other, each in its place."""

    value: Variable
    graph: Graph
    """What computes it in a step."""
    sources: Sequence[tuple[Place, Size]]
    """For each input of that where it lies at the present step, how far it moves at a step."""
    room: int
    current: int
    """A slot: where the value of the present step lies."""

    @staticmethod
    def of(
        builder: ProgramBuilder,
        value: Variable,
        steps: Size,
        sources: Mapping[Variable, tuple[Place, Size]],
    ) -> ComputedRows:
        """The value, with room for so many steps."""
        room = builder.buffers.take(steps * product(value.type.shape), value.dtype)
        made_of = [x for x in ancestors([value], sources) if x in sources]
        inputs = [make_input(x.type) if x.inputs else x for x in made_of]
        computed = replace([value], dict(zip(made_of, inputs, strict=True)), keep_lines=True)
        places = [sources[x] for x in made_of]
        return ComputedRows(value, Graph(inputs, computed), places, room, builder.assembler.slot())

    @property
    def stride(self) -> Size:
        """How many elements there are of a step."""
        return product(self.value.type.shape)

    @property
    def rows(self) -> Place:
        """Where those of the first step lie."""
        return Place(self.room, contiguous_strides(self.value.type.shape))

    @property
    def place(self) -> Place:
        """Where those of the present step lie."""
        return self.rows._replace(base=self.current)

    def write(self, builder: ProgramBuilder, turn: int, count: int) -> None:
        """The part of the program that computes it for as many steps as the slot ``count`` says,
        from the step of the slot ``turn`` on."""
        a = builder.assembler
        advances: list[tuple[int, int]] = []

        def moving(base: int, stride: Size, itemsize: int) -> int:
            slot = a.slot()
            a.run("address", slot, base, a.literal(0), itemsize)
            if not (isinstance(stride, int) and stride == 0):
                advances.append((slot, a.size(stride * itemsize)))
            return slot

        places = {
            x: Place(moving(place.base, stride, x.dtype.itemsize), place.strides)
            for x, (place, stride) in zip(self.graph.inputs, self.sources, strict=True)
        }
        itemsize = self.value.dtype.itemsize
        target = self.rows._replace(base=moving(self.room, self.stride, itemsize))
        a.run("address", self.current, self.room, a.literal(0), itemsize)
        inner, number = a.slot(), a.slot()

        def write_step() -> None:
            a.run("polynomial", number, 0, 2, 1, 1, turn, 1, 1, inner)
            with builder.at_step(number):
                (value,) = self.graph.outputs
                write_scope(Scope(builder, self.graph, places), {value: [target]})

        a.loop(count, inner, advances, write_step)

"""Products of a sequence's rows with a fixed matrix, for several steps of a loop at once.

``x_t @ W`` has as few rows as the batch has. The rows of some steps ahead make a product that is
worth its name, and its result is still in cache when these steps read it: there is no array of all
steps.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from ....core.dims import Size, floor_div, fresh_size, product
from ....core.graph import Graph
from ....core.variable import Variable
from ....ops.broadcast import REARRANGE, seen_through
from ....ops.linalg import MATMUL
from ..analysis.layout import contiguous_strides
from .products import multiply_packed
from .program import Place, ProgramBuilder
from .scope import Scope

__all__ = ["RowsAhead", "find_rows_ahead"]

# How many rows are multiplied at once; more of them leave the cache before they are read.
_ROWS = 32


def find_rows_ahead(
    graph: Graph, rows: Container[Variable], fixed: Container[Variable]
) -> list[Variable]:
    """The products in a loop's body of rows of sequences with what does not change over time."""
    return [
        v
        for v in graph.nodes
        if v.op is MATMUL
        and v.ndim == v.inputs[1].ndim == 2
        and v.dtype.kind == "f"
        and v.inputs[0] in rows
        and seen_through(v.inputs[1], REARRANGE) in fixed
    ]


@dataclass(frozen=True)
class RowsAhead:
    """A product that a loop computes for some steps at once, into a buffer of its own."""

    product: Variable
    rows: Place
    """The rows of the sequence at the present step."""
    stride: Size
    """From them to those of the next step."""
    buffer: int
    place: int
    """A slot: where the result of the present step lies."""

    @staticmethod
    def of(builder: ProgramBuilder, v: Variable, rows: Place, stride: Size) -> RowsAhead:
        """The product, with room for its result."""
        buffer = builder.buffers.take(_steps(v) * product(v.type.shape), v.dtype)
        return RowsAhead(v, rows, stride, buffer, builder.assembler.slot())

    @property
    def result(self) -> Place:
        """Where the body finds the product."""
        return Place(self.place, contiguous_strides(self.product.type.shape))

    @property
    def is_reversed(self) -> bool:
        """Whether later steps lie before earlier ones, in the sequence and in the buffer."""
        batch = self.product.type.shape[0]
        return self.stride == batch * self.rows.strides[0] * -1

    def advance(self) -> Size:
        """How many elements the result moves from step to step."""
        size = product(self.product.type.shape)
        return size * -1 if self.is_reversed else size

    def write(self, body: Scope, turn: int, turns: Size) -> None:
        """The part of the loop's body that fills the buffer whenever it has been read."""
        a = body.assembler
        count = fresh_size()
        assert count.atom is not None
        counted = a.slot()
        a.bind(count.atom, counted, at_entry=False)
        slots = (turn, a.size(turns), a.size(_steps(self.product)), counted)
        body.builder.timed(
            [self.product], lambda: a.sometimes(*slots, lambda: self._multiply(body, count))
        )

    def _multiply(self, body: Scope, count: Size) -> None:
        a, v = body.assembler, self.product
        batch, columns = v.type.shape
        last = (count - 1) * batch * columns if self.is_reversed else 0
        a.run("address", self.place, self.buffer, a.size(last), v.dtype.itemsize)
        rows = self._rows(body, count)
        multiply_packed(body, v, rows, count * batch, self.buffer)
        body.builder.buffers.give_back(rows.base)  # if it is a copy

    def _rows(self, body: Scope, count: Size) -> Place:
        """The rows of the steps ahead as one matrix, copied where they do not lie as one."""
        x = self.product.inputs[0]
        batch, depth = x.type.shape
        if self.is_reversed:
            first = body.assembler.address(self.rows.base, (count - 1) * self.stride, x.dtype)
            return Place(first, self.rows.strides)
        if self.stride == batch * self.rows.strides[0]:
            return self.rows
        room = body.builder.buffers.take(_steps(self.product) * batch * depth, x.dtype)
        shape = (count, batch, depth)
        source = Place(self.rows.base, (self.stride, *self.rows.strides))
        body.builder.copy(source, Place(room, contiguous_strides(shape)), shape, x.dtype)
        return Place(room, (depth, 1))


def _steps(v: Variable) -> Size:
    """How many steps are multiplied at once."""
    batch = v.type.shape[0]
    return floor_div(batch + (_ROWS - 1), batch)

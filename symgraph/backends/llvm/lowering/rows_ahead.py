"""Products of rows with a fixed matrix, for several steps of a loop at once.

``x_t @ W`` has as few rows as the batch has. The rows of some steps ahead make a product that is
worth its name, and its result is still in cache when these steps read it: there is no array of all
steps. Rows are those of a sequence, or are computed of such, and of products ahead, step by step.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from ....core.dims import Size, floor_div, fresh_size, product
from ....core.graph import Graph
from ....core.variable import CONSTANT, Variable
from ....ops.broadcast import REARRANGE, seen_through
from ....ops.linalg import MATMUL
from ..analysis.layout import contiguous_strides
from .computed_rows import ComputedRows
from .products import multiply_packed
from .program import Place, ProgramBuilder
from .scope import Scope

__all__ = ["ROWS", "RowsAhead", "factor_of", "find_products"]

ROWS = 32
"""How many rows are multiplied at once; more of them leave the cache before they are read."""


def find_products(graph: Graph, fixed: Container[Variable]) -> list[Variable]:
    """The products in a loop's body of matrices with what does not change over time."""

    def is_fixed(x: Variable) -> bool:
        root = seen_through(x, REARRANGE)
        return root in fixed or root.op is CONSTANT

    products = (v for v in graph.nodes if v.op is MATMUL and v.dtype.kind == "f")
    return [v for v in products if v.ndim == v.inputs[1].ndim == 2 and is_fixed(v.inputs[1])]


def factor_of(v: Variable) -> Variable:
    """What a product multiplies: its left factor, or the vector that is the one row of that."""
    left = v.inputs[0]
    is_row = left.op is REARRANGE and left.params[0] == (None, 0)
    return left.inputs[0] if is_row else left


@dataclass(frozen=True)
class RowsAhead:
    """A product that a loop computes for some steps at once, into a buffer of its own."""

    product: Variable
    rows: Place
    """The rows of the present step: of a sequence, or where they are computed."""
    stride: Size
    """From them to those of the next step."""
    computed: ComputedRows | None
    buffer: int
    place: int
    """A slot: where the result of the present step lies."""

    @staticmethod
    def of_sequence(builder: ProgramBuilder, v: Variable, rows: Place, stride: Size) -> RowsAhead:
        """The product of rows that lie somewhere, with room for its result."""
        return RowsAhead._with_room(builder, v, rows, stride, None)

    @staticmethod
    def of_computed(
        builder: ProgramBuilder, v: Variable, sources: Mapping[Variable, tuple[Place, Size]]
    ) -> RowsAhead:
        """The product of rows that are computed, with room for these and for its result.

        ``sources``: what the loop's body is given, where it lies and how far it moves at a step.
        """
        computed = ComputedRows.of(builder, factor_of(v), _steps(v), sources)
        return RowsAhead._with_room(builder, v, computed.rows, computed.stride, computed)

    @staticmethod
    def _with_room(
        builder: ProgramBuilder,
        v: Variable,
        rows: Place,
        stride: Size,
        computed: ComputedRows | None,
    ) -> RowsAhead:
        buffer = builder.buffers.take(_steps(v) * product(v.type.shape), v.dtype)
        if factor_of(v).ndim == 1:
            (depth,), (column,) = factor_of(v).type.shape, rows.strides
            rows = Place(rows.base, (depth * column, column))
        return RowsAhead(v, rows, stride, computed, buffer, builder.assembler.slot())

    @property
    def results(self) -> dict[Variable, tuple[Place, Size]]:
        """Where the body finds the product, and the rows that are computed for it; how far they
        move at a step."""
        shape = self.product.type.shape
        results = {self.product: (Place(self.place, contiguous_strides(shape)), self.advance())}
        if self.computed is not None:
            results[self.computed.value] = (self.computed.place, self.computed.stride)
        return results

    def give_back(self, builder: ProgramBuilder) -> None:
        """Let what the product and its rows lie in be used again."""
        builder.buffers.give_back(self.buffer)
        if self.computed is not None:
            builder.buffers.give_back(self.computed.room)

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

        def multiply() -> None:
            if self.computed is not None:
                self.computed.write(body.builder, turn, counted)
            self._multiply(body, count)

        body.builder.timed([self.product], lambda: a.sometimes(*slots, multiply))

    def _multiply(self, body: Scope, count: Size) -> None:
        a, v = body.assembler, self.product
        batch, columns = v.type.shape
        last = (count - 1) * batch * columns if self.is_reversed else 0
        a.run("address", self.place, self.buffer, a.size(last), v.dtype.itemsize)
        rows = self._rows(body, count)
        multiply_packed(body, v, rows, count * batch, self.buffer)
        if rows.base != self.rows.base:
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
    return floor_div(batch + (ROWS - 1), batch)

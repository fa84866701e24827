"""Loops over time of which a step is a few elementwise operations: one kernel with the loop inside.

The elements of a row do not depend on each other. So the rows' axes are the outer loops, the last
of them in vectors, and time is the innermost one: the last values of the states stay in registers
from step to step. What the kernel does of time it is told: so many steps from a place on, so that
a long loop may be run a part at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ....core.dims import Size
from ..code.cpu import Cpu
from ..code.emit import I64, Value
from ..code.engine import Kernel
from ..machine.frame import operand, operand_address, return_success, slot_at
from .nest import Access, Nest, Output, Reference
from .nest_kernel import NestKernel, NestWriter
from .nest_shape import Shape, is_a_piece, lanes_of, shape_of
from .totals import neutral_text, reduce_lanes

__all__ = ["LAST", "TOTAL", "SmallLoop", "StateTaps", "most_lanes", "small_loop_kernel"]

# The axis of time in a nest and in its shape.
_TIME = 0
# What is stored once, after the last step; and what is added up over all steps, and then to what
# is there: over elements of the row as well, where they share a place.
LAST, TOTAL = "last", "sum"


class StateTaps(NamedTuple):
    """A state while the loop runs: a value so many steps back is ``("carried", first + back − 1)``
    of all carried values."""

    initial: tuple[Reference, ...]
    """The inputs with the values one step back, two steps back, … before the first step."""
    new: Reference


@dataclass
class SmallLoop:
    """A loop as lowering describes it: a nest over the elements of a row, and what time adds."""

    row: Nest
    """One step; outputs of the kinds `LAST` and `TOTAL` are stored after the last one."""
    moves: Sequence[Size]
    """How far each access of the nest moves from step to step."""
    states: Sequence[StateTaps]
    until: Reference | None = None
    """A bool that ends the loop after the step in which it holds."""


@dataclass(frozen=True)
class _StepsShape:
    """All that the text of a small loop depends on: loops of equal shapes have one kernel."""

    nest: Shape
    states: tuple[StateTaps, ...]
    until: Reference | None
    is_number: bool
    """Whether a row is one number, which all lanes have."""


def small_loop_kernel(loop: SmallLoop, at_once: Size, cpu: Cpu) -> NestKernel:
    """The kernel. After the addresses of the nest's accesses it is given all steps of the loop, and
    how many times ``at_once`` have been done; with ``until`` also the slot that is told how many
    steps were taken, and the address of a bool that is told whether the loop has ended."""
    row = loop.row.collapsed()
    columns = () if row.space else (1,)  # a number is a row of one

    def over_time(access: Access, move: Size) -> Access:
        strides = (move, *access.strides, *(0 for _ in columns))
        return Access(access.base, strides, access.dtype)

    n = len(row.inputs)
    inputs = [over_time(x, move) for x, move in zip(row.inputs, loop.moves, strict=False)]
    outputs = [
        Output(over_time(o.access, move), o.value, o.kind)
        for o, move in zip(row.outputs, loop.moves[n:], strict=True)
    ]
    space = (at_once, *row.space, *columns)
    nest = Nest(space, frozenset([_TIME]), inputs, row.operations, outputs)
    shape, strides, numbers = shape_of(nest, cpu)
    shape = _in_registers(shape, space[-1], most_lanes(lanes_of(nest, cpu), cpu))
    kernel = _kernel_of(_StepsShape(shape, tuple(loop.states), loop.until, not row.space))
    pieces = None if is_a_piece(space) or not row.space else shape.pieces(shape.lanes)
    return NestKernel(kernel, [*space, *strides], numbers, pieces)


def most_lanes(vector: int, cpu: Cpu) -> int:
    """How many elements of a row a kernel takes at a time, for so many in a vector: as each step
    waits for the one before, several vectors stand beside each other where registers are many."""
    return max(1, cpu.registers // 8) * vector


def _in_registers(shape: Shape, columns: Size, most: int) -> Shape:
    """The shape with as many lanes as the columns need, up to the most."""
    lanes, exact = most, False
    if isinstance(columns, int):
        lanes = min(most, 1 << (columns - 1).bit_length())
        exact = columns % lanes == 0
    return replace(
        shape, lanes=lanes, exact=exact, can_double=False, sums_in_double=False, goes_on=False
    )


@lru_cache(maxsize=256)
def _kernel_of(shape: _StepsShape) -> Kernel:
    """The kernel. Floats that follow one another are the same number in all lanes of a vector,
    where comparisons take less time than alone."""
    if shape.is_number:
        dtypes = _dtypes(shape.nest)
        if all(dtype.kind in "fb" for dtype in dtypes):
            lanes = 16 // max(4, *(dtype.itemsize for dtype in dtypes))
            writer = _Writer(replace(shape, nest=replace(shape.nest, lanes=lanes)))
            kernel = writer.write()
            if not any(name.startswith("each.") for name, _ in kernel.parts):
                return kernel
    return _Writer(shape).write()


def _dtypes(shape: Shape) -> set[np.dtype]:
    """Those of all that is read, stored and computed."""
    found = set(shape.dtypes)
    for operation in shape.operations:
        found.update(p for p in operation.params if isinstance(p, np.dtype))
        found.update(r[2] for r in operation.arguments if r[0] == "constant")
    return found


class _Writer(NestWriter):
    """Writes one small loop."""

    def __init__(self, shape: _StepsShape) -> None:
        super().__init__(shape.nest)
        self.states, self.until, self.is_number = shape.states, shape.until, shape.is_number
        self.carried: list[Value] = []
        """The last values of the states, as the step that is being written finds them."""
        self.begun = "0"
        """How many steps were done before."""

    def write(self) -> Kernel:
        """The kernel."""
        f, shape = self.f, self.shape
        self._read_operands()
        at = shape.n_before + len(shape.moves)
        at_once = self.sizes[_TIME]
        self.begun = f.emit(f"mul i64 {operand(f, at + 1)}, {at_once}")
        left = f.emit(f"sub i64 {operand(f, at)}, {self.begun}")
        self.sizes[_TIME] = f.at_most(left, at_once)
        self._loops(0, shape.n - 1)
        return_success(f)
        return f.kernel()

    def _innermost(self, depth: int) -> None:
        """The loop over time."""
        f, before = self.f, self.sizes[_TIME]
        initial = [self._value(x, []) for state in self.states for x in state.initial]
        totals = [o for o, output in enumerate(self.shape.outputs) if output.kind == TOTAL]
        initial += [self.maths.constant(0, self._dtype_of(o)) for o in totals]
        # The loop with a condition ends where its bound has become 0.
        bound = Value(f.fresh() if self.until is not None else before, I64, 1)
        self.sizes[_TIME] = bound.text
        outer = self._enter(depth, initial)
        self.carried = list(outer.loop.carried)
        values = self._compute()
        self._stores(values)
        new = self._shifted(values)
        for o, total in zip(totals, self.carried[len(new) :], strict=True):
            value = self._value(self.shape.outputs[o].value, values)
            new.append(self.maths.add(total, self.maths.cast(value, total.dtype)))
        if self.until is not None:
            outer.loop.carried.append(bound)
            outer.loop.initial.append(Value(before, I64, 1))
            ends = self._first_lane(self._value(self.until, values))
            new.append(f.value(f"select i1 {ends}, i64 0, i64 {bound}", I64))
        self._leave(outer, new)
        self.sizes[_TIME] = before
        for o, output in enumerate(self.shape.outputs):
            if output.kind == LAST:
                self._store(o, self._value(output.value, values))
        for o, total in zip(totals, self.carried[-len(totals) :], strict=False):
            self._add_up(o, total)
        if self.until is not None:
            self._tell(outer.loop.index, bound)

    def _dtype_of(self, o: int) -> np.dtype:
        return self.shape.dtypes[self.shape.n_inputs + o]

    def _add_up(self, o: int, total: Value) -> None:
        """Add a total to what is in memory."""
        f, i = self.f, self.shape.n_inputs + o
        if self.shape.lanes == 1 or self.shape.moves[i][-1] != "0":
            super()._store(o, self.maths.add(self._load(i), total))
            return
        if self.is_number:
            total = self._lane(total)
        else:
            if self.mask is not None:
                choice = f"<{total.lanes} x i1> {self.mask}, {total.type} {total}, {total.type}"
                zero = neutral_text(TOTAL, total.dtype, total.lanes)
                total = f.value(f"select {choice} {zero}", total.dtype, total.lanes)
            total = reduce_lanes(self.maths, TOTAL, total)
        before = f.load(self.pointers[i], total.dtype)
        f.store(self.maths.add(before, total), self.pointers[i])

    def _tell(self, index: Value, bound: Value) -> None:
        """Tell how many steps were taken, and whether the loop has ended."""
        f, shape = self.f, self.shape
        at = shape.n_before + len(shape.moves) + 2
        taken = f.emit(f"add i64 {self.begun}, {index}")
        f.do(f"store i64 {taken}, ptr {slot_at(f, operand(f, at))}")
        ended = f.emit(f"zext i1 {f.emit(f'icmp eq i64 {bound}, 0')} to i8")
        f.do(f"store i8 {ended}, ptr {operand_address(f, at + 1)}")

    def _shifted(self, values: list[Value]) -> list[Value]:
        """The carried values of the next step: new ones, and this step's, one further back."""
        new, first = [], 0
        for state in self.states:
            depth = len(state.initial)
            new += [self._value(state.new, values), *self.carried[first : first + depth - 1]]
            first += depth
        return new

    def _value(self, reference: Reference, values: list[Value]) -> Value:
        if reference[0] == "carried":
            return self.carried[reference[1]]
        return super()._value(reference, values)

    def _store(self, o: int, value: Value) -> None:
        i = self.shape.n_inputs + o
        if self.shape.lanes > 1 and self.shape.moves[i][-1] == "0":
            # A number beside rows: every lane has it.
            self.f.store(self._lane(value), self.pointers[i])
        else:
            super()._store(o, value)

    def _first_lane(self, value: Value) -> str:
        return self._lane(value).text

    def _lane(self, value: Value) -> Value:
        """The first lane, which is never past the end."""
        if value.lanes == 1:
            return value
        return self.f.value(f"extractelement {value.type} {value}, i64 0", value.dtype)

"""From a loop nest to a kernel.

The last axis is the vector's. Kept axes are the outer loops, reduced ones the inner loops, so that
sums stay in registers. What the text depends on is in `nest_shape.py`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import count
from typing import NamedTuple

import numpy as np

from ....core.dims import Size
from ..code.cpu import Cpu
from ..code.emit import (
    BOOL,
    F32,
    F64,
    Function,
    Loop,
    Value,
    constant_text,
    memory_dtype,
    type_text,
)
from ..code.engine import Kernel
from ..machine.frame import SIGNATURE, operand, operand_address, return_success
from ..machine.pieces import Pieces
from ..maths.functions import VectorMaths
from .nest import Nest, Reference
from .nest_shape import WIDEST_TOTAL, Shape, Stored, is_a_piece, shape_of
from .numbers import Number
from .totals import combine, neutral_text, reduce_lanes

__all__ = ["NestKernel", "NestWriter", "nest_kernel"]


class NestKernel(NamedTuple):
    """A kernel, and what it is given: sizes, numbers, and then the addresses of the accesses."""

    kernel: Kernel
    sizes: list[Size]
    numbers: list[Number]
    pieces: Pieces | None
    """How it is run in pieces; None where it is known to be small."""


def nest_kernel(nest: Nest, cpu: Cpu) -> NestKernel:
    """The kernel of a (collapsed) nest."""
    shape, strides, numbers = shape_of(nest, cpu)
    kernel, lanes = _kernel_of(shape)
    pieces = None if is_a_piece(nest.space) else shape.pieces(lanes)
    return NestKernel(kernel, [*nest.space, *strides], numbers, pieces)


# A text of some ten thousand letters is written in a fraction of a millisecond.
@lru_cache(maxsize=256)
def _kernel_of(shape: Shape) -> tuple[Kernel, int]:
    """The kernel, and how many elements it takes at a time: two vectors of them where much is
    computed of few numbers."""
    kernel = NestWriter(shape).write()
    n_lines = kernel.text.count("\n")
    if shape.can_double and n_lines > max(_WINDOW, _CHAIN * len(shape.moves)):
        double = replace(shape, lanes=2 * shape.lanes)
        return NestWriter(double).write(), double.lanes
    return kernel, shape.lanes


# CPUs look some sixty vector instructions ahead. What is computed of few numbers is a chain in
# which each result waits for the one before; where it is longer than that, another vector's chain
# has to stand beside it. Of many numbers there are many chains, and more code gains nothing.
_WINDOW = 64
_CHAIN = 24


class _Open(NamedTuple):
    """A loop that is being written, and what held around it."""

    loop: Loop
    pointers: list[str]
    loaded: dict[int, Value]
    mask: str | None


class NestWriter:
    """Writes one nest."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.f = Function(SIGNATURE)
        self.maths = VectorMaths(self.f, shape.lanes, shape.cpu)
        self.mask: str | None = None
        self.loaded: dict[int, Value] = {}
        self.pointers: list[str] = []
        self.strides: list[dict[int, str]] = []
        self.sizes: list[str] = []
        self.numbers: list[Value] = []

    def write(self) -> Kernel:
        self._read_operands()
        self._loops(0, len(self.shape.order) - len(self.shape.reduced))
        return_success(self.f)
        return self.f.kernel()

    def _read_operands(self) -> None:
        f, shape, position = self.f, self.shape, count()
        self.sizes = [operand(f, next(position)) for _ in range(shape.n)]
        strides = [operand(f, next(position)) for _ in range(shape.n_strides)]
        self.strides = [
            {axis: strides[i] for axis, i in enumerate(numbers) if i >= 0}
            for numbers in shape.strides
        ]
        self.numbers = [self._number(next(position), dtype) for dtype in shape.numbers]
        self.pointers = [operand_address(f, next(position)) for _ in shape.moves]
        if shape.goes_on:
            self.room = operand_address(f, next(position))
            self.goes_on = f.emit(f"icmp ne i64 {operand(f, next(position))}, 0")
        self._load_settled(0)

    def _number(self, position: int, dtype: np.dtype) -> Value:
        """The constant that an operand holds, in every lane."""
        f, word = self.f, operand(self.f, position)
        kind, n_bits = type_text(dtype), 8 * dtype.itemsize
        if n_bits < 64:
            word = f.emit(f"trunc i64 {word} to i{n_bits}")
        if dtype.kind == "f":
            word = f.emit(f"bitcast i{n_bits} {word} to {kind}")
        return f.splat(Value(word, dtype, 1), self.shape.lanes)

    # --- loops ----------------------------------------------------------------------------------

    def _loops(self, depth: int, stop: int) -> None:
        """Kept loops from this depth on, and what is inside them."""
        if depth == stop:
            self._innermost(stop)
            return
        outer = self._enter(depth, [])
        self._loops(depth + 1, stop)
        self._leave(outer, [])

    def _innermost(self, depth: int) -> None:
        """What is inside the kept loops, which are so many."""
        if any(output.kind for output in self.shape.outputs):
            self._reduce(depth)
        else:
            self._stores(self._compute())

    def _enter(self, depth: int, carried: list[Value]) -> _Open:
        """Begin the loop at this depth: addresses move on, and what is settled is loaded."""
        f, shape = self.f, self.shape
        axis = shape.order[depth]
        is_vector = axis == shape.vector and shape.lanes > 1
        by = str(shape.lanes) if is_vector else "1"
        loop = f.begin_loop(self.sizes[axis], by=by, carried=carried)
        outer = _Open(loop, self.pointers, dict(self.loaded), self.mask)
        if is_vector and not shape.exact:
            self.mask = f.tail_mask(loop.index.text, self.sizes[axis], shape.lanes)
        offsets: dict[str, str] = {}
        self.pointers = [
            self._moved(i, axis, loop.index.text, offsets) for i in range(len(self.pointers))
        ]
        self._load_settled(depth + 1)
        return outer

    def _leave(self, outer: _Open, new: list[Value]) -> list[Value]:
        loop, self.pointers, self.loaded, self.mask = outer
        return self.f.end_loop(loop, new)

    def _moved(self, access: int, axis: int, index: str, offsets: dict[str, str]) -> str:
        move = self.shape.moves[access][axis]
        base = self.pointers[access]
        # A reduced output does not move along what it is reduced over.
        if move == "0":
            return base
        dtype = self.shape.dtypes[access]
        if move == "1":
            return self.f.pointer(base, index, dtype)
        stride = self.strides[access][axis]
        offset = offsets.get(stride)
        if offset is None:
            offset = offsets[stride] = self.f.emit(f"mul i64 {index}, {stride}")
        return self.f.pointer(base, offset, dtype)

    def _load_settled(self, depth: int) -> None:
        """Load the inputs whose address does not change inside the loops that follow."""
        done, inner = self.shape.order[:depth], self.shape.order[depth:]
        for i in range(self.shape.n_inputs):
            moves = self.shape.moves[i]
            if i in self.loaded or any(moves[axis] != "0" for axis in inner):
                continue
            moves_with_vector = self.shape.n and moves[self.shape.vector] != "0"
            if moves_with_vector and self.shape.vector not in done:
                continue
            self.loaded[i] = self._load(i)

    def _load(self, i: int) -> Value:
        f, lanes, dtype = self.f, self.shape.lanes, self.shape.dtypes[i]
        move = self.shape.moves[i][-1] if self.shape.n else "0"
        if lanes == 1 or move == "0":
            return f.splat(f.load(self.pointers[i], dtype), lanes)
        if move == "1":
            return f.load(self.pointers[i], dtype, lanes, self.mask)
        return self._gather(i)

    def _gather(self, i: int) -> Value:
        """Elements a stride apart, one by one; past the end the first one is read again."""
        f, lanes, dtype = self.f, self.shape.lanes, self.shape.dtypes[i]
        stride = self.strides[i][self.shape.vector]
        stored = memory_dtype(dtype)
        kind = type_text(stored, lanes)
        text = "poison"
        offset = "0"
        for lane in range(lanes):
            place = self.pointers[i] if lane == 0 else self._lane_place(i, lane, offset)
            element = f.load(place, stored)
            text = f.emit(f"insertelement {kind} {text}, {element.type} {element}, i64 {lane}")
            if lane + 1 < lanes:
                offset = f.emit(f"add i64 {offset}, {stride}")
        if dtype == BOOL:
            text = f.emit(f"icmp ne {kind} {text}, zeroinitializer")
        return Value(text, dtype, lanes)

    def _lane_place(self, i: int, lane: int, offset: str) -> str:
        f = self.f
        if self.mask is not None:
            inside = f.emit(f"extractelement <{self.shape.lanes} x i1> {self.mask}, i64 {lane}")
            offset = f.emit(f"select i1 {inside}, i64 {offset}, i64 0")
        return f.pointer(self.pointers[i], offset, self.shape.dtypes[i])

    # --- values ---------------------------------------------------------------------------------

    def _compute(self) -> list[Value]:
        """The values of the operations at this point of the space."""
        values: list[Value] = []
        for operation in self.shape.operations:
            arguments = [self._value(r, values) for r in operation.arguments]
            result = operation.formula(self.maths, *arguments, *operation.params)
            values.append(self.f.splat(result, self.shape.lanes))
        return values

    def _value(self, reference: Reference, values: list[Value]) -> Value:
        kind, what, *rest = reference
        if kind == "number":
            return self.numbers[what]
        if kind == "input":
            return self.loaded[what]
        if kind == "operation":
            return values[what]
        number = np.frombuffer(what, rest[0])[0]
        return Value(constant_text(number, rest[0], self.shape.lanes), rest[0], self.shape.lanes)

    def _stores(self, values: list[Value]) -> None:
        for o, output in enumerate(self.shape.outputs):
            if output.kind is None:
                self._store(o, self._value(output.value, values))

    def _store(self, o: int, value: Value) -> None:
        i = self.shape.n_inputs + o
        f, lanes = self.f, self.shape.lanes
        move = self.shape.moves[i][-1] if self.shape.n else "0"
        if lanes == 1 or move == "1":
            f.store(value, self.pointers[i], self.mask)
        elif move == "s":
            self._scatter(i, value)
        else:
            raise AssertionError("a stored value varies along the vector's axis")

    def _scatter(self, i: int, value: Value) -> None:
        f, lanes = self.f, self.shape.lanes
        stride = self.strides[i][self.shape.vector]
        end = f.new_label("scattered")
        for lane in range(lanes):
            if self.mask is not None and lane:
                inside = f.emit(f"extractelement <{lanes} x i1> {self.mask}, i64 {lane}")
                more = f.new_label("more")
                f.branch(inside, more, end)
                f.start_block(more)
            offset = f.emit(f"mul i64 {stride}, {lane}")
            element = f.value(f"extractelement {value.type} {value}, i64 {lane}", value.dtype)
            f.store(element, f.pointer(self.pointers[i], offset, value.dtype))
        f.jump(end)
        f.start_block(end)

    # --- reductions -----------------------------------------------------------------------------

    def _reduce(self, first: int) -> None:
        """The reduced loops, from this depth on; then the totals are stored."""
        shape, f = self.shape, self.f
        reduced = [(o, out) for o, out in enumerate(shape.outputs) if out.kind]
        across = shape.vector in shape.reduced and shape.lanes > 1
        totals = []
        for o, out in reduced:
            dtype = shape.dtypes[shape.n_inputs + o]
            if out.kind == "sum" and dtype == F32 and shape.sums_in_double:
                dtype = F64
            totals.append(Value(neutral_text(out.kind, dtype, shape.lanes), dtype, shape.lanes))
        if shape.goes_on:
            totals = [self._carried_on(i, total) for i, total in enumerate(totals)]
        totals = self._reduce_loops(first, totals, [out for _, out in reduced])
        if shape.goes_on:
            for i, total in enumerate(totals):
                f.store(total, self._room_of(i))
        for (o, out), total in zip(reduced, totals, strict=True):
            i = shape.n_inputs + o
            if across:
                total = reduce_lanes(self.maths, out.kind, total)
            total = self.maths.cast(total, shape.dtypes[i])
            if across:
                f.store(total, self.pointers[i])
            else:
                self._store(o, total)

    def _carried_on(self, i: int, neutral: Value) -> Value:
        """What a total begins with: where the piece before left it, unless there was none."""
        before = self.f.load(self._room_of(i), neutral.dtype, neutral.lanes)
        return self.f.value(
            f"select i1 {self.goes_on}, {before.type} {before}, {neutral.type} {neutral}",
            neutral.dtype,
            neutral.lanes,
        )

    def _room_of(self, i: int) -> str:
        return self.f.pointer(self.room, str(i * self.shape.lanes), WIDEST_TOTAL)

    def _reduce_loops(self, depth: int, totals: list[Value], outputs: list[Stored]) -> list[Value]:
        if depth == len(self.shape.order):
            return self._combine(totals, outputs)
        outer = self._enter(depth, totals)
        new = self._reduce_loops(depth + 1, outer.loop.carried, outputs)
        return self._leave(outer, new)

    def _combine(self, totals: list[Value], outputs: list[Stored]) -> list[Value]:
        """The totals with the values at this point of the space."""
        values = self._compute()
        self._stores(values)
        new = []
        for total, output in zip(totals, outputs, strict=True):
            value = self._value(output.value, values)
            if self.mask is not None and self.shape.vector in self.shape.reduced:
                neutral = neutral_text(output.kind, value.dtype, value.lanes)
                choice = f"<{value.lanes} x i1> {self.mask}, {value.type} {value}, {value.type}"
                value = self.f.value(f"select {choice} {neutral}", value.dtype, value.lanes)
            value = self.maths.cast(value, total.dtype)
            new.append(combine(self.maths, output.kind, total, value))
        return new

"""From a loop nest to a kernel.

The last axis is the vector's. Kept axes are the outer loops, reduced ones the inner loops, so that
sums stay in registers. Sizes, strides and addresses are operands; what is in the text is only how
each access moves: not at all, by one, or by a stride.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ....core.dims import Size
from ..code.cpu import Cpu
from ..code.emit import BOOL, F32, F64, Value, constant_text, type_text
from ..code.engine import Kernel
from ..machine.frame import begin_kernel, end_kernel, operand, operand_address
from ..machine.pieces import Axis, Move, Pieces, is_known_to_fit
from ..maths.functions import VectorMaths
from .nest import Nest, Reference, Step
from .totals import combine, neutral_text, reduce_lanes

__all__ = ["nest_kernel"]

# A piece takes some microseconds where little is computed of an element, and at the very most a
# good part of a second.
_PIECE = 1 << 16


def nest_kernel(nest: Nest, cpu: Cpu) -> tuple[Kernel, list[Size | tuple[int]], Pieces | None]:
    """The kernel of a (collapsed) nest, its operands: sizes, or slots as 1-tuples; and how it is
    run in pieces, None where it is known to be small."""
    accesses = [*nest.inputs, *(o.access for o in nest.outputs)]
    shape, strides = _shape_of(nest, cpu)
    kernel, lanes = _kernel_of(shape)
    pieces = None if is_known_to_fit(nest.space, _PIECE) else shape.pieces(lanes)
    return kernel, [*nest.space, *strides, *((access.base,) for access in accesses)], pieces


# A text of some ten thousand letters is written in a fraction of a millisecond.
@lru_cache(maxsize=256)
def _kernel_of(shape: _Shape) -> tuple[Kernel, int]:
    """The kernel, and how many elements it takes at a time: two vectors of them where much is
    computed of few numbers."""
    kernel = _Writer(shape).write()
    n_lines = kernel.text.count("\n")
    if shape.can_double and n_lines > max(_WINDOW, _CHAIN * len(shape.moves)):
        double = replace(shape, lanes=2 * shape.lanes)
        return _Writer(double).write(), double.lanes
    return kernel, shape.lanes


# CPUs look some sixty vector instructions ahead. What is computed of few numbers is a chain in
# which each result waits for the one before; where it is longer than that, another vector's chain
# has to stand beside it. Of many numbers there are many chains, and more code gains nothing.
_WINDOW = 64
_CHAIN = 24


class _Stored(NamedTuple):
    """A value that is stored, and how it is reduced before."""

    value: Reference
    kind: str | None


@dataclass(frozen=True)
class _Shape:
    """All that a nest's text depends on: the writer sees no more of a nest than this."""

    n: int
    """The number of axes."""
    reduced: frozenset[int]
    moves: tuple[str, ...]
    """How each access, inputs first, moves along each axis."""
    strides: tuple[tuple[int, ...], ...]
    """For each access and axis the number of its stride among the operands, or −1."""
    n_strides: int
    dtypes: tuple[np.dtype, ...]
    lanes: int
    exact: bool
    """Whether no vector is left over at the end."""
    can_double: bool
    """Whether twice as many lanes would do, and be as exact."""
    is_long: bool
    goes_on: bool
    """Whether sums may be cut into pieces."""
    n_inputs: int
    steps: tuple[Step, ...]
    outputs: tuple[_Stored, ...]
    cpu: Cpu

    @property
    def vector(self) -> int:
        """The axis of vectors, the innermost of its kind."""
        return self.n - 1

    @property
    def order(self) -> list[int]:
        """The axes from the outermost loop: kept ones, then reduced ones."""
        kept = [axis for axis in range(self.n) if axis not in self.reduced]
        return [*kept, *sorted(self.reduced)]

    def pieces(self, lanes: int) -> Pieces:
        """How the kernel is cut, which takes so many elements at a time. Sums are cut only where
        one number, or one vector of them, is left of what is kept."""
        n, first = self.n, self.n + self.n_strides
        last = first + len(self.moves)
        axes = []
        for axis in self.order:
            moves = tuple(
                Move(first + i, -1 if move[axis] == "1" else n + strides[axis], dtype.itemsize)
                for i, (move, strides, dtype) in enumerate(
                    zip(self.moves, self.strides, self.dtypes, strict=True)
                )
                if move[axis] != "0"
            )
            least = lanes if axis == self.vector else 1
            if axis not in self.reduced:
                axes.append(Axis(axis, least, moves))
            elif self.goes_on:
                axes.append(Axis(axis, least, moves, last + 1))
        totals = _WIDEST_TOTAL.itemsize * lanes * len(self.outputs) if self.goes_on else 0
        return Pieces(_PIECE, range(n), tuple(axes), totals)


def _shape_of(nest: Nest, cpu: Cpu) -> tuple[_Shape, list[Size]]:
    """The shape of a nest, and the strides among its operands: those that are one size are one."""
    accesses = [*nest.inputs, *(o.access for o in nest.outputs)]
    moves = tuple(_moves(a.strides) for a in accesses)
    n = len(nest.space)
    size = nest.space[-1] if n else 1
    is_wide = _is_wide(nest, size)
    # Columns of a matrix: several lines of memory at a time.
    lanes = (_lanes(nest, cpu) if n else 1) * (4 if is_wide else 1)
    numbers: dict[Size, int] = {}
    strides = tuple(
        tuple(
            numbers.setdefault(stride, len(numbers)) if move == "s" else -1
            for stride, move in zip(access.strides, moved, strict=True)
        )
        for access, moved in zip(accesses, moves, strict=True)
    )
    shape = _Shape(
        n=n,
        reduced=nest.reduced,
        moves=moves,
        strides=strides,
        n_strides=len(numbers),
        dtypes=tuple(a.dtype for a in accesses),
        lanes=lanes,
        exact=isinstance(size, int) and size % lanes == 0,
        can_double=lanes > 1
        and not is_wide
        and not any(moved[-1] == "s" for moved in moves)
        and (not isinstance(size, int) or size % (2 * lanes) == 0),
        is_long=_is_long(nest),
        goes_on=bool(nest.reduced)
        and not is_known_to_fit([nest.space[axis] for axis in sorted(nest.reduced)], _PIECE),
        n_inputs=len(nest.inputs),
        steps=tuple(nest.steps),
        outputs=tuple(_Stored(o.value, o.kind) for o in nest.outputs),
        cpu=cpu,
    )
    return shape, list(numbers)


def _moves(strides: tuple[Size, ...]) -> str:
    """For each axis 0 (it stays) or s (a stride); for the last one 1: adjacent elements."""
    moves = ["0" if stride == 0 and isinstance(stride, int) else "s" for stride in strides]
    if strides and isinstance(strides[-1], int) and strides[-1] == 1:
        moves[-1] = "1"
    return "".join(moves)


def _is_wide(nest: Nest, size: Size) -> bool:
    """Whether sums over outer axes are so light that several vectors of columns fit registers."""
    return (
        bool(nest.reduced)
        and len(nest.space) - 1 not in nest.reduced
        and len(nest.steps) + len(nest.inputs) + len(nest.outputs) <= 6
        and isinstance(size, int)
        and size >= 64
    )


def _is_long(nest: Nest) -> bool:
    """Whether sums of float32 are made in float64: one number after another loses digits."""
    count = 1
    for axis in nest.reduced:
        size = nest.space[axis]
        if not isinstance(size, int):
            return True
        count *= size
    return count > _SHORT_SUM


# The room that one number of a total has between pieces.
_WIDEST_TOTAL = F64
# Terms that float32 sums in a row without harm.
_SHORT_SUM = 64


def _lanes(nest: Nest, cpu: Cpu) -> int:
    dtypes = [a.dtype for a in nest.inputs] + [o.access.dtype for o in nest.outputs]
    dtypes += [p for step in nest.steps for p in step.params if isinstance(p, np.dtype)]
    widest = max(dtype.itemsize for dtype in dtypes)
    return max(1, cpu.vector_bytes // max(4, widest))


class _Writer:
    """Writes one nest."""

    def __init__(self, shape: _Shape) -> None:
        self.shape = shape
        self.f = begin_kernel()
        self.maths = VectorMaths(self.f, shape.lanes, shape.cpu)
        self.mask: str | None = None
        self.loaded: dict[int, Value] = {}
        self.pointers: list[str] = []
        self.strides: list[dict[int, str]] = []
        self.sizes: list[str] = []

    def write(self) -> Kernel:
        self._read_operands()
        self._loops(0, len(self.shape.order) - len(self.shape.reduced))
        end_kernel(self.f)
        return self.f.kernel()

    def _read_operands(self) -> None:
        f, position = self.f, 0
        for _ in range(self.shape.n):
            self.sizes.append(operand(f, position))
            position += 1
        strides = [operand(f, position + i) for i in range(self.shape.n_strides)]
        position += len(strides)
        self.strides = [
            {axis: strides[i] for axis, i in enumerate(numbers) if i >= 0}
            for numbers in self.shape.strides
        ]
        self.pointers = [operand_address(f, position + i) for i in range(len(self.shape.moves))]
        if self.shape.goes_on:
            position += len(self.pointers)
            self.room = operand_address(f, position)
            self.goes_on = f.emit(f"icmp ne i64 {operand(f, position + 1)}, 0")
        self._load_settled(0)

    # --- loops ----------------------------------------------------------------------------------

    def _loops(self, depth: int, stop: int) -> None:
        """Kept loops from this depth on, and what is inside them."""
        if depth == stop:
            if any(output.kind for output in self.shape.outputs):
                self._reduce(stop)
            else:
                self._stores(self._compute())
            return
        loop, outer, mask = self._enter(depth, [])
        self._loops(depth + 1, stop)
        self._leave(loop, outer, mask, [])

    def _enter(self, depth: int, carried: list[Value]) -> tuple[Any, Any, Any]:
        """Begin the loop at this depth: addresses move on, and what is settled is loaded."""
        f, shape = self.f, self.shape
        axis = shape.order[depth]
        is_vector = axis == shape.vector and shape.lanes > 1
        step = str(shape.lanes) if is_vector else "1"
        loop = f.begin_loop(self.sizes[axis], step=step, carried=carried)
        outer = (self.pointers, dict(self.loaded))
        mask = self.mask
        if is_vector and not shape.exact:
            self.mask = f.tail_mask(loop.index.text, self.sizes[axis], shape.lanes)
        offsets: dict[str, str] = {}
        self.pointers = [
            self._moved(i, axis, loop.index.text, offsets) for i in range(len(self.pointers))
        ]
        self._load_settled(depth + 1)
        return loop, outer, mask

    def _leave(self, loop: Any, outer: Any, mask: str | None, new: list[Value]) -> list[Value]:
        self.pointers, self.loaded = outer
        self.mask = mask
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
        stored = np.dtype("int8") if dtype == BOOL else dtype
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
        """The values of the steps at this point of the space."""
        values: list[Value] = []
        for step in self.shape.steps:
            arguments = [self._value(r, values) for r in step.arguments]
            result = step.formula(self.maths, *arguments, *step.params)
            values.append(self.f.splat(result, self.shape.lanes))
        return values

    def _value(self, reference: Reference, values: list[Value]) -> Value:
        kind, what, *rest = reference
        if kind == "input":
            return self.loaded[what]
        if kind == "step":
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
            if out.kind == "sum" and dtype == F32 and shape.is_long:
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
        return self.f.pointer(self.room, str(i * self.shape.lanes), _WIDEST_TOTAL)

    def _reduce_loops(self, depth: int, totals: list[Value], outputs: list[_Stored]) -> list[Value]:
        if depth == len(self.shape.order):
            values = self._compute()
            self._stores(values)
            new = []
            for total, output in zip(totals, outputs, strict=True):
                value = self._value(output.value, values)
                if self.mask is not None and self.shape.vector in self.shape.reduced:
                    neutral = neutral_text(output.kind, value.dtype, value.lanes)
                    value = self.f.value(
                        f"select <{value.lanes} x i1> {self.mask}, {value.type} {value}, "
                        f"{value.type} {neutral}",
                        value.dtype,
                        value.lanes,
                    )
                value = self.maths.cast(value, total.dtype)
                new.append(combine(self.maths, output.kind, total, value))
            return new
        loop, outer, mask = self._enter(depth, totals)
        new = self._reduce_loops(depth + 1, loop.carried, outputs)
        return self._leave(loop, outer, mask, new)

"""Long kernels in pieces, so that Ctrl-C is looked for in between.

An instruction of this kind holds another one, of a kernel, and says how that kernel's work can be
cut: along which axes, and which addresses move with them. While there is more to do than fits a
piece, the outermost axis that can be cut is halved, so pieces follow one another in the order of
the kernel's own loops and results are the same bit for bit. Sums go on from piece to piece: either
in the result, or as they stood in registers, in memory that belongs to the instruction.

Whoever has work for more than one piece lets other threads have Python meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ....core.dims import Size
from ..code.emit import I64, Function, Value, kernel
from .frame import (
    HEADER_WORDS,
    MAX_OPERANDS,
    frame_kernel,
    return_failure,
    value_at,
)
from .interpreter import leave_kernel, poll_kernel

__all__ = ["Axis", "Move", "Pieces", "is_known_to_fit", "pieces_kernel"]

# The operand that nobody reads: for axes along which nothing is summed.
_UNREAD = MAX_OPERANDS - 1


class Move(NamedTuple):
    """How an address moves along an axis."""

    address: int
    """The position of the address among the kernel's operands."""
    stride: int
    """The position of the stride in elements; −1 for a stride of one."""
    itemsize: int


class Axis(NamedTuple):
    """An axis along which a kernel's work can be cut."""

    size: int
    """The position of its size."""
    least: int
    """Pieces are multiples of this, but for the last one."""
    moves: tuple[Move, ...]
    goes_on: int = _UNREAD
    """The position of what is 1 in all pieces but the first: sums go on."""


@dataclass(frozen=True)
class Pieces:
    """How a kernel is run in pieces."""

    limit: int
    """How large a piece may be: the product of the factors."""
    factors: range
    """The positions of the sizes whose product is the work."""
    axes: tuple[Axis, ...]
    """What can be cut, in the order of the kernel's loops."""
    totals: int = 0
    """For sums that go on as they stood in registers: their bytes. The kernel's operands end with
    the address of that memory, and whether sums go on."""

    def words(self) -> list[int]:
        """The operands of the instruction, before the instruction that it holds."""
        axes = [
            word
            for axis in self.axes
            for word in (
                axis.size, axis.least, axis.goes_on, len(axis.moves),
                *(part for move in axis.moves for part in move),
            )
        ]  # fmt: skip
        head = (self.limit, self.factors.start, len(self.factors), self.totals, len(axes))
        return [*head, *axes]


def is_known_to_fit(factors: Sequence[Size], limit: int) -> bool:
    """Whether work of these factors is known to be no more than a piece."""
    work = 1
    for factor in factors:
        if not isinstance(factor, int):
            return False
        work *= factor
    return work <= limit


class _Word:
    """The first words of an instruction's operands; then the axes, and the instruction inside."""

    LIMIT, FIRST_FACTOR, N_FACTORS, TOTALS, AXES_LENGTH, AXES = range(6)


class _AxisWord:
    """The first words of an axis; then its moves."""

    SIZE, LEAST, GOES_ON, N_MOVES, MOVES = range(5)


@frame_kernel
def pieces_kernel(f: Function) -> None:
    """A kernel in pieces. Operands, raw: those of `Pieces.words`, and its instruction."""
    f.do(f"%room = alloca [{MAX_OPERANDS} x i64], align 64")
    f.do(f"%totals = alloca i8, i64 {f.word('%operands', _Word.TOTALS)}, align 64")
    axes = f.pointer("%operands", str(_Word.AXES), I64)
    instruction = f.pointer(axes, f.word("%operands", _Word.AXES_LENGTH), I64)
    f.do(f"%kernel = load ptr, ptr {instruction}")
    slots = f.pointer(instruction, str(HEADER_WORDS), I64)
    count = f.word(instruction, HEADER_WORDS - 1)
    loop = f.begin_loop(count)
    value = value_at(f, f.word(slots, loop.index.text))
    f.do(f"store i64 {value}, ptr {f.pointer('%room', loop.index.text, I64)}")
    f.end_loop(loop)
    ends = f.pointer("%room", count, I64)
    f.do(f"store ptr %totals, ptr {ends}")
    f.do(f"store i64 0, ptr {f.pointer(ends, '1', I64)}")
    f.branch(_is_a_piece(f), "small", "large")
    f.start_block("small")
    f.do("%status = call i32 %kernel(ptr %frame, ptr %room)")
    f.do("ret i32 %status")
    f.start_block("large")
    f.do(f"call void @{f.use(leave_kernel())}(ptr %frame)")
    cut = f.use(_cut_kernel())
    status = f.emit(f"call i32 @{cut}(ptr %frame, ptr %operands, ptr %room, ptr %kernel)")
    f.do(f"ret i32 {status}")


def _is_a_piece(f: Function) -> str:
    """Whether the work of the operands in ``room`` is no more than a piece."""
    first = f.pointer("%room", f.word("%operands", _Word.FIRST_FACTOR), I64)
    count = f.word("%operands", _Word.N_FACTORS)
    loop = f.begin_loop(count, carried=[Value("1", I64, 1)])
    factor = f.word(first, loop.index.text)
    f.declare("llvm.smul.with.overflow.i64", "{i64, i1} (i64, i64)")
    both = f.emit(
        f"call {{i64, i1}} @llvm.smul.with.overflow.i64(i64 {loop.carried[0]}, i64 {factor})"
    )
    work = f.emit(f"extractvalue {{i64, i1}} {both}, 0")
    wraps = f.emit(f"extractvalue {{i64, i1}} {both}, 1")
    f.end_loop(loop, [f.value(f"select i1 {wraps}, i64 {1 << 62}, i64 {work}", I64)])
    return f.emit(f"icmp sle i64 {loop.carried[0]}, {f.word('%operands', _Word.LIMIT)}")


@kernel("i32 (ptr %frame, ptr %operands, ptr %room, ptr %kernel)")
def _cut_kernel(f: Function) -> None:
    """Run a kernel on the operands in ``room``: whole, or in halves if that is more than a piece.

    The calls nest only as deep as the logarithm of the work.
    """
    f.branch(_is_a_piece(f), "whole", "large")
    f.start_block("large")
    axis, size, least = _seek_axis(f)
    f.start_block("whole")
    return_failure(f, f.emit("call i32 %kernel(ptr %frame, ptr %room)"))
    f.do(f"ret i32 {f.emit(f'call i32 @{f.use(poll_kernel())}(ptr %frame, ptr %room)')}")
    f.start_block("halve")
    _run_halves(f, axis, size, least)


def _in_room(f: Function, axis: str, word: int) -> str:
    """The address of the operand whose position an axis tells."""
    return f.pointer("%room", f.word(axis, word), I64)


def _seek_axis(f: Function) -> tuple[str, str, str]:
    """The first axis that can be cut, its size and the least of a piece: where there is one, the
    program goes to ``halve``, else to ``whole``."""
    axes = f.pointer("%operands", str(_Word.AXES), I64)
    end = f.pointer(axes, f.word("%operands", _Word.AXES_LENGTH), I64)
    before = f.block
    f.jump("next")
    f.start_block("next")
    f.do(f"%axis = phi ptr [ {axes}, %{before} ], [ %following, %pass ]")
    f.branch(f.emit(f"icmp eq ptr %axis, {end}"), "whole", "look")
    f.start_block("look")
    size = f.emit(f"load i64, ptr {_in_room(f, '%axis', _AxisWord.SIZE)}")
    least = f.word("%axis", _AxisWord.LEAST)
    f.branch(f.emit(f"icmp sgt i64 {size}, {least}"), "halve", "pass")
    f.start_block("pass")
    length = f.emit(f"mul i64 {f.word('%axis', _AxisWord.N_MOVES)}, {len(Move._fields)}")
    length = f.emit(f"add i64 {length}, {_AxisWord.MOVES}")
    f.do(f"%following = getelementptr i64, ptr %axis, i64 {length}")
    f.jump("next")
    return "%axis", size, least


def _run_halves(f: Function, axis: str, size: str, least: str) -> None:
    """Run one half and then the other; the operands are as they were afterwards."""
    again = "call i32 @kernel(ptr %frame, ptr %operands, ptr %room, ptr %kernel)"
    half = f.emit(f"add i64 {f.emit(f'lshr i64 {size}, 1')}, {f.emit(f'sub i64 {least}, 1')}")
    half = f.emit(f"mul i64 {f.emit(f'udiv i64 {half}, {least}')}, {least}")
    size_place = _in_room(f, axis, _AxisWord.SIZE)
    f.do(f"store i64 {half}, ptr {size_place}")
    return_failure(f, f.emit(again))
    f.do(f"store i64 {f.emit(f'sub i64 {size}, {half}')}, ptr {size_place}")
    _move(f, axis, half)
    goes_on = _in_room(f, axis, _AxisWord.GOES_ON)
    before = f.emit(f"load i64, ptr {goes_on}")
    f.do(f"store i64 1, ptr {goes_on}")
    return_failure(f, f.emit(again))
    f.do(f"store i64 {before}, ptr {goes_on}")
    _move(f, axis, f.emit(f"sub i64 0, {half}"))
    f.do(f"store i64 {size}, ptr {size_place}")


def _move(f: Function, axis: str, by: str) -> None:
    """Move the addresses by so many elements of the axis."""
    moves = f.pointer(axis, str(_AxisWord.MOVES), I64)
    loop = f.begin_loop(f.word(axis, _AxisWord.N_MOVES))
    move = f.pointer(moves, f.emit(f"mul i64 {loop.index}, {len(Move._fields)}"), I64)
    place = f.pointer("%room", f.word(move, 0), I64)
    position = f.word(move, 1)
    is_one = f.emit(f"icmp slt i64 {position}, 0")
    stride = f.word("%room", f.emit(f"select i1 {is_one}, i64 0, i64 {position}"))
    stride = f.emit(f"select i1 {is_one}, i64 1, i64 {stride}")
    distance = f.emit(f"mul i64 {f.emit(f'mul i64 {by}, {stride}')}, {f.word(move, 2)}")
    moved = f.emit(f"add i64 {f.emit(f'load i64, ptr {place}')}, {distance}")
    f.do(f"store i64 {moved}, ptr {place}")
    f.end_loop(loop)

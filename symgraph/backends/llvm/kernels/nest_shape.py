"""What the code of a loop nest depends on, and nothing else: the key of its kernel.

Sizes, strides, numbers and addresses are operands. What is in the text is how each access moves
along each axis (not at all, by one, or by a stride), what is computed of the elements, and with how
many at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ....core.dims import Size
from ..code.cpu import Cpu
from ..code.emit import F64
from ..machine.pieces import Axis, Move, Pieces, is_known_to_fit
from .nest import Nest, Operation, Reference
from .numbers import Number, numbers_apart

__all__ = ["WIDEST_TOTAL", "Shape", "Stored", "is_a_piece", "lanes_of", "moves_of", "shape_of"]

# A piece takes some microseconds where little is computed of an element, and at the very most a
# good part of a second.
_PIECE = 1 << 16
# The room that one number of a total has between pieces.
WIDEST_TOTAL = F64
# Terms that float32 sums in a row without harm.
_SHORT_SUM = 64


class Stored(NamedTuple):
    """A value that is stored, and how it is reduced before."""

    value: Reference
    kind: str | None


@dataclass(frozen=True)
class Shape:
    """All that a nest's text depends on: the writer sees no more of a nest than this.

    Nests of equal shapes have one kernel.
    """

    n: int
    """The number of axes."""
    reduced: frozenset[int]
    moves: tuple[str, ...]
    """How each access, inputs first, moves along each axis."""
    strides: tuple[tuple[int, ...], ...]
    """For each access and axis the number of its stride among the operands, or −1."""
    n_strides: int
    numbers: tuple[np.dtype, ...]
    """Of the constants among the operands."""
    dtypes: tuple[np.dtype, ...]
    lanes: int
    exact: bool
    """Whether no vector is left over at the end."""
    can_double: bool
    """Whether twice as many lanes would do, and be as exact."""
    sums_in_double: bool
    """Whether sums of float32 are made in float64."""
    goes_on: bool
    """Whether sums may be cut into pieces."""
    n_inputs: int
    operations: tuple[Operation, ...]
    outputs: tuple[Stored, ...]
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

    @property
    def n_before(self) -> int:
        """How many operands stand before the addresses: sizes, strides and numbers."""
        return self.n + self.n_strides + len(self.numbers)

    def pieces(self, lanes: int) -> Pieces:
        """How the kernel is cut, which takes so many elements at a time. Sums are cut only where
        one number, or one vector of them, is left of what is kept."""
        n, first = self.n, self.n_before
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
        totals = WIDEST_TOTAL.itemsize * lanes * len(self.outputs) if self.goes_on else 0
        return Pieces(_PIECE, range(n), tuple(axes), totals)


def is_a_piece(space: Sequence[Size]) -> bool:
    """Whether a nest of these sizes is known to be no more than a piece."""
    return is_known_to_fit(space, _PIECE)


def shape_of(nest: Nest, cpu: Cpu) -> tuple[Shape, list[Size], list[Number]]:
    """The shape of a nest, and the strides and numbers among its operands: strides that are one
    size are one."""
    operations, numbers = numbers_apart(nest.operations)
    accesses = nest.accesses
    moves = tuple(moves_of(a.strides) for a in accesses)
    n = len(nest.space)
    size = nest.space[-1] if n else 1
    is_wide = _is_wide(nest, size)
    # Columns of a matrix: several lines of memory at a time.
    lanes = (lanes_of(nest, cpu) if n else 1) * (4 if is_wide else 1)
    distinct: dict[Size, int] = {}
    strides = tuple(
        tuple(
            distinct.setdefault(stride, len(distinct)) if move == "s" else -1
            for stride, move in zip(access.strides, moved, strict=True)
        )
        for access, moved in zip(accesses, moves, strict=True)
    )
    shape = Shape(
        n=n,
        reduced=nest.reduced,
        moves=moves,
        strides=strides,
        n_strides=len(distinct),
        numbers=tuple(number.dtype for number in numbers),
        dtypes=tuple(a.dtype for a in accesses),
        lanes=lanes,
        exact=isinstance(size, int) and size % lanes == 0,
        can_double=lanes > 1
        and not is_wide
        and not any(moved[-1] == "s" for moved in moves)
        and (not isinstance(size, int) or size % (2 * lanes) == 0),
        sums_in_double=_loses_digits(nest),
        goes_on=bool(nest.reduced)
        and not is_a_piece([nest.space[axis] for axis in sorted(nest.reduced)]),
        n_inputs=len(nest.inputs),
        operations=operations,
        outputs=tuple(Stored(o.value, o.kind) for o in nest.outputs),
        cpu=cpu,
    )
    return shape, list(distinct), numbers


def moves_of(strides: tuple[Size, ...]) -> str:
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
        and len(nest.operations) + len(nest.inputs) + len(nest.outputs) <= 6
        and isinstance(size, int)
        and size >= 64
    )


def _loses_digits(nest: Nest) -> bool:
    """Whether sums over so many numbers lose digits, one number after another."""
    count = 1
    for axis in nest.reduced:
        size = nest.space[axis]
        if not isinstance(size, int):
            return True
        count *= size
    return count > _SHORT_SUM


def lanes_of(nest: Nest, cpu: Cpu) -> int:
    """How many elements of the widest dtype a vector holds."""
    dtypes = [access.dtype for access in nest.accesses]
    params = (p for operation in nest.operations for p in operation.params)
    dtypes += [p for p in params if isinstance(p, np.dtype)]
    widest = max(dtype.itemsize for dtype in dtypes)
    return max(1, cpu.vector_bytes // max(4, widest))

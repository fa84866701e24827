"""Matrix products in a program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from ....core.dims import Size, ceil_div, floor_div, product
from ....core.variable import Variable
from ....ops.linalg import MATMUL
from ..analysis.layout import contiguous_strides
from ..analysis.schedule import is_large
from ..kernels.few_rows import FEW_ROWS
from ..kernels.gemm import K_BLOCK, pack_kernel, packed_product_kernel, product_kernel, room_for
from ..kernels.panels import tile_for
from ..machine.pieces import Axis, Move, Pieces, is_known_to_fit
from .program import PackedKey
from .records import rule
from .scope import Scope

__all__ = ["lower_matmul", "multiply_packed", "pack_ahead"]


@dataclass(frozen=True)
class _Shape:
    """What a product does: a stack of matrices, whose sizes and strides are these."""

    stack: tuple[Size, ...]
    m: Size
    n: Size
    k: Size
    left: tuple[Size, Size]
    """The strides of rows and of k."""
    right: tuple[Size, Size]
    steps: tuple[tuple[Size, ...], tuple[Size, ...], tuple[Size, ...]]
    """The strides along the stack: of the left operand, the right one, the result."""


def _shape_of(scope: Scope, v: Variable) -> _Shape:
    """The product with as small a stack as can be: matrices on top of one another are one."""
    x, y = v.inputs
    stack = list(v.type.shape[:-2])
    m, n = v.type.shape[-2:]
    left, right = scope.views[x].strides, scope.views[y].strides
    steps = [
        _stack_strides(x, left, len(stack)),
        _stack_strides(y, right, len(stack)),
        list(contiguous_strides(v.type.shape)[: len(stack)]),
    ]
    for axis in reversed(range(len(stack))):
        rows_follow = steps[0][axis] == left[-2] * m and steps[1][axis] == 0
        if stack[axis] == 1 or (rows_follow and axis == len(stack) - 1):
            m = m * stack[axis]
            for strides in (stack, *steps):
                del strides[axis]
    return _Shape(
        tuple(stack), m, n, x.type.shape[-1], (left[-2], left[-1]), (right[-2], right[-1]),
        (tuple(steps[0]), tuple(steps[1]), tuple(steps[2])),
    )  # fmt: skip


def _stack_strides(x: Variable, strides: tuple[Size, ...], axes: int) -> list[Size]:
    """The strides along the axes of the stack; 0 where the operand is broadcast."""
    own = [
        0 if size == 1 else stride
        for size, stride in zip(x.type.shape[:-2], strides[:-2], strict=True)
    ]
    return [0] * (axes - len(own)) + own


@rule("matmul")
def lower_matmul(scope: Scope, v: Variable) -> bool:
    """A product, or a stack of them."""
    if v.dtype.kind != "f":
        return False
    x, y = v.inputs
    shape = _shape_of(scope, v)
    bases = (scope.place(x).base, scope.place(y).base, scope.base(v))
    packed = scope.lowering.packed.get(_packed_key(scope, y)) if y.ndim == 2 else None
    own = None
    if packed is None and _is_read_again(scope, y):
        packed = _packed_for_several(scope, y, shape)
    elif packed is None and shape.stack and not any(shape.steps[1]):
        packed = own = _pack(scope, y, shape)
    if packed is not None:
        _by_rows(scope, v, shape, bases, partial(_packed_products, scope, v, packed))
        if own is not None:
            scope.lowering.buffers.give_back(own)
        _give_back_after_last(scope, y)
        return True
    _by_rows(scope, v, shape, bases, partial(_products, scope, v))
    return True


_Bases = tuple[int, int, int]


def _products(scope: Scope, v: Variable, shape: _Shape, bases: _Bases) -> None:
    tile = tile_for(scope.lowering.cpu, v.dtype)
    room = scope.lowering.buffers.take(room_for(tile, shape.n, shape.k), v.dtype)
    _each(scope, v, shape, bases, lambda at: _product(scope, v, shape, at, room))
    scope.lowering.buffers.give_back(room)


def _packed_products(scope: Scope, v: Variable, packed: int, shape: _Shape, bases: _Bases) -> None:
    _each(scope, v, shape, bases, lambda at: _packed_product(scope, v, shape, at, packed))


# Into how many parts a product is taken apart at most.
MAX_PARTS = 8
# Rows are given to threads by so many: products of fewer are added up in another order.
_ROWS_TOGETHER = 32
assert _ROWS_TOGETHER > FEW_ROWS


def _by_rows(
    scope: Scope, v: Variable, shape: _Shape, bases: _Bases, write: Callable[[_Shape, _Bases], None]
) -> None:
    """A large product in parts, by rows, where several threads may share it."""
    work = product(shape.stack) * shape.m * shape.n * shape.k
    threads = min(scope.idle_threads, MAX_PARTS)
    if threads == 1 or not scope.assembler.is_bound(work) or not is_large(work):
        write(shape, bases)
        return
    a = scope.assembler
    blocks = floor_div(shape.m, _ROWS_TOGETHER)
    starts = [floor_div(blocks * i, threads) * _ROWS_TOGETHER for i in range(threads)]

    def write_rows(start: Size, stop: Size) -> None:
        left = a.address(bases[0], start * shape.left[0], v.dtype)
        result = a.address(bases[2], start * shape.n, v.dtype)
        write(replace(shape, m=stop - start), (left, bases[1], result))

    scope.write_together(
        [
            (floor_div(work, threads), partial(write_rows, start, stop))
            for start, stop in pairwise([*starts, shape.m])
            if start != stop
        ]
    )


def _each(
    scope: Scope, v: Variable, shape: _Shape, bases: _Bases, write: Callable[[_Bases], None]
) -> None:
    """A loop for each axis of the stack, around the product of two matrices."""
    a = scope.assembler

    def loops(axis: int, bases: _Bases) -> None:
        if axis == len(shape.stack):
            write(bases)
            return
        # Copies of the addresses, which advance with the loop.
        own = (a.slot(), a.slot(), a.slot())
        for mine, base in zip(own, bases, strict=True):
            a.run("address", mine, base, a.literal(0), 1)
        advances = [
            (mine, a.size(strides[axis] * v.dtype.itemsize))
            for mine, strides in zip(own, shape.steps, strict=True)
        ]
        a.loop(a.size(shape.stack[axis]), a.slot(), advances, lambda: loops(axis + 1, own))

    loops(0, bases)


# A piece of a product takes some ten milliseconds. It has rows enough that packing the right
# operand again for each piece does not count, and far more than would be added up differently.
_PIECE = 1 << 29
_COLUMNS, _ROWS = 1024, 8
assert _PIECE >> 1 > FEW_ROWS * K_BLOCK * _COLUMNS


def _product(scope: Scope, v: Variable, shape: _Shape, at: _Bases, room: int) -> None:
    a, cpu, itemsize = scope.assembler, scope.lowering.cpu, v.dtype.itemsize
    kernel = product_kernel(tile_for(cpu, v.dtype))
    sizes = (shape.m, shape.n, shape.k, *shape.left, *shape.right, shape.n, 0)
    pieces = None
    if not is_known_to_fit((shape.m, shape.n, shape.k), _PIECE):
        k = Axis(6, K_BLOCK, (Move(0, 8, itemsize), Move(1, 9, itemsize)), goes_on=12)
        n = Axis(5, _COLUMNS, (Move(1, 10, itemsize), Move(2, -1, itemsize)))
        m = Axis(4, _ROWS, (Move(0, 7, itemsize), Move(2, 11, itemsize)))
        pieces = Pieces(_PIECE, range(4, 7), (k, n, m))
    a.run_kernel(kernel, pieces, *at, room, *map(a.size, sizes))


def _packed_product(scope: Scope, v: Variable, shape: _Shape, at: _Bases, packed: int) -> None:
    a, cpu, itemsize = scope.assembler, scope.lowering.cpu, v.dtype.itemsize
    kernel = packed_product_kernel(tile_for(cpu, v.dtype))
    sizes = (shape.m, shape.n, shape.k, *shape.left, shape.n, 0)
    pieces = None
    if not is_known_to_fit((shape.m, shape.n, shape.k), _PIECE):
        # A panel's columns follow one another after all of k.
        n = Axis(4, _COLUMNS, (Move(1, 5, itemsize), Move(2, -1, itemsize)))
        m = Axis(3, _ROWS, (Move(0, 6, itemsize), Move(2, 8, itemsize)))
        pieces = Pieces(_PIECE, range(3, 6), (n, m))
    a.run_kernel(kernel, pieces, at[0], packed, at[2], *map(a.size, sizes))


# --- packed for several products ---------------------------------------------------------------


def _is_read_again(scope: Scope, y: Variable) -> bool:
    """Whether several products of the scope have this right operand: two weight gradients do."""
    if y.ndim != 2:
        return False
    if not scope.right_operands:
        scope.right_operands.update(
            scope.views[v.inputs[1]]
            for v in scope.graph.nodes
            if v.op is MATMUL and v in scope.needed and v.inputs[1].ndim == 2
        )
    view = scope.views[y]
    return view in scope.packed_here or scope.right_operands[view] > 1


def _packed_for_several(scope: Scope, y: Variable, shape: _Shape) -> int:
    view = scope.views[y]
    found = scope.packed_here.get(view)
    if found is None:
        found = scope.packed_here[view] = _pack(scope, y, shape)
    return found


def _give_back_after_last(scope: Scope, y: Variable) -> None:
    view = scope.views[y]
    if view in scope.packed_here:
        scope.right_operands[view] -= 1
        if not scope.right_operands[view]:
            scope.lowering.buffers.give_back(scope.packed_here.pop(view))


# --- packed once --------------------------------------------------------------------------------


def _packed_key(scope: Scope, y: Variable) -> PackedKey:
    view = scope.views[y]
    return PackedKey(scope.bases.get(view.root), view.offset, view.shape, view.strides, y.dtype)


def _pack(scope: Scope, y: Variable, shape: _Shape) -> int:
    """Pack a right operand: a slot with the address of the panels."""
    lowering, a = scope.lowering, scope.assembler
    tile = tile_for(lowering.cpu, y.dtype)
    panels = ceil_div(shape.n, tile.width)
    slot = lowering.buffers.take(panels * shape.k * tile.width, y.dtype)
    sizes = (shape.k, shape.n, *shape.right)
    a.main.emit(pack_kernel(tile), scope.place(y).base, slot, *map(a.size, sizes))
    return slot


def multiply_packed(
    scope: Scope, v: Variable, at: tuple[int, int], rows: Size, strides: tuple[Size, ...]
) -> None:
    """The product of rows (the first place) with the right operand of ``v``, packed ahead of the
    loop, into the second place."""
    a, cpu = scope.assembler, scope.lowering.cpu
    kernel = packed_product_kernel(tile_for(cpu, v.dtype))
    packed = scope.lowering.packed[_packed_key(scope, v.inputs[1])]
    depth, n = v.inputs[1].type.shape
    a.main.emit(kernel, at[0], packed, at[1], *map(a.size, (rows, n, depth, *strides, n, 0)))


def pack_ahead(scope: Scope, v: Variable) -> PackedKey | None:
    """Pack the right operand of a product ahead of the loop that the product is in: its key among
    the packed ones, which has to go when the loop ends, since buffers are used again.

    None where it is packed already, for a loop around this one.
    """
    y = v.inputs[1]
    scope.place(y)  # which gives it the address that the key tells
    key = _packed_key(scope, y)
    if key in scope.lowering.packed:
        return None
    scope.lowering.packed[key] = _pack(scope, y, _shape_of(scope, v))
    return key

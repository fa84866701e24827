"""Lowerings of matrix products."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np

from ....core.dims import Size, ceil_div, floor_div, product
from ....core.graph import Graph
from ....core.variable import CONSTANT, Variable
from ....ops.linalg import MATMUL
from ..analysis.layout import stretched
from ..analysis.schedule import is_large
from ..code.engine import Kernel
from ..kernels.few_rows import FEW_ROWS
from ..kernels.gemm import K_BLOCK, pack_kernel, packed_product_kernel, product_kernel, room_for
from ..kernels.panels import tile_for
from ..machine.pieces import Axis, Move, Pieces, is_known_to_fit
from .program import PackedKey, Place
from .records import Lowering
from .scope import Scope

__all__ = ["PRODUCTS", "multiply_packed", "pack_ahead"]


@dataclass(frozen=True)
class _Product:
    """Products of a stack of ``[m, k]`` with one of ``[k, n]``."""

    dtype: np.dtype
    stack: tuple[Size, ...]
    m: Size
    n: Size
    k: Size
    left: Place
    right: Place
    result: Place

    def at(self, left: int, right: int, result: int) -> _Product:
        """The same of matrices at other addresses."""
        return replace(
            self,
            left=self.left._replace(base=left),
            right=self.right._replace(base=right),
            result=self.result._replace(base=result),
        )


def _product_of(scope: Scope, v: Variable) -> _Product:
    """The product with as small a stack as can be: matrices on top of one another are one."""
    *stack, m, n = v.type.shape
    k = v.inputs[0].type.shape[-1]
    left, right = (_stacked(scope.place(x), x, stack) for x in v.inputs)
    axes = list(range(len(stack)))
    for axis in reversed(range(len(stack))):
        rows_follow = left.strides[axis] == left.strides[-2] * m and right.strides[axis] == 0
        if stack[axis] == 1 or (rows_follow and axis == len(axes) - 1):
            m = m * stack[axis]
            axes.remove(axis)
    places = [
        Place(base, (*(strides[axis] for axis in axes), *strides[-2:]))
        for base, strides in (left, right, scope.result(v))
    ]
    return _Product(v.dtype, tuple(stack[axis] for axis in axes), m, n, k, *places)


def _stacked(place: Place, x: Variable, stack: Sequence[Size]) -> Place:
    """An operand along the axes of the stack, which it may be broadcast to."""
    own = stretched(x.type.shape[:-2], place.strides[:-2], stack)
    return Place(place.base, (*own, *place.strides[-2:]))


def _write_product(scope: Scope, v: Variable) -> bool:
    """A product, or a stack of them."""
    if v.dtype.kind != "f":
        return False
    y = v.inputs[1]
    p = _product_of(scope, v)
    packed = _packed(scope, y, p)
    if packed is None:
        _by_rows(scope, p, partial(_write_whole, scope))
        return True
    _by_rows(scope, p, partial(_each, scope, partial(_multiply_packed, scope, packed)))
    _give_back_after_last(scope, y)
    return True


def _write_whole(scope: Scope, p: _Product) -> None:
    """The products of operands as they lie."""
    tile = tile_for(scope.builder.cpu, p.dtype)
    room = scope.builder.buffers.take(room_for(tile, p.n, p.k), p.dtype)
    _each(scope, partial(_multiply, scope, room), p)
    scope.builder.buffers.give_back(room)


# Into how many parts a product is taken apart at most.
MAX_PARTS = 8
# Rows are given to threads by so many: products of fewer are added up in another order.
_ROWS_TOGETHER = 32
assert _ROWS_TOGETHER > FEW_ROWS


def _by_rows(scope: Scope, p: _Product, write: Callable[[_Product], None]) -> None:
    """A large product in parts, by rows, where several threads may share it."""
    a, builder = scope.assembler, scope.builder
    work = product(p.stack) * p.m * p.n * p.k
    threads = min(builder.idle_threads, MAX_PARTS)
    if threads == 1 or not a.is_bound(work) or not is_large(work):
        write(p)
        return
    blocks = floor_div(p.m, _ROWS_TOGETHER)
    starts = [floor_div(blocks * i, threads) * _ROWS_TOGETHER for i in range(threads)]

    def write_rows(start: Size, stop: Size) -> None:
        left = a.address(p.left.base, start * p.left.strides[-2], p.dtype)
        result = a.address(p.result.base, start * p.result.strides[-2], p.dtype)
        write(replace(p, m=stop - start).at(left, p.right.base, result))

    builder.write_together(
        [
            (floor_div(work, threads), partial(write_rows, start, stop))
            for start, stop in pairwise([*starts, p.m])
            if start != stop
        ]
    )


def _each(scope: Scope, write: Callable[[_Product], None], p: _Product) -> None:
    """A loop for each axis of the stack, around the product of two matrices."""
    places = (p.left, p.right, p.result)
    scope.builder.each(p.stack, places, p.dtype, lambda *bases: write(p.at(*bases)))


# --- kernels ------------------------------------------------------------------------------------

# The operands of the two kernels, in their order.
_MATRICES = ("left", "right", "result")
_SIZES = ("m", "n", "k", "left_row", "left_column")
_AS_THEY_LIE = (
    *_MATRICES, "room", *_SIZES, "right_row", "right_column", "result_row", "adds",
)  # fmt: skip
_PACKED = (*_MATRICES, *_SIZES, "result_row", "adds")

# A piece of a product takes some ten milliseconds. It has rows enough that packing the right
# operand again for each piece does not count, and far more than would be added up differently.
_PIECE = 1 << 29
_COLUMNS, _ROWS = 1024, 8
assert _PIECE >> 1 > FEW_ROWS * K_BLOCK * _COLUMNS


def _multiply(scope: Scope, room: int, p: _Product) -> None:
    kernel = product_kernel(tile_for(scope.builder.cpu, p.dtype))
    _run(scope, p, kernel, _AS_THEY_LIE, room=room)


def _multiply_packed(scope: Scope, packed: int, p: _Product) -> None:
    kernel = packed_product_kernel(tile_for(scope.builder.cpu, p.dtype))
    _run(scope, p.at(p.left.base, packed, p.result.base), kernel, _PACKED)


def _run(scope: Scope, p: _Product, kernel: Kernel, names: Sequence[str], room: int = -1) -> None:
    fits = is_known_to_fit((p.m, p.n, p.k), _PIECE)
    pieces = None if fits else _pieces(names, _PIECE, p.dtype.itemsize)
    scope.assembler.run_kernel(kernel, pieces, *_operands(scope, p, names, room))


def _operands(scope: Scope, p: _Product, names: Sequence[str], room: int = -1) -> list[int]:
    slots = {"left": p.left.base, "right": p.right.base, "result": p.result.base, "room": room}
    sizes: dict[str, Size] = {"m": p.m, "n": p.n, "k": p.k, "adds": 0}
    for name, place in (("left", p.left), ("right", p.right), ("result", p.result)):
        sizes[f"{name}_row"], sizes[f"{name}_column"] = place.strides[-2:]
    return [slots[name] if name in slots else scope.assembler.size(sizes[name]) for name in names]


@lru_cache
def _pieces(names: tuple[str, ...], limit: int, itemsize: int) -> Pieces:
    """How a kernel with these operands is cut."""
    at = {name: position for position, name in enumerate(names)} | {"elements": -1}

    def axis(name: str, least: int, **moves: str) -> Axis:
        strides = tuple(Move(at[x], at[stride], itemsize) for x, stride in moves.items())
        return Axis(at[name], least, strides)

    rows = axis("m", _ROWS, left="left_row", result="result_row")
    if "room" in at:
        k = axis("k", K_BLOCK, left="left_column", right="right_row")
        cut = (
            k._replace(goes_on=at["adds"]),
            axis("n", _COLUMNS, right="right_column", result="elements"),
            rows,
        )
    else:
        # A panel's columns follow one another after all of k.
        cut = (axis("n", _COLUMNS, right="k", result="elements"), rows)
    return Pieces(limit, range(at["m"], at["k"] + 1), cut)


# --- packed operands ----------------------------------------------------------------------------

# What stays in a usual L2 cache, from one product to the next.
_CACHE_BYTES = 1 << 20


def _packed(scope: Scope, y: Variable, p: _Product) -> int | None:
    """The slot of the right operand's panels, where it is read more than once: at each step of a
    loop, by several products, or for each matrix of a stack.

    Several products share the panels of a matrix that stays in cache. Of a larger one, such as what
    two weight gradients read, each product packs a part at a time: all of its panels would be
    written to memory and read again, and take as much of it as the matrix.
    """
    ahead = scope.builder.packed.get(_packed_key(scope, y))
    if ahead is not None:
        return ahead
    view = scope.values.views[y]
    if view not in scope.packed:
        is_shared = scope.packers[view] > 1 and _stays_in_cache(y)
        if not is_shared and not (p.stack and not any(p.right.strides[:-2])):
            return None
        scope.packed[view] = _pack(scope, y)
    return scope.packed[view]


def _stays_in_cache(y: Variable) -> bool:
    """Whether this is a matrix that is known to be small enough to be read from cache again."""
    size = product(y.type.shape)
    return y.ndim == 2 and isinstance(size, int) and size * y.dtype.itemsize <= _CACHE_BYTES


def _give_back_after_last(scope: Scope, y: Variable) -> None:
    view = scope.values.views[y]
    if view in scope.packed:
        scope.packers[view] -= 1
        if not scope.packers[view]:
            scope.builder.buffers.give_back(scope.packed.pop(view))


def _pack(scope: Scope, y: Variable) -> int:
    """Pack a right operand: a slot with the address of the panels."""
    builder, a, place = scope.builder, scope.assembler, scope.place(y)
    tile = tile_for(builder.cpu, y.dtype)
    k, n = y.type.shape[-2:]
    slot = builder.buffers.take(ceil_div(n, tile.width) * k * tile.width, y.dtype)
    a.main.emit(pack_kernel(tile), place.base, slot, *map(a.size, (k, n, *place.strides[-2:])))
    return slot


def _packed_key(scope: Scope, y: Variable) -> PackedKey:
    view = scope.values.views[y]
    return PackedKey(scope.bases.get(view.root), view.offset, view.shape, view.strides, y.dtype)


def pack_ahead(
    body: Scope, fixed: Collection[Variable], ahead: Collection[Variable]
) -> list[PackedKey]:
    """Pack the right operands that lie in what does not change over time, ahead of the loop: of
    products in its body, and of those that are computed for some steps ``ahead``.

    Their keys among the packed ones, which have to go when the loop ends, since buffers are used
    again; but for what is packed already, for a loop around this one.
    """
    values, packed = body.values, body.builder.packed
    keys = []
    for v in body.graph.nodes:
        is_read = v in values.needed or v in ahead
        if v.op is MATMUL and is_read and v.ndim == 2 and v.dtype.kind == "f":
            y = v.inputs[1]
            root = values.views[y].root
            if root in fixed or root.op is CONSTANT:
                body.place(y)  # which gives it the address that the key tells
                key = _packed_key(body, y)
                if key not in packed:
                    packed[key] = _pack(body, y)
                    keys.append(key)
    return keys


def multiply_packed(scope: Scope, v: Variable, rows: Place, count: Size, target: int) -> None:
    """The product of so many rows with the right operand of ``v``, packed ahead of the loop."""
    y = v.inputs[1]
    k, n = y.type.shape
    right = Place(scope.builder.packed[_packed_key(scope, y)], (n, 1))
    p = _Product(v.dtype, (), count, n, k, rows, right, Place(target, (n, 1)))
    kernel = packed_product_kernel(tile_for(scope.builder.cpu, v.dtype))
    scope.assembler.main.emit(kernel, *_operands(scope, p, _PACKED))


def _work(v: Variable, of_body: Callable[[Graph], Size]) -> Size:
    return product(v.type.shape) * v.inputs[0].type.shape[-1]


PRODUCTS = {
    MATMUL: Lowering(work=_work, packs=lambda v: v.inputs[1], write=_write_product),
}

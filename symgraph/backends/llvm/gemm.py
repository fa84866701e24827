"""Matrix products: a packed right operand, and small tiles of the result held in registers.

The right operand is packed into panels, ``[panel][K][width]`` with zeros past its last column, so
that the inner loop reads it in order: for each k a few vectors of the panel and one number of each
row. The left operand is read where it lies, with a stride for rows and one for k, so transposed
operands cost nothing. A loop packs its weights once, before its first step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ...core.dims import Size, ceil_div
from .abi import begin_kernel, end_kernel, number, pointer
from .cpu import Cpu
from .emit import I64, POINTER, Function, Value, type_text
from .engine import Kernel
from .few_rows import FEW_ROWS, FEW_ROWS_TRANSPOSED, dot_products_kernel, few_rows_kernel

__all__ = ["Tile", "pack_kernel", "packed_product_kernel", "product_kernel", "room_for", "tile_for"]

_ROWS = (4, 2, 1)
# Where a panel has no more columns than one vector.
_NARROW_ROWS = (8, 1)
# How much of K is packed at a time: a panel of float32 then fills half a usual L1 cache.
K_BLOCK = 384


@dataclass(frozen=True)
class Tile:
    """The shape of a panel for one dtype on one CPU."""

    dtype: np.dtype
    lanes: int
    vectors: int

    @property
    def width(self) -> int:
        """How many columns a panel has."""
        return self.lanes * self.vectors

    @property
    def type(self) -> str:
        """A vector in IR."""
        return type_text(self.dtype, self.lanes)

    @property
    def name(self) -> str:
        """What distinguishes its functions in a module."""
        return f"{self.dtype.name}.{self.lanes}x{self.vectors}"


def tile_for(cpu: Cpu, dtype: np.dtype) -> Tile:
    """The panel that fills the CPU's registers: 4 rows and their vectors, and room to load."""
    return Tile(dtype, cpu.lanes(dtype), 4 if cpu.registers == 32 else 2)


# --- the micro-kernel ---------------------------------------------------------------------------

_BLOCK_ARGUMENTS = (
    "ptr %a, ptr %b, ptr %c, i64 %k, i64 %ra, i64 %ka, i64 %ldc, i64 %columns, i1 %adds"
)


def _block(tile: Tile, rows: int, vectors: int, *, has_fma: bool) -> tuple[str, Function]:
    """``c[rows, columns] (+)= a[rows, k] · b[k, panel]`` for fixed numbers of rows and vectors."""
    f = Function(f"void ({_BLOCK_ARGUMENTS})", linkage="internal ")
    masks = _column_masks(f, tile, vectors)
    row_a = _rows_of(f, "%a", "%ra", rows, tile)
    row_c = _rows_of(f, "%c", "%ldc", rows, tile)
    places = [
        [f.pointer(row, str(v * tile.lanes), tile.dtype) for v in range(vectors)] for row in row_c
    ]
    f.branch("%adds", "load", "zero")
    f.start_block("load")
    loaded = [
        f.load(place, tile.dtype, tile.lanes, mask)
        for row in places
        for place, mask in zip(row, masks, strict=True)
    ]
    f.jump("start")
    f.start_block("zero")
    f.jump("start")
    f.start_block("start")
    start = [
        f.value(
            f"phi {tile.type} [ {v}, %load ], [ zeroinitializer, %zero ]", tile.dtype, tile.lanes
        )
        for v in loaded
    ]
    offset = Value("0", I64, 1)
    loop = f.begin_loop("%k", carried=[Value("%b", POINTER, 1), offset, *start])
    totals = _turn(f, loop.carried, row_a, tile, vectors, has_fma=has_fma)
    f.end_loop(loop, totals)
    sums = iter(loop.carried[2:])
    for row in places:
        for place, mask in zip(row, masks, strict=True):
            f.store(next(sums), place, mask)
    f.do("ret void")
    return f"block.{tile.name}.{rows}x{vectors}", f


def _turn(
    f: Function, carried: list[Value], rows: list[str], tile: Tile, n_vectors: int, *, has_fma: bool
) -> list[Value]:
    """One k: the panel's vectors times one number of each row."""
    panel, offset, *totals = carried
    vectors = [
        f.load(f.pointer(panel.text, str(v * tile.lanes), tile.dtype), tile.dtype, tile.lanes)
        for v in range(n_vectors)
    ]
    name = f"llvm.{'fma' if has_fma else 'fmuladd'}.v{tile.lanes}f{8 * tile.dtype.itemsize}"
    f.declare(name, f"{tile.type} ({tile.type}, {tile.type}, {tile.type})")
    new = []
    for r, row in enumerate(rows):
        one = f.splat(f.load(f.pointer(row, offset.text, tile.dtype), tile.dtype), tile.lanes)
        for v, vector in enumerate(vectors):
            total = totals[r * n_vectors + v]
            new.append(
                f.value(
                    f"call {tile.type} @{name}({tile.type} {one}, {tile.type} {vector}, "
                    f"{tile.type} {total})",
                    tile.dtype,
                    tile.lanes,
                )
            )
    following = f.pointer(panel.text, str(tile.width), tile.dtype)
    moved = f.emit(f"add i64 {offset}, %ka")
    return [Value(following, panel.dtype, 1), Value(moved, offset.dtype, 1), *new]


def _column_masks(f: Function, tile: Tile, vectors: int) -> list[str]:
    return [f.tail_mask(str(v * tile.lanes), "%columns", tile.lanes) for v in range(vectors)]


def _rows_of(f: Function, base: str, stride: str, rows: int, tile: Tile) -> list[str]:
    pointers = [base]
    for _ in range(rows - 1):
        pointers.append(f.pointer(pointers[-1], stride, tile.dtype))
    return pointers


@cache
def panel_kernel(tile: Tile, *, has_fma: bool) -> Kernel:
    """All rows of one panel: the blocks' arguments, after the number of rows."""
    f = Function(f"void (i64 %rows, {_BLOCK_ARGUMENTS})")
    narrow = f.emit(f"icmp sle i64 %columns, {tile.lanes}")
    f.branch(narrow, "narrow", "wide")
    for label, sizes, vectors in (("narrow", _NARROW_ROWS, 1), ("wide", _ROWS, tile.vectors)):
        f.start_block(label)
        done = "0"
        for rows in sizes:
            done = _row_blocks(f, tile, rows, vectors, done, has_fma=has_fma)
        f.do("ret void")
    return f.kernel()


def _row_blocks(
    f: Function, tile: Tile, rows: int, vectors: int, done: str, *, has_fma: bool
) -> str:
    """A loop over as many blocks of rows as there are: the number of rows that are done then."""
    name, block = _block(tile, rows, vectors, has_fma=has_fma)
    f.parts.update(block.parts)
    f.parts[name] = block.text(name)
    last = f.emit(f"sub i64 %rows, {rows - 1}")
    loop = f.begin_loop(last, start=done, step=str(rows))
    a = f.pointer("%a", f.emit(f"mul i64 {loop.index}, %ra"), tile.dtype)
    c = f.pointer("%c", f.emit(f"mul i64 {loop.index}, %ldc"), tile.dtype)
    f.do(
        f"call void @{name}(ptr {a}, ptr %b, ptr {c}, i64 %k, i64 %ra, i64 %ka, i64 %ldc, "
        "i64 %columns, i1 %adds)"
    )
    f.end_loop(loop)
    return loop.index.text


# --- packing ------------------------------------------------------------------------------------


@cache
def pack_panel_kernel(tile: Tile) -> Kernel:
    """``p[k, width] = b[k, columns]``, with zeros past the columns."""
    f = Function("void (ptr %b, ptr %p, i64 %k, i64 %columns, i64 %rb, i64 %cb)")
    together = f.emit("icmp eq i64 %cb, 1")
    f.branch(together, "vectors", "elements")
    f.start_block("vectors")
    masks = _column_masks(f, tile, tile.vectors)
    loop = f.begin_loop("%k")
    row = f.pointer("%b", f.emit(f"mul i64 {loop.index}, %rb"), tile.dtype)
    target = f.pointer("%p", f.emit(f"mul i64 {loop.index}, {tile.width}"), tile.dtype)
    for v, mask in enumerate(masks):
        part = f.load(f.pointer(row, str(v * tile.lanes), tile.dtype), tile.dtype, tile.lanes, mask)
        f.store(part, f.pointer(target, str(v * tile.lanes), tile.dtype))
    f.end_loop(loop)
    f.do("ret void")
    f.start_block("elements")
    columns = f.begin_loop(str(tile.width))
    inside = f.emit(f"icmp slt i64 {columns.index}, %columns")
    column = f.pointer("%b", f.emit(f"mul i64 {columns.index}, %cb"), tile.dtype)
    # Past the last column the first one is read, and zero is written.
    column = f.emit(f"select i1 {inside}, ptr {column}, ptr %b")
    loop = f.begin_loop("%k")
    element = f.load(
        f.pointer(column, f.emit(f"mul i64 {loop.index}, %rb"), tile.dtype), tile.dtype
    )
    kept = f.value(f"select i1 {inside}, {element.type} {element}, {element.type} 0.0", tile.dtype)
    place = f.emit(f"mul i64 {loop.index}, {tile.width}")
    place = f.emit(f"add i64 {place}, {columns.index}")
    f.store(kept, f.pointer("%p", place, tile.dtype))
    f.end_loop(loop)
    f.end_loop(columns)
    f.do("ret void")
    return f.kernel()


@cache
def pack_kernel(tile: Tile) -> Kernel:
    """Pack a matrix; operands: b, packed, K, N, row stride, column stride of b."""
    f = begin_kernel()
    name = f.use(pack_panel_kernel(tile))
    b, packed = pointer(f, 0), pointer(f, 1)
    k, n, rb, cb = (number(f, i) for i in range(2, 6))
    size = f.emit(f"mul i64 {k}, {tile.width}")
    loop = f.begin_loop(n, step=str(tile.width), carried=[Value(packed, POINTER, 1)])
    first = f.pointer(b, f.emit(f"mul i64 {loop.index}, {cb}"), tile.dtype)
    left = f.emit(f"sub i64 {n}, {loop.index}")
    f.do(
        f"call void @{name}(ptr {first}, ptr {loop.carried[0]}, i64 {k}, i64 {left}, i64 {rb}, "
        f"i64 {cb})"
    )
    following = f.pointer(loop.carried[0].text, size, tile.dtype)
    f.end_loop(loop, [Value(following, POINTER, 1)])
    end_kernel(f)
    return f.kernel()


_ROW_BLOCK = 128
_PRODUCT = "i64 %m, i64 %n, ptr %a, ptr %b, ptr %c, i64 %k, i64 %ra, i64 %ka, i64 %ldc, i1 %adds"


@cache
def _packed_core(tile: Tile, *, has_fma: bool) -> Kernel:
    """A whole product with a packed operand: blocks of rows outside, so that they stay in cache."""
    f = Function(f"void ({_PRODUCT})")
    name = f.use(panel_kernel(tile, has_fma=has_fma))
    f.declare("llvm.smin.i64", "i64 (i64, i64)")
    size = f.emit(f"mul i64 %k, {tile.width}")
    blocks = f.begin_loop("%m", step=str(_ROW_BLOCK))
    rows = f.emit(f"sub i64 %m, {blocks.index}")
    rows = f.emit(f"call i64 @llvm.smin.i64(i64 {rows}, i64 {_ROW_BLOCK})")
    a = f.pointer("%a", f.emit(f"mul i64 {blocks.index}, %ra"), tile.dtype)
    c = f.pointer("%c", f.emit(f"mul i64 {blocks.index}, %ldc"), tile.dtype)
    loop = f.begin_loop("%n", step=str(tile.width), carried=[Value("%b", POINTER, 1)])
    target = f.pointer(c, loop.index.text, tile.dtype)
    left = f.emit(f"sub i64 %n, {loop.index}")
    f.do(
        f"call void @{name}(i64 {rows}, ptr {a}, ptr {loop.carried[0]}, ptr {target}, i64 %k, "
        f"i64 %ra, i64 %ka, i64 %ldc, i64 {left}, i1 %adds)"
    )
    following = f.pointer(loop.carried[0].text, size, tile.dtype)
    f.end_loop(loop, [Value(following, POINTER, 1)])
    f.end_loop(blocks)
    f.do("ret void")
    return f.kernel()


@cache
def packed_product_kernel(tile: Tile, *, has_fma: bool) -> Kernel:
    """``c (+)= a · b`` with b packed already.

    Operands: a, packed b, c, M, N, K, row and k stride of a, row stride of c, whether to add.
    """
    f = begin_kernel()
    core = f.use(_packed_core(tile, has_fma=has_fma))
    a, b, c = (pointer(f, i) for i in range(3))
    m, n, k, ra, ka, ldc, adds = (number(f, i) for i in range(3, 10))
    adds = f.emit(f"icmp ne i64 {adds}, 0")
    f.do(
        f"call void @{core}(i64 {m}, i64 {n}, ptr {a}, ptr {b}, ptr {c}, i64 {k}, i64 {ra}, "
        f"i64 {ka}, i64 {ldc}, i1 {adds})"
    )
    end_kernel(f)
    return f.kernel()


@cache
def product_kernel(tile: Tile, *, has_fma: bool) -> Kernel:
    """``c (+)= a · b`` for matrices as they lie; packs some rows of b at a time, if it pays.

    Operands: a, b, c, room for K_BLOCK packed rows of b, M, N, K, row and k stride of a, row and
    column stride of b, row stride of c, whether to add.
    """
    f = begin_kernel()
    core = f.use(_packed_core(tile, has_fma=has_fma))
    pack = f.use(pack_panel_kernel(tile))
    f.declare("llvm.smin.i64", "i64 (i64, i64)")
    f.declare("llvm.smax.i64", "i64 (i64, i64)")
    a, b, c, room = (pointer(f, i) for i in range(4))
    m, n, k, ra, ka, rb, cb, ldc, adds = (number(f, i) for i in range(4, 13))
    adds = f.emit(f"icmp ne i64 {adds}, 0")
    _write_few_rows(f, tile, (m, n, a, b, c, k, ra, ka, rb, cb, ldc, adds), has_fma=has_fma)
    # With no k at all there is one empty block, which writes the zeros.
    blocks_end = f.emit(f"call i64 @llvm.smax.i64(i64 {k}, i64 1)")
    blocks = f.begin_loop(blocks_end, step=str(K_BLOCK))
    start = blocks.index
    depth = f.emit(f"sub i64 {k}, {start}")
    depth = f.emit(f"call i64 @llvm.smin.i64(i64 {depth}, i64 {K_BLOCK})")
    rows_b = f.pointer(b, f.emit(f"mul i64 {start}, {rb}"), tile.dtype)
    part_a = f.pointer(a, f.emit(f"mul i64 {start}, {ka}"), tile.dtype)
    size = f.emit(f"mul i64 {depth}, {tile.width}")
    columns = f.begin_loop(n, step=str(tile.width), carried=[Value(room, POINTER, 1)])
    left = f.emit(f"sub i64 {n}, {columns.index}")
    right = f.pointer(rows_b, f.emit(f"mul i64 {columns.index}, {cb}"), tile.dtype)
    packed = columns.carried[0]
    f.do(
        f"call void @{pack}(ptr {right}, ptr {packed}, i64 {depth}, i64 {left}, i64 {rb}, i64 {cb})"
    )
    f.end_loop(columns, [Value(f.pointer(packed.text, size, tile.dtype), POINTER, 1)])
    later = f.emit(f"icmp ne i64 {start}, 0")
    goes_on = f.emit(f"or i1 {later}, {adds}")
    f.do(
        f"call void @{core}(i64 {m}, i64 {n}, ptr {part_a}, ptr {room}, ptr {c}, i64 {depth}, "
        f"i64 {ra}, i64 {ka}, i64 {ldc}, i1 {goes_on})"
    )
    f.end_loop(blocks)
    end_kernel(f)
    return f.kernel()


def _write_few_rows(f: Function, tile: Tile, operands: tuple[str, ...], *, has_fma: bool) -> None:
    """The products that are better off without packing, which are then done."""
    m, n, a, b, c, k, ra, ka, rb, cb, ldc, adds = operands
    head = f"i64 {m}, i64 {n}, ptr {a}, ptr {b}, ptr {c}, i64 {k}, i64 {ra}"
    few = f.emit(f"icmp sle i64 {m}, {FEW_ROWS}")
    dense = f.emit(f"icmp eq i64 {cb}, 1")
    f.branch(f.emit(f"and i1 {few}, {dense}"), "multiples", "transposed")
    f.start_block("multiples")
    name = f.use(few_rows_kernel(tile.dtype, tile.lanes, has_fma=has_fma))
    f.do(f"call void @{name}({head}, i64 {ka}, i64 {rb}, i64 {ldc}, i1 {adds})")
    end_kernel(f)
    f.start_block("transposed")
    few = f.emit(f"icmp sle i64 {m}, {FEW_ROWS_TRANSPOSED}")
    dense = f.emit(f"icmp eq i64 {rb}, 1")
    dense_left = f.emit(f"icmp eq i64 {ka}, 1")
    few = f.emit(f"and i1 {few}, {dense}")
    f.branch(f.emit(f"and i1 {few}, {dense_left}"), "dots", "many")
    f.start_block("dots")
    name = f.use(dot_products_kernel(tile.dtype, tile.lanes, has_fma=has_fma))
    f.do(f"call void @{name}({head}, i64 {cb}, i64 {ldc}, i1 {adds})")
    end_kernel(f)
    f.start_block("many")


def room_for(tile: Tile, n: Size, k: Size) -> Size:
    """How many elements `product_kernel` packs at a time."""
    rows = max(1, min(k, K_BLOCK)) if isinstance(k, int) else K_BLOCK
    return ceil_div(n, tile.width) * rows * tile.width

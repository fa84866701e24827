"""Small tiles of a product, held in registers: some rows times a panel of columns.

For each k a few vectors of the panel are multiplied by one number of each row. The left operand is
read where it lies, with a stride for rows and one for k, so transposed operands cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..code.cpu import Cpu
from ..code.emit import I64, POINTER, Function, Value, kernel, type_text

__all__ = ["Tile", "column_masks", "panels_kernel", "tile_for"]

_ROWS = (6, 4, 2, 1)
# Where a panel has no more columns than one vector.
_NARROW_ROWS = (8, 4, 1)


@dataclass(frozen=True)
class Tile:
    """The shape of a panel for one dtype on one CPU."""

    dtype: np.dtype
    lanes: int
    vectors: int
    has_fma: bool

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

    def load(self, f: Function, place: str, mask: str | None = None) -> Value:
        """A vector from memory."""
        return f.load(place, self.dtype, self.lanes, mask)

    def multiply_add(self, f: Function, x: Value, y: Value, z: Value) -> Value:
        """``x * y + z`` of vectors."""
        kind, function = self.type, "fma" if self.has_fma else "fmuladd"
        name = f"llvm.{function}.v{self.lanes}f{8 * self.dtype.itemsize}"
        f.declare(name, f"{kind} ({kind}, {kind}, {kind})")
        call = f"call {kind} @{name}({kind} {x}, {kind} {y}, {kind} {z})"
        return f.value(call, self.dtype, self.lanes)


def tile_for(cpu: Cpu, dtype: np.dtype) -> Tile:
    """The panel that fills the CPU's registers: 6 rows and their vectors, and room to load."""
    return Tile(dtype, cpu.lanes(dtype), 4 if cpu.registers == 32 else 2, cpu.has_fma)


# --- the micro-kernel ---------------------------------------------------------------------------

_BLOCK_ARGUMENTS = (
    "ptr %a, ptr %b, ptr %c, i64 %k, i64 %ra, i64 %ka, i64 %rb, i64 %ldc, i64 %columns, i1 %adds"
)


def _block(tile: Tile, rows: int, vectors: int) -> tuple[str, Function]:
    """``c[rows, columns] (+)= a[rows, k] · b[k, panel]`` for fixed numbers of rows and vectors."""
    f = Function(f"void ({_BLOCK_ARGUMENTS})", linkage="internal ")
    masks = column_masks(f, tile, vectors)
    row_a = _rows_of(f, "%a", "%ra", rows, tile)
    row_c = _rows_of(f, "%c", "%ldc", rows, tile)
    places = [
        [f.pointer(row, str(v * tile.lanes), tile.dtype) for v in range(vectors)] for row in row_c
    ]
    f.branch("%adds", "load", "zero")
    f.start_block("load")
    loaded = [
        tile.load(f, place, mask) for row in places for place, mask in zip(row, masks, strict=True)
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
    totals = _turn(f, loop.carried, row_a, tile, vectors)
    f.end_loop(loop, totals)
    sums = iter(loop.carried[2:])
    for row in places:
        for place, mask in zip(row, masks, strict=True):
            f.store(next(sums), place, mask)
    f.do("ret void")
    return f"block.{tile.name}.{rows}x{vectors}", f


def _turn(
    f: Function, carried: list[Value], rows: list[str], tile: Tile, n_vectors: int
) -> list[Value]:
    """One k: the panel's vectors times one number of each row."""
    panel, offset, *totals = carried
    vectors = [
        tile.load(f, f.pointer(panel.text, str(v * tile.lanes), tile.dtype))
        for v in range(n_vectors)
    ]
    new = []
    for r, row in enumerate(rows):
        one = f.splat(f.load(f.pointer(row, offset.text, tile.dtype), tile.dtype), tile.lanes)
        for v, vector in enumerate(vectors):
            new.append(tile.multiply_add(f, one, vector, totals[r * n_vectors + v]))
    following = f.pointer(panel.text, "%rb", tile.dtype)
    moved = f.emit(f"add i64 {offset}, %ka")
    return [Value(following, panel.dtype, 1), Value(moved, offset.dtype, 1), *new]


def column_masks(f: Function, tile: Tile, vectors: int) -> list[str]:
    """For each vector of a panel which of its lanes are columns."""
    return [f.tail_mask(str(v * tile.lanes), "%columns", tile.lanes) for v in range(vectors)]


def _rows_of(f: Function, base: str, stride: str, rows: int, tile: Tile) -> list[str]:
    pointers = [base]
    for _ in range(rows - 1):
        pointers.append(f.pointer(pointers[-1], stride, tile.dtype))
    return pointers


_PRODUCT = (
    "i64 %m, i64 %n, ptr %a, ptr %b, ptr %c, i64 %k, i64 %ra, i64 %ka, i64 %rb, i64 %panel, "
    "i64 %ldc, i1 %adds"
)


@kernel(f"void ({_PRODUCT})")
def panels_kernel(f: Function, tile: Tile) -> None:
    """All rows of some panels: rows outside, so that they stay in cache.

    ``rb`` and ``panel`` are how far the rows of a panel are apart, and the panels.
    """
    # A last panel that has one vector alone is done with more rows at a time.
    rest = f.emit(f"urem i64 %n, {tile.width}")
    before = f.emit(f"sub i64 %n, {rest}")
    is_narrow = f.emit(f"icmp sle i64 {rest}, {tile.lanes}")
    wide = f.emit(f"select i1 {is_narrow}, i64 {before}, i64 %n")
    done = "0"
    for rows in _ROWS:
        done = _row_blocks(f, tile, rows, tile.vectors, ("0", wide), done)
    done = "0"
    for rows in _NARROW_ROWS:
        done = _row_blocks(f, tile, rows, 1, (wide, "%n"), done)


def _row_blocks(
    f: Function, tile: Tile, rows: int, vectors: int, columns: tuple[str, str], done: str
) -> str:
    """A loop over as many blocks of rows as there are: the number of rows that are done then."""
    name, block = _block(tile, rows, vectors)
    f.add_part(name, block)
    loop = f.begin_loop(_end_of_blocks(f, rows), start=done, by=str(rows))
    a = f.pointer("%a", f.emit(f"mul i64 {loop.index}, %ra"), tile.dtype)
    c = f.pointer("%c", f.emit(f"mul i64 {loop.index}, %ldc"), tile.dtype)
    start, stop = columns
    first = f.emit(f"mul i64 {f.emit(f'udiv i64 {start}, {tile.width}')}, %panel")
    first = f.pointer("%b", first, tile.dtype)
    width = str(tile.width)
    panels = f.begin_loop(stop, start=start, by=width, carried=[Value(first, POINTER, 1)])
    panel = panels.carried[0]
    place = f.pointer(c, panels.index.text, tile.dtype)
    left = f.emit(f"sub i64 {stop}, {panels.index}")
    f.do(
        f"call void @{name}(ptr {a}, ptr {panel}, ptr {place}, i64 %k, i64 %ra, i64 %ka, "
        f"i64 %rb, i64 %ldc, i64 {left}, i1 %adds)"
    )
    f.end_loop(panels, [Value(f.pointer(panel.text, "%panel", tile.dtype), POINTER, 1)])
    f.end_loop(loop)
    return loop.index.text


def _end_of_blocks(f: Function, rows: int) -> str:
    """Where blocks of so many rows have to have begun."""
    end = f.emit(f"sub i64 %m, {rows - 1}")
    if rows != 6:
        return end
    # Two blocks of four rows are faster than one of six and one of two.
    leaves_two = f.emit(f"icmp eq i64 {f.emit(f'urem i64 %m, {rows}')}, 2")
    earlier = f.emit(f"sub i64 {end}, {rows}")
    return f.emit(f"select i1 {leaves_two}, i64 {earlier}, i64 {end}")

"""Products with few rows, of a right operand as it lies.

Packing costs as much as reading the operand, so it pays only where several tiles of rows read the
panels. With fewer rows the operand is read once, in order. A single row takes its multiples of a
few rows of the operand at a time, and stays in cache; where the operand's rows lie side by side (it
is transposed), a few of its columns at a time are dot products.
"""

from __future__ import annotations

from collections.abc import Callable

from ..code.emit import Function, Value, kernel, type_text
from .panels import Tile

__all__ = ["FEW_ROWS", "dot_products_kernel", "row_kernel"]

# Up to how many rows dot products pay.
FEW_ROWS = 16
# How many rows, or columns, of the right operand are read side by side.
_TOGETHER = 4


@kernel("void (i64 %n, ptr %a, ptr %b, ptr %c, i64 %k, i64 %ka, i64 %rb, i1 %adds)")
def row_kernel(f: Function, tile: Tile) -> None:
    """``c (+)= a · b`` for one row and a right operand whose columns lie side by side."""
    f.branch("%adds", "start", "zero")
    f.start_block("zero")
    zero = Value("zeroinitializer", tile.dtype, tile.lanes)
    _along_columns(
        f, tile.lanes, lambda at, mask: f.store(zero, f.pointer("%c", at, tile.dtype), mask)
    )
    f.jump("start")
    f.start_block("start")
    done = "0"
    for together in (_TOGETHER, 1):
        last = f.emit(f"sub i64 %k, {together - 1}")
        depth = f.begin_loop(last, start=done, by=str(together))
        _add_multiples(f, depth.index, together, tile)
        f.end_loop(depth)
        done = depth.index.text


def _add_multiples(f: Function, k: Value, together: int, tile: Tile) -> None:
    """Add to the result its multiples of some rows of the right operand."""
    right = [f.pointer("%b", f.emit(f"mul i64 {k}, %rb"), tile.dtype)]
    for _ in range(together - 1):
        right.append(f.pointer(right[-1], "%rb", tile.dtype))
    left = f.pointer("%a", f.emit(f"mul i64 {k}, %ka"), tile.dtype)
    factors = []
    for _ in right:
        factors.append(f.splat(f.load(left, tile.dtype), tile.lanes))
        left = f.pointer(left, "%ka", tile.dtype)

    def add(at: str, mask: str | None) -> None:
        place = f.pointer("%c", at, tile.dtype)
        total = tile.load(f, place, mask)
        for factor, start in zip(factors, right, strict=True):
            part = tile.load(f, f.pointer(start, at, tile.dtype), mask)
            total = tile.multiply_add(f, factor, part, total)
        f.store(total, place, mask)

    _along_columns(f, tile.lanes, add)


def _along_columns(f: Function, lanes: int, write: Callable[[str, str | None], None]) -> None:
    """Whole vectors, and then what is left of one."""
    whole = f.begin_loop(f.emit(f"sub i64 %n, {lanes - 1}"), by=str(lanes))
    write(whole.index.text, None)
    f.end_loop(whole)
    rest = f.begin_loop("%n", start=whole.index.text, by=str(lanes))
    write(rest.index.text, f.tail_mask(rest.index.text, "%n", lanes))
    f.end_loop(rest)


# --- transposed ---------------------------------------------------------------------------------


@kernel(
    "void (i64 %m, i64 %n, ptr %a, ptr %b, ptr %c, i64 %k, i64 %ra, i64 %cb, i64 %ldc, i1 %adds)"
)
def dot_products_kernel(f: Function, tile: Tile) -> None:
    """``c (+)= a · b`` for operands whose elements lie side by side along k."""
    done = "0"
    for together in (_TOGETHER, 1):
        last = f.emit(f"sub i64 %n, {together - 1}")
        columns = f.begin_loop(last, start=done, by=str(together))
        _dot_products(f, columns.index, together, tile)
        f.end_loop(columns)
        done = columns.index.text


def _dot_products(f: Function, column: Value, together: int, tile: Tile) -> None:
    """The elements of the result in some columns, for each row."""
    right = [f.pointer("%b", f.emit(f"mul i64 {column}, %cb"), tile.dtype)]
    for _ in range(together - 1):
        right.append(f.pointer(right[-1], "%cb", tile.dtype))
    rows = f.begin_loop("%m")
    left = f.pointer("%a", f.emit(f"mul i64 {rows.index}, %ra"), tile.dtype)

    def turn(at: str, totals: list[Value], mask: str | None) -> list[Value]:
        factor = tile.load(f, f.pointer(left, at, tile.dtype), mask)
        parts = [tile.load(f, f.pointer(start, at, tile.dtype), mask) for start in right]
        return [
            tile.multiply_add(f, factor, part, total)
            for part, total in zip(parts, totals, strict=True)
        ]

    zeros = [Value("zeroinitializer", tile.dtype, tile.lanes)] * together
    last = f.emit(f"sub i64 %k, {tile.lanes - 1}")
    whole = f.begin_loop(last, by=str(tile.lanes), carried=zeros)
    totals = f.end_loop(whole, turn(whole.index.text, whole.carried, None))
    at = whole.index.text
    rest = f.begin_loop("%k", start=at, by=str(tile.lanes), carried=totals)
    mask = f.tail_mask(rest.index.text, "%k", tile.lanes)
    totals = f.end_loop(rest, turn(rest.index.text, rest.carried, mask))
    row = f.pointer("%c", f.emit(f"mul i64 {rows.index}, %ldc"), tile.dtype)
    place = f.pointer(row, column.text, tile.dtype)
    for i, total in enumerate(totals):
        _add_sum(f, total, f.pointer(place, str(i), tile.dtype))
    f.end_loop(rows)


def _add_sum(f: Function, total: Value, place: str) -> None:
    """Store the sum of the lanes, or add it to what is there."""
    kind = type_text(total.dtype)
    name = f"llvm.vector.reduce.fadd.v{total.lanes}f{8 * total.dtype.itemsize}"
    f.declare(name, f"{kind} ({kind}, {total.type})")
    before = f.load(place, total.dtype)
    start = f.emit(f"select i1 %adds, {kind} {before}, {kind} 0.0")
    f.store(
        f.value(f"call reassoc {kind} @{name}({kind} {start}, {total.type} {total})", total.dtype),
        place,
    )

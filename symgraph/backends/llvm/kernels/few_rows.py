"""Products with few rows, of a right operand as it lies.

Packing costs as much as reading the operand, so it pays only where several tiles of rows read the
panels. With fewer rows the operand is read once, in order. A single row takes its multiples of a
few rows of the operand at a time, and stays in cache; where the operand's rows lie side by side (it
is transposed), a few of its columns at a time are dot products.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ..code.emit import Function, Value, type_text
from ..code.engine import Kernel

__all__ = ["FEW_ROWS", "dot_products_kernel", "row_kernel"]

# Up to how many rows dot products pay.
FEW_ROWS = 16
# How many rows, or columns, of the right operand are read side by side.
_TOGETHER = 4


@cache
def row_kernel(dtype: np.dtype, lanes: int, *, has_fma: bool) -> Kernel:
    """``c (+)= a · b`` for one row and a right operand whose columns lie side by side."""
    f = Function("void (i64 %n, ptr %a, ptr %b, ptr %c, i64 %k, i64 %ka, i64 %rb, i1 %adds)")
    f.branch("%adds", "start", "zero")
    f.start_block("zero")
    zero = Value("zeroinitializer", dtype, lanes)
    _along_columns(f, lanes, lambda at, mask: f.store(zero, f.pointer("%c", at, dtype), mask))
    f.jump("start")
    f.start_block("start")
    done = "0"
    for together in (_TOGETHER, 1):
        last = f.emit(f"sub i64 %k, {together - 1}")
        depth = f.begin_loop(last, start=done, step=str(together))
        _add_multiples(f, depth.index, together, dtype, lanes, has_fma=has_fma)
        f.end_loop(depth)
        done = depth.index.text
    f.do("ret void")
    return f.kernel()


def _add_multiples(
    f: Function, k: Value, together: int, dtype: np.dtype, lanes: int, *, has_fma: bool
) -> None:
    """Add to the result its multiples of some rows of the right operand."""
    right = [f.pointer("%b", f.emit(f"mul i64 {k}, %rb"), dtype)]
    for _ in range(together - 1):
        right.append(f.pointer(right[-1], "%rb", dtype))
    left = f.pointer("%a", f.emit(f"mul i64 {k}, %ka"), dtype)
    factors = []
    for _ in right:
        factors.append(f.splat(f.load(left, dtype), lanes))
        left = f.pointer(left, "%ka", dtype)

    def add(at: str, mask: str | None) -> None:
        place = f.pointer("%c", at, dtype)
        total = f.load(place, dtype, lanes, mask)
        for factor, start in zip(factors, right, strict=True):
            part = f.load(f.pointer(start, at, dtype), dtype, lanes, mask)
            total = _multiply_add(f, factor, part, total, has_fma=has_fma)
        f.store(total, place, mask)

    _along_columns(f, lanes, add)


def _multiply_add(f: Function, x: Value, y: Value, z: Value, *, has_fma: bool) -> Value:
    kind = type_text(x.dtype, x.lanes)
    name = f"llvm.{'fma' if has_fma else 'fmuladd'}.v{x.lanes}f{8 * x.dtype.itemsize}"
    f.declare(name, f"{kind} ({kind}, {kind}, {kind})")
    return f.value(f"call {kind} @{name}({kind} {x}, {kind} {y}, {kind} {z})", x.dtype, x.lanes)


def _along_columns(f: Function, lanes: int, write: Callable[[str, str | None], None]) -> None:
    """Whole vectors, and then what is left of one."""
    whole = f.begin_loop(f.emit(f"sub i64 %n, {lanes - 1}"), step=str(lanes))
    write(whole.index.text, None)
    f.end_loop(whole)
    rest = f.begin_loop("%n", start=whole.index.text, step=str(lanes))
    write(rest.index.text, f.tail_mask(rest.index.text, "%n", lanes))
    f.end_loop(rest)


# --- transposed ---------------------------------------------------------------------------------


@cache
def dot_products_kernel(dtype: np.dtype, lanes: int, *, has_fma: bool) -> Kernel:
    """``c (+)= a · b`` for operands whose elements lie side by side along k."""
    f = Function(
        "void (i64 %m, i64 %n, ptr %a, ptr %b, ptr %c, i64 %k, i64 %ra, i64 %cb, i64 %ldc, "
        "i1 %adds)"
    )
    done = "0"
    for together in (_TOGETHER, 1):
        last = f.emit(f"sub i64 %n, {together - 1}")
        columns = f.begin_loop(last, start=done, step=str(together))
        _dot_products(f, columns.index, together, dtype, lanes, has_fma=has_fma)
        f.end_loop(columns)
        done = columns.index.text
    f.do("ret void")
    return f.kernel()


def _dot_products(
    f: Function, column: Value, together: int, dtype: np.dtype, lanes: int, *, has_fma: bool
) -> None:
    """The elements of the result in some columns, for each row."""
    right = [f.pointer("%b", f.emit(f"mul i64 {column}, %cb"), dtype)]
    for _ in range(together - 1):
        right.append(f.pointer(right[-1], "%cb", dtype))
    rows = f.begin_loop("%m")
    left = f.pointer("%a", f.emit(f"mul i64 {rows.index}, %ra"), dtype)

    def turn(at: str, totals: list[Value], mask: str | None) -> list[Value]:
        factor = f.load(f.pointer(left, at, dtype), dtype, lanes, mask)
        parts = [f.load(f.pointer(start, at, dtype), dtype, lanes, mask) for start in right]
        return [
            _multiply_add(f, factor, part, total, has_fma=has_fma)
            for part, total in zip(parts, totals, strict=True)
        ]

    zeros = [Value("zeroinitializer", dtype, lanes)] * together
    last = f.emit(f"sub i64 %k, {lanes - 1}")
    whole = f.begin_loop(last, step=str(lanes), carried=zeros)
    totals = f.end_loop(whole, turn(whole.index.text, whole.carried, None))
    at = whole.index.text
    rest = f.begin_loop("%k", start=at, step=str(lanes), carried=totals)
    mask = f.tail_mask(rest.index.text, "%k", lanes)
    totals = f.end_loop(rest, turn(rest.index.text, rest.carried, mask))
    row = f.pointer("%c", f.emit(f"mul i64 {rows.index}, %ldc"), dtype)
    place = f.pointer(row, column.text, dtype)
    for i, total in enumerate(totals):
        _add_sum(f, total, f.pointer(place, str(i), dtype))
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

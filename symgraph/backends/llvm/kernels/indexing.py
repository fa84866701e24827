"""Kernels that address elements by other values: rows by index, places of extremes, numbers."""

from __future__ import annotations

import numpy as np

from ..code.cpu import Cpu
from ..code.emit import I64, Function, Value
from ..machine.frame import frame_kernel, operand, operand_address
from ..maths.vectors import Vectors

__all__ = ["extreme_kernel", "flat_index_kernel", "iota_kernel", "range_kernel", "rows_kernel"]


@frame_kernel
def rows_kernel(f: Function, cpu: Cpu, dtype: np.dtype, index: np.dtype, action: str) -> None:
    """Rows of a table copied from or to where indices say: ``gather``, ``set`` or ``add``.

    Operands: table, rows, indices, how many, elements of a row, elements from row to row of the
    table, rows of the table, the offset of two slots for an index out of
    range and its place, the status then.
    """
    table, rows, indices = (operand_address(f, i) for i in range(3))
    count, width, stride, size = (operand(f, i) for i in range(3, 7))
    bad, status = operand(f, 7), operand(f, 8)
    lanes = max(1, cpu.vector_bytes // max(4, dtype.itemsize))
    m = Vectors(f, 1, cpu)
    loop = f.begin_loop(count)
    given = m.cast(f.load(f.pointer(indices, loop.index.text, index), index), I64)
    row = _counted_from_start(f, given, loop.index, size, bad, status)
    there = f.pointer(table, f.emit(f"mul i64 {row}, {stride}"), dtype)
    here = f.pointer(rows, f.emit(f"mul i64 {loop.index}, {width}"), dtype)
    inner = f.begin_loop(width, by=str(lanes))
    mask = f.tail_mask(inner.index.text, width, lanes)
    there, here = (f.pointer(p, inner.index.text, dtype) for p in (there, here))
    source, target = (there, here) if action == "gather" else (here, there)
    value = f.load(source, dtype, lanes, mask)
    if action == "add":
        old = f.load(target, dtype, lanes, mask)
        v = Vectors(f, lanes, cpu)
        value = v.bit_or(old, value) if dtype.kind == "b" else v.add(old, value)
    f.store(value, target, mask)
    f.end_loop(inner)
    f.end_loop(loop)


@frame_kernel
def extreme_kernel(f: Function, cpu: Cpu, dtype: np.dtype, kind: str) -> None:
    """The place of the first largest or smallest element, or of the first NaN.

    Operands: x in C order, result, elements before the axis, along it, and after it.
    """
    x, out = operand_address(f, 0), operand_address(f, 1)
    before, along, after = (operand(f, i) for i in range(2, 5))
    m = Vectors(f, 1, cpu)
    outer = f.begin_loop(before)
    inner = f.begin_loop(after)
    start = f.emit(f"mul i64 {f.emit(f'mul i64 {outer.index}, {along}')}, {after}")
    first = f.pointer(x, f.emit(f"add i64 {start}, {inner.index}"), dtype)
    best = f.load(first, dtype)
    loop = f.begin_loop(along, start="1", carried=[best, Value("0", I64, 1)])
    element = f.load(f.pointer(first, f.emit(f"mul i64 {loop.index}, {after}"), dtype), dtype)
    held, place = loop.carried
    if dtype.kind == "b":
        better = f.emit(f"icmp {'ugt' if kind == 'argmax' else 'ult'} i1 {element}, {held}")
    else:
        better = (m.gt if kind == "argmax" else m.lt)(element, held).text
    if dtype.kind == "f":
        # A NaN beats everything but a NaN.
        new_nan, old_nan = m.isnan(element), m.isnan(held)
        better = f.emit(f"or i1 {better}, {new_nan}")
        fresh = f.emit(f"xor i1 {old_nan}, true")
        better = f.emit(f"and i1 {better}, {fresh}")
    kind_text = element.type
    new = f.value(f"select i1 {better}, {kind_text} {element}, {kind_text} {held}", dtype)
    at = f.value(f"select i1 {better}, i64 {loop.index}, i64 {place}", I64)
    f.end_loop(loop, [new, at])
    target = f.emit(f"add i64 {f.emit(f'mul i64 {outer.index}, {after}')}, {inner.index}")
    f.store(loop.carried[1], f.pointer(out, target, I64))
    f.end_loop(inner)
    f.end_loop(outer)


@frame_kernel
def iota_kernel(f: Function, cpu: Cpu, dtype: np.dtype) -> None:
    """The numbers from 0. Operands: result, how many."""
    out, count = operand_address(f, 0), operand(f, 1)
    m = Vectors(f, 1, cpu)
    loop = f.begin_loop(count)
    f.store(m.cast(loop.index, dtype), f.pointer(out, loop.index.text, dtype))
    f.end_loop(loop)


@frame_kernel
def flat_index_kernel(f: Function, cpu: Cpu, dtypes: tuple[np.dtype, ...]) -> None:
    """Indices of several axes as one of them all flattened.

    Operands: how many, result, and for each axis: indices, size, the offset of a slot for an index
    out of range, the status then.
    """
    count, out = operand(f, 0), operand_address(f, 1)
    m = Vectors(f, 1, cpu)
    axes = []
    for i in range(len(dtypes)):
        first = 2 + 4 * i
        axes.append((operand_address(f, first), *(operand(f, first + j) for j in (1, 2, 3))))
    loop = f.begin_loop(count)
    flat = "0"
    for (indices, size, bad, status), dtype in zip(axes, dtypes, strict=True):
        given = m.cast(f.load(f.pointer(indices, loop.index.text, dtype), dtype), I64)
        place = _counted_from_start(f, given, loop.index, size, bad, status)
        flat = f.emit(f"add i64 {f.emit(f'mul i64 {flat}, {size}')}, {place}")
    f.store(Value(flat, I64, 1), f.pointer(out, loop.index.text, I64))
    f.end_loop(loop)


@frame_kernel
def range_kernel(f: Function, cpu: Cpu, dtype: np.dtype) -> None:
    """A copy of indices that count from 0 alone.

    Operands: how many, result, indices, size, the offset of a slot for an index out of range, the
    status then.
    """
    count, out, indices, size = (
        operand(f, 0),
        operand_address(f, 1),
        operand_address(f, 2),
        operand(f, 3),
    )
    bad, status = operand(f, 4), operand(f, 5)
    m = Vectors(f, 1, cpu)
    loop = f.begin_loop(count)
    given = f.load(f.pointer(indices, loop.index.text, dtype), dtype)
    wide = m.cast(given, I64)
    _fail_unless_below(f, wide.text, wide, loop.index, size, bad, status)
    f.store(given, f.pointer(out, loop.index.text, dtype))
    f.end_loop(loop)


def _counted_from_start(
    f: Function, given: Value, at: Value, size: str, bad: str, status: str
) -> str:
    """An index as a number from 0 on; one that is outside goes to the slot ``bad``, its place among
    the indices to the next one, and the kernel ends with the status."""
    moved = f.emit(f"add i64 {given}, {size}")
    negative = f.emit(f"icmp slt i64 {given}, 0")
    place = f.emit(f"select i1 {negative}, i64 {moved}, i64 {given}")
    _fail_unless_below(f, place, given, at, size, bad, status)
    return place


def _fail_unless_below(
    f: Function, place: str, given: Value, at: Value, size: str, bad: str, status: str
) -> None:
    """End the kernel with the status, and the index given in the slot ``bad``, where it stands in
    the next one, unless it fits."""
    fits, fails = f.new_label("fits"), f.new_label("fails")
    # As an unsigned number a negative one is large.
    f.branch(f.emit(f"icmp ult i64 {place}, {size}"), fits, fails)
    f.start_block(fails)
    slot = f.emit(f"getelementptr i8, ptr %frame, i64 {bad}")
    f.do(f"store i64 {given}, ptr {slot}")
    f.do(f"store i64 {at}, ptr {f.emit(f'getelementptr i64, ptr {slot}, i64 1')}")
    f.do(f"ret i32 {f.emit(f'trunc i64 {status} to i32')}")
    f.start_block(fits)

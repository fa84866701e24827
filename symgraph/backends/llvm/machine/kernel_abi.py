"""How kernels are called: ``i32 kernel(ptr frame, ptr operands)``.

A frame is an array of 64-bit slots (addresses and sizes) that belongs to one call of one compiled
function; an instruction names the slots that its kernel reads, and whoever runs the program hands
their contents over as operands. Kernels therefore hold no address and no size, and equal ones are
one. The result is 0, or else what went wrong.
"""

from __future__ import annotations

from ..code.emit import Function

__all__ = ["begin_kernel", "end_kernel", "number", "pointer"]


def begin_kernel() -> Function:
    """A kernel that is being written."""
    return Function("i32 (ptr %frame, ptr %operands)")


def number(function: Function, position: int) -> str:
    """An operand as an integer."""
    place = function.emit(f"getelementptr i64, ptr %operands, i64 {position}")
    return function.emit(f"load i64, ptr {place}")


def pointer(function: Function, position: int) -> str:
    """An operand as an address."""
    place = function.emit(f"getelementptr i64, ptr %operands, i64 {position}")
    return function.emit(f"load ptr, ptr {place}")


def end_kernel(function: Function) -> None:
    """Return success."""
    function.do("ret i32 0")

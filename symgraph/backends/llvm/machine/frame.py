"""What every frame begins with, and how instructions read and write it."""

from __future__ import annotations

from ..code.emit import I64, Function

__all__ = [
    "HEADER_WORDS",
    "MAX_OPERANDS",
    "Slot",
    "Status",
    "advance",
    "number",
    "operand",
    "pointer",
    "return_failure",
    "set_slot",
    "slot_at",
    "slot_number",
]

# The words of an instruction before its operands.
HEADER_WORDS = 3
# How many slots a kernel may read.
MAX_OPERANDS = 512


class Slot:
    """The first slots of every frame."""

    BLOCKS = 0
    """The last block of memory that was allocated in this call; blocks form a list."""
    CALLBACK = 1
    """``i32 (ptr frame, i64 number)``: runs a step in Python."""
    CLOCK = 2
    """When Python's signal handlers were last let run, in cycles; 0 before the first time."""
    STOP = 3
    """A status that ends what other threads do for this call; 0 as long as all is well."""
    CALLER = 4
    """Python's number of the thread that calls, where others help it; 0 where none does."""
    PYTHON = 5
    """What Python keeps of the calling thread while other threads have Python; else 0."""
    FIRST = 6
    """The first slot that is the program's own."""


class Status:
    """What a kernel returns when it fails; positive numbers are the program's own checks."""

    PYTHON = -1
    """A step in Python raised."""
    RAISED = -2
    """A signal handler of Python's raised: its exception is set."""


def operand(f: Function, position: int) -> str:
    """An operand as it stands: a number in the program, not in the frame."""
    return f.emit(f"load i64, ptr {f.pointer('%operands', str(position), I64)}")


def number(f: Function, position: int) -> str:
    """The contents of the slot that an operand names."""
    return slot_number(f, operand(f, position))


def pointer(f: Function, position: int) -> str:
    """The address in the slot that an operand names."""
    return f.emit(f"load ptr, ptr {slot_at(f, operand(f, position))}")


def slot_at(f: Function, offset: str) -> str:
    return f.emit(f"getelementptr i8, ptr %frame, i64 {offset}")


def slot_number(f: Function, offset: str) -> str:
    return f.emit(f"load i64, ptr {slot_at(f, offset)}")


def set_slot(f: Function, position: int, value: str, kind: str = "i64") -> None:
    f.do(f"store {kind} {value}, ptr {slot_at(f, operand(f, position))}")


def advance(f: Function, pairs: str, count: str) -> None:
    inner = f.begin_loop(count)
    pair = f.emit(f"shl i64 {inner.index}, 1")
    what = f.pointer(pairs, pair, I64)
    by = f.pointer(what, "1", I64)
    place = slot_at(f, f.emit(f"load i64, ptr {what}"))
    step = slot_number(f, f.emit(f"load i64, ptr {by}"))
    moved = f.emit(f"add i64 {f.emit(f'load i64, ptr {place}')}, {step}")
    f.do(f"store i64 {moved}, ptr {place}")
    f.end_loop(inner)


def return_failure(f: Function, status: str) -> None:
    """Return the status unless it is 0."""
    fine, failed = f.new_label("fine"), f.new_label("failed")
    f.branch(f.emit(f"icmp eq i32 {status}, 0"), fine, failed)
    f.start_block(failed)
    f.do(f"ret i32 {status}")
    f.start_block(fine)

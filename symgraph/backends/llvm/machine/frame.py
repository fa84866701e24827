"""The frame of a call, and how kernels are called: ``i32 kernel(ptr frame, ptr operands)``.

A frame is an array of slots of 64 bits (addresses and sizes) that belongs to one call of one
compiled function; a slot is named by its offset in bytes. An instruction names the slots that its
kernel reads, and whoever runs the program hands their values over as operands. Kernels therefore
hold no address and no size, and equal ones are one. Instructions of the runtime get their operands
as they stand: they look up the slots that these name themselves. The result is 0, or else what went
wrong.
"""

from __future__ import annotations

import numpy as np

from ..code.emit import I64, Function, kernel

__all__ = [
    "HEADER_WORDS",
    "MAX_OPERANDS",
    "SIGNATURE",
    "SLOT_BYTES",
    "Frame",
    "Slot",
    "Status",
    "advance",
    "frame_kernel",
    "operand",
    "operand_address",
    "return_failure",
    "return_success",
    "set_slot",
    "slot_address",
    "slot_at",
    "slot_value",
    "value_at",
]

SLOT_BYTES = 8
# The words of an instruction before its operands.
HEADER_WORDS = 3
# How many slots a kernel may read.
MAX_OPERANDS = 512


class Slot:
    """The first slots of every frame."""

    BLOCKS = 0
    """The last block of memory that was allocated in this call; blocks form a list."""
    CALLBACK = 8
    """``i32 (ptr frame, i64 number)``: computes a node in Python."""
    CLOCK = 16
    """When Python's signal handlers were last let run, in cycles; 0 before the first time."""
    STOP = 24
    """A status that ends what other threads do for this call; 0 as long as all is well."""
    CALLER = 32
    """Python's number of the thread that calls, where others help it; 0 where none does."""
    PYTHON = 40
    """What Python keeps of the calling thread while other threads have Python; else 0."""
    FIRST = 48
    """The first slot that is the program's own."""


class Status:
    """What a kernel returns when it fails; positive numbers are the program's own checks."""

    PYTHON = -1
    """A node that Python computes raised."""
    RAISED = -2
    """A signal handler of Python's raised: its exception is set."""


class Frame:
    """A frame as Python reads and writes it, by slots."""

    def __init__(self, words: np.ndarray) -> None:
        self.words = words
        self.address: int = words.__array_interface__["data"][0]

    def __getitem__(self, slot: int) -> int:
        return int(self.words[slot // SLOT_BYTES])

    def __setitem__(self, slot: int, value: int) -> None:
        self.words[slot // SLOT_BYTES] = value


# --- kernels ------------------------------------------------------------------------------------


SIGNATURE = "i32 (ptr %frame, ptr %operands)"
frame_kernel = kernel(SIGNATURE)


def return_success(f: Function) -> None:
    """Return 0."""
    f.do("ret i32 0")


def return_failure(f: Function, status: str) -> None:
    """Return the status unless it is 0."""
    fine, failed = f.new_label("fine"), f.new_label("failed")
    f.branch(f.emit(f"icmp eq i32 {status}, 0"), fine, failed)
    f.start_block(failed)
    f.do(f"ret i32 {status}")
    f.start_block(fine)


def operand(f: Function, position: int) -> str:
    """An operand: a number."""
    return f.word("%operands", position)


def operand_address(f: Function, position: int) -> str:
    """An operand that is an address."""
    return f.emit(f"load ptr, ptr {f.pointer('%operands', str(position), I64)}")


# --- slots --------------------------------------------------------------------------------------


def slot_at(f: Function, slot: str | int) -> str:
    """Where a slot lies."""
    return f.emit(f"getelementptr i8, ptr %frame, i64 {slot}")


def value_at(f: Function, slot: str | int) -> str:
    """The value of a slot."""
    return f.emit(f"load i64, ptr {slot_at(f, slot)}")


def slot_value(f: Function, position: int) -> str:
    """The value of the slot that an operand names."""
    return value_at(f, operand(f, position))


def slot_address(f: Function, position: int) -> str:
    """The value of the slot that an operand names: an address."""
    return f.emit(f"load ptr, ptr {slot_at(f, operand(f, position))}")


def set_slot(f: Function, position: int, value: str) -> None:
    """Let the slot that an operand names have this value."""
    f.do(f"store i64 {value}, ptr {slot_at(f, operand(f, position))}")


def advance(f: Function, pairs: str, count: str) -> None:
    """Add to slots the values of others: so many pairs of a slot and that of what is added."""
    inner = f.begin_loop(count)
    pair = f.emit(f"shl i64 {inner.index}, 1")
    slot = f.pointer(pairs, pair, I64)
    by = f.pointer(slot, "1", I64)
    place = slot_at(f, f.emit(f"load i64, ptr {slot}"))
    distance = value_at(f, f.emit(f"load i64, ptr {by}"))
    moved = f.emit(f"add i64 {f.emit(f'load i64, ptr {place}')}, {distance}")
    f.do(f"store i64 {moved}, ptr {place}")
    f.end_loop(inner)

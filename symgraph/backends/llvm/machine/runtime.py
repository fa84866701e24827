"""The runtime: what walks a program and what a program is made of besides kernels.

A program is an array of 64-bit words, shared by all calls: one instruction after another, each the
address of a kernel, the instruction's length in bytes, the number of its operands that are slots to
be read, and its operands; a zero ends it. The kernels of the runtime (here, in `interpreter.py`,
`memory.py` and `sizes.py`) get their operands as they stand. Loops are kernels too: their body is a
program among their operands. So machine code is written for distinct kernels only, and what joins
them is data. What the first slots of a frame mean stands in `frame.py`.
"""

from __future__ import annotations

from ...profile import END
from ..code.emit import I64, Function, Value, kernel
from ..code.engine import Kernel
from .frame import (
    MAX_OPERANDS,
    advance,
    frame_kernel,
    operand,
    operand_address,
    return_failure,
    return_success,
    set_slot,
    slot_at,
    slot_value,
    value_at,
)
from .interpreter import leave_kernel, poll_kernel, python_kernel, return_kernel
from .memory import allocate_kernel, arena_kernel, fill_kernel, grow_kernel, release_kernel
from .sizes import (
    address_kernel,
    at_least_kernel,
    check_kernel,
    floor_div_kernel,
    interval_kernel,
    max_zero_kernel,
    polynomial_kernel,
    read_kernel,
    write_kernel,
)

__all__ = ["LOG_WORDS", "MARK_WORDS", "RUN", "guard_kernels", "run_kernel", "runtime_kernels"]

RUN = "i32 (ptr %frame, ptr %code)"
LOG_WORDS, MARK_WORDS = 2, 2
"""The words of a log before its marks, and those of a mark."""


@kernel(RUN)
def run_kernel(f: Function) -> None:
    """Run a program; the first status that is not 0 ends it."""
    f.do(f"%room = alloca [{MAX_OPERANDS} x i64], align 64")
    f.jump("next")
    f.start_block("next")
    f.do("%at = phi ptr [ %code, %entry ], [ %following, %done ]")
    f.do("%kernel = load ptr, ptr %at")
    f.do("%is_end = icmp eq ptr %kernel, null")
    f.branch("%is_end", "end", "some")
    f.start_block("some")
    f.do("%length_at = getelementptr i64, ptr %at, i64 1")
    f.do("%count_at = getelementptr i64, ptr %at, i64 2")
    f.do("%operands = getelementptr i64, ptr %at, i64 3")
    f.do("%count = load i64, ptr %count_at")
    loop = f.begin_loop("%count")
    offset = f.word("%operands", loop.index.text)
    content = value_at(f, offset)
    f.do(f"store i64 {content}, ptr {f.pointer('%room', loop.index.text, I64)}")
    f.end_loop(loop)
    f.do("%as_it_is = icmp eq i64 %count, 0")
    f.do("%given = select i1 %as_it_is, ptr %operands, ptr %room")
    f.do("%status = call i32 %kernel(ptr %frame, ptr %given)")
    f.do("%is_fine = icmp eq i32 %status, 0")
    f.branch("%is_fine", "done", "failed")
    f.start_block("done")
    f.do("%length = load i64, ptr %length_at")
    f.do("%following = getelementptr i8, ptr %at, i64 %length")
    f.jump("next")
    f.start_block("failed")
    f.do("ret i32 %status")
    f.start_block("end")
    f.do("ret i32 0")


@frame_kernel
def loop_kernel(f: Function) -> None:
    """A loop. Operands: slot of the number of turns, slot of the turn, slot of the address of a
    bool that ends the loop (or −1), then raw: how many slots advance, that many pairs of slots
    (what advances, by how many bytes), and the body."""
    turns = slot_value(f, 0)
    turn_place = slot_at(f, operand(f, 1))
    until = operand(f, 2)
    count = operand(f, 3)
    pairs = f.pointer("%operands", "4", I64)
    body = f.pointer(pairs, f.emit(f"shl i64 {count}, 1"), I64)
    has_until = f.emit(f"icmp sge i64 {until}, 0")
    loop = f.begin_loop(turns)
    f.do(f"store i64 {loop.index}, ptr {turn_place}")
    status = f.emit(f"call i32 @{f.use(run_kernel())}(ptr %frame, ptr {body})")
    return_failure(f, status)
    advance(f, pairs, count)
    return_failure(f, f.emit(f"call i32 @{f.use(poll_kernel())}(ptr %frame, ptr %operands)"))
    f.branch(has_until, "ask", "go")
    f.start_block("ask")
    flag = f.emit(f"load ptr, ptr {slot_at(f, until)}")
    ends = f.emit(f"icmp ne i8 {f.emit(f'load i8, ptr {flag}')}, 0")
    f.branch(ends, "stop", "go")
    f.start_block("stop")
    taken = f.emit(f"add i64 {loop.index}, 1")
    f.do(f"store i64 {taken}, ptr {turn_place}")
    f.do("ret i32 0")
    f.start_block("go")
    f.end_loop(loop)
    f.do(f"store i64 {loop.index}, ptr {turn_place}")


@frame_kernel
def sometimes_kernel(f: Function) -> None:
    """A part of a loop's body, at the first of every so many turns. Operands: slots of the turn,
    of the number of turns, of how many, of how many there are from this turn on (which is set),
    then raw: a program."""
    turn, turns = slot_value(f, 0), slot_value(f, 1)
    every = f.at_least(slot_value(f, 2), 1)
    rest = f.emit(f"urem i64 {turn}, {every}")
    f.branch(f.emit(f"icmp eq i64 {rest}, 0"), "now", "later")
    f.start_block("now")
    left = f.emit(f"sub i64 {turns}, {turn}")
    set_slot(f, 3, f.at_most(every, left))
    body = f.pointer("%operands", "4", I64)
    f.do(f"ret i32 {f.emit(f'call i32 @{f.use(run_kernel())}(ptr %frame, ptr {body})')}")
    f.start_block("later")
    return_success(f)


@kernel(RUN)
def run_apart_kernel(f: Function) -> None:
    """Run a program while other threads have Python."""
    f.do(f"call void @{f.use(leave_kernel())}(ptr %frame)")
    status = f.emit(f"call i32 @{f.use(run_kernel())}(ptr %frame, ptr %code)")
    f.do(f"call void @{f.use(return_kernel())}(ptr %frame)")
    f.do(f"ret i32 {status}")


@frame_kernel
def rotate_kernel(f: Function) -> None:
    """The slots' contents moved one slot on, the last one's to the first. Operands: raw: how many,
    then the slots."""
    count = operand(f, 0)
    last = f.pointer("%operands", count, I64)
    content = value_at(f, f.emit(f"load i64, ptr {last}"))
    end = f.emit(f"add i64 {count}, 1")
    loop = f.begin_loop(end, start="1", carried=[Value(content, I64, 1)])
    place = f.pointer("%operands", loop.index.text, I64)
    slot = slot_at(f, f.emit(f"load i64, ptr {place}"))
    old = f.emit(f"load i64, ptr {slot}")
    f.do(f"store i64 {loop.carried[0]}, ptr {slot}")
    f.end_loop(loop, [Value(old, I64, 1)])


@frame_kernel
def timed_kernel(f: Function) -> None:
    """A program whose time is added up and logged. Operands, raw: the address of two integers
    (cycles, runs), the address of the log, what the log calls the program, and the program.

    The log: how many marks there are, for how many more there is room, then the marks: what begins
    and when, or `END` and when. What begins takes room for its end too; from the first program on
    that finds none, none is logged any more.
    """
    f.declare("llvm.readcyclecounter", "i64 ()")
    log = operand_address(f, 1)
    room_at = f.pointer(log, "1", I64)
    room = f.emit(f"load i64, ptr {room_at}")
    has_room = f.emit(f"icmp sge i64 {room}, 2")
    before = f.emit("call i64 @llvm.readcyclecounter()")
    f.branch(has_room, "begin", "run")
    f.start_block("begin")
    f.do(f"store i64 {f.emit(f'sub i64 {room}, 2')}, ptr {room_at}")
    _mark(f, log, operand(f, 2), before)
    f.jump("run")
    f.start_block("run")
    inner = f.pointer("%operands", "3", I64)
    status = f.emit(f"call i32 @{f.use(run_kernel())}(ptr %frame, ptr {inner})")
    after = f.emit("call i64 @llvm.readcyclecounter()")
    counters = operand_address(f, 0)
    _add(f, counters, f.emit(f"sub i64 {after}, {before}"))
    _add(f, f.pointer(counters, "1", I64), "1")
    f.branch(has_room, "end", "done")
    f.start_block("end")
    _mark(f, log, str(END), after)
    f.jump("done")
    f.start_block("done")
    f.do(f"ret i32 {status}")


def _mark(f: Function, log: str, what: str, when: str) -> None:
    """Append a mark to the log."""
    n = f.emit(f"load i64, ptr {log}")
    words = f.emit(f"mul i64 {n}, {MARK_WORDS}")
    mark = f.pointer(log, f.emit(f"add i64 {words}, {LOG_WORDS}"), I64)
    f.do(f"store i64 {what}, ptr {mark}")
    f.do(f"store i64 {when}, ptr {f.pointer(mark, '1', I64)}")
    _add(f, log, "1")


def _add(f: Function, place: str, number: str) -> None:
    """Add to the integer at this place."""
    total = f.emit(f"add i64 {f.emit(f'load i64, ptr {place}')}, {number}")
    f.do(f"store i64 {total}, ptr {place}")


@kernel("i64 ()")
def cycles_kernel(f: Function) -> None:
    """``i64 ()``: the clock by which `timed` measures."""
    f.declare("llvm.readcyclecounter", "i64 ()")
    f.do(f"ret i64 {f.emit('call i64 @llvm.readcyclecounter()')}")


def runtime_kernels() -> dict[str, Kernel]:
    """All of them, by name; one module, which every process loads."""
    return {
        "run": run_kernel(),
        "run_apart": run_apart_kernel(),
        "loop": loop_kernel(),
        "sometimes": sometimes_kernel(),
        "polynomial": polynomial_kernel(),
        "floor_div": floor_div_kernel(),
        "max_zero": max_zero_kernel(),
        "interval": interval_kernel(),
        "address": address_kernel(),
        "read": read_kernel(),
        "write": write_kernel(),
        "rotate": rotate_kernel(),
        "allocate": allocate_kernel(),
        "grow": grow_kernel(),
        "arena": arena_kernel(),
        "release": release_kernel(),
        "check": check_kernel(),
        "at_least": at_least_kernel(),
        "python": python_kernel(),
        "timed": timed_kernel(),
        "cycles": cycles_kernel(),
    }


def guard_kernels() -> dict[str, Kernel]:
    """What takes their place, and what is added, in programs whose memory is guarded."""
    return {
        "allocate": allocate_kernel(guarded=True),
        "grow": grow_kernel(guarded=True),
        "fill": fill_kernel(),
    }

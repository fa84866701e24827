"""The runtime: what walks a program and what a program is made of besides kernels.

A program is an array of 64-bit words, shared by all calls: one instruction after another, each the
address of a kernel, the instruction's length in bytes, the number of its operands that are slots to
be read, and its operands; a zero ends it. The kernels of the runtime (here, in `memory.py` and
`size_instructions.py`) get their operands as they stand. Loops are kernels too: their body is a
program among their operands. So machine code is written for distinct kernels only, and what joins
them is data. What the first slots of a frame mean stands in `frame.py`.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

from ..code.emit import I64, Function, Value
from ..code.engine import Kernel
from .frame import (
    MAX_OPERANDS,
    Slot,
    Status,
    advance,
    begin_kernel,
    end_kernel,
    operand,
    return_failure,
    set_slot,
    slot_at,
    slot_value,
    value_at,
)
from .memory import allocate_kernel, arena_kernel, fill_kernel, grow_kernel, release_kernel
from .sizes import (
    address_kernel,
    at_least_kernel,
    check_kernel,
    floor_div_kernel,
    max_zero_kernel,
    polynomial_kernel,
    read_kernel,
    write_kernel,
)

__all__ = ["RUN", "THREAD", "guard_kernels", "runtime_kernels"]

# A tenth of a second, more or less.
_POLL_CYCLES = 200_000_000
RUN = "i32 (ptr %frame, ptr %code)"
# C's ``unsigned long``, in which Python numbers threads.
THREAD = f"i{8 * ctypes.sizeof(ctypes.c_ulong)}"


@lru_cache(maxsize=1)
def run_kernel() -> Kernel:
    """Run a program; the first status that is not 0 ends it."""
    f = Function(RUN)
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
    offset = f.emit(f"load i64, ptr {f.pointer('%operands', loop.index.text, I64)}")
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
    return f.kernel()


@lru_cache(maxsize=1)
def loop_kernel() -> Kernel:
    """A loop. Operands: slot of the number of turns, slot of the turn, slot of the address of a
    bool that ends the loop (or −1), then raw: how many slots advance, that many pairs of slots
    (what advances, by how many bytes), and the body."""
    f = begin_kernel()
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
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def sometimes_kernel() -> Kernel:
    """A part of a loop's body, at the first of every so many turns. Operands: slots of the turn,
    of the number of turns, of how many, of how many there are from this turn on (which is set),
    then raw: a program."""
    f = begin_kernel()
    f.declare("llvm.smax.i64", "i64 (i64, i64)")
    f.declare("llvm.smin.i64", "i64 (i64, i64)")
    turn, turns = slot_value(f, 0), slot_value(f, 1)
    every = f.emit(f"call i64 @llvm.smax.i64(i64 {slot_value(f, 2)}, i64 1)")
    rest = f.emit(f"urem i64 {turn}, {every}")
    f.branch(f.emit(f"icmp eq i64 {rest}, 0"), "now", "later")
    f.start_block("now")
    left = f.emit(f"sub i64 {turns}, {turn}")
    set_slot(f, 3, f.emit(f"call i64 @llvm.smin.i64(i64 {every}, i64 {left})"))
    body = f.pointer("%operands", "4", I64)
    f.do(f"ret i32 {f.emit(f'call i32 @{f.use(run_kernel())}(ptr %frame, ptr {body})')}")
    f.start_block("later")
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def poll_kernel() -> Kernel:
    """Let Python's signal handlers run, if some hundred million cycles have passed since.

    Where one raises (Ctrl-C), its exception is left for whoever called the program, and threads
    that help end as well: they ask for that alone, and leave the clock to the caller.
    """
    f = begin_kernel()
    f.declare("llvm.readcyclecounter", "i64 ()")
    now = f.emit("call i64 @llvm.readcyclecounter()")
    place = slot_at(f, Slot.CLOCK)
    before = f.emit(f"load i64, ptr {place}")
    is_first = f.emit(f"icmp eq i64 {before}, 0")
    passed = f.emit(f"sub i64 {now}, {before}")
    recent = f.emit(f"icmp ult i64 {passed}, {_POLL_CYCLES}")
    f.branch(f.emit(f"or i1 {is_first}, {recent}"), "no", "ask")
    f.start_block("no")
    f.do(f"store i64 {f.emit(f'select i1 {is_first}, i64 {now}, i64 {before}')}, ptr {place}")
    f.do("ret i32 0")
    f.start_block("ask")
    stop_place = slot_at(f, Slot.STOP)
    f.do(f"%stop = load atomic i64, ptr {stop_place} seq_cst, align 8")
    f.branch(f.emit("icmp eq i64 %stop, 0"), "who", "stopped")
    f.start_block("stopped")
    f.do(f"ret i32 {f.emit('trunc i64 %stop to i32')}")
    f.start_block("who")
    f.branch(_is_caller(f), "signals", "fine")
    f.start_block("fine")
    f.do("ret i32 0")
    f.start_block("signals")
    f.do(f"store i64 {now}, ptr {place}")
    f.declare("PyGILState_Ensure", "i32 ()")
    f.declare("PyGILState_Release", "void (i32)")
    f.declare("PyErr_CheckSignals", "i32 ()")
    state = f.emit("call i32 @PyGILState_Ensure()")
    raised = f.emit("call i32 @PyErr_CheckSignals()")
    f.do(f"call void @PyGILState_Release(i32 {state})")
    f.branch(f.emit(f"icmp eq i32 {raised}, 0"), "fine", "raised")
    f.start_block("raised")
    f.do(f"store atomic i64 {Status.RAISED}, ptr {stop_place} seq_cst, align 8")
    f.do(f"ret i32 {Status.RAISED}")
    return f.kernel()


def _is_caller(f: Function) -> str:
    """Whether this is the thread that Python called, and none that helps it."""
    f.declare("PyThread_get_thread_ident", f"{THREAD} ()")
    caller = f.emit(f"load {THREAD}, ptr {slot_at(f, Slot.CALLER)}")
    this = f.emit(f"call {THREAD} @PyThread_get_thread_ident()")
    is_alone = f.emit(f"icmp eq {THREAD} {caller}, 0")
    return f.emit(f"or i1 {is_alone}, {f.emit(f'icmp eq {THREAD} {caller}, {this}')}")


@lru_cache(maxsize=1)
def leave_kernel() -> Kernel:
    """Let other threads have Python, if they may not already; ``void (ptr frame)``."""
    f = Function("void (ptr %frame)")
    place = slot_at(f, Slot.PYTHON)
    kept = f.emit(f"load ptr, ptr {place}")
    f.branch(f.emit(f"icmp eq ptr {kept}, null"), "leave", "end")
    f.start_block("leave")
    f.declare("PyEval_SaveThread", "ptr ()")
    f.do(f"store ptr {f.emit('call ptr @PyEval_SaveThread()')}, ptr {place}")
    f.jump("end")
    f.start_block("end")
    f.do("ret void")
    return f.kernel()


@lru_cache(maxsize=1)
def return_kernel() -> Kernel:
    """Have Python again, if other threads may; ``void (ptr frame)``."""
    f = Function("void (ptr %frame)")
    place = slot_at(f, Slot.PYTHON)
    kept = f.emit(f"load ptr, ptr {place}")
    f.branch(f.emit(f"icmp eq ptr {kept}, null"), "end", "return")
    f.start_block("return")
    f.do(f"store ptr null, ptr {place}")
    f.declare("PyEval_RestoreThread", "void (ptr)")
    f.do(f"call void @PyEval_RestoreThread(ptr {kept})")
    f.jump("end")
    f.start_block("end")
    f.do("ret void")
    return f.kernel()


@lru_cache(maxsize=1)
def run_apart_kernel() -> Kernel:
    """Run a program while other threads have Python."""
    f = Function(RUN)
    f.do(f"call void @{f.use(leave_kernel())}(ptr %frame)")
    status = f.emit(f"call i32 @{f.use(run_kernel())}(ptr %frame, ptr %code)")
    f.do(f"call void @{f.use(return_kernel())}(ptr %frame)")
    f.do(f"ret i32 {status}")
    return f.kernel()


@lru_cache(maxsize=1)
def rotate_kernel() -> Kernel:
    """The slots' contents moved one slot on, the last one's to the first. Operands: raw: how many,
    then the slots."""
    f = begin_kernel()
    count = operand(f, 0)
    last = f.pointer("%operands", count, I64)
    kept = value_at(f, f.emit(f"load i64, ptr {last}"))
    end = f.emit(f"add i64 {count}, 1")
    loop = f.begin_loop(end, start="1", carried=[Value(kept, I64, 1)])
    place = f.pointer("%operands", loop.index.text, I64)
    slot = slot_at(f, f.emit(f"load i64, ptr {place}"))
    old = f.emit(f"load i64, ptr {slot}")
    f.do(f"store i64 {loop.carried[0]}, ptr {slot}")
    f.end_loop(loop, [Value(old, I64, 1)])
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def timed_kernel() -> Kernel:
    """A program whose time is added up. Operands, raw: the address of two integers (cycles, runs),
    and the program."""
    f = begin_kernel()
    f.declare("llvm.readcyclecounter", "i64 ()")
    before = f.emit("call i64 @llvm.readcyclecounter()")
    inner = f.pointer("%operands", "1", I64)
    status = f.emit(f"call i32 @{f.use(run_kernel())}(ptr %frame, ptr {inner})")
    after = f.emit("call i64 @llvm.readcyclecounter()")
    counters = f.emit(f"inttoptr i64 {operand(f, 0)} to ptr")
    cycles = f.emit(
        f"add i64 {f.emit(f'load i64, ptr {counters}')}, {f.emit(f'sub i64 {after}, {before}')}"
    )
    f.do(f"store i64 {cycles}, ptr {counters}")
    runs_at = f.pointer(counters, "1", I64)
    runs = f.emit(f"add i64 {f.emit(f'load i64, ptr {runs_at}')}, 1")
    f.do(f"store i64 {runs}, ptr {runs_at}")
    f.do(f"ret i32 {status}")
    return f.kernel()


@lru_cache(maxsize=1)
def cycles_kernel() -> Kernel:
    """``i64 ()``: the clock by which `timed` measures."""
    f = Function("i64 ()")
    f.declare("llvm.readcyclecounter", "i64 ()")
    f.do(f"ret i64 {f.emit('call i64 @llvm.readcyclecounter()')}")
    return f.kernel()


@lru_cache(maxsize=1)
def python_kernel() -> Kernel:
    """A step in Python. Operand, raw: its number.

    Called as Python calls, so that what a signal handler raises before the step begins is still
    there when the program has ended.
    """
    f = begin_kernel()
    f.declare("PyGILState_Ensure", "i32 ()")
    f.declare("PyGILState_Release", "void (i32)")
    f.declare("PyLong_FromVoidPtr", "ptr (ptr)")
    f.declare("PyLong_FromLongLong", "ptr (i64)")
    f.declare("PyLong_AsLongLong", "i64 (ptr)")
    f.declare("PyObject_Vectorcall", "ptr (ptr, ptr, i64, ptr)")
    f.declare("Py_DecRef", "void (ptr)")
    f.do("%arguments = alloca [2 x ptr]")
    state = f.emit("call i32 @PyGILState_Ensure()")
    arguments = [
        f.emit("call ptr @PyLong_FromVoidPtr(ptr %frame)"),
        f.emit(f"call ptr @PyLong_FromLongLong(i64 {operand(f, 0)})"),
    ]
    for i, argument in enumerate(arguments):
        f.do(f"store ptr {argument}, ptr {f.pointer('%arguments', str(i), I64)}")
    callback = f.emit(f"load ptr, ptr {slot_at(f, Slot.CALLBACK)}")
    returned = f.emit(
        f"call ptr @PyObject_Vectorcall(ptr {callback}, ptr %arguments, i64 2, ptr null)"
    )
    for argument in arguments:
        f.do(f"call void @Py_DecRef(ptr {argument})")
    f.branch(f.emit(f"icmp eq ptr {returned}, null"), "raised", "returned")
    f.start_block("returned")
    status = f.emit(f"call i64 @PyLong_AsLongLong(ptr {returned})")
    f.do(f"call void @Py_DecRef(ptr {returned})")
    f.do(f"call void @PyGILState_Release(i32 {state})")
    f.do(f"ret i32 {f.emit(f'trunc i64 {status} to i32')}")
    f.start_block("raised")
    f.do(f"call void @PyGILState_Release(i32 {state})")
    f.do(f"ret i32 {Status.RAISED}")
    return f.kernel()


def runtime_kernels() -> dict[str, Kernel]:
    """All of them, by name; one pack, which every process loads."""
    return {
        "run": run_kernel(),
        "run_apart": run_apart_kernel(),
        "loop": loop_kernel(),
        "sometimes": sometimes_kernel(),
        "polynomial": polynomial_kernel(),
        "floor_div": floor_div_kernel(),
        "max_zero": max_zero_kernel(),
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

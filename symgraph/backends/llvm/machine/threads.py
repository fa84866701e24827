"""Parts of a program that run at once, on threads that live as long as the instruction.

There is no pool, and so nothing that a fork could break. The lock by which the caller waits is
Python's own (`PyThread_…`), which is on every platform and needs no interpreter; so are threads,
but where a thread can be told its processors. The caller works as well, and only it lets signal
handlers run. Parts are taken in order by whoever is free; where several fail, the first of them
says why, as if they had run one after another.
"""

from __future__ import annotations

import ctypes
import sys

from ..code.emit import I64, Function, kernel
from .frame import HEADER_WORDS, Slot, Status, frame_kernel, slot_at, value_at
from .interpreter import THREAD, poll_kernel
from .runtime import run_kernel

__all__ = ["LEAST_WORK", "part_kernel", "together_kernel"]

# From how many multiply-adds on a part is worth a thread: some hundred microseconds, as one costs
# where the processor that is to run it sleeps.
LEAST_WORK = 1 << 23
# The caller looks for Ctrl-C so often while it waits.
_WAIT_MICROSECONDS = 50_000
# Whether a thread can be told its processors.
CAN_PLACE = sys.platform == "linux" and hasattr(ctypes.pythonapi, "pthread_attr_setaffinity_np")
# Linux's sets of processors, room for its attributes of threads, and one of these.
_PROCESSORS_BYTES, _ATTRIBUTES_BYTES, _DETACHED = 128, 256, 1


class _Shared:
    """The words that the threads of one instruction have in common."""

    FRAME, PARTS, TAKEN, FAILURE, RUNNING, LOCK, COUNT = range(7)


def _shared(f: Function, word: int) -> str:
    return f.pointer("%shared", str(word), I64)


@frame_kernel
def part_kernel(f: Function) -> None:
    """A part. Operands, raw: the slot of its work in multiply-adds, and its program."""
    program = f.pointer("%operands", "1", I64)
    f.do(f"ret i32 {f.emit(f'call i32 @{f.use(run_kernel())}(ptr %frame, ptr {program})')}")


@kernel("void (ptr %shared)")
def take_kernel(f: Function) -> None:
    """``void (ptr shared)``: run the parts that nobody has taken, until there are no more."""
    f.do(f"%frame = load ptr, ptr {_shared(f, _Shared.FRAME)}")
    f.do(f"%parts = load ptr, ptr {_shared(f, _Shared.PARTS)}")
    f.jump("next")
    f.start_block("next")
    failure = f.emit(f"load atomic i64, ptr {_shared(f, _Shared.FAILURE)} seq_cst, align 8")
    f.branch(f.emit(f"icmp eq i64 {failure}, -1"), "take", "end")
    f.start_block("take")
    f.do(f"%number = atomicrmw add ptr {_shared(f, _Shared.TAKEN)}, i64 1 seq_cst")
    f.jump("seek")
    f.start_block("seek")
    f.do("%part = phi ptr [ %parts, %take ], [ %following, %pass ]")
    f.do("%left = phi i64 [ %number, %take ], [ %fewer, %pass ]")
    f.do("%kernel = load ptr, ptr %part")
    f.branch(f.emit("icmp eq ptr %kernel, null"), "end", "some")
    f.start_block("some")
    f.branch(f.emit("icmp eq i64 %left, 0"), "run", "pass")
    f.start_block("pass")
    length = f.word("%part", 1)
    f.do(f"%following = getelementptr i8, ptr %part, i64 {length}")
    f.do("%fewer = sub i64 %left, 1")
    f.jump("seek")
    f.start_block("run")
    operands = f.pointer("%part", str(HEADER_WORDS), I64)
    f.do(f"%status = call i32 %kernel(ptr %frame, ptr {operands})")
    f.branch(f.emit("icmp eq i32 %status, 0"), "next", "failed")
    f.start_block("failed")
    _note_failure(f)
    f.start_block("end")
    f.do("ret void")


def _note_failure(f: Function) -> None:
    """Of several failures keep the first part's; parts after the first of all may stop at once."""
    place = f.emit("shl i64 %number, 32")
    failure = f.emit(f"or i64 {place}, {f.emit('zext i32 %status to i64')}")
    f.emit(f"atomicrmw umin ptr {_shared(f, _Shared.FAILURE)}, i64 {failure} seq_cst")
    f.branch(f.emit("icmp eq i64 %number, 0"), "stop", "end")
    f.start_block("stop")
    status = f.emit("sext i32 %status to i64")
    f.do(f"store atomic i64 {status}, ptr {slot_at(f, Slot.STOP)} seq_cst, align 8")
    f.jump("end")


@kernel("ptr (ptr %shared)")
def help_kernel(f: Function) -> None:
    """``ptr (ptr shared)``: what another thread does; the last one that is done opens the lock."""
    f.do(f"call void @{f.use(take_kernel())}(ptr %shared)")
    # What is shared is gone when the others are done.
    lock = f.emit(f"load ptr, ptr {_shared(f, _Shared.LOCK)}")
    running = f.emit(f"atomicrmw sub ptr {_shared(f, _Shared.RUNNING)}, i64 1 seq_cst")
    f.branch(f.emit(f"icmp eq i64 {running}, 1"), "last", "end")
    f.start_block("last")
    f.declare("PyThread_release_lock", "void (ptr)")
    f.do(f"call void @PyThread_release_lock(ptr {lock})")
    f.jump("end")
    f.start_block("end")
    f.do("ret ptr null")


@frame_kernel
def together_kernel(f: Function) -> None:
    """Parts that may run at once. Operands, raw: how many threads, and a program of parts.

    As many threads work as there are parts with enough to do.
    """
    f.do(f"%shared = alloca [{_Shared.COUNT} x i64], align 64")
    f.do("%parts = getelementptr i64, ptr %operands, i64 1")
    helpers = _count_helpers(f)
    f.branch(f.emit(f"icmp sgt i64 {helpers}, 0"), "prepare", "alone")
    f.start_block("alone")
    f.do(f"%status = call i32 @{f.use(run_kernel())}(ptr %frame, ptr %parts)")
    f.do("ret i32 %status")
    f.start_block("prepare")
    f.declare("PyThread_allocate_lock", "ptr ()")
    f.do("%lock = call ptr @PyThread_allocate_lock()")
    f.branch(f.emit("icmp eq ptr %lock, null"), "alone", "share")
    f.start_block("share")
    _share(f)
    _start_helpers(f, helpers)
    f.do(f"call void @{f.use(take_kernel())}(ptr %shared)")
    _wait(f)
    stop = value_at(f, Slot.STOP)
    failure = f.emit(f"load i64, ptr {_shared(f, _Shared.FAILURE)}")
    first = f.emit(f"select i1 {f.emit(f'icmp eq i64 {failure}, -1')}, i64 0, i64 {failure}")
    # An exception is set: whatever else failed, it is what the call raises.
    raised = f.emit(f"icmp eq i64 {stop}, {Status.RAISED}")
    status = f.emit(f"select i1 {raised}, i64 {stop}, i64 {first}")
    f.do(f"ret i32 {f.emit(f'trunc i64 {status} to i32')}")


def _count_helpers(f: Function) -> str:
    """One less than the parts with enough to do, and than the threads."""
    f.jump("count")
    f.start_block("count")
    f.do("%at = phi ptr [ %parts, %entry ], [ %following, %more ]")
    f.do("%large = phi i64 [ 0, %entry ], [ %larger, %more ]")
    f.do("%kernel = load ptr, ptr %at")
    f.branch(f.emit("icmp eq ptr %kernel, null"), "counted", "more")
    f.start_block("more")
    work = value_at(f, f.word("%at", HEADER_WORDS))
    is_large = f.emit(f"icmp sge i64 {work}, {LEAST_WORK}")
    f.do(f"%larger = add i64 %large, {f.emit(f'zext i1 {is_large} to i64')}")
    length = f.word("%at", 1)
    f.do(f"%following = getelementptr i8, ptr %at, i64 {length}")
    f.jump("count")
    f.start_block("counted")
    threads = f.emit("load i64, ptr %operands")
    return f.emit(f"sub i64 {f.at_most(threads, '%large')}, 1")


def _share(f: Function) -> None:
    """Fill in what the threads have in common, and take the lock that the last of them opens."""
    contents = {
        _Shared.FRAME: "ptr %frame",
        _Shared.PARTS: "ptr %parts",
        _Shared.TAKEN: "i64 0",
        _Shared.FAILURE: "i64 -1",
        _Shared.RUNNING: "i64 1",
        _Shared.LOCK: "ptr %lock",
    }
    for word, content in contents.items():
        f.do(f"store {content}, ptr {_shared(f, word)}")
    f.declare("PyThread_get_thread_ident", f"{THREAD} ()")
    caller = f.emit(f"call {THREAD} @PyThread_get_thread_ident()")
    f.do(f"store {THREAD} {caller}, ptr {slot_at(f, Slot.CALLER)}")
    f.declare("PyThread_acquire_lock_timed", "i32 (ptr, i64, i32)")
    f.emit("call i32 @PyThread_acquire_lock_timed(ptr %lock, i64 0, i32 0)")


def _start_helpers(f: Function, helpers: str) -> None:
    """Start so many threads; where one cannot be started, the others do its work."""
    running = _shared(f, _Shared.RUNNING)
    if CAN_PLACE:
        _prepare_attributes(f)
    start = _start_elsewhere if CAN_PLACE else _start_anywhere
    loop = f.begin_loop(helpers)
    f.emit(f"atomicrmw add ptr {running}, i64 1 seq_cst")
    none = f.emit(f"zext i1 {start(f)} to i64")
    f.emit(f"atomicrmw sub ptr {running}, i64 {none} seq_cst")
    f.end_loop(loop)
    if CAN_PLACE:
        f.declare("pthread_attr_destroy", "i32 (ptr)")
        f.emit("call i32 @pthread_attr_destroy(ptr %attributes)")


def _start_anywhere(f: Function) -> str:
    """Start a thread: whether there is none."""
    f.declare("PyThread_start_new_thread", f"{THREAD} (ptr, ptr)")
    number = f.emit(
        f"call {THREAD} @PyThread_start_new_thread(ptr @{f.use(help_kernel())}, ptr %shared)"
    )
    return f.emit(f"icmp eq {THREAD} {number}, -1")


def _start_elsewhere(f: Function) -> str:
    """Start a thread with the attributes: whether there is none."""
    f.declare("pthread_create", "i32 (ptr, ptr, ptr, ptr)")
    error = f.emit(
        f"call i32 @pthread_create(ptr %thread, ptr %attributes, ptr @{f.use(help_kernel())}, "
        "ptr %shared)"
    )
    return f.emit(f"icmp ne i32 {error}, 0")


def _prepare_attributes(f: Function) -> None:
    """The attributes of threads on other processors than the caller's.

    Left to themselves, schedulers that spare processors (virtual machines have them) keep a new
    thread waiting behind the caller for milliseconds.
    """
    f.do(f"%attributes = alloca [{_ATTRIBUTES_BYTES} x i8], align 64")
    f.do("%thread = alloca i64")
    processors = _other_processors(f)
    f.declare("pthread_attr_init", "i32 (ptr)")
    f.emit("call i32 @pthread_attr_init(ptr %attributes)")
    f.declare("pthread_attr_setdetachstate", "i32 (ptr, i32)")
    f.emit(f"call i32 @pthread_attr_setdetachstate(ptr %attributes, i32 {_DETACHED})")
    f.declare("pthread_attr_setaffinity_np", "i32 (ptr, i64, ptr)")
    f.emit(
        f"call i32 @pthread_attr_setaffinity_np(ptr %attributes, i64 {_PROCESSORS_BYTES}, "
        f"ptr {processors})"
    )


def _other_processors(f: Function) -> str:
    """The set of processors that the process may use, but for the one that this runs on."""
    words = _PROCESSORS_BYTES // 8
    f.do(f"%processors = alloca [{words} x i64], align 64")
    f.do(f"store [{words} x i64] zeroinitializer, ptr %processors")
    f.declare("sched_getaffinity", "i32 (i32, i64, ptr)")
    f.emit(f"call i32 @sched_getaffinity(i32 0, i64 {_PROCESSORS_BYTES}, ptr %processors)")
    f.declare("sched_getcpu", "i32 ()")
    this = f.emit(f"zext i32 {f.emit('call i32 @sched_getcpu()')} to i64")
    word = f.emit(f"and i64 {f.emit(f'lshr i64 {this}, 6')}, {words - 1}")
    place = f.pointer("%processors", word, I64)
    bit = f.emit(f"shl i64 1, {f.emit(f'and i64 {this}, 63')}")
    before = f.emit(f"load i64, ptr {place}")
    others = f.emit(f"xor i64 {bit}, -1")
    f.do(f"store i64 {f.emit(f'and i64 {before}, {others}')}, ptr {place}")
    return "%processors"


def _wait(f: Function) -> None:
    """Wait for those that still work, and look for Ctrl-C meanwhile."""
    running = f.emit(f"atomicrmw sub ptr {_shared(f, _Shared.RUNNING)}, i64 1 seq_cst")
    f.branch(f.emit(f"icmp eq i64 {running}, 1"), "done", "wait")
    f.start_block("wait")
    taken = f.emit(
        f"call i32 @PyThread_acquire_lock_timed(ptr %lock, i64 {_WAIT_MICROSECONDS}, i32 0)"
    )
    f.branch(f.emit(f"icmp eq i32 {taken}, 1"), "done", "look")
    f.start_block("look")
    f.emit(f"call i32 @{f.use(poll_kernel())}(ptr %frame, ptr %operands)")
    f.jump("wait")
    f.start_block("done")
    f.declare("PyThread_free_lock", "void (ptr)")
    f.do("call void @PyThread_free_lock(ptr %lock)")

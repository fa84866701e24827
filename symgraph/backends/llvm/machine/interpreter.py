"""What programs ask of Python: signal handlers, room for other threads, nodes that it computes."""

from __future__ import annotations

import ctypes

from ..code.emit import I64, Function, kernel
from .frame import Slot, Status, frame_kernel, operand, slot_at

__all__ = ["THREAD", "leave_kernel", "poll_kernel", "python_kernel", "return_kernel"]

# A tenth of a second, more or less.
_POLL_CYCLES = 200_000_000
# C's ``unsigned long``, in which Python numbers threads.
THREAD = f"i{8 * ctypes.sizeof(ctypes.c_ulong)}"


@frame_kernel
def poll_kernel(f: Function) -> None:
    """Let Python's signal handlers run, if some hundred million cycles have passed since.

    Where one raises (Ctrl-C), its exception is left for whoever called the program, and threads
    that help end as well: they ask for that alone, and leave the clock to the caller.
    """
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


def _is_caller(f: Function) -> str:
    """Whether this is the thread that Python called, and none that helps it."""
    f.declare("PyThread_get_thread_ident", f"{THREAD} ()")
    caller = f.emit(f"load {THREAD}, ptr {slot_at(f, Slot.CALLER)}")
    this = f.emit(f"call {THREAD} @PyThread_get_thread_ident()")
    is_alone = f.emit(f"icmp eq {THREAD} {caller}, 0")
    return f.emit(f"or i1 {is_alone}, {f.emit(f'icmp eq {THREAD} {caller}, {this}')}")


@kernel("void (ptr %frame)")
def leave_kernel(f: Function) -> None:
    """Let other threads have Python, if they may not already; ``void (ptr frame)``."""
    place = slot_at(f, Slot.PYTHON)
    state = f.emit(f"load ptr, ptr {place}")
    f.branch(f.emit(f"icmp eq ptr {state}, null"), "leave", "end")
    f.start_block("leave")
    f.declare("PyEval_SaveThread", "ptr ()")
    f.do(f"store ptr {f.emit('call ptr @PyEval_SaveThread()')}, ptr {place}")
    f.jump("end")
    f.start_block("end")
    f.do("ret void")


@kernel("void (ptr %frame)")
def return_kernel(f: Function) -> None:
    """Have Python again, if other threads may; ``void (ptr frame)``."""
    place = slot_at(f, Slot.PYTHON)
    state = f.emit(f"load ptr, ptr {place}")
    f.branch(f.emit(f"icmp eq ptr {state}, null"), "end", "return")
    f.start_block("return")
    f.do(f"store ptr null, ptr {place}")
    f.declare("PyEval_RestoreThread", "void (ptr)")
    f.do(f"call void @PyEval_RestoreThread(ptr {state})")
    f.jump("end")
    f.start_block("end")
    f.do("ret void")


@frame_kernel
def python_kernel(f: Function) -> None:
    """A node that Python computes. Operand, raw: its number.

    Called as Python calls, so that what a signal handler raises before the call begins is still
    there when the program has ended.
    """
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

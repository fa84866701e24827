"""The runtime: what walks a program and what a program is made of besides kernels.

A program is an array of 64-bit words, shared by all calls: one instruction after another, each the
address of a kernel, the instruction's length in bytes, the number of its operands that are slots to
be read, and its operands; a zero ends it. The kernels of this file get their operands as they
stand. Loops are kernels too: their body is a program among their operands. So machine code is
written for distinct kernels only, and what joins them is data.

Frame slots with a meaning: see `Slot`.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

from .abi import begin_kernel, end_kernel
from .emit import I64, Function, Value
from .engine import Kernel

__all__ = ["HEADER_WORDS", "MAX_OPERANDS", "RUN", "THREAD", "Slot", "Status", "runtime_kernels"]

# A tenth of a second, more or less.
_POLL_CYCLES = 200_000_000
# The words of an instruction before its operands.
HEADER_WORDS = 3
# How many slots a kernel may read.
MAX_OPERANDS = 512
RUN = "i32 (ptr %frame, ptr %code)"
# C's ``unsigned long``, in which Python numbers threads.
THREAD = f"i{8 * ctypes.sizeof(ctypes.c_ulong)}"


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
    MEMORY = -3


def _operand(f: Function, position: int) -> str:
    """An operand as it stands: a number in the program, not in the frame."""
    return f.emit(f"load i64, ptr {f.pointer('%operands', str(position), I64)}")


def number(f: Function, position: int) -> str:
    """The contents of the slot that an operand names."""
    return _slot_number(f, _operand(f, position))


def pointer(f: Function, position: int) -> str:
    """The address in the slot that an operand names."""
    return f.emit(f"load ptr, ptr {_slot(f, _operand(f, position))}")


def _slot(f: Function, offset: str) -> str:
    return f.emit(f"getelementptr i8, ptr %frame, i64 {offset}")


def _slot_number(f: Function, offset: str) -> str:
    return f.emit(f"load i64, ptr {_slot(f, offset)}")


def _set(f: Function, position: int, value: str, kind: str = "i64") -> None:
    f.do(f"store {kind} {value}, ptr {_slot(f, _operand(f, position))}")


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
    content = _slot_number(f, offset)
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
    turns = number(f, 0)
    turn_place = _slot(f, _operand(f, 1))
    until = _operand(f, 2)
    count = _operand(f, 3)
    pairs = f.pointer("%operands", "4", I64)
    body = f.pointer(pairs, f.emit(f"shl i64 {count}, 1"), I64)
    has_until = f.emit(f"icmp sge i64 {until}, 0")
    loop = f.begin_loop(turns)
    f.do(f"store i64 {loop.index}, ptr {turn_place}")
    status = f.emit(f"call i32 @{f.use(run_kernel())}(ptr %frame, ptr {body})")
    _return_failure(f, status)
    _advance(f, pairs, count)
    _return_failure(f, f.emit(f"call i32 @{f.use(poll_kernel())}(ptr %frame, ptr %operands)"))
    f.branch(has_until, "ask", "go")
    f.start_block("ask")
    flag = f.emit(f"load ptr, ptr {_slot(f, until)}")
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
    turn, turns = number(f, 0), number(f, 1)
    every = f.emit(f"call i64 @llvm.smax.i64(i64 {number(f, 2)}, i64 1)")
    rest = f.emit(f"urem i64 {turn}, {every}")
    f.branch(f.emit(f"icmp eq i64 {rest}, 0"), "now", "later")
    f.start_block("now")
    left = f.emit(f"sub i64 {turns}, {turn}")
    _set(f, 3, f.emit(f"call i64 @llvm.smin.i64(i64 {every}, i64 {left})"))
    body = f.pointer("%operands", "4", I64)
    f.do(f"ret i32 {f.emit(f'call i32 @{f.use(run_kernel())}(ptr %frame, ptr {body})')}")
    f.start_block("later")
    end_kernel(f)
    return f.kernel()


def _return_failure(f: Function, status: str) -> None:
    fine, failed = f.new_label("fine"), f.new_label("failed")
    f.branch(f.emit(f"icmp eq i32 {status}, 0"), fine, failed)
    f.start_block(failed)
    f.do(f"ret i32 {status}")
    f.start_block(fine)


def _advance(f: Function, pairs: str, count: str) -> None:
    inner = f.begin_loop(count)
    pair = f.emit(f"shl i64 {inner.index}, 1")
    what = f.pointer(pairs, pair, I64)
    by = f.pointer(what, "1", I64)
    place = _slot(f, f.emit(f"load i64, ptr {what}"))
    step = _slot_number(f, f.emit(f"load i64, ptr {by}"))
    moved = f.emit(f"add i64 {f.emit(f'load i64, ptr {place}')}, {step}")
    f.do(f"store i64 {moved}, ptr {place}")
    f.end_loop(inner)


@lru_cache(maxsize=1)
def poll_kernel() -> Kernel:
    """Let Python's signal handlers run, if some hundred million cycles have passed since.

    Where one raises (Ctrl-C), its exception is left for whoever called the program, and threads
    that help end as well: they ask for that alone, and leave the clock to the caller.
    """
    f = begin_kernel()
    f.declare("llvm.readcyclecounter", "i64 ()")
    now = f.emit("call i64 @llvm.readcyclecounter()")
    place = _slot(f, str(8 * Slot.CLOCK))
    before = f.emit(f"load i64, ptr {place}")
    is_first = f.emit(f"icmp eq i64 {before}, 0")
    passed = f.emit(f"sub i64 {now}, {before}")
    recent = f.emit(f"icmp ult i64 {passed}, {_POLL_CYCLES}")
    f.branch(f.emit(f"or i1 {is_first}, {recent}"), "no", "ask")
    f.start_block("no")
    f.do(f"store i64 {f.emit(f'select i1 {is_first}, i64 {now}, i64 {before}')}, ptr {place}")
    f.do("ret i32 0")
    f.start_block("ask")
    stop_place = _slot(f, str(8 * Slot.STOP))
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
    caller = f.emit(f"load {THREAD}, ptr {_slot(f, str(8 * Slot.CALLER))}")
    this = f.emit(f"call {THREAD} @PyThread_get_thread_ident()")
    is_alone = f.emit(f"icmp eq {THREAD} {caller}, 0")
    return f.emit(f"or i1 {is_alone}, {f.emit(f'icmp eq {THREAD} {caller}, {this}')}")


@lru_cache(maxsize=1)
def leave_kernel() -> Kernel:
    """Let other threads have Python, if they may not already; ``void (ptr frame)``."""
    f = Function("void (ptr %frame)")
    place = _slot(f, str(8 * Slot.PYTHON))
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
    place = _slot(f, str(8 * Slot.PYTHON))
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
def polynomial_kernel() -> Kernel:
    """A size. Operands: target, then raw: number of terms, and for each its factor, the number of
    its atoms and their slots."""
    f = begin_kernel()
    terms = _operand(f, 1)
    start = [Value("0", I64, 1), Value("2", I64, 1)]
    loop = f.begin_loop(terms, carried=start)
    total, at = loop.carried
    factor = f.emit(f"load i64, ptr {f.pointer('%operands', at.text, I64)}")
    count_at = f.emit(f"add i64 {at}, 1")
    count = f.emit(f"load i64, ptr {f.pointer('%operands', count_at, I64)}")
    first = f.emit(f"add i64 {at}, 2")
    inner = f.begin_loop(count, carried=[Value(factor, I64, 1)])
    place = f.pointer("%operands", f.emit(f"add i64 {first}, {inner.index}"), I64)
    atom = _slot_number(f, f.emit(f"load i64, ptr {place}"))
    product = f.emit(f"mul i64 {inner.carried[0]}, {atom}")
    f.end_loop(inner, [Value(product, I64, 1)])
    added = f.emit(f"add i64 {total}, {inner.carried[0]}")
    following = f.emit(f"add i64 {first}, {count}")
    f.end_loop(loop, [Value(added, I64, 1), Value(following, I64, 1)])
    _set(f, 0, loop.carried[0].text)
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def floor_div_kernel() -> Kernel:
    """Operands: target, numerator, denominator; 0 for division by zero."""
    f = begin_kernel()
    a, b = number(f, 1), number(f, 2)
    is_zero = f.emit(f"icmp eq i64 {b}, 0")
    safe = f.emit(f"select i1 {is_zero}, i64 1, i64 {b}")
    quotient, rest = f.emit(f"sdiv i64 {a}, {safe}"), f.emit(f"srem i64 {a}, {safe}")
    signs = f.emit(f"icmp slt i64 {f.emit(f'xor i64 {rest}, {safe}')}, 0")
    inexact = f.emit(f"icmp ne i64 {rest}, 0")
    less = f.emit(f"zext i1 {f.emit(f'and i1 {signs}, {inexact}')} to i64")
    floored = f.emit(f"sub i64 {quotient}, {less}")
    _set(f, 0, f.emit(f"select i1 {is_zero}, i64 0, i64 {floored}"))
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def max_zero_kernel() -> Kernel:
    """Operands: target, number."""
    f = begin_kernel()
    f.declare("llvm.smax.i64", "i64 (i64, i64)")
    _set(f, 0, f.emit(f"call i64 @llvm.smax.i64(i64 {number(f, 1)}, i64 0)"))
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def address_kernel() -> Kernel:
    """Operands: target, base address, number of elements, raw: bytes of an element."""
    f = begin_kernel()
    moved = f.emit(f"mul i64 {number(f, 2)}, {_operand(f, 3)}")
    _set(f, 0, f.emit(f"add i64 {number(f, 1)}, {moved}"))
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def read_kernel() -> Kernel:
    """A slot from an int64 in memory. Operands: target, its address."""
    f = begin_kernel()
    _set(f, 0, f.emit(f"load i64, ptr {pointer(f, 1)}"))
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def write_kernel() -> Kernel:
    """An int64 in memory from a slot. Operands: address, number."""
    f = begin_kernel()
    f.do(f"store i64 {number(f, 1)}, ptr {pointer(f, 0)}")
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def rotate_kernel() -> Kernel:
    """The slots' contents moved one slot on, the last one's to the first. Operands: raw: how many,
    then the slots."""
    f = begin_kernel()
    count = _operand(f, 0)
    last = f.pointer("%operands", count, I64)
    kept = _slot_number(f, f.emit(f"load i64, ptr {last}"))
    end = f.emit(f"add i64 {count}, 1")
    loop = f.begin_loop(end, start="1", carried=[Value(kept, I64, 1)])
    place = f.pointer("%operands", loop.index.text, I64)
    slot = _slot(f, f.emit(f"load i64, ptr {place}"))
    old = f.emit(f"load i64, ptr {slot}")
    f.do(f"store i64 {loop.carried[0]}, ptr {slot}")
    f.end_loop(loop, [Value(old, I64, 1)])
    end_kernel(f)
    return f.kernel()


# How many bytes before a block's first element hold the list of blocks; a cache line.
_BLOCK_HEADER = 64


@lru_cache(maxsize=1)
def allocate_kernel() -> Kernel:
    """Memory until the end of the call. Operands: target, number of elements, raw: bytes of one."""
    f = begin_kernel()
    f.declare("llvm.smax.i64", "i64 (i64, i64)")
    size = f.emit(f"mul i64 {number(f, 1)}, {_operand(f, 2)}")
    size = f.emit(f"call i64 @llvm.smax.i64(i64 {size}, i64 0)")
    _set(f, 0, _block(f, size))
    end_kernel(f)
    return f.kernel()


def _block(f: Function, size: str) -> str:
    """The address of fresh memory, which is on the frame's list; the function returns without."""
    f.declare("malloc", "ptr (i64)")
    # Room for the list, and for alignment.
    block = f.emit(f"call ptr @malloc(i64 {f.emit(f'add i64 {size}, {3 * _BLOCK_HEADER}')})")
    none, some = f.new_label("none"), f.new_label("some")
    f.branch(f.emit(f"icmp eq ptr {block}, null"), none, some)
    f.start_block(none)
    f.do(f"ret i32 {Status.MEMORY}")
    f.start_block(some)
    address = f.emit(f"ptrtoint ptr {block} to i64")
    # Several threads may allocate at once; nobody reads the list before they are done.
    head = _slot(f, str(8 * Slot.BLOCKS))
    before = f.emit(f"atomicrmw xchg ptr {head}, i64 {address} seq_cst")
    f.do(f"store i64 {before}, ptr {block}")
    aligned = f.emit(f"add i64 {address}, {2 * _BLOCK_HEADER - 1}")
    return f.emit(f"and i64 {aligned}, -{_BLOCK_HEADER}")


@lru_cache(maxsize=1)
def grow_kernel() -> Kernel:
    """Twice the room, where a loop of unknown length has filled it. Operands: the turn, the number
    of turns that there is room for, raw: how many buffers and how many addresses into them; for
    each buffer the slots of its address, of the rows ahead, of a row's bytes and of how far it
    moved; for each address its slot and that of how far it moves."""
    f = begin_kernel()
    capacity = number(f, 1)
    full = f.emit(f"icmp sge i64 {number(f, 0)}, {capacity}")
    f.branch(full, "grow", "fits")
    f.start_block("fits")
    f.do("ret i32 0")
    f.start_block("grow")
    double = f.emit(f"shl i64 {capacity}, 1")
    f.do(f"store i64 {double}, ptr {_slot(f, _operand(f, 1))}")
    buffers, addresses = _operand(f, 2), _operand(f, 3)
    first = f.pointer("%operands", "4", I64)
    loop = f.begin_loop(buffers)
    entry = f.pointer(first, f.emit(f"shl i64 {loop.index}, 2"), I64)
    base, ahead, row, moved = (
        _slot(f, f.emit(f"load i64, ptr {f.pointer(entry, str(i), I64)}")) for i in range(4)
    )
    ahead, row = f.emit(f"load i64, ptr {ahead}"), f.emit(f"load i64, ptr {row}")
    used = f.emit(f"mul i64 {f.emit(f'add i64 {ahead}, {capacity}')}, {row}")
    size = f.emit(f"mul i64 {f.emit(f'add i64 {ahead}, {double}')}, {row}")
    new = _block(f, size)
    old = f.emit(f"load i64, ptr {base}")
    f.declare("memcpy", "ptr (ptr, ptr, i64)")
    source = f.emit(f"inttoptr i64 {old} to ptr")
    target = f.emit(f"inttoptr i64 {new} to ptr")
    f.emit(f"call ptr @memcpy(ptr {target}, ptr {source}, i64 {used})")
    f.do(f"store i64 {new}, ptr {base}")
    f.do(f"store i64 {f.emit(f'sub i64 {new}, {old}')}, ptr {moved}")
    f.end_loop(loop)
    second = f.pointer(first, f.emit(f"shl i64 {buffers}, 2"), I64)
    _advance(f, second, addresses)
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def arena_kernel() -> Kernel:
    """One piece of memory for many buffers. Operands: a slot for its size, a slot for its address,
    raw: how many buffers, and for each its slot, the slot of its number of elements and its bytes.
    With an address of 0 the size is computed, else the buffers get their addresses."""
    f = begin_kernel()
    base = number(f, 1)
    first = f.pointer("%operands", "3", I64)
    loop = f.begin_loop(_operand(f, 2), carried=[Value(base, I64, 1)])
    at = loop.carried[0]
    entry = f.pointer(first, f.emit(f"mul i64 {loop.index}, 3"), I64)
    count = _slot_number(f, f.emit(f"load i64, ptr {f.pointer(entry, '1', I64)}"))
    bytes_each = f.emit(f"load i64, ptr {f.pointer(entry, '2', I64)}")
    f.do(f"store i64 {at}, ptr {_slot(f, f.emit(f'load i64, ptr {entry}'))}")
    f.declare("llvm.smax.i64", "i64 (i64, i64)")
    size = f.emit(f"mul i64 {count}, {bytes_each}")
    size = f.emit(f"call i64 @llvm.smax.i64(i64 {size}, i64 0)")
    size = f.emit(f"and i64 {f.emit(f'add i64 {size}, 127')}, -64")
    f.end_loop(loop, [Value(f.emit(f"add i64 {at}, {size}"), I64, 1)])
    _set(f, 0, f.emit(f"sub i64 {at}, {base}"))
    end_kernel(f)
    return f.kernel()


@lru_cache(maxsize=1)
def release_kernel() -> Kernel:
    """Give back all memory that the call allocated; ``void (ptr frame)``."""
    f = Function("void (ptr %frame)")
    f.declare("free", "void (ptr)")
    head = f.emit(f"load ptr, ptr {_slot(f, str(8 * Slot.BLOCKS))}")
    f.jump("next")
    f.start_block("next")
    f.do(f"%block = phi ptr [ {head}, %entry ], [ %following, %one ]")
    f.do("%is_end = icmp eq ptr %block, null")
    f.branch("%is_end", "end", "one")
    f.start_block("one")
    f.do("%following = load ptr, ptr %block")
    f.do("call void @free(ptr %block)")
    f.jump("next")
    f.start_block("end")
    f.do("ret void")
    return f.kernel()


@lru_cache(maxsize=1)
def check_kernel() -> Kernel:
    """Two sizes that must agree. Operands: one, the other, raw: the status where they do not."""
    f = begin_kernel()
    code = f.emit(f"trunc i64 {_operand(f, 2)} to i32")
    same = f.emit(f"icmp eq i64 {number(f, 0)}, {number(f, 1)}")
    f.do(f"ret i32 {f.emit(f'select i1 {same}, i32 0, i32 {code}')}")
    return f.kernel()


@lru_cache(maxsize=1)
def at_least_kernel() -> Kernel:
    """A size that must not be less than another. Operands: the size, the least, raw: the status."""
    f = begin_kernel()
    code = f.emit(f"trunc i64 {_operand(f, 2)} to i32")
    fine = f.emit(f"icmp sge i64 {number(f, 0)}, {number(f, 1)}")
    f.do(f"ret i32 {f.emit(f'select i1 {fine}, i32 0, i32 {code}')}")
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
    counters = f.emit(f"inttoptr i64 {_operand(f, 0)} to ptr")
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
    """A step in Python. Operand, raw: its number."""
    f = begin_kernel()
    callback = f.emit(f"load ptr, ptr {_slot(f, str(8 * Slot.CALLBACK))}")
    f.do(f"ret i32 {f.emit(f'call i32 {callback}(ptr %frame, i64 {_operand(f, 0)})')}")
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

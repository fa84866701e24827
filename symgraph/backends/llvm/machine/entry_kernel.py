"""The machine code of the short way into a program, one piece for all programs.

It takes arrays exactly as the program wants them, allocates the results through NumPy's C
functions, and runs the program in a frame on the stack. What differs from program to program is in
the descriptor that the built-in function carries.
"""

from __future__ import annotations

import sys

from ..code.emit import I64, POINTER, Function, Value, kernel
from .frame import Status, slot_at, value_at
from .interpreter import leave_kernel, return_kernel
from .memory import release_kernel
from .runtime import run_kernel

__all__ = ["USUAL", "ArrayField", "Word", "entry_kernel"]


class ArrayField:
    """Where the fields of NumPy's array object lie, in bytes."""

    TYPE, DATA, NDIM, DIMS, DESCR, FLAGS = 8, 16, 24, 32, 56, 64


# The flags of an array in C order, and aligned.
USUAL = 0x0001 | 0x0100


class Word:
    """The words of a descriptor."""

    (
        N_ARGUMENTS, N_SLOTS, TEMPLATE, PROLOGUE, MAIN, ARGUMENTS, N_RESULTS, RESULTS,
        ARENA_SIZE, ARENA_BASE, CELL, ARRAY_TYPE, ARRAY_NEW, ARRAY_RETURN, IS_LONG, SLOW, IS_ONE,
        HAS_SCALARS, COUNT,
    ) = range(19)  # fmt: skip


def _field(f: Function, base: str, offset: int, kind: str) -> str:
    place = f.emit(f"getelementptr i8, ptr {base}, i64 {offset}")
    return f.emit(f"load {kind}, ptr {place}")


def _word(f: Function, word: int, kind: str = "i64") -> str:
    return _field(f, "%d", 8 * word, kind)


def _require(f: Function, condition: str, otherwise: str = "slow") -> None:
    following = f.new_label("ok")
    f.branch(condition, following, otherwise)
    f.start_block(following)


@kernel("ptr (ptr %self, ptr %args, i64 %n)")
def entry_kernel(f: Function) -> None:
    """``PyObject *(PyObject *self, PyObject **arguments, Py_ssize_t n)``."""
    f.declare("PyCapsule_GetPointer", "ptr (ptr, ptr)")
    f.do("%d = call ptr @PyCapsule_GetPointer(ptr %self, ptr null)")
    _require(f, f.emit(f"icmp eq i64 %n, {_word(f, Word.N_ARGUMENTS)}"))
    n_slots = _word(f, Word.N_SLOTS)
    f.do(f"%frame = alloca i64, i64 {n_slots}, align 64")
    f.do("%dims = alloca i64, i64 64")
    template = _word(f, Word.TEMPLATE, "ptr")
    f.declare("memcpy", "ptr (ptr, ptr, i64)")
    size = f.emit(f"shl i64 {n_slots}, 3")
    f.emit(f"call ptr @memcpy(ptr %frame, ptr {template}, i64 {size})")
    _read_arguments(f)
    run = f.use(run_kernel())
    status = f.emit(f"call i32 @{run}(ptr %frame, ptr {_word(f, Word.PROLOGUE, 'ptr')})")
    _require(f, f.emit(f"icmp eq i32 {status}, 0"))
    _take_arena(f, run)
    _make_results(f)
    _run_main(f, run)
    _give_back(f)
    _hand_over(f)
    f.start_block("slow")
    f.declare("PyObject_Vectorcall", "ptr (ptr, ptr, i64, ptr)")
    slow = _word(f, Word.SLOW, "ptr")
    f.do(f"%again = call ptr @PyObject_Vectorcall(ptr {slow}, ptr %args, i64 %n, ptr null)")
    f.do("ret ptr %again")


def _read_arguments(f: Function) -> None:
    """Check each argument, and put its address and sizes into the frame."""
    table = _word(f, Word.ARGUMENTS, "ptr")
    array_type = _word(f, Word.ARRAY_TYPE, "ptr")
    loop = f.begin_loop("%n", carried=[Value(table, POINTER, 1)])
    at = loop.carried[0].text
    argument = f.emit(f"load ptr, ptr {f.emit(f'getelementptr ptr, ptr %args, i64 {loop.index}')}")
    _require(f, f.emit(f"icmp eq ptr {_field(f, argument, ArrayField.TYPE, 'ptr')}, {array_type}"))
    descr = _field(f, argument, ArrayField.DESCR, "ptr")
    _require(f, f.emit(f"icmp eq ptr {descr}, {_field(f, at, 0, 'ptr')}"))
    ndim = f.emit(f"zext i32 {_field(f, argument, ArrayField.NDIM, 'i32')} to i64")
    _require(f, f.emit(f"icmp eq i64 {ndim}, {_field(f, at, 8, 'i64')}"))
    flags = f.emit(f"and i32 {_field(f, argument, ArrayField.FLAGS, 'i32')}, {USUAL}")
    _require(f, f.emit(f"icmp eq i32 {flags}, {USUAL}"))
    place = slot_at(f, _field(f, at, 16, "i64"))
    f.do(f"store ptr {_field(f, argument, ArrayField.DATA, 'ptr')}, ptr {place}")
    sizes = _field(f, argument, ArrayField.DIMS, "ptr")
    axes = f.begin_loop(ndim)
    rule = f.pointer(at, f.emit(f"add i64 {f.emit(f'shl i64 {axes.index}, 1')}, 3"), I64)
    slot_or_size = _field(f, rule, 8, "i64")
    size = f.word(sizes, axes.index.text)
    stored, fixed, done = (f.new_label(hint) for hint in ("stored", "fixed", "done"))
    f.branch(f.emit(f"icmp ne i64 {_field(f, rule, 0, 'i64')}, 0"), stored, fixed)
    f.start_block(stored)
    f.do(f"store i64 {size}, ptr {slot_at(f, slot_or_size)}")
    f.jump(done)
    f.start_block(fixed)
    f.branch(f.emit(f"icmp eq i64 {size}, {slot_or_size}"), done, "slow")
    f.start_block(done)
    f.end_loop(axes)
    length = f.emit(f"add i64 {f.emit(f'shl i64 {ndim}, 1')}, 3")
    f.end_loop(loop, [Value(f.pointer(at, length, I64), POINTER, 1)])


# The first words of an arena: how many bytes it has.
_ARENA_HEADER = 64
# From how many bytes on an arena asks for large pages: touching 30 MB for the first time takes
# 3.5 ms with them and 18 ms without.
_LARGE = 1 << 22
_PAGE = 1 << 16  # no system has larger ones by default
_HUGE_PAGES = 14  # MADV_HUGEPAGE


def _take_arena(f: Function, run: str) -> None:
    """Take the arena that the last call left, or make one; then its buffers get their addresses."""
    f.declare("malloc", "ptr (i64)")
    f.declare("free", "void (ptr)")
    base_slot = _word(f, Word.ARENA_BASE)
    f.branch(f.emit(f"icmp slt i64 {base_slot}, 0"), "no_arena", "arena")
    f.start_block("arena")
    needed = value_at(f, _word(f, Word.ARENA_SIZE))
    needed = f.emit(f"add i64 {needed}, {3 * _ARENA_HEADER}")
    cell = f.emit(f"getelementptr i8, ptr %d, i64 {8 * Word.CELL}")
    old = f.emit(f"atomicrmw xchg ptr {cell}, i64 0 seq_cst")
    old = f.emit(f"inttoptr i64 {old} to ptr")
    f.branch(f.emit(f"icmp eq ptr {old}, null"), "make", "look")
    f.start_block("look")
    room = f.emit(f"load i64, ptr {old}")
    f.branch(f.emit(f"icmp sge i64 {room}, {needed}"), "have", "drop")
    f.start_block("drop")
    f.do(f"call void @free(ptr {old})")
    f.jump("make")
    f.start_block("make")
    f.do(f"%made = call ptr @malloc(i64 {needed})")
    f.branch(f.emit("icmp eq ptr %made, null"), "slow", "new")
    f.start_block("new")
    f.do(f"store i64 {needed}, ptr %made")
    _ask_for_large_pages(f, needed)
    f.jump("kept")
    f.start_block("kept")
    f.jump("have")
    f.start_block("have")
    f.do(f"%block = phi ptr [ {old}, %look ], [ %made, %kept ]")
    address = f.emit("ptrtoint ptr %block to i64")
    aligned = f.emit(f"add i64 {address}, {2 * _ARENA_HEADER - 1}")
    aligned = f.emit(f"and i64 {aligned}, -{_ARENA_HEADER}")
    f.do(f"store i64 {aligned}, ptr {slot_at(f, base_slot)}")
    f.do(f"%again_status = call i32 @{run}(ptr %frame, ptr {_word(f, Word.PROLOGUE, 'ptr')})")
    f.jump("placed")
    f.start_block("no_arena")
    f.jump("placed")
    f.start_block("placed")
    f.do("%taken = phi ptr [ %block, %have ], [ null, %no_arena ]")


def _ask_for_large_pages(f: Function, size: str) -> None:
    """Let the system back a large arena with pages of megabytes, as NumPy does for its arrays."""
    if sys.platform != "linux":
        return
    f.declare("madvise", "i32 (ptr, i64, i32)")
    f.branch(f.emit(f"icmp sge i64 {size}, {_LARGE}"), "large", "kept")
    f.start_block("large")
    first = f.emit(f"add i64 {f.emit('ptrtoint ptr %made to i64')}, {_PAGE - 1}")
    first = f.emit(f"inttoptr i64 {f.emit(f'and i64 {first}, -{_PAGE}')} to ptr")
    length = f.emit(f"sub i64 {size}, {_PAGE}")
    f.emit(f"call i32 @madvise(ptr {first}, i64 {length}, i32 {_HUGE_PAGES})")


def _make_results(f: Function) -> None:
    """Arrays for the results; references to them stand in the array of objects."""
    count = _word(f, Word.N_RESULTS)
    f.do(f"%objects = alloca ptr, i64 {count}")
    new = _word(f, Word.ARRAY_NEW, "ptr")
    array_type = _word(f, Word.ARRAY_TYPE, "ptr")
    loop = f.begin_loop(count, carried=[Value(_word(f, Word.RESULTS, "ptr"), POINTER, 1)])
    at = loop.carried[0].text
    ndim = _field(f, at, 8, "i64")
    axes = f.begin_loop(ndim)
    slot = _field(f, f.pointer(at, axes.index.text, I64), 24, "i64")
    size = value_at(f, slot)
    f.do(f"store i64 {size}, ptr {f.pointer('%dims', axes.index.text, I64)}")
    f.end_loop(axes)
    number = f.emit(f"trunc i64 {_field(f, at, 0, 'i64')} to i32")
    narrow = f.emit(f"trunc i64 {ndim} to i32")
    array = f.emit(
        f"call ptr {new}(ptr {array_type}, i32 {narrow}, ptr %dims, i32 {number}, ptr null, "
        "ptr null, i32 0, i32 0, ptr null)"
    )
    f.do(f"store ptr {array}, ptr {f.emit(f'getelementptr ptr, ptr %objects, i64 {loop.index}')}")
    # Without memory for a result the Python function says so.
    _require(f, f.emit(f"icmp ne ptr {array}, null"), "no_result")
    place = slot_at(f, _field(f, at, 16, "i64"))
    f.do(f"store ptr {_field(f, array, ArrayField.DATA, 'ptr')}, ptr {place}")
    length = f.emit(f"add i64 {ndim}, 3")
    f.end_loop(loop, [Value(f.pointer(at, length, I64), POINTER, 1)])
    f.jump("results")
    f.start_block("no_result")
    f.declare("PyErr_Clear", "void ()")
    f.do("call void @PyErr_Clear()")
    f.do("call void @free(ptr %taken)")
    _drop_results(f, loop.index.text)
    f.jump("slow")
    f.start_block("results")


def _drop_results(f: Function, count: str) -> None:
    """Give back the first so many results."""
    f.declare("Py_DecRef", "void (ptr)")
    loop = f.begin_loop(count)
    array = f.emit(f"load ptr, ptr {f.emit(f'getelementptr ptr, ptr %objects, i64 {loop.index}')}")
    f.do(f"call void @Py_DecRef(ptr {array})")
    f.end_loop(loop)


def _run_main(f: Function, run: str) -> None:
    main = _word(f, Word.MAIN, "ptr")
    is_long = f.emit(f"icmp ne i64 {_word(f, Word.IS_LONG)}, 0")
    f.branch(is_long, "long", "run")
    f.start_block("long")
    f.do(f"call void @{f.use(leave_kernel())}(ptr %frame)")
    f.jump("run")
    f.start_block("run")
    f.do(f"%status = call i32 @{run}(ptr %frame, ptr {main})")
    f.do(f"call void @{f.use(return_kernel())}(ptr %frame)")
    f.do(f"call void @{f.use(release_kernel())}(ptr %frame)")


def _give_back(f: Function) -> None:
    """Leave the arena for the next call; of two, one is freed."""
    cell = f.emit(f"getelementptr i8, ptr %d, i64 {8 * Word.CELL}")
    address = f.emit("ptrtoint ptr %taken to i64")
    f.branch(f.emit("icmp eq ptr %taken, null"), "given", "give")
    f.start_block("give")
    other = f.emit(f"atomicrmw xchg ptr {cell}, i64 {address} seq_cst")
    f.do(f"call void @free(ptr {f.emit(f'inttoptr i64 {other} to ptr')})")
    f.jump("given")
    f.start_block("given")


def _hand_over(f: Function) -> None:
    """The one result, or a list; after a failure the results are dropped."""
    f.declare("PyList_New", "ptr (i64)")
    f.declare("PyList_SetItem", "i32 (ptr, i64, ptr)")
    count = _word(f, Word.N_RESULTS)
    f.branch(f.emit("icmp eq i32 %status, 0"), "good", "bad")
    f.start_block("bad")
    is_raised = f.emit(f"icmp eq i32 %status, {Status.RAISED}")
    _drop_results(f, count)
    f.branch(is_raised, "raised", "slow")
    f.start_block("raised")
    f.do("ret ptr null")
    f.start_block("good")
    scalars = _word(f, Word.ARRAY_RETURN, "ptr")
    f.branch(f.emit(f"icmp ne i64 {_word(f, Word.IS_ONE)}, 0"), "one", "several")
    f.start_block("one")
    f.do("%first = load ptr, ptr %objects")
    f.do(f"%single = call ptr {scalars}(ptr %first)")
    f.do("ret ptr %single")
    f.start_block("several")
    f.do(f"%list = call ptr @PyList_New(i64 {count})")
    has_scalars = f.emit(f"icmp ne i64 {_word(f, Word.HAS_SCALARS)}, 0")
    loop = f.begin_loop(count)
    array = f.emit(f"load ptr, ptr {f.emit(f'getelementptr ptr, ptr %objects, i64 {loop.index}')}")
    f.branch(has_scalars, "scalar", "array")
    f.start_block("scalar")
    f.do(f"%number = call ptr {scalars}(ptr {array})")
    f.jump("array")
    f.start_block("array")
    result = f.emit(f"phi ptr [ {array}, %{loop.label}.body ], [ %number, %scalar ]")
    f.emit(f"call i32 @PyList_SetItem(ptr %list, i64 {loop.index}, ptr {result})")
    f.end_loop(loop)
    f.do("ret ptr %list")

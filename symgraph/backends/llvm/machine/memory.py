"""Instructions on memory: the arena of a call, and blocks that are allocated as it goes."""

from __future__ import annotations

from ..code.emit import I32, I64, Function, Value, kernel
from .frame import (
    Slot,
    advance,
    frame_kernel,
    operand,
    set_slot,
    slot_address,
    slot_at,
    slot_value,
    value_at,
)

# How many bytes before a block's first element hold the list of blocks; a cache line.
_BLOCK_HEADER = 64
# And how many bytes a block has besides its elements.
BLOCK_EXTRA = 3 * _BLOCK_HEADER
# What guarded memory is filled with, four bytes at a time: NaN as a float of any width, and as an
# integer of 32 or 64 bits a number that is no index. The lower half tells the address, so that what
# is copied from one place to another is noticed too.
PATTERN, PATTERN_FACTOR = 0xFFFB0000, 0x9E3779B1
# No memory has so many bytes, and sums of some hundred such numbers fit 64 bits.
MOST_BYTES = 1 << 56


def bytes_of(f: Function, count: str, each: str) -> str:
    """The bytes of so many elements: 0 of a negative number, and never more than ``MOST_BYTES``."""
    f.declare("llvm.smul.with.overflow.i64", "{i64, i1} (i64, i64)")
    count = f.at_least(count, 0)
    both = f.emit(f"call {{i64, i1}} @llvm.smul.with.overflow.i64(i64 {count}, i64 {each})")
    size = f.emit(f"extractvalue {{i64, i1}} {both}, 0")
    size = f.at_most(size, MOST_BYTES)
    wraps = f.emit(f"extractvalue {{i64, i1}} {both}, 1")
    return f.emit(f"select i1 {wraps}, i64 {MOST_BYTES}, i64 {size}")


@frame_kernel
def allocate_kernel(f: Function, *, guarded: bool = False) -> None:
    """Memory until the end of the call, the same whenever the instruction is run again and that is
    large enough. Operands: target, number of elements, raw: bytes of one, the status where there is
    no memory; slots of the address that it gave before, and of the bytes there."""
    size = bytes_of(f, slot_value(f, 1), operand(f, 2))
    kept, room = slot_value(f, 4), slot_value(f, 5)
    is_there = f.emit(f"icmp ne i64 {kept}, 0")
    fits = f.emit(f"and i1 {is_there}, {f.emit(f'icmp sle i64 {size}, {room}')}")
    f.branch(fits, "again", "fresh")
    f.start_block("again")
    set_slot(f, 0, kept)
    f.do("ret i32 0")
    f.start_block("fresh")
    # Twice the room, lest a little more each time be as much as all together.
    size = f.at_most(f.at_least(size, f.emit(f"shl i64 {room}, 1")), MOST_BYTES)
    block = _block(f, size, operand(f, 3), guarded=guarded)
    set_slot(f, 0, block)
    set_slot(f, 4, block)
    set_slot(f, 5, size)


def _block(f: Function, size: str, status: str, *, guarded: bool) -> str:
    """The address of fresh memory, which is on the frame's list; without, the function returns the
    status. A guarded block tells its size and this status, and the pattern is all around it."""
    f.declare("malloc", "ptr (i64)")
    # Room for the list, and for alignment.
    whole = f.emit(f"add i64 {size}, {BLOCK_EXTRA}")
    block = f.emit(f"call ptr @malloc(i64 {whole})")
    none, some = f.new_label("none"), f.new_label("some")
    f.branch(f.emit(f"icmp eq ptr {block}, null"), none, some)
    f.start_block(none)
    f.do(f"ret i32 {f.emit(f'trunc i64 {status} to i32')}")
    f.start_block(some)
    address = f.emit(f"ptrtoint ptr {block} to i64")
    # Several threads may allocate at once; nobody reads the list before they are done.
    head = slot_at(f, Slot.BLOCKS)
    before = f.emit(f"atomicrmw xchg ptr {head}, i64 {address} seq_cst")
    if guarded:
        _fill(f, block, whole)
        f.do(f"store i64 {size}, ptr {f.pointer(block, '1', I64)}")
        f.do(f"store i64 {status}, ptr {f.pointer(block, '2', I64)}")
    f.do(f"store i64 {before}, ptr {block}")
    aligned = f.emit(f"add i64 {address}, {2 * _BLOCK_HEADER - 1}")
    return f.emit(f"and i64 {aligned}, -{_BLOCK_HEADER}")


def _fill(f: Function, place: str, size: str) -> None:
    """Write the pattern into so many bytes, or up to three less."""
    loop = f.begin_loop(f.emit(f"lshr i64 {size}, 2"))
    word = f.pointer(place, loop.index.text, I32)
    address = f.emit(f"lshr i64 {f.emit(f'ptrtoint ptr {word} to i64')}, 2")
    mixed = f.emit(f"mul i32 {f.emit(f'trunc i64 {address} to i32')}, {PATTERN_FACTOR}")
    pattern = f.emit(f"or i32 {f.emit(f'lshr i32 {mixed}, 16')}, {PATTERN}")
    f.do(f"store i32 {pattern}, ptr {word}")
    f.end_loop(loop)


@frame_kernel
def fill_kernel(f: Function) -> None:
    """The pattern in place of elements that nobody reads any more. Operands: their address, their
    number, raw: the bytes of one."""
    _fill(f, slot_address(f, 0), bytes_of(f, slot_value(f, 1), operand(f, 2)))


@frame_kernel
def grow_kernel(f: Function, *, guarded: bool = False) -> None:
    """Twice the room, where a loop of unknown length has filled it. Operands: the turn, the number
    of turns that there is room for, raw: the status where there is no memory, how many buffers and
    how many addresses into them; for each buffer the slots of its address, of the rows ahead, of a
    row's bytes and of how far it moved; for each address its slot and that of how far it moves."""
    capacity = slot_value(f, 1)
    full = f.emit(f"icmp sge i64 {slot_value(f, 0)}, {capacity}")
    f.branch(full, "grow", "fits")
    f.start_block("fits")
    f.do("ret i32 0")
    f.start_block("grow")
    double = f.emit(f"shl i64 {capacity}, 1")
    f.do(f"store i64 {double}, ptr {slot_at(f, operand(f, 1))}")
    status, buffers, addresses = (operand(f, i) for i in range(2, 5))
    first = f.pointer("%operands", "5", I64)
    loop = f.begin_loop(buffers)
    entry = f.pointer(first, f.emit(f"shl i64 {loop.index}, 2"), I64)
    base, ahead, row, moved = (slot_at(f, f.word(entry, i)) for i in range(4))
    ahead, row = f.emit(f"load i64, ptr {ahead}"), f.emit(f"load i64, ptr {row}")
    used = f.emit(f"mul i64 {f.emit(f'add i64 {ahead}, {capacity}')}, {row}")
    size = bytes_of(f, f.emit(f"add i64 {ahead}, {double}"), row)
    new = _block(f, size, status, guarded=guarded)
    old = f.emit(f"load i64, ptr {base}")
    f.declare("memcpy", "ptr (ptr, ptr, i64)")
    source = f.emit(f"inttoptr i64 {old} to ptr")
    target = f.emit(f"inttoptr i64 {new} to ptr")
    f.emit(f"call ptr @memcpy(ptr {target}, ptr {source}, i64 {used})")
    f.do(f"store i64 {new}, ptr {base}")
    f.do(f"store i64 {f.emit(f'sub i64 {new}, {old}')}, ptr {moved}")
    f.end_loop(loop)
    second = f.pointer(first, f.emit(f"shl i64 {buffers}, 2"), I64)
    advance(f, second, addresses)


@frame_kernel
def arena_kernel(f: Function) -> None:
    """One piece of memory for many buffers. Operands: a slot for its size, a slot for its address,
    raw: how many buffers, and for each its slot, the slot of its number of elements, the bytes of
    one, and the status where there cannot be so much memory.
    With an address of 0 the size is computed, else the buffers get their addresses."""
    base = slot_value(f, 1)
    first = f.pointer("%operands", "3", I64)
    loop = f.begin_loop(operand(f, 2), carried=[Value(base, I64, 1)])
    at = loop.carried[0]
    entry = f.pointer(first, f.emit(f"shl i64 {loop.index}, 2"), I64)
    slot, count_slot, bytes_each, status = (f.word(entry, i) for i in range(4))
    f.do(f"store i64 {at}, ptr {slot_at(f, slot)}")
    size = bytes_of(f, value_at(f, count_slot), bytes_each)
    size = f.emit(f"and i64 {f.emit(f'add i64 {size}, 127')}, -64")
    following = f.emit(f"add i64 {at}, {size}")
    used = f.emit(f"sub i64 {following}, {base}")
    fits, none = f.new_label("fits"), f.new_label("none")
    f.branch(f.emit(f"icmp slt i64 {used}, {MOST_BYTES}"), fits, none)
    f.start_block(none)
    f.do(f"ret i32 {f.emit(f'trunc i64 {status} to i32')}")
    f.start_block(fits)
    f.end_loop(loop, [Value(following, I64, 1)])
    set_slot(f, 0, f.emit(f"sub i64 {at}, {base}"))


@kernel("void (ptr %frame)")
def release_kernel(f: Function) -> None:
    """Give back all memory that the call allocated; ``void (ptr frame)``."""
    f.declare("free", "void (ptr)")
    head = f.emit(f"load ptr, ptr {slot_at(f, Slot.BLOCKS)}")
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

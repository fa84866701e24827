"""Instructions on sizes and addresses: formulas, numbers in memory, checks."""

from __future__ import annotations

from ..code.emit import I64, Function, Value
from .frame import (
    frame_kernel,
    operand,
    return_success,
    set_slot,
    slot_address,
    slot_value,
    value_at,
)

# What sizes that nobody counts exactly become where 64 bits do not hold them: the work of a part.
_LARGEST = (1 << 63) - 1


@frame_kernel
def polynomial_kernel(f: Function) -> None:
    """A size. Operands: target, then raw: the status where 64 bits do not hold it (0: it is the
    largest number then), number of terms, and for each its factor, the number of its atoms and
    their slots."""
    terms = operand(f, 2)
    start = [Value("0", I64, 1), Value("3", I64, 1)]
    loop = f.begin_loop(terms, carried=start)
    total, at = loop.carried
    factor = f.word("%operands", at.text)
    count_at = f.emit(f"add i64 {at}, 1")
    count = f.word("%operands", count_at)
    first = f.emit(f"add i64 {at}, 2")
    inner = f.begin_loop(count, carried=[Value(factor, I64, 1)])
    place = f.pointer("%operands", f.emit(f"add i64 {first}, {inner.index}"), I64)
    atom = value_at(f, f.emit(f"load i64, ptr {place}"))
    product = _exactly(f, "mul", inner.carried[0].text, atom)
    f.end_loop(inner, [Value(product, I64, 1)])
    added = _exactly(f, "add", total.text, inner.carried[0].text)
    following = f.emit(f"add i64 {first}, {count}")
    f.end_loop(loop, [Value(added, I64, 1), Value(following, I64, 1)])
    set_slot(f, 0, loop.carried[0].text)
    return_success(f)
    f.start_block("too_large")
    set_slot(f, 0, str(_LARGEST))
    f.do(f"ret i32 {f.emit(f'trunc i64 {operand(f, 1)} to i32')}")


def _exactly(f: Function, operation: str, a: str, b: str) -> str:
    """The sum or product; where 64 bits do not hold it, the program goes to ``too_large``."""
    f.declare(f"llvm.s{operation}.with.overflow.i64", "{i64, i1} (i64, i64)")
    both = f.emit(f"call {{i64, i1}} @llvm.s{operation}.with.overflow.i64(i64 {a}, i64 {b})")
    exact = f.new_label("exact")
    f.branch(f.emit(f"extractvalue {{i64, i1}} {both}, 1"), "too_large", exact)
    f.start_block(exact)
    return f.emit(f"extractvalue {{i64, i1}} {both}, 0")


@frame_kernel
def floor_div_kernel(f: Function) -> None:
    """Operands: target, numerator, denominator; 0 for division by zero."""
    set_slot(f, 0, floor_divided(f, slot_value(f, 1), slot_value(f, 2)))


def floor_divided(f: Function, a: str, b: str) -> str:
    """The quotient, rounded down; 0 for division by zero."""
    # The least number by -1 is one more than 64 bits hold: dividing it would end the process.
    is_minus_one = f.emit(f"icmp eq i64 {b}, -1")
    least = f.emit(f"select i1 {is_minus_one}, i64 {-_LARGEST}, i64 {-_LARGEST - 1}")
    a = f.at_least(a, least)
    is_zero = f.emit(f"icmp eq i64 {b}, 0")
    safe = f.emit(f"select i1 {is_zero}, i64 1, i64 {b}")
    quotient, rest = f.emit(f"sdiv i64 {a}, {safe}"), f.emit(f"srem i64 {a}, {safe}")
    signs = f.emit(f"icmp slt i64 {f.emit(f'xor i64 {rest}, {safe}')}, 0")
    inexact = f.emit(f"icmp ne i64 {rest}, 0")
    less = f.emit(f"zext i1 {f.emit(f'and i1 {signs}, {inexact}')} to i64")
    floored = f.emit(f"sub i64 {quotient}, {less}")
    return f.emit(f"select i1 {is_zero}, i64 0, i64 {floored}")


@frame_kernel
def interval_kernel(f: Function) -> None:
    """Operands: target, and four numbers, as `interval_of` takes them."""
    set_slot(f, 0, interval(f, *(slot_value(f, i) for i in range(1, 5))))


def interval(f: Function, steps: str, kept: str, each: str, memory: str) -> str:
    """How many steps checkpoints are apart: what `interval_of` gives."""
    steps, kept, each = f.at_least(steps, 1), f.at_least(kept, 0), f.at_least(each, 1)
    root, last = _root(f, steps), f.emit(f"sub i64 {steps}, 1")
    is_bounded = f.emit(f"icmp sgt i64 {memory}, 0")
    turns = f.emit(f"select i1 {is_bounded}, i64 {f.emit(f'mul i64 {root}, 2')}, i64 0")
    # What takes least, with the steps that run again then; of what fits those with the fewest.
    most = str(_LARGEST)
    loop = f.begin_loop(turns, carried=[Value(x, I64, 1) for x in (most, most, "1", most, "1")])
    taken, again, every, fewest, found = (value.text for value in loop.carried)
    count = f.emit(f"add i64 {loop.index}, 1")
    even = f.emit(f"add i64 {f.emit(f'sdiv i64 {last}, {count}')}, 1")
    is_count = f.emit(f"icmp slt i64 {loop.index}, {root}")
    rest = f.emit(f"sub i64 {turns}, {loop.index}")
    candidate = f.emit(f"select i1 {is_count}, i64 {even}, i64 {rest}")
    chunks = f.emit(f"sdiv i64 {last}, {candidate}")
    own_again = f.emit(f"mul i64 {chunks}, {candidate}")
    of_chunks, of_steps = (
        f.emit(f"mul i64 {kept}, {chunks}"),
        f.emit(f"mul i64 {each}, {candidate}"),
    )
    own_taken = f.emit(f"add i64 {of_chunks}, {of_steps}")
    takes_less = f.emit(f"icmp slt i64 {own_taken}, {taken}")
    takes_it_too = f.emit(f"icmp eq i64 {own_taken}, {taken}")
    fewer_again = f.emit(f"icmp slt i64 {own_again}, {again}")
    is_least = f.emit(f"or i1 {takes_less}, {f.emit(f'and i1 {takes_it_too}, {fewer_again}')}")
    fits = f.emit(f"icmp sle i64 {own_taken}, {memory}")
    is_best = f.emit(f"and i1 {fits}, {f.emit(f'icmp slt i64 {own_again}, {fewest}')}")
    pairs = [(is_least, own_taken, taken), (is_least, own_again, again)]
    pairs += [(is_least, candidate, every), (is_best, own_again, fewest)]
    pairs += [(is_best, candidate, found)]
    new = [f.emit(f"select i1 {better}, i64 {x}, i64 {old}") for better, x, old in pairs]
    _, _, every, fewest, found = f.end_loop(loop, [Value(x, I64, 1) for x in new])
    nothing_fits = f.emit(f"icmp eq i64 {fewest}, {_LARGEST}")
    chosen = f.emit(f"select i1 {nothing_fits}, i64 {every}, i64 {found}")
    return f.emit(f"select i1 {is_bounded}, i64 {chosen}, i64 {root}")


def _root(f: Function, number: str) -> str:
    """The root of a number, rounded up."""
    f.declare("llvm.sqrt.f64", "double (double)")
    floating = f.emit(f"sitofp i64 {number} to double")
    root = f.emit(f"call double @llvm.sqrt.f64(double {floating})")
    whole = f.emit(f"fptosi double {root} to i64")
    is_less = f.emit(f"fcmp olt double {f.emit(f'sitofp i64 {whole} to double')}, {root}")
    return f.emit(f"add i64 {whole}, {f.emit(f'zext i1 {is_less} to i64')}")


@frame_kernel
def max_zero_kernel(f: Function) -> None:
    """Operands: target, number."""
    set_slot(f, 0, f.at_least(slot_value(f, 1), 0))


@frame_kernel
def address_kernel(f: Function) -> None:
    """Operands: target, base address, number of elements, raw: bytes of an element."""
    moved = f.emit(f"mul i64 {slot_value(f, 2)}, {operand(f, 3)}")
    set_slot(f, 0, f.emit(f"add i64 {slot_value(f, 1)}, {moved}"))


@frame_kernel
def read_kernel(f: Function) -> None:
    """A slot from an int64 in memory. Operands: target, its address."""
    set_slot(f, 0, f.emit(f"load i64, ptr {slot_address(f, 1)}"))


@frame_kernel
def write_kernel(f: Function) -> None:
    """An int64 in memory from a slot. Operands: address, number."""
    f.do(f"store i64 {slot_value(f, 1)}, ptr {slot_address(f, 0)}")


@frame_kernel
def check_kernel(f: Function) -> None:
    """Two sizes that must agree. Operands: one, the other, raw: the status where they do not."""
    _compare(f, "eq")


@frame_kernel
def at_least_kernel(f: Function) -> None:
    """A size that must not be less than another. Operands: the size, the least, raw: the status."""
    _compare(f, "sge")


def _compare(f: Function, predicate: str) -> None:
    status = f.emit(f"trunc i64 {operand(f, 2)} to i32")
    fine = f.emit(f"icmp {predicate} i64 {slot_value(f, 0)}, {slot_value(f, 1)}")
    f.do(f"ret i32 {f.emit(f'select i1 {fine}, i32 0, i32 {status}')}")

"""A program as one module of LLVM: its kernels, what it is as data, and the functions for C."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...backends.llvm.code.engine import Kernel, emit_object, module_head, module_text, with_needs
from ...backends.llvm.machine.assembler import Stream
from ...backends.llvm.machine.frame import SLOT_BYTES
from ...backends.llvm.machine.interpreter import leave_kernel, poll_kernel, return_kernel
from ...backends.llvm.machine.memory import release_kernel
from ...backends.llvm.machine.runtime import run_kernel
from .data import array_global, fill_room, text_globals, words_global
from .entry import GENERAL_TEXTS, entry_functions
from .program import NativeProgram
from .targets import Target

__all__ = ["object_file"]

# What code calls with numbers of 64 bits, where the sizes of C's library have 32, and where LLVM
# would multiply by a function of 128 bits, which no C library has.
_LONG = """
declare ptr @malloc(i32)
define internal ptr @long.malloc(i64 %n) {
  %fits = icmp ult i64 %n, 2147483648
  br i1 %fits, label %some, label %none
some:
  %size = trunc i64 %n to i32
  %block = call ptr @malloc(i32 %size)
  ret ptr %block
none:
  ret ptr null
}
define internal ptr @long.memcpy(ptr %to, ptr %from, i64 %n) {
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %n, i1 false)
  ret ptr %to
}
define internal {i64, i1} @long.multiply(i64 %a, i64 %b) {
  %product = mul i64 %a, %b
  %is_small = icmp ult i64 %a, 2
  br i1 %is_small, label %done, label %divide
divide:
  %is_minus_one = icmp eq i64 %a, -1
  %safe = select i1 %is_minus_one, i64 1, i64 %a
  %least = icmp eq i64 %b, -9223372036854775808
  %quotient = sdiv i64 %product, %safe
  %differs = icmp ne i64 %quotient, %b
  %wraps = select i1 %is_minus_one, i1 %least, i1 %differs
  br label %done
done:
  %overflows = phi i1 [ false, %0 ], [ %wraps, %divide ]
  %first = insertvalue {i64, i1} poison, i64 %product, 0
  %both = insertvalue {i64, i1} %first, i1 %overflows, 1
  ret {i64, i1} %both
}
"""
_REPLACED = {
    "malloc": ("ptr", "i64", "long.malloc"),
    "memcpy": ("ptr", "ptr, ptr, i64", "long.memcpy"),
    "llvm.smul.with.overflow.i64": ("{i64, i1}", "i64, i64", "long.multiply"),
}


def object_file(program: NativeProgram, target: Target) -> bytes:
    """The object file of a program: C sees three functions of it."""
    machine = target.make_machine()
    kernels = with_needs([*program.kernels.values(), run_kernel(), release_kernel()])
    internal = [_internal(kernel) for kernel in kernels.values()]
    code = module_text([*internal, *entry_functions(program, target.pointer_bits)])
    if target.pointer_bits == 32:
        for name, (result, arguments, instead) in _REPLACED.items():
            code = code.replace(f"declare {result} @{name}({arguments})", "")
            code = code.replace(f"@{name}(", f"@{instead}(")
        code += _LONG
    arrays = _arrays(program)
    data = _data(program, arrays, target.pointer_bits)
    text = "\n".join([module_head(machine), *data, code])
    named = {_name(i): array for i, array in enumerate(arrays.values())}
    return fill_room(emit_object(machine, text), named)


def _internal(kernel: Kernel) -> Kernel:
    """The kernel as this module alone sees it; without Python there is nobody to be let run."""
    text = kernel.text.replace("define ", "define internal ", 1)
    if kernel not in (poll_kernel(), leave_kernel(), return_kernel()):
        return replace(kernel, text=text)
    head, _, _ = text.partition("{")
    result = "void" if " void @" in head else "i32 0"
    return Kernel(kernel.name, f"{head}{{\n  ret {result}\n}}")


def _arrays(program: NativeProgram) -> dict[int, np.ndarray]:
    """The constants and the values within, by the slot of their address."""
    pairs = zip(program.image.bases, program.ends, strict=True)
    return {
        **dict(program.image.constants),
        **{slot: end for slot, end in pairs if not isinstance(end, int)},
    }


def _name(number: int) -> str:
    return f"program.array{number}"


def _data(program: NativeProgram, arrays: dict[int, np.ndarray], pointer_bits: int) -> list[str]:
    """The program, the frame that calls begin with, and what that refers to."""
    image, template = program.image, program.image.template.tolist()
    for number, axis, slot in image.axes:
        end = program.ends[number]
        if not isinstance(end, int):
            template[slot // SLOT_BYTES] = end.shape[axis]
    addresses = {slot // SLOT_BYTES: _name(i) for i, slot in enumerate(arrays)}
    texts = [*reversed(GENERAL_TEXTS), *program.texts, "an unknown status"]
    return [
        *(array_global(_name(i), array) for i, array in enumerate(arrays.values())),
        words_global("program.template", template, addresses, pointer_bits),
        _stream("program.prologue", image.prologue, pointer_bits),
        _stream("program.main", image.main, pointer_bits),
        *text_globals("program.texts", texts),
    ]


def _stream(name: str, stream: Stream, pointer_bits: int) -> str:
    addresses = {position: kernel.name for position, kernel in stream.kernels}
    return words_global(name, [*stream.words, 0], addresses, pointer_bits)

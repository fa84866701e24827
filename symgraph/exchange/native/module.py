"""A program as one module of LLVM: its kernels, what it is as data, and the functions for C."""

from __future__ import annotations

from dataclasses import replace

from ...backends.llvm.code.engine import Kernel, emit_object, module_head, module_text, with_needs
from ...backends.llvm.machine.assembler import Stream
from ...backends.llvm.machine.frame import SLOT_BYTES
from ...backends.llvm.machine.interpreter import leave_kernel, poll_kernel, return_kernel
from ...backends.llvm.machine.memory import release_kernel
from ...backends.llvm.machine.runtime import run_kernel
from .data import array_global, text_globals, words_global
from .entry import GENERAL_TEXTS, entry_functions
from .program import NativeProgram
from .targets import Target

__all__ = ["object_file"]

# What code calls with numbers of 64 bits, where the sizes of C's library have 32.
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
"""
_DECLARED = {"malloc": "declare ptr @malloc(i64)", "memcpy": "declare ptr @memcpy(ptr, ptr, i64)"}


def object_file(program: NativeProgram, target: Target) -> bytes:
    """The object file of a program: C sees three functions of it."""
    machine = target.make_machine()
    kernels = with_needs([*program.kernels.values(), run_kernel(), release_kernel()])
    internal = [_internal(kernel) for kernel in kernels.values()]
    code = module_text([*internal, *entry_functions(program, target.pointer_bits)])
    if target.pointer_bits == 32:
        for name, declaration in _DECLARED.items():
            code = code.replace(declaration, "").replace(f"@{name}(", f"@long.{name}(")
        code += _LONG
    text = "\n".join([module_head(machine), *_data(program, target.pointer_bits), code])
    return emit_object(machine, text)


def _internal(kernel: Kernel) -> Kernel:
    """The kernel as this module alone sees it; without Python there is nobody to be let run."""
    text = kernel.text.replace("define ", "define internal ", 1)
    if kernel not in (poll_kernel(), leave_kernel(), return_kernel()):
        return replace(kernel, text=text)
    head, _, _ = text.partition("{")
    result = "void" if " void @" in head else "i32 0"
    return Kernel(kernel.name, f"{head}{{\n  ret {result}\n}}")


def _data(program: NativeProgram, pointer_bits: int) -> list[str]:
    """The program, the frame that calls begin with, and what that refers to."""
    image, arrays = program.image, dict(program.image.constants)
    template = image.template.tolist()
    for end, base in zip(program.ends, image.bases, strict=True):
        if not isinstance(end, int):
            arrays[base] = end
    for number, axis, slot in image.axes:
        end = program.ends[number]
        if not isinstance(end, int):
            template[slot // SLOT_BYTES] = end.shape[axis]
    names = {slot: f"program.array{i}" for i, slot in enumerate(arrays)}
    addresses = {slot // SLOT_BYTES: name for slot, name in names.items()}
    general = [*reversed(GENERAL_TEXTS)]
    return [
        *(array_global(names[slot], array) for slot, array in arrays.items()),
        words_global("program.template", template, addresses, pointer_bits),
        _stream("program.prologue", image.prologue, pointer_bits),
        _stream("program.main", image.main, pointer_bits),
        *text_globals("program.texts", [*general, *program.texts, "an unknown status"]),
    ]


def _stream(name: str, stream: Stream, pointer_bits: int) -> str:
    addresses = {position: kernel.name for position, kernel in stream.kernels}
    return words_global(name, [*stream.words, 0], addresses, pointer_bits)

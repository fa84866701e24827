"""The functions that C calls, in IR: they make a frame, run the program in it, and clear up.

All memory of a call is one block, the workspace: the frame, the program's arena, and results that
would otherwise be written over an argument of the call.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...backends.llvm.code.emit import Function
from ...backends.llvm.code.engine import Kernel
from ...backends.llvm.machine.frame import SLOT_BYTES, slot_at, value_at
from ...backends.llvm.machine.memory import bytes_of, release_kernel
from ...backends.llvm.machine.runtime import run_kernel
from ...backends.llvm.machine.sizes import floor_divided, interval
from ...core.dims import PRIMITIVE, Atom, Dim, Size
from .program import NativeProgram

__all__ = ["GENERAL_TEXTS", "entry_functions"]

# What the statuses say that do not belong to a program: 0, −1, −2 and so on.
GENERAL_TEXTS = (
    "success",
    "out of memory: there is no room for the workspace of these sizes",
    "a size is negative",
)
_NO_MEMORY, _NEGATIVE = -1, -2
_LINE = 64  # bytes of a cache line
# Frames of more words than this are not put on the stack.
_MOST_ON_STACK = 2048


def entry_functions(program: NativeProgram, pointer_bits: int) -> list[Kernel]:
    """The three functions that C sees, and those within by which they work."""
    writer, name = _Writer(program, pointer_bits), program.interface.name
    functions = {
        "program.begin": writer.begin(),
        "program.measure": writer.measure(),
        "program.run": writer.run(),
        name: writer.call(),
        f"{name}_workspace": writer.workspace(),
        f"{name}_status": writer.status(),
    }
    return [Kernel(key, f.text(key), tuple(f.parts.items())) for key, f in functions.items()]


class _Writer:
    """What the functions have in common."""

    def __init__(self, program: NativeProgram, pointer_bits: int) -> None:
        self.program, self.interface, self.image = program, program.interface, program.image
        self.word = f"i{pointer_bits}"  # a size of C's
        self.most = (1 << (pointer_bits - 1)) - 1
        self.frame_bytes = -(-len(self.image.template) * SLOT_BYTES // _LINE) * _LINE
        self.sizes = [f"i64 %size{i}" for i in range(len(self.interface.sizes))]
        self.inputs = [f"ptr %in{i}" for i in range(len(self.interface.inputs))]
        self.outputs = [f"ptr %out{i}" for i in range(len(self.interface.outputs))]
        # Results that may be written where an argument stands, for all that their types say.
        alike = [
            [i for i, x in enumerate(self.interface.inputs) if x[1:3] == y[1:3]]
            for y in self.interface.outputs
        ]
        self.alike = {number: inputs for number, inputs in enumerate(alike) if inputs}

    # --- a frame, and how large all is ----------------------------------------------------------

    def begin(self) -> Function:
        """``i32 (ptr frame, i64 arena, i64 size…)``: a frame that knows the sizes of a call, and
        with an arena at an address that is not 0 where all its memory lies."""
        arguments = ", ".join(["ptr %frame", "i64 %arena", *self.sizes])
        f = Function(f"i32 ({arguments})", linkage="internal ")
        for size in self.sizes:
            _return_if(f, f"icmp slt {size}, 0", str(_NEGATIVE))
        _copy(f, "%frame", "@program.template", str(len(self.image.template) * SLOT_BYTES))
        registers = {atom: str(number) for atom, number in self.interface.known.items()}
        registers |= {atom: f"%size{i}" for i, atom in enumerate(self.interface.sizes)}
        for number, axis, slot in self.image.axes:
            if isinstance(self.program.ends[number], int):
                value = _size(f, self.program.graph.inputs[number].type.shape[axis], registers)
                f.do(f"store i64 {value}, ptr {slot_at(f, slot)}")
        for atom, slot in self.image.formula_atoms:
            f.do(f"store i64 {registers[atom]}, ptr {slot_at(f, slot)}")
        if self.image.arena is not None:
            f.do(f"store i64 %arena, ptr {slot_at(f, self.image.arena[1])}")
        f.do(f"ret i32 {f.emit(_run(f, 'prologue'))}")
        return f

    def measure(self) -> Function:
        """``i32 (ptr total, i64 size…)``: how many bytes the workspace of a call has."""
        f = Function(f"i32 ({', '.join(['ptr %total', *self.sizes])})", linkage="internal ")
        is_small = len(self.image.template) <= _MOST_ON_STACK
        if is_small:
            f.do(f"%frame = alloca i8, i64 {self.frame_bytes}, align {_LINE}")
        else:
            f.do(f"%frame = {_allocate(f, str(self.frame_bytes))}")
            _return_if(f, "icmp eq ptr %frame, null", str(_NO_MEMORY))
        arguments = ", ".join(["ptr %frame", "i64 0", *self.sizes])
        f.do(f"%status = call i32 @program.begin({arguments})")
        total = f.emit(f"add i64 {self._arena_bytes(f)}, {self.frame_bytes + _LINE}")
        for number in self.alike:
            total = f.emit(f"add i64 {total}, {_rounded(f, self._bytes_of(f, number))}")
        if not is_small:
            _free(f, "%frame")
        _return_if(f, "icmp ne i32 %status, 0", "%status")
        _return_if(f, f"icmp ugt i64 {total}, {self.most}", str(_NO_MEMORY))
        f.do(f"store i64 {total}, ptr %total")
        f.do("ret i32 0")
        return f

    def _arena_bytes(self, f: Function) -> str:
        return value_at(f, self.image.arena[0]) if self.image.arena is not None else "0"

    def _bytes_of(self, f: Function, number: int) -> str:
        """How large a result is; its sizes are in the frame."""
        size = str(self.image.outputs[number].dtype.itemsize)
        for slot in self.image.outputs[number].sizes:
            size = bytes_of(f, value_at(f, slot), size)
        return size

    # --- a call ---------------------------------------------------------------------------------

    def run(self) -> Function:
        """``i32 (ptr input…, i64 size…, ptr output…, ptr workspace)``: a call in this workspace.

        A result that stands where an argument stands comes to lie beside it, and is copied when
        all is done: so states may be updated in their place.
        """
        arguments = ", ".join([*self.inputs, *self.sizes, *self.outputs, "ptr %workspace"])
        f = Function(f"i32 ({arguments})", linkage="internal ")
        start = _rounded(f, f.emit("ptrtoint ptr %workspace to i64"))
        f.do(f"%frame = inttoptr i64 {start} to ptr")
        arena = f.emit(f"add i64 {start}, {self.frame_bytes}")
        begun = ", ".join(["ptr %frame", f"i64 {arena}", *self.sizes])
        f.do(f"%begun = call i32 @program.begin({begun})")
        _return_if(f, "icmp ne i32 %begun, 0", "%begun")
        for end, slot in zip(self.program.ends, self.image.bases, strict=True):
            if isinstance(end, int):
                address = f.emit(f"ptrtoint ptr %in{end} to i64")
                f.do(f"store i64 {address}, ptr {slot_at(f, slot)}")
        copies = self._place_results(f, f.emit(f"add i64 {arena}, {self._arena_bytes(f)}"))
        f.do(f"%status = {_run(f, 'main')}")
        f.do(f"call void @{f.use(release_kernel())}(ptr %frame)")
        _return_if(f, "icmp ne i32 %status, 0", "%status")
        for number, (source, size) in copies.items():
            here, there = f.new_label("copy"), f.new_label("next")
            f.branch(f.emit(f"icmp eq ptr {source}, %out{number}"), there, here)
            f.start_block(here)
            _copy(f, f"%out{number}", source, size)
            f.jump(there)
            f.start_block(there)
        f.do("ret i32 0")
        return f

    def _place_results(self, f: Function, room: str) -> dict[int, tuple[str, str]]:
        """Tell the program where its results go: into ``room`` where an argument is in the way.
        The places and bytes of those for which that may be so."""
        copies: dict[int, tuple[str, str]] = {}
        for number, output in enumerate(self.image.outputs):
            place = f"%out{number}"
            if number in self.alike:
                same = [f.emit(f"icmp eq ptr {place}, %in{i}") for i in self.alike[number]]
                is_taken = same[0]
                for other in same[1:]:
                    is_taken = f.emit(f"or i1 {is_taken}, {other}")
                beside = f.emit(f"inttoptr i64 {room} to ptr")
                place = f.emit(f"select i1 {is_taken}, ptr {beside}, ptr {place}")
                size = self._bytes_of(f, number)
                copies[number] = (place, size)
                room = f.emit(f"add i64 {room}, {_rounded(f, size)}")
            address = f.emit(f"ptrtoint ptr {place} to i64")
            f.do(f"store i64 {address}, ptr {slot_at(f, output.slot)}")
        return copies

    def call(self) -> Function:
        """The function itself, which makes a workspace where it is given none."""
        arguments = [*self.inputs, *self.sizes, *self.outputs, "ptr %workspace"]
        f = Function(f"i32 ({', '.join(arguments)})")
        f.do("%total = alloca i64")
        f.branch(f.emit("icmp eq ptr %workspace, null"), "make", "given")
        f.start_block("given")
        f.do(f"%status = call i32 @program.run({', '.join(arguments)})")
        f.do("ret i32 %status")
        f.start_block("make")
        sizes = ", ".join(["ptr %total", *self.sizes])
        f.do(f"%measured = call i32 @program.measure({sizes})")
        _return_if(f, "icmp ne i32 %measured, 0", "%measured")
        f.do(f"%made = {_allocate(f, f.emit('load i64, ptr %total'))}")
        _return_if(f, "icmp eq ptr %made, null", str(_NO_MEMORY))
        again = ", ".join([*arguments[:-1], "ptr %made"])
        f.do(f"%made_status = call i32 @program.run({again})")
        _free(f, "%made")
        f.do("ret i32 %made_status")
        return f

    # --- the other two --------------------------------------------------------------------------

    def workspace(self) -> Function:
        """How many bytes a workspace has; the largest number where there can be none."""
        f = Function(f"{self.word} ({', '.join(self.sizes)})")
        f.do("%total = alloca i64")
        sizes = ", ".join(["ptr %total", *self.sizes])
        f.do(f"%status = call i32 @program.measure({sizes})")
        total = f.emit(f"load {self.word}, ptr %total")
        is_fine = f.emit("icmp eq i32 %status, 0")
        choice = f"select i1 {is_fine}, {self.word} {total}, {self.word} -1"
        f.do(f"ret {self.word} {f.emit(choice)}")
        return f

    def status(self) -> Function:
        """The text of a status."""
        f = Function("ptr (i32 %status)")
        n_general = len(GENERAL_TEXTS)
        count = n_general + len(self.program.texts)
        # General ones stand first, from the least number on; what is none of all, behind.
        number = f.emit(f"add i32 %status, {n_general - 1}")
        is_known = f.emit(f"icmp ult i32 {number}, {count}")
        number = f.emit(f"select i1 {is_known}, i32 {number}, i32 {count}")
        place = f.emit(f"getelementptr ptr, ptr @program.texts, i32 {number}")
        f.do(f"ret ptr {f.emit(f'load ptr, ptr {place}')}")
        return f


# --- pieces -------------------------------------------------------------------------------------


def _run(f: Function, stream: str) -> str:
    return f"call i32 @{f.use(run_kernel())}(ptr %frame, ptr @program.{stream})"


def _return_if(f: Function, condition: str, status: str) -> None:
    failed, fine = f.new_label("failed"), f.new_label("fine")
    f.branch(f.emit(condition), failed, fine)
    f.start_block(failed)
    f.do(f"ret i32 {status}")
    f.start_block(fine)


def _allocate(f: Function, size: str) -> str:
    f.declare("malloc", "ptr (i64)")
    return f"call ptr @malloc(i64 {size})"


def _free(f: Function, place: str) -> None:
    f.declare("free", "void (ptr)")
    f.do(f"call void @free(ptr {place})")


def _rounded(f: Function, number: str) -> str:
    """The number, up to a whole cache line."""
    return f.emit(f"and i64 {f.emit(f'add i64 {number}, {_LINE - 1}')}, {-_LINE}")


def _copy(f: Function, target: str, source: str, size: str) -> None:
    f.declare("llvm.memcpy.p0.p0.i64", "void (ptr, ptr, i64, i1)")
    f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, i1 false)")


def _size(f: Function, size: Size, registers: Mapping[Atom, str]) -> str:
    """The register of a size that is a formula of others."""
    if not isinstance(size, Dim):
        return str(size)
    total = "0"
    for monomial, factor in size.terms:
        term = str(factor)
        for atom in monomial:
            term = f.emit(f"mul i64 {term}, {_atom(f, atom, registers)}")
        total = f.emit(f"add i64 {total}, {term}")
    return total


def _atom(f: Function, atom: Atom, registers: Mapping[Atom, str]) -> str:
    # Sizes nest a few levels deep at most: a slice of a slice.
    if atom[0] in PRIMITIVE:
        return registers[atom]
    parts = [_size(f, part, registers) for part in atom[1:]]
    if atom[0] == "max_zero":
        return f.at_least(parts[0], 0)
    return (interval if atom[0] == "interval" else floor_divided)(f, *parts)

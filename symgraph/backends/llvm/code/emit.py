"""LLVM IR as text: values that know their dtype, and a builder for one function.

Text is made some twenty times faster than objects of `llvmlite.ir`, and what a kernel *is* can be
hashed as it stands.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import Any, Concatenate, ParamSpec, cast

import numpy as np

from .engine import Kernel

__all__ = [
    "BOOL",
    "F32",
    "F64",
    "I32",
    "I64",
    "POINTER",
    "Function",
    "Loop",
    "Value",
    "constant_text",
    "kernel",
]

BOOL = np.dtype("bool")
F32, F64 = np.dtype("float32"), np.dtype("float64")
I8, I32, I64 = np.dtype("int8"), np.dtype("int32"), np.dtype("int64")

# The dtype of addresses that a loop carries.
POINTER = np.dtype("V8")

_SCALARS = {"f4": "float", "f8": "double", "b1": "i1", "V8": "ptr"}


class Value:
    """A register or a constant: its text, its dtype, and its lanes (1: a scalar)."""

    __slots__ = ("dtype", "lanes", "text")

    def __init__(self, text: str, dtype: np.dtype, lanes: int) -> None:
        self.text: str = text
        self.dtype: np.dtype = dtype
        self.lanes: int = lanes

    @property
    def type(self) -> str:
        """The type in IR."""
        return type_text(self.dtype, self.lanes)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{self.type} {self.text}"


_types: dict[tuple[np.dtype, int], str] = {}


def type_text(dtype: np.dtype, lanes: int = 1) -> str:
    """The type of registers with this dtype and so many lanes."""
    text = _types.get((dtype, lanes))
    if text is None:
        scalar = _SCALARS.get(f"{dtype.kind}{dtype.itemsize}") or f"i{8 * dtype.itemsize}"
        text = _types[dtype, lanes] = scalar if lanes == 1 else f"<{lanes} x {scalar}>"
    return text


def memory_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of the bytes in memory: a bool is one byte there."""
    return I8 if dtype == BOOL else dtype


def constant_text(number: Any, dtype: np.dtype, lanes: int = 1) -> str:
    """A number as a constant of this type; floats as the bits of a double, as LLVM wants them."""
    if dtype.kind == "f":
        rounded = float(dtype.type(number))
        text = f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"
    elif dtype == BOOL:
        text = "true" if number else "false"
    else:
        text = str(int(number))
    return text if lanes == 1 else f"splat ({type_text(dtype)} {text})"


@dataclass
class Loop:
    """A loop that is being written."""

    label: str
    index: Value
    stop: str
    by: str
    carried: list[Value]
    head: int
    """Where in the lines the loop's phis stand."""
    entry: str
    initial: list[Value]
    start: str


@dataclass
class Function:
    """A function that is being written, line by line."""

    signature: str
    """Result type and arguments, as in ``i32 (ptr %frame, i64 %n)``, without a name."""
    linkage: str = ""
    lines: list[str] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    needs: dict[str, Kernel] = field(default_factory=dict)
    block: str = "entry"
    _count: int = 0

    def fresh(self) -> str:
        """An unused register name."""
        self._count += 1
        return f"%v{self._count}"

    def emit(self, instruction: str) -> str:
        """The register that holds the instruction's result."""
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def do(self, instruction: str) -> None:
        """Write an instruction without a result."""
        self.lines.append(f"  {instruction}")

    def value(self, instruction: str, dtype: np.dtype, lanes: int = 1) -> Value:
        """The instruction's result as a value."""
        return Value(self.emit(instruction), dtype, lanes)

    # --- blocks and loops -----------------------------------------------------------------------

    def new_label(self, hint: str) -> str:
        """An unused label."""
        self._count += 1
        return f"{hint}{self._count}"

    def start_block(self, label: str) -> None:
        """Go on writing in a new block."""
        self.lines.append(f"{label}:")
        self.block = label

    def jump(self, label: str) -> None:
        """End the block."""
        self.do(f"br label %{label}")

    def branch(self, condition: str, yes: str, no: str) -> None:
        """End the block by a choice."""
        self.do(f"br i1 {condition}, label %{yes}, label %{no}")

    def begin_loop(
        self,
        stop: str,
        *,
        start: str = "0",
        by: str = "1",
        carried: Sequence[Value] = (),
    ) -> Loop:
        """A loop from ``start`` while below ``stop``; carried values change from turn to turn."""
        label = self.new_label("loop")
        entry = self.block
        self.jump(label)
        self.start_block(label)
        index = Value(self.fresh(), I64, 1)
        inside = [Value(self.fresh(), v.dtype, v.lanes) for v in carried]
        loop = Loop(label, index, stop, by, inside, len(self.lines), entry, list(carried), start)
        more = self.emit(f"icmp slt i64 {index}, {stop}")
        self.branch(more, f"{label}.body", f"{label}.end")
        self.start_block(f"{label}.body")
        return loop

    def end_loop(self, loop: Loop, new: Sequence[Value] = ()) -> list[Value]:
        """Close the loop; the carried values after its last turn."""
        following = self.emit(f"add i64 {loop.index}, {loop.by}")
        latch = self.block
        self.jump(loop.label)
        phis = [
            f"  {loop.index} = phi i64 [ {loop.start}, %{loop.entry} ], [ {following}, %{latch} ]"
        ]
        for inside, before, after in zip(loop.carried, loop.initial, new, strict=True):
            phis.append(
                f"  {inside} = phi {inside.type} [ {before}, %{loop.entry} ], [ {after}, %{latch} ]"
            )
        self.lines[loop.head : loop.head] = phis
        self.start_block(f"{loop.label}.end")
        return loop.carried

    # --- memory ---------------------------------------------------------------------------------

    def pointer(self, base: str, offset: str, dtype: np.dtype) -> str:
        """The address of an element ``offset`` elements after ``base``."""
        return self.emit(
            f"getelementptr {type_text(memory_dtype(dtype))}, ptr {base}, i64 {offset}"
        )

    def load(self, pointer: str, dtype: np.dtype, lanes: int = 1, mask: str | None = None) -> Value:
        """Elements from memory; lanes outside the mask are zero and are not read."""
        stored = memory_dtype(dtype)
        kind = type_text(stored, lanes)
        if mask is None:
            name = self.emit(f"load {kind}, ptr {pointer}, align {stored.itemsize}")
        else:
            name = self.emit(
                f"call {kind} @llvm.masked.load.{_suffix(stored, lanes)}.p0(ptr {pointer}, i32 "
                f"{stored.itemsize}, <{lanes} x i1> {mask}, {kind} zeroinitializer)"
            )
            self._declare_masked(stored, lanes)
        if dtype == BOOL:
            name = self.emit(
                f"icmp ne {kind} {name}, zeroinitializer" if lanes > 1 else f"icmp ne i8 {name}, 0"
            )
        return Value(name, dtype, lanes)

    def store(self, value: Value, pointer: str, mask: str | None = None) -> None:
        """Write the elements; lanes outside the mask are left as they are."""
        stored = memory_dtype(value.dtype)
        kind = type_text(stored, value.lanes)
        text = value.text
        if value.dtype == BOOL:
            text = self.emit(f"zext {value.type} {text} to {kind}")
        if mask is None:
            self.do(f"store {kind} {text}, ptr {pointer}, align {stored.itemsize}")
        else:
            self.do(
                f"call void @llvm.masked.store.{_suffix(stored, value.lanes)}.p0({kind} {text}, "
                f"ptr {pointer}, i32 {stored.itemsize}, <{value.lanes} x i1> {mask})"
            )
            self._declare_masked(stored, value.lanes)

    def _declare_masked(self, dtype: np.dtype, lanes: int) -> None:
        # With the alignment as an argument: LLVM 20 knows this form alone, later ones read it too.
        suffix, kind = _suffix(dtype, lanes), type_text(dtype, lanes)
        mask = f"i32 immarg, <{lanes} x i1>"
        self.declare(f"llvm.masked.load.{suffix}.p0", f"{kind} (ptr, {mask}, {kind})")
        self.declare(f"llvm.masked.store.{suffix}.p0", f"void ({kind}, ptr, {mask})")

    def declare(self, name: str, signature: str) -> None:
        """Declare a function of another module, or an intrinsic."""
        if name not in self.parts:
            result, _, arguments = signature.partition(" (")
            self.parts[name] = f"declare {result} @{name}({arguments}"

    def splat(self, value: Value, lanes: int) -> Value:
        """The scalar in every lane."""
        if lanes == 1 or value.lanes == lanes:
            return value
        kind = type_text(value.dtype, lanes)
        first = self.emit(f"insertelement {kind} poison, {value.type} {value}, i64 0")
        return self.value(
            f"shufflevector {kind} {first}, {kind} poison, <{lanes} x i32> zeroinitializer",
            value.dtype,
            lanes,
        )

    def tail_mask(self, index: str, stop: str, lanes: int) -> str:
        """Which of the lanes from ``index`` on lie below ``stop``."""
        left = self.emit(f"sub i64 {stop}, {index}")
        left = self.at_most(left, lanes)
        count = self.splat(self.value(f"trunc i64 {left} to i32", I32), lanes)
        numbers = ", ".join(f"i32 {i}" for i in range(lanes))
        return self.emit(f"icmp sgt {count.type} {count}, <{numbers}>")

    # --- integers -------------------------------------------------------------------------------

    def at_most(self, number: str, bound: str | int) -> str:
        """The integer, or the bound where it is larger."""
        return self._bounded("smin", number, bound)

    def at_least(self, number: str, bound: str | int) -> str:
        """The integer, or the bound where it is smaller."""
        return self._bounded("smax", number, bound)

    def _bounded(self, name: str, number: str, bound: str | int) -> str:
        self.declare(f"llvm.{name}.i64", "i64 (i64, i64)")
        return self.emit(f"call i64 @llvm.{name}.i64(i64 {number}, i64 {bound})")

    def word(self, base: str, position: str | int) -> str:
        """An integer from an array of words of 64 bits."""
        return self.emit(f"load i64, ptr {self.pointer(base, str(position), I64)}")

    # --- the whole ------------------------------------------------------------------------------

    def text(self, name: str) -> str:
        """The function under this name."""
        result, _, arguments = self.signature.partition(" (")
        head = f"define {self.linkage}{result} @{name}({arguments} {{"
        return "\n".join([head, "entry:", *self.lines, "}"])

    def kernel(self) -> Kernel:
        """The function as a kernel, named by what it does; it calls itself as ``@kernel``.

        The name stands for the text and for the texts of its parts: a part's own name does not tell
        for which CPU it was written. Kernels that it calls are in the text by their names.
        """
        body = self.text("kernel")
        whole = "\n".join([body, *(self.parts[part] for part in sorted(self.parts))])
        name = "k" + hashlib.blake2b(whole.encode(), digest_size=12).hexdigest()
        text = body.replace("@kernel(", f"@{name}(")
        return Kernel(name, text, tuple(self.parts.items()), tuple(self.needs.values()))

    def add_part(self, name: str, part: Function) -> None:
        """Have another function in the same module, under this name."""
        self.parts.update(part.parts)
        self.parts[name] = part.text(name)

    def use(self, kernel: Kernel) -> str:
        """The name of another kernel, which this function calls."""
        self.needs[kernel.name] = kernel
        self.declare(kernel.name, self._signature_of(kernel))
        return kernel.name

    @staticmethod
    def _signature_of(kernel: Kernel) -> str:
        head = kernel.text[len("define ") : kernel.text.index(" {")]
        return head.replace(f"@{kernel.name}(", "(", 1)


def _suffix(dtype: np.dtype, lanes: int) -> str:
    """How intrinsics spell a type: v16f32, i64."""
    letter = "f" if dtype.kind == "f" else "i"
    scalar = f"{letter}{8 * dtype.itemsize}"
    return scalar if lanes == 1 else f"v{lanes}{scalar}"


_P = ParamSpec("_P")


def kernel(
    signature: str,
) -> Callable[[Callable[Concatenate[Function, _P], None]], Callable[_P, Kernel]]:
    """A kernel of this signature, for the function that writes it: for each choice of its other
    arguments it is written once, and returns success where it does not say what it returns."""

    def decorate(write: Callable[Concatenate[Function, _P], None]) -> Callable[_P, Kernel]:
        @wraps(write)
        def written(*args: _P.args, **kwargs: _P.kwargs) -> Kernel:
            f = Function(signature)
            write(f, *args, **kwargs)
            if not f.lines[-1].startswith("  ret "):
                f.do("ret void" if signature.startswith("void") else "ret i32 0")
            return f.kernel()

        return cast("Callable[_P, Kernel]", cache(written))

    return decorate

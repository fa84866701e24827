"""The machines that object files are for, and what LLVM's code for them is like."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from ...backends.llvm.code.cpu import Cpu, host
from ...core.errors import ExchangeError

__all__ = ["TARGETS", "Target", "target_of"]

# By the name that a user gives: LLVM's triple, a processor that all such machines are at least, and
# features that its programs may use.
TARGETS: dict[str, tuple[str, str, str]] = {
    "x86_64-linux-gnu": ("x86_64-unknown-linux-gnu", "x86-64-v2", ""),
    "x86_64-pc-windows-msvc": ("x86_64-pc-windows-msvc", "x86-64-v2", ""),
    "x86_64-apple-macosx": ("x86_64-apple-macosx10.15", "x86-64-v2", ""),
    "aarch64-linux-gnu": ("aarch64-unknown-linux-gnu", "generic", "+neon"),
    "aarch64-linux-android": ("aarch64-unknown-linux-android24", "generic", "+neon"),
    "arm64-apple-macosx": ("arm64-apple-macosx11.0", "apple-m1", "+neon"),
    "wasm32": (
        "wasm32-unknown-unknown",
        "generic",
        "+simd128,+bulk-memory,+bulk-memory-opt,+nontrapping-fptoint,+sign-ext,+mutable-globals",
    ),
}

# What tells how wide the vectors of a processor are, and whether it multiplies and adds at once.
_PROBE = """
define <64 x i8> @add(<64 x i8> %x, <64 x i8> %y) {
  %z = add <64 x i8> %x, %y
  ret <64 x i8> %z
}
define <4 x float> @fused(<4 x float> %x, <4 x float> %y, <4 x float> %z) {
  %r = call <4 x float> @llvm.fma.v4f32(<4 x float> %x, <4 x float> %y, <4 x float> %z)
  ret <4 x float> %r
}
declare <4 x float> @llvm.fma.v4f32(<4 x float>, <4 x float>, <4 x float>)
"""
# The registers of x86 by which it adds, widest first; other architectures have 16 bytes.
_REGISTERS = ((64, "zmm"), (32, "ymm"))
# A processor that LLVM does not know, or that is none of its architecture, may end the process.
_ASK = """
import sys
import llvmlite.binding as llvm
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
triple, cpu, features, probe = sys.argv[1:]
machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
if cpu != "help":
    print(machine.emit_assembly(llvm.parse_assembly(probe)))
"""


@dataclass(frozen=True)
class Target:
    """A machine that code is made for."""

    name: str
    triple: str
    cpu: Cpu

    @property
    def is_wasm(self) -> bool:
        """Whether its programs run in a browser."""
        return self.triple.startswith("wasm")

    @property
    def pointer_bits(self) -> int:
        """How long an address is."""
        return 32 if self.is_wasm else 64

    def make_machine(self) -> Any:
        """LLVM's machine, which writes its object files."""
        return _target(self.triple).create_target_machine(
            cpu=self.cpu.name,
            features=self.cpu.features,
            opt=1,
            reloc="static" if self.is_wasm else "pic",
            codemodel="small",
        )


def target_of(name: str, cpu: str | None = None) -> Target:
    """The target of this name, for a processor of this name or the least that there may be.

    ``host`` is this machine, and its own processor where none is named. An `ExchangeError` names
    what there is where LLVM does not know the target or the processor.
    """
    for what, value in (("target", name), ("cpu", "" if cpu is None else cpu)):
        if not isinstance(value, str):
            raise ExchangeError.here(f"{what} is a name, not {value!r}")
    if name == "host":
        triple, least, features = llvm.get_process_triple(), "native", ""
    elif name in TARGETS:
        triple, least, features = TARGETS[name]
    else:
        raise ExchangeError.here(
            f"there is no target {name!r}", remedy=f"Targets are host, {', '.join(TARGETS)}."
        )
    if name == "host" and (cpu or least) == "native":
        return Target(name, triple, host())
    assembly = _assembly(triple, cpu or least, features)
    return Target(name, triple, _as_cpu(assembly, cpu or least, features))


def _as_cpu(assembly: str, name: str, features: str) -> Cpu:
    """The processor for which this is the probe's code."""
    added = [line for line in assembly.splitlines() if "paddb" in line]
    width = next((n for n, register in _REGISTERS if any(register in a for a in added)), 16)
    return Cpu(name, features, width, has_fma="fmaf" not in assembly)


@cache
def _assembly(triple: str, cpu: str, features: str) -> str:
    """The probe's code; an `ExchangeError` where there is no such processor."""
    asked = _ask(triple, cpu, features)
    if asked.returncode == 0 and "not a recognized processor" not in asked.stderr:
        return asked.stdout
    listed = _ask(triple, "help", features).stderr.partition("Available features")[0]
    names = [line.split()[0] for line in listed.splitlines() if " - " in line]
    raise ExchangeError.here(
        f"LLVM knows no processor {cpu!r} of {triple}",
        remedy=f"These it knows: {', '.join(names)}.",
    )


def _ask(triple: str, cpu: str, features: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _ASK, triple, cpu, features, _PROBE]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@cache
def _target(triple: str) -> Any:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(triple)

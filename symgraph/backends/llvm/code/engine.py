"""From LLVM IR to addresses: kernels are compiled once in a process, modules once on a disk.

A kernel is a function in IR text whose name is the hash of that text, so that equal kernels are
one. New kernels of one compilation form a module: one object, one cache entry. A module is
unloaded when nothing that was compiled with it is left.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from ...._version import __version__
from ....core.errors import InternalError, explain
from ....core.interrupts import call_undisturbed
from .cache import DiskCache, open_cache
from .cpu import Cpu, host
from .libraries import SCIPY, address_of

__all__ = [
    "Engine",
    "Kernel",
    "Loaded",
    "Module",
    "emit_object",
    "engine",
    "module_head",
    "module_text",
    "with_needs",
]


@dataclass(frozen=True)
class Kernel:
    """A function in IR, and the shared definitions that it calls."""

    name: str
    text: str
    parts: tuple[tuple[str, str], ...] = ()
    """Names and texts of internal functions and declarations, each once in a module."""
    needs: tuple[Kernel, ...] = ()
    """Kernels that this one calls; its parts declare them."""


class Module:
    """Kernels that were loaded together; unloaded with the last reference to it."""

    __slots__ = ("__weakref__", "_others", "_tracker", "addresses")

    def __init__(self, tracker: Any, addresses: dict[str, int], others: tuple[Module, ...]) -> None:
        self._tracker = tracker
        self._others = others  # whose kernels these ones call
        self.addresses: dict[str, int] = addresses


@dataclass
class Loaded:
    """The addresses of kernels, what keeps them alive, and what loading them took."""

    addresses: dict[str, int]
    modules: tuple[Module, ...]
    compiled: int = 0
    """How many kernels were not in the process yet."""
    cache: str = "hit"
    reason: str = "in the process already"
    seconds: dict[str, float] = field(default_factory=dict)


_REPORT = (
    'This is a fault of symgraph\'s own: please report it with the output of "symgraph doctor". '
    'Meanwhile backend="numpy" runs the program.'
)
# How many modules are kept although nothing refers to them.
_RECENT = 64
# How many modules one linker takes. It keeps some memory of each, unloaded or not.
_LINKED = 64


class Engine:
    """The one compiler of a process."""

    def __init__(self, cpu: Cpu, cache: DiskCache | None) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.cpu = cpu
        self.cache = cache
        self._machine = self._make_machine()
        self._linker: Any = None
        self._prologue = module_head(self._machine)
        # What machine code depends on besides the text it is made of: the processor and its
        # features, the system (triple and layout), how hard LLVM tries, LLVM, and how a module is
        # made of kernels. Python is none of it: what a kernel knows of objects is in its text.
        self.identity: str = (
            f"{cpu.name}|O1|{cpu.features}|{llvmlite.__version__}|{__version__}|{self._prologue}"
        )
        # By the names of kernels, which stand for their whole texts.
        self._loaded: weakref.WeakValueDictionary[str, Module] = weakref.WeakValueDictionary()
        # Modules live on for a while: the next function may be of the same kernels.
        self._recent: deque[Module] = deque(maxlen=_RECENT)
        self._numbers = itertools.count()
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            # A fork waits for the code that a thread compiles: the child finds LLVM's locks open.
            release = self._lock.release
            os.register_at_fork(
                before=self._lock.acquire, after_in_parent=release, after_in_child=release
            )

    def _make_machine(self) -> Any:
        return llvm.Target.from_default_triple().create_target_machine(
            cpu=self.cpu.name,
            features=self.cpu.features,
            opt=1,
            reloc="pic",
            codemodel="small",
            jit=True,
        )

    def load(self, kernels: Iterable[Kernel]) -> Loaded:
        """The kernels as addresses, compiled or read from disk where the process lacks them."""
        wanted = with_needs(kernels)
        with self._lock:
            modules: dict[int, Module] = {}
            addresses: dict[str, int] = {}
            missing: list[Kernel] = []
            for name, kernel in wanted.items():
                module = self._loaded.get(name)
                if module is None:
                    missing.append(kernel)
                else:
                    modules[id(module)] = module
                    addresses[name] = module.addresses[name]
            result = Loaded(addresses, (), len(missing))
            if missing:
                called = {name for kernel in missing for name, _ in kernel.parts}
                others = {id(p): p for p in modules.values() if called & p.addresses.keys()}
                module = call_undisturbed(
                    partial(self._load_module, missing, tuple(others.values()), result)
                )
                modules[id(module)] = module
                addresses.update(module.addresses)
                self._recent.append(module)
                for kernel in missing:
                    self._loaded[kernel.name] = module
            result.modules = tuple(modules.values())
        return result

    def _load_module(
        self, kernels: list[Kernel], others: tuple[Module, ...], result: Loaded
    ) -> Module:
        text = module_text(kernels)
        key = hashlib.blake2b((self.identity + text).encode(), digest_size=20).hexdigest()
        content = self._read(key, result)
        if content is not None:
            try:
                with _timed(result, "link"):
                    return self._link(content, kernels, result.addresses, others)
            except RuntimeError:
                result.cache, result.reason = "miss", "the entry is no machine code"
        with _timed(result, "code"):
            content = self.emit(text)
            if self.cache:
                self.cache.write(key, content)
        with _timed(result, "link"):
            try:
                return self._link(content, kernels, result.addresses, others)
            except RuntimeError as error:
                raise _fault("LLVM cannot link the code of a kernel", error) from error

    def _read(self, key: str, result: Loaded) -> bytes | None:
        """The object code that the cache has, None where it has none."""
        if self.cache is None:
            result.cache, result.reason = "off", "switched off"
            return None
        with _timed(result, "code"):
            content, result.reason = self.cache.read(key)
        without = "off" if self.cache.obstacle else "miss"
        result.cache = without if content is None else "hit"
        return content

    def emit(self, text: str) -> bytes:
        """The object code of a module, which is verified first: LLVM ends the process where code
        that it cannot translate gets further."""
        return emit_object(self._machine, self._prologue + text)

    def _link(
        self,
        content: bytes,
        kernels: list[Kernel],
        loaded: Mapping[str, int],
        others: tuple[Module, ...],
    ) -> Module:
        builder = llvm.JITLibraryBuilder().add_object_img(content).add_current_process()
        for name in {name for kernel in kernels for name, _ in kernel.parts}:
            if name in loaded:
                builder.import_symbol(name, loaded[name])
            elif name in SCIPY:
                builder.import_symbol(name, address_of(name))
        for kernel in kernels:
            builder.export_symbol(kernel.name)
        number = next(self._numbers)
        if number % _LINKED == 0:
            # The old one goes with the last module that it linked.
            self._linker = llvm.create_lljit_compiler(self._make_machine())
        tracker = builder.link(self._linker, f"module{number}")
        return Module(tracker, {kernel.name: tracker[kernel.name] for kernel in kernels}, others)


def module_head(machine: Any) -> str:
    """The first lines of a module for this machine."""
    return f'target triple = "{machine.triple}"\ntarget datalayout = "{machine.target_data}"\n'


def emit_object(machine: Any, text: str) -> bytes:
    """The object code of a whole module for this machine, verified first."""
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise _fault("LLVM refuses the code of a kernel", error) from error
    # Strength reduction takes a fifth of the time and gains nothing here. The option is the whole
    # process's, so it is put back for others who use llvmlite.
    llvm.set_option("", "-disable-lsr=true")
    try:
        return machine.emit_object(module)
    finally:
        llvm.set_option("", "-disable-lsr=false")


@contextlib.contextmanager
def _timed(result: Loaded, stage: str) -> Iterator[None]:
    """A context whose seconds are added to those of a stage."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - started
        result.seconds[stage] = result.seconds.get(stage, 0.0) + seconds


def _fault(what: str, error: Exception) -> InternalError:
    return InternalError(explain(f"{what}: {str(error).strip()}", remedy=_REPORT))


def with_needs(kernels: Iterable[Kernel]) -> dict[str, Kernel]:
    """The kernels by name, with all that they call."""
    by_name: dict[str, Kernel] = {}
    pending = list(kernels)
    while pending:
        kernel = pending.pop()
        if kernel.name not in by_name:
            by_name[kernel.name] = kernel
            pending.extend(kernel.needs)
    return dict(sorted(by_name.items()))


def module_text(kernels: Iterable[Kernel]) -> str:
    """One module with the kernels and, once each, what they call."""
    parts: dict[str, str] = {}
    texts: dict[str, str] = {}
    for kernel in kernels:
        for name, text in kernel.parts:
            if parts.setdefault(name, text) != text:
                raise InternalError(explain(f"two functions are named {name}", remedy=_REPORT))
        texts[kernel.name] = kernel.text
    # What is defined in the module is not declared.
    others = [parts[name] for name in sorted(parts) if name not in texts]
    return "\n".join([*others, *texts.values(), ""])


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The engine of this process, started on first use."""
    return Engine(host(), open_cache())

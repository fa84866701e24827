"""A program made callable: frames are filled, run and read."""

from __future__ import annotations

import ctypes
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ...core import provenance
from ...core.binding import bind_sizes, shape_numbers
from ...core.dims import Atom, Dim, Size, size_atoms
from ...core.errors import CallError, explain
from ...core.graph import Graph
from ...core.variable import Variable
from ...scan.op import SCAN
from ..profile import Profile
from . import loops, products, special_nodes  # noqa: F401 (they register lowerings)
from .callpath import Argument, Description, Result, entry_kernel, make_entry
from .cpu import host
from .engine import Loaded, engine
from .gemm import pack_kernel, packed_product_kernel, product_kernel, tile_for
from .layout import contiguous_strides
from .lower import Lowering, Place, Scope
from .python_steps import PythonSteps, array_at, error_of, error_on_shapes, in_steps
from .runtime import Slot, Status, runtime_kernels
from .sink import sink_slices
from .timing import Timing
from .unify import unify_sizes

__all__ = ["NativeExecutable"]

# With the interpreter locked: the program releases it, and exceptions that it leaves are raised.
_RUN = ctypes.PYFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@lru_cache(maxsize=1)
def _load_support() -> Loaded:
    """What nearly every program needs, as one pack: in every process the same cache entry."""
    cpu = host()
    tile = tile_for(cpu, np.dtype("float32"))
    common = [
        pack_kernel(tile),
        product_kernel(tile, has_fma=cpu.has_fma),
        packed_product_kernel(tile, has_fma=cpu.has_fma),
    ]
    return engine().load([*runtime_kernels().values(), entry_kernel(), *common])


def _call_weakly(reference: weakref.ref[NativeExecutable], *arrays: np.ndarray) -> Any:
    """A call by way of Python; the executable holds what holds this, so this holds it weakly."""
    executable = reference()
    assert executable is not None
    return executable._call(*arrays)


class NativeExecutable:
    """A graph as machine code."""

    def __init__(self, graph: Graph, *, profile: bool = False) -> None:
        self._types = [v.type for v in graph.inputs]
        started = time.perf_counter()
        self._timing = Timing() if profile else None
        self._timing_lock: Any = threading.Lock() if profile else None
        lowering = Lowering(host(), self._timing)
        a = lowering.assembler
        unified, self._taken_for_granted = unify_sizes(graph)
        self._lower(lowering, sink_slices(unified))
        self.seconds: dict[str, float] = {"lower": time.perf_counter() - started}
        kernels = {k.name: k for stream in (a.prologue, a.main) for _, k in stream.kernels}
        started = time.perf_counter()
        _load_support()
        self.seconds["support"] = time.perf_counter() - started
        loaded = self.loaded = engine().load([*kernels.values(), *a.runtime.values()])
        support = {kernel.name for kernel in a.runtime.values()}
        emitted = [k.name for _, k in a.main.kernels if k.name not in support]
        steps = [(step.node.op, step.node.params) for step in lowering.steps]
        self.kernels = len(emitted) + len(steps)
        self.distinct_kernels = len(set(emitted)) + len(set(steps))
        self.cache = loaded.cache
        self.cache_reason = "" if loaded.cache == "hit" else loaded.reason
        self.seconds.update(loaded.seconds)
        self._main = a.main.linked(loaded.addresses)
        self._prologue = a.prologue.linked(loaded.addresses)
        self._template = np.array(a.template, np.int64)
        self._run = _RUN(loaded.addresses[a.runtime["run_apart"].name])
        self._release = _RELEASE(loaded.addresses[a.runtime["release"].name])
        if self._timing is not None:
            self._timing.link(loaded.addresses[a.runtime["cycles"].name])
        self._is_long = any(kernel.needs for kernel in kernels.values())
        self._constants = [v.params[0].array for v in lowering.constants]
        self._checks = lowering.checks
        self._atoms = dict(a.atoms)
        self._arenas: list[np.ndarray] = []
        self._steps = PythonSteps(lowering.steps, len(a.template)) if lowering.steps else None
        if self._steps is not None:
            self._template[Slot.CALLBACK] = self._steps.address

        made = self.entry(partial(_call_weakly, weakref.ref(self)), "arrays")
        self._fast, self._keep = made if made is not None else (None, None)

    # --- lowering -------------------------------------------------------------------------------

    def _lower(self, lowering: Lowering, graph: Graph) -> None:
        a = lowering.assembler
        self._inputs: list[tuple[int, list[tuple[int, Any]]]] = []
        given: dict[Variable, Place] = {}
        self._axes: list[tuple[int, int, int]] = []  # input, axis, slot that its size is put into
        pending: list[tuple[int, int, Size]] = []
        self._bases: list[int] = []
        for i, v in enumerate(graph.inputs):
            base = a.slot()
            self._bases.append(base)
            given[v] = Place(base, contiguous_strides(v.type.shape))
            for axis, size in enumerate(v.type.shape):
                if isinstance(size, int) and isinstance(self._types[i].shape[axis], Dim):
                    pending.append((i, axis, size))
                elif isinstance(size, Dim):
                    atom = size.atom
                    if atom is not None and atom[0] in ("name", "unknown") and atom not in a.atoms:
                        slot = a.slot()
                        a.bind(atom, slot, at_entry=True)
                        self._axes.append((i, axis, slot))
                    else:
                        pending.append((i, axis, size))
        self._bind_formulas(lowering, graph, pending)
        scope = Scope(lowering, graph, given)
        destinations: dict[Variable, list[Place]] = {}
        self._outputs: list[tuple[np.dtype, list[int], int, bool]] = []
        slots: list[tuple[Variable, int, bool]] = []
        for v in graph.outputs:
            is_static = all(a.is_known_at_entry(s) for s in v.type.shape)
            slot = a.slot()
            slots.append((v, slot, is_static))
            if is_static:
                destinations.setdefault(v, []).append(Place(slot, contiguous_strides(v.type.shape)))
        scope.emit(destinations)
        for v, slot, is_static in slots:
            if not is_static:
                slot = scope.contiguous(v)
            self._outputs.append((v.dtype, [a.size(s) for s in v.type.shape], slot, is_static))
        if a.arena:
            self._arena = (a.slot(), a.slot())
            words = [slot for entry in a.arena for slot in entry]
            a.prologue.emit_raw(a.runtime["arena"], *self._arena, len(a.arena), *words)
        else:
            self._arena = None

    def _bind_formulas(
        self, lowering: Lowering, graph: Graph, pending: Sequence[tuple[int, int, Size]]
    ) -> None:
        """Sizes of inputs that are formulas: they tell a name, or are checked."""
        a = lowering.assembler
        self._formula_atoms: list[tuple[Any, int]] = []
        self._input_checks: set[int] = set()
        for i, axis, size in pending:
            if a.is_known_at_entry(size):
                slot = a.slot()
                self._axes.append((i, axis, slot))
                expected = a.size(size)
                code = lowering.check(graph.inputs[i], slot, expected)
                self._input_checks.add(code)
                a.prologue.emit_raw(a.runtime["check"], slot, expected, code)
            else:
                for atom in size_atoms(size):
                    if atom not in a.atoms:
                        slot = a.slot()
                        a.bind(atom, slot, at_entry=True)
                        self._formula_atoms.append((atom, slot))

    def entry(self, slow: Callable[..., Any], form: str) -> tuple[Callable[..., Any], Any] | None:
        """A built-in function that calls the program at once where the arguments are as it wants
        them, and ``slow`` otherwise; with what must live as long. None where there can be none.

        ``form``: ``one`` result, a ``list`` with scalars for no dimensions, or ``arrays`` alone.
        """
        if self._timing is not None or self._steps is not None or self._formula_atoms:
            return None
        if not all(is_static for *_, is_static in self._outputs):
            return None
        stored = {(i, axis): slot for i, axis, slot in self._axes}
        arguments = []
        for i, (type, base) in enumerate(zip(self._types, self._bases, strict=True)):
            axes = []
            for axis, size in enumerate(type.shape):
                if (i, axis) in stored:
                    axes.append((True, stored[i, axis]))
                elif isinstance(size, int):
                    axes.append((False, size))
                else:
                    return None
            arguments.append(Argument(type.dtype, base, tuple(axes)))
        results = [Result(dtype, slot, tuple(shape)) for dtype, shape, slot, _ in self._outputs]
        description = Description(
            arguments, results, self._template, self._prologue, self._main, self._arena,
            self._is_long,
        )  # fmt: skip
        return make_entry(description, slow, form)

    # --- calls ----------------------------------------------------------------------------------

    @property
    def profile(self) -> Profile | None:
        """The time of the calls, where it was asked for."""
        return self._timing.profile if self._timing is not None else None

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The graph's outputs for these inputs."""
        if self._fast is not None:
            return self._fast(*arrays)
        if self._timing is None:
            return self._call(*arrays)
        with self._timing_lock:  # counters belong to one call at a time
            return self._timing.call(self._call, arrays)

    def _call(self, *arrays: np.ndarray) -> list[np.ndarray]:
        frame = self._template.copy()
        for base, array in zip(self._bases, arrays, strict=True):
            frame[base >> 3] = array.__array_interface__["data"][0]
        for i, axis, slot in self._axes:
            frame[slot >> 3] = arrays[i].shape[axis]
        if self._formula_atoms:
            self._solve(frame, arrays)
        address = frame.__array_interface__["data"][0]
        arena = None
        if self._steps is not None:
            self._steps.begin(address)
        try:
            self._check(self._run(address, self._prologue.ctypes.data), frame, arrays)
            if self._arena is not None:
                size, base = (slot >> 3 for slot in self._arena)
                arena = self._take_arena(int(frame[size]) + 128)
                frame[base] = (arena.__array_interface__["data"][0] + 63) & -64
                self._check(self._run(address, self._prologue.ctypes.data), frame, arrays)
            results: list[Any] = []
            for dtype, shape, slot, is_static in self._outputs:
                if is_static:
                    made = np.empty([int(frame[s >> 3]) for s in shape], dtype)
                    frame[slot >> 3] = made.__array_interface__["data"][0]
                    results.append(made)
                else:
                    results.append(None)
            self._check(self._run(address, self._main.ctypes.data), frame, arrays)
            for i, (dtype, shape, slot, is_static) in enumerate(self._outputs):
                if not is_static:
                    numbers = [int(frame[s >> 3]) for s in shape]
                    strides: Any = contiguous_strides(numbers)
                    results[i] = array_at(int(frame[slot >> 3]), numbers, strides, dtype).copy()
        finally:
            if self._steps is not None:
                self._steps.end(address)
            self._release(address)
            if arena is not None:
                self._arenas.append(arena)
        return results

    def _take_arena(self, size: int) -> np.ndarray:
        """Memory that no other call uses; what an earlier call had is used again."""
        try:
            arena = self._arenas.pop()
        except IndexError:
            return np.empty(size, np.uint8)
        return arena if arena.size >= size else np.empty(size, np.uint8)

    def _solve(self, frame: np.ndarray, arrays: Sequence[np.ndarray]) -> None:
        found = bind_sizes(self._types, [x.shape for x in arrays])
        for atom, slot in self._formula_atoms:
            frame[slot >> 3] = found[atom]

    def _misfit(self, arrays: Sequence[np.ndarray]) -> Exception:
        """What is to say of arguments whose sizes do not agree."""
        sizes = bind_sizes(self._types, [x.shape for x in arrays])
        for v in self._taken_for_granted:
            axis, other_axis, _ = v.params
            x, other = v.inputs
            a, b = shape_numbers((x.type.shape[axis], other.type.shape[other_axis]), sizes)
            if a != b:
                return error_on_shapes(v, sizes)
        shapes = ", ".join(map(str, (x.shape for x in arrays)))
        return CallError(f"arguments of shapes {shapes} do not fit together")

    def _check(self, status: int, frame: np.ndarray, arrays: Sequence[np.ndarray]) -> None:
        if status == 0:
            return
        if status == Status.PYTHON:
            assert self._steps is not None
            raise self._steps.error(frame.__array_interface__["data"][0])
        if status == Status.MEMORY:
            raise MemoryError("a compiled function found no memory for its values")
        check = self._checks[status - 1]
        if check.text is not None:
            text = check.text(*(int(frame[slot >> 3]) for slot in check.slots))
            if check.node.op is SCAN:
                error: Exception = check.error(explain(text, line=provenance.line_of(check.node)))
            else:
                error = error_of(check.node, check.error, text, self._sizes(frame))
        elif status in self._input_checks:
            raise self._misfit(arrays)
        else:
            error = error_on_shapes(check.node, self._sizes(frame))
        raise in_steps(error, check.loops, frame)

    def _sizes(self, frame: np.ndarray) -> dict[Atom, int]:
        return {atom: int(frame[slot >> 3]) for atom, slot in self._atoms.items()}

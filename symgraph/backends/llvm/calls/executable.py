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

from ....core.binding import bind_sizes
from ....core.errors import CallError
from ....core.types import TensorType
from ...profile import Profile
from ..analysis.layout import contiguous_strides
from ..code.cpu import host
from ..code.engine import Loaded, engine
from ..kernels.gemm import pack_kernel, packed_product_kernel, product_kernel
from ..kernels.panels import tile_for
from ..lowering.image import Image, Lowered
from ..machine.entry import Argument, Description, Result, make_entry
from ..machine.entry_kernel import entry_kernel
from ..machine.frame import Frame, Slot, Status
from ..machine.pieces import pieces_kernel
from ..machine.runtime import runtime_kernels
from ..machine.threads import part_kernel, together_kernel
from ..machine.timing import Timing
from .call_memory import CallMemory, array_at
from .failures import error_of_status, no_room_for_arena, no_room_for_result
from .guard import GUARDED, Guard
from .python_nodes import PythonNodes

__all__ = ["NativeExecutable"]

# With the interpreter locked: the program releases it, and exceptions that it leaves are raised.
_RUN = ctypes.PYFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@lru_cache(maxsize=1)
def _load_support() -> Loaded:
    """What nearly every program needs, as one module: in every process the same cache entry."""
    tile = tile_for(host(), np.dtype("float32"))
    common = [pack_kernel(tile), product_kernel(tile), packed_product_kernel(tile)]
    return engine().load([*runtime_kernels().values(), pieces_kernel(), entry_kernel(), *common])


@lru_cache(maxsize=1)
def _load_parallel() -> Loaded:
    """What programs for several threads need besides, as another module."""
    return engine().load([part_kernel(), together_kernel()])


def _call_weakly(reference: weakref.ref[NativeExecutable], *arrays: np.ndarray) -> Any:
    """A call by way of Python; the executable holds what holds this, so this holds it weakly."""
    executable = reference()
    assert executable is not None
    return executable._call(*arrays)


class NativeExecutable:
    """An image, loaded: machine code.

    ``lowered``
        What the image came from, for errors; None for one that was kept on disk, and then
        ``prepare_again`` gives an executable of the same graph that has it.
    """

    def __init__(
        self,
        image: Image,
        types: Sequence[TensorType],
        *,
        lowered: Lowered | None = None,
        prepare_again: Callable[[], NativeExecutable] | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.image = image
        self._types = types
        self._lowered = lowered
        self._prepare_again = prepare_again
        self._timing = timing
        self._timing_lock: Any = threading.Lock() if timing else None
        self.kernels, self.distinct_kernels = image.kernels, image.distinct_kernels
        self.threads = image.threads
        self.seconds: dict[str, float] = {}
        self._load()
        self._template = Frame(image.template.copy())
        self._guard = None
        if lowered is not None and lowered.guarded:
            self._guard = Guard(lowered, image.constants)
        constants = self._guard.constants if self._guard is not None else image.constants
        for slot, array in constants:
            self._template[slot] = array.__array_interface__["data"][0]
        self._arenas: list[np.ndarray] = []
        nodes = lowered.python_nodes if lowered is not None else ()
        self._python_nodes = PythonNodes(nodes, len(image.template)) if nodes else None
        if self._python_nodes is not None:
            self._template[Slot.CALLBACK] = self._python_nodes.address
        entry = self.entry(partial(_call_weakly, weakref.ref(self)), "arrays")
        self._fast, self._fast_needs = entry if entry is not None else (None, None)

    def _load(self) -> None:
        """Put the addresses of kernels into the program."""
        image, runtime, kernels = self.image, runtime_kernels(), self.image.needed
        started = time.perf_counter()
        _load_support()
        if self.threads > 1:
            _load_parallel()
        self.seconds["support"] = time.perf_counter() - started
        loaded = self._loaded = engine().load([*kernels.values(), *runtime.values()])
        self.cache = loaded.cache
        self.cache_reason = "" if loaded.cache == "hit" else loaded.reason
        self.seconds.update(loaded.seconds)
        addresses = loaded.addresses
        self._main = image.main.linked(addresses)
        self._prologue = image.prologue.linked(addresses)
        self._run = _RUN(addresses[runtime["run_apart"].name])
        self._release = _RELEASE(addresses[runtime["release"].name])
        if self._timing is not None:
            self._timing.link(addresses[runtime["cycles"].name])
        # Loops and products call others. Kernels in pieces find out what they have to do.
        self._is_long = any(
            kernel.needs for kernel in kernels.values() if kernel != pieces_kernel()
        )

    @property
    def obstacle(self) -> str:
        """Why the image does not say all that is needed to run it; nothing if it does."""
        if self._guard is not None:
            return GUARDED
        if self._timing is not None:
            return "a profile is of this process"
        if self._python_nodes is not None:
            return "some of it runs in Python"
        return "sizes of inputs are formulas" if self.image.formula_atoms else ""

    def entry(self, slow: Callable[..., Any], form: str) -> tuple[Callable[..., Any], Any] | None:
        """A built-in function that calls the program at once where the arguments are as it wants
        them, and ``slow`` otherwise; with what must live as long. None where there can be none.

        ``form``: ``one`` result, a ``list`` with scalars for no dimensions, or ``arrays`` alone.
        """
        image = self.image
        if self.obstacle or not all(output.is_static for output in image.outputs):
            return None
        stored = {(i, axis): slot for i, axis, slot in image.axes}
        arguments = []
        for i, (type, base) in enumerate(zip(self._types, image.bases, strict=True)):
            axes = []
            for axis, size in enumerate(type.shape):
                if (i, axis) in stored:
                    axes.append((True, stored[i, axis]))
                elif isinstance(size, int):
                    axes.append((False, size))
                else:
                    return None
            arguments.append(Argument(type.dtype, base, tuple(axes)))
        results = [Result(output.dtype, output.slot, output.sizes) for output in image.outputs]
        description = Description(
            arguments, results, self._template.words, self._prologue, self._main, image.arena,
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
        memory = CallMemory(self._arenas) if self._guard is None else self._guard.memory()
        frame = self._begin(memory.arguments(arrays))
        address = frame.address
        if self._python_nodes is not None:
            self._python_nodes.begin(address)
        try:
            self._check(self._run(address, self._prologue.ctypes.data), frame, arrays)
            if self.image.arena is not None:
                size, base = self.image.arena
                try:
                    frame[base] = memory.arena(frame[size])
                except MemoryError:
                    raise self._error(no_room_for_arena, arrays, frame) from None
                self._check(self._run(address, self._prologue.ctypes.data), frame, arrays)
            make_result = partial(self._make_result, memory, frame, arrays)
            results = self._make_results(frame, make_result)
            status = self._run(address, self._main.ctypes.data)
            memory.look(frame)
            self._check(status, frame, arrays)
            results = self._read_results(frame, results, make_result)
            return [memory.handed_over(result) for result in results]
        finally:
            self._release(address)  # at once, before another Ctrl-C can come
            if self._python_nodes is not None:
                self._python_nodes.end(address)
            memory.end()

    def _begin(self, arrays: Sequence[np.ndarray]) -> Frame:
        """A frame that knows the arguments and their sizes."""
        image, frame = self.image, Frame(self._template.words.copy())
        for base, array in zip(image.bases, arrays, strict=True):
            frame[base] = array.__array_interface__["data"][0]
        for i, axis, slot in image.axes:
            frame[slot] = arrays[i].shape[axis]
        if image.formula_atoms:
            sizes = bind_sizes(self._types, [x.shape for x in arrays])
            for atom, slot in image.formula_atoms:
                frame[slot] = sizes[atom]
        return frame

    def _make_result(
        self, memory: CallMemory, frame: Frame, arrays: Sequence[np.ndarray], number: int
    ) -> np.ndarray:
        """Room for a result."""
        output = self.image.outputs[number]
        shape = [frame[s] for s in output.sizes]
        try:
            return memory.result(number, shape, output.dtype)
        except (MemoryError, ValueError):  # or more than NumPy can count
            raise self._error(no_room_for_result, arrays, number, shape, output.dtype) from None

    def _make_results(
        self, frame: Frame, make: Callable[[int], np.ndarray]
    ) -> list[np.ndarray | None]:
        """Room for the results whose sizes are known."""
        results: list[np.ndarray | None] = []
        for number, output in enumerate(self.image.outputs):
            result = make(number) if output.is_static else None
            if result is not None:
                frame[output.slot] = result.__array_interface__["data"][0]
            results.append(result)
        return results

    def _read_results(
        self,
        frame: Frame,
        results: Sequence[np.ndarray | None],
        make: Callable[[int], np.ndarray],
    ) -> list[np.ndarray]:
        """The results, those whose sizes came out copied from where they lie."""
        read = []
        for number, (result, output) in enumerate(zip(results, self.image.outputs, strict=True)):
            if result is None:
                result = make(number)
                strides: Any = contiguous_strides(result.shape)
                result[...] = array_at(frame[output.slot], result.shape, strides, result.dtype)
            read.append(result)
        return read

    def _check(self, status: int, frame: Frame, arrays: Sequence[np.ndarray]) -> None:
        if status == 0:
            return
        if status == Status.PYTHON:
            assert self._python_nodes is not None
            raise self._python_nodes.error(frame.address)
        raise self._error(error_of_status, arrays, status, self._types, frame, arrays)

    def _error(
        self, error: Callable[..., Exception], arrays: Sequence[np.ndarray], *arguments: Any
    ) -> Exception:
        """The error that says what happened, which what the image came from knows."""
        if self._lowered is not None:
            return error(self._lowered, *arguments)
        assert self._prepare_again is not None
        self._prepare_again()(*arrays)  # which knows it
        return CallError("a compiled function failed once, and not when it was called again")

"""A module of WebAssembly run by wasmtime, with the C library's functions by Python.

In a process of its own: wasmtime and LLVM's linker both tell the system's unwinder about their
code, and where one process has both, either may find its entries gone, and ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def quietly(function: Callable[..., float]) -> Callable[..., float]:
    """A function of floats that gives what C's gives where Python's raises."""

    def call(*arguments: float) -> float:
        with np.errstate(all="ignore"):
            return float(function(*map(np.float64, arguments)))

    return call


LIBRARY = {
    "pow": quietly(np.power),
    "fmod": quietly(np.fmod),
    "fmodf": quietly(np.fmod),
    "atan2": quietly(np.arctan2),
    "sin": quietly(np.sin),
    "cos": quietly(np.cos),
    "tan": quietly(np.tan),
}


class WasmInstance:
    """A module that was linked, in a store of its own."""

    def __init__(self, module: bytes) -> None:
        import wasmtime  # by the other process alone

        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        compiled = wasmtime.Module(engine, module)
        functions = []
        for each in compiled.imports:
            kinds = each.type
            assert isinstance(kinds, wasmtime.FuncType)
            functions.append(wasmtime.Func(self.store, kinds, self._imported(each.name)))
        self.exports = wasmtime.Instance(self.store, compiled, functions).exports(self.store)
        self.memory: Any = self.exports["memory"]
        self.top = self.exports["__heap_base"].value(self.store)

    def _imported(self, name: str | None) -> Callable[..., Any]:
        own = {"malloc": self.malloc, "free": lambda place: None}
        return own.get(name or "") or LIBRARY[name or ""]

    def malloc(self, size: int) -> int:
        """Memory that is never given back."""
        place = -(-self.top // 64) * 64
        self.top = place + size
        lacking = self.top - self.memory.data_len(self.store)
        if lacking > 0:
            self.memory.grow(self.store, -(-lacking // 65536))
        return place

    def call(self, name: str, *arguments: int) -> int:
        """A function of the module."""
        function: Any = self.exports[name]
        return function(self.store, *arguments)

    def text(self, status: int) -> str:
        """What a status says."""
        place = self.call("model_status", status)
        return bytes(self.memory.read(self.store, place, place + 200)).split(b"\0")[0].decode()

    def __call__(
        self, inputs: Sequence[Any], sizes: Sequence[int], like: Sequence[Any]
    ) -> list[np.ndarray]:
        """The results, which are of the shapes of ``like``."""
        places = []
        for array in map(np.asarray, inputs):
            places.append(self.malloc(array.nbytes))
            self.memory.write(self.store, array.tobytes(), places[-1])
        wanted = [np.asarray(a) for a in like]
        results = [self.malloc(a.nbytes) for a in wanted]
        workspace = self.malloc(self.call("model_workspace", *sizes) + 1) + 1
        status = self.call("model", *places, *sizes, *results, workspace)
        assert status == 0, self.text(status)
        return [
            np.frombuffer(self.memory.read(self.store, place, place + a.nbytes), a.dtype).reshape(
                a.shape
            )
            for place, a in zip(results, wanted, strict=True)
        ]


def call_by_name(name: str, *arguments: Any) -> Any:
    """A function of this file, called."""
    return globals()[name](*arguments)


def results(
    module: bytes, inputs: Sequence[Any], sizes: Sequence[int], like: Sequence[Any]
) -> list[np.ndarray]:
    """What one call of the module gives."""
    return [array.copy() for array in WasmInstance(module)(inputs, sizes, like)]


def numbers(module: bytes, calls: Sequence[tuple[Any, ...]], content: bytes = b"") -> list[int]:
    """What its functions return, one after another, for these names and arguments; "here" is the
    address of the content."""
    instance = WasmInstance(module)
    here = instance.malloc(len(content) + 64)
    instance.memory.write(instance.store, content, here)
    return [
        instance.call(name, *(here if a == "here" else a for a in arguments))
        for name, *arguments in calls
    ]


def texts(module: bytes, calls: Sequence[tuple[Any, ...]], content: bytes = b"") -> list[str]:
    """The texts of the statuses that these calls of the function return."""
    statuses = numbers(module, [("model", *call) for call in calls], content)
    instance = WasmInstance(module)
    return [instance.text(status) for status in statuses]

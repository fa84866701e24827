"""Object files linked into this process, and called as C calls them."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg


class Linked:
    """An object file as a shared library."""

    def __init__(self, object_file: Path, *, name: str = "model") -> None:
        library = object_file.with_suffix(".so")
        subprocess.run(["cc", "-shared", "-o", library, object_file, "-lm"], check=True)
        self.library = ctypes.CDLL(str(library))
        self.call_c = getattr(self.library, name)
        self.call_c.restype = ctypes.c_int32
        self._workspace = getattr(self.library, f"{name}_workspace")
        self._workspace.restype = ctypes.c_size_t
        self._text = getattr(self.library, f"{name}_status")
        self._text.restype = ctypes.c_char_p

    def workspace(self, *sizes: int) -> int:
        return self._workspace(*map(ctypes.c_int64, sizes))

    def text(self, status: int) -> str:
        return self._text(ctypes.c_int32(status)).decode()

    def status(
        self, inputs: Sequence[Any], sizes: Sequence[int], outputs: Sequence[Any],
        workspace: np.ndarray | None = None,
    ) -> int:  # fmt: skip
        """Call it on arrays, which may be None."""
        arrays = [None if a is None else a.ctypes.data for a in (*inputs, *outputs)]
        pointers = [ctypes.c_void_p(address) for address in arrays]
        room = ctypes.c_void_p(None if workspace is None else workspace.ctypes.data)
        numbers = map(ctypes.c_int64, sizes)
        n = len(inputs)
        return self.call_c(*pointers[:n], *numbers, *pointers[n:], room)

    def __call__(
        self, inputs: Sequence[Any], sizes: Sequence[int], like: Sequence[Any]
    ) -> list[np.ndarray]:
        """The results, which are of the shapes of ``like``, from arrays that are aligned to their
        elements alone; with a workspace, and again without one."""
        inputs = [displaced(np.asarray(a)) for a in inputs]
        runs = []
        for room in (np.full(self.workspace(*sizes) + 1, 0xA5, np.uint8)[1:], None):
            results = [displaced(np.full_like(np.asarray(a), 77)) for a in like]
            status = self.status(inputs, sizes, results, room)
            assert status == 0, self.text(status)
            runs.append(results)
        for first, second in zip(*runs, strict=True):
            assert same_bits(first, second)
        return runs[0]


def displaced(array: np.ndarray) -> np.ndarray:
    """A copy one element after a cache line begins."""
    room = np.empty(array.nbytes + 128 + array.itemsize, np.uint8)
    start = -room.ctypes.data % 64 + array.itemsize
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def same_bits(a: Any, b: Any) -> bool:
    """Whether two arrays are the same, NaN and signs of zero included."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Linked]:
    """A check that a function's object file gives its results bit for bit on these arguments."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")

    def check(f: sg.Function, arguments: Sequence[Any], sizes: Sequence[int]) -> Linked:
        object_file, *_ = sg.export_native(f, tmp_path / "out")
        linked = Linked(object_file)
        arrays = [np.asarray(a, v.dtype) for a, v in zip(arguments, f.inputs, strict=True)]
        states = [v for v in f.program.shared if v in f.program.updates]
        before = [v.get_value() for v in states]
        results = f(*arrays)
        results = results if isinstance(results, list) else [] if results is None else [results]
        wanted = [*results, *(v.get_value() for v in f.program.updates)]
        found = linked([*arrays, *before], sizes, wanted)
        for a, b in zip(found, wanted, strict=True):
            assert same_bits(a, b)
        return linked

    return check

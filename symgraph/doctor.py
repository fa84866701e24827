"""What symgraph finds on this machine, for `symgraph doctor` and for reports of faults."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path

import numpy as np

from ._version import __version__
from .backends.llvm.cache import open_cache
from .core.processes import n_processors, n_threads

__all__ = ["examine"]

_OPTIONAL = ("typer", "rich", "tqdm", "matplotlib", "sklearn")


def examine() -> dict[str, str]:
    """What is found, by name: versions, processor, vector width, BLAS, threads, cache, extras."""
    present = [name for name in _OPTIONAL if importlib.util.find_spec(name)]
    versions = [f"{name} {_version(name)}" for name in ("numpy", "scipy", "llvmlite")]
    return {
        "symgraph": f"{__version__}, Python {platform.python_version()}, {', '.join(versions)}",
        "CPU": f"{_processor()}, {n_processors()} usable",
        "vectors": _vectors(),
        "BLAS": _blas(),
        "threads": f"{n_threads()}; OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}",
        "cache": _cache(),
        "dot": shutil.which("dot") or "not installed: pictures of graphs are text only",
        "extras": ", ".join(present) or "none",
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _vectors() -> str:
    """The vectors that the native backend writes code for."""
    try:  # what needs LLVM is imported here, so that a broken one is a line and no traceback
        cpu = importlib.import_module("symgraph.backends.llvm.cpu").host()
    except (ImportError, OSError) as error:
        return f"unknown: LLVM cannot be loaded ({error})"
    lanes = cpu.lanes(np.dtype("float32"))
    fused = "with" if cpu.has_fma else "without"
    return f"{lanes} lanes of float32, {fused} fused multiply-add; {cpu.name} to LLVM"


def _blas() -> str:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name')} {blas.get('version')} (NumPy's)"


def _cache() -> str:
    """The folder of compiled code, what is in it, and whether more can be put there."""
    folder = open_cache().folder
    sizes = []
    for path in folder.glob("*/*.o"):
        with contextlib.suppress(OSError):  # another process may have removed it
            sizes.append(path.stat().st_size)
    present = next(path for path in (folder, *folder.parents) if path.exists())
    can_write = present.is_dir() and os.access(present, os.W_OK | os.X_OK)
    use = "writable" if can_write else "cannot be written"
    entries = "1 entry" if len(sizes) == 1 else f"{len(sizes)} entries"
    return f"{folder}: {entries}, {sum(sizes) / 1e6:.1f} MB, {use}"

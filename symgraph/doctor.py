"""What symgraph finds on this machine, for `symgraph doctor` and for reports of faults."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path

import numpy as np

from ._version import __version__

__all__ = ["examine"]

_OPTIONAL = ("typer", "rich", "tqdm", "matplotlib", "sklearn")


def examine() -> dict[str, str]:
    """What is found, by name: versions, processor, vector width, BLAS, threads, cache, extras."""
    present = [name for name in _OPTIONAL if importlib.util.find_spec(name)]
    versions = [f"{name} {_version(name)}" for name in ("numpy", "scipy", "llvmlite")]
    return {
        "symgraph": f"{__version__}, Python {platform.python_version()}, {', '.join(versions)}",
        "CPU": f"{_processor()}, {_n_processors()} usable",
        "vectors": _vectors(),
        "BLAS": _blas(),
        "threads": f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}",
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


def _n_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _vectors() -> str:
    """The width of vectors, from what NumPy found."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]
    features = [*found.get("baseline", []), *found.get("found", [])]
    wide = any(name.startswith(("AVX512", "X86_V4")) for name in features)
    middle = any(name in ("AVX2", "X86_V3") for name in features)
    lanes = 16 if wide else 8 if middle else 4
    return f"{lanes} lanes of float32 ({', '.join(features)})"


def _blas() -> str:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name')} {blas.get('version')} (NumPy's)"


def _cache() -> str:
    return os.environ.get("SYMGRAPH_CACHE_DIR") or "not used by the NumPy backend"

"""What symgraph finds on this machine, for `symgraph doctor` and for reports of faults."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ._version import __version__
from .backends.llvm.code.cache import open_cache
from .core.processes import n_processors, n_threads

__all__ = ["check", "clear", "examine", "examine_cache"]

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
        cpu = importlib.import_module("symgraph.backends.llvm.code.cpu").host()
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
    cache, contents = open_cache(), examine_cache()
    count = "1 entry" if contents["entries"] == "1" else f"{contents['entries']} entries"
    use = "cannot be written" if cache.obstacle else contents["use"]
    why = f" ({cache.obstacle})" if cache.obstacle else ""
    return f"{cache.folder}{why}: {count}, {contents['bytes'].partition(', ')[2]}, {use}"


def examine_cache() -> dict[str, str]:
    """Where compiled code is kept, how much there is and may be, and whether it is of use."""
    cache = open_cache()
    entries = list(cache.entries()) if not cache.obstacle else []
    return {
        "folder": str(cache.folder),
        "entries": str(len(entries)),
        "bytes": _bytes(sum(entry.size for entry in entries)),
        "bound": f"{_bytes(cache.bound)} (SYMGRAPH_CACHE_SIZE)",
        "use": f"off: {cache.obstacle}" if cache.obstacle else _use_of(cache.folder),
    }


def _bytes(number: int) -> str:
    return f"{number}, {number / 1e6:.1f} MB"


def _use_of(folder: Path) -> str:
    present = next(path for path in (folder, *folder.parents) if path.exists())
    can_write = present.is_dir() and os.access(present, os.W_OK | os.X_OK)
    return "writable" if can_write else "cannot be written"


def clear() -> str:
    """Remove all compiled code; what was done."""
    cache = open_cache()
    if cache.obstacle:
        return f"nothing is removed: {cache.obstacle}"
    count = cache.clear()
    return f"{count} {'entry' if count == 1 else 'entries'} removed from {cache.folder}"


# In a process of its own, since a fault may end it, and with a cache of its own, so that code is
# compiled, and looking at a machine leaves nothing behind.
_CHECK = """
import sys
import numpy as np
import symgraph as sg

def compile_step():
    x = sg.tensor("x", ("T", 3))
    w = sg.shared(np.full((3, 3), 0.1, "float32"), "w")
    states = sg.scan(lambda row, h: sg.tanh(row + h @ w), x, sg.zeros(3, "float32"))
    loss = (states ** 2).mean()
    return sg.compile([x], loss, updates={w: w - sg.grad(loss, w)}), w

def compute_by_hand(x, w):
    states = [np.zeros(3)]
    for row in x:
        states.append(np.tanh(row + states[-1] @ w))
    change, back = np.zeros((3, 3)), np.zeros(3)
    for before, after in zip(states[-2::-1], states[:0:-1]):
        back = (back + 2 * after / x.size) * (1 - after ** 2)
        change += np.outer(before, back)
        back = w @ back
    return np.mean(np.square(states[1:])), w - change

x = np.linspace(-1, 1, 51).reshape(17, 3)
loss, value = compute_by_hand(x, np.full((3, 3), 0.1))
for _ in range(2):
    f, w = compile_step()
    np.testing.assert_allclose(f(x.astype("float32")), loss, rtol=1e-4)
    np.testing.assert_allclose(w.get_value(), value, rtol=1e-4)
if not f.report.is_recalled:
    sys.exit(f"what was compiled is not found again in a cache: {f.report.recall_reason}")
print("a loop, its gradient and an update compile and are right, and are read back from a cache")
"""


def check() -> tuple[bool, str]:
    """Whether a compiled function gives what is computed by hand, and what to say of it."""
    with tempfile.TemporaryDirectory(prefix="symgraph-doctor-") as folder:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _CHECK],
            env={**os.environ, "SYMGRAPH_CACHE_DIR": folder},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        return True, done.stdout.strip()
    said = done.stderr.strip() or f"it ended with status {done.returncode} and said nothing"
    return False, f"FAILED\n{said}"

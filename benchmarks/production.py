"""One net by all ways out of symgraph: sizes of files and times of a call, beside onnxruntime's.

    python benchmarks/production.py [--folder FOLDER] [--rounds ROUNDS]

The net is the one of the vowels' demonstration (a bidirectional LSTM of 64 units, 29 frames). All
run on one thread; times are milliseconds of CPU time, medians of rounds that take turns.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import symgraph as sg
import symgraph_nn as nn
from symgraph.compile.tables import format_table

# Calls in a round, and utterances at once.
N_CALLS = 50
BATCHES = (1, 32)


def main() -> None:
    """Export the net, check that all give the same, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where to leave the files")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = options.folder or Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        runs, sizes = export(vowels(), target)
        rows = measure(runs, options.rounds)
    table = [
        (name, f"{sizes.get(name, 0) / 1e3:.0f}" if name in sizes else "", *times)
        for name, times in rows.items()
    ]
    print(format_table(("", "kB", *(f"ms, {n} at once" for n in BATCHES)), table))


def vowels() -> sg.Function:
    """The net that tells speakers by how they say a vowel."""
    forward, backward = nn.LSTMCell(12, 64, rng=0), nn.LSTMCell(12, 64, rng=1)
    net = nn.Sequential(nn.Bidirectional(forward, backward), nn.Dense(128, 9, rng=2))
    frames = sg.tensor("frames", ("T", "B", 12))
    return sg.compile([frames], sg.softmax(net(frames).mean(axis=0)), name="vowels", threads=1)


Run = Callable[[np.ndarray], np.ndarray]


def export(f: sg.Function, folder: Path) -> tuple[dict[str, Run], dict[str, int]]:
    """What computes the net, by name, and how large the files are that it needs."""
    model = folder / "vowels.onnx"
    sg.export_onnx(f, model)
    module = sg.export_python(f, folder, name="vowels")
    paths = sg.export_native(f, folder, name="vowels")
    runs = {
        "symgraph, in the process": f,
        "ONNX in onnxruntime": of_onnxruntime(model),
        "Python with NumPy": of_python(module),
        "object file, from C": of_object(paths[0], folder),
    }
    sizes = {
        "ONNX in onnxruntime": model.stat().st_size,
        "Python with NumPy": module.stat().st_size + module.with_suffix(".npz").stat().st_size,
        "object file, from C": paths[0].stat().st_size,
    }
    return runs, sizes


def of_onnxruntime(model: Path) -> Run:
    """The model in a session of one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda frames: session.run(None, {"frames": frames})[0]


def of_python(path: Path) -> Run:
    """The function of a written file."""
    spec = importlib.util.spec_from_file_location("vowels", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.vowels


def of_object(path: Path, folder: Path) -> Run:
    """The C function, linked into a library and called through ctypes."""
    library = folder / "vowels.so"
    subprocess.run(["cc", "-shared", "-o", str(library), str(path), "-lm"], check=True)
    functions = ctypes.CDLL(str(library))
    functions.vowels_workspace.restype = ctypes.c_size_t
    workspaces: dict[tuple[int, int], Any] = {}

    def run(frames: np.ndarray) -> np.ndarray:
        sizes = frames.shape[:2]
        if sizes not in workspaces:
            needed = functions.vowels_workspace(*map(ctypes.c_int64, sizes))
            workspaces[sizes] = ctypes.create_string_buffer(needed)
        result = np.empty((sizes[1], 9), np.float32)
        status = functions.vowels(
            frames.ctypes.data_as(ctypes.c_void_p),
            *map(ctypes.c_int64, sizes),
            result.ctypes.data_as(ctypes.c_void_p),
            workspaces[sizes],
        )
        assert status == 0, status
        return result

    return run


def measure(runs: dict[str, Run], rounds: int) -> dict[str, list[str]]:
    """For each run the milliseconds of a call, for each number of utterances at once."""
    table: dict[str, list[str]] = {name: [] for name in runs}
    for batch in BATCHES:
        frames = np.random.default_rng(0).normal(size=(29, batch, 12)).astype(np.float32)
        expected = runs["symgraph, in the process"](frames)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():
            np.testing.assert_allclose(run(frames), expected, rtol=2e-5, atol=1e-7)
        for _ in range(rounds):
            for name, run in runs.items():
                start = time.process_time()
                for _ in range(N_CALLS):
                    run(frames)
                times[name].append((time.process_time() - start) / N_CALLS * 1e3)
        for name, found in times.items():
            table[name].append(f"{statistics.median(found):.3f}")
    return table


if __name__ == "__main__":
    main()

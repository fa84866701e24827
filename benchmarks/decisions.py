"""The measurements behind the pages of docs/decisions.

    python benchmarks/decisions.py [NAME …]

    work, buffers, merging, interning, imports, kernels, products, programs, rooms, lowering,
    checkpoints; all for no name

Times are medians of CPU time in a warm process, but for ``imports``, which starts fresh ones.
Set OMP_NUM_THREADS=1, or several threads are counted as one.
"""

from __future__ import annotations

import contextlib
import importlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from programs import N_IN, UPDATES, Net, build_net, make_updates
from report import print_table

import symgraph as sg
from symgraph.backends.llvm.code.cache import DiskCache
from symgraph.backends.llvm.code.engine import Kernel, engine, module_text
from symgraph.backends.llvm.lowering.image import kernels_used, lower
from symgraph.core import variable
from symgraph.scan import rewrites

# What each part of the rewriting of loops is when it does nothing.
_PARTS: dict[str, dict[str, Any]] = {
    "residuals": {"_exchange_residuals": lambda opened: {}},
    "products": {
        "multiply_before": lambda loop, *, steps_are_cheap: None,
        "multiply_after": lambda loop, read: [],
    },
    "sums": {"take_out_sums": lambda loop, last_rows, *, steps_are_cheap: []},
}

# Rows, inner size and columns of products, and the steps of a loop of them.
SIZES = (
    (1, 128, 128),
    (8, 128, 128),
    (16, 128, 128),
    (16, 128, 512),
    (32, 256, 256),
    (1600, 128, 512),
    (512, 512, 512),
)
N_STEPS = 100


def milliseconds(call: Callable[[], Any], repeats: int = 25) -> float:
    """The median CPU time of a call."""
    call()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        taken.append(1e3 * (time.process_time() - start))
    return statistics.median(taken)


@contextlib.contextmanager
def without(*parts: str) -> Iterator[None]:
    """A context in which these parts of the rewriting of loops do nothing."""
    with contextlib.ExitStack() as stack:
        for part in parts:
            stack.enter_context(mock.patch.multiple(rewrites, **_PARTS[part]))
        yield


def training_step(
    net: Net, backend: str, n_steps: int, batch: int
) -> tuple[sg.Function, Callable[[], Any]]:
    """A training step by Nesterov momentum, and a call of it."""
    updates = make_updates(net, "nesterov")
    f = sg.compile(net.inputs, net.loss, updates=updates, backend=backend)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_steps, batch, N_IN)).astype("float32")
    labels = rng.integers(0, 9, batch)
    return f, lambda: f(x, labels)


def measure_work() -> list[dict[str, Any]]:
    """Bidirectional LSTM layers, trained on 29 steps and 30 rows, with parts left out."""
    rows = []
    for parts in ((), ("residuals",), ("products",), ("sums",), tuple(_PARTS)):
        row: dict[str, Any] = {"without": ", ".join(parts) or "(all is done)"}
        for layers, units, backend in (
            (1, 8, "native"),
            (1, 64, "native"),
            (2, 128, "native"),
            (2, 128, "numpy"),
        ):
            net = build_net(layers, "lstm", n_units=units)
            with without(*parts):
                f, call = training_step(net, backend, 29, 30)
            row[f"{layers} of {units}, {backend}, ms"] = milliseconds(call)
            row["nodes in bodies"] = sum(loop.nodes for loop in f.report.loop_table)
        rows.append(row)
    return rows


def measure_buffers() -> list[dict[str, Any]]:
    """What it would cost to put the initial rows before the trace of a state after the loop."""
    rows = []
    for n_steps, batch, n_units in ((29, 30, 64), (1000, 32, 256)):
        trace = np.zeros((n_steps, batch, n_units), "float32")
        initial = np.zeros((1, batch, n_units), "float32")
        copy = milliseconds(lambda i=initial, t=trace: np.concatenate([i, t[:-1]]))
        rows.append(
            {
                "steps": n_steps,
                "batch": batch,
                "units": n_units,
                "copy ms": copy,
                "copy MB": trace.nbytes / 1e6,
            }
        )
    return rows


def measure_merging() -> list[dict[str, Any]]:
    """Two directions of a tanh layer: as two loops, and by hand as one loop of both."""
    rng = np.random.default_rng(0)
    rows = []
    for n_units in (8, 64, 256):
        x = sg.tensor("x", ("T", "B", n_units))
        matrices = [
            sg.shared(rng.normal(0, 0.1, (n_units, n_units)).astype("float32")) for _ in range(4)
        ]
        zeros = sg.zeros((x.shape[1], n_units))

        def step(x_t: Any, h: Any, w: Any, u: Any) -> Any:
            return sg.tanh(x_t @ w + h @ u)

        def both(x_t: Any, y_t: Any, h: Any, k: Any, w: Any, u: Any, v: Any, z: Any) -> list:
            return [step(x_t, h, w, u), step(y_t, k, v, z)]

        apart = [
            sg.scan(step, x, zeros, matrices[:2]),
            sg.scan(step, x[::-1], zeros, matrices[2:]),
        ]
        together = sg.scan(both, [x, x[::-1]], [zeros, zeros], matrices)
        value = rng.normal(size=(29, 30, n_units)).astype("float32")
        row: dict[str, Any] = {"units": n_units}
        for name, outputs in (("two loops", apart), ("one loop", together)):
            loss = sum(sg.square(y).mean() for y in outputs)
            f = sg.compile([x], sg.grad(loss, matrices))
            row[f"{name} ms"] = milliseconds(lambda f=f, value=value: f(value))
            row[f"{name}: bodies"] = f.report.bodies
        rows.append(row)
    return rows


def measure_interning() -> list[dict[str, Any]]:
    """How many nodes are asked for, and how many are made, for a net and its updates."""
    rows = []
    for updates in UPDATES:
        asked = made = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal asked, made
            if event == "call":
                asked += frame.f_code is variable.node.__code__
                made += frame.f_code is variable._insert.__code__

        sys.setprofile(count)
        net = build_net(1, "tanh")
        changes = make_updates(net, updates)
        sys.setprofile(None)
        f = sg.compile(net.inputs, net.loss, updates=changes)
        rows.append(
            {
                "updates": updates,
                "nodes asked for": asked,
                "nodes made": made,
                "bodies": f.report.bodies,
                "passes ms": 1e3 * sum(row.seconds for row in f.report.passes),
            }
        )
    return rows


def measure_imports() -> list[dict[str, Any]]:
    """Milliseconds to import, in fresh processes that have NumPy already."""
    rows = []
    for module in ("symgraph", "symgraph_nn", "scipy.special"):
        script = (
            f"import time, numpy; start = time.process_time(); import {module}; "
            "print(time.process_time() - start)"
        )
        command = [sys.executable, "-c", script]
        taken = [float(subprocess.check_output(command)) for _ in range(9)]
        rows.append({"import": module, "ms": 1e3 * statistics.median(taken)})
    return rows


def measure_kernels() -> list[dict[str, Any]]:
    """LSTM layers as machine code: of each distinct kernel once, and of each use by itself."""
    rows = []
    for n_layers in range(1, 6):
        net = build_net(n_layers, "lstm")
        f = sg.compile(net.inputs, net.loss, updates=make_updates(net, "nesterov"))
        main = lower(f.graph).image.main
        used = kernels_used(main)
        distinct = list({kernel.name: kernel for kernel in used}.values())
        apart = [_renamed(kernel, f"{kernel.name}_{i}") for i, kernel in enumerate(used)]
        rows.append(
            {
                "layers": n_layers,
                "words of program": len(main.words),
                "uses": len(used),
                "distinct": len(distinct),
                "code of the distinct, ms": _emission(distinct),
                "code of each use, ms": _emission(apart),
            }
        )
    return rows


def _renamed(kernel: Kernel, name: str) -> Kernel:
    return Kernel(name, kernel.text.replace(kernel.name, name), kernel.parts, kernel.needs)


def _emission(kernels: list[Kernel]) -> float:
    text = module_text(kernels)
    return milliseconds(lambda: engine().emit(text), 5)


def measure_programs() -> list[dict[str, Any]]:
    """Milliseconds to compile LSTM layers: by all passes, and with the program on disk."""
    rows = []
    for n_layers in (1, 3, 5):
        net = build_net(n_layers, "lstm")
        updates = make_updates(net, "nesterov")

        def compile_net(net: Net = net, updates: Any = updates) -> sg.Function:
            return sg.compile(net.inputs, net.loss, updates=updates)

        by_passes = milliseconds(compile_net, 9)
        with tempfile.TemporaryDirectory() as folder:
            disk = DiskCache(Path(folder))
            with mock.patch.object(engine(), "cache", disk):
                recalled = milliseconds(compile_net, 9)
                assert compile_net().report.is_recalled
            size = max(path.stat().st_size for path in disk.folder.rglob("*.o"))
        rows.append(
            {
                "layers": n_layers,
                "by all passes, ms": by_passes,
                "recalled, ms": recalled,
                "on disk, kB": size / 1e3,
            }
        )
    return rows


def measure_products() -> list[dict[str, Any]]:
    """Float32 products: by the native backend, once and for each step of a loop, and by BLAS."""
    rng = np.random.default_rng(0)
    rows = []
    for n_rows, n_inner, n_columns in SIZES:
        a = rng.normal(size=(n_rows, n_inner)).astype("float32")
        b = rng.normal(0, 0.01, size=(n_inner, n_columns)).astype("float32")
        x, w = sg.matrix("x"), sg.matrix("w")
        once = sg.compile([x, w], x @ w, threads=1)
        out = np.empty((n_rows, n_columns), "float32")
        row: dict[str, Any] = {
            "sizes": f"{n_rows} × {n_inner} × {n_columns}",
            "native µs": microseconds(lambda f=once, a=a, b=b: f(a, b)),
            "BLAS µs": microseconds(lambda a=a, b=b, out=out: np.matmul(a, b, out=out)),
        }
        if n_inner == n_columns:
            last = sg.scan(lambda h, w: h @ w, [], [x], [w], n_steps=N_STEPS)[-1]
            loop = sg.compile([x, w], last, threads=1)
            row["a step of a loop, µs"] = microseconds(lambda f=loop, a=a, b=b: f(a, b)) / N_STEPS
        rows.append(row)
    return rows


def microseconds(call: Callable[[], Any]) -> float:
    """The CPU time of a call, of so many together that the clock's own cost does not matter."""
    start = time.process_time()
    call()
    n_calls = int(max(1, 0.002 / max(time.process_time() - start, 1e-6)))
    return 1e3 * milliseconds(lambda: [call() for _ in range(n_calls)]) / n_calls


def measure_rooms() -> list[dict[str, Any]]:
    """Imports among the files of the native backend, those for types alone included, by room."""
    grimp, package = importlib.import_module("grimp"), "symgraph.backends.llvm"
    graph = grimp.build_graph("symgraph", exclude_type_checking_imports=False, cache_dir=None)
    files = graph.find_descendants(package)
    arrows = {(m, n) for m in files for n in graph.find_modules_directly_imported_by(m) & files}

    def room(file: str) -> str:
        return file.removeprefix(f"{package}.").partition(".")[0]

    return [
        {
            "room": name,
            "files": sum(room(file) == name for file in files),
            "imports inside": sum(room(m) == room(n) == name for m, n in arrows),
            "imports from others": sum(room(m) == name != room(n) for m, n in arrows),
            "of": ", ".join(sorted({room(n) for m, n in arrows if room(m) == name != room(n)})),
        }
        for name in sorted(set(map(room, files)))
    ]


def measure_lowering() -> list[dict[str, Any]]:
    """Training steps of LSTM layers, built and lowered: calls of Python functions, milliseconds."""

    def build(n_layers: int) -> tuple[Net, Any]:
        net = build_net(n_layers, "lstm")
        return net, make_updates(net, "nesterov")

    rows = []
    for n_layers in (1, 3, 5):
        building = calls_of(lambda n=n_layers: build(n))
        net, updates = build(n_layers)
        f = sg.compile(net.inputs, net.loss, updates=updates)
        graph = f.graph
        rows.append(
            {
                "layers": n_layers,
                "build, calls": building,
                "lower, calls": calls_of(lambda graph=graph: lower(graph)),
                "lower, ms": milliseconds(lambda graph=graph: lower(graph)),
                "kernels": f.report.kernels,
            }
        )
    return rows


def calls_of(run: Callable[[], Any]) -> int:
    """How many calls of Python functions it takes, the second time."""
    run()
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    run()
    sys.setprofile(None)
    return calls


def measure_checkpoints() -> list[dict[str, Any]]:
    """A loop of tanh (1,024 steps, 32 rows, 128 units) by which of its states are kept."""
    rows = []
    for every in (None, 32):
        x, w = sg.tensor("x", ("T", 32, 128)), sg.shared(np.eye(128, dtype="float32") / 2, "w")
        start = sg.zeros((32, 128))
        h = sg.scan(lambda x, h, w: sg.tanh(x + h @ w), x, start, w, checkpoint_every=every)
        loss = sg.square(h[-1]).mean()
        value = np.random.default_rng(0).normal(size=(1024, 32, 128)).astype("float32")
        row: dict[str, Any] = {"checkpoint_every": str(every)}
        for name, output in (("forward", loss), ("gradient", sg.grad(loss, w))):
            f = sg.compile([x], output, threads=1)
            row[f"{name}, loops"] = f.report.loops
            row[f"{name}, ms"] = milliseconds(lambda f=f, value=value: f(value), 9)
        rows.append(row)
    return rows


MEASUREMENTS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "work": measure_work,
    "buffers": measure_buffers,
    "merging": measure_merging,
    "interning": measure_interning,
    "imports": measure_imports,
    "kernels": measure_kernels,
    "products": measure_products,
    "programs": measure_programs,
    "rooms": measure_rooms,
    "lowering": measure_lowering,
    "checkpoints": measure_checkpoints,
}


def main(names: list[str]) -> None:
    """Print the tables of these measurements, of all for none."""
    unknown = set(names) - set(MEASUREMENTS)
    if unknown:
        sys.exit(f"there is no {', '.join(sorted(unknown))}, but {', '.join(MEASUREMENTS)}")
    for name in names or MEASUREMENTS:
        # What an earlier run left on disk is not what is measured.
        with mock.patch.object(engine(), "cache", None):
            rows = MEASUREMENTS[name]()
        print_table(MEASUREMENTS[name].__doc__ or name, rows, list(rows[0]))


if __name__ == "__main__":
    main(sys.argv[1:])

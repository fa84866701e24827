"""How long it takes to build and compile bidirectional nets, and how many loops they have; how
compilation grows with outputs, and with operations in a loop and outside.

    python benchmarks/compile_time.py [--layers 5] [--backend native] [--peers] [--output FOLDER]

Milliseconds are medians of CPU time in a warm process, one that has compiled the same net before:
the native backend finds its kernels in the process. All passes run, for the cache on disk is off;
``recall ms`` is what `compile` takes where it finds the program there. `symgraph bench run
--figures compile` starts fresh processes, with and without a cache. Peers are measured in fresh
processes.

Within `compile` there is no CPU clock: its CPU time is divided as the report's clock divides it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from growth import measure_operations, measure_outputs
from peers import measure_peers
from programs import CELLS, N_IN, UPDATES, build_net, make_updates
from report import environment, plot_lines, print_table, write_json

import symgraph as sg
from symgraph.backends.llvm.code.cache import DiskCache
from symgraph.backends.llvm.code.engine import engine
from symgraph.compile.report import Report

STAGES = ("graph", "gradient", "passes", "backend", "other", "first call")


def measure(n_layers: int, cell: str, updates: str, backend: str, repeats: int) -> dict[str, Any]:
    """One row of the table: counts, and for each stage the median milliseconds."""
    subject = n_layers, cell, updates, backend
    with mock.patch.object(engine(), "cache", None):
        runs = [_measure_once(*subject) for _ in range(repeats + 1)][1:]
    report = runs[-1][1]
    rows = [taken for taken, _ in runs]
    medians = {stage: statistics.median(row.get(stage, 0.0) for row in rows) for stage in rows[-1]}
    stages = {stage: medians.pop(stage) for stage in STAGES}
    return {
        "layers": n_layers,
        "cell": cell,
        "updates": updates,
        "loops built": report.loops_built,
        "loops": report.loops,
        "bodies built": report.bodies_built,
        "bodies": report.bodies,
        "repeated": sum(len(group.lines) - 1 for group in report.repeated_bodies),
        "nodes built": report.nodes_built,
        "nodes": report.nodes,
        **{f"{stage} ms": value for stage, value in stages.items()},
        "total ms": sum(stages.values()),
        "recall ms": _measure_recall(subject, repeats) if backend == "native" else None,
        "parts": medians,
    }


def _measure_once(
    n_layers: int, cell: str, updates: str, backend: str
) -> tuple[dict[str, float], Report]:
    """The milliseconds of each stage, and of each part of passes and backend; the report."""
    clock = time.process_time
    start = clock()
    net = build_net(n_layers, cell)
    built = clock()
    changes = make_updates(net, updates)
    differentiated = clock()
    f = sg.compile(net.inputs, net.loss, updates=changes, backend=backend, threads=1)
    compiled = clock()
    f(np.zeros((20, 4, N_IN), "float32"), np.zeros(4, "int64"))
    called = clock()
    in_compile = 1e3 * (compiled - differentiated)
    scale = in_compile / f.report.seconds
    passes = {row.name: scale * row.seconds for row in f.report.passes}
    backend_stages = {name: scale * seconds for name, seconds in f.report.stages.items()}
    in_passes, in_backend = sum(passes.values()), sum(backend_stages.values())
    taken = {
        "graph": 1e3 * (built - start),
        "gradient": 1e3 * (differentiated - built),
        "passes": in_passes,
        "backend": in_backend,
        "other": in_compile - in_passes - in_backend,
        "first call": 1e3 * (called - compiled),
        **passes,
        **backend_stages,
    }
    return taken, f.report


def _measure_recall(subject: tuple[int, str, str, str], repeats: int) -> float:
    """The median milliseconds of `compile` where the program is on disk."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(engine(), "cache", DiskCache(Path(folder))),
    ):
        runs = [_measure_once(*subject) for _ in range(repeats + 1)][1:]
    assert all(report.is_recalled for _, report in runs)
    parts = ("passes", "backend", "other")
    return statistics.median(sum(taken[part] for part in parts) for taken, _ in runs)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, default=5, help="up to so many layers")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which to take the median")
    parser.add_argument("--backend", default="native", help="native or numpy")
    parser.add_argument("--peers", action="store_true", help="measure PyTensor and JAX beside it")
    parser.add_argument("--output", type=Path, default=Path("symgraph-bench"), help="a folder")
    options = parser.parse_args(arguments)
    # Imports what is imported on the first compile.
    sg.compile([], sg.constant(1.0) + 1.0, backend=options.backend)()
    rows = [
        measure(n_layers, cell, updates, options.backend, options.repeats)
        for cell in CELLS
        for updates in UPDATES
        for n_layers in range(1, options.layers + 1)
    ]
    columns = [name for name in rows[0] if name != "parts"]
    print_table("Bidirectional layers: loops and milliseconds of CPU time", rows, columns)
    _print_parts(rows)
    outputs = measure_outputs(options.backend, options.repeats)
    print_table("Programs of more and more outputs", outputs, list(outputs[0]))
    operations = measure_operations(options.backend, options.repeats)
    print_table("Many operations, outside of a loop and in one", operations, list(operations[0]))
    peers = measure_peers(options.layers) if options.peers else []
    if peers:
        print_table("Peers, fresh process, seconds of wall time", peers, list(peers[0]))
    options.output.mkdir(parents=True, exist_ok=True)
    environ = {**environment(), "backend": options.backend}
    figures = {"environment": environ, "symgraph": rows, "peers": peers}
    figures |= {"outputs": outputs, "operations": operations}
    written = [write_json(options.output / "compile_time.json", figures)]
    written += _plot(rows, options.output / "compile_time.png")
    print("written:", ", ".join(map(str, written)))


def _print_parts(rows: list[dict[str, Any]]) -> None:
    deepest = [row for row in rows if row["layers"] == max(r["layers"] for r in rows)]
    table = [
        {"cell": r["cell"], "updates": r["updates"], "layers": r["layers"], **r["parts"]}
        for r in deepest
    ]
    columns = list(dict.fromkeys(name for row in table for name in row))
    print_table("Passes and backend for the deepest nets, milliseconds", table, columns)


def _plot(rows: list[dict[str, Any]], path: Path) -> list[Path]:
    def series(cell: str, updates: str, column: str) -> list[tuple[int, float]]:
        chosen = [r for r in rows if (r["cell"], r["updates"]) == (cell, updates)]
        return [(row["layers"], row[column]) for row in chosen]

    panels = {
        f"{column}, {cell}": {updates: series(cell, updates, column) for updates in UPDATES}
        for column in ("bodies", "total ms")
        for cell in CELLS
    }
    return plot_lines(panels, "bidirectional layers", path)


if __name__ == "__main__":
    main()

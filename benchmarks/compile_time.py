"""How long it takes to build and compile bidirectional nets, and how many loops they have.

    python benchmarks/compile_time.py [--layers 5] [--peers] [--output FOLDER]

Milliseconds are medians of CPU time in a warm process; peers are measured in fresh processes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from peers import measure_peers
from programs import CELLS, N_IN, UPDATES, build_net, make_updates
from report import environment, plot_lines, print_table, write_json

import symgraph as sg

STAGES = ("graph", "gradient", "passes", "backend", "first call")


def measure(n_layers: int, cell: str, updates: str, repeats: int) -> dict[str, Any]:
    """One row of the table: counts, and for each stage the median milliseconds."""
    rows = [_measure_once(n_layers, cell, updates) for _ in range(repeats + 1)][1:]
    report = rows[-1].pop("report")
    for row in rows[:-1]:
        row.pop("report")
    medians = {stage: statistics.median(row[stage] for row in rows) for stage in rows[0]}
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
        "passes": dict(medians),
    }


def _measure_once(n_layers: int, cell: str, updates: str) -> dict[str, Any]:
    clock = time.process_time
    start = clock()
    net = build_net(n_layers, cell)
    built = clock()
    changes = make_updates(net, updates)
    differentiated = clock()
    f = sg.compile(net.inputs, net.loss, updates=changes)
    compiled = clock()
    f(np.zeros((20, 4, N_IN), "float32"), np.zeros(4, "int64"))
    called = clock()
    passes = {row.name: 1e3 * row.seconds for row in f.report.passes}
    in_passes = min(sum(passes.values()), 1e3 * (compiled - differentiated))
    return {
        "graph": 1e3 * (built - start),
        "gradient": 1e3 * (differentiated - built),
        "passes": in_passes,
        "backend": 1e3 * (compiled - differentiated) - in_passes,
        "first call": 1e3 * (called - compiled),
        **passes,
        "report": f.report,
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, default=5, help="up to so many layers")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which to take the median")
    parser.add_argument("--peers", action="store_true", help="measure PyTensor and JAX beside it")
    parser.add_argument("--output", type=Path, default=Path("symgraph-bench"), help="a folder")
    options = parser.parse_args(arguments)
    sg.compile([], sg.constant(1.0) + 1.0)()  # imports what is imported on the first compile
    rows = [
        measure(n_layers, cell, updates, options.repeats)
        for cell in CELLS
        for updates in UPDATES
        for n_layers in range(1, options.layers + 1)
    ]
    columns = [name for name in rows[0] if name != "passes"]
    print_table("Bidirectional layers: loops and milliseconds of CPU time", rows, columns)
    _print_passes(rows)
    peers = measure_peers(options.layers) if options.peers else []
    if peers:
        print_table("Peers, fresh process, seconds of wall time", peers, list(peers[0]))
    options.output.mkdir(parents=True, exist_ok=True)
    figures = {"environment": environment(), "symgraph": rows, "peers": peers}
    written = [write_json(options.output / "compile_time.json", figures)]
    written += _plot(rows, options.output / "compile_time.png")
    print("written:", ", ".join(map(str, written)))


def _print_passes(rows: list[dict[str, Any]]) -> None:
    deepest = [row for row in rows if row["layers"] == max(r["layers"] for r in rows)]
    table = [
        {"cell": r["cell"], "updates": r["updates"], "layers": r["layers"], **r["passes"]}
        for r in deepest
    ]
    print_table("The passes of the deepest nets, milliseconds", table, list(table[0]))


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

"""The rows of the run-time tables, out of the figures of single processes."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from report import print_table

OURS = ("symgraph", "symgraph_nn")
PEERS = ("torch", "jax", "pytensor")
STAGES = ("graph and gradient", "passes", "backend")
TOLERANCE = 1e-4

Run = dict[str, Any]
"""What one process measured, and of what."""


def step_rows(runs: list[Run]) -> list[dict[str, Any]]:
    """For each workload: milliseconds a step, how much faster than the best peer, and by how much
    the frameworks' results differ, relative to the largest."""
    rows = []
    for workload in _in_order(run["workload"] for run in runs):
        chosen = [run for run in runs if run["workload"] == workload]
        steps = {f: _median(chosen, f, "step") for f in frameworks(runs)}
        peers = {f: ms for f, ms in steps.items() if f in PEERS and ms is not None}
        best = min(peers, key=lambda f: peers[f], default=None)
        ratios = {f: _ratio(peers.get(best or ""), steps.get(f)) for f in OURS}
        row: dict[str, Any] = {"workload": workload, **{f"{f} ms": ms for f, ms in steps.items()}}
        row |= {"best peer": best, **{f"{f} ratio": ratio for f, ratio in ratios.items()}}
        rows.append({**row, "difference": _difference(chosen)})
    return rows


def compile_rows(runs: list[Run]) -> list[dict[str, Any]]:
    """For each workload, framework and state of the caches: what compilation takes."""
    rows = []
    for workload in _in_order(run["workload"] for run in runs):
        for cache in ("cold", "warm"):
            chosen = [r for r in runs if (r["workload"], r.get("cache")) == (workload, cache)]
            fresh = [r for r in chosen if not r["after trivial"]]
            after = [r for r in chosen if r["after trivial"]]
            for f in frameworks(chosen):
                row: dict[str, Any] = {"workload": workload, "cache": cache, "framework": f}
                row["import"] = _median(chosen, f, "import")
                for name, of in (("import to first result", fresh), ("first call", after)):
                    row[name] = _median(of, f, name)
                    row[f"JAX's: {name}"] = _ratio(_median(of, "jax", name), row[name])
                row["evaluation"] = _median(after, f, "evaluation")
                rows.append(row)
    return rows


def stage_rows(runs: list[Run]) -> list[dict[str, Any]]:
    """Where symgraph's milliseconds up to the first result go, after a trivial function."""
    rows = []
    for workload in _in_order(run["workload"] for run in runs):
        for f in OURS:
            for cache in ("cold", "warm"):
                state = (workload, f, cache, True)
                names = ("workload", "framework", "cache", "after trivial")
                chosen = [r for r in runs if tuple(map(r.get, names)) == state and "passes" in r]
                if not chosen:
                    continue
                row: dict[str, Any] = {"workload": workload, "framework": f, "cache": cache}
                row |= {stage: _median(chosen, f, stage) for stage in STAGES}
                total = statistics.median(r["first call"] for r in chosen)
                row["call"] = max(total - sum(row[stage] for stage in STAGES), 0.0)
                counts = ("kernels", "distinct kernels", "object cache", "program cache")
                rows.append({**row, **{name: chosen[-1][name] for name in counts}})
    return rows


def _median(runs: list[Run], framework: str, name: str) -> float | None:
    values = [r[name] for r in runs if r["framework"] == framework and name in r]
    return statistics.median(values) if values else None


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a and b else None


def _difference(runs: list[Run]) -> float:
    """The largest relative difference between results at the same step."""
    by_step = zip(*(run["results"] for run in runs if "results" in run), strict=True)
    columns = [column for results in by_step for column in zip(*results, strict=True)]
    return max(((max(c) - min(c)) / max(map(abs, c)) for c in columns if any(c)), default=0.0)


def _in_order(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def frameworks(runs: list[Run]) -> list[str]:
    """The frameworks that were measured."""
    found = {run["framework"] for run in runs}
    return [f for f in (*OURS, *PEERS) if f in found]


def print_tables(runs: list[Run]) -> None:
    """Print what was measured, and where results differ."""
    steps = step_rows(runs)
    _print(
        "A training step or call: milliseconds of CPU time, one thread",
        [row for row in steps if any(row[f"{f} ms"] for f in frameworks(runs))],
    )
    _print("Up to the first result, milliseconds, and JAX's as a multiple", compile_rows(runs))
    _print("Where symgraph's go, after a trivial function", stage_rows(runs))
    for row in steps:
        if row["difference"] > TOLERANCE:
            print(f"{row['workload']}: the frameworks' results DIFFER by {row['difference']:.1e}")


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        print_table(title, rows, list(rows[0]))

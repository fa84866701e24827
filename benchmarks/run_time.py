"""How long training steps and calls take, and their compilation, beside PyTorch, JAX, PyTensor.

    python benchmarks/run_time.py [--only NAME] [--peers [NAME]] [--python INTERPRETER] …

Milliseconds of CPU time on one thread, medians over fresh processes. Every framework starts from
the same parameters and data, and must find the same losses.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import environment, plot_bars, write_json
from run_rows import (
    OURS,
    PEERS,
    TOLERANCE,
    Run,
    compile_rows,
    frameworks,
    print_tables,
    stage_rows,
    step_rows,
)
from workloads import WORKLOADS, Workload

# Of what takes longer than this to compile there is one measurement.
SLOW_MS = 30_000.0


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, write JSON and a plot; status 1 where results differ or fail."""
    options = _parse(arguments)
    peers = {} if options.peers is None else _installed(options.peers, options.python)
    options.versions = peers
    options.output.mkdir(parents=True, exist_ok=True)
    for framework in [*OURS, *peers]:
        _import_once(framework, options)
    runs: list[Run] = []
    for workload in options.workloads:
        for run in _measure(workload, [*OURS, *peers], options):
            runs.append(run)
            _write(runs, options)  # what has been measured survives an interruption
    print_tables(runs)
    written = [_write(runs, options), *_plot(runs, options.output / "run_time.png")]
    print("written:", ", ".join(map(str, written)))
    has_failed = any("results" not in run for run in runs)
    sys.exit(int(has_failed or any(row["difference"] > TOLERANCE for row in step_rows(runs))))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--only", action="append", choices=list(WORKLOADS), help="a workload; may be repeated")
    add("--figures", choices=("all", "steps", "compile"), default="all")
    add("--backend", default="native", help="native or numpy")
    add("--peers", nargs="*", choices=PEERS, help="measure these, or all, where installed")
    add("--python", default=sys.executable, help="the interpreter that has the peers")
    add("--rounds", type=int, default=3, help="fresh processes of which to take the median")
    add("--samples", type=int, default=11, help="times a step is timed in each process")
    add("--output", type=Path, default=Path("symgraph-bench"), help="a folder")
    options = parser.parse_args(arguments)
    chosen = [w for name, w in WORKLOADS.items() if name in (options.only or WORKLOADS)]
    only_steps = options.figures == "steps"
    options.workloads = [w for w in chosen if w.is_timed or not only_steps]
    return options


def _installed(peers: list[str], python: str) -> dict[str, str]:
    """The peers that the interpreter finds, of all where none is named, and their versions."""
    code = (
        "import importlib.metadata as m, json, sys; "
        "found = {d.name: d.version for d in m.distributions() if d.name in sys.argv[1:]}; "
        "print(json.dumps(found))"
    )
    names = list(peers or PEERS)
    done = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True)
    versions = json.loads(done.stdout)
    missing = [name for name in names if name not in versions]
    if missing:
        print(f"not installed, not measured: {', '.join(missing)}")
    return {name: versions[name] for name in names if name in versions}


# --- processes ----------------------------------------------------------------------------------


def _measure(workload: Workload, names: list[str], options: argparse.Namespace) -> Iterator[Run]:
    """A run for each framework, round and process. Frameworks take turns, so that what else the
    machine does meets all of them."""
    slow = set()
    for number in range(options.rounds):
        for framework in names:
            if framework in slow or (framework == "symgraph_nn" and not workload.n_steps):
                continue
            print(f"{workload.name}, round {number + 1}: {framework}", flush=True)
            for run in _measure_framework(workload, framework, options):
                yield {"workload": workload.name, "framework": framework, "round": number, **run}
                if run.get("first call", math.inf) > SLOW_MS:
                    slow.add(framework)


def _measure_framework(
    workload: Workload, framework: str, options: argparse.Namespace
) -> Iterator[Run]:
    """Processes with cold and with warm caches, before and after a trivial function; the last one
    takes the steps."""
    samples = options.samples if workload.is_timed and options.figures != "compile" else 0
    with tempfile.TemporaryDirectory() as folder:
        states = [(cache, trivial) for cache in ("cold", "warm") for trivial in (False, True)]
        for cache, after_trivial in states if options.figures != "steps" else states[-1:]:
            is_last = (cache, after_trivial) == states[-1]
            given = {
                "framework": framework,
                "workload": workload.name,
                "after_trivial": after_trivial,
                "samples": samples if is_last else 0,
            }
            if framework in OURS:
                given["backend"] = options.backend
            # Each has a cache of its own, which its warm successor finds.
            found = _run(given, options, Path(folder) / f"cache-{after_trivial}")
            state = {} if options.figures == "steps" else {"cache": cache}
            yield {**state, "after trivial": after_trivial, **found}
            if not found:
                return


def _import_once(framework: str, options: argparse.Namespace) -> None:
    """Bring a framework's bytecode and files into place, which an installed one has."""
    command = [_python(framework, options), "-c", f"import workloads_{framework}"]
    with tempfile.TemporaryDirectory() as folder:
        environ = _variables(Path(folder))
        subprocess.run(command, env=environ, cwd=Path(__file__).parent, check=False)


def _python(framework: str, options: argparse.Namespace) -> str:
    return sys.executable if framework in OURS else options.python


def _run(given: dict[str, Any], options: argparse.Namespace, cache: Path) -> Run:
    """The figures of a fresh process; none, and a message, where it fails."""
    command = [
        _python(given["framework"], options),
        str(Path(__file__).with_name("measure.py")),
        json.dumps(given),
    ]
    try:
        done = subprocess.run(
            command, env=_variables(cache), capture_output=True, text=True, timeout=1800, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{command[-1]} failed: {str(error.stderr or error)[-500:]}")
        return {}
    return json.loads(done.stdout.splitlines()[-1])


def _variables(cache: Path) -> dict[str, str]:
    """One thread each, and caches in this folder."""
    cache.mkdir(exist_ok=True)
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {
        **inherited,
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        "SYMGRAPH_CACHE_DIR": str(cache),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTENSOR_FLAGS": f"base_compiledir={cache}",
        "NUMBA_CACHE_DIR": str(cache),
    }


# --- what is written ----------------------------------------------------------------------------


def _write(runs: list[Run], options: argparse.Namespace) -> Path:
    figures = {
        "environment": {**environment(), "backend": options.backend, **options.versions},
        "steps": step_rows(runs),
        "compile": compile_rows(runs),
        "stages": stage_rows(runs),
        "runs": runs,
    }
    return write_json(options.output / "run_time.json", figures)


def _plot(runs: list[Run], path: Path) -> list[Path]:
    steps, first = step_rows(runs), compile_rows(runs)
    panels = {
        "a step, milliseconds": {
            f: {row["workload"]: row[f"{f} ms"] for row in steps if row.get(f"{f} ms")}
            for f in frameworks(runs)
        },
        "first call, cold caches, milliseconds": {
            f: {
                row["workload"]: row["first call"]
                for row in first
                if row["framework"] == f and row["cache"] == "cold" and row["first call"]
            }
            for f in frameworks(runs)
        },
    }
    return plot_bars({title: bars for title, bars in panels.items() if any(bars.values())}, path)


if __name__ == "__main__":
    main()

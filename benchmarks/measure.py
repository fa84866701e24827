"""Measures one workload in one framework, in the process that this is, and prints JSON.

    python benchmarks/measure.py '{"framework": "jax", "workload": "leaky", "samples": 5}'

All figures are milliseconds of CPU time, of all threads of the process, which is pinned to one
processor where the system can do that.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from workloads import WORKLOADS, initial_parameters, make_data

N_CHECKED = 5
SAMPLE_MS = 50.0


def measure(
    framework: str,
    workload: str,
    samples: int = 0,
    backend: str = "",
    *,
    after_trivial: bool = False,
) -> dict[str, Any]:
    """The figures: import, first call and evaluation; what the first steps give; steps, if asked.

    ``first call`` is everything from the arrays to the first result: graph, gradient, compilation
    and call; ``import to first result`` holds the import as well. ``after_trivial``: after
    another, trivial function was compiled, so that neither import nor start-up is in the figures.
    """
    options = (backend,) if backend else ()
    given = WORKLOADS[workload]
    arrays = initial_parameters(given), make_data(given)
    start = _now()
    module = importlib.import_module(f"workloads_{framework}")
    imported = _now()
    if after_trivial:
        module.compile_trivial(*options)
    begun = _now()
    program = module.prepare(given, *arrays, *options)
    first = program.step()
    called = _now()
    results = [as_numbers(first)]
    figures: dict[str, Any] = {"import": imported - start, "first call": called - begun}
    if not after_trivial:
        figures["import to first result"] = called - start
    figures |= program.stages
    if program.evaluate is not None:
        begun = _now()
        program.evaluate()
        figures["evaluation"] = _now() - begun
    results += [as_numbers(program.step()) for _ in range(N_CHECKED - 1)]
    figures["results"] = results
    if samples:
        times = time_calls(program.step, samples)
        figures |= {"step": statistics.median(times), "fastest step": min(times)}
    return figures


def _now() -> float:
    return 1e3 * time.process_time()


def time_calls(call: Callable[[], Any], samples: int) -> list[float]:
    """The milliseconds of a call, so many times; short calls are timed many at once."""
    n_calls, elapsed = 1, _time_calls(call, 1)
    while elapsed < SAMPLE_MS:
        n_calls *= max(2, int(SAMPLE_MS / max(elapsed, 1e-3)))
        elapsed = _time_calls(call, n_calls)
    return [_time_calls(call, n_calls) / n_calls for _ in range(samples)]


def _time_calls(call: Callable[[], Any], n_calls: int) -> float:
    start = _now()
    for _ in itertools.repeat(None, n_calls):
        call()
    return _now() - start


def as_numbers(result: Any) -> list[float]:
    """A result as numbers that frameworks can be compared by: scalars, and arrays' root squares."""
    parts = result if isinstance(result, (tuple, list)) else [result]
    arrays = [np.asarray(part, "float64") for part in parts]
    return [float(a) if a.ndim == 0 else float(np.sqrt(np.mean(a * a))) for a in arrays]


def _pin() -> None:
    """Stay on one processor, the last of those allowed."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


if __name__ == "__main__":
    _pin()
    print(json.dumps(measure(**json.loads(sys.argv[1]))))

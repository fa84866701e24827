"""How compilation grows: with outputs, and with a body of many operations beside the same outside.

`benchmarks/compile_time.py` prints these rows.
"""

from __future__ import annotations

import contextlib
import operator
import statistics
import time
from collections.abc import Callable
from functools import reduce
from typing import Any
from unittest import mock

import numpy as np

import symgraph as sg
from symgraph.backends.llvm.code.engine import engine

Program = tuple[list[sg.Variable], list[sg.Variable]]
"""Inputs and outputs."""

N_OUTPUTS = (4, 16, 64)
N_OPERATIONS = 1000
_WIDTH = 8
# Where operations may be, with the axes of their loops.
_LOOPED = {"outside": (), "map": ("T",), "state": ("T",), "nested": ("S", "T")}


def build_loops(n_outputs: int) -> Program:
    """So many outputs, each of a loop with a sequence and weights of its own."""
    xs = [sg.tensor(f"x{k}", ("T", _WIDTH)) for k in range(n_outputs)]
    return xs, [_last_row(x, _weights(f"w{k}")).sum() for k, x in enumerate(xs)]


def build_gradients(n_outputs: int) -> Program:
    """So many gradients of one loss: of as many loops over one sequence, each by its weights."""
    x = sg.tensor("x", ("T", _WIDTH))
    weights = [_weights(f"w{k}") for k in range(n_outputs)]
    loss = reduce(operator.add, [sg.square(_last_row(x, w)).sum() for w in weights])
    return [x], list(sg.grad(loss, weights))


def build_losses(n_outputs: int) -> Program:
    """So many gradients by the same weights, of different losses of one loop."""
    x, w = sg.tensor("x", ("T", _WIDTH)), _weights("w")
    last = _last_row(x, w)
    losses = [(last * float(k + 1)).sum() + last[k % _WIDTH] for k in range(n_outputs)]
    return [x], [sg.grad(loss, w) for loss in losses]


def build_weights(n_outputs: int) -> Program:
    """So many gradients of one loss: of one loop, by all the weights of its step."""
    x = sg.tensor("x", ("T", _WIDTH))
    weights = [_weights(f"w{k}") for k in range(n_outputs)]

    def step(x: sg.Variable, h: sg.Variable, *weights: sg.Variable) -> sg.Variable:
        return reduce(lambda h, w: sg.tanh(h @ w), weights, x + h)

    last = sg.scan(step, x, sg.zeros((_WIDTH,)), weights)[-1]
    return [x], list(sg.grad(sg.square(last).sum(), weights))


def _last_row(x: sg.Variable, w: sg.Variable) -> sg.Variable:
    return sg.scan(lambda x, h, w: sg.tanh(x + h @ w), x, sg.zeros((_WIDTH,)), w)[-1]


def _weights(name: str) -> sg.SharedVariable:
    return sg.shared(np.eye(_WIDTH, dtype="float32"), name)


# What is compiled of so many outputs.
OUTPUTS: dict[str, Callable[[int], Program]] = {
    "loops": build_loops,
    "gradients of one loss": build_gradients,
    "losses of one loop": build_losses,
    "weights of one loop": build_weights,
}


def build_operations(place: str, n_operations: int, figure: str) -> Program:
    """So many elementwise operations: outside of any loop, in a loop that has no state (``map``),
    in one whose state they compute (``state``), or in such a loop in a loop (``nested``); their
    sum, or its gradient by a weight."""
    x = sg.tensor("x", (*_LOOPED[place], "B", _WIDTH))
    w = sg.shared(np.ones(_WIDTH, "float32"), "w")

    def compute(h: sg.Variable, w: sg.Variable) -> sg.Variable:
        for k in range(n_operations // 5):
            h = sg.tanh(h * w + 0.01 * (k % 7)) - h * 0.5
        return h

    def last_state(x: sg.Variable, h: sg.Variable) -> sg.Variable:
        return sg.scan(lambda x, h, w: compute(x + h, w), x, h, w)[-1]

    if place == "outside":
        y = compute(x, w)
    elif place == "map":
        y = sg.scan(compute, x, None, w)
    elif place == "state":
        y = last_state(x, sg.zeros_like(x[0]))
    else:
        y = sg.scan(last_state, x, sg.zeros_like(x[0, 0]))[-1]
    return [x], [y.sum() if figure == "forward" else sg.grad(y.sum(), w)]


def time_compile(build: Callable[[], Program], backend: str, repeats: int) -> dict[str, Any]:
    """The median milliseconds to build and to compile, after a first time; and what was made."""
    clock, runs = time.process_time, []
    # Without the cache on disk, all passes run.
    no_disk = mock.patch.object(engine(), "cache", None) if backend == "native" else None
    with no_disk or contextlib.nullcontext():
        for _ in range(repeats + 1):
            start = clock()
            inputs, outputs = build()
            built = clock()
            f = sg.compile(inputs, outputs, backend=backend, threads=1)
            runs.append((1e3 * (built - start), 1e3 * (clock() - built), f.report))
    report = runs[-1][2]
    return {
        "build ms": statistics.median(run[0] for run in runs[1:]),
        "compile ms": statistics.median(run[1] for run in runs[1:]),
        "nodes": report.nodes,
        "kernels": report.kernels,
        "distinct kernels": report.distinct_kernels,
    }


def measure_outputs(
    backend: str, repeats: int, numbers: tuple[int, ...] = N_OUTPUTS
) -> list[dict[str, Any]]:
    """A row for each program and number of outputs, and compilation as a multiple of the first."""
    rows = []
    for name, build in OUTPUTS.items():
        first = None
        for n_outputs in numbers:
            taken = time_compile(lambda b=build, n=n_outputs: b(n), backend, repeats)
            first = first or taken["compile ms"]
            rows.append(
                {
                    "program": name,
                    "outputs": n_outputs,
                    **taken,
                    f"of {numbers[0]} outputs": taken["compile ms"] / first,
                }
            )
    return rows


def measure_operations(
    backend: str, repeats: int, n_operations: int = N_OPERATIONS
) -> list[dict[str, Any]]:
    """A row for each place of many operations, and compilation as a multiple of outside."""
    rows = []
    for figure in ("forward", "gradient"):
        outside = None
        for place in _LOOPED:
            taken = time_compile(
                lambda p=place, f=figure: build_operations(p, n_operations, f), backend, repeats
            )
            outside = outside or taken["compile ms"]
            row = {"operations": n_operations, "figure": figure, "place": place, **taken}
            rows.append({**row, "of outside": taken["compile ms"] / outside})
    return rows

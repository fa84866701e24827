"""How much memory loops take: training steps beside PyTorch and JAX, checkpoints, last rows.

    python benchmarks/loop_memory.py [--backend native] [--rows "LSTM" "a state"]

Each row is measured in a process of its own: the program runs once on few steps, and then on all.
The figures are the most memory that the first call on all steps had above what the process had
before it (arguments are made before that), the median CPU time of five more such calls, and what
the report says that loops store. PyTorch and JAX have rows where they are installed. Linux alone
tells the figures of memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], Any]
"""A call of a program on its whole number of steps."""
Prepare = Callable[[str], tuple[Call, int | None]]
"""By backend: the call, after one on few steps, and the bytes that the report says are stored."""

UNITS, BATCH = 128, 16
_FEW = 4


def _frames(n_steps: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n_steps, BATCH, UNITS)).astype("float32")


def prepare_layer(backend: str, *, cell: str, n_steps: int = 1000) -> tuple[Call, int | None]:
    """A training step of a recurrent layer, its loss on all states."""
    import symgraph as sg
    import symgraph_nn as nn

    x = sg.tensor("x", ("T", BATCH, UNITS))
    layer = nn.Recurrent(getattr(nn, cell)(UNITS, UNITS, rng=0))
    loss = sg.square(layer(x)).mean()
    updates = nn.sgd(loss, layer.params, 0.01)
    step = sg.compile([x], loss, updates=updates, threads=1, backend=backend)
    step(_frames(_FEW))
    return partial(step, _frames(n_steps)), step.report.stored_bytes(T=n_steps)


def prepare_torch_layer(_: str, *, n_steps: int = 1000) -> tuple[Call, int | None]:
    """The same of PyTorch's LSTM."""
    import torch

    torch.set_num_threads(1)
    layer = torch.nn.LSTM(UNITS, UNITS)
    optimizer = torch.optim.SGD(layer.parameters(), 0.01)

    def step(frames: torch.Tensor) -> float:
        optimizer.zero_grad()
        loss = layer(frames)[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    step(torch.from_numpy(_frames(_FEW)))
    return partial(step, torch.from_numpy(_frames(n_steps))), None


def prepare_jax_layer(_: str, *, n_steps: int = 1000) -> tuple[Call, int | None]:
    """The same of an LSTM as `lax.scan`, its input product before the loop.

    It is compiled for its number of steps before the memory is looked at.
    """
    import jax
    import jax.numpy as jnp

    random = np.random.default_rng(1)
    shapes = (UNITS, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,)
    params = [random.normal(0, UNITS**-0.5, shape).astype("float32") for shape in shapes]

    def loss(params: Any, frames: Any) -> Any:
        w, u, b = params

        def step(state: Any, row: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(row + h @ u, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((BATCH, UNITS))
        return jnp.square(jax.lax.scan(step, (zeros, zeros), frames @ w + b)[1]).mean()

    @jax.jit
    def train(params: Any, frames: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(params, frames)
        return value, [p - 0.01 * g for p, g in zip(params, gradients, strict=True)]

    frames = jax.device_put(_frames(n_steps))
    compiled = train.lower(params, frames).compile()
    return lambda: jax.block_until_ready(compiled(params, frames)), None


def prepare_states(backend: str, *, n_units: int, n_steps: int, **options: Any) -> Any:
    """A state of so many steps, and the gradient of its last value by the weights."""
    import symgraph as sg

    n = sg.scalar("n", "int64")
    weights = 0.1 * np.random.default_rng(0).normal(size=(n_units, n_units))
    w, b = sg.shared(weights.astype("float32")), sg.shared(np.zeros(n_units, "float32"))
    first = 0.5 * sg.ones(n_units)
    h = sg.scan(lambda h: sg.tanh(h @ w + b), [], [first], n_steps=n, name="h", **options)
    loss = sg.square(h[-1]).sum()
    f = sg.compile([n], [loss, *sg.grad(loss, [w, b])], backend=backend, threads=1)
    f(_FEW)
    return partial(f, n_steps), None


def prepare_last_row(backend: str, *, n_steps: int, with_until: bool) -> Any:
    """The last of so many states of 64 numbers."""
    import symgraph as sg

    n = sg.scalar("n", "int64")

    def step(i: sg.Variable, h: sg.Variable) -> Any:
        h = sg.tanh(1.01 * h + 0.1)
        return (h, sg.until(i >= n - 1)) if with_until else h

    last = sg.scan(step, [sg.arange(n)], [sg.ones(64)])[-1]
    f = sg.compile([n], last, backend=backend, threads=1)
    f(_FEW)
    return partial(f, n_steps), None


_LONG = {"n_units": UNITS, "n_steps": 100_000}
_LONGEST = {"n_units": 64, "n_steps": 1_000_000}

ROWS: dict[str, Prepare] = {
    "LSTM, training step": partial(prepare_layer, cell="LSTMCell"),
    "LSTM, PyTorch": prepare_torch_layer,
    "LSTM, JAX": prepare_jax_layer,
    "GRU, training step": partial(prepare_layer, cell="GRUCell"),
    "tanh, training step": partial(prepare_layer, cell="RNNCell"),
    "a state of 10^5 steps, gradient": partial(prepare_states, **_LONG),
    "the same, checkpoint_every=320": partial(prepare_states, **_LONG, checkpoint_every=320),
    'the same, checkpoint_every="auto"': partial(prepare_states, **_LONG, checkpoint_every="auto"),
    "10^6 steps of 64, gradient, auto": partial(
        prepare_states, **_LONGEST, checkpoint_every="auto"
    ),
    "10^6 steps, last row": partial(prepare_last_row, n_steps=1_000_000, with_until=False),
    "10^6 steps, last row, until": partial(prepare_last_row, n_steps=1_000_000, with_until=True),
}
_NEEDED = {"LSTM, PyTorch": "torch", "LSTM, JAX": "jax"}


def measure_row(name: str, backend: str) -> dict[str, Any]:
    """The figures of one row, measured in this process."""
    call, stored = ROWS[name](backend)
    before = _kilobytes("VmRSS")
    # From here on the most that the process has had is the most since.
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    call()
    above = _kilobytes("VmHWM") - before
    return {
        "program": name,
        "MB above before": above / 1000,
        "ms": 1e3 * statistics.median(_seconds(call) for _ in range(5)),
        "stored, MB": None if stored is None else stored / 1e6,
    }


def _seconds(call: Call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _kilobytes(entry: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry))


def measure_in_processes(names: list[str], backend: str) -> list[dict[str, Any]]:
    """The figures of the rows, each of a process of its own on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return [_measure_in_process(name, backend, environment) for name in names]


def _measure_in_process(name: str, backend: str, environment: Mapping[str, str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--backend", backend, "--in-this-process", name]
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def is_measurable(name: str) -> bool:
    """Whether what a row needs is installed."""
    return importlib.util.find_spec(_NEEDED.get(name, "symgraph")) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description="memory of loops")
    parser.add_argument("--backend", default="native")
    parser.add_argument("--rows", nargs="*", default=[""], help="parts of the rows' names")
    parser.add_argument("--in-this-process", metavar="ROW", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_this_process:
        print(json.dumps(measure_row(options.in_this_process, options.backend)))
        return
    names = [name for name in ROWS if any(part in name for part in options.rows)]
    rows = measure_in_processes(list(filter(is_measurable, names)), options.backend)
    from report import print_table

    print_table(f"memory of loops, backend {options.backend}", rows, list(rows[0]) if rows else [])


if __name__ == "__main__":
    main()

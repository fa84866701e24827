"""What it costs to write a step's input product inside the loop, beside hoisting it by hand.

    python benchmarks/input_products.py [--only NAME …] [--backend NAME …] [--rounds 9]

Each pair computes the same: once a step multiplies its row of the sequence by the input weights,
once the whole sequence is multiplied before the loop. Milliseconds of CPU time on one thread,
forward (all states) and training (a loss and its gradients), medians of rounds in which both take
turns. Set OMP_NUM_THREADS=1, or several threads are counted as one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from measure import time_calls
from report import print_table

import symgraph as sg

BACKENDS = ("native", "numpy")
FIGURES = ("forward", "training")


@dataclass(frozen=True)
class Sizes:
    """The sizes of a net and of its sequence."""

    n_steps: int = 100
    batch: int = 16
    n_in: int = 64
    n_units: int = 128


States = list[sg.Variable]
Cell = Callable[..., States]
"""From the sum of all products and the bias, and from the states, to the new states."""


def tanh_cell(z: sg.Variable, h: sg.Variable) -> States:
    """The new state of a plain recurrent net."""
    return [sg.tanh(z)]


def lstm_cell(z: sg.Variable, h: sg.Variable, c: sg.Variable) -> States:
    """The new state and memory of an LSTM, by its gates side by side."""
    n_units = z.shape[-1] // 4
    i, f, g, o = (z[..., k * n_units : (k + 1) * n_units] for k in range(4))
    c = sg.sigmoid(f) * c + sg.sigmoid(i) * sg.tanh(g)
    return [sg.sigmoid(o) * sg.tanh(c), c]


@dataclass(frozen=True)
class Pair:
    """A net of which both ways are written."""

    cell: Cell
    n_gates: int
    n_states: int
    is_joined: bool = False
    """Whether, inside the loop, one product has the input beside the state."""
    has_batch: bool = True


PAIRS = {
    f"{name}{suffix}": Pair(cell, *counts, **options)
    for name, cell, counts in (("tanh", tanh_cell, (1, 1)), ("lstm", lstm_cell, (4, 2)))
    for suffix, options in (
        ("", {}),
        (", joined", {"is_joined": True}),
        (", no batch", {"has_batch": False}),
        (", joined, no batch", {"is_joined": True, "has_batch": False}),
    )
}


def compile_pair(pair: Pair, sizes: Sizes, backend: str, figure: str) -> list[sg.Function]:
    """The functions of the sequence: the product written inside the loop, and hoisted."""
    functions = []
    for is_inside in (True, False):
        x, params = make_inputs(pair, sizes)
        states = write_loop(pair, sizes, x, params, is_inside=is_inside)
        outputs = [states]
        if figure == "training":
            loss = sg.square(states).mean()
            outputs = [loss, *sg.grad(loss, params)]
        functions.append(sg.compile([x], outputs, backend=backend, threads=1))
    return functions


def make_inputs(pair: Pair, sizes: Sizes) -> tuple[sg.Variable, list[sg.SharedVariable]]:
    """The sequence, and the parameters: the weights of the input above those of the state, and
    the bias. They are the same each time."""
    rng = np.random.default_rng(0)
    x = sg.tensor("x", ("T", "B", sizes.n_in) if pair.has_batch else ("T", sizes.n_in))
    n_columns = pair.n_gates * sizes.n_units
    shapes = {"weights": (sizes.n_in + sizes.n_units, n_columns), "bias": (n_columns,)}
    arrays = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    return x, [sg.shared(array.astype("float32"), name) for name, array in arrays.items()]


def write_loop(
    pair: Pair,
    sizes: Sizes,
    x: sg.Variable,
    params: list[sg.SharedVariable],
    *,
    is_inside: bool,
) -> sg.Variable:
    """The states over time."""
    weights, bias = params
    w, u = weights[: sizes.n_in], weights[sizes.n_in :]

    def step_inside(x_t: sg.Variable, h: sg.Variable, *others: sg.Variable) -> States:
        if pair.is_joined:
            return pair.cell(sg.concatenate([x_t, h], axis=-1) @ weights + bias, h, *others)
        return pair.cell(x_t @ w + h @ u + bias, h, *others)

    def step_hoisted(a: sg.Variable, h: sg.Variable, *others: sg.Variable) -> States:
        return pair.cell(a + h @ u, h, *others)

    start = sg.zeros((*(x.shape[k] for k in range(1, x.ndim - 1)), sizes.n_units))
    initial = [start] * pair.n_states
    if is_inside:
        found = sg.scan(step_inside, x, initial)
    else:
        found = sg.scan(step_hoisted, x @ w + bias, initial)
    return found[0] if isinstance(found, list) else found


def make_sequence(pair: Pair, sizes: Sizes) -> np.ndarray:
    """Normal numbers."""
    rows = (sizes.batch,) if pair.has_batch else ()
    shape = (sizes.n_steps, *rows, sizes.n_in)
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def measure_pair(
    name: str, backend: str, rounds: int, sizes: Sizes | None = None
) -> dict[str, Any]:
    """A row: for each figure both milliseconds, and inside as a multiple of hoisted."""
    pair, sizes = PAIRS[name], sizes or Sizes()
    value = make_sequence(pair, sizes)
    row: dict[str, Any] = {"net": name, "backend": backend}
    for figure in FIGURES:
        calls = [partial(f, value) for f in compile_pair(pair, sizes, backend, figure)]
        turns = [[time_calls(call, 1)[0] for call in calls] for _ in range(rounds)]
        inside, hoisted = map(median, zip(*turns, strict=True))
        row |= {
            f"{figure}: inside, ms": inside,
            f"{figure}: hoisted, ms": hoisted,
            f"{figure}: ratio": median(a / b for a, b in turns),
        }
    return row


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--only", action="append", choices=list(PAIRS), help="a net; may be repeated")
    add("--backend", action="append", choices=BACKENDS, help="may be repeated; both for none")
    add("--rounds", type=int, default=9, help="of which to take the median")
    options = parser.parse_args(arguments)
    rows = [
        measure_pair(name, backend, options.rounds)
        for backend in options.backend or BACKENDS
        for name in options.only or PAIRS
    ]
    print_table("Input products inside the loop and hoisted by hand", rows, list(rows[0]))


if __name__ == "__main__":
    main()

"""What it costs to write a step's input product inside the loop, beside hoisting it by hand.

    python benchmarks/input_products.py [--only NAME …] [--backend NAME …] [--rounds 9]

Each pair computes the same: once a step multiplies its row of the sequence by the input weights,
once the whole sequence is multiplied before the loop. The row is that of a sequence of numbers, or
that of a table at an index, or masked in the step. Milliseconds of CPU time on one thread,
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
    n_symbols: int = 1000


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
    row: str = "read"
    """``"read"``, ``"embedded"`` (that of a table at an index), or ``"masked"``."""


VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    ", joined": {"is_joined": True},
    ", no batch": {"has_batch": False},
    ", joined, no batch": {"is_joined": True, "has_batch": False},
    ", embedded": {"row": "embedded"},
    ", embedded, no batch": {"row": "embedded", "has_batch": False},
    ", masked": {"row": "masked"},
}
PAIRS = {
    f"{name}{suffix}": Pair(cell, *counts, **options)
    for name, cell, counts in (("tanh", tanh_cell, (1, 1)), ("lstm", lstm_cell, (4, 2)))
    for suffix, options in VARIANTS.items()
}


def compile_pair(pair: Pair, sizes: Sizes, backend: str, figure: str) -> list[sg.Function]:
    """The functions of the sequences: the product written inside the loop, and hoisted."""
    functions = []
    for is_inside in (True, False):
        sequences, params = make_inputs(pair, sizes)
        states = write_loop(pair, sizes, sequences, params, is_inside=is_inside)
        outputs = [states]
        if figure == "training":
            loss = sg.square(states).mean()
            outputs = [loss, *sg.grad(loss, params)]
        functions.append(sg.compile(sequences, outputs, backend=backend, threads=1))
    return functions


def make_inputs(pair: Pair, sizes: Sizes) -> tuple[list[sg.Variable], list[sg.SharedVariable]]:
    """The sequences, and the parameters: the weights of the input above those of the state, the
    bias, and the table where rows are those of one. They are the same each time."""
    rng = np.random.default_rng(0)
    names = ("T", "B") if pair.has_batch else ("T",)
    if pair.row == "embedded":
        sequences = [sg.tensor("symbols", names, dtype="int64")]
    else:
        sequences = [sg.tensor("x", (*names, sizes.n_in))]
    if pair.row == "masked":
        sequences.append(sg.tensor("mask", names))
    n_columns = pair.n_gates * sizes.n_units
    shapes = {"weights": (sizes.n_in + sizes.n_units, n_columns), "bias": (n_columns,)}
    if pair.row == "embedded":
        shapes["table"] = (sizes.n_symbols, sizes.n_in)
    arrays = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    return sequences, [sg.shared(array.astype("float32"), name) for name, array in arrays.items()]


def write_loop(
    pair: Pair,
    sizes: Sizes,
    sequences: list[sg.Variable],
    params: list[sg.SharedVariable],
    *,
    is_inside: bool,
) -> sg.Variable:
    """The states over time."""
    weights, bias, *table = params
    w, u = weights[: sizes.n_in], weights[sizes.n_in :]
    n_read = len(sequences)

    def step_inside(*read: sg.Variable) -> States:
        x_t, (h, *others) = write_rows(pair, table, *read[:n_read]), read[n_read:]
        if pair.is_joined:
            return pair.cell(sg.concatenate([x_t, h], axis=-1) @ weights + bias, h, *others)
        return pair.cell(x_t @ w + h @ u + bias, h, *others)

    def step_hoisted(a: sg.Variable, h: sg.Variable, *others: sg.Variable) -> States:
        return pair.cell(a + h @ u, h, *others)

    start = sg.zeros((sequences[0].shape[1], sizes.n_units) if pair.has_batch else sizes.n_units)
    initial = [start] * pair.n_states
    if is_inside:
        found = sg.scan(step_inside, sequences, initial)
    else:
        found = sg.scan(step_hoisted, write_rows(pair, table, *sequences) @ w + bias, initial)
    return found[0] if isinstance(found, list) else found


def write_rows(
    pair: Pair, table: list[sg.SharedVariable], x: sg.Variable, *mask: sg.Variable
) -> sg.Variable:
    """What is multiplied, from a step's rows of the sequences or from whole ones."""
    if pair.row == "embedded":
        return table[0][x]
    return mask[0][..., None] * x if pair.row == "masked" else x


def make_sequences(pair: Pair, sizes: Sizes) -> list[np.ndarray]:
    """Normal numbers, or symbols; and where they are masked a mask that leaves out some."""
    rng = np.random.default_rng(1)
    rows = (sizes.n_steps, sizes.batch) if pair.has_batch else (sizes.n_steps,)
    if pair.row == "embedded":
        return [rng.integers(sizes.n_symbols, size=rows)]
    arrays: list[Any] = [rng.normal(size=(*rows, sizes.n_in))]
    if pair.row == "masked":
        arrays.append(rng.binomial(1, 0.8, rows))
    return [array.astype("float32") for array in arrays]


def measure_pair(
    name: str, backend: str, rounds: int, sizes: Sizes | None = None
) -> dict[str, Any]:
    """A row: for each figure both milliseconds, and inside as a multiple of hoisted."""
    pair, sizes = PAIRS[name], sizes or Sizes()
    values = make_sequences(pair, sizes)
    row: dict[str, Any] = {"net": name, "backend": backend}
    for figure in FIGURES:
        calls = [partial(f, *values) for f in compile_pair(pair, sizes, backend, figure)]
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

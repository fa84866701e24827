"""What is timed: training steps and calls, their sizes, initial parameters and data.

Every framework starts from the arrays made here; this module needs NumPy alone, so that the peers
may live in an environment without symgraph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class _Nesterov:
    rate, momentum = 0.2, 0.9


class _Adam:
    rate, beta1, beta2 = 0.002, 0.9, 0.999
    epsilon = 1e-10  # PyTorch adds it at another place than the others, so that it has to be small


# The constants of the update rules and of layer normalisation, the same in every framework.
NESTEROV, ADAM = _Nesterov(), _Adam()
SGD_RATE, NORM_EPSILON = 0.2, 1e-5

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Workload:
    """One thing to time, of these sizes. See `WORKLOADS` for what each ``kind`` computes."""

    name: str
    kind: str
    cell: str = ""
    layers: int = 1
    n_in: int = 0
    n_units: int = 0
    n_classes: int = 0
    n_steps: int = 0
    batch: int = 0
    n_numbers: int = 0
    is_timed: bool = True
    """False where only the compile figures are of interest."""


@dataclass(frozen=True)
class Program:
    """A workload as one framework runs it; both give their results computed, not pending."""

    step: Callable[[], Any]
    """One training step (gives the loss before it), or one call."""
    evaluate: Callable[[], Any] | None = None
    """The loss alone, by a second function that is compiled when it is first asked for."""
    stages: dict[str, Any] = field(default_factory=dict)
    """What symgraph says of the compilation, milliseconds first."""


def _frames(cell: str, layers: int, *, is_timed: bool = True) -> Workload:
    name = f"{'rnn' if cell == 'tanh' else cell}-{layers}"
    sizes = {"n_in": 40, "n_units": 128, "n_classes": 10, "n_steps": 100, "batch": 16}
    return Workload(name, "frames", cell, layers, **sizes, is_timed=is_timed)


# frames: bidirectional layers, a softmax for each frame, Nesterov. characters: embedding, LSTM and
# softmax, Adam. leaky: a leaky rate cell with layer normalisation, a softmax for each frame, SGD;
# h' = h + σ(leak) (tanh(norm(x W + h U)) - h). elementwise: the mean of twelve operations, and its
# gradient. ten-numbers: tanh of a vector.
WORKLOADS = {
    workload.name: workload
    for workload in (
        *(_frames(cell, layers) for cell in ("tanh", "lstm") for layers in (1, 3)),
        *(_frames(cell, 5, is_timed=False) for cell in ("tanh", "lstm")),
        Workload(
            "characters", "characters", "lstm",
            n_in=64, n_units=256, n_classes=65, n_steps=64, batch=32,
        ),
        Workload("leaky", "leaky", n_in=40, n_units=64, n_classes=10, n_steps=200, batch=8),
        Workload("elementwise", "elementwise", n_numbers=1_000_000),
        Workload("ten-numbers", "call", n_numbers=10),
    )
}  # fmt: skip


def initial_parameters(workload: Workload) -> Arrays:
    """The parameters, float32.

    frames: W, U and b for each direction of each layer (gates i, f, g, o side by side), then the
    readout's weights and bias; characters: the embedding, W, U, b, readout; leaky: W, U, gain,
    bias, leak, readout; none elsewhere.
    """
    rng = np.random.default_rng(0)
    w = workload
    if w.kind == "frames":
        values = []
        for layer in range(w.layers):
            for _ in range(2):
                values += _cell(rng, w.n_in if layer == 0 else 2 * w.n_units, w.n_units, w.cell)
        values += _readout(rng, 2 * w.n_units, w.n_classes)
    elif w.kind == "characters":
        values = [
            rng.normal(0, 0.5, (w.n_classes, w.n_in)),
            *_cell(rng, w.n_in, w.n_units, w.cell),
            *_readout(rng, w.n_units, w.n_classes),
        ]
    elif w.kind == "leaky":
        values = [
            *_cell(rng, w.n_in, w.n_units, "tanh")[:2],
            rng.uniform(0.8, 1.2, w.n_units),
            rng.normal(0, 0.1, w.n_units),
            rng.normal(0, 1, w.n_units),
            *_readout(rng, w.n_units, w.n_classes),
        ]
    else:
        values = []
    return [value.astype("float32") for value in values]


def _cell(rng: np.random.Generator, n_in: int, n_units: int, cell: str) -> Arrays:
    n_columns = {"tanh": 1, "lstm": 4}[cell] * n_units
    return [
        rng.normal(0, n_in**-0.5, (n_in, n_columns)),
        rng.normal(0, n_units**-0.5, (n_units, n_columns)),
        rng.normal(0, 0.1, n_columns),
    ]


def _readout(rng: np.random.Generator, n_in: int, n_classes: int) -> Arrays:
    return [rng.normal(0, n_in**-0.5, (n_in, n_classes)), rng.normal(0, 0.1, n_classes)]


def make_data(workload: Workload) -> Arrays:
    """What a step is given.

    frames and leaky: the sequence [time, batch, features] and int64 labels [time, batch];
    characters: symbols and the symbols after them, both int64 [time, batch]; else a float32 vector.
    """
    rng = np.random.default_rng(1)
    w = workload
    if not w.n_steps:
        return [rng.normal(0, 1, w.n_numbers).astype("float32")]
    labels = rng.integers(0, w.n_classes, (w.n_steps, w.batch))
    if w.kind == "characters":
        return [np.roll(labels, 1, axis=0), labels]
    return [rng.normal(0, 1, (w.n_steps, w.batch, w.n_in)).astype("float32"), labels]


def twelve_operations(maths: Any, x: Any) -> Any:
    """Twelve elementwise operations on ``x``, by a module with NumPy's names."""
    a = maths.tanh(x * 1.5 + 0.1)
    b = maths.sigmoid(x - a)
    c = maths.exp(-a * b)
    return maths.sqrt(c * c + 1.0) * b

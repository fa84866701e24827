"""What is read at one place is computed there alone: rows of loops and products with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.ops.linalg import MATMUL
from symgraph.ops.slices import SLICE
from symgraph.testing import check_scan

BACKENDS = ("native", "numpy")
X = np.random.default_rng(0).normal(size=(6, 2, 3)).astype("float32")


def net(**options: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Recurrent(nn.GRUCell(3, 4, rng=0), **options),
        nn.Dense(4, 5, activation=sg.tanh, rng=1),
        nn.Dense(5, 2, rng=2),
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_below_layers_keeps_its_last_row(backend: Any) -> None:
    x = sg.tensor("x", ("T", 2, 3))
    y = net()(x)
    last, whole = (sg.compile([x], out, backend=backend) for out in (y[-1], y))
    np.testing.assert_allclose(last(X), whole(X)[-1], rtol=1e-6)
    assert [value.reason for loop in last.report.stored for value in loop.values] == [
        "the last rows alone"
    ]
    assert all(v.ndim == 2 for v in last.graph.nodes if v.op is MATMUL)


@pytest.mark.parametrize("backend", BACKENDS)
def test_so_does_one_with_checkpoints_and_a_gradient(backend: Any) -> None:
    x, y = sg.tensor("x", ("T", "B", 3)), sg.tensor("y", ("B",), "int64")
    layers, plain = net(checkpoint_every="auto"), net()
    steps = []
    for model in (layers, plain):
        loss = nn.cross_entropy(model(x)[-1], y)
        steps.append(sg.compile([x, y], sg.grad(loss, model.params), backend=backend))
    lean, full = steps
    for ours, theirs in zip(lean(X, [0, 1]), full(X, [0, 1]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-7)
    sizes = {"T": 100_000, "B": 16}
    assert lean.report.stored_bytes(**sizes) < full.report.stored_bytes(**sizes) / 100


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_two_directions_each_gives_its_part(backend: Any) -> None:
    x = sg.tensor("x", ("T", 2, 3))
    layer = nn.Bidirectional(nn.RNNCell(3, 4, rng=0), nn.RNNCell(3, 4, rng=1))
    last, whole = (sg.compile([x], out, backend=backend) for out in (layer(x)[-1], layer(x)))
    np.testing.assert_allclose(last(X), whole(X)[-1], rtol=1e-6)
    forwards, _ = last.report.stored
    assert [value.reason for value in forwards.values] == ["the last rows alone"]


def test_within_loops_too() -> None:
    w = np.random.default_rng(1).normal(size=(2, 3))

    def step(row: Any, h: Any) -> Any:
        inner = sg.scan(lambda r, s: sg.tanh(r + s), [row], [h])
        return sg.tanh(inner[:, None] @ w)[-1, 0, :2]

    rows = np.random.default_rng(2).normal(size=(4, 3, 2))
    check_scan(step, [rows], [np.zeros(2)], orders=2)


def test_what_is_read_in_whole_as_well_is_computed_once() -> None:
    x = sg.tensor("x", ("T", 3))
    y = sg.tanh(x * 2)
    f = sg.compile([x], [y[-1], y.sum()])
    assert sum(v.op.name == "tanh" for v in f.graph.nodes) == 1
    two = sg.compile([x], y[-1] + y[0])
    assert sum(v.op.name == "tanh" for v in two.graph.nodes) == 1
    assert sum(v.op is SLICE for v in two.graph.nodes) == 2

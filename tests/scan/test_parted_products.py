"""Products written inside a loop stand where one would put them by hand: counts, and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.scan.op import Loop, is_scan

N_IN, N, B = 3, 4, 2
random = np.random.default_rng(5)
K, W = random.normal(size=(N_IN + N, N)), random.normal(size=(N, N_IN))
U = random.normal(size=(N, N)) * 0.3

Step = Callable[[Any, Any, Any], Any]
# The steps, of a batch of rows or of one row: written for arrays and for variables alike.
BATCHES: dict[str, Step] = {
    "joined": lambda m, x, h: m.tanh(m.concatenate([x, h], 1) @ K),
    "joined, state first": lambda m, x, h: m.tanh(m.concatenate([h, x], 1) @ K),
    "joined with a constant": lambda m, x, h: m.tanh(
        m.concatenate([x, np.ones((B, 2)), h], 1) @ np.concatenate([K, K[:2]])
    ),
    "joined twice": lambda m, x, h: m.tanh(m.concatenate([h, x, h * 2], 1) @ np.vstack([K, U])),
    "transposed": lambda m, x, h: m.tanh(x @ W.T + h @ U.T),
    "from the left": lambda m, x, h: m.tanh((W @ x.T).T + h @ U),
    "of what is computed of rows": lambda m, x, h: m.tanh(m.tanh(x * 2 - 1) @ K[:N_IN] + h @ U),
    "of rows, and of what is computed of them": lambda m, x, h: m.tanh(
        m.tanh(x * 2) @ K[:N_IN] + x @ W.T + m.tanh(x) @ W.T + h @ U
    ),
    "of slices": lambda m, x, h: m.tanh(x[:, :1] @ K[:1] + x[:, 1:] @ K[1:3] + h @ U),
}
VECTORS: dict[str, Step] = {
    "joined": lambda m, x, h: m.tanh(m.concatenate([x, h]) @ K),
    "matrix first": lambda m, x, h: m.tanh(W @ x + U @ h),
    "matrix first, joined": lambda m, x, h: m.tanh(K.T @ m.concatenate([h, x])),
}
CASES = [(s, (B,)) for s in BATCHES.values()] + [(s, ()) for s in VECTORS.values()]


class Arrays:
    """The functions that steps call, on arrays."""

    tanh, concatenate = staticmethod(np.tanh), staticmethod(np.concatenate)


def reference(step: Step, rows: np.ndarray, initial: np.ndarray) -> np.ndarray:
    states = [initial]
    for row in rows:
        states.append(step(Arrays, row, states[-1]))
    return np.stack(states)[1:] if len(rows) else np.zeros((0, *initial.shape))


def loop_of(step: Step, batch: tuple[int, ...]) -> tuple[sg.Variable, sg.Variable, sg.Variable]:
    x, h = sg.tensor("x", ("T", *batch, N_IN), "float64"), sg.tensor("h", (*batch, N), "float64")
    return x, h, sg.scan(lambda row, state: step(sg, row, state), x, h)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(("step", "batch"), CASES, ids=[*BATCHES, *(f"row, {s}" for s in VECTORS)])
def test_parted_products_have_the_same_values(
    step: Step, batch: tuple[int, ...], backend: str
) -> None:
    x, h, states = loop_of(step, batch)
    weights = sg.constant(np.linspace(-1, 1, N))
    cost = (states * weights).sum()
    f = sg.compile([x, h], [states, *sg.grad(cost, [x, h])], backend=backend)
    for n in (0, 1, 5):
        rows, initial = random.normal(size=(n, *batch, N_IN)), random.normal(size=(*batch, N))
        found, by_rows, by_initial = f(rows, initial)
        np.testing.assert_allclose(found, reference(step, rows, initial), rtol=1e-10)
        change, along = random.normal(size=rows.shape), random.normal(size=initial.shape)

        def value(at: float, r: Any = (rows, change), i: Any = (initial, along)) -> float:
            states = reference(step, r[0] + at * r[1], i[0] + at * i[1])
            return float((states * np.linspace(-1, 1, N)).sum())

        slope = (value(1e-6) - value(-1e-6)) / 2e-6
        given = (by_rows * change).sum() + (by_initial * along).sum()
        np.testing.assert_allclose(given, slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("step", "batch"), CASES, ids=[*BATCHES, *(f"row, {s}" for s in VECTORS)])
def test_products_of_rows_leave_the_loop(step: Step, batch: tuple[int, ...]) -> None:
    x, h, states = loop_of(step, batch)
    f = sg.compile([x, h], states, backend="numpy")
    (loop,) = (Loop(v) for v in f.graph.nodes if is_scan(v))
    names = [v.op.name for v in loop.body.nodes]
    assert names.count("matmul") == 1
    assert any(v.op.name == "matmul" for v in f.graph.nodes)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_gradients_of_joined_products_keep_the_parts(backend: str) -> None:
    k = sg.shared(K, "k")
    x, h = sg.tensor("x", ("T", B, N_IN), "float64"), sg.zeros((B, N), "float64")
    states = sg.scan(lambda row, h: sg.tanh(sg.concatenate([row, h], 1) @ k), x, h)
    f = sg.compile([x], sg.grad((states**2).sum(), k), backend=backend)
    for loop in (Loop(v) for v in f.graph.nodes if is_scan(v)):
        assert "concatenate" not in [v.op.name for v in loop.body.nodes]
        # Nobody asks for the rows' cotangents: that part of the product is not computed.
        products = [v for v in loop.body.nodes if v.op.name == "matmul"]
        assert all(v.type.shape == (B, N) for v in products)
    rows = random.normal(size=(5, B, N_IN))

    def value(k: np.ndarray) -> float:
        step: Step = lambda m, x, h: m.tanh(m.concatenate([x, h], 1) @ k)  # noqa: E731
        return float((reference(step, rows, np.zeros((B, N))) ** 2).sum())

    change = random.normal(size=K.shape)
    slope = (value(K + 1e-6 * change) - value(K - 1e-6 * change)) / 2e-6
    np.testing.assert_allclose((f(rows) * change).sum(), slope, rtol=1e-6)


def test_two_readers_of_slices_keep_one_product() -> None:
    u = sg.shared(np.concatenate([U, U], 1), "u")
    x = sg.tensor("x", ("T", B, N), "float64")

    def step(row: sg.Variable, h: sg.Variable) -> sg.Variable:
        z = h @ u
        return sg.tanh(row + z[:, :N]) * sg.sigmoid(z[:, N:])

    f = sg.compile([x], sg.scan(step, x, sg.zeros((B, N), "float64")), backend="numpy")
    (loop,) = (Loop(v) for v in f.graph.nodes if is_scan(v))
    assert [v.op.name for v in loop.body.nodes].count("matmul") == 1


def test_rows_of_two_lengths() -> None:
    """Each product has a length of its own; that they differ keeps neither in the loop."""
    x, y = sg.tensor("x", ("T", 3), "float64"), sg.tensor("y", ("S", 3), "float64")

    def step(a: sg.Variable, b: sg.Variable, h: sg.Variable) -> sg.Variable:
        return sg.tanh(sg.exp(a)[None] @ K[:3] + sg.exp(b)[None] @ K[1:4] + h)

    last = sg.scan(step, [x, y], sg.zeros((1, N), "float64"))[-1]
    f = sg.compile([x, y], last, backend="numpy")
    (loop,) = [Loop(v) for v in f.graph.nodes if is_scan(v)]
    assert not any(v.op.name == "matmul" for v in loop.body.nodes)
    rows, expected = random.normal(size=(2, 5, 3)), np.zeros((1, N))
    for a, b in zip(*rows, strict=True):
        expected = np.tanh(np.exp(a)[None] @ K[:3] + np.exp(b)[None] @ K[1:4] + expected)
    np.testing.assert_allclose(f(*rows), expected, rtol=1e-12)

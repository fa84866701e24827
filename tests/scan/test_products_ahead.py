"""Products of rows, however a step has them, cost what they cost hoisted by hand, and are right."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.scan.op import Loop, is_scan

N_IN, N, B = 3, 4, 2
random = np.random.default_rng(7)
W, V, U = (random.normal(size=s) * 0.4 for s in ((N_IN, N), (N_IN, N), (N, N)))
BIAS = random.normal(size=N)


class Arrays:
    """The functions that steps call, on arrays."""

    tanh, concatenate = staticmethod(np.tanh), staticmethod(np.concatenate)


# What a step adds to `h @ U` and takes the tanh of, of the row and of the one before.
Form = Callable[[Any, Any, Any, Any, Any], Any]
FORMS: dict[str, Form] = {
    "bias last": lambda m, x, before, w, hu: x @ w + hu + BIAS,
    "bias between": lambda m, x, before, w, hu: hu + BIAS + x @ w,
    "scaled by a mask": lambda m, x, before, w, hu: (x @ w) * (x[..., :1] > 0) + hu,
    "scaled and shifted": lambda m, x, before, w, hu: 2 * (x @ w) * BIAS + 1 + hu,
    "of two taps": lambda m, x, before, w, hu: x @ w + before @ w + hu,
    "of two taps, two matrices": lambda m, x, before, w, hu: x @ w + hu + before @ V,
    "twice": lambda m, x, before, w, hu: x @ w + hu + x @ V,
    "of a tanh": lambda m, x, before, w, hu: m.tanh(x) @ w + hu,
    "of a product": lambda m, x, before, w, hu: m.tanh(x @ w + BIAS) @ U + hu,
    "a net of its own": lambda m, x, before, w, hu: m.tanh(m.tanh(x @ w) * BIAS) + hu,
}
CASES = [(form, batch) for form in FORMS.values() for batch in ((B,), ())]
NAMES = [f"{name}, {kind}" for name in FORMS for kind in ("rows", "single")]


def loop_of(form: Form, batch: tuple[int, ...]) -> tuple[sg.Variable, Any, sg.Variable]:
    x, w = sg.tensor("x", ("T", *batch, N_IN), "float64"), sg.shared(W, "w")

    def step(before: sg.Variable, row: sg.Variable, h: sg.Variable) -> sg.Variable:
        return sg.tanh(form(sg, row, before, w, h @ sg.constant(U)))

    initial = sg.zeros((*batch, N), "float64")
    return x, w, sg.scan(step, {"input": x, "taps": [-1, 0]}, initial)


def cost(form: Form, rows: np.ndarray, w: np.ndarray) -> float:
    h, total = np.zeros((*rows.shape[1:-1], N)), 0.0
    for before, row in pairwise(rows):
        h = np.tanh(form(Arrays, row, before, w, h @ U))
        total += float((h**2).sum())
    return total


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(("form", "batch"), CASES, ids=NAMES)
def test_values_and_gradients_are_those_of_the_step(
    form: Form, batch: tuple[int, ...], backend: str
) -> None:
    random = np.random.default_rng(3)
    x, w, states = loop_of(form, batch)
    value = (states**2).sum()
    by_x, by_w = sg.grad(value, [x, w])
    along = sg.constant(random.normal(size=W.shape))
    second = sg.grad((by_w * along).sum(), w)
    f = sg.compile([x], [value, by_x, by_w, second], backend=backend)
    for n in (0, 1, 2, 5):
        rows = random.normal(size=(n, *batch, N_IN))
        found, by_rows, by_weights, twice = f(rows)
        np.testing.assert_allclose(found, cost(form, rows, W), rtol=1e-10)
        d_rows, d_w, step = random.normal(size=rows.shape), random.normal(size=W.shape), 1e-5
        ends = [cost(form, rows + s * step * d_rows, W + s * step * d_w) for s in (1, -1)]
        given = (by_rows * d_rows).sum() + (by_weights * d_w).sum()
        np.testing.assert_allclose(given, (ends[0] - ends[1]) / 2 / step, rtol=1e-6, atol=1e-7)
        v, s = np.asarray(along.eval()), 1e-4
        corners = [
            cost(form, rows, W + s * (a * v + b * d_w)) * a * b for a in (1, -1) for b in (1, -1)
        ]
        np.testing.assert_allclose(
            (twice * d_w).sum(), sum(corners) / 4 / s**2, rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize(("form", "batch"), CASES, ids=NAMES)
def test_the_loop_reads_one_sequence_and_multiplies_the_state_alone(
    form: Form, batch: tuple[int, ...]
) -> None:
    x, w, states = loop_of(form, batch)
    for outputs in ([states], sg.grad((states**2).sum(), [w])):
        f = sg.compile([x], outputs, backend="numpy")
        loop = next(Loop(v) for v in f.graph.nodes if is_scan(v))
        names = [v.op.name for v in loop.body.nodes if v.inputs]
        assert sorted(set(names) - {"rearrange"}) == ["add", "matmul", "tanh"]
        assert names.count("matmul") == names.count("add") == 1
        assert len(loop.reads) == 1
        assert not loop.outputs


def test_a_matrix_read_at_two_taps_multiplies_each_row_once() -> None:
    x, _, states = loop_of(FORMS["of two taps"], (B,))
    for backend in ("native", "numpy"):
        f = sg.compile([x], states, backend=backend)
        assert [v.op.name for v in f.graph.nodes].count("matmul") == 1
        (loop,) = [Loop(v) for v in f.graph.nodes if is_scan(v)]
        assert [v.op.name for v in loop.body.nodes].count("matmul") == 1


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_gradients_of_joined_vectors_multiply_the_state_alone(backend: str) -> None:
    """The parts of a joined weight are parts of one sum over time, which leaves the loop."""
    w, u = sg.shared(W, "w"), sg.shared(U, "u")
    x = sg.tensor("x", ("T", N_IN), "float64")
    k = sg.concatenate([w, u])
    states = sg.scan(
        lambda row, h: sg.tanh(sg.concatenate([row, h]) @ k), x, sg.zeros((N,), "float64")
    )
    f = sg.compile([x], sg.grad((states**2).sum(), [w, u]), backend=backend)
    for loop in (Loop(v) for v in f.graph.nodes if is_scan(v)):
        assert len(loop.states) == 1
        if backend == "numpy" or loop.layout.role == "gradient":
            products = [v.type.shape for v in loop.body.nodes if v.op.name == "matmul"]
            assert products == [(1, N)]


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_product_after_a_loop_has_as_many_rows_as_that_has_steps(backend: str) -> None:
    weight = np.arange(6.0).reshape(2, 3)
    x, z = sg.matrix("x", dtype="float64"), sg.matrix("z", dtype="float64")
    w = sg.shared(weight, "w")
    reads = [{"input": x, "taps": [-2, 0]}]
    y = sg.scan(lambda before, row: row @ w, reads, n_steps=1)
    f = sg.compile([x, z], z + y, backend=backend)  # of one row, which adds to each
    values, others = np.arange(10.0).reshape(5, 2), np.ones((4, 3))
    np.testing.assert_allclose(f(values, others), others + values[2] @ weight)
    with pytest.raises(sg.CallError):
        f(values[:2], others)

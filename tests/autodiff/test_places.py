"""Cotangents that are zero but at one place: the same numbers, of that place alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import special

import symgraph as sg
from symgraph.ops.linalg import MATMUL
from symgraph.ops.slices import ADD_SLICE
from symgraph.testing import check_gradient

BACKENDS = ("native", "numpy")
N, B, K, M = 3, 2, 4, 5


def dense(m: Any, x: Any, w: Any, b: Any) -> Any:
    return m.tanh(x @ w + b)


def softmax(m: Any, x: Any) -> Any:
    return sg.softmax(x) if m is sg else special.softmax(x, axis=-1)


# Of x [N, B, K], w [K, M] and b [M], by symgraph or by NumPy: what is read at one place.
FORMS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "last row": lambda m, x, w, b: dense(m, x, w, b)[-1],
    "first row": lambda m, x, w, b: dense(m, x, w, b)[0],
    "row of a row": lambda m, x, w, b: dense(m, x, w, b)[1][0],
    "row of each": lambda m, x, w, b: dense(m, x, w, b)[:, 1],
    "row of a matrix": lambda m, x, w, b: dense(m, x[0], w, b)[-1],
    "column": lambda m, x, w, b: dense(m, x, w, b)[..., 2],
    "both ways": lambda m, x, w, b: dense(m, x, w, b)[-1] + dense(m, x, w, b).sum(axis=0),
    "two places": lambda m, x, w, b: dense(m, x, w, b)[-1] * dense(m, x, w, b)[0],
    "the same twice": lambda m, x, w, b: ((x @ w) + (x @ w))[-1],
    "an operand made of the other": lambda m, x, w, b: ((x @ w) + (x @ w)[-1, :, :1])[-1],
    "joined": lambda m, x, w, b: m.concatenate([dense(m, x, w, b), x], axis=2)[-1],
    "joined, turned": lambda m, x, w, b: m.concatenate([x @ w, (x @ w)[::-1]], axis=2)[-1],
    "joined along the axis": lambda m, x, w, b: m.concatenate([x @ w, x @ w], axis=0)[-1],
    "stretched": lambda m, x, w, b: (x[0][None] @ w - x[..., :1] * b)[-1],
    "stack of matrices": lambda m, x, w, b: (x @ m.stack([w, w * 2, w * 3]))[-1],
    "one stack for all": lambda m, x, w, b: (x @ (w * b.sum())[None])[-1],
    "sum": lambda m, x, w, b: (x @ w).sum(axis=1)[-1],
    "sum, axis kept": lambda m, x, w, b: (x @ w).sum(axis=2, keepdims=True)[0],
    "sum before the axis": lambda m, x, w, b: (x @ w).sum(axis=0)[-1],
    "dropped": lambda m, x, w, b: m.where(x > 0, x / 0.5, 0)[-1] @ w,
    "masked": lambda m, x, w, b: (-(x @ w) * MASK)[1],
    "softmax": lambda m, x, w, b: softmax(m, x @ w + b)[-1],
    "largest": lambda m, x, w, b: m.max(x @ w, axis=2)[-1],
    "in the place of an axis of one": lambda m, x, w, b: dense(m, x[:1], w, b)[-1],
    "of rows of another place": lambda m, x, w, b: dense(m, x @ w, w.T, 1)[-1][0] + x[0, 0],
}
MASK = (np.arange(N) > 0).astype(float)[:, None, None]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients(form: str, backend: Any) -> None:
    """Against NumPy's numbers of the whole, and finite differences to second order."""
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape) for shape in ((N, B, K), (K, M), (M,))]
    x = sg.tensor("x", (None, None, K), "float64")
    w, b = sg.tensor("w", (K, M), "float64"), sg.tensor("b", (M,), "float64")
    y = FORMS[form](sg, x, w, b)
    found = sg.compile([x, w, b], y, backend=backend, unused="ignore")(*arrays)
    np.testing.assert_allclose(found, FORMS[form](np, *arrays), rtol=1e-12)
    check_gradient(partial(FORMS[form], sg), *arrays, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_done_to_cotangents_is_done_to_zeros_too(backend: Any) -> None:
    x = sg.tensor("x", (None, B, K), "float64")
    y = sg.clip_gradient(x * 2, 0.1, 0.2)[-1]
    found = sg.compile([x], sg.grad(y.sum(), x), backend=backend, unused="ignore")(
        np.ones((N, B, K))
    )
    want = np.full((N, B, K), 0.2)
    want[-1] = 0.4
    np.testing.assert_allclose(found, want, rtol=1e-12)


def test_of_no_rows_there_is_no_last_one() -> None:
    x, w = sg.tensor("x", ("T", B, K)), sg.tensor("w", (K, M))
    y = (x @ w)[-1]
    for output in (y, sg.grad(y.sum(), w)):
        with pytest.raises(sg.SymgraphError, match="index -1 is outside axis 0"):
            sg.compile([x, w], output, unused="ignore")(np.zeros((0, B, K)), np.zeros((K, M)))
    found = sg.compile([x, w], [y, sg.grad(y.sum(), x)])(np.ones((1, B, K)), np.ones((K, M)))
    np.testing.assert_array_equal(found[0], np.full((B, M), K))
    np.testing.assert_array_equal(found[1], np.full((1, B, K), M))


def test_gradients_by_what_lies_between_are_of_the_whole() -> None:
    x, w = sg.tensor("x", (N, B, K)), sg.tensor("w", (K, M))
    y = x @ w
    z = sg.tanh(y)
    by_z, by_y, stopped = sg.grad(z[-1].sum(), [z, y, y], stop=[])
    assert by_z.shape == by_y.shape == stopped.shape == (N, B, M)
    arrays = np.ones((N, B, K)), np.full((K, M), 0.1)
    f = sg.compile([x, w], [by_z, by_y, sg.grad(z[-1].sum(), y, stop=[y])])
    ones = np.zeros((N, B, M))
    ones[-1] = 1
    np.testing.assert_array_equal(f(*arrays)[0], ones)
    slope = 1 - np.tanh(0.4) ** 2
    np.testing.assert_allclose(f(*arrays)[1], ones * slope, rtol=1e-6)
    np.testing.assert_allclose(f(*arrays)[2], ones * slope, rtol=1e-6)


def test_an_index_that_the_call_tells() -> None:
    x, w, i = sg.tensor("x", ("T", B, K)), sg.tensor("w", (K, M)), sg.scalar("i", "int64")
    y = sg.tanh(x @ w)[i]
    f = sg.compile([x, w, i], [y, sg.grad(y.sum(), w)])
    random = np.random.default_rng(1)
    a, c = random.normal(size=(N, B, K)), random.normal(size=(K, M))
    for index in (0, 2, -3):
        value, gradient = f(a, c, index)
        z = np.tanh(a[index] @ c)
        np.testing.assert_allclose(value, z, rtol=1e-5)
        np.testing.assert_allclose(gradient, a[index].T @ (1 - z**2), rtol=1e-4, atol=1e-6)


def test_one_row_is_multiplied() -> None:
    x, w = sg.tensor("x", ("T", B, K)), sg.shared(np.ones((K, M), "float32"), "w")
    f = sg.compile([x], sg.grad(sg.tanh(x @ w + 1)[-1].sum(), w))
    products = [v for v in f.graph.nodes if v.op is MATMUL]
    assert all(operand.ndim == 2 for v in products for operand in v.inputs)
    assert not any(v.op is ADD_SLICE for v in f.graph.nodes)

"""Sizes that only data tell: elements, products and results of loops as sizes of arrays."""

import numpy as np
import pytest

import symgraph as sg

BACKENDS = ["numpy", "native"]
X = np.random.default_rng(0).normal(size=7)
N = np.array([3, 1, 4])

# For each the program on symbols (x float64, n int64, k an int64 scalar) and on arrays.
PROGRAMS = {
    "an element": (
        lambda x, n, k: [sg.zeros((n[0],)) + 1, sg.ones((n[-1], n[1]))],
        lambda x, n, k: [np.ones(3), np.ones((4, 1))],
    ),
    "elements stacked": (
        lambda x, n, k: [x[:4].reshape(sg.stack([k, k])), x[:6].reshape((n[0], k))],
        lambda x, n, k: [x[:4].reshape(k, k), x[:6].reshape(3, k)],
    ),
    "the last value of a loop": (
        lambda x, n, k: [sg.arange(doubled(k)[-1] - 1)],
        lambda x, n, k: [np.arange(2 * k - 1)],
    ),
    "a sum and a product": (
        lambda x, n, k: [sg.zeros(n.sum()), sg.arange(n.prod()), x[: (x > 0).sum()]],
        lambda x, n, k: [np.zeros(n.sum()), np.arange(n.prod()), x[: (x > 0).sum()]],
    ),
    "a narrow integer": (
        lambda x, n, k: [sg.zeros((k.astype("int32"), n.astype("int8")[0]))],
        lambda x, n, k: [np.zeros((k, 3))],
    ),
    "the place of an extreme": (
        lambda x, n, k: [x[: sg.argmax(x)], sg.exp(x[sg.argmin(x) :]).sum()],
        lambda x, n, k: [x[: np.argmax(x)], np.exp(x[np.argmin(x) :]).sum()],
    ),
    "numbers that pass a test": (
        lambda x, n, k: [sg.concatenate([x[sg.nonzero(x > 0)[0]]] * 3), x[sg.nonzero(x > 9)[0]]],
        lambda x, n, k: [np.concatenate([x[x > 0]] * 3), x[x > 9]],
    ),
    "rows as long as a number says": (
        lambda x, n, k: [sg.scan(lambda i: x[i : i + k] * i, sg.arange(3)).sum(axis=0)],
        lambda x, n, k: [sum(x[i : i + k] * i for i in range(3))],
    ),
    "rows that pass a test": (
        lambda x, n, k: [sg.scan(lambda i: x[sg.nonzero(x > 0)[0]] * i, n)],
        lambda x, n, k: [n[:, None] * x[x > 0]],
    ),
    "steps that a formula tells": (
        lambda x, n, k: [
            sg.scan(lambda s: (s * 1.5, sg.until(s > 4)), (), sg.constant(1.0), n_steps=k * 2),
            sg.scan(lambda s: s * 2, (), sg.constant(1.0), n_steps=sg.maximum(k - 5, 1)),
        ],
        lambda x, n, k: [1.5 ** np.arange(1, 5), np.array([2.0])],
    ),
    "steps that were taken": (
        lambda x, n, k: [sg.zeros((taken(x), 2)), sg.arange(taken(x) * 2), x[: taken(x)]],
        lambda x, n, k: [np.zeros((3, 2)), np.arange(6), x[:3]],
    ),
    "an input two loops down": (
        lambda x, n, k: [
            sg.scan(lambda i: sg.scan(lambda j: sg.scan(lambda v: v * i + k, x).sum() * j, n), n)
        ],
        lambda x, n, k: [
            np.array([[(x * i + k).sum() * j for j in n] for i in n])
        ],
    ),
    "repeated": (
        lambda x, n, k: [sg.repeat(x, k), sg.tile(x, k), sg.sort(x[:k]), x[:k] @ x[:k]],
        lambda x, n, k: [np.repeat(x, k), np.tile(x, k), np.sort(x[:k]), x[:k] @ x[:k]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [0, 2])
def test_states_and_ragged_traces_of_a_loop_that_ends(steps, backend):
    """The state's buffer, one row longer than the trace, tells the steps that were taken."""
    x, n = sg.tensor("x", (3, 8), "float64"), sg.scalar("n", "int64")

    def step(i, h):
        rows = sg.scan(lambda s: s * 2, (), h, n_steps=sg.abs(n))
        return [rows, h * 0.5], sg.until(i >= 1)

    rows, states = sg.scan(step, sg.arange(3), [None, x])
    f = sg.compile([x, n], [states, rows, states.shape[0]], backend=backend)
    value = np.arange(24.0).reshape(3, 8)
    found = f(value, steps)
    np.testing.assert_array_equal(found[0], [value / 2, value / 4])
    expected = [[h * 2.0**k for k in range(1, steps + 1)] for h in (value, value / 2)]
    np.testing.assert_array_equal(found[1], np.reshape(expected, (2, steps, 3, 8)))
    assert found[2] == 2


def doubled(k):
    return sg.scan(lambda s: s + 2, (), sg.constant(0), n_steps=k)


def taken(x):
    return sg.scan(lambda i: (i, sg.until(i >= 2)), sg.arange(x.shape[0])).shape[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_values(name, backend):
    program, by_numpy = PROGRAMS[name]
    x, n = sg.tensor("x", (None,), "float64"), sg.tensor("n", (3,), "int64")
    k = sg.scalar("k", "int64")
    outputs = [*program(x, n, k), x.sum() + n.sum() + k]  # the last uses what others may not
    *results, _ = sg.compile([x, n, k], outputs, backend=backend)(X, N, 2)
    for found, expected in zip(results, by_numpy(X, N, 2), strict=True):
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("every", [None, 2])
def test_gradients_of_rows_whose_length_is_computed(every, backend):
    x, k = sg.tensor("x", (None,), "float64"), sg.scalar("k", "int64")
    rows = sg.scan(
        lambda i: x[i : i + k] ** 2 * i, sg.arange(x.shape[0] - 2), checkpoint_every=every
    )
    cost = (rows[1:] * rows[:-1]).sum()
    f = sg.compile([x, k], [cost, sg.grad(cost, x)], backend=backend)
    _, found = f(X, 2)
    for i, move in enumerate(1e-6 * np.eye(7)):
        difference = (f(X + move, 2)[0] - f(X - move, 2)[0]) / 2e-6
        np.testing.assert_allclose(found[i], difference, rtol=1e-6, atol=1e-7)

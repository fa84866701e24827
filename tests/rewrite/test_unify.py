"""Sizes that nobody named and a check compares: rules see through, and the check is still made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import symgraph as sg

BACKENDS = ["native", "numpy"]
BEYOND = np.array([800.0, -800.0, 0.0]), np.array([801.0, -802.0, 1.0])
LARGER = np.logaddexp(*BEYOND)
SHARE = np.exp(BEYOND[0] - LARGER)


def vectors() -> tuple[sg.Variable, sg.Variable]:
    return sg.vector("u", dtype="float64"), sg.vector("v", dtype="float64")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sum_of_exponentials_of_vectors_does_not_overflow(backend: str) -> None:
    u, v = vectors()
    total = sg.log(sg.exp(u) + sg.exp(v))
    share = sg.exp(u) / (sg.exp(u) + sg.exp(v))
    outputs = [total, share, *sg.grad(total.sum(), [u, v]), sg.grad(share.sum(), u)]
    found = sg.compile([u, v], outputs, backend=backend)(*BEYOND)
    expected = [LARGER, SHARE, SHARE, 1 - SHARE, SHARE * (1 - SHARE)]
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nor_does_one_in_a_loop(backend: str) -> None:
    x, y = sg.matrix("x", dtype="float64"), sg.matrix("y", dtype="float64")
    total = sg.scan(lambda a, b: sg.log(sg.exp(a) + sg.exp(b)), [x, y])
    start = sg.vector("start", dtype="float64")
    carried = sg.scan(lambda a, h: sg.log(sg.exp(a) + sg.exp(h)), [x], [start])
    outputs = [total, sg.grad(total.sum(), x), carried, sg.grad(carried.sum(), x)]
    f = sg.compile([x, y, start], outputs, backend=backend)
    for found, expected in zip(
        f(BEYOND[0][None], BEYOND[1][None], BEYOND[1]),
        [LARGER, SHARE, LARGER, SHARE],
        strict=True,
    ):
        np.testing.assert_allclose(found, expected[None], rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [0, 1, 4])
def test_sizes_that_differ_are_an_error_that_names_both(backend: str, n: int) -> None:
    u, v = vectors()
    f = sg.compile([u, v], (sg.exp(u) + sg.exp(v)).sum(), backend=backend)
    with pytest.raises(sg.CallError, match=rf"add.*\n.*'v' float64\[{n}\], 'u' float64\[3\]"):
        f(np.zeros(3), np.zeros(n))


def test_one_check_is_left_of_many() -> None:
    u, v = vectors()
    result = sg.exp(u) * sg.exp(v) + sg.sin(v) * u
    f = sg.compile([u, v], result)
    assert sum(x.op.name == "check_size" for x in f.graph.nodes) == 1
    np.testing.assert_allclose(f([1.0], [2.0]), np.exp(3.0) + np.sin(2.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda u, v, w: (u + v) * w,
        lambda u, v, w: sg.exp(u) + sg.exp(v) * sg.exp(w),
        lambda u, v, w: sg.concatenate([u, v + w]) + sg.concatenate([w, v]),
        lambda u, v, w: (u[1:] + v[1:]).sum() + w * u,
        lambda u, v, w: sg.outer(u, v) + w,
        lambda u, v, w: sg.where(u > v, sg.flip(w, 0), u) + sg.cumsum(v),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_three_vectors_of_one_size(make: Callable[..., sg.Variable], backend: str, n: int) -> None:
    given = sg.vector("u"), sg.vector("v"), sg.vector("w")
    arrays = [np.arange(n, dtype="float32") + k for k in range(3)]
    known = [sg.tensor("x", (n,)) for _ in range(3)]
    found = sg.compile([*given], make(*given), backend=backend)(*arrays)
    expected = sg.compile(known, make(*known), backend=backend)(*arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_named_size_an_unknown_one_and_a_number(backend: str) -> None:
    x, y, z = sg.tensor("x", ("n",)), sg.vector("y"), sg.shared(np.ones(3, "float32"), name="z")
    f = sg.compile([x, y], [sg.exp(x) + sg.exp(y) + sg.exp(z), x * 2, y + 1], backend=backend)
    ones = np.ones(3, "float32")
    for found, expected in zip(f(ones, ones), [3 * np.exp(ones), 2 * ones, 2 * ones], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    for shapes in ((3, 2), (2, 3), (2, 2)):
        with pytest.raises(sg.CallError, match="size"):
            f(*(np.ones(n, "float32") for n in shapes))


def test_outputs_of_bodies_keep_their_sizes() -> None:
    """The size of a state in the gradient loop is made of the two that the check compares."""
    x, y = sg.vector("x", dtype="float64"), sg.tensor("y", (1, None), "float64")
    states, rows = sg.scan(lambda a, b: [b, a], [x, y])
    _, last = sg.scan(
        lambda _, h, k: [h, sg.tanh(sg.transpose(states))], sg.arange(rows.shape[0]), [rows, states]
    )
    first = sg.grad(last.sum(), y)
    second = sg.grad(first.sum(), y)
    for backend in BACKENDS:
        found = sg.compile([x, y], [first, second], backend=backend)(np.ones(1), [[0.5]])
        slope = 1 - np.tanh(0.5) ** 2
        np.testing.assert_allclose(found[0], [[slope]], rtol=1e-12)
        np.testing.assert_allclose(found[1], [[-2 * np.tanh(0.5) * slope]], rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_named_sizes_that_an_unknown_one_makes_one(backend: str) -> None:
    """That both names are one nobody can say when the graph is built, and a body may tell of it."""
    a, b, c = sg.tensor("a", ("m",)), sg.tensor("b", ("n",)), sg.vector("c")
    x = sg.vector("x")
    results = sg.scan(lambda r: [sg.tanh(c * r) + a, sg.tanh(c * r) + b, b * r, a * r], [x])
    f = sg.compile([a, b, c, x], results, backend=backend)
    rows = np.linspace(-1, 1, 3, dtype="float32")[:, None]
    of_a, of_b, of_c = (np.linspace(k, 2, 2, dtype="float32") for k in range(3))
    expected = [np.tanh(of_c * rows) + of_a, np.tanh(of_c * rows) + of_b, of_b * rows, of_a * rows]
    for found, wanted in zip(f(of_a, of_b, of_c, rows[:, 0]), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    with pytest.raises(sg.CallError, match="size"):
        f(of_a, np.ones(3, "float32"), of_c, rows[:, 0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_that_sizes_make_certain_is_the_calls(backend: str) -> None:
    x, e = sg.matrix("x"), sg.tensor("e", (0, 3))
    f = sg.compile([x, e], [sg.log(sg.exp(x) + sg.exp(e)), x[0]], backend=backend)
    with pytest.raises(sg.IndexRangeError, match=r"index 0 is outside axis 0.*\n.*'x'"):
        f(np.ones((0, 3), "float32"), np.ones((0, 3), "float32"))


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_length_that_no_value_needs_is_checked_all_the_same(backend):
    """Of the first loop the steps' number alone matters; the second begins with two rows."""
    x, h = sg.tensor("x", ("k", 1), "float64"), sg.scalar("h", dtype="float64")
    same = sg.scan(lambda row, h: h, [x], [h])
    later = sg.scan(lambda row, older, last: last, [same], [{"initial": same, "taps": [-2, -1]}])
    f = sg.compile([x, h], later, backend=backend)
    np.testing.assert_array_equal(f(np.ones((2, 1)), 5.0), [5.0, 5.0])
    with pytest.raises(sg.CallError, match="has size 3"):
        f(np.ones((3, 1)), 5.0)
    one, k = sg.tensor("one", (1,)), sg.tensor("k", (None,))
    numbers = sg.scan(lambda i: i, [sg.arange(k.shape[0])], [None], go_backwards=True)
    later = sg.scan(lambda row, h: h, [one], [{"initial": numbers, "taps": [-1]}])
    f = sg.compile([one, k], later, backend=backend)
    with pytest.raises(sg.CallError, match="has size 2"):
        f(np.ones(1), np.ones(2))


def a_loop_of_no_steps(x: sg.Variable) -> sg.Variable:
    """Rows of a loop whose steps, of which there are none, say that ``x`` has three columns."""

    def outer(first: sg.Variable, second: sg.Variable) -> sg.Variable:
        def inner(row, oldest, older, last):
            return last * 0.5

        rows = x.T.reshape(x.shape[1], x.shape[0])
        return sg.scan(inner, [rows], [{"initial": x.T, "taps": [-3, -2, -1]}])

    return sg.scan(outer, [{"input": x, "taps": [-2, 0]}])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 3, 8])
def test_sizes_that_nobody_compares_in_the_end_are_not_one(backend: str, n: int) -> None:
    x, y = sg.tensor("x", (2, None), "float64"), sg.vector("y", dtype="float64")
    cost = (sg.grad(y.mean(), y) * y).sum()
    outputs = [*sg.grad(cost, [x, y], disconnected="zero"), sg.ones_like(x).sum()]
    f = sg.compile([x, y], [*outputs, a_loop_of_no_steps(x).shape[0]], backend=backend)
    by_x, by_y, number, n_rows = f(np.ones((2, n)), np.ones(n))
    np.testing.assert_array_equal(by_x, np.zeros((2, n)))
    np.testing.assert_allclose(by_y, np.full(n, 1 / n))
    assert (number, n_rows) == (2 * n, 0)

"""Products that read one array in several ways: as a whole, in part, transposed, of one column."""

import itertools

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.machine.frame import HEADER_WORDS
from symgraph.backends.llvm.machine.runtime import runtime_kernels

BACKENDS = ["numpy", "native"]

# Each is written once and run on symbols and on arrays: a is [m, k], b is [k, n], both at least 3.
PROGRAMS = {
    "and its transpose": lambda a, b: [(a @ b) @ b.T],
    "its transpose and it": lambda a, b: [(b.T @ a.T).T @ b.T, a @ b],
    "first columns and all": lambda a, b: [a @ b[:, :2], a @ b],
    "all and last columns": lambda a, b: [a @ b, a @ b[:, -2:]],
    "all and first rows": lambda a, b: [a @ b, a[:, :3] @ b[:3]],
    "first rows and all": lambda a, b: [a[:, :3] @ b[:3], a @ b],
    "one column and all": lambda a, b: [a @ b[:, :1], a @ b, a @ b[:, 1:]],
    "one row and all": lambda a, b: [a[:, :1] @ b[:1], a @ b],
    "corners": lambda a, b: [a[:, :2] @ b[:2, :2], a[:, -2:] @ b[-2:, -2:], a @ b],
    "twice each": lambda a, b: [a @ b, a[::-1] @ b, a @ b[:, :2], a[::-1] @ b[:, :2]],
    "of a step of two": lambda a, b: [a[:, ::2] @ b[::2], a @ b, a[:, ::2] @ b[::2, :2]],
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("known", [True, False], ids=["fixed", "named"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_packed_operand_is_what_it_holds(name, known, backend):
    program = PROGRAMS[name]
    generator = np.random.default_rng(0)
    for m, k, n in itertools.product((1, 4, 33), (3, 17), (1, 3, 33)):
        a, b = generator.normal(size=(m, k)), generator.normal(size=(k, n))
        x = sg.tensor("a", (m, k) if known else ("m", "k"), "float64")
        y = sg.tensor("b", (k, n) if known else ("k", "n"), "float64")
        found = sg.compile([x, y], program(x, y), backend=backend)(a, b)
        for result, expected in zip(found, program(a, b), strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 2, 17])
def test_gradients_below_a_layer_of_few_units(n, backend):
    """The gradient by the hidden layer multiplies by the transpose of a matrix of n columns."""
    generator = np.random.default_rng(1)
    a, b, c = (generator.normal(size=s) for s in ((5, 4), (4, 3), (3, n)))
    x, y, z = (sg.tensor(None, array.shape, "float64") for array in (a, b, c))
    gradients = sg.grad(sg.tanh(sg.tanh(x @ y) @ z).sum(), [x, y, z])
    found = sg.compile([x, y, z], gradients, backend=backend)(a, b, c)
    hidden = np.tanh(a @ b)
    top = 1 - np.tanh(hidden @ c) ** 2
    below = (top @ c.T) * (1 - hidden**2)
    expected = [below @ b.T, a.T @ below, hidden.T @ top]
    for result, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(result, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 2, 17])
def test_operands_packed_ahead_of_a_loop(n, backend):
    """A loop's body reads one matrix whole, in part and transposed."""
    generator = np.random.default_rng(2)
    w, rows = generator.normal(size=(3, n)) / 4, generator.normal(size=(6, 2, 3))
    x, y = sg.tensor("x", rows.shape, "float64"), sg.tensor("w", w.shape, "float64")

    def step(row, h):
        part = row[:, :2] @ y[:2]
        return sg.tanh((h @ y + part) @ y.T + row)

    h = sg.scan(step, x, sg.zeros((2, 3), dtype="float64"))
    found = sg.compile([x, y], h, backend=backend)(rows, w)
    state, expected = np.zeros((2, 3)), []
    for row in rows:
        state = np.tanh((state @ w + row[:, :2] @ w[:2]) @ w.T + row)
        expected.append(state)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_read_through_an_older_view_and_joined(backend):
    x = sg.tensor("x", ("n", 3), "float64")
    e = sg.exp(x)
    turned, part = e.T, e[1:]
    joined = sg.concatenate([x, e])
    f = sg.compile([x], [turned, joined, part, joined[2:], turned @ e], backend=backend)
    for n in (0, 1, 2, 5):
        value = np.random.default_rng(n).normal(size=(n, 3))
        want = np.exp(value)
        both = np.concatenate([value, want])
        expected = [want.T, both, want[1:], both[2:], want.T @ want]
        for found, right in zip(f(value), expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(5, 0), (0, 5), (4, 0, 3), (0, 0), (0,)])
@pytest.mark.parametrize("function", [sg.cumsum, sg.cumprod, sg.sum, sg.exp, sg.flip])
def test_arrays_without_elements_keep_their_shapes(function, shape, backend):
    x = sg.tensor("x", shape)
    value = np.zeros(shape, "float32")
    for axis in range(len(shape)):
        y = function(x) if function is sg.exp else function(x, axis=axis)
        of_numpy = getattr(np, function.__name__)
        expected = of_numpy(value) if function is sg.exp else of_numpy(value, axis=axis)
        found = sg.compile([x], y, backend=backend)(value)
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


def n_buffers(n_layers):
    """How many buffers a program has for so many layers, each applied to two batches."""
    a, b = sg.tensor("a", (70, 64)), sg.tensor("b", (70, 64))
    x, y = a, b
    for i in range(n_layers):
        w = sg.shared(np.full((64, 64), i, "float32"))
        x, y = sg.tanh(x @ w), sg.tanh(y @ w)
    image = sg.compile([a, b], [x.sum(), y.sum()], threads=1)._executable.image
    name = runtime_kernels()["arena"].name
    (at,) = [place for place, kernel in image.prologue.kernels if kernel.name == name]
    return image.prologue.words[at + HEADER_WORDS + 2]


def test_packed_operands_are_given_back():
    assert n_buffers(3) == n_buffers(9)

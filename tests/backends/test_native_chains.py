"""Kernels that compute much of few numbers, two vectors at a time, at all sizes."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.code.cpu import host
from symgraph.backends.llvm.code.emit import type_text
from symgraph.backends.llvm.kernels import nest_kernel
from symgraph.backends.llvm.lowering.image import lower


def chain(x):
    a = sg.tanh(x * 1.5 + 0.1)
    return sg.sigmoid(sg.exp(-a * sg.tanh(x)) - x) * sg.tanh(a - x)


def kernels_of(inputs, output):
    """The texts of the loop nests that a function takes."""
    image = lower(sg.compile(inputs, output).graph).image
    return [kernel.text for kernel in image.needed.values() if "fadd" in kernel.text]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_columns", [None, 64, 24])
def test_results_at_all_sizes(n_columns, dtype):
    x = sg.matrix("x", dtype) if n_columns is None else sg.tensor("x", ("N", n_columns), dtype)
    y = chain(x)
    outputs = [y, y.sum(), y.max(axis=1), y.sum(axis=0), sg.grad(y.sum(), x)]
    found, wanted = (sg.compile([x], outputs, backend=b) for b in ("native", "numpy"))
    random, tolerance = np.random.default_rng(0), 2e-5 if dtype == "float32" else 1e-12
    sizes = (1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100)
    shapes = [(3, n) for n in sizes] if n_columns is None else [(n, n_columns) for n in (1, 2, 5)]
    for shape in shapes:
        array = random.normal(size=shape).astype(dtype)
        for a, b in zip(found(array), wanted(array), strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_only_long_chains_take_two_vectors():
    x, *others = (sg.tensor(name, ("N",)) for name in "abcdefghi")
    lanes = host().lanes(np.dtype("float32"))
    one, two = (f"call {type_text(np.dtype('float32'), n)}" for n in (lanes, 2 * lanes))
    long = kernels_of([x], chain(x))
    assert any(two in text for text in long)
    assert not any(one in text for text in long)
    short = kernels_of([x], sg.tanh(x))
    assert not any(two in text for text in short)
    gates = [sg.tanh(v * w) for v, w in zip(others[::2], others[1::2], strict=True)]
    many = kernels_of([x, *others], sum(gates, start=x))
    assert max(text.count("\n") for text in many) > nest_kernel._WINDOW
    assert not any(two in text for text in many)


def test_columns_that_hold_one_vector_do_not_get_the_kernel_of_two():
    lanes = host().lanes(np.dtype("float32"))
    for n_columns in (4 * lanes, lanes):  # in this order: the first one's kernel is at hand
        x = sg.tensor("x", ("N", n_columns))
        value = np.random.default_rng(0).normal(size=(5, n_columns)).astype("float32")
        result = sg.compile([x], [chain(x), x.max(axis=1), chain(x).max(axis=1)])(value)
        wanted = sg.compile([x], [chain(x), x.max(axis=1), chain(x).max(axis=1)], backend="numpy")
        for a, b in zip(result, wanted(value), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)

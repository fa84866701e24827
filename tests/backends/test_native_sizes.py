"""Sizes that only the program tells, where nothing else of an array is asked for."""

import numpy as np
import pytest

import symgraph as sg

VALUE = np.arange(8, dtype="float32")


def ending_loop(x):
    return sg.scan(lambda a, h: (a + h, sg.until(a > 3)), x, sg.constant(0.5))


CASES = {
    "steps taken": lambda x, k: ending_loop(x).shape[0],
    "half of them": lambda x, k: sg.zeros(ending_loop(x)[::2].shape[0]),
    "what ends in a loop": lambda x, k: sg.scan(lambda a: ending_loop(x + a).shape[0], x),
    "gradient of a loop that ends": lambda x, k: sg.grad(ending_loop(x).sum(), x),
    "length of a slice": lambda x, k: x[k:-1].shape[0],
    "zeros like a slice": lambda x, k: sg.zeros_like(x[:k]),
    "set": lambda x, k: x.set(slice(k, None), 7),
    "add_at": lambda x, k: x.add_at(slice(None, k), 7),
    "gradient of a slice": lambda x, k: sg.grad(x[k:].sum(), x),
}


@pytest.mark.parametrize("length", [8, "T", None])
@pytest.mark.parametrize("case", CASES)
def test_a_size_is_known_where_only_it_is_read(case, length):
    x, k = sg.tensor("x", (length,)), sg.scalar("k", "int64")
    result = CASES[case](x, k) + 0 * k.astype("int32")  # k is used in each case
    for start in (3, -2, 0):
        expected, found = (
            sg.compile([x, k], result, backend=backend)(VALUE, start)
            for backend in ("numpy", "native")
        )
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("size", [-1, -2, -9])
def test_a_negative_size_is_refused_where_only_the_size_is_read(backend, size):
    x, k = sg.tensor("x", (8, None), "float64"), sg.scalar("k", "int64")
    value = np.zeros((8, 2))
    for made, fits in ((x.reshape(sg.stack([k])), 16), (sg.zeros((k,)), 3)):
        f = sg.compile([x, k], [made.shape[0], x[: made.shape[0]]], backend=backend)
        assert f(value, fits)[0] == fits
        with pytest.raises(sg.CallError, match=str(size)):
            f(value, size)


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("size", [-1, -9])
def test_a_negative_size_that_is_computed_is_no_placeholder(backend, size):
    x, k = sg.vector("x"), sg.scalar("k", "int64")
    f = sg.compile([x, k], x.reshape((k, 2)), backend=backend)
    assert f(VALUE, 4).shape == (4, 2)
    with pytest.raises(sg.CallError, match="reshape"):
        f(VALUE, size)


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_sizes_that_agree_on_empty_axes_alone(backend):
    """One check makes two sizes one, by which others differ unless they are 0."""
    x = sg.tensor("x", (None, "n"), "float64")
    f = sg.compile([x], x[:, 1:] @ x @ x, backend=backend)
    assert f(np.zeros((0, 0))).shape == (0, 0)
    with pytest.raises(sg.SymgraphError):
        f(np.zeros((3, 3)))

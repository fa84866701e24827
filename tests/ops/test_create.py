"""Variables from nothing: names, shapes, dtypes and mistakes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.variable import ancestors
from symgraph.testing import evaluate


def test_inputs() -> None:
    x = sg.tensor("x", ("T", 3, None))
    assert x.name == "x"
    assert x.dtype == np.float32
    assert x.ndim == 3
    assert x.type.shape[1] == 3
    assert sg.tensor("x", ("T", 3, None)) is not x
    assert sg.tensor("y", ("T",)).type.shape[0] is x.type.shape[0]
    assert sg.tensor("y", 4).type.shape == (4,)
    assert sg.tensor("y", "T").ndim == 1
    assert sg.tensor().name is None
    for ndim, factory in enumerate((sg.scalar, sg.vector, sg.matrix, sg.tensor3, sg.tensor4)):
        made = factory("v", "int64")
        assert made.ndim == ndim
        assert made.dtype == np.int64
        assert made.name == "v"
        assert factory().dtype == np.float32


@pytest.mark.parametrize(
    "call",
    [
        lambda: sg.tensor((3, 4)),
        lambda: sg.tensor("x", None),
        lambda: sg.tensor("x", (1.5,)),
        lambda: sg.tensor("x", (True,)),
        lambda: sg.tensor("x", (3,), "complex64"),
        lambda: sg.tensor("x", (3,), "no dtype"),
        lambda: sg.matrix(3),
        lambda: sg.constant("text"),
        lambda: sg.constant(sg.scalar("x")),
        lambda: sg.constant([[1, 2], [3]]),
        lambda: sg.shared("text"),
        lambda: sg.shared(sg.scalar("x")),
        lambda: sg.shared(1.0, "float32") and sg.shared(1.0, np.float32),
        lambda: sg.zeros((2.5,)),
        lambda: sg.zeros("T"),
        lambda: sg.zeros(3, "complex64"),
        lambda: sg.arange("a"),
        lambda: sg.arange(0, 3, 0),
        lambda: sg.arange(0.0, sg.scalar("n", "int64")),
        lambda: sg.arange(sg.scalar("x")),
        lambda: sg.linspace(0, 1, 2.5),
        lambda: sg.one_hot(sg.scalar("x"), 3),
    ],
)
def test_wrong_kinds(call: Any) -> None:
    with pytest.raises(sg.SymgraphTypeError):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: sg.tensor("x", (-1,)),
        lambda: sg.tensor("x", ("2T",)),
        lambda: sg.zeros((2, -1)),
        lambda: sg.tril(sg.vector("x")),
    ],
)
def test_wrong_sizes(call: Any) -> None:
    with pytest.raises(sg.ShapeError):
        call()


def test_constants_keep_what_is_strong() -> None:
    assert sg.constant(1.0).dtype == np.float32
    assert sg.constant([1.0, 2]).dtype == np.float32
    assert sg.constant(np.float64(1)).dtype == np.float64
    assert sg.constant(1).dtype == np.int64
    assert sg.constant([1, 2], "float64").dtype == np.float64
    assert sg.constant(1.0) is sg.constant(1.0)
    array = np.ones(3)
    made = sg.constant(array)
    array[:] = 0
    np.testing.assert_array_equal(made.eval(), np.ones(3))


def test_filled_arrays() -> None:
    n = sg.scalar("n", "int64")
    value = sg.scalar("value", "float64")
    given = {n: np.int64(2), value: np.float64(7)}
    assert evaluate(sg.zeros((n, 3)), given).shape == (2, 3)
    filled = sg.full((n,), value)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(evaluate(filled, given), [7, 7])
    with pytest.raises(sg.CallError):
        evaluate(sg.zeros(n), {n: np.int64(-1)})
    x = sg.tensor("x", ("T", 2), "float64")
    assert sg.zeros_like(x).type is x.type
    assert sg.ones_like(x, dtype="int8").dtype == np.int8
    assert sg.full_like(x, 3).dtype == np.float64
    assert sg.zeros((2, 3), "bool").dtype == np.bool_
    # A constant below a broadcast: rules see what it is made of.
    assert [v.op.name for v in ancestors([sg.zeros((2, 3))])] == ["constant", "broadcast_to"]


def test_ranges() -> None:
    assert sg.arange(5).type.shape == (5,)
    assert sg.arange(5).dtype == np.int64
    assert sg.arange(3, dtype="float32").dtype == np.float32
    assert sg.arange(0.0, 1.0, 0.25).dtype == np.float32
    np.testing.assert_array_equal(sg.arange(0.0, 1.0, 0.25).eval(), [0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(sg.arange(5, 0, -2).eval(), [5, 3, 1])
    x = sg.tensor("x", ("T",))
    assert sg.arange(x.shape[0]).type.shape == x.type.shape
    (total,) = (x + sg.arange(x.shape[0]),)
    assert not any(v.op.name == "check_size" for v in ancestors([total]))
    assert str(sg.arange(0, x.shape[0], 2).type) == "int64[(T + 1)//2]"
    assert sg.linspace(0, 1, 5).dtype == np.float32
    np.testing.assert_allclose(sg.linspace(0, 1, 4, endpoint=False).eval(), [0, 0.25, 0.5, 0.75])


def test_one_hot_of_a_negative_size():
    with pytest.raises(sg.ShapeError, match="one_hot"):
        sg.one_hot(sg.tensor("i", (2,), "int64"), -3)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: sg.triu(x, None),
        lambda x: sg.diag(x, "a"),
        lambda x: sg.diagonal(x, 1.5),
        lambda x: sg.trace(x, None),
        lambda x: sg.round(x, "a"),
        lambda x: sg.eye([]),
        lambda x: sg.tri([2]),
        lambda x: sg.arange(float("nan")),
        lambda x: sg.arange(0, float("inf")),
    ],
)
def test_offsets_and_lengths_that_are_no_numbers(make):
    with pytest.raises(sg.SymgraphError, match=r"test_create\.py:"):
        make(sg.matrix("x"))


BACKENDS = ["native", "numpy"]
BOUNDS = [-7, -3, -1, 0, 1, 2, 5]


@pytest.mark.parametrize("backend", BACKENDS)
def test_ranges_of_symbols_are_numpys_for_all_signs(backend):
    start, stop, step = (sg.scalar(name, "int64") for name in ("start", "stop", "step"))
    by_symbol = sg.compile([start, stop, step], sg.arange(start, stop, step), backend=backend)
    for k in (-3, -1, 1, 2):
        ranges = [sg.arange(start, stop, k), sg.arange(1, stop, k), sg.arange(stop, 4, k)]
        by_number = sg.compile([start, stop], [*ranges, sg.arange(stop)], backend=backend)
        for a, b in itertools.product(BOUNDS, BOUNDS):
            expected = [np.arange(a, b, k), np.arange(1, b, k), np.arange(b, 4, k), np.arange(b)]
            for found, range_ in zip(by_number(a, b), expected, strict=True):
                np.testing.assert_array_equal(found, range_, strict=True)
            np.testing.assert_array_equal(by_symbol(a, b, k), expected[0], strict=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ranges_beside_each_other(backend):
    """That one range of a negative number is empty makes the number no less negative."""
    n = sg.scalar("n", "int64")
    outputs = [sg.arange(n), sg.arange(n, 3), sg.arange(1, n, 2) * sg.arange(0, n - 1, 2)]
    f = sg.compile([n], outputs, backend=backend)
    for number in (-4, 0, 1, 6):
        products = np.arange(1, number, 2) * np.arange(0, number - 1, 2)
        expected = [np.arange(number), np.arange(number, 3), products]
        for found, range_ in zip(f(number), expected, strict=True):
            np.testing.assert_array_equal(found, range_)
    total = sg.scan(lambda i, total: total + i, sg.arange(1, n, 2), np.int64(0))
    f = sg.compile([n], total, backend=backend)
    assert [f(number).tolist() for number in (-4, 0, 6)] == [[], [], [1, 4, 9]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
def test_sizes_of_narrow_and_unsigned_integers(backend, dtype):
    n = sg.scalar("n", dtype)
    outputs = [sg.zeros(n), sg.zeros((2, n + 1)), sg.arange(1, n), sg.arange(n, 0, -1)]
    outputs += [sg.ones(9)[:n], sg.scan(lambda s: s + 1, [], 0, n_steps=n)]
    f = sg.compile([n], outputs, backend=backend)
    for number in (0, 1, 7):
        shapes = [result.shape for result in f(np.dtype(dtype).type(number))]
        less = max(number - 1, 0)
        assert shapes == [(number,), (2, number + 1), (less,), (number,), (number,), (number,)]
    f = sg.compile([n], sg.zeros(n * n), backend=backend)
    if dtype == "uint8":
        assert f(np.uint8(17)).shape == (33,)  # 289 wraps, as NumPy's product does

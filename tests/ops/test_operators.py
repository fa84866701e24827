"""Operators and methods of variables, against the same of arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.testing import evaluate

FLOATS = (np.array([[0.5, -1.5], [2.0, 3.25]], np.float32), np.array([2.0, -0.75], np.float32))
INTEGERS = (np.array([[5, -7], [2, 3]], np.int32), np.array([2, 3], np.int32))
BOOLS = (np.array([True, False, True]), np.array([True, True, False]))
ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "lt", "le", "gt", "ge"]


def inputs(arrays: tuple[np.ndarray, ...]) -> list[Any]:
    return [sg.tensor(None, a.shape, a.dtype) for a in arrays]


@pytest.mark.parametrize(
    ("name", "arrays"),
    [(name, arrays) for name in [*ARITHMETIC, "pow", "matmul"] for arrays in (FLOATS, INTEGERS)]
    + [(name, INTEGERS) for name in ("and_", "or_", "xor", "lshift", "rshift")]
    + [(name, BOOLS) for name in ("and_", "or_", "xor")],
)
def test_binary(name: str, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    function = getattr(operator, name)
    x, y = inputs(arrays)
    a, b = arrays
    if name == "pow" and a.dtype.kind == "f":
        a = abs(a)
    expected = function(a, b)
    # Variable with variable, with an array on either side, and with a list.
    for made in (function(x, y), function(x, b), function(a, y), function(x, b.tolist())):
        found = evaluate(made, {x: a, y: b})
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert function(x, y).dtype == expected.dtype
    assert function(a, y) is function(sg.constant(a), y)


@pytest.mark.parametrize("name", [*ARITHMETIC, "pow"])
@pytest.mark.parametrize("number", [2, 3.0])
def test_python_numbers_are_weak(name: str, number: float) -> None:
    function = getattr(operator, name)
    for array in (np.array([1.0, 2.5], np.float32), np.array([1, 2], np.int8)):
        x = sg.tensor("x", array.shape, array.dtype)
        for made, expected in (
            (function(x, number), function(array, number)),
            (function(number, x), function(number, array)),
        ):
            if expected.dtype != np.float16:  # which we do not have
                wanted = np.float64 if made.dtype != expected.dtype else expected.dtype
                assert made.dtype in (expected.dtype, wanted, np.float32)
            np.testing.assert_allclose(evaluate(made, {x: array}), expected, rtol=2e-3)
    strong = sg.tensor("x", (2,)) * np.float64(2)
    assert strong.dtype == np.float64
    assert (sg.tensor("x", (2,)) * 2.0).dtype == np.float32


@pytest.mark.parametrize(
    "function",
    [
        operator.neg,
        operator.pos,
        abs,
        operator.invert,
        lambda x: divmod(x, 3)[1],
        lambda x: divmod(7, x)[0],
    ],
)
def test_unary(function: Callable[[Any], Any]) -> None:
    array = np.array([3, -4, 1], np.int32)
    x = sg.tensor("x", (3,), "int32")
    np.testing.assert_array_equal(evaluate(function(x), {x: array}), function(array))


METHODS: dict[str, Callable[[Any], Any]] = {
    "all": lambda x: (x > 0).all(axis=0),
    "any": lambda x: (x > 0).any(),
    "argmax": lambda x: x.argmax(axis=1),
    "argmin": lambda x: x.argmin(),
    "argsort": lambda x: x.argsort(axis=0),
    "astype": lambda x: x.astype("int32"),
    "clip": lambda x: x.clip(0, 1),
    "copy": lambda x: x.copy(),
    "cumprod": lambda x: x.cumprod(axis=0),
    "cumsum": lambda x: x.cumsum(axis=1),
    "diagonal": lambda x: x.diagonal(),
    "dot": lambda x: x.dot(x.T),
    "flatten": lambda x: x.flatten(),
    "max": lambda x: x.max(axis=0),
    "mean": lambda x: x.mean(axis=1),
    "min": lambda x: x.min(axis=0, keepdims=True),
    "prod": lambda x: x.prod(axis=0),
    "ravel": lambda x: x.ravel(),
    "repeat": lambda x: x.repeat(2, axis=1),
    "reshape": lambda x: x.reshape(3, 2),
    "reshape, tuple": lambda x: x.reshape((-1,)),
    "round": lambda x: x.round(),
    "squeeze": lambda x: x[:1].squeeze(0),
    "std": lambda x: x.std(axis=0),
    "sum": lambda x: x.sum(axis=(0, 1)),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "take": lambda x: x.take([2, 0], axis=1),
    "trace": lambda x: x.trace(),
    "transpose": lambda x: x.transpose(),
    "transpose, axes": lambda x: x.transpose(1, 0),
    "transpose, tuple": lambda x: x.transpose((1, 0)),
    "var": lambda x: x.var(axis=1),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "rows": lambda x: list(x)[1],
}


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    array = np.array([[0.5, -1.5, 2.0], [1.25, 3.0, -0.5]])
    x = sg.tensor("x", (2, 3), "float64")
    made, expected = METHODS[name](x), METHODS[name](array)
    assert made.dtype == expected.dtype
    np.testing.assert_allclose(evaluate(made, {x: array}), expected, rtol=1e-12)


def test_identity_and_hash() -> None:
    x, y = sg.tensor("x", (2,)), sg.tensor("y", (2,))
    assert x == x
    assert x != y
    assert {x: 1, y: 2}[x] == 1
    assert x in [y, x]
    assert sg.eq(x, y).dtype == np.bool_
    assert x + y is x + y


def test_length_and_iteration() -> None:
    x = sg.tensor("x", (3, "B"))
    assert len(x) == 3
    first, second, third = x
    assert first is x[0]
    assert third.ndim == 1
    assert second is x[1]
    unknown = sg.tensor("u", ("T",))
    for call in (
        lambda: len(unknown),
        lambda: list(unknown),
        lambda: len(sg.scalar("s")),
        lambda: 1.0 in unknown,
        lambda: bool(x),
        lambda: float(sg.scalar("s")),
        lambda: [1, 2][sg.scalar("i", "int64")],
        lambda: np.asarray(x),
        lambda: operator.setitem(x, 0, 1.0),
    ):
        with pytest.raises(sg.SymbolicValueError, match=r"test_operators\.py"):
            call()


def test_operands_that_make_no_sense() -> None:
    x = sg.tensor("x", (2,))
    for wrong in ("text", None, {}, object(), len):
        with pytest.raises(sg.SymgraphTypeError):
            x + wrong
        with pytest.raises(sg.SymgraphTypeError):
            wrong * x


def test_builtin_round():
    x = sg.vector("x")
    np.testing.assert_array_equal(round(x).eval({x: [0.5, 1.5, 2.6]}), [0, 2, 3])
    np.testing.assert_allclose(round(x, 1).eval({x: [0.26]}), [0.3], rtol=1e-6)

"""A value that does not fit what it is given to is an error, and never another value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.types import DTYPES

BACKENDS = ("native", "numpy")
INTEGERS = [dtype for dtype in DTYPES if dtype.kind in "iu"]
FLOATS = [dtype for dtype in DTYPES if dtype.kind == "f"]


def takers(dtype: str, *, exact: bool = False) -> dict[str, Callable[[Any], Any]]:
    """All that takes a value of a dtype from the user; ``exact``: what takes no other dtype too."""
    x = sg.tensor("x", (2,), dtype)
    takers: dict[str, Callable[[Any], Any]] = {
        "argument": sg.compile([x], x),
        "by name": lambda value: sg.compile([x], x)(x=value),
        "default": lambda value: sg.compile([sg.In(x, value=value)], x)(),
        "eval": lambda value: x.eval({x: value}),
        "givens": lambda value: sg.compile([], sg.stop_gradient(x), givens={x: value})(),
        "substitute": lambda value: sg.substitute(sg.stop_gradient(x), {x: value}).eval(),
        "constant": lambda value: sg.constant(value, dtype).eval(),
        "set": lambda value: sg.zeros((2,), dtype).set(slice(None), value).eval(),
    }
    if exact:
        shared = sg.shared(np.zeros(2, dtype))
        takers["set_value"] = lambda value: shared.set_value(value) or shared.get_value()
        takers["update"] = lambda value: (
            sg.compile([], updates={shared: value})() or shared.get_value()
        )
    return takers


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int8", np.array([1, 300])),
        ("int8", np.array([1, -129], "int16")),
        ("int32", np.array([2**31, 0])),
        ("uint8", np.array([256, 1], "uint16")),
        ("int64", np.array([2**63, 1], "uint64")),
        ("float32", np.array([1.0, 1e300])),
        ("float32", np.array([-1e39, np.inf])),
    ],
)
def test_arrays_that_do_not_fit(dtype: str, value: np.ndarray) -> None:
    for name, take in takers(dtype).items():
        with pytest.raises(sg.NumberRangeError, match=f"does not fit into {dtype}") as caught:
            take(value)
        assert "test_fitting_values.py" in str(caught.value), name


@pytest.mark.parametrize(
    ("dtype", "value"), [("int8", [1, 300]), ("uint8", [-1, 0]), ("float32", [1e300, 1.0])]
)
def test_lists_that_do_not_fit(dtype: str, value: list) -> None:
    for take in takers(dtype, exact=True).values():
        with pytest.raises((sg.NumberRangeError, sg.UpdateError), match="does not fit"):
            take(value)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int8", np.array([-128, 127])),
        ("uint8", np.array([0, 255], "uint64")),
        ("int64", np.array([2**63 - 1, 0], "uint64")),
        ("float32", np.array([np.inf, np.nan])),
        ("float32", np.array([3.4028234e38, 1e-300])),
        ("float32", np.array([2**62, -(2**62)])),
        ("float64", [0.1, 2**62]),
        ("uint64", [2**63 + 1, 1]),
        ("bool", [True, False]),
    ],
)
def test_what_fits_is_taken(dtype: str, value: Any) -> None:
    weak = isinstance(value, list)
    expected = np.array(value, dtype=dtype)
    for name, take in takers(dtype, exact=weak and dtype != "bool").items():
        found = take(value)
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected, name)


def test_masked_arrays_are_refused() -> None:
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    x = sg.tensor("x", (2,), "float64")
    uses = [
        *takers("float64", exact=True).values(),
        lambda value: x + value,
        lambda value: sg.concatenate([x, value]),
        lambda value: sg.shared(value),
        lambda value: sg.constant(value),
        lambda value: sg.exp(value),
        lambda value: sg.constant([value, value]),
    ]
    for use in uses:
        with pytest.raises(sg.SymgraphTypeError, match=r"lose its mask[\s\S]*filled"):
            use(masked)
    np.testing.assert_array_equal(sg.compile([x], x)(masked.filled(0.0)), [0.0, 2.0])


# --- conversions inside a program ---------------------------------------------------------------

REALS = [
    0.0,
    -0.5,
    -1.0,
    -1.5,
    -129.0,
    255.0,
    300.0,
    -3e4,
    7e4,
    2.5e9,
    -3e9,
    5e9,
    2.0**31,
    -(2.0**31),
]
REALS += [
    2.0**63,
    -(2.0**63),
    9.3e18,
    1.5e19,
    2.0**64,
    2e19,
    -1e19,
    1e30,
    -1e30,
    np.inf,
    -np.inf,
    np.nan,
]


def converted(value: float, dtype: np.dtype) -> int:
    """What `Maths.cast` says, in Python's integers."""
    bits = 64 if dtype in (np.int64, np.uint32, np.uint64) else 32
    least = -(2 ** (bits - 1))
    offset = 2**63 if dtype == np.uint64 and value >= 2.0**63 else 0
    whole = int(value) - offset if np.isfinite(value) else least
    whole = (whole if least <= whole < -least else least) + offset
    whole %= 2 ** (8 * dtype.itemsize)
    return (
        whole
        if dtype.kind == "u" or whole <= np.iinfo(dtype).max
        else whole - 2 ** (8 * dtype.itemsize)
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("source", FLOATS, ids=str)
@pytest.mark.parametrize("size", [1, 67])
def test_floats_become_integers_in_one_way(source: np.dtype, size: int, backend: str) -> None:
    values = np.repeat(np.array(REALS, source)[:, None], size, axis=1)
    x = sg.tensor("x", (None, None), source)
    found = sg.compile([x], [x.astype(dtype) for dtype in INTEGERS], backend=backend)(values)
    for dtype, array in zip(INTEGERS, found, strict=True):
        expected = [converted(float(value), dtype) for value in values[:, 0]]
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, np.array([expected] * size, dtype).T, str(dtype))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_what_an_integer_holds_is_converted_as_numpy_does(dtype: np.dtype, backend: str) -> None:
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -(2**53)), min(limits.max, 2**53)
    values = np.array([low, low + 1, 0, 1, 0.9, high - 1, high], "float64")
    x = sg.tensor("x", (None,), "float64")
    found = sg.compile([x], x.astype(dtype), backend=backend)(values)
    np.testing.assert_array_equal(found, values.astype(dtype))
    assert sg.constant(values, dtype).eval().tolist() == found.tolist()
    for bad in (np.nan, np.inf, -np.inf, 1e30):
        with pytest.raises(sg.NumberRangeError, match="does not fit"):
            sg.constant(np.array([bad]), dtype)
        with pytest.raises(sg.NumberRangeError, match="does not fit"):
            sg.full((1,), bad, dtype)


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    0.5,
    -0.5,
    3.0,
    -3.0,
    np.inf,
    -np.inf,
    np.nan,
    1.5,
    -1.5,
]


def assert_same(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=what)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers], what)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_powers_of_special_values(dtype: np.dtype, backend: str) -> None:
    bases, exponents = (a.ravel().copy() for a in np.meshgrid(SPECIAL, SPECIAL))
    x, y = (sg.tensor(name, (None,), dtype) for name in "xy")
    with np.errstate(all="ignore"):
        found = sg.compile([x, y], x**y, backend=backend)(bases, exponents)
        assert_same(found, np.power(bases.astype(dtype), exponents.astype(dtype)), "x ** y")
        numbers = [*SPECIAL, 4.0, 0.25, 1 / 3, -2.5, 7.0]
        outputs = sg.compile([x], [x**p for p in numbers], backend=backend)(SPECIAL)
        for p, array in zip(numbers, outputs, strict=True):
            assert_same(array, np.array(SPECIAL, dtype) ** p, f"x ** {p}")
        # An exponent that is computed is C's pow, for scalars as for arrays.
        s = sg.scalar("s", dtype)
        by_scalar = sg.compile([x, s], x**s, backend=backend)(SPECIAL, 0.5)
        assert_same(
            by_scalar, np.power(np.array(SPECIAL, dtype), np.full(15, 0.5, dtype)), "x ** s"
        )


REDUCTIONS = ("sum", "prod", "trace", "mean", "var", "std", "max", "min", "argmax", "argmin")
REDUCTIONS += ("any", "all", "cumsum", "cumprod", "count_nonzero", "dot", "inner", "vdot")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [0, 1, 3])
def test_reductions_have_numpys_dtype_and_value(dtype: np.dtype, size: int, backend: str) -> None:
    high = 200 if dtype == np.uint8 else 100
    array = (np.arange(size * size).reshape(size, size) * 31 % high).astype(dtype)
    x = sg.tensor("x", (size, size), dtype)
    names = [n for n in REDUCTIONS if size or n not in ("max", "min", "argmax", "argmin")]
    if not size:
        names = [n for n in names if n not in ("mean", "var", "std")]  # NumPy warns

    def reduced(module: Any, name: str, operand: Any) -> Any:
        two = name in ("dot", "inner", "vdot")
        return getattr(module, name)(*[operand] * (2 if two else 1))

    found = sg.compile([x], [reduced(sg, n, x) for n in names], backend=backend)(array)
    for name, value in zip(names, found, strict=True):
        expected = np.asarray(reduced(np, name, array))
        assert value.dtype == expected.dtype, name
        np.testing.assert_allclose(value, expected, rtol=1e-5, err_msg=name)
    small = sg.compile([x], x.trace(dtype="int8"), backend=backend)(array)
    assert small == np.trace(array, dtype="int8")
    assert small.dtype == np.int8

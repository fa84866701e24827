"""Dtypes and derivatives of elementwise ops where rows of the table cannot say it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph.core.types import DTYPES
from symgraph.core.variable import ancestors
from symgraph.testing import check_gradient, evaluate

ARRAYS = {str(dtype): np.array([1, 0, 1]).astype(dtype) for dtype in DTYPES}
FUNCTIONS = ("add", "multiply", "maximum", "divide", "floor_divide", "equal", "less")


def slope(function, *values, dtype="float64", wrt=None):
    """The derivatives of the summed function by its arguments, or the one at ``wrt``."""
    arrays = [np.asarray(v, dtype) for v in values]
    inputs = [sg.tensor(None, a.shape, a.dtype) for a in arrays]
    gradients = sg.grad(sg.sum(function(*inputs)), inputs, disconnected="zero")
    results = evaluate(gradients, dict(zip(inputs, arrays, strict=True)))
    if len(results) == 1:
        return results[0].tolist()
    return [r.tolist() for r in results] if wrt is None else results[wrt].tolist()


# --- dtypes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ARRAYS)
@pytest.mark.parametrize("second", ARRAYS)
def test_dtypes_promote_as_in_numpy(first: str, second: str) -> None:
    a, b = ARRAYS[first], ARRAYS[second]
    x, y = sg.tensor("x", (3,), first), sg.tensor("y", (3,), second)
    for name in FUNCTIONS:
        with np.errstate(all="ignore"):
            expected = getattr(np, name)(a, b).dtype
        assert getattr(sg, name)(x, y).dtype == expected, name


@pytest.mark.parametrize("dtype", ARRAYS)
@pytest.mark.parametrize("number", [True, 2, 2.5, np.float32(2.5), np.float64(2.5), np.int8(2)])
def test_numbers_of_python_are_weak_and_those_of_numpy_strong(dtype: str, number) -> None:
    x = sg.tensor("x", (3,), dtype)
    for name in FUNCTIONS:
        with np.errstate(all="ignore"):
            expected = getattr(np, name)(ARRAYS[dtype], number).dtype
        assert getattr(sg, name)(x, number).dtype == expected, name
        assert getattr(sg, name)(number, x).dtype == expected, name


def test_python_numbers_among_themselves_are_float32_or_integers() -> None:
    assert sg.add(1.0, 2).dtype == np.float32
    assert sg.where([True], 1.0, 0.0).dtype == np.float32
    assert sg.add(1, 2).dtype == np.int64
    assert sg.logical_and(True, False).dtype == np.bool_


def test_zeros_of_either_sign_are_different_constants() -> None:
    x = sg.tensor("x", (1,), "float64")
    plus, minus = evaluate([1.0 / (x * 0.0), 1.0 / (x * -0.0)], {x: [1.0]})
    assert plus == np.inf
    assert minus == -np.inf
    assert (x + 1).dtype == (x + True).dtype == np.float64


def test_a_number_that_does_not_fit_is_an_error() -> None:
    x = sg.tensor("x", (3,), "uint8")
    with pytest.raises(sg.DtypeError, match=r"300 does not fit into uint8[\s\S]*astype"):
        sg.add(x, 300)
    with pytest.raises(sg.DtypeError, match="does not fit"):
        sg.subtract(x, -1)


def test_errors_name_the_user_line_and_a_remedy() -> None:
    x = sg.tensor("mask", ("T",), "bool")
    with pytest.raises(sg.DtypeError, match=r"'mask' bool\[T\][\s\S]*test_elementwise\.py"):
        sg.negative(x)


# --- shapes -------------------------------------------------------------------------------------


def test_only_axes_known_to_be_1_are_broadcast() -> None:
    x, y = sg.tensor("x", ("T", 3)), sg.tensor("y", ("B", 3))
    with pytest.raises(sg.ShapeError):
        sg.add(x, y)
    unknown = sg.tensor("u", (None, 3))
    total = sg.add(x, unknown)
    assert total.type is x.type
    with pytest.raises(sg.CallError, match="add"):
        evaluate(total, {x: np.ones((2, 3)), unknown: np.ones((1, 3))})


# --- derivatives at kinks -----------------------------------------------------------------------


def test_kinks() -> None:
    assert slope(sg.relu, [0.0, -0.0, 1.0, -1.0]) == [0, 0, 1, 0]
    assert slope(sg.absolute, [0.0, -0.0, 2.0, -2.0]) == [0, 0, 1, -1]
    assert slope(sg.maximum, [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]) == [[0, 0.5, 1], [1, 0.5, 0]]
    assert slope(sg.minimum, [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]) == [[1, 0.5, 0], [0, 0.5, 1]]
    x = [-1.0, 0.0, 0.5, 1.0, 2.0]
    assert slope(lambda x: sg.clip(x, 0.0, 1.0), x) == [0, 1, 1, 1, 0]
    assert slope(lambda x: sg.clip(x, None, 1.0), x) == [1, 1, 1, 1, 0]
    assert slope(sg.hypot, [0.0], [0.0]) == [[0], [0]]


def test_steps_have_a_gradient_of_zero() -> None:
    x = sg.tensor("x", (2,), "float64")
    for function in (sg.sign, sg.floor, sg.ceil, sg.rint, sg.trunc, sg.round):
        gradient = sg.grad(sg.sum(function(x)), x)
        assert evaluate(gradient, {x: [0.5, -1.5]}).tolist() == [0, 0]


def test_comparisons_and_integers_cut_the_gradient() -> None:
    x = sg.tensor("x", (2,), "float64")
    for cut in (sg.greater(x, 0), sg.cast(x, "int32"), sg.isnan(x)):
        with pytest.raises(sg.DisconnectedError):
            sg.grad(sg.sum(sg.cast(cut, "float64")), x)


def test_equal_extremes_share_the_gradient() -> None:
    assert slope(sg.max, [3.0, 1.0, 3.0, 3.0]) == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
    assert slope(lambda x: sg.min(x, axis=1), [[1.0, 1.0], [2.0, 5.0]]) == [[0.5, 0.5], [1, 0]]
    assert slope(sg.max, [-np.inf, -np.inf]) == [0.5, 0.5]


def test_the_gradient_of_std_is_0_where_nothing_varies() -> None:
    assert slope(sg.std, [2.0, 2.0, 2.0]) == [0, 0, 0]


# --- derivatives that are finite because their limit is -----------------------------------------


@pytest.mark.parametrize("n", [2, 2.0, 3, 1, 0, 2.5])
def test_powers_at_zero(n: float) -> None:
    assert slope(lambda x: x**n, [0.0]) == [1.0 if n == 1 else 0.0]
    twice = slope(lambda x: sg.grad(sg.sum(x**n), x, disconnected="zero"), [0.0])
    assert twice == [2.0 if n == 2 else 0.0]


def test_power_by_its_exponent() -> None:
    base, exponent = [0.0, 0.0, 2.0], [2.0, 0.0, 3.0]
    assert slope(sg.power, base, exponent, wrt=1) == pytest.approx([0, 0, 8 * np.log(2)])
    assert slope(sg.power, [0.0, 3.0], [0.0, 0.0], wrt=0) == [0, 0]


BRANCHES = {
    "log": lambda x: sg.where(x > 0, sg.log(x), 0.0),
    "sqrt": lambda x: sg.where(x > 0, sg.sqrt(x), 0.0),
    "power": lambda x: sg.where(x > 0, x**0.5, 0.0),
    "entropy": lambda x: sg.where(x > 0, -x * sg.log(x), 0.0),
    "second branch": lambda x: sg.where(x <= 0, 0.0, sg.log(x)),
    "nested": lambda x: sg.where(x > 0, sg.where(x < 2, sg.log(x), sg.sqrt(x)), 0.0),
    "log of sqrt": lambda x: sg.where(x > 0, sg.log(sg.sqrt(x)), 0.0),
    "quotient": lambda x: sg.where(x > 0, 1.0 / x, 0.0),
    "difference": lambda x: sg.where(x > 0, 3.0 - sg.log(x), 0.0),
    "norm": lambda x: sg.where(x > 0, sg.sqrt(sg.square(x) * x), 0.0),
    "overflow": lambda x: sg.where(x < 500, sg.exp(x), 0.0),
    "maximum": lambda x: sg.maximum(sg.log(x), -3.0),
    "clip": lambda x: sg.clip(sg.log(sg.absolute(x)), -3.0, 1.0),
    "relu": lambda x: sg.relu(sg.log(x)),
    "axes": lambda x: sg.where(x[:, None] > 0, sg.log(x)[:, None], 0.0),
    "cast": lambda x: sg.where(x > 0, sg.cast(sg.log(x), "float32"), np.float32(0.0)),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_no_nan_from_the_branch_not_taken(name: str) -> None:
    function = BRANCHES[name]
    values = np.array([0.0, 1.0, 4.0, 0.5, 1000.0 if name == "overflow" else 9.0])
    found = np.array(slope(function, values))
    assert np.isfinite(found).all()
    assert found[0] == (1.0 if name == "overflow" else 0.0)
    second = slope(lambda x: sg.grad(sg.sum(function(x)), x), values)
    assert np.isfinite(second).all()
    if name != "cast":
        check_gradient(function, np.array([1.7, 4.0, 0.5]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_activations_are_stable(dtype: str) -> None:
    far = [-1000.0, -100.0, 0.0, 100.0, 1000.0]
    assert slope(sg.sigmoid, far, dtype=dtype) == pytest.approx([0, 0, 0.25, 0, 0], abs=1e-30)
    assert slope(sg.softplus, far, dtype=dtype) == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-30)
    assert slope(sg.log_sigmoid, far, dtype=dtype) == pytest.approx([1, 1, 0.5, 0, 0], abs=1e-30)
    assert slope(sg.elu, far, dtype=dtype) == pytest.approx([0, 0, 1, 1, 1], abs=1e-30)
    assert slope(sg.tanh, far, dtype=dtype) == pytest.approx([0, 0, 1, 0, 0], abs=1e-30)
    assert slope(sg.logsumexp, far, dtype=dtype) == pytest.approx([0, 0, 0, 0, 1], abs=1e-30)


def test_softmax_of_masked_entries() -> None:
    x = [[-np.inf, 0.0, 0.0], [0.0, -np.inf, -np.inf]]
    total = slope(lambda x: sg.logsumexp(x, axis=1), x)
    assert total == [[0, 0.5, 0.5], [1, 0, 0]]
    assert slope(sg.logsumexp, [-np.inf, -np.inf]) == [0, 0]
    chosen = slope(lambda x: sg.log_softmax(x)[:, 1:2] * np.array([[1.0], [0.0]]), x)
    assert chosen[0] == [0, 0.5, -0.5]


def test_logaddexp_of_equal_infinities() -> None:
    assert slope(sg.logaddexp, [-np.inf, 1.0], [-np.inf, -np.inf]) == [[0.5, 1], [0.5, 0]]


@given(
    st.lists(st.sampled_from([0.0, 1.0, -2.0, 0.5]), min_size=1, max_size=5),
)
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
def test_the_gradient_of_prod_needs_no_division(values: list[float]) -> None:
    others = [float(np.prod(values[:i] + values[i + 1 :])) for i in range(len(values))]
    assert slope(sg.prod, values) == others
    assert slope(lambda x: sg.cumprod(x)[-1], values) == others


# --- size of what is built ----------------------------------------------------------------------


def nodes_of_gradient(step, n: int) -> int:
    x = sg.tensor("x", ("T",))
    y = x
    for _ in range(n):
        y = step(y, x)
    return len(ancestors([sg.grad(sg.sum(y), x)]))


@pytest.mark.parametrize(
    "step",
    [
        lambda y, x: sg.relu(y) * x,
        lambda y, x: sg.maximum(y, 0.1) * x,
        lambda y, x: sg.where(x > 0, sg.log(y), 0.0) + y,
        lambda y, x: sg.where(x > 0, 0.5, sg.where(x < -1, y * x, 2.0)),
        lambda y, x: sg.tanh(y),
        lambda y, x: sg.sqrt(y * x + y) * y,
        lambda y, x: sg.sqrt(y[::-1]) ** 2 + y,
    ],
)
def test_the_gradient_of_a_chain_grows_linearly(step) -> None:
    small, large = nodes_of_gradient(step, 20), nodes_of_gradient(step, 80)
    assert large < 4.2 * small


def test_a_deep_chain_of_masks_does_not_recurse() -> None:
    x = sg.tensor("x", ("T",))
    y = x
    for i in range(5000):
        y = sg.maximum(y, float(i % 7))
    gradient = sg.grad(sg.sum(y), x)
    assert evaluate(gradient, {x: [10.0, 1.0]}).tolist() == [1, 0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint64", "float32"])
def test_division_by_a_number_that_the_dtype_cannot_hold(dtype) -> None:
    x, value = sg.tensor("x", (3,), dtype), np.array([1, 2, 100], dtype)
    for quotient, expected in [(x / 300, value / 300), (-300 / x, -300 / value)]:
        assert quotient.dtype == expected.dtype
        np.testing.assert_array_equal(quotient.eval({x: value}), expected)


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
def test_integers_to_computed_negative_powers_are_refused(dtype, backend):
    x, k = sg.tensor("x", (None,), dtype), sg.tensor("k", (None,), dtype)
    f = sg.compile([x, k], [x**k, sg.scan(lambda a, b: a**b, [x, k])], backend=backend)
    for result in f(np.array([2, -3, 0], dtype), np.array([3, 2, 0], dtype)):
        np.testing.assert_array_equal(result, np.array([8, 9, 1], dtype))
    with pytest.raises(sg.SymgraphError, match="exponent -1"):
        f(np.array([2], dtype), np.array([-1], dtype))

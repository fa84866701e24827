"""Reductions where rows of the table cannot say it: sizes and errors known only at the call."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.verify import verify
from symgraph.testing import evaluate

NOTHING = np.zeros((0, 3), "float32")
X = np.array([[1.0, 5.0, 3.0], [2.0, 2.0, 8.0]], "float32")


@pytest.mark.parametrize(
    "function", [sg.max, sg.min, sg.argmax, sg.argmin, sg.logsumexp, sg.softmax, sg.log_softmax]
)
def test_an_extreme_of_nothing_is_an_error_at_the_call(function) -> None:
    x = sg.tensor("x", ("T", 3))
    result = function(x, axis=0)
    assert evaluate(result, {x: X}).shape in ((3,), (2, 3))
    with pytest.raises(sg.CallError, match="among none"):
        evaluate(result, {x: NOTHING})


@pytest.mark.parametrize("function", [sg.max, sg.softmax, sg.logsumexp, sg.argmin])
def test_an_extreme_of_nothing_is_an_error_when_built(function) -> None:
    x = sg.tensor("x", ("T", 0))
    with pytest.raises(sg.ShapeError, match=r"'x' float32\[T, 0\][\s\S]*test_reduce\.py"):
        function(x, axis=1)


def test_sums_over_nothing_are_numpys() -> None:
    x = sg.tensor("x", ("T", 3))
    results = [sg.sum(x), sg.prod(x), sg.mean(x), sg.any(x), sg.all(x), sg.sum(x, axis=0)]
    found = evaluate(results, {x: NOTHING})
    assert [float(v) for v in found[:2]] == [0, 1]
    assert np.isnan(found[2])
    assert [bool(v) for v in found[3:5]] == [False, True]
    assert found[5].tolist() == [0, 0, 0]


def test_gradients_over_nothing_are_empty() -> None:
    x = sg.tensor("x", ("T", 3))
    gradient = sg.grad(sg.sum(sg.cumprod(x, axis=0)) + sg.sum(sg.prod(x, axis=0)), x)
    assert evaluate(gradient, {x: NOTHING}).shape == (0, 3)


def test_averages_over_sizes_known_at_the_call() -> None:
    x = sg.tensor("x", ("T", "B"))
    results = [sg.mean(x), sg.mean(x, axis=0), sg.var(x, axis=1, ddof=1), sg.std(x, ddof=7)]
    found = evaluate(results, {x: X})
    assert all(v.dtype == np.float32 for v in found)
    np.testing.assert_allclose(found[0], X.mean())
    np.testing.assert_allclose(found[1], X.mean(axis=0))
    np.testing.assert_allclose(found[2], X.var(axis=1, ddof=1), rtol=1e-6)
    assert np.isinf(found[3])


@pytest.mark.parametrize("function", [sg.sum, sg.max, sg.prod, sg.cumsum, sg.argmax, sg.softmax])
def test_axes_that_are_not_there(function) -> None:
    x = sg.tensor("x", ("T", "B"))
    with pytest.raises(sg.ShapeError, match="no axis 2"):
        function(x, axis=2)
    with pytest.raises(sg.SymgraphTypeError):
        function(x, axis="T")


def test_a_repeated_axis_is_an_error() -> None:
    with pytest.raises(sg.ShapeError, match="repeated"):
        sg.sum(sg.tensor("x", ("T", "B")), axis=(1, -1))


def test_integers_to_negative_powers_are_an_error() -> None:
    x, n = sg.tensor("x", ("T",), "int64"), sg.tensor("n", (), "int64")
    with pytest.raises(sg.SymgraphValueError, match=r"negative integer power[\s\S]*astype"):
        sg.power(x, -1)
    assert evaluate(x**n, {x: [2, 3], n: 3}).tolist() == [8, 27]
    with pytest.raises(sg.CallError, match="negative integer power"):
        evaluate(x**n, {x: [2, 3], n: -1})


@pytest.mark.parametrize("function", [sg.logsumexp, sg.softmax, sg.log_softmax])
@pytest.mark.parametrize("axis", [0, -1, None])
def test_expansions_give_the_same(function, axis) -> None:
    x = sg.tensor("x", ("T", 3), "float64")
    values = np.array([[1e3, -1e3, 0.5], [-np.inf, -np.inf, -np.inf], [np.inf, 1.0, np.nan]])
    whole = function(x, axis=axis)
    expanded = whole.op.expand(whole)
    assert expanded.type is whole.type
    verify(Graph([x], [expanded]))
    ours, theirs = evaluate([whole, expanded], {x: values})
    np.testing.assert_allclose(ours, theirs, rtol=1e-15)


@pytest.mark.parametrize("function", [sg.max, sg.min])
def test_an_extreme_of_no_bools_is_an_error_too(function) -> None:
    x = sg.tensor("x", (None, 3), "bool")
    assert function(x, axis=0).dtype == bool
    run = sg.compile([x], function(x, axis=0))
    np.testing.assert_array_equal(run([[True, False, False]]), [True, False, False])
    with pytest.raises(sg.SymgraphError):
        run(np.zeros((0, 3), bool))


@pytest.mark.parametrize("function", ["max", "min", "argmax", "logsumexp", "softmax"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("axis", [0, 1])
def test_an_extreme_over_an_axis_of_nothing_is_an_error(function, shape, axis):
    of = getattr(sg, function)
    unknown = sg.tensor("x", (None, None))
    known = sg.tensor("x", shape)
    if shape[axis] == 0:
        with pytest.raises(ValueError, match=r"zero-size|empty sequence"):
            (np.argmax if function == "argmax" else np.max)(np.zeros(shape), axis=axis)
        with pytest.raises(sg.ShapeError):
            of(known, axis=axis)
    for backend in ("numpy", "native"):
        f = sg.compile([unknown], of(unknown, axis=axis), backend=backend)
        if shape[axis] == 0:
            with pytest.raises(sg.CallError):
                f(np.zeros(shape, "float32"))
        else:
            assert f(np.zeros(shape, "float32")).size == 0

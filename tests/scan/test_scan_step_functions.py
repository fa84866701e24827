"""Gradients through piecewise constant functions in a loop: what they are outside of one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import symgraph as sg

X = sg.tensor("x", ("T",), "float64")
C, K = sg.scalar("c", "float64"), sg.scalar("k", "float64")
VALUES = {X: np.array([0.7, 1.4, -2.1]), C: np.float64(0.3), K: np.float64(1.3)}

Function = Callable[[sg.Variable], sg.Variable]
STEPS: list[Function] = [sg.floor, sg.ceil, sg.round, sg.trunc, sg.sign, lambda v: v // 2.0]
CUTS: list[Function] = [
    sg.stop_gradient,
    lambda v: (v > 0).astype("float64"),
    lambda v: v.astype("int64").astype("float64"),
]
# By what the function is reached: (the cost of a function, what it is differentiated by).
LOOPS = {
    "no loop": (lambda f: f(X).sum(), X),
    "a sequence": (lambda f: sg.scan(lambda v: f(v) * 2.0, X).sum(), X),
    "a state": (lambda f: sg.scan(lambda v, s: f(v + s), X, C)[-1], C),
    "a constant": (lambda f: sg.scan(lambda v, s, k: s + f(v * k), X, C, K)[-1], K),
    "a state that another reads later": (
        lambda f: sg.scan(lambda v, s, t, k: [s + t, f(v * k)], X, [C, C], K)[0].sum(),
        K,
    ),
    "a loop in a loop": (
        lambda f: sg.scan(lambda v: sg.scan(lambda w: f(v * w), X).sum(), X).sum(),
        X,
    ),
}


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("way", LOOPS)
def test_the_gradient_is_zero(way: str, backend: str) -> None:
    make, w = LOOPS[way]
    for function in STEPS:
        gradient = sg.grad(make(function), w)
        assert gradient.type is w.type
        inputs = [v for v in (X, C, K) if v is w or way != "no loop"]
        f = sg.compile(inputs, [gradient, *inputs], backend=backend)
        np.testing.assert_array_equal(f(*(VALUES[v] for v in inputs))[0], np.zeros_like(VALUES[w]))
        found = sg.explain_grad(make(function), w)
        assert found.is_zero
        assert not found.connected
        assert "the gradient is zero" in str(found)


@pytest.mark.parametrize("way", LOOPS)
def test_the_gradient_is_missing(way: str) -> None:
    make, w = LOOPS[way]
    for function in CUTS:
        with pytest.raises(sg.DisconnectedError):
            sg.grad(make(function), w)
        assert not sg.explain_grad(make(function), w).is_zero


def test_beside_a_path_that_lets_it_through() -> None:
    y = sg.scan(lambda v, s, k: sg.floor(v * k) + s * k, X, C, K)
    by_c, by_k, by_x = sg.grad(y[-1], [C, K, X])
    np.testing.assert_allclose(by_c.eval(VALUES), VALUES[K] ** 3)
    assert np.isfinite(by_k.eval(VALUES))
    np.testing.assert_array_equal(by_x.eval({X: VALUES[X]}), np.zeros(3))


def test_a_step_function_of_what_is_cut_is_cut() -> None:
    cost = sg.scan(lambda v: sg.floor(sg.stop_gradient(v)), X).sum()
    with pytest.raises(sg.DisconnectedError):
        sg.grad(cost, X)

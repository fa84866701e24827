"""Forward mode, and products with the Hessian, against formulas and reverse mode."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.variable import ancestors


def f64(name, *shape):
    return sg.tensor(name, shape, "float64")


def rnn(x, w):
    """The states of a small loop over x, which starts from ones."""
    return sg.scan(lambda row, h: sg.tanh(row + h @ w), x, sg.constant(np.ones(2)))


RNG = np.random.default_rng(3)
X, W = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 2))


def test_jvp_is_the_jacobian_times_the_tangent():
    x, w = f64("x", "n", 2), f64("w", 2, 2)
    y = sg.sin(x @ w)
    dx, dw = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 2))
    u, v = f64("u", "n", 2), f64("v", 2, 2)
    tangent = sg.jvp(y, [x, w], [u, v]).eval({x: X, w: W, u: dx, v: dw})
    np.testing.assert_allclose(tangent, np.cos(X @ W) * (dx @ W + X @ dw), rtol=1e-12)


def test_jvp_through_a_loop_agrees_with_reverse_mode():
    x, w = f64("x", "n", 2), f64("w", 2, 2)
    y = rnn(x, w)
    dw, u = RNG.normal(size=(2, 2)), RNG.normal(size=(4, 2))
    forward = sg.jvp(y, w, dw).eval({x: X, w: W})
    backward = sg.vjp(y, w, f64("u", "n", 2))
    (probe,) = [v for v in ancestors([backward]) if v.name == "u"]
    np.testing.assert_allclose(
        np.sum(forward * u), np.sum(dw * backward.eval({x: X, w: W, probe: u})), rtol=1e-12
    )
    step = 1e-6
    numeric = (y.eval({x: X, w: W + step * dw}) - y.eval({x: X, w: W - step * dw})) / (2 * step)
    np.testing.assert_allclose(forward, numeric, rtol=1e-7, atol=1e-9)


def test_jvp_of_jvp():
    x = f64("x")
    second = sg.jvp(sg.jvp(sg.exp(sg.sin(x)), x, 1.0), x, 1.0)
    expected = np.exp(np.sin(0.4)) * (np.cos(0.4) ** 2 - np.sin(0.4))
    np.testing.assert_allclose(second.eval({x: 0.4}), expected, rtol=1e-12)


def test_no_probe_is_left_in_the_result():
    x, w = f64("x", "n", 2), f64("w", 2, 2)
    for y in (rnn(x, w), sg.where(x > 0, x, x**3), sg.softmax(x @ w), x + 1.0, sg.max(x, axis=0)):
        result = sg.jvp(y, x, x)
        free = {v for v in ancestors([result]) if v.op.name == "input"}
        assert free <= {x, w}


def test_jvp_where_nothing_depends_is_zero():
    x, y = f64("x", 3), f64("y", "m")
    result = sg.jvp([y * 2.0, x], x, np.ones(3))
    assert result[0].type is y.type
    assert list(result[1].eval()) == [1.0, 1.0, 1.0]


def test_same_cotangent_for_several_inputs():
    x, y = f64("x", 3), f64("y", 3)
    tangent = sg.jvp(x + y, [x, y], [np.array([1.0, 2.0, 3.0]), np.ones(3)])
    assert list(tangent.eval()) == [2.0, 3.0, 4.0]


def test_deep_chain():
    x = v = f64("x")
    for _ in range(5_000):
        v = sg.sin(v)
    tangent, value = 1.0, 0.5
    for _ in range(5_000):
        tangent, value = tangent * np.cos(value), np.sin(value)
    np.testing.assert_allclose(sg.jvp(v, x, 1.0).eval({x: 0.5}), tangent, rtol=1e-9)


def test_tangents_must_fit():
    x, i = f64("x", 3), sg.tensor("i", (3,), "int64")
    with pytest.raises(sg.SymgraphValueError, match="as many tangents"):
        sg.jvp(x * 2.0, [x], [np.ones(3), np.ones(3)])
    with pytest.raises(sg.ShapeError, match="tangent of 'x'"):
        sg.jvp(x * 2.0, x, np.ones((1, 3)))
    with pytest.raises(sg.ShapeError, match="tangent of 'x'"):
        sg.jvp(x * 2.0, x, np.ones(2))
    with pytest.raises(sg.GradientError, match="'i'"):
        sg.jvp(x * i, i, np.ones(3))


# --- Hessian-vector products --------------------------------------------------------------------


def test_hessian_vector_product():
    x = f64("x", 3)
    cost = sg.sum(x**3) + x[0] * x[1]
    value, direction = np.array([1.0, 2.0, 3.0]), np.array([1.0, -1.0, 2.0])
    hessian = np.diag(6 * value)
    hessian[0, 1] = hessian[1, 0] = 1
    product = sg.hessian_vector_product(cost, x, direction)
    np.testing.assert_allclose(product.eval({x: value}), hessian @ direction, rtol=1e-12)


def test_hessian_vector_product_counts_mixed_derivatives():
    x, y = f64("x"), f64("y")
    products = sg.hessian_vector_product(x * x * y, [x, y], [2.0, 3.0])
    # H = [[2y, 2x], [2x, 0]]
    assert [p.eval({x: 5.0, y: 7.0} if p is products[0] else {x: 5.0}) for p in products] == [
        2 * 7 * 2 + 2 * 5 * 3,
        2 * 5 * 2,
    ]


def test_a_direction_made_of_x_is_not_differentiated():
    x = f64("x", 2)
    product = sg.hessian_vector_product(sg.sum(x**3), x, x)
    assert list(product.eval({x: [1.0, 2.0]})) == [6.0, 24.0]


def test_hessian_vector_product_through_a_loop():
    x, w = f64("x", "n", 2), f64("w", 2, 2)
    cost = sg.sum(rnn(x, w) ** 2)
    direction = RNG.normal(size=(2, 2))
    product = sg.hessian_vector_product(cost, w, direction).eval({x: X, w: W})
    gradient, step = sg.grad(cost, w), 1e-6
    numeric = (
        gradient.eval({x: X, w: W + step * direction})
        - gradient.eval({x: X, w: W - step * direction})
    ) / (2 * step)
    np.testing.assert_allclose(product, numeric, rtol=1e-6, atol=1e-8)
    forward = sg.jvp(gradient, w, direction).eval({x: X, w: W})
    np.testing.assert_allclose(product, forward, rtol=1e-11)


def test_linear_cost_has_no_curvature():
    x = f64("x", 3)
    assert list(sg.hessian_vector_product(sg.sum(x * 2.0), x, np.ones(3)).eval()) == [0, 0, 0]

"""Whole matrices of derivatives, against formulas."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg


def f64(name, *shape):
    return sg.tensor(name, shape, "float64")


RNG = np.random.default_rng(4)


@pytest.mark.parametrize("n", [4, "n", None])
def test_jacobian_of_a_product_with_a_matrix(n):
    x, w = f64("x", n), f64("w", 3, n)
    a, b = RNG.normal(size=4), RNG.normal(size=(3, 4))
    jacobian = sg.jacobian(sg.tanh(w @ x), x)
    assert jacobian.type.shape[1] is x.type.shape[0]
    expected = (1 - np.tanh(b @ a) ** 2)[:, None] * b
    np.testing.assert_allclose(jacobian.eval({x: a, w: b}), expected, rtol=1e-12)


def test_shape_is_that_of_y_then_that_of_x():
    x, w = f64("x", "n", 3), f64("w", 3, 2)
    y = x @ w
    by_x, by_w = sg.jacobian(y, [x, w])
    a, b = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))
    assert str(by_x.type) == "float64[n, 2, n, 3]"
    np.testing.assert_allclose(
        by_x.eval({x: a, w: b}), np.einsum("ni,jk->nkij", np.eye(4), b), rtol=1e-12
    )
    np.testing.assert_allclose(
        by_w.eval({x: a, w: b}), np.einsum("ni,jk->njik", a, np.eye(2)), rtol=1e-12
    )


def test_jacobian_of_a_scalar_is_the_gradient():
    x = f64("x", 3)
    cost = sg.sum(x**2)
    assert sg.jacobian(cost, x) is sg.grad(cost, x)


def test_jacobian_of_a_loop():
    x, h = f64("x", "T"), f64("h")
    y = sg.scan(lambda row, h: h * row, x, h)
    value = np.array([2.0, 3.0, 5.0])
    expected = [[1, 0, 0], [3, 2, 0], [15, 10, 6]]
    np.testing.assert_allclose(sg.jacobian(y, x).eval({x: value, h: 1.0}), expected, rtol=1e-12)
    np.testing.assert_allclose(sg.jacobian(y, h).eval({x: value, h: 1.0}), [2, 6, 30], rtol=1e-12)


def test_jacobian_of_nothing():
    x = f64("x", "n")
    assert sg.jacobian(x**2, x).eval({x: np.zeros(0)}).shape == (0, 0)


def test_jacobian_is_differentiable():
    x = f64("x", 2)
    trace = sg.sum(sg.jacobian(x**3, x))
    np.testing.assert_allclose(sg.grad(trace, x).eval({x: [1.0, 2.0]}), [6, 12], rtol=1e-12)


def test_disconnected_jacobian():
    x, z = f64("x", 2), f64("z", "m")
    with pytest.raises(sg.DisconnectedError, match=r"jacobian.*'z'"):
        sg.jacobian(x * 2.0, z)
    zeros = sg.jacobian(x * 2.0, z, disconnected="zero")
    assert zeros.eval({z: np.ones(3)}).shape == (2, 3)
    with pytest.raises(sg.GradientError):
        sg.jacobian(sg.argsort(x), x)


def test_hessian():
    x = f64("x", "n")
    cost = sg.sum(x**3) + x[0] * x[1]
    value = np.array([1.0, 2.0, 3.0])
    expected = np.diag(6 * value)
    expected[0, 1] = expected[1, 0] = 1
    np.testing.assert_allclose(sg.hessian(cost, x).eval({x: value}), expected, rtol=1e-12)


def test_hessian_of_a_matrix_and_of_a_list():
    x, y = f64("x", 2, 2), f64("y")
    cost = sg.sum((x @ x) * y) + y**4
    by_x, by_y = sg.hessian(cost, [x, y])
    assert by_x.type.shape == (2, 2, 2, 2)
    # sum(x @ x) = sum_ijk x_ij x_jk
    expected = np.zeros((2, 2, 2, 2))
    for i, j, k in np.ndindex(2, 2, 2):
        expected[i, j, j, k] += 1.5
        expected[j, k, i, j] += 1.5
    np.testing.assert_allclose(by_x.eval({y: 1.5}), expected, rtol=1e-12)
    assert by_y.eval({y: 2.0}) == 48.0


def test_hessian_of_a_linear_cost_is_zero():
    x = f64("x", 2)
    assert not sg.hessian(sg.sum(x * 3.0), x).eval().any()

"""What grad, vjp, jvp, jacobian and hessian take, give and refuse."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg

X = np.array([1.0, 2.0, 3.0])
W = np.arange(6.0).reshape(3, 2)


class Problem:
    """``cost = sum((x W) ** 2)``, and a variable that has nothing to do with it."""

    def __init__(self) -> None:
        self.x = sg.tensor("x", (3,), "float64")
        self.w = sg.shared(W, "w")
        self.h = self.x @ self.w
        self.cost = (self.h**2).sum()
        self.other = sg.tensor("other", (3,), "float64")

    def value(self, y):
        return y.eval({self.x: X})


def test_one_in_one_out_a_list_in_a_list_out():
    p = Problem()
    assert isinstance(sg.grad(p.cost, p.x), sg.Variable)
    assert isinstance(sg.grad(p.cost, [p.x]), list)
    assert sg.grad(p.cost, []) == []
    v = np.ones(3)
    assert isinstance(sg.vjp(p.h, p.x, np.ones(2)), sg.Variable)
    assert isinstance(sg.vjp([p.h], [p.x], [np.ones(2)]), list)
    assert isinstance(sg.jvp(p.h, p.x, v), sg.Variable)
    assert isinstance(sg.jvp([p.h], [p.x], [v]), list)


def test_inner_variables_may_be_asked_for():
    p = Problem()
    by_h, by_x, by_w = (p.value(g) for g in sg.grad(p.cost, [p.h, p.x, p.w]))
    np.testing.assert_allclose(by_h, 2 * X @ W)
    np.testing.assert_allclose(by_x, 2 * W @ (X @ W))
    np.testing.assert_allclose(by_w, np.outer(X, 2 * X @ W))
    assert sg.grad(p.cost, p.cost).eval() == 1


def test_known_gradients_stand_in_for_a_cost():
    p = Problem()
    given = np.array([1.0, -2.0])
    np.testing.assert_allclose(sg.grad(None, p.x, known_grads={p.h: given}).eval(), W @ given)
    with pytest.raises(sg.ShapeError, match="known gradient"):
        sg.grad(None, p.x, known_grads={p.h: np.ones(3)})
    with pytest.raises(sg.GradientError, match="neither"):
        sg.grad(None, p.x)


@pytest.mark.parametrize("as_list", [False, True])
def test_stop_holds_variables_constant(as_list):
    p = Problem()
    cost = (p.h * p.x.sum()).sum()
    g = sg.grad(cost, p.x, stop=[p.h] if as_list else p.h)
    np.testing.assert_allclose(p.value(g), np.full(3, (X @ W).sum()))


def test_what_is_stopped_has_a_gradient_itself():
    y = sg.tensor("y", (), "float64")
    z = y**2
    w = sg.exp(z)
    cost = w * z * y
    by_y, by_z, by_w = sg.grad(cost, [y, z, w], stop=[z, w, y])
    assert by_y.eval({y: 2.0}) == pytest.approx(np.exp(4.0) * 4.0)
    assert by_z.eval({y: 2.0}) == pytest.approx(np.exp(4.0) * 2.0)
    assert by_w.eval({y: 2.0}) == pytest.approx(8.0)
    # By z alone stopped, what is made of z is not.
    assert sg.grad(cost, z, stop=z).eval({y: 2.0}) == pytest.approx(np.exp(4.0) * 10.0)
    assert sg.grad(cost, cost, stop=[cost]).eval() == 1.0
    assert sg.grad(None, z, known_grads={z: 3.0}, stop=[z]).eval() == 3.0
    with pytest.raises(sg.DisconnectedError, match="given in stop"):
        sg.grad(None, y, known_grads={z: 3.0}, stop=[z])
    with pytest.raises(sg.DisconnectedError, match="given in stop"):
        sg.grad(cost, y, stop=[cost])


def test_a_result_of_a_loop_may_be_stopped():
    x, h = sg.tensor("x", ("T",), "float64"), sg.tensor("h", (), "float64")
    states = sg.scan(lambda x, h: x * h, [x], [h])
    cost = (states**2).sum() + (3.0 * x).sum()
    by_states, by_x = sg.grad(cost, [states, x], stop=[states])
    values = {x: [1.0, 2.0, 3.0], h: 0.5}
    np.testing.assert_allclose(by_states.eval(values), [1.0, 2.0, 6.0])
    np.testing.assert_allclose(by_x.eval({x: [1.0, 2.0, 3.0]}), [3.0, 3.0, 3.0])


def test_a_missing_path_is_an_error_or_zero():
    p = Problem()
    with pytest.raises(sg.DisconnectedError, match="'other' is not part of the cost"):
        sg.grad(p.cost, p.other)
    zero = sg.grad(p.cost, p.other, disconnected="zero")
    np.testing.assert_array_equal(zero.eval(), np.zeros(3))
    with pytest.raises(sg.SymgraphValueError, match="'foo'"):
        sg.grad(p.cost, p.x, disconnected="foo")


def test_integers_have_no_gradient():
    i = sg.tensor("i", (3,), "int64")
    x = sg.tensor("x", (3,), "float64")
    with pytest.raises(sg.GradientError, match="'i'"):
        sg.grad((i * x).sum(), i)
    with pytest.raises(sg.GradientError, match="cost"):
        sg.grad(i.sum(), x)
    with pytest.raises(sg.DisconnectedError, match="cut by cast"):
        sg.grad(x.astype("int64").sum() * 1.0, x)


def test_jacobian_and_hessian():
    p = Problem()
    np.testing.assert_allclose(sg.jacobian(p.h, p.x).eval(), W.T)
    assert p.value(sg.jacobian(p.h, p.w)).shape == (2, 3, 2)
    np.testing.assert_allclose(sg.hessian(p.cost, p.x).eval(), 2 * W @ W.T)
    product = sg.hessian_vector_product(p.cost, p.x, X)
    np.testing.assert_allclose(product.eval(), 2 * W @ W.T @ X)
    np.testing.assert_array_equal(sg.hessian(p.x.sum(), p.x).eval(), np.zeros((3, 3)))
    with pytest.raises(sg.ShapeError, match="scalar"):
        sg.hessian(p.h, p.x)


def test_the_jacobian_of_a_loop():
    x = sg.tensor("x", (None,), "float64")
    every = sg.scan(lambda x_t, s: 0.5 * s + x_t, x, 0.0)
    expected = [[1, 0, 0], [0.5, 1, 0], [0.25, 0.5, 1]]
    np.testing.assert_allclose(sg.jacobian(every, x).eval({x: X}), expected)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: sg.floor(x).sum(), "zero: floor is piecewise constant"),
        (lambda x: x.argmax() * 1.0, "cut by argmax"),
        (lambda x: (x > 0).sum() * 1.0, "cut by greater"),
        (lambda x: sg.stop_gradient(x).sum(), "cut by stop_gradient"),
        (lambda x: sg.tanh(x).sum(), "the shortest path"),
        (lambda x: sg.scalar("y") * 2, "'x' is not part of"),
    ],
)
def test_explain_grad_says_why(make, words):
    x = sg.tensor("x", (3,), "float64")
    text = str(sg.explain_grad(make(x), x))
    assert words in text
    assert "test_grad_options.py:" in text


def test_explain_grad_agrees_with_grad_on_many_paths():
    x = sg.tensor("x", (3,), "float64")
    y = x
    for _ in range(200):  # 2 ** 200 paths
        y = y * y * 0.5 + y
    explanation = sg.explain_grad(y.sum(), x)
    assert explanation.connected
    assert explanation.path[0] is y.sum()
    assert explanation.path[-1] is x


def test_the_clip_is_of_the_gradient_alone():
    x, s = sg.tensor("x", (3,), "float64"), sg.scalar("s", "float64")
    clipped = sg.clip_gradient(x, -s, s)
    np.testing.assert_array_equal(clipped.eval({x: X, s: 0}), X)
    g = sg.grad((clipped**2).sum(), x)
    np.testing.assert_array_equal(g.eval({x: X, s: 3.0}), [2, 3, 3])

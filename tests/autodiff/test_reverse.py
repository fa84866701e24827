"""Gradients by reverse mode: values, policies, and the sharing of nodes between calls."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.variable import ancestors


def numeric_gradient(f, x, step=1e-5):
    """The gradient of a function of one array, by central differences."""
    result = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        result[index] = (f(up) - f(down)) / (2 * step)
    return result


def f64(name, *shape):
    return sg.tensor(name, shape, "float64")


def layer(x, w):
    return sg.tanh(x @ w) * sg.exp(-sg.sum(w**2, axis=0))


def log_of_mean(x, w):
    return sg.log(1.0 + sg.mean(sg.softmax(x @ w, axis=1)[:, 1:] ** 2, axis=0))


def ratio(x, w):
    z = x @ w
    return sg.where(z > 0, z / (1.0 + z**2), sg.sqrt(1.0 - z)).T


EXPRESSIONS = [layer, log_of_mean, ratio]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_gradients_of_compositions_are_those_of_finite_differences(expression):
    rng = np.random.default_rng(0)
    x, w = f64("x", "n", 3), f64("w", 3, 4)
    cost = sg.sum(sg.sin(expression(x, w)))
    gx, gw = sg.grad(cost, [x, w])
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    for gradient, value, at in (
        (gx, a, lambda v: cost.eval({x: v, w: b})),
        (gw, b, lambda v: cost.eval({x: a, w: v})),
    ):
        np.testing.assert_allclose(
            gradient.eval({x: a, w: b}), numeric_gradient(at, value), rtol=1e-6, atol=1e-8
        )


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_second_derivatives_are_those_of_finite_differences(expression):
    rng = np.random.default_rng(1)
    x, w = f64("x", 2, 3), f64("w", 3, 4)
    gradient = sg.grad(sg.sum(sg.sin(expression(x, w))), w)
    direction = rng.normal(size=(3, 4))
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    slope = sg.sum(gradient * direction)
    second = sg.grad(slope, w).eval({x: a, w: b})
    expected = numeric_gradient(lambda v: slope.eval({x: a, w: v}), b)
    np.testing.assert_allclose(second, expected, rtol=1e-6, atol=1e-7)


def test_third_derivative():
    x = f64("x")
    d3 = sg.grad(sg.grad(sg.grad(sg.tanh(x) * x, x), x), x)
    t = np.tanh(0.3)
    s = 1 - t**2
    # (x tanh x)''' = 3 tanh'' + x tanh'''
    expected = 3 * (-2 * t * s) + 0.3 * (-2 * s * s + 4 * t * t * s)
    np.testing.assert_allclose(d3.eval({x: 0.3}), expected, rtol=1e-12)


# --- what comes back ----------------------------------------------------------------------------


def test_one_in_one_out_list_in_list_out():
    x = f64("x", 3)
    cost = sg.sum(x**2)
    assert isinstance(sg.grad(cost, [x]), list)
    assert sg.grad(cost, [x])[0] is sg.grad(cost, x)
    assert sg.grad(cost, (x, x)) == [sg.grad(cost, x)] * 2
    assert sg.grad(cost, []) == []


def test_separate_calls_share_every_gradient_node():
    x, w, u = sg.tensor("x", ("n", 3)), sg.tensor("w", (3, 3)), sg.tensor("u", (3, 3))
    hidden = sg.tanh(x @ w)
    cost = sg.sum(sg.tanh(hidden @ u) * hidden)
    together = sg.grad(cost, [x, w, u, hidden])
    apart = [sg.grad(cost, v) for v in (u, hidden, x, w)]
    assert apart == [together[i] for i in (2, 3, 0, 1)]


def test_inner_variable():
    x = f64("x", 4)
    inner = x**2
    cost = sg.sum(sg.sin(inner) * x)
    # the other path from x to the cost counts for x, not for the inner variable
    value = np.array([0.1, -0.4, 1.2, 2.0])
    np.testing.assert_allclose(
        sg.grad(cost, inner).eval({x: value}), np.cos(value**2) * value, rtol=1e-12
    )
    assert sg.grad(cost, cost).eval() == 1.0


def test_gradient_has_the_type_of_its_variable():
    known, unknown = sg.tensor("known", (5,)), sg.tensor("unknown", (None,))
    cost = sg.sum(known * unknown)
    for v in (known, unknown):
        assert sg.grad(cost, v).type is v.type
    low, high = sg.tensor("low", (3,), "float32"), sg.tensor("high", (3,), "float64")
    cost = sg.sum(low * high)
    assert sg.grad(cost, low).dtype == "float32"
    assert sg.grad(cost, high).dtype == "float64"
    named = sg.tensor("named", ("T", 3))
    assert sg.grad(sg.sum(named[1:] ** 2), named).type is named.type


def test_one_variable_many_times():
    x = f64("x")
    cost = x * x * x + x
    assert sg.grad(cost, x).eval({x: 2.0}) == 13.0


def test_constant_as_variable():
    c = sg.constant(np.array([1.0, 2.0]))
    x = f64("x", 2)
    assert list(sg.grad(sg.sum(c * c * x), c).eval({x: [3.0, 5.0]})) == [6.0, 20.0]


def test_several_results_of_one_op_collect_their_cotangents():
    x = f64("x", "T", 2)

    def step(row, state):
        return state + row, state * row

    states, products = sg.scan(step, x, [sg.constant(np.ones(2)), None])
    value = np.array([[0.5, 2.0], [3.0, -1.0], [1.5, 0.25]])
    for cost in (sg.sum(products), sg.sum(states**2), sg.sum(states) + sg.sum(products * 2.0)):
        expected = numeric_gradient(lambda v, cost=cost: cost.eval({x: v}), value)
        np.testing.assert_allclose(sg.grad(cost, x).eval({x: value}), expected, rtol=1e-7)


def test_deep_chain():
    x = v = sg.scalar("x", "float64")
    for _ in range(5_000):
        v = sg.sin(v) * 1.0001
    gradient = sg.grad(v, x)
    assert len(ancestors([gradient])) > 20_000
    expected, value = 1.0, 0.5
    for _ in range(5_000):
        expected, value = expected * np.cos(value) * 1.0001, np.sin(value) * 1.0001
    np.testing.assert_allclose(gradient.eval({x: 0.5}), expected, rtol=1e-9)


def test_work_is_linear_where_paths_are_exponential():
    x = f64("x")
    v = x**2
    for _ in range(60):
        v = v * 0.5 + v * 0.5
    assert sg.grad(v, x).eval({x: 1.0}) == 2.0
    assert len(ancestors([sg.grad(v, x)])) < 1000


# --- disconnected -------------------------------------------------------------------------------


def test_disconnected_raises_and_says_where():
    x, y = sg.tensor("x", ("n",)), sg.tensor("y", ("m", 2))
    cost = sg.sum(x)
    with pytest.raises(sg.DisconnectedError, match=r"'y'.*not part of the cost"):
        sg.grad(cost, y)
    cut = sg.cast(x, "int32")
    with pytest.raises(sg.DisconnectedError, match=r"cut by cast[\s\S]*test_reverse\.py"):
        sg.grad(sg.sum(sg.cast(cut, "float32")), x)
    with pytest.raises(sg.DisconnectedError, match="stop_gradient"):
        sg.grad(sg.sum(sg.stop_gradient(x) * 2.0), x)


def test_disconnected_zero():
    x, y = sg.tensor("x", ("n",)), sg.tensor("y", ("m", 2))
    gx, gy = sg.grad(sg.sum(x**2), [x, y], disconnected="zero")
    assert gy.type is y.type
    np.testing.assert_array_equal(gy.eval({y: np.ones((3, 2), "float32")}), np.zeros((3, 2)))
    np.testing.assert_array_equal(gx.eval({x: np.ones(3, "float32")}), 2 * np.ones(3))
    with pytest.raises(sg.SymgraphValueError, match="'raise' or 'zero'"):
        sg.grad(sg.sum(x), x, disconnected="ignore")


def test_piecewise_constant_functions_give_zero():
    x = sg.tensor("x", (3,))
    gradient = sg.grad(sg.sum(sg.floor(x)), x)
    np.testing.assert_array_equal(gradient.eval(), np.zeros(3))


def test_integers_have_no_gradient():
    i, x = sg.tensor("i", (3,), "int64"), sg.tensor("x", (3,))
    with pytest.raises(sg.GradientError, match=r"'i'.*int64"):
        sg.grad(sg.sum(x * i), i)
    with pytest.raises(sg.GradientError, match=r"the cost.*int64"):
        sg.grad(sg.sum(i), x)


def test_arguments_that_make_no_sense():
    x = sg.tensor("x", (3,))
    with pytest.raises(sg.ShapeError, match="must be a scalar"):
        sg.grad(x * 2.0, x)
    with pytest.raises(sg.SymgraphTypeError, match="wrt"):
        sg.grad(sg.sum(x), 3)
    with pytest.raises(sg.SymgraphTypeError, match="the cost"):
        sg.grad(3.0, x)
    with pytest.raises(sg.GradientError, match="neither a cost"):
        sg.grad(None, x)
    with pytest.raises(sg.SymgraphTypeError, match="known_grads"):
        sg.grad(sg.sum(x), x, known_grads=[x])


# --- known gradients, stop, clip ----------------------------------------------------------------


def test_known_gradients_replace_what_the_cost_would_give():
    x = f64("x", 3)
    y = sg.exp(x)
    value = np.array([0.1, 0.2, 0.3])
    given = np.array([1.0, -2.0, 3.0])
    gradient = sg.grad(None, x, known_grads={y: given})
    np.testing.assert_allclose(gradient.eval({x: value}), given * np.exp(value), rtol=1e-12)
    cost = sg.sum(y**2) + sg.sum(x)
    mixed = sg.grad(cost, x, known_grads={y: given})
    np.testing.assert_allclose(mixed.eval({x: value}), given * np.exp(value) + 1, rtol=1e-12)
    assert sg.grad(cost, y, known_grads={y: given}) is sg.grad(None, y, known_grads={y: given})
    doubled = sg.grad(cost, x, known_grads={cost: 2.0})
    np.testing.assert_allclose(
        doubled.eval({x: value}), 2 * sg.grad(cost, x).eval({x: value}), rtol=1e-12
    )


def test_known_gradients_must_fit():
    x = f64("x", 3)
    y = x * 2.0
    with pytest.raises(sg.ShapeError):
        sg.grad(None, x, known_grads={y: np.zeros((3, 1))})
    with pytest.raises(sg.ShapeError):
        sg.grad(None, x, known_grads={y: np.zeros(4)})
    with pytest.raises(sg.DtypeError):
        sg.grad(None, x, known_grads={y: np.zeros(3, complex)})


def test_stop():
    x = f64("x")
    y = x**2
    cost = y * x
    assert sg.grad(cost, x, stop=[y]).eval({x: 3.0}) == 9.0
    assert sg.grad(cost, x).eval({x: 3.0}) == 27.0
    with pytest.raises(sg.DisconnectedError, match="stop"):
        sg.grad(y * 2.0, x, stop=[y])


def test_stop_gradient_and_clip_gradient_are_the_identity_forward():
    x = f64("x", 3)
    value = np.array([1.0, -2.0, 30.0])
    np.testing.assert_array_equal(sg.stop_gradient(x).eval({x: value}), value)
    clipped = sg.clip_gradient(x, -1.0, 2.5)
    np.testing.assert_array_equal(clipped.eval({x: value}), value)
    gradient = sg.grad(sg.sum(clipped**2), x)
    np.testing.assert_array_equal(gradient.eval({x: value}), [2.0, -1.0, 2.5])
    assert sg.grad(sg.stop_gradient(x[0]) * x[0], x).eval({x: value})[0] == 1.0
    with pytest.raises(sg.ShapeError, match="a bound is a scalar"):
        sg.clip_gradient(x, np.zeros(3), 1.0)


# --- vjp ----------------------------------------------------------------------------------------


def test_vjp():
    rng = np.random.default_rng(2)
    x, w, u = f64("x", "n", 3), f64("w", 3, 2), f64("u", "n", 2)
    y = x @ w
    a, b, c = rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), rng.normal(size=(4, 2))
    pulled_x, pulled_w = sg.vjp(y, [x, w], u)
    np.testing.assert_allclose(pulled_x.eval({w: b, u: c}), c @ b.T, rtol=1e-12)
    np.testing.assert_allclose(pulled_w.eval({x: a, u: c}), a.T @ c, rtol=1e-12)
    # one output an ancestor of the other, and one twice
    total = sg.vjp([y, y**2, y], x, [u, u, u])
    np.testing.assert_allclose(
        total.eval({x: a, w: b, u: c}), (2 * c + 2 * (a @ b) * c) @ b.T, rtol=1e-12
    )


def test_vjp_gives_zeros_where_nothing_depends():
    x, z = f64("x", 3), f64("z", "m")
    assert sg.vjp(x * 2.0, z, np.ones(3)).type is z.type


def test_vjp_errors():
    x = f64("x", 3)
    with pytest.raises(sg.SymgraphValueError, match="as many cotangents"):
        sg.vjp([x * 2.0], x, [np.ones(3), np.ones(3)])
    with pytest.raises(sg.ShapeError, match="cotangent"):
        sg.vjp(x * 2.0, x, np.ones((3, 1)))
    with pytest.raises(sg.GradientError):
        sg.vjp(sg.argmax(x), x, 1.0)

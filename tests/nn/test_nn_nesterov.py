"""Nesterov's rule against its three forms, written out in NumPy; and what it costs."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

STEPS = 60
RNG = np.random.default_rng(5)
MATRIX = RNG.normal(size=(7, 4))
TARGET = RNG.normal(size=7)
START = RNG.normal(size=4)


def gradient(p):
    """Of Σ log cosh(M p - t)."""
    return MATRIX.T @ np.tanh(MATRIX @ p - TARGET)


def symbolic_loss(p):
    z = sg.dot(sg.constant(MATRIX), p) - sg.constant(TARGET)
    return sg.sum(sg.log(sg.cosh(z)))


def sutskever(rates, momenta):
    """All θ and all look-ahead points θ + m v; ``momenta`` has one entry more than steps."""
    theta, v = START.copy(), np.zeros_like(START)
    thetas, points = [theta], [theta]
    for t, rate in enumerate(rates):
        v = momenta[t] * v - rate * gradient(theta + momenta[t] * v)
        theta = theta + v
        thetas.append(theta)
        points.append(theta + momenta[t + 1] * v)
    return np.array(thetas), np.array(points)


def nesterov_1983(rates, momenta):
    """All x of the form without a velocity."""
    previous, x = START.copy(), START.copy()
    xs = [x]
    for t, rate in enumerate(rates):
        y = x + momenta[t] * (x - previous)
        previous, x = x, y - rate * gradient(y)
        xs.append(x)
    return np.array(xs)


def run(learning_rate, momentum, *, before_step=None, rule=nn.nesterov):
    """The stored points and the iterates of the symbolic rule, at the start and after each step."""
    p = sg.shared(START, "p")
    updates = rule(symbolic_loss(p), [p], learning_rate, momentum)
    step = sg.compile([], None, updates=updates, backend="numpy")
    theta = sg.compile([], nn.iterate(updates)[p], backend="numpy")
    points, thetas = [p.get_value()], [theta()]
    for t in range(STEPS):
        if before_step is not None:
            before_step(t)
        step()
        points.append(p.get_value())
        thetas.append(theta())
    return np.array(thetas), np.array(points)


def check(found, rates, momenta):
    thetas, points = sutskever(rates, momenta)
    np.testing.assert_allclose(nesterov_1983(rates, momenta), thetas, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[0], thetas, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1], points, rtol=0, atol=1e-12)


SCHEDULES = {
    "constant": (lambda t: 0.02, lambda t: 0.9),
    "rising momentum": (lambda t: 0.02, lambda t: 0.95 - 0.45 * 0.9**t),
    "falling rate": (lambda t: 0.05 / (1 + t / 10), lambda t: 0.9),
    "both": (lambda t: 0.03 * 0.97**t, lambda t: 1 - 3 / (t + 6)),
    "alternating": (lambda t: 0.02 + 0.01 * (t % 2), lambda t: 0.5 + 0.2 * (t % 3)),
    "library": (nn.schedules.cosine(0.05, 0.001, 50), nn.schedules.rising_momentum(0.95, every=7)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_give_the_three_forms(name):
    rate, momentum = SCHEDULES[name]
    rates = [rate(t) for t in range(STEPS)]
    momenta = [momentum(t) for t in range(STEPS + 1)]
    check(run(rate, momentum), rates, momenta)


def test_numbers_give_the_three_forms():
    check(run(0.02, 0.9), [0.02] * STEPS, [0.9] * (STEPS + 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_momentum_and_a_rate_set_between_calls_stay_exact(dtype):
    rates = (0.05 / (1 + np.arange(STEPS) / 20)).astype(dtype)
    # The value at call t is the momentum of that call's jump, m[t + 1].
    momenta = (0.95 - 0.45 * 0.9 ** np.arange(STEPS + 1)).astype(dtype)
    rate = sg.shared(rates[0])
    momentum = sg.shared(momenta[0])

    def set_both(t):
        rate.set_value(rates[t])
        momentum.set_value(momenta[t + 1])

    check(run(rate, momentum, before_step=set_both), rates.astype(float), momenta.astype(float))


def test_symbolic_scalars_stay_exact():
    p = sg.shared(START)
    rate, momentum = sg.scalar("rate", "float64"), sg.scalar("momentum", "float64")
    updates = nn.nesterov(symbolic_loss(p), p, rate * 2, momentum / 2)
    step = sg.compile([rate, momentum], None, updates=updates, backend="numpy")
    theta = sg.compile([], nn.iterate(updates)[p], backend="numpy")
    rates, momenta = 0.01 + 0.01 * RNG.random(STEPS), RNG.random(STEPS + 1)
    thetas, points = sutskever(rates, momenta)
    for t in range(STEPS):
        step(rates[t] / 2, momenta[t + 1] * 2)
        np.testing.assert_allclose(theta(), thetas[t + 1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(p.get_value(), points[t + 1], rtol=0, atol=1e-12)


def test_one_momentum_for_both_places_would_drift():
    """The defect of the well-known implementations is large enough for these tests to see."""
    _, exact = sutskever([0.02] * STEPS, [0.95 - 0.45 * 0.9**t for t in range(STEPS + 1)])
    p, v = START.copy(), np.zeros_like(START)
    worst = 0.0
    for t in range(STEPS):
        m, g = 0.95 - 0.45 * 0.9**t, gradient(p)
        v = m * v - 0.02 * g
        p = p + m * v - 0.02 * g
        worst = max(worst, abs(p - exact[t + 1]).max())
    assert worst > 1e-3


def test_apply_nesterov_on_sgd_is_nesterov():
    def modified(loss, params, rate, momentum):
        return nn.apply_nesterov(nn.sgd(loss, params, rate), momentum=momentum)

    rate, momentum = SCHEDULES["both"]
    found = run(rate, momentum, rule=modified)
    check(found, [rate(t) for t in range(STEPS)], [momentum(t) for t in range(STEPS + 1)])


def test_apply_nesterov_takes_the_updates_of_any_dict():
    p = sg.shared(START)
    plain = {p: p - 0.02 * sg.grad(symbolic_loss(p), p)}
    updates = nn.apply_nesterov(plain, [p], 0.9)
    step = sg.compile([], None, updates=updates, backend="numpy")
    for _ in range(STEPS):
        step()
    _, points = sutskever([0.02] * STEPS, [0.9] * (STEPS + 1))
    np.testing.assert_allclose(p.get_value(), points[-1], rtol=0, atol=1e-12)


def test_apply_nesterov_on_another_rule():
    """With u the inner rule's proposal: v' = m v + (u - p), p' = u + m' v'."""
    p = sg.shared(START)
    momentum = SCHEDULES["both"][1]
    updates = nn.apply_nesterov(nn.rmsprop(symbolic_loss(p), p, 0.01), momentum=momentum)
    step = sg.compile([], None, updates=updates, backend="numpy")
    q, v, a = START.copy(), np.zeros_like(START), np.zeros_like(START)
    for t in range(STEPS):
        g = gradient(q)
        a = 0.9 * a + 0.1 * g * g
        u = q - 0.01 * g / np.sqrt(a + 1e-6)
        v = momentum(t) * v + (u - q)
        q = u + momentum(t + 1) * v
        step()
        np.testing.assert_allclose(p.get_value(), q, rtol=0, atol=1e-9)


def test_a_proposal_changed_by_the_user_is_respected():
    p = sg.shared(START)
    inner = nn.sgd(symbolic_loss(p), p, 0.02)
    inner[p] = sg.clip(inner[p], -0.5, 0.5)
    step = sg.compile([], None, updates=nn.apply_momentum(inner, momentum=0.5), backend="numpy")
    q, v = START.copy(), np.zeros_like(START)
    for _ in range(10):
        u = np.clip(q - 0.02 * gradient(q), -0.5, 0.5)
        v = 0.5 * v + (u - q)
        q = q + v
        step()
    np.testing.assert_allclose(p.get_value(), q, rtol=0, atol=1e-12)


def test_iterate_can_be_put_in_the_parameters_place():
    p = sg.shared(START)
    loss = symbolic_loss(p)
    updates = nn.nesterov(loss, [p], 0.02, 0.9)
    step = sg.compile([], loss, updates=updates, backend="numpy")
    for _ in range(5):
        step()
    at_theta = sg.compile([], sg.substitute(loss, nn.iterate(updates)), backend="numpy")
    theta = sutskever([0.02] * 5, [0.9] * 6)[0][-1]
    expected = np.log(np.cosh(MATRIX @ theta - TARGET)).sum()
    np.testing.assert_allclose(at_theta(), expected, rtol=1e-12)


def test_float32_parameters_follow_the_rule_without_cancellation():
    p = sg.shared(START.astype("float32") + np.float32(1000))
    updates = nn.nesterov([sg.constant(np.full(4, 1e-3, "float32"))], [p], 0.1, 0.9)
    velocity = next(v for (kind, _), v in updates.slots.items() if kind == "velocity")
    sg.compile([], None, updates=updates, backend="numpy")()
    # Subtracting two parameters near 1000 would give a multiple of 6e-5.
    np.testing.assert_allclose(velocity.get_value(), -1e-4, rtol=1e-6)


CELLS = {"tanh": nn.RNN, "LSTM": nn.LSTM}


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
@pytest.mark.parametrize("cell", CELLS)
def test_the_rule_adds_no_loop(cell, n_layers):
    layer = CELLS[cell]
    x = sg.tensor("x", ("T", "B", 3))
    layers = [
        nn.Bidirectional(
            layer(3 if i == 0 else 8, 4, rng=i), layer(3 if i == 0 else 8, 4, rng=9 + i)
        )
        for i in range(n_layers)
    ]
    net = nn.Sequential(*layers)
    loss = sg.mean(sg.square(net(x)))
    counts = {}
    for name, updates in {
        "sgd": nn.sgd(loss, net.params, 0.1),
        "nesterov": nn.nesterov(loss, net.params, 0.1, lambda t: 0.9 - 0.4 * 0.9**t),
    }.items():
        report = sg.compile([x], loss, updates=updates, backend="numpy").report
        counts[name] = (report.bodies_built, report.bodies)
        assert not report.repeated_bodies
    assert counts["nesterov"] == counts["sgd"] == (4 * n_layers, 4 * n_layers)

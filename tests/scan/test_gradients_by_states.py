"""Gradients by the states of a loop are those by the values of an unrolled one."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

BACKENDS = ["native", "numpy"]
X = np.random.default_rng(0).normal(size=(6, 3))
W = sg.shared(np.random.default_rng(1).normal(size=(3, 3)), "W")


def sequence(n: int) -> tuple[sg.Variable, np.ndarray]:
    return sg.tensor("x", (None, 3), "float64"), X[:n]


def cell(x: sg.Variable, h: sg.Variable) -> sg.Variable:
    return sg.tanh(x + sg.dot(h, W))


def unrolled(x: sg.Variable, n: int) -> list[sg.Variable]:
    states = [sg.zeros(3, dtype="float64")]
    for t in range(n):
        states.append(cell(x[t], states[-1]))
    return states[1:]


def value(v: sg.Variable, inputs: list[sg.Variable], arrays: list, backend: str) -> np.ndarray:
    return sg.compile(inputs, v, backend=backend, unused="ignore")(*arrays)


def weights(n: int) -> np.ndarray:
    return np.arange(1.0, 3 * n + 1).reshape(n, 3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 2, 6])
@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 2}])
def test_they_count_the_later_steps(n: int, backend: str, options: dict) -> None:
    x, array = sequence(n)
    states = sg.scan(cell, [x], [sg.zeros(3, dtype="float64")], **options)
    loss = (states * weights(n)).sum() + (states[-1] ** 2).sum()
    steps = unrolled(x, n)
    same = (sg.stack(steps) * weights(n)).sum() + (steps[-1] ** 2).sum()
    expected = value(sg.stack(sg.grad(same, steps)), [x], [array], backend)
    np.testing.assert_allclose(
        value(sg.grad(loss, states), [x], [array], backend), expected, rtol=1e-12
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_of_no_steps_has_no_rows(backend: str) -> None:
    x, array = sequence(0)
    states = sg.scan(cell, [x], [sg.zeros(3, dtype="float64")])
    by_states = sg.grad((states**2).sum(), states)
    assert value(by_states, [x], [array], backend).shape == (0, 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_they_count_other_states(backend: str) -> None:
    x, array = sequence(5)
    zero = sg.zeros(3, dtype="float64")

    def step(x, a, b):
        return cell(x, b), sg.sin(a) * b + x

    a, b = sg.scan(step, [x], [zero, zero])
    pairs = [(zero, zero)]
    for t in range(5):
        pairs.append(step(x[t], *pairs[-1]))
    # By a, which the loss itself is not made of.
    expected = sg.stack(sg.grad((pairs[-1][1] ** 2).sum(), [p[0] for p in pairs[1:-1]]))
    got = sg.grad((b[-1] ** 2).sum(), a)
    result = value(got, [x], [array], backend)
    np.testing.assert_allclose(result[:-1], value(expected, [x], [array], backend), rtol=1e-12)
    np.testing.assert_array_equal(result[-1], 0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_older_taps_and_an_end_by_condition(backend: str) -> None:
    x, array = sequence(6)
    first = np.ones((3, 3))

    def step(x, old, new):
        h = sg.tanh(x + sg.dot(new, W)) + 0.5 * sg.sin(old)
        return h, sg.until(sg.abs(x).sum() < 0.0)

    states = sg.scan(step, [x], [{"initial": first, "taps": [-3, -1]}])
    steps = [sg.constant(row) for row in first]
    for t in range(6):
        steps.append(step(x[t], steps[-3], steps[-1])[0])
    expected = sg.stack(sg.grad((steps[-1] ** 2).sum(), steps[3:]))
    got = sg.grad((states[-1] ** 2).sum(), states)
    np.testing.assert_allclose(
        value(got, [x], [array], backend), value(expected, [x], [array], backend), rtol=1e-12
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_the_states_and_the_stopped_states(backend: str) -> None:
    x, array = sequence(5)
    states = sg.scan(cell, [x], [sg.zeros(3, dtype="float64")])
    loss = (states[-1] ** 2).sum() + states.sum()
    whole, row, turned, outside = (
        value(sg.grad(loss, wrt, stop=stop), [x], [array], backend)
        for wrt, stop in ((states, []), (states[1], []), (states[::-1], []), (states, [states]))
    )
    np.testing.assert_allclose(row, whole[1])
    np.testing.assert_allclose(turned, whole[::-1])
    last = 1.0 + 2.0 * value(states[-1], [x], [array], backend)
    np.testing.assert_allclose(outside, np.concatenate([np.ones((4, 3)), [last]]))
    np.testing.assert_allclose(whole[-1], last)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_truncated_gradient_goes_back_as_far(backend: str) -> None:
    x, array = sequence(6)
    zero = sg.zeros(3, dtype="float64")
    states, all_the_way = (sg.scan(cell, [x], [zero], truncate_gradient=n) for n in (2, None))
    short, whole = (
        value(sg.grad((h[-1] ** 2).sum(), h), [x], [array], backend) for h in (states, all_the_way)
    )
    np.testing.assert_allclose(short[3:], whole[3:])
    np.testing.assert_array_equal(short[:3], 0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_jacobians_and_second_derivatives(backend: str) -> None:
    x, array = sequence(4)
    states = sg.scan(cell, [x], [sg.zeros(3, dtype="float64")])
    steps = unrolled(x, 4)
    pairs = [
        (sg.jacobian(states[-1], states)[:, 0], sg.jacobian(steps[-1], steps[0])),
        (sg.vjp(states[-1], states, np.ones(3))[1], sg.vjp(steps[-1], steps[1], np.ones(3))),
        (
            sg.jvp(states[-1], states, np.eye(4, 3)),
            sg.jvp(steps[-1], steps, list(np.eye(4, 3))),
        ),
        (
            sg.grad((sg.grad((states**2).sum(), states) ** 2).sum(), x),
            sg.grad((sg.stack(sg.grad((sg.stack(steps) ** 2).sum(), steps)) ** 2).sum(), x),
        ),
    ]  # fmt: skip
    for got, expected in pairs:
        np.testing.assert_allclose(
            value(got, [x], [array], backend), value(expected, [x], [array], backend), rtol=1e-10
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_comes_from_outside_is_what_the_loop_goes_on_from(backend: str) -> None:
    x, array = sequence(5)
    states = sg.scan(cell, [x], [sg.zeros(3, dtype="float64")])
    loss = (states[-1] ** 2).sum() + states.sum()
    outside = sg.grad(loss, states, stop=[states])
    got, expected = sg.grad(None, W, known_grads={states: outside}), sg.grad(loss, W)
    np.testing.assert_allclose(
        value(got, [x], [array], backend), value(expected, [x], [array], backend), rtol=1e-12
    )
    assert sg.grad(loss, states, known_grads={states: outside}) is outside


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_inner", [0, 1, 3])
def test_they_are_had_inside_of_a_loop(n_inner: int, backend: str) -> None:
    x = sg.tensor("x", (None, None), "float64")
    array = np.random.default_rng(0).normal(size=(4, n_inner))

    def by_states(row):
        states = sg.scan(lambda x, h: sg.sin(x + 2.0 * h), [row], [sg.zeros((), dtype="float64")])
        return sg.grad((states**2).sum(), states)

    got = value(sg.map(by_states, [x]), [x], [array], backend)
    row = sg.tensor("row", (None,), "float64")
    rows = [value(by_states(row), [row], [r], "numpy") for r in array]
    np.testing.assert_allclose(got, np.reshape(rows, array.shape), rtol=1e-12)


def test_the_gradient_loop_is_that_of_the_parameters() -> None:
    x, _ = sequence(4)
    states = sg.scan(cell, [x], [sg.zeros(3, dtype="float64")])
    loss = (states[-1] ** 2).sum()
    for wrt in ([W], [states], [states, W]):
        assert sg.compile([x], sg.grad(loss, wrt)).report.bodies == 2


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_the_outputs_of_recurrent_layers(layer) -> None:
    x = sg.tensor("x", (5, 2, 3), "float64")
    array = np.random.default_rng(0).normal(size=(5, 2, 3))
    net = layer(3, 4, rng=0, dtype="float64")
    outputs, state = net(x, return_state=True)
    last = state[0] if isinstance(state, tuple) else state
    by_outputs = sg.grad((last**2).sum(), outputs)
    explanation = sg.explain_grad((last**2).sum(), outputs)
    assert explanation.connected
    steps, state = [], net.cell.initial_state(2)
    for t in range(5):
        output, state = net.cell.step(x[t], state)
        steps.append(output)
    expected = sg.stack(sg.grad((steps[-1] ** 2).sum(), steps))
    np.testing.assert_allclose(by_outputs.eval({x: array}), expected.eval({x: array}), rtol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [0, 1, 4])
def test_of_several_symbols_for_one_variable(n, backend):
    """What a loop does not change comes in twice, and once more when it has been substituted."""

    def loop(w, x):
        def step(x, h, a, b, c):
            return sg.tanh(h * a + x * b * c)

        u = sg.tensor("u", (3,), "float64")
        states = sg.scan(step, x, sg.zeros(3, dtype="float64"), [w, u, u])
        return sg.substitute(states, {u: w})

    def states(w, x):
        found = [np.zeros(3)]
        for row in x:
            found.append(np.tanh(found[-1] * w + row * w * w))
        return np.array(found[1:]).reshape(-1, 3)

    values = np.array([0.3, -0.7, 1.1]), X[:n]
    w, x = sg.tensor("w", (3,), "float64"), sg.tensor("x", ("T", 3), "float64")
    found = sg.compile([w, x], loop(w, x), backend=backend)(*values)
    np.testing.assert_allclose(found, states(*values), rtol=1e-12)
    sg.testing.check_gradient(loop, *values, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_of_steps_with_arrays_as_long_as_a_number_says(n, backend):
    def loop(x, n):
        def step(x, h, n):
            return sg.sin(h) + x * (sg.ones(n, dtype="float64") * sg.cast(n, "float64")).sum()

        return sg.scan(step, x, sg.constant(0.3, dtype="float64"), n)

    sg.testing.check_gradient(lambda x: loop(x, sg.constant(n)), X[:, 0], backend=backend)
    number, x = sg.scalar("n", "int64"), sg.tensor("x", ("T",), "float64")
    f = sg.compile([number, x], sg.grad(loop(x, number).sum(), x), backend=backend)
    expected = sg.grad(loop(x, sg.constant(n)).sum(), x)
    np.testing.assert_allclose(f(n, X[:, 0]), expected.eval({x: X[:, 0]}), rtol=1e-12)

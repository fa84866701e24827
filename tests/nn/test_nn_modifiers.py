"""Averages, slow weights, several batches a step, rates by name; Lion and AdaBelief."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

START = np.array([0.3, -1.2, 2.0])
MATRIX = np.array([[1.0, 0.2, -0.5], [0.4, -1.0, 0.3], [0.0, 0.7, 1.1], [0.5, 0.5, 0.5]])


def loss_of(p: sg.Variable) -> sg.Variable:
    return sg.sum(sg.log(sg.cosh(sg.dot(MATRIX, p) - 0.5)))


def gradient(p: np.ndarray) -> np.ndarray:
    return MATRIX.T @ np.tanh(MATRIX @ p - 0.5)


def run(make: Callable[[sg.SharedVariable], nn.Updates], steps: int) -> list[np.ndarray]:
    """The parameter after each step."""
    p = sg.shared(START, "p")
    step = sg.compile([], None, updates=make(p))
    path = []
    for _ in range(steps):
        step()
        path.append(p.get_value())
    return path


# --- rules --------------------------------------------------------------------------------------


def lion(steps: int, e: float = 1e-4, b1: float = 0.9, b2: float = 0.99, decay: float = 0.0) -> Any:
    p, a = START.copy(), np.zeros(3)
    for _ in range(steps):
        g = gradient(p)
        p = p - e * (np.sign(b1 * a + (1 - b1) * g) + decay * p)
        a = b2 * a + (1 - b2) * g
    return p


def adabelief(steps: int, e: float = 1e-3, b1: float = 0.9, b2: float = 0.999) -> Any:
    p, a, s, eps = START.copy(), np.zeros(3), np.zeros(3), 1e-16
    for t in range(1, steps + 1):
        g = gradient(p)
        a = b1 * a + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - a) ** 2 + eps
        p = p - e * a / (1 - b1**t) / (np.sqrt(s / (1 - b2**t)) + eps)
    return p


def test_lion_and_adabelief_are_the_papers() -> None:
    for options in ({}, {"e": 0.05, "decay": 0.1}):
        names = {"e": "learning_rate", "decay": "weight_decay"}
        ours = {names[name]: number for name, number in options.items()}
        path = run(lambda p, o=ours: nn.lion(loss_of(p), [p], **o), 30)
        np.testing.assert_allclose(path[-1], lion(30, **options), rtol=1e-12)
    path = run(lambda p: nn.adabelief(loss_of(p), [p], 0.1), 30)
    np.testing.assert_allclose(path[-1], adabelief(30, e=0.1), rtol=1e-10)


def test_lion_and_adabelief_are_those_of_optax() -> None:
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    pairs = [
        (optax.lion(0.05, weight_decay=0.1), lambda p: nn.lion(loss_of(p), [p], 0.05,
                                                               weight_decay=0.1)),
        (optax.adabelief(0.1), lambda p: nn.adabelief(loss_of(p), [p], 0.1)),
    ]  # fmt: skip
    for theirs, ours in pairs:
        p = jax.numpy.asarray(START)
        state = theirs.init(p)
        for _ in range(20):
            moves, state = theirs.update(jax.numpy.asarray(gradient(np.asarray(p))), state, p)
            p = optax.apply_updates(p, moves)
        np.testing.assert_allclose(run(ours, 20)[-1], np.asarray(p), rtol=1e-6)


# --- averages and slow weights ------------------------------------------------------------------


def test_averages_follow_and_training_is_as_it_was() -> None:
    p = sg.shared(START, "p")
    updates = nn.apply_ema(nn.adam(loss_of(p), [p], 0.1), decay=0.8)
    step, average = sg.compile([], None, updates=updates), START
    plain = run(lambda p: nn.adam(loss_of(p), [p], 0.1), 12)
    for expected in plain:
        step()
        average = 0.8 * average + 0.2 * expected
        np.testing.assert_array_equal(p.get_value(), expected)
        np.testing.assert_allclose(nn.iterate(updates)[p].eval(), average, rtol=1e-12)


@pytest.mark.parametrize("every", [1, 3])
def test_slow_weights(every: int) -> None:
    p = sg.shared(START, "p")
    updates = nn.apply_lookahead(nn.sgd(loss_of(p), [p], 0.1), every=every, rate=0.3)
    step, fast, slow = sg.compile([], None, updates=updates), START, START
    for t in range(1, 11):
        step()
        fast = fast - 0.1 * gradient(fast)
        if t % every == 0:
            slow = slow + 0.3 * (fast - slow)
            fast = slow
        np.testing.assert_allclose(p.get_value(), fast, rtol=1e-12)
        np.testing.assert_allclose(nn.iterate(updates)[p].eval(), slow, rtol=1e-12)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_the_other_point_follows_what_changes_later(backend: str) -> None:
    """Rates by name keep θ exact, and averages are of where the parameters go in the end."""

    def after(make: Callable[[sg.SharedVariable], nn.Updates]) -> tuple[Any, Any, nn.Updates]:
        p = sg.shared(START, "p")
        updates = make(p)
        step = sg.compile([], None, updates=updates, backend=backend)
        for _ in range(7):
            step()
        return p.get_value(), nn.iterate(updates)[p].eval(), updates

    slow, point, _ = after(lambda p: nn.nesterov(loss_of(p), [p], 0.02, 0.8))
    rated = after(lambda p: nn.apply_rates(nn.nesterov(loss_of(p), [p], 0.1, 0.8), {"p": 0.2}))
    np.testing.assert_allclose(rated[0], slow, rtol=1e-12)
    np.testing.assert_allclose(rated[1], point, rtol=1e-12)
    still = after(lambda p: nn.apply_rates(nn.nesterov(loss_of(p), [p], 0.1, 0.8), {"p": 0.0}))
    np.testing.assert_array_equal(still[:2], [START, START])

    path, average = run(lambda p: nn.sgd(loss_of(p), [p], 0.02), 7), START
    for value in path:
        average = 0.8 * average + 0.2 * value
    for make in (
        lambda u: nn.apply_rates(nn.apply_ema(u, 0.8), {"p": 0.2}),
        lambda u: nn.apply_ema(nn.apply_rates(u, {"p": 0.2}), 0.8),
    ):
        found = after(lambda p, make=make: make(nn.sgd(loss_of(p), [p], 0.1)))
        np.testing.assert_allclose(found[0], path[-1], rtol=1e-12)
        np.testing.assert_allclose(found[1], average, rtol=1e-12)

    path, average = run(lambda p: nn.nesterov(loss_of(p), [p], 0.1, 0.8), 7), START
    for value in path:
        average = 0.8 * average + 0.2 * value
    jumping = after(
        lambda p: nn.apply_nesterov(nn.apply_ema(nn.sgd(loss_of(p), [p], 0.1), 0.8), momentum=0.8)
    )
    (slot,) = [v for (kind, _), v in jumping[2].slots.items() if kind == "average"]
    np.testing.assert_allclose(slot.get_value(), average, rtol=1e-12)
    _, point, _ = after(lambda p: nn.nesterov(loss_of(p), [p], 0.1, 0.8))
    np.testing.assert_allclose(jumping[1], point, rtol=1e-12)


def test_numbers_of_numpy_leave_float32_as_it_is() -> None:
    half, w = np.float64(0.5), sg.shared(np.ones(2, "float32"), "w")
    loss = sg.sum(w * w)
    plain = nn.sgd(loss, [w], half)
    for updates in (
        nn.adagrad(loss, [w], epsilon=half),
        nn.rmsprop(loss, [w], rho=half, epsilon=half),
        nn.adadelta(loss, [w], rho=half, epsilon=half),
        nn.adam(loss, [w], beta1=half, beta2=half, epsilon=half),
        nn.adamw(loss, [w], weight_decay=half),
        nn.adamax(loss, [w], beta1=half, beta2=half, epsilon=half),
        nn.adabelief(loss, [w], beta1=half, beta2=half, epsilon=half),
        nn.lion(loss, [w], beta1=half, beta2=half, weight_decay=half),
        nn.apply_momentum(plain, momentum=half),
        nn.apply_ema(plain, half),
        nn.apply_lookahead(plain, 2, half),
        nn.apply_rates(plain, {"w": half}),
        nn.sgd(nn.weight_decay([sg.grad(loss, w)], [w], {"w": half}), [w], half),
    ):
        sg.compile([], None, updates=updates)()
        assert w.get_value().dtype == "float32"


def test_modifiers_add_no_loop() -> None:
    x, net = sg.tensor("x", ("T", "B", 3)), nn.LSTM(3, 4)
    loss = sg.mean(net(x) ** 2)
    plain = nn.nesterov(loss, net.params, 0.1)
    modified = nn.apply_lookahead(nn.apply_ema(plain))
    several = nn.accumulate(nn.nesterov, loss, net.params, 4, learning_rate=0.1)
    loops = {sg.compile([x], loss, updates=u).report.loops for u in (plain, modified, several)}
    assert loops == {2}


# --- several batches a step ---------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("every", [1, 4])
def test_the_step_of_several_batches_is_that_of_all_together(every: int, backend: str) -> None:
    rng = np.random.default_rng(0)
    batches = rng.normal(size=(3 * every, 5, 3))
    x = sg.matrix("x", "float64")

    def train(rows: np.ndarray, make: Callable[..., nn.Updates]) -> np.ndarray:
        p = sg.shared(START, "p")
        updates = make(sg.mean((x @ p - 1) ** 2), [p])
        step = sg.compile([x], None, updates=updates, backend=backend)
        for batch in rows:
            step(batch)
        return p.get_value()

    whole = train(batches.reshape(3, 5 * every, 3), lambda c, p: nn.adam(c, p, 0.1))
    parts = train(batches, lambda c, p: nn.accumulate(nn.adam, c, p, every, learning_rate=0.1))
    np.testing.assert_allclose(parts, whole, rtol=1e-10)
    # Between steps nothing moves.
    some = train(batches[: every - 1], lambda c, p: nn.accumulate(nn.adam, c, p, every))
    np.testing.assert_array_equal(some, START)


def test_statistics_follow_each_batch_of_a_step() -> None:
    norm, x = nn.BatchNorm(2, rate=0.5), sg.matrix("x")
    loss = sg.mean(norm(x, training=True) ** 2)
    step = sg.compile(
        [x], None, updates=nn.accumulate(nn.sgd, loss, norm.params, 3, learning_rate=0.1)
    )
    step(np.array([[1, 3], [3, 5]], "float32"))
    np.testing.assert_allclose(norm.mean.variable.get_value(), [1.0, 2.0])
    step(np.array([[1, 3], [3, 5]], "float32"))
    np.testing.assert_allclose(norm.mean.variable.get_value(), [1.5, 3.0])


def test_a_schedule_counts_the_steps_of_the_rule() -> None:
    p = sg.shared(np.float64(0), "p")
    updates = nn.accumulate(
        nn.sgd, p * 1.0, [p], 2, learning_rate=lambda t: sg.where(t < 1, 1.0, 10.0)
    )
    step, path = sg.compile([], None, updates=updates), []
    for _ in range(6):
        step()
        path.append(float(p.get_value()))
    assert path == [0, -1, -1, -11, -11, -21]


def test_state_of_modifiers_is_saved_and_loaded(tmp_path: Path) -> None:
    def make() -> tuple[Any, nn.Updates, Any]:
        net, x = nn.Dense(3, 1, rng=0), sg.matrix("x")
        loss = sg.mean(net(x) ** 2)
        updates = nn.accumulate(nn.nesterov, loss, net.params, 2, learning_rate=0.1)
        updates = nn.apply_lookahead(nn.apply_ema(updates, 0.5), every=3)
        return net, updates, sg.compile([x], loss, updates=updates)

    rows = np.random.default_rng(0).normal(size=(11, 4, 3)).astype("float32")
    net, updates, step = make()
    for batch in rows[:5]:
        step(batch)
    nn.save(net, tmp_path / "net.safetensors", updates=updates)
    other, others, again = make()
    nn.load(other, tmp_path / "net.safetensors", updates=others)
    for batch in rows[5:]:
        assert step(batch) == again(batch)
    for ours, theirs in zip(net.params, other.params, strict=True):
        np.testing.assert_array_equal(ours.get_value(), theirs.get_value())
        np.testing.assert_array_equal(
            nn.iterate(updates)[ours].eval(), nn.iterate(others)[theirs].eval()
        )


# --- rates by name ------------------------------------------------------------------------------


def test_rates_by_name_pattern() -> None:
    net, x = nn.Sequential(nn.Dense(2, 2, rng=0), nn.Dense(2, 1, rng=1)), np.ones((3, 2), "float32")
    loss = sg.mean((net(x) - 1) ** 2)
    before = net.state()
    plain = sg.compile([], None, updates=nn.momentum(loss, net.params, 0.1))
    plain()
    full = {name: value - before[name] for name, value in net.state().items()}
    net.load_state(before)
    rates = {"layers.0.W": 0.0, "layers.0.*": 0.5, "*.b": 3.0}
    sg.compile([], None, updates=nn.apply_rates(nn.momentum(loss, net.params, 0.1), rates))()
    factors = {"layers.0.W": 0.0, "layers.0.b": 0.5, "layers.1.W": 1.0, "layers.1.b": 3.0}
    for name, value in net.state().items():
        np.testing.assert_allclose(value - before[name], factors[name] * full[name], atol=1e-6)


def test_what_does_not_fit_is_an_error() -> None:
    p = sg.shared(START, "p")
    updates = nn.sgd(loss_of(p), [p], 0.1)
    with pytest.raises(sg.SymgraphValueError, match=r"fits 'q\*'.*\n.*\n.*'p'"):
        nn.apply_rates(updates, {"q*": 1.0})
    for rates in ([("p", 1.0)], {1: 1.0}):
        with pytest.raises(sg.SymgraphTypeError, match="patterns"):
            nn.apply_rates(updates, rates)
    with pytest.raises(sg.SymgraphValueError, match="every"):
        nn.accumulate(nn.sgd, loss_of(p), [p], 0, learning_rate=0.1)
    with pytest.raises(sg.SymgraphValueError, match="decay"):
        nn.apply_ema(updates, decay=1.0)
    with pytest.raises(sg.SymgraphValueError, match="every"):
        nn.apply_lookahead(updates, every=0)
    with pytest.raises(sg.SymgraphTypeError, match="no update rule"):
        nn.accumulate(lambda g, p: dict(zip(p, g, strict=True)), loss_of(p), [p], 2)
    with pytest.raises(sg.SymgraphTypeError, match=r"a rule such as nn\.adam"):
        nn.accumulate(nn.adam(loss_of(p), [p]), loss_of(p), [p], 2)  # type: ignore[arg-type]


# --- decay by name --------------------------------------------------------------------------------


def named() -> list[sg.SharedVariable]:
    return [sg.shared(START, name) for name in ("first.W", "first.b", "last.W")]


Rule = Callable[[sg.Variable, list[sg.SharedVariable], Any], Any]
DECAYING: dict[str, Rule] = {
    "adamw": lambda loss, ps, decay: nn.adamw(loss, ps, 0.1, weight_decay=decay),
    "lion": lambda loss, ps, decay: nn.lion(loss, ps, 0.1, weight_decay=decay),
    "weight_decay": lambda loss, ps, decay: nn.sgd(
        nn.weight_decay(sg.grad(loss, ps), ps, decay), ps, 0.1
    ),
}


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("rule", DECAYING)
def test_weights_decay_by_the_first_pattern_that_fits(rule: str, backend: str) -> None:
    """Each parameter goes where it goes with its own decay alone."""
    results: list[list[np.ndarray]] = []
    for decays in ([{"last.*": 0.3, "*.W": 0.2}], [0.2, 0.0, 0.3]):
        parts = [named()] if len(decays) == 1 else [[p] for p in named()]
        values = []
        for params, decay in zip(parts, decays, strict=True):
            loss = sum((loss_of(p) for p in params), sg.constant(np.float64(0)))
            step = sg.compile(
                [], None, updates=DECAYING[rule](loss, params, decay), backend=backend
            )
            for _ in range(5):
                step()
            values += [p.get_value() for p in params]
        results.append(values)
    np.testing.assert_allclose(*results, rtol=1e-12)
    assert np.abs(results[0][0] - results[0][1]).max() > 1e-3


@pytest.mark.parametrize("rule", DECAYING)
def test_decays_that_cannot_be(rule: str) -> None:
    params = named()
    loss = sum((loss_of(p) for p in params), sg.constant(np.float64(0)))
    with pytest.raises(sg.SymgraphValueError, match=r"no parameter's name fits '\*\.V'"):
        DECAYING[rule](loss, params, {"*.W": 0.1, "*.V": 0.1})
    with pytest.raises(sg.SymgraphValueError, match="of at least 0"):
        DECAYING[rule](loss, params, {"*.W": -0.1})
    with pytest.raises(sg.SymgraphValueError, match="of at least 0"):
        DECAYING[rule](loss, params, -0.1)

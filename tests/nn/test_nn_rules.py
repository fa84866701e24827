"""Update rules against loops in NumPy written from the papers, and against PyTorch's results."""

from __future__ import annotations

import math

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

STEPS = 25


def fill(*shape, phase):
    """Numbers that look random and are the same everywhere."""
    return 0.8 * np.sin(np.arange(math.prod(shape)) * 1.3 + phase).reshape(shape)


START, MATRIX, TARGET = fill(3, phase=0.0), fill(5, 3, phase=1.0), fill(5, phase=2.0)


def gradient(p, t=0):
    return MATRIX.T @ np.tanh(MATRIX @ p - TARGET)


def symbolic_loss(p):
    z = sg.dot(MATRIX.astype(p.dtype), p) - TARGET.astype(p.dtype)
    return sg.sum(sg.log(sg.cosh(z)))


def run(rule, steps, *args, **kwargs):
    p = sg.shared(START, "p")
    step = sg.compile([], None, updates=rule(symbolic_loss(p), [p], *args, **kwargs))
    for _ in range(steps):
        step()
    return p.get_value()


# --- NumPy, one parameter: (p, g, t, state) -> p ------------------------------------------------


def sgd(p, g, t, s, e=0.1):
    return p - e * g


def momentum(p, g, t, s, e=0.1, m=0.9):
    s["v"] = m * s.get("v", 0) - e * g
    return p + s["v"]


def adagrad(p, g, t, s, e=1.0, eps=1e-6):
    s["a"] = s.get("a", 0) + g**2
    return p - e * g / np.sqrt(s["a"] + eps)


def rmsprop(p, g, t, s, e=1.0, rho=0.9, eps=1e-6):
    s["a"] = rho * s.get("a", 0) + (1 - rho) * g**2
    return p - e * g / np.sqrt(s["a"] + eps)


def adadelta(p, g, t, s, e=1.0, rho=0.95, eps=1e-6):
    s["a"] = rho * s.get("a", 0) + (1 - rho) * g**2
    d = g * np.sqrt(s.get("b", 0) + eps) / np.sqrt(s["a"] + eps)
    s["b"] = rho * s.get("b", 0) + (1 - rho) * d**2
    return p - e * d


def adam(p, g, t, s, e=0.001, b1=0.9, b2=0.999, eps=1e-8, decay=0.0, largest=False):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    s["u"] = np.maximum(s.get("u", 0), s["v"]) if largest else s["v"]
    a = e * np.sqrt(1 - b2 ** (t + 1)) / (1 - b1 ** (t + 1))
    return p - a * s["m"] / (np.sqrt(s["u"]) + eps) - e * decay * p


def adamw(p, g, t, s):
    return adam(p, g, t, s, decay=0.01)


def amsgrad(p, g, t, s):
    return adam(p, g, t, s, largest=True)


def adamax(p, g, t, s, e=0.002, b1=0.9, b2=0.999, eps=1e-8):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["u"] = np.maximum(b2 * s.get("u", 0), np.abs(g))
    return p - e / (1 - b1 ** (t + 1)) * s["m"] / (s["u"] + eps)


LOOPS = {
    "sgd": (sgd, (0.1,)),
    "momentum": (momentum, (0.1,)),
    **{
        rule.__name__: (rule, ())
        for rule in (adagrad, rmsprop, adadelta, adam, adamw, adamax, amsgrad)
    },
}


@pytest.mark.parametrize("name", LOOPS)
def test_rule_follows_its_formula_with_lasagnes_defaults(name):
    loop, arguments = LOOPS[name]
    p, state = START.copy(), {}
    for t in range(STEPS):
        p = loop(p, gradient(p), t, state)
    np.testing.assert_allclose(run(getattr(nn, name), STEPS, *arguments), p, rtol=1e-10)


@pytest.mark.parametrize("name", LOOPS)
def test_rule_on_gradients_that_change_sign(name):
    """Where a running maximum and a running mean part ways."""
    loop, arguments = LOOPS[name]
    scale = sg.scalar("scale", "float64")
    p = sg.shared(START)
    rule = getattr(nn, name)
    step = sg.compile([scale], None, updates=rule([scale * p], [p], *arguments))
    q, state = START.copy(), {}
    for t in range(STEPS):
        factor = (-1) ** t * 10.0 / (1 + t * t)
        step(factor)
        q = loop(q, factor * q, t, state)
    np.testing.assert_allclose(p.get_value(), q, rtol=1e-10)


# PyTorch 2 in float64: ten steps at rate 0.1 (Adadelta: 1), epsilon 1e-16 (Adadelta: 1e-6).
PYTORCH = {
    "sgd": [-0.05335141139, 0.277105036934, 0.201601956961],
    "momentum": [-0.0953726148698, -0.206363152235, -0.0150311881187],
    "nesterov": [-0.0808562523091, -0.0333293049966, 0.0630251522182],
    "adagrad": [-0.258095092586, 0.382465443844, 0.0151781512585],
    "rmsprop": [-0.238295935608, 0.199129618579, -0.045379949185],
    "adadelta": [-0.0407705429833, 0.725932586383, 0.366868857029],
    "adam": [-0.403771078843, 0.0388786899576, -0.328372472208],
    "adamw": [-0.392502684459, 0.0321611494155, -0.317459417006],
    "adamax": [-0.391503659239, 0.166924391463, -0.226429528489],
    "amsgrad": [-0.403771078843, 0.0388786899576, -0.328372472208],
}


@pytest.mark.parametrize("name", PYTORCH)
def test_rule_agrees_with_pytorch_where_conventions_agree(name):
    options = {} if name in ("sgd", "momentum", "nesterov") else {"epsilon": 1e-16}
    if name == "adadelta":
        options = {"epsilon": 1e-6}
    if name == "adamw":
        options["weight_decay"] = 0.05
    rate = 1.0 if name == "adadelta" else 0.1
    found = run(getattr(nn, name), 10, rate, **options)
    np.testing.assert_allclose(found, PYTORCH[name], rtol=1e-8)


# --- what all rules share -----------------------------------------------------------------------

RULES = [
    nn.sgd, nn.momentum, nn.nesterov, nn.adagrad, nn.rmsprop, nn.adadelta, nn.adam, nn.adamw,
    nn.adamax, nn.amsgrad,
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_state_has_the_parameters_dtype_and_name(rule, dtype):
    p = sg.shared(START.astype(dtype), "weights")
    updates = rule(symbolic_loss(p), [p], 0.01)
    for (_, param), slot in updates.slots.items():
        if param is p:
            assert slot.dtype == p.dtype
            assert slot.name.startswith("weights.")
    for variable, value in updates.items():
        assert value.dtype == variable.dtype
    sg.compile([], None, updates=updates)()
    assert p.get_value().dtype == dtype


@pytest.mark.parametrize("rule", RULES)
def test_rate_may_be_a_schedule_or_a_variable(rule):
    rates = [0.05 * 0.9**t for t in range(8)]
    by_number = sg.shared(START)
    scalar = sg.shared(np.float64(0.0))
    steps = []
    for p, rate in ((by_number, scalar), (sg.shared(START), lambda t: 0.05 * 0.9**t)):
        steps.append((p, sg.compile([], None, updates=rule(symbolic_loss(p), [p], rate))))
    for value in rates:
        scalar.set_value(value)
        for _, step in steps:
            step()
    np.testing.assert_allclose(steps[0][0].get_value(), steps[1][0].get_value(), rtol=1e-12)
    assert not np.allclose(by_number.get_value(), START)


def test_a_schedule_starts_at_step_zero_and_is_float64():
    p = sg.shared(np.float32(0))
    seen = []

    def schedule(t):
        seen.append(t)
        return 1 / (t + 3)

    updates = nn.sgd([sg.constant(np.float32(-1))], [p], schedule)
    step = sg.compile([], None, updates=updates)
    total = 0.0
    for t in range(4):
        step()
        total += 1 / (t + 3)
    assert seen[0].dtype == np.dtype("int64")
    np.testing.assert_allclose(p.get_value(), total, rtol=1e-6)
    assert updates.count.get_value() == 4


def test_schedules_of_one_rule_share_one_counter():
    p = sg.shared(START)
    updates = nn.nesterov(symbolic_loss(p), p, lambda t: 0.1 / (t + 1), lambda t: 1 - 1 / (t + 2))
    assert sum(kind.startswith("step") for kind, _ in updates.slots) == 1


def test_a_rate_that_is_a_python_function_of_nothing_symbolic():
    p = sg.shared(START)
    by_function = nn.sgd(symbolic_loss(p), p, lambda t: 0.1)
    sg.compile([], None, updates=by_function)()
    np.testing.assert_allclose(p.get_value(), START - 0.1 * gradient(START), rtol=1e-12)


def test_gradients_in_place_of_a_loss_of_several_parameters():
    a, b = sg.shared(START), sg.shared(np.float32(2))
    loss = symbolic_loss(a) * b.astype("float64")
    direct, given = nn.sgd(loss, [a, b], 0.1), nn.sgd(sg.grad(loss, [a, b]), [a, b], 0.1)
    assert dict(direct) == dict(given)


def test_apply_momentum_takes_chosen_parameters():
    a, b = sg.shared(START), sg.shared(START)
    updates = nn.apply_momentum(nn.sgd(symbolic_loss(a) + symbolic_loss(b), [a, b], 0.1), [a], 0.5)
    step = sg.compile([], None, updates=updates)
    for _ in range(6):
        step()
    expected, plain, state = START.copy(), START.copy(), {}
    for t in range(6):
        expected = momentum(expected, gradient(expected), t, state, m=0.5)
        plain = sgd(plain, gradient(plain), t, {})
    np.testing.assert_allclose(a.get_value(), expected, rtol=1e-12)
    np.testing.assert_allclose(b.get_value(), plain, rtol=1e-12)


def test_updates_keep_what_they_remember_when_joined():
    p, counter = sg.shared(START), sg.shared(0)
    updates = nn.nesterov(symbolic_loss(p), p, 0.1) | {counter: counter + 1}
    assert set(nn.iterate(updates)) == {p}
    assert counter in updates
    copied = updates.copy()
    del copied[counter]
    assert counter in updates


def test_without_look_ahead_the_iterate_is_the_parameter():
    p = sg.shared(START)
    assert nn.iterate(nn.adam(symbolic_loss(p), p)) == {p: p}


def test_rules_refuse_what_makes_no_sense():
    p, n = sg.shared(START, "p"), sg.shared(np.arange(3), "n")
    x = sg.vector("x", "float64")
    loss = symbolic_loss(p)
    for params, kind, text in [
        ([x], TypeError, "'x'"),
        ([n], TypeError, "'n'"),
        ([START], TypeError, "shared variable"),
        (nn.Dense(2, 2), TypeError, "module.params"),
        ([p, p], ValueError, "twice"),
    ]:
        with pytest.raises(kind, match=text) as caught:
            nn.sgd(loss, params, 0.1)
        assert isinstance(caught.value, sg.SymgraphError)
        assert __file__ in str(caught.value)
    for grads, kind in [
        ([], ValueError), ([loss], ValueError), ([START], TypeError), (START, TypeError),
    ]:  # fmt: skip
        with pytest.raises(kind) as caught:
            nn.sgd(grads, [p], 0.1)
        assert isinstance(caught.value, sg.SymgraphError)
    for rate, kind in [("0.1", TypeError), (p, ValueError), (float("nan"), ValueError)]:
        with pytest.raises(kind, match="learning_rate") as caught:
            nn.sgd(loss, [p], rate)
        assert isinstance(caught.value, sg.SymgraphError)
    with pytest.raises(ValueError, match="momentum"):
        nn.nesterov(loss, [p], 0.1, momentum=1.5)
    with pytest.raises(TypeError, match="updates"):
        nn.iterate({p: p + 1})
    with pytest.raises(ValueError, match="no update of"):
        nn.apply_nesterov(nn.sgd(loss, [p], 0.1), [sg.shared(START)])


NEGATIVE = {
    "rate": lambda loss, p: nn.sgd(loss, p, -0.1),
    "rate of NumPy": lambda loss, p: nn.adam(loss, p, np.float32(-1e-3)),
    "rate in an array": lambda loss, p: nn.rmsprop(loss, p, np.array(-1.0)),
    "shared rate": lambda loss, p: nn.adagrad(loss, p, sg.shared(-0.1)),
    "shared rate of NaN": lambda loss, p: nn.adagrad(loss, p, sg.shared(np.nan)),
    "schedule of a number": lambda loss, p: nn.sgd(loss, p, nn.schedules.constant(-0.1)),
    "own schedule": lambda loss, p: nn.sgd(loss, p, lambda t: -0.1),
    "infinite": lambda loss, p: nn.sgd(loss, p, float("inf")),
    "momentum": lambda loss, p: nn.momentum(loss, p, 0.1, momentum=-0.5),
    "momentum of 1": lambda loss, p: nn.nesterov(loss, p, 0.1, momentum=np.float64(1)),
    "momentum of NumPy": lambda loss, p: nn.nesterov(loss, p, 0.1, momentum=np.float32(1.5)),
    "shared momentum": lambda loss, p: nn.nesterov(loss, p, 0.1, momentum=sg.shared(-0.5)),
    "rho": lambda loss, p: nn.rmsprop(loss, p, rho=-0.1),
    "beta": lambda loss, p: nn.adam(loss, p, beta2=1.0),
    "epsilon": lambda loss, p: nn.adadelta(loss, p, epsilon=-1e-6),
    "epsilon of NaN": lambda loss, p: nn.adamax(loss, p, epsilon=float("nan")),
    "decay": lambda loss, p: nn.adamw(loss, p, weight_decay=-0.01),
    "decay of gradients": lambda loss, p: nn.weight_decay([sg.grad(loss, p)], [p], -0.1),
    "factor": lambda loss, p: nn.schedules.exponential(0.1, -0.5),
    "factor of 0": lambda loss, p: nn.schedules.step_decay(0.1, 0, 10),
    "initial": lambda loss, p: nn.schedules.exponential(-0.1, 0.5),
    "end": lambda loss, p: nn.schedules.linear(0.1, -0.1, 10),
    "start": lambda loss, p: nn.schedules.cosine(float("nan"), 10),
    "steps": lambda loss, p: nn.schedules.warmup(0.1, float("nan")),
}


@pytest.mark.parametrize("name", NEGATIVE)
def test_rates_that_would_climb_are_errors(name):
    p = sg.shared(START)
    with pytest.raises(sg.SymgraphValueError) as caught:
        NEGATIVE[name](symbolic_loss(p), p)
    assert __file__ in str(caught.value)


def test_a_rate_of_zero_rests():
    p = sg.shared(START)
    sg.compile([], None, updates=nn.sgd(symbolic_loss(p), p, 0))()
    np.testing.assert_array_equal(p.get_value(), START)


def test_a_parameter_that_the_loss_does_not_reach_is_an_error():
    p, q = sg.shared(START), sg.shared(START, "elsewhere")
    with pytest.raises(sg.DisconnectedError, match="elsewhere"):
        nn.sgd(symbolic_loss(p), [p, q], 0.1)


# --- gradients ----------------------------------------------------------------------------------


def test_clip_norm_scales_all_gradients_together():
    values = [np.array([3.0, 0.0]), np.array([[0.0], [4.0]])]
    grads = [sg.constant(v) for v in values]
    for limit, factor in [(1.0, 0.2), (5.0, 1.0), (10.0, 1.0), (2.5, 0.5)]:
        clipped = sg.compile([], nn.clip_norm(grads, limit))()
        for found, value in zip(clipped, values, strict=True):
            np.testing.assert_allclose(found, factor * value, rtol=1e-15)
    zero = sg.compile([], nn.clip_norm([sg.zeros(3)], 1.0))()
    np.testing.assert_array_equal(zero[0], np.zeros(3))
    by_variable = sg.compile([], nn.clip_norm(grads, sg.shared(np.float64(2.5))))()
    np.testing.assert_allclose(by_variable[0], [1.5, 0])


def test_clip_norm_keeps_each_dtype():
    a, b = sg.constant(np.float32([3])), sg.constant(np.float64([4]))
    assert [g.dtype for g in nn.clip_norm([a, b], 1.0)] == [a.dtype, b.dtype]


def test_clip_value_and_weight_decay():
    g, p = sg.constant(np.array([-3.0, 0.5, 2.0])), sg.shared(START)
    (clipped,), (decayed,) = nn.clip_value([g], 1.0), nn.weight_decay([g], [p], 0.1)
    np.testing.assert_array_equal(clipped.eval(), [-1, 0.5, 1])
    np.testing.assert_allclose(decayed.eval(), [-3, 0.5, 2] + 0.1 * START)


def test_gradient_functions_refuse_a_loss():
    p = sg.shared(START)
    for call in (
        lambda: nn.clip_norm(symbolic_loss(p), 1.0),
        lambda: nn.clip_value(symbolic_loss(p), 1.0),
        lambda: nn.clip_norm([symbolic_loss(p)], -1.0),
        lambda: nn.weight_decay([symbolic_loss(p)], [], 1.0),
    ):
        with pytest.raises(sg.SymgraphError):
            call()


# --- schedules ----------------------------------------------------------------------------------

S = nn.schedules
SCHEDULES = [
    (S.constant(0.3), [0.3, 0.3, 0.3]),
    (S.step_decay(1.0, 0.5, 2), [1, 1, 0.5, 0.5, 0.25]),
    (S.exponential(2.0, 0.5), [2, 1, 0.5]),
    (S.linear(1.0, 0.0, 4), [1, 0.75, 0.5, 0.25, 0, 0]),
    (S.cosine(1.0, 0.2, 4), [1, 0.2 + 0.4 * (1 + math.cos(math.pi / 4)), 0.6]),
    (S.warmup(0.8, 4), [0.2, 0.4, 0.6, 0.8, 0.8]),
    (S.warmup(S.exponential(1.0, 0.5), 2), [0.5, 0.5, 0.25]),
    (S.rising_momentum(0.9, every=2), [0.5, 0.5, 0.75, 0.75, *[1 - 1 / 6] * 2, 0.875, 0.875, 0.9]),
]


@pytest.mark.parametrize(("schedule", "expected"), SCHEDULES)
def test_schedule_of_numbers_and_of_symbols(schedule, expected):
    t = sg.scalar("t", "int64")
    symbolic = sg.cast(schedule(t), "float64") if not isinstance(schedule(t), float) else None
    for step, value in enumerate(expected):
        np.testing.assert_allclose(schedule(step), value, rtol=1e-15, atol=1e-15)
        if symbolic is not None:
            assert schedule(t).dtype == np.dtype("float64")
            np.testing.assert_allclose(symbolic.eval({t: step}), value, rtol=1e-15, atol=1e-15)


def test_sutskevers_schedule_as_it_is_written_in_the_paper():
    schedule = S.rising_momentum(0.995)
    for t in (0, 1, 249, 250, 999, 1000, 100_000):
        paper = min(1 - 2 ** (-1 - math.log2(t // 250 + 1)), 0.995)
        assert schedule(t) == pytest.approx(paper, rel=1e-15)


def test_schedules_refuse_no_steps():
    for make in (lambda: S.cosine(1, 0), lambda: S.linear(0, 1, -1), lambda: S.warmup(1, None)):
        with pytest.raises(sg.SymgraphValueError):
            make()


def test_cosine_refuses_an_end_and_steps_the_wrong_way_round():
    for end in (0.01, 1, 1.0, 5.0):
        with pytest.raises(sg.SymgraphValueError, match="steps") as caught:
            S.cosine(10.0, 100, end)
        assert __file__ in str(caught.value)
    assert S.cosine(10.0, 1.0, 100)(100) == S.cosine(10.0, end=1.0, steps=100)(500) == 1.0
    assert S.cosine(10.0, 100)(100) == S.cosine(10.0, steps=100)(100) == 0.0

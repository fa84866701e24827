"""`Updates` as a dict: whatever is done to it, it knows its parameters, state and other points."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

A, B = np.array([0.4, -1.2, 0.7]), np.array([1.5, -0.5])


def rate(t):
    return 0.02 + 0.01 * 0.9**t


def schedule(t):
    return 0.9 - 0.4 * 0.9**t


class Two:
    """Two parameters, each with Nesterov's rule of its own."""

    def __init__(self):
        self.a, self.b = sg.shared(A, "a"), sg.shared(B, "b")
        self.loss = sg.sum(sg.log(sg.cosh(2 * self.a))) + sg.sum(self.b**4)
        self.first = nn.nesterov(self.loss, [self.a], rate, schedule)
        self.second = nn.nesterov(self.loss, [self.b], 0.01, 0.8)


def sutskever(start, gradient, rates, momenta):
    """θ and the point where the next gradient is taken, after each step."""
    theta, v = start.copy(), np.zeros_like(start)
    for t, e in enumerate(rates):
        v = momenta[t] * v - e * gradient(theta + momenta[t] * v)
        theta = theta + v
    return theta, theta + momenta[len(rates)] * v


def expected(steps):
    ts = range(steps + 1)
    of_a = sutskever(
        A, lambda x: 2 * np.tanh(2 * x), [rate(t) for t in ts[:-1]], [schedule(t) for t in ts]
    )
    of_b = sutskever(B, lambda x: 4 * x**3, [0.01] * steps, [0.8] * (steps + 1))
    return of_a, of_b


def joined_in_place(two):
    updates = two.first
    updates |= two.second
    return updates


def updated(two):
    made = two.first.copy()
    made.update(two.second)
    return made


def taken_out_and_back(two):
    made = two.first | two.second
    kept = {v: made.pop(v) for v in list(made)}
    assert made.params == []
    assert made.slots == {}
    assert nn.iterate(made) == {}
    for v, expression in kept.items():
        made.setdefault(v, expression)
    return made


JOINS = {
    "or": lambda two: two.first | two.second,
    "in place": joined_in_place,
    "update": updated,
    "of nothing": lambda two: {} | two.first | {} | two.second,
    "copy": lambda two: (two.first | two.second).copy(),
    "copy.copy": lambda two: copy.copy(two.first | two.second),
    "taken out": taken_out_and_back,
    "with a counter": lambda two: {n: n + 1 for n in [sg.shared(0)]} | two.first | two.second,
}


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("join", JOINS)
def test_joined_rules_are_both_whole(join, backend):
    two = Two()
    updates = JOINS[join](two)
    assert isinstance(updates, nn.Updates)
    assert updates.params == [two.a, two.b]
    assert {kind for kind, _ in updates.slots} == {"step", "momentum", "velocity"}
    assert {param for _, param in updates.slots} == {None, two.a, two.b}
    step = sg.compile([], None, updates=updates, backend=backend)
    for _ in range(20):
        step()
    others = nn.iterate(updates)
    points = sg.compile([], [others[two.a], others[two.b]], backend=backend)()
    for param, point, (theta, ahead) in zip((two.a, two.b), points, expected(20), strict=True):
        np.testing.assert_allclose(param.get_value(), ahead, rtol=0, atol=1e-12)
        np.testing.assert_allclose(point, theta, rtol=0, atol=1e-12)


COPIES = {"pickle": lambda x: pickle.loads(pickle.dumps(x)), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("copied", COPIES)
def test_copies_with_variables_of_their_own_are_whole(copied):
    two = Two()
    updates = two.first | two.second
    step = sg.compile([], None, updates=updates)
    for _ in range(7):
        step()
    a, b, other = COPIES[copied]((two.a, two.b, updates))
    assert other.params == [a, b]
    assert {a, b} & set(updates.params) == set()
    assert {kind for kind, _ in other.slots} == {"step", "momentum", "velocity"}
    assert not set(other.slots.values()) & set(updates.slots.values())
    step = sg.compile([], None, updates=other)
    for _ in range(13):
        step()
    points = nn.iterate(other)
    for param, (theta, ahead) in zip((a, b), expected(20), strict=True):
        np.testing.assert_allclose(param.get_value(), ahead, rtol=0, atol=1e-12)
        np.testing.assert_allclose(points[param].eval(), theta, rtol=0, atol=1e-12)
    for param, (_, ahead) in zip((two.a, two.b), expected(7), strict=True):
        np.testing.assert_allclose(param.get_value(), ahead, rtol=0, atol=1e-12)
    with pytest.raises(sg.UpdateError, match="an update rule made"):
        nn.apply_momentum({**other})


def test_a_pickle_holds_the_loss_once():
    params = [sg.shared(A, f"p{i}") for i in range(30)]
    total = sum((sg.sum(sg.tanh(p)) for p in params), start=sg.constant(np.float64(0)))
    for _ in range(50):
        total = sg.tanh(total * 1.01)
    few = len(pickle.dumps(nn.adam(total, params[:3])))
    assert len(pickle.dumps(nn.adam(total, params))) < 6 * few


def test_modifiers_of_joined_rules_move_all_of_them():
    two = Two()
    plain = nn.sgd(two.loss, [two.a], 0.02) | nn.sgd(two.loss, [two.b], 0.01)
    updates = nn.apply_momentum(plain, momentum=0.5)
    assert updates.params == [two.a, two.b]
    step = sg.compile([], None, updates=updates)
    a, b, v, w = A, B, 0 * A, 0 * B
    for _ in range(5):
        step()
        v = 0.5 * v - 0.02 * 2 * np.tanh(2 * a)
        w = 0.5 * w - 0.01 * 4 * b**3
        a, b = a + v, b + w
    np.testing.assert_allclose(two.a.get_value(), a, rtol=1e-12)
    np.testing.assert_allclose(two.b.get_value(), b, rtol=1e-12)


def test_a_modifier_of_some_parameters_forgets_no_others():
    two = Two()
    modified = nn.apply_momentum(two.first | two.second, [two.b], 0.3)
    assert modified.params == [two.a, two.b]
    assert set(nn.iterate(modified)) == {two.a, two.b}


def test_two_rules_for_one_variable_are_an_error():
    two = Two()
    again = nn.sgd(two.loss, [two.b, two.a], 0.5)
    for join in (
        lambda: two.first | again, lambda: again | two.first, lambda: two.first.update(again),
        lambda: joined_in_place(type("Pair", (), {"first": two.first, "second": again})),
    ):  # fmt: skip
        before = list(two.first.items())
        with pytest.raises(sg.UpdateError, match="'a'") as caught:
            join()
        assert __file__ in str(caught.value)
        assert list(two.first.items()) == before
    del again[two.a]
    assert (two.first | again).params == [two.a, two.b]
    assert (two.first | two.first).params == [two.a]


def test_buffers_of_one_loss_are_moved_by_both_rules_alike():
    norm, x = nn.BatchNorm(3), sg.matrix("x")
    loss = sg.mean(norm(x, training=True) ** 2)
    updates = nn.sgd(loss, [norm.gain], 0.1) | nn.adam(loss, [norm.bias])
    assert norm.mean.variable in updates
    assert updates.params == [norm.gain, norm.bias]
    modified = nn.apply_momentum(dict(nn.sgd(loss, norm.params, 0.1)))
    assert modified.params == norm.params
    assert {param for _, param in modified.slots} == set(norm.params)


def test_what_is_taken_out_is_no_parameter_until_it_is_back():
    two = Two()
    updates = two.first | two.second
    kept = updates.pop(two.a)
    assert updates.params == [two.b]
    assert set(nn.iterate(updates)) == {two.b}
    updates[two.a] = kept
    assert updates.params == [two.a, two.b]
    assert nn.iterate(updates) == nn.iterate(two.first | two.second)
    del updates[two.b]
    updates.clear()
    assert updates.params == []
    assert updates.slots == {}


def test_another_update_of_a_parameter_ends_its_look_ahead_and_a_bound_does_not():
    two = Two()
    two.first[two.a] = sg.clip(two.first[two.a], -1, 1)
    point = nn.iterate(two.first)[two.a]
    assert point is not two.a
    two.first[two.a] = two.a * 0.5
    assert nn.iterate(two.first) == {two.a: two.a}
    assert nn.iterate(two.first | {two.a: two.a * 2}) == {two.a: two.a}


@pytest.mark.parametrize("forgetful", [dict, lambda u: {**u}, lambda u: dict(u.items())])
def test_dicts_without_memory_are_refused_where_it_is_needed(forgetful):
    two = Two()
    plain = forgetful(two.first)
    for refused in (
        lambda: nn.iterate(plain),
        lambda: nn.iterate(two.second | plain),
        lambda: nn.apply_momentum(plain),
        lambda: nn.apply_nesterov(two.second | plain, [two.a]),
    ):
        with pytest.raises(sg.SymgraphTypeError, match=r"dict\(a\), \{\*\*a, \*\*b\}") as caught:
            refused()
        assert __file__ in str(caught.value)


def test_a_joined_optimiser_goes_on_exactly_from_a_file_in_any_order(tmp_path):
    def run(two, updates, n):
        step = sg.compile([], two.loss, updates=updates)
        return [float(step()) for _ in range(n)]

    two, other = Two(), Two()
    updates, swapped = two.first | two.second, other.second | other.first
    run(two, updates, 3)
    nn.save([two.a, two.b], tmp_path / "all", updates=updates)
    nn.load([other.a, other.b], tmp_path / "all", updates=swapped)
    assert run(other, swapped, 4) == run(two, updates, 4)
    plain = Two()
    forgotten = dict(plain.first | plain.second)
    nn.save([two.a, two.b], tmp_path / "plain", updates=dict(updates))
    nn.load([plain.a, plain.b], tmp_path / "plain", updates=forgotten)
    assert run(plain, forgotten, 4) == run(two, updates, 4)


def test_counters_of_two_rules_are_not_mistaken_for_each_other(tmp_path):
    def make():
        a, b = sg.shared(A, "a"), sg.shared(B, "b")
        loss = sg.sum(a**2) + sg.sum(b**2)
        return [a, b], nn.adam(loss, [a]), nn.adam(loss, [b])

    params, first, second = make()
    sg.compile([], None, updates=first)()
    nn.save(params, tmp_path / "f", updates=first | second)
    params, first, second = make()
    nn.load(params, tmp_path / "f", updates=second | first)
    assert int(first.count.get_value()) == 1
    assert int(second.count.get_value()) == 0

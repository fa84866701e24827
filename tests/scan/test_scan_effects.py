"""Ops with effects: they happen once in each call, or in each step of the loop they are in."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.op import OPS, Op
from symgraph.core.variable import node
from symgraph.ops.promotion import as_variable

BACKENDS = ["native", "numpy"]
counts: Counter[str] = Counter()


def _evaluate(arrays, label):
    counts[label] += 1
    return np.array(arrays[0])


@pytest.fixture(autouse=True)
def count_op():
    """An identity that counts how often it is computed, by label."""
    Op(
        "test_count",
        lambda inputs, label: inputs[0].type,
        _evaluate,
        lambda result, cotangent: [cotangent],
        params=("label",),
        traits=frozenset({"effect"}),
    )
    counts.clear()
    yield
    del OPS["test_count"]


def count(x, label="it"):
    return node(OPS["test_count"], (as_variable(x, "count"),), (label,))


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def test_once_for_each_call_with_constants_too(backend):
    x = sg.tensor("x", ("n",))
    shape = sg.zeros((2, 3))
    outputs = [count(x + 0.0, "x"), count(2.0, "constant") * x, count(shape, "zeros") + 1.0]
    outputs += [count(x, "twice") + count(x, "twice"), count(sg.zeros(x.shape) + x, "sum")]
    f = sg.compile([x], outputs, backend=backend)
    assert not counts
    for n in (0, 1, 3):
        counts.clear()
        values = f(np.ones(n))
        assert counts == dict.fromkeys(["x", "constant", "zeros", "twice", "sum"], 1)
        np.testing.assert_array_equal(values[1], np.full(n, 2.0))


def test_what_no_result_needs_does_not_happen(backend):
    x = sg.vector("x")
    count(x)
    sg.compile([x], x + 1, backend=backend)([1.0])
    assert not counts


def test_a_parameter_tells_apart_what_becomes_equal(backend):
    x = sg.vector("x")
    f = sg.compile([x], count(x + 0, "a") + count(x, "b"), backend=backend)
    np.testing.assert_array_equal(f([1.0, 2.0]), [2, 4])
    assert counts == {"a": 1, "b": 1}


@pytest.mark.parametrize("n", [0, 1, 5])
def test_once_in_each_step(backend, n):
    x, w = sg.tensor("x", ("T", 2)), sg.tensor("w", (2, 2))
    outside = count(w * 3.0, "outside")
    constant = count(4.0, "constant outside")

    def step(x_t, h):
        fixed = count(w, "fixed")
        product = x_t @ count(w * 2.0, "factor")
        return h + count(x_t, "row") + count(2.0, "constant") * fixed.sum() + product, (
            count(sg.arange(2), "numbers") + constant + count(outside, "of outside").sum()
        )

    h, other = sg.scan(step, x, [sg.zeros(2), None])
    f = sg.compile([x, w], [h, other, outside], backend=backend)
    rows, matrix = np.arange(2.0 * n).reshape(n, 2), np.array([[1, 2], [3, 4.0]])
    states, others, _ = f(rows, matrix)
    inside = ["fixed", "factor", "row", "constant", "numbers", "of outside"]
    assert {k: c for k, c in counts.items() if c} == {
        "outside": 1,
        "constant outside": 1,
        **(dict.fromkeys(inside, n) if n else {}),
    }
    expected = np.cumsum(rows + 2 * matrix.sum() + rows @ matrix * 2, axis=0)
    np.testing.assert_allclose(states, expected)
    np.testing.assert_allclose(others, np.tile(np.arange(2) + 4 + 3 * matrix.sum(), (n, 1)))


def test_in_two_loops_and_in_loops_in_loops(backend):
    x = sg.tensor("x", ("T",))
    alive = []  # nodes of a step that outlive its trace are no less of a step

    def inner(s):
        alive.append(count(3.0, "inner"))
        return s + alive[-1]

    def step(x_t):
        outer = count(2.0, "outer")
        alive.append(outer)
        return x_t * outer + sg.scan(inner, outputs_info=sg.zeros(()), n_steps=2)[-1]

    f = sg.compile([x], [sg.scan(step, x), sg.scan(step, x[1:])], backend=backend)
    first, second = f([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(first, [8, 10, 12])
    np.testing.assert_array_equal(second, [10, 12])
    assert counts == {"inner": 10, "outer": 5}


def test_a_gradient_loop_reads_what_the_loop_has_computed(backend):
    x, w = sg.tensor("x", ("T", 2)), sg.shared(np.ones(2, "float32"), "w")

    def step(x_t, h):
        a = count(x_t * w + h, "state")
        return a * a * count(w, "weight") * count(2.0, "constant")

    h = sg.scan(step, x, sg.zeros(2))
    gradient = sg.grad(h.sum(), w)
    sg.compile([x], [h[-1], gradient], backend=backend)(np.full((3, 2), 0.1))
    assert counts == {"state": 3, "weight": 3, "constant": 3}


OPTIONS = {
    "whole": {},
    "truncated": {"truncate_gradient": 2},
    "until": {},
    "in loops": {},
    "in chunks": {"checkpoint_every": 2},
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_how_often_with_a_gradient(backend, kind):
    x, w = sg.tensor("x", ("T", 2)), sg.shared(np.ones(2, "float32"), "w")

    def step(x_t, h, count=count):
        if kind == "in loops":
            h = sg.scan(lambda s: count(sg.tanh(s), "inner") ** 2 * w, (), h, n_steps=2)[-1]
        a = count(sg.tanh(x_t * w + h), "state")
        new = a * a * count(w, "weight") ** 2
        return (new, sg.until(new.sum() > 100)) if kind == "until" else new

    def gradients(step):
        h = sg.scan(step, x, sg.zeros(2), **OPTIONS[kind])
        first = sg.grad(sg.square(h).sum(), w)
        return [h, first, sg.grad(first.sum(), w)]

    array = np.full((5, 2), 0.1)
    f = sg.compile([x], gradients(step), backend=backend)
    ours = f(array)
    runs = {"state": 5, "weight": 5, **({"inner": 10} if kind == "in loops" else {})}
    assert set(counts) == set(runs)
    if kind == "in chunks":
        assert all(counts[label] >= n for label, n in runs.items())
    else:
        assert counts == runs
    plain = gradients(lambda x_t, h: step(x_t, h, count=lambda v, label: v))
    theirs = sg.compile([x], plain, backend=backend)(array)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_in_a_loop_that_ends_early_and_one_in_chunks(backend):
    x = sg.tensor("x", ("T",))

    def step(x_t, h):
        return count(x_t) * h, sg.until(x_t > 2)

    f = sg.compile([x], sg.scan(step, x, sg.ones(())), backend=backend)
    np.testing.assert_array_equal(f([1.0, 2.0, 3.0, 4.0]), [1, 2, 6])
    assert counts == {"it": 3}
    counts.clear()
    chunked = sg.scan(lambda x_t, h: count(2.0) * x_t + h, x, sg.zeros(()), checkpoint_every=2)
    np.testing.assert_array_equal(
        sg.compile([x], chunked, backend=backend)([1.0, 2.0, 3.0]), [2, 6, 12]
    )
    assert counts == {"it": 3}


def test_an_op_with_effects_has_no_formula():
    with pytest.raises(sg.SymgraphValueError, match="effects and a formula"):
        Op(
            "test_print",
            lambda inputs: inputs[0].type,
            formula=lambda m, x: x,
            traits=frozenset({"effect"}),
        )
    assert "test_print" not in OPS

"""What is done to loops before they run: counts of bodies and products, and equal results."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.variable import ancestors
from symgraph.scan.op import Loop, is_scan


def loops(graph: Graph) -> list[Loop]:
    return [Loop(v) for v in graph.nodes if is_scan(v)]


def ops(graph: Graph) -> Counter[str]:
    """How often each op is in a graph, loop bodies not counted."""
    return Counter(v.op.name for v in graph.nodes)


def compiled(inputs: list[sg.Variable], outputs: Any, **options: Any) -> sg.Function:
    return sg.compile(inputs, outputs, backend="numpy", **options)


class Elman:
    """h = tanh(x @ w + h @ u + b), over float64 batches."""

    def __init__(self, n_in: int = 3, n_units: int = 4, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        shapes = {"w": (n_in, n_units), "u": (n_units, n_units), "b": (n_units,)}
        self.params = [sg.shared(random.normal(size=s) * 0.3, n) for n, s in shapes.items()]
        self.n_units = n_units

    def __call__(self, x: sg.Variable, **options: Any) -> sg.Variable:
        w, u, b = self.params

        def step(row: sg.Variable, h: sg.Variable) -> sg.Variable:
            return sg.tanh(row @ w + h @ u + b)

        return sg.scan(step, x, sg.zeros((x.shape[1], self.n_units), "float64"), **options)


@pytest.fixture
def x() -> sg.Variable:
    return sg.tensor("x", ("T", "B", 3), "float64")


DATA = np.random.default_rng(1).normal(size=(5, 2, 3))


# --- one loop where one is enough ---------------------------------------------------------------


def test_equal_bodies_are_one_object(x: sg.Variable) -> None:
    first, second = Elman(seed=1), Elman(seed=2)
    second.params = list(second.params)
    bodies = {Loop(v).body for v in ancestors([first(x), second(x)]) if is_scan(v)}
    assert len(bodies) == 1
    # In the other direction it is the same body too, over a reversed sequence.
    bodies.add(next(Loop(v).body for v in ancestors([first(x, go_backwards=True)]) if is_scan(v)))
    assert len(bodies) == 1


def test_equal_bodies_whatever_was_made_first(x: sg.Variable) -> None:
    def layer(order: str) -> sg.Variable:
        shapes = {"w": (3, 4), "u": (4, 4), "b": (4,)}
        made = {name: sg.shared(np.ones(shapes[name])) for name in order}
        h = sg.zeros((x.shape[1], 4), "float64")
        return sg.scan(lambda row, h: sg.tanh(row @ made["w"] + h @ made["u"] + made["b"]), x, h)

    outputs = [layer(order) for order in ("wub", "buw", "ubw")]
    assert len({Loop(v).body for v in ancestors(outputs) if is_scan(v)}) == 1


def test_separate_gradients_share_one_loop(x: sg.Variable) -> None:
    layer = Elman()
    cost = (layer(x) ** 2).sum()
    together = sg.grad(cost, layer.params)
    alone = [sg.grad(cost, p) for p in layer.params]
    assert all(a is b for a, b in zip(together, alone, strict=True))
    # The gradient by the input is of the same loop.
    everything = [*together, sg.grad(cost, x)]
    assert sum(is_scan(v) for v in ancestors(everything)) == 2


def test_bodies_of_a_loop_and_its_gradient(x: sg.Variable) -> None:
    layer = Elman()
    cost = (layer(x) ** 2).mean()
    f = compiled([x], cost, updates={p: p - 0.1 * sg.grad(cost, p) for p in layer.params})
    report = f.report
    assert (report.loops_built, report.bodies_built) == (2, 2)
    assert (report.loops, report.bodies) == (2, 2)
    assert report.repeated_bodies == ()
    sg.assert_compiled(f, bodies=2, loops=2)


# --- what nobody reads --------------------------------------------------------------------------


def test_outputs_that_nobody_reads_are_dropped(x: sg.Variable) -> None:
    def step(row: sg.Variable, a: sg.Variable, b: sg.Variable) -> list[sg.Variable]:
        return [sg.tanh(a + row), sg.exp(b * row), sg.sin(row), a * 2]

    h = sg.zeros((x.shape[1], 3), "float64")
    outputs = sg.scan(step, x, [h, h, None, None])
    (loop,) = loops(compiled([x], outputs[0]).graph)
    assert ops(loop.body)["exp"] == ops(loop.body)["sin"] == 0
    assert (len(loop.states), len(loop.outputs)) == (1, 0)
    # A state that another one reads is kept.
    (loop,) = loops(compiled([x], outputs[3]).graph)
    assert (len(loop.states), len(loop.outputs)) == (1, 1)


def test_gradients_that_nobody_reads_are_dropped(x: sg.Variable) -> None:
    layer = Elman()
    cost = (layer(x) ** 2).sum()
    by_bias = compiled([x], sg.grad(cost, layer.params[2])).graph
    forward, backward = loops(by_bias)
    # What it needs is the one product that goes back in time, and the two of the layer itself.
    assert ops(backward.body)["matmul"] == 1
    assert ops(by_bias)["matmul"] + ops(forward.body)["matmul"] == 2
    assert x not in backward.node.inputs


# --- what is computed once ----------------------------------------------------------------------


def test_gradient_loops_do_not_compute_products_again(x: sg.Variable) -> None:
    layer = Elman()
    cost = (layer(x) ** 2).sum()
    forward, backward = loops(compiled([x], [cost, *sg.grad(cost, layer.params)]).graph)
    assert ops(forward.body)["tanh"] == 1
    assert ops(backward.body)["tanh"] == 0
    # Back in time, and nothing else: the weights' gradients are taken out.
    assert ops(backward.body)["matmul"] == 1


@pytest.mark.parametrize("n", [0, 1, 2, 6])
def test_gradient_loops_do_not_compute_products_of_several_rows_again(
    x: sg.Variable, n: int
) -> None:
    layer = Elman()
    w, u, b = layer.params

    def step(row: sg.Variable, before: sg.Variable, h: sg.Variable) -> sg.Variable:
        return sg.tanh(row @ w + before @ w + h @ u + b)

    states = sg.zeros((x.shape[1], layer.n_units), "float64")
    h = sg.scan(step, {"input": x, "taps": [0, -1]}, states)
    cost = (h**2).sum()
    f = compiled([x], sg.grad(cost, layer.params))
    _, gradient = loops(f.graph)
    assert not ops(gradient.body)["tanh"]
    # The cotangent of the state alone, or of the rows' sum as well.
    assert ops(gradient.body)["matmul"] == 1

    def value(**given: np.ndarray) -> float:
        named = {"w": w.get_value(), "u": u.get_value(), "b": b.get_value()} | given
        state, total = np.zeros((2, layer.n_units)), 0.0
        for before, row in itertools.pairwise(data):
            product = (row + before) @ named["w"]
            state = np.tanh(product + state @ named["u"] + named["b"])
            total += (state**2).sum()
        return total

    data = np.random.default_rng(2).normal(size=(n, 2, 3))
    for p, found in zip(layer.params, f(data), strict=True):
        at = (0,) * found.ndim
        change = np.zeros_like(found)
        change[at] = 1e-6
        p_value = p.get_value()
        name = str(p.name)
        slope = value(**{name: p_value + change}) - value(**{name: p_value - change})
        np.testing.assert_allclose(found[at], slope / 2e-6, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_gradient_loop_does_not_keep_what_it_reads_for_the_gradient_of_the_gradient(
    x: sg.Variable, n: int
) -> None:
    layer = Elman()
    _, u, _ = layer.params
    by_u = sg.grad((layer(x) ** 3).sum(), u)
    of_gradient = sg.square(by_u).sum()
    f = compiled([x], [of_gradient, sg.grad(of_gradient, u)])
    first, *others = loops(f.graph)
    assert len(others) == 3
    assert ops(first.body)["tanh"] == 1
    for loop in others:
        assert not ops(loop.body)["tanh"]
        assert not set(loop.outputs) & set(loop.changing)

    data = np.random.default_rng(2).normal(size=(n, 2, 3))
    found, at, start = f(data)[1], (1, 2), u.get_value()
    values = []
    for sign in (1, -1):
        change = np.zeros_like(start)
        change[at] = sign * 1e-6
        u.set_value(start + change)
        values.append(f(data)[0])
    np.testing.assert_allclose(found[at], (values[0] - values[1]) / 2e-6, rtol=1e-5, atol=1e-8)


def test_gradients_of_weights_are_one_product_outside_the_loop(x: sg.Variable) -> None:
    layer = Elman()
    cost = (layer(x) ** 2).sum()
    f = compiled([x], sg.grad(cost, layer.params))
    assert ops(f.graph)["matmul"] >= 2
    backward = loops(f.graph)[-1]
    assert len(backward.states) == 1  # what goes back in time; no sums
    plain = [sg.grad((unrolled_elman(layer, x) ** 2).sum(), p) for p in layer.params]
    for found, expected in zip(f(DATA), compiled([x], plain)(DATA), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def unrolled_elman(layer: Elman, x: sg.Variable) -> sg.Variable:
    w, u, b = layer.params
    h, rows = sg.zeros((x.shape[1], layer.n_units), "float64"), []
    for t in range(len(DATA)):
        h = sg.tanh(x[t] @ w + h @ u + b)
        rows.append(h)
    return sg.stack(rows)


@pytest.mark.parametrize("length", [0, 1, 5])
def test_sums_over_time_are_taken_out(length: int) -> None:
    x, c = sg.tensor("x", ("T", 2, 3), "float64"), sg.tensor("c", (3, 3), "float64")

    def step(row: sg.Variable, total: sg.Variable) -> sg.Variable:
        return total + row.T @ row + (sg.exp(row).T @ row).T

    f = compiled([x, c], sg.foldl(step, x, c))
    data = np.random.default_rng(0).normal(size=(length, 2, 3))
    expected = np.ones((3, 3)) + np.einsum("tbi,tbj->ij", data, data)
    expected += np.einsum("tbi,tbj->ji", np.exp(data), data)
    np.testing.assert_allclose(f(data, np.ones((3, 3))), expected)
    assert all(ops(loop.body)["matmul"] == 0 for loop in loops(f.graph))


def test_a_sum_that_is_read_at_every_step_stays() -> None:
    x, c = sg.tensor("x", ("T", 2), "float64"), sg.scalar("c", "float64")
    out = sg.scan(lambda row, total: total + row.sum(), x, c)
    data = np.random.default_rng(0).normal(size=(4, 2))
    f = compiled([x, c], [out[-1], out.sum()])
    last, total = f(data, 1.0)
    sums = 1 + np.cumsum(data.sum(axis=1))
    np.testing.assert_allclose([last, total], [sums[-1], sums.sum()])


# --- what does not change over time -------------------------------------------------------------


def test_invariants_are_computed_before_the_loop() -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.tensor("w", (3,), "float64")
    out = sg.scan(lambda row, v: row * sg.exp(v * 2), x, (), [w])
    f = compiled([x, w], out)
    (loop,) = loops(f.graph)
    assert ops(loop.body)["exp"] == 0
    assert ops(f.graph)["exp"] == 1
    np.testing.assert_allclose(f(np.ones((2, 3)), np.zeros(3)), np.ones((2, 3)))


def test_invariants_of_nested_loops_go_as_far_out_as_they_can() -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.scalar("w", "float64")

    def outer(row: sg.Variable) -> sg.Variable:
        return sg.scan(lambda v: v * sg.exp(w) * sg.sin(row.sum()), row)

    f = compiled([x, w], sg.scan(outer, x))
    (loop,) = loops(f.graph)
    (nested,) = loops(loop.body)
    assert ops(f.graph)["exp"] == 1
    assert ops(loop.body)["sin"] == 1
    assert ops(nested.body)["exp"] == ops(nested.body)["sin"] == 0
    data = np.random.default_rng(0).normal(size=(2, 3))
    expected = data * np.exp(0.5) * np.sin(data.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(f(data, 0.5), expected)


def test_substituting_a_constant_simplifies_the_body() -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.scalar("w", "float64")
    out = sg.scan(lambda row: sg.tanh(row) * w, x)
    f = compiled([x], sg.substitute(out, {w: 1.0}))
    np.testing.assert_allclose(f(np.ones((2, 3))), np.tanh(np.ones((2, 3))))


# --- sizes that depend on data ------------------------------------------------------------------


def test_a_loop_with_until_keeps_its_length_through_rewriting() -> None:
    x, c = sg.tensor("x", ("T",), "float64"), sg.scalar("c", "float64")

    def step(a: sg.Variable, s: sg.Variable, unread: sg.Variable) -> Any:
        return [s * a * sg.exp(c), unread + a], sg.until(s > 3)

    first = sg.scan(step, x, [c, c])[0]
    second = sg.scan(lambda a, s: sg.tanh(a * s), first, c)
    gradient = sg.grad((first * second).sum(), [x, c])
    f = compiled([x, c], [first, second, *gradient])
    values = f(np.arange(1.0, 6.0), 1.0)
    assert values[0].shape == values[1].shape == (3,)
    np.testing.assert_array_equal(values[2][3:], 0)

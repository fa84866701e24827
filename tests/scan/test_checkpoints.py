"""Checkpoints: a property of a loop that its gradient alone reads."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.types import TupleType
from symgraph.core.variable import ancestors
from symgraph.scan.op import Loop, is_scan
from symgraph.testing import unroll

BACKENDS = ("native", "numpy")


def loops(outputs: Sequence[sg.Variable]) -> list[Loop]:
    return [Loop(v) for v in ancestors(outputs) if is_scan(v)]


def elman(x: sg.Variable, w: sg.Variable, u: sg.Variable, **options: Any) -> sg.Variable:
    first = sg.zeros((x.shape[1], u.shape[0]), "float64")
    return sg.scan(lambda row, h: sg.tanh(row @ w + h @ u), x, first, **options)


def inputs() -> list[sg.Variable]:
    shapes = {"x": ("T", "B", 3), "w": (3, 4), "u": (4, 4)}
    return [sg.tensor(name, shape, "float64") for name, shape in shapes.items()]


def numbers(steps: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.normal(size=shape) * 0.5 for shape in ((steps, 2, 3), (3, 4), (4, 4))]


# --- how many loops -----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("read", [lambda h: h, lambda h: h[-1], lambda h: h.sum()])
def test_a_function_without_a_gradient_has_one_loop(backend: str, read: Any) -> None:
    x, w, u = inputs()
    f, plain = (
        sg.compile([x, w, u], read(elman(x, w, u, **options)), backend=backend)
        for options in ({"checkpoint_every": 2}, {})
    )
    assert f.report.loops == f.report.bodies == 1
    assert f.report.loops_built == f.report.bodies_built == 1
    assert (f.report.nodes, f.report.kernels) == (plain.report.nodes, plain.report.kernels)
    np.testing.assert_array_equal(f(*numbers(5)), plain(*numbers(5)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_within_a_loop_it_is_one_loop_too(backend: str) -> None:
    x, w, u = inputs()

    def outer(row: sg.Variable) -> sg.Variable:
        return elman(row[:, None], w, u, checkpoint_every=2)[-1, 0]

    f = sg.compile([x, w, u], sg.map(outer, x), backend=backend)
    assert f.report.loops == 2
    assert f(*numbers(3)).shape == (3, 4)


def rows_computed(outputs: Sequence[sg.Variable], **sizes: int) -> list[int]:
    """How many rows each array has that a compiled graph computes, those in its loops included.

    What is moved alone, such as a slice of an input, is not computed.
    """
    numbers = {("name", name): number for name, number in sizes.items()}
    found: list[int] = []
    pending = [list(ancestors(outputs))]
    while pending:
        for v in pending.pop():
            if is_scan(v):
                pending.append(list(v.params[0].nodes))
            elif not v.inputs or v.op.kind == "movement" or "check" in v.op.traits:
                continue
            for type in v.type.items if isinstance(v.type, TupleType) else (v.type,):
                rows = type.shape[0] if type.shape else 1
                found.append(rows if isinstance(rows, int) else rows.evaluate(numbers) or 0)
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradient_keeps_nothing_of_each_step(backend: str) -> None:
    x, w, u = inputs()
    cost = elman(x, w, u, checkpoint_every=3)[-1].sum()
    f = sg.compile([x, w, u], [cost, *sg.grad(cost, [w, u])], backend=backend)
    # The steps up to the last checkpoint; the tail and chunks, each forwards and backwards.
    assert f.report.loops == f.report.bodies == 6
    (keeping,) = [loop for loop in loops(f.graph.outputs) if loop.layout.has_checkpoints]
    # Of what it leaves behind nobody reads anything but checkpoints, and these are few.
    assert keeping.layout.ends_at_checkpoint
    read = [v for v in ancestors(f.graph.outputs) if v.inputs[:1] == (keeping.node,)]
    assert read == keeping.checkpoints
    steps = keeping.node.type.items[0].shape[0]
    others = rows_computed(f.graph.outputs, T=30_000, B=1)
    assert steps.evaluate({("name", "T"): 30_000}) in others
    others = [rows for rows in others if rows != 29_998]  # the loop's own, which nobody reads
    assert max(others) == 10_000


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{"go_backwards": True}, {"truncate_gradient": 5}, {}])
def test_nor_for_taps_several_states_and_lasts_of_plain_outputs(
    backend: str, options: dict[str, Any]
) -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.tensor("w", (3, 3), "float64")

    def step(before: sg.Variable, after: sg.Variable, h: sg.Variable, old: sg.Variable) -> Any:
        new = sg.tanh((before + after) @ w + 0.5 * old + h)
        return [new, 0.1 * old + new, sg.exp(new)]

    first = {"initial": w, "taps": [-3]}
    rows = {"input": x, "taps": [-2, 1]}
    values = sg.scan(step, rows, [w[0], first, None], checkpoint_every=100, **options)
    cost = sum((v[-1].sum() for v in values), sg.constant(0.0))
    f = sg.compile([x, w], [cost, *sg.grad(cost, [w])], backend=backend)
    own = {
        shape.shape[0].evaluate({("name", "T"): 30_000})
        for loop in loops(f.graph.outputs)
        if loop.layout.has_checkpoints
        for shape in loop.node.type.items
    }
    others = [n for n in rows_computed(f.graph.outputs, T=30_000) if n not in own]
    assert max(others) <= 1000


def test_the_report_names_the_loops_of_the_gradient() -> None:
    x, w, u = inputs()
    cost = elman(x, w, u, checkpoint_every=3, name="rnn")[-1].sum()
    f = sg.compile([x, w, u], sg.grad(cost, [w, u]))
    names = [row.name for row in f.report.loop_table]
    assert names.count("rnn") == names.count("gradient of rnn") == 1
    assert all(row.line is not None for row in f.report.loop_table if row.depth == 0)


# --- the same numbers ---------------------------------------------------------------------------


def one_state(x: sg.Variable, w: sg.Variable, **options: Any) -> list[sg.Variable]:
    return [sg.scan(lambda row, h: sg.tanh(row @ w + h), x, w[0], **options)]


def several(x: sg.Variable, w: sg.Variable, **options: Any) -> list[sg.Variable]:
    """Taps of sequences and states, a plain output, and inputs that are made of one another."""

    def step(
        before: sg.Variable, row: sg.Variable, made: sg.Variable, h: sg.Variable,
        oldest: sg.Variable, past: sg.Variable,
    ) -> list[sg.Variable]:  # fmt: skip
        total = sg.tanh(before * oldest + row @ w)
        return [sg.sin(h * made) + total, total * past + 0.5 * h, sg.exp(made) * h]

    first = {"initial": sg.stack([w[1], w[2], w[0]]), "taps": [-3, -1]}
    rows = [{"input": x, "taps": [-1, 0]}, sg.tanh(x @ w)]
    return sg.scan(step, rows, [w.sum(axis=0), first, None], **options)


def costs(values: Sequence[sg.Variable], level: int) -> sg.Variable:
    return sum((sg.sum(v * v * (0.5 + k + level)) for k, v in enumerate(values)), sg.constant(0.0))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loop", [one_state, several])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("every", [1, 3, 20])
def test_gradients_are_those_without(
    backend: str, loop: Any, order: int, backwards: bool, every: int
) -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.tensor("w", (3, 3), "float64")
    both = []
    for options in ({"checkpoint_every": every}, {}):
        values = loop(x, w, go_backwards=backwards, **options)
        for level in range(order):
            values = sg.grad(costs(values, level), [x, w])
        both += values
    f = sg.compile([x, w], both, backend=backend)
    random = np.random.default_rng(every)
    for steps in (0, 1, 2, 3, 7):
        found = f(random.normal(size=(steps, 3)), random.normal(size=(3, 3)) * 0.5)
        for ours, expected in zip(found[:2], found[2:], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 4, 7])
def test_gradients_are_those_of_the_steps_written_out(steps: int) -> None:
    x = sg.constant(np.linspace(-1, 1, 3 * steps).reshape(steps, 3))
    w = sg.tensor("w", (3, 3), "float64")
    values = several(x, w, checkpoint_every=3)
    gradient = sg.grad(costs(values, 0), w)
    outputs = [gradient, unroll(gradient), sg.grad(costs(unroll(values), 0), w)]
    ours, opened, expected = sg.compile([w], outputs)(np.cos(np.arange(9.0)).reshape(3, 3))
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    np.testing.assert_allclose(opened, expected, rtol=1e-12)


def test_gradients_through_the_last_value_and_a_loop_around() -> None:
    x, w, u = inputs()

    def both(**options: Any) -> list[sg.Variable]:
        def outer(row: sg.Variable, total: sg.Variable) -> sg.Variable:
            inner = sg.foldl(lambda v, s: sg.tanh(s * total + v * w[0, 0]), row, total, **options)
            return total * 0.5 + inner

        first = sg.constant(0.3, "float64")
        cost = elman(x, w, u, **options)[-1].sum() + sg.scan(outer, x[:, 0], first).sum()
        return [cost, *sg.grad(cost, [x, w, u])]

    found = sg.compile([x, w, u], [*both(checkpoint_every=2), *both()])(*numbers(5))
    for ours, expected in zip(found[:4], found[4:], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


# --- the property stays -------------------------------------------------------------------------


def test_copies_and_pickles_have_it() -> None:
    x, w, u = inputs()
    y = elman(x, w, u, checkpoint_every=3)
    for v in (y, copy.copy(y), copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert [loop.checkpoint_every for loop in loops([v])] == [3]
    graph = Graph([x, w, u], [y]).canonical()
    assert pickle.loads(pickle.dumps(graph)) is graph
    f = pickle.loads(pickle.dumps(sg.compile([x, w, u], sg.grad(y.sum(), w))))
    assert f.report.loops == 6


@pytest.mark.parametrize("known", [False, True])
def test_substitution_keeps_it_before_the_gradient_and_after(known: bool) -> None:
    x, w, u = inputs()
    other = sg.tensor("other", (7, 2, 3) if known else ("T", "B", 3), "float64")
    cost = elman(x, w, u, checkpoint_every=3)[-1].sum()
    before = sg.grad(sg.substitute(cost, {x: other}), w)
    after = sg.substitute(sg.grad(cost, w), {x: other})
    f, g = (sg.compile([other, w, u], gradient) for gradient in (before, after))
    assert f.report.loops == g.report.loops == 6
    np.testing.assert_allclose(f(*numbers(7)), g(*numbers(7)), rtol=1e-12)


def test_the_listing_tells_it() -> None:
    x, w, u = inputs()
    y = elman(x, w, u, checkpoint_every=3)
    assert "checkpoints every 3 steps" in sg.listing(y)
    f = sg.compile([x, w, u], y)
    assert "checkpoints" not in sg.listing(f)

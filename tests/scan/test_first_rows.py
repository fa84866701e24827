"""Loops of which first rows alone are read run the steps that give these, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.core.dims import maximum_zero, named_size
from symgraph.ops.sizes import size_of
from symgraph.scan.op import Loop, is_scan
from symgraph.testing import check_unrolled

BACKENDS = ("native", "numpy")
both = pytest.mark.parametrize("backend", BACKENDS)
RNG = np.random.default_rng(12)
ROWS = RNG.normal(size=(5, 2, 3))
WEIGHTS = RNG.normal(size=(3, 3)) * 0.4
FIRST = RNG.normal(size=(2, 3)) * 0.3

Read = Callable[[Any, Any], Any]
READS: dict[str, tuple[Read, int]] = {
    "a row": (lambda y, z: y[0], 1),
    "a row of a plain output": (lambda y, z: z[1], 2),
    "rows of both": (lambda y, z: y[0] + z[2], 3),
    "the last of the reversed": (lambda y, z: y[::-1][-1], 1),
    "the last ones of the reversed": (lambda y, z: y[::-1][-2:], 2),
    "the first of the reversed twice": (lambda y, z: y[::-1][::-1][1], 2),
    "some rows": (lambda y, z: y[:2] * y[1], 2),
    "some columns": (lambda y, z: y[:2, :, 1:], 2),
    "one element": (lambda y, z: y[1, 0, 2] * z[0, 1, 1], 2),
    "rows with gaps": (lambda y, z: y[:4:2], 4),
}


def loop_of(x: Any, h: Any, weights: Any, **options: Any) -> tuple[Any, Any]:
    """A state and a plain output."""

    def step(row: Any, past: Any, weights: Any) -> list[Any]:
        new = sg.tanh(row @ weights + past @ weights)
        return [new, new * row]

    y, z = sg.scan(step, [x], [h, None], [weights], **options)
    return y, z


def leaves(n_steps: Any = None) -> list[sg.Variable]:
    x = sg.tensor("x", (n_steps or "T", 2, 3), "float64")
    return [x, sg.tensor("h", (2, 3), "float64"), sg.tensor("w", (3, 3), "float64")]


def steps_of(f: Any) -> list[Any]:
    """How many steps each loop of a function runs."""
    return [size_of(Loop(v).n_steps) for v in f.graph.nodes if is_scan(v)]


def at_most(count: int) -> Any:
    length = named_size("T")
    return length - maximum_zero(length - count)


# --- values -------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("what", READS)
def test_no_more_steps_run_than_rows_are_read(backend: str, what: str) -> None:
    read, count = READS[what]
    for n_steps in (None, 5):
        inputs = leaves(n_steps)
        y, z = loop_of(*inputs)
        f = sg.compile(inputs, read(y, z), backend=backend)
        whole = sg.compile(inputs, [read(y, z), y, z], backend=backend)
        assert steps_of(f) == [count if n_steps else at_most(count)]
        found, (wanted, *_) = f(ROWS, FIRST, WEIGHTS), whole(ROWS, FIRST, WEIGHTS)
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
        if backend == "native":  # BLAS rounds by how many rows it is given
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("what", READS)
@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"checkpoint_every": 2}])
def test_their_derivatives_are_those_of_python_loops(what: str, options: dict[str, Any]) -> None:
    read, _ = READS[what]

    def model(x: Any, h: Any, weights: Any) -> Any:
        return read(*loop_of(x, h, weights, **options))

    check_unrolled(model, ROWS, FIRST, WEIGHTS, orders=2)


@both
def test_gradients_run_no_more_steps_either(backend: str) -> None:
    inputs = leaves()
    for options in ({}, {"checkpoint_every": 2}, {"checkpoint_every": "auto"}):
        y, _ = loop_of(*inputs, **options)
        cost = sg.square(y[::-1][-1]).sum()
        f = sg.compile(inputs, [cost, *sg.grad(cost, inputs)], backend=backend)
        assert steps_of(f) == [at_most(1), at_most(1)]
        for n_steps in (1, 2, 5):
            x = ROWS[:n_steps]
            of_rows = f(x, FIRST, WEIGHTS)[1]
            assert of_rows.shape == x.shape
            assert not of_rows[1:].any()


@both
def test_a_layer_in_both_directions_runs_one_step_back(backend: str) -> None:
    x = sg.tensor("x", ("T", 2, 3))
    layer = nn.Bidirectional(nn.LSTMCell(3, 4, rng=0), nn.LSTMCell(3, 4, rng=1))
    cost = sg.square(layer(x)[-1]).sum()
    f = sg.compile([x], [cost, *sg.grad(cost, layer.params)], backend=backend)
    length = named_size("T")
    assert sorted(map(str, steps_of(f))) == sorted(map(str, [length, length, *[at_most(1)] * 2]))
    assert len({v.params[0] for v in f.graph.nodes if is_scan(v)}) == 2


@both
def test_loops_before_run_as_many_steps(backend: str) -> None:
    x, h, weights = leaves()
    y, _ = loop_of(x, h, weights)
    again, _ = loop_of(y, h, weights)
    f = sg.compile([x, h, weights], again[1], backend=backend)
    assert steps_of(f) == [at_most(2)] * 2
    whole = sg.compile([x, h, weights], [again[1], y, again], backend=backend)
    wanted = whole(ROWS, FIRST, WEIGHTS)[0]
    np.testing.assert_allclose(f(ROWS, FIRST, WEIGHTS), wanted, rtol=1e-14)


@both
def test_loops_within_loops_run_no_more_steps(backend: str) -> None:
    x, h, weights = leaves()

    def outer(past: Any) -> Any:
        return past + loop_of(x, past, weights)[0][0]

    results = sg.scan(outer, None, [h], n_steps=3)
    f = sg.compile([x, h, weights], results, backend=backend)
    (loop,) = [Loop(v) for v in f.graph.nodes if is_scan(v)]
    (inner,) = [Loop(v) for v in loop.body.nodes if is_scan(v)]
    assert size_of(inner.n_steps) == at_most(1)
    check_unrolled(
        lambda x, h, weights: sg.scan(
            lambda past: past + loop_of(x, past, weights)[0][0], None, [h], n_steps=3
        ),
        ROWS,
        FIRST,
        WEIGHTS,
    )


# --- what stays ---------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("n_steps", [0, 1, 2])
def test_too_few_steps_are_the_error_that_they_were(backend: str, n_steps: int) -> None:
    inputs = leaves()
    y, _ = loop_of(*inputs)
    cost = y[2].sum()
    for outputs in (y[2], sg.grad(cost, inputs[0]), [cost, *sg.grad(cost, inputs)]):
        f = sg.compile(inputs, outputs, backend=backend)
        with pytest.raises(sg.errors.IndexRangeError):
            f(ROWS[:n_steps], FIRST, WEIGHTS)
    part = sg.compile(inputs, y[:3], backend=backend)(ROWS[:n_steps], FIRST, WEIGHTS)
    assert part.shape == (n_steps, 2, 3)


@both
def test_loops_that_end_by_a_condition(backend: str) -> None:
    x = sg.tensor("x", ("T",), "float64")

    def step(row: Any, total: Any) -> Any:
        return total + row, sg.until(total + row > 2)

    y = sg.scan(step, [x], [sg.constant(0.0, dtype="float64")])
    cost = y[1] * y[1]
    f = sg.compile([x], [y[1], sg.grad(cost, x)], backend=backend)
    value, gradient = f(np.array([0.5, 1.0, 1.0, 1.0]))
    assert value == 1.5
    np.testing.assert_array_equal(gradient, [3.0, 3.0, 0.0, 0.0])
    with pytest.raises(sg.errors.IndexRangeError):
        f(np.array([5.0, 1.0, 1.0]))
    alone = sg.compile([x], y[1], backend=backend)
    assert alone(np.array([0.5, 1.0, 1.0, 1.0])) == 1.5
    with pytest.raises(sg.errors.IndexRangeError):
        alone(np.array([5.0, 1.0, 1.0]))


@both
def test_truncated_gradients_are_of_the_last_steps(backend: str) -> None:
    inputs = leaves()
    y, _ = loop_of(*inputs, truncate_gradient=2)
    gradients = sg.grad(sg.square(y[1]).sum(), inputs, disconnected="zero")
    f = sg.compile(inputs, gradients, backend=backend)
    assert not any(x.any() for x in f(ROWS, FIRST, WEIGHTS))
    assert any(x.any() for x in f(ROWS[:3], FIRST, WEIGHTS))


@both
def test_steps_with_effects_all_run(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    x = sg.tensor("x", ("T",), "float64")
    y = sg.scan(lambda row, h: sg.debug_print(h + row, "h"), [x], [sg.constant(0.0, "float64")])
    cost = y[0] * 2
    f = sg.compile([x], [cost, sg.grad(cost, x)], backend=backend)
    found, gradient = f(np.ones(4))
    assert found == 2
    np.testing.assert_array_equal(gradient, [2, 0, 0, 0])
    output = capsys.readouterr()
    assert (output.out + output.err).count("h") >= 4


@both
def test_gradients_of_first_rows_of_a_loop_that_is_read_whole(backend: str) -> None:
    for n_steps in (None, 5):
        inputs = leaves(n_steps)
        y, _ = loop_of(*inputs)
        cost = sg.square(y[:3]).sum()
        gradients = sg.grad(cost, inputs)
        f = sg.compile(inputs, [y, *gradients], backend=backend)
        g = sg.compile(inputs, gradients, backend=backend)
        for found, wanted in zip(f(ROWS, FIRST, WEIGHTS)[1:], g(ROWS, FIRST, WEIGHTS), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12)


@both
def test_what_a_loop_keeps_for_one_over_its_first_rows(backend: str) -> None:
    """It reads rows of the first steps, and not of as many last ones."""
    for n_steps in (None, 5):
        x, h, weights = leaves(n_steps)
        y = sg.scan(lambda r, h, w: sg.tanh(r @ w) + h * 0.5, [x], [h], [weights])
        z = sg.scan(lambda r, v, w: sg.tanh(r @ w) * v, [x[:3][::-1], y[:3][::-1]], None, [weights])
        found = sg.compile([x, h, weights], [y, z], backend=backend)(ROWS, FIRST, WEIGHTS)
        past, expected = FIRST, []
        for row in ROWS:
            past = np.tanh(row @ WEIGHTS) + past * 0.5
            expected.append(past)
        products = [np.tanh(ROWS[t] @ WEIGHTS) * expected[t] for t in (2, 1, 0)]
        np.testing.assert_allclose(found[0], expected, rtol=1e-12)
        np.testing.assert_allclose(found[1], products, rtol=1e-12)

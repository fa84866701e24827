"""Sizes for which rewriting finds another scalar, a number, or an equal loop that has its own."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.variable import item
from symgraph.scan.op import Loop, is_scan, make_alike

BACKENDS = ["native", "numpy"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_size_that_turns_out_to_be_a_number(backend: str) -> None:
    x = sg.vector("x", dtype="float64")
    number = sg.stop_gradient(sg.constant(3)) + 1
    largest = sg.maximum(sg.stop_gradient(sg.constant([3, 4])), 2)[0]
    outputs = [sg.zeros(number), sg.ones(largest), x[:largest] * 2, (x[:number] + x).sum()]
    found = sg.compile([x], outputs, backend=backend)(np.arange(4.0))
    for value, expected in zip(found, [np.zeros(4), np.ones(3), [0, 2, 4], 12.0], strict=True):
        np.testing.assert_array_equal(value, expected)
    assert found[0].shape == (4,)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_size_that_turns_out_to_be_another_one(backend: str, k: int) -> None:
    x, n = sg.vector("x", dtype="float64"), sg.scalar("n", dtype="int64")
    alike, other = x[: sg.stop_gradient(n) * 2], x[: n * 2]
    outputs = [alike, (other * 3).sum(), alike + other, sg.grad((alike * other).sum(), x)]
    f = sg.compile([x, n], outputs, backend=backend)
    x_value, part = np.arange(5.0), np.arange(5.0)[: 2 * k]
    slope = np.where(np.arange(5) < 2 * k, 2 * x_value, 0)
    for value, expected in zip(f(x_value, k), [part, 3 * part.sum(), 2 * part, slope], strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_loop_that_becomes_one_that_has_sizes_of_its_own(backend: str, n: int) -> None:
    x = sg.vector("x", dtype="float64")

    def sums(rows: sg.Variable) -> sg.Variable:
        return sg.scan(lambda r, h: (h + r, sg.until(h > 2)), [rows], [sg.constant(0.0, "float64")])

    first, second = sums(x), sums(sg.stop_gradient(x))
    assert first.type != second.type
    outputs = [second, second * 2, first, first * 3, sg.zeros(second.shape[0] + 1)]
    f = sg.compile([x], outputs, backend=backend)
    assert f.report.loops == 1
    taken = np.cumsum(np.ones(n))[:4]
    for value, expected in zip(
        f(np.ones(n)), [taken, 2 * taken, taken, 3 * taken, np.zeros(len(taken) + 1)], strict=True
    ):
        np.testing.assert_array_equal(value, expected)
    again = sg.compile([x], second.sum(), backend=backend)
    assert again(np.ones(n)) == taken.sum()
    assert "stop_gradient" not in {v.op.name for v in again.graph.nodes}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_size_that_turns_out_to_be_negative_is_an_error_of_the_call(backend: str) -> None:
    x = sg.vector("x", dtype="float64")
    outputs = [x.reshape(sg.stack([x.shape[0], -1]))[:, 1:], x.sum()]
    with pytest.raises(sg.CallError, match=r"does not have .* elements of shape \(2, -1"):
        sg.compile([x], outputs, backend=backend)(np.ones(2))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [2, 3])
def test_a_loop_put_in_order_becomes_one_that_has_sizes_of_its_own(backend: str, n: int) -> None:
    """What the state's rows are read for makes it the loop that was built without its other tap."""
    x, start = sg.tensor("x", (1, None), "float64"), sg.tensor("start", ("m", 1), "float64")
    index = sg.tensor("index", (1,), "int32")

    def step(before, now, total, older, last):
        new = last * 0.5 + 0.1 * sg.tanh(sg.sum(x))
        return [sg.tanh(last @ last), new], sg.until(sg.sum(total) > 0.113)

    totals, rows = sg.scan(
        step,
        [{"input": index, "taps": [-2, 0]}],
        [sg.zeros((), "float64"), {"initial": start, "taps": [-2, -1]}],
    )
    numbers = sg.arange(rows.shape[0])
    parts = sg.scan(lambda i: sg.sum(totals[:i]) * 0.5, [numbers])
    more = sg.scan(lambda i: sg.sum(sg.tanh(rows[: i + 1])), [numbers])
    by = sg.grad(sg.sum(sg.sin(totals)) + sg.sum(sg.sin(more)), [x, start], disconnected="zero")
    for _ in range(2):
        f = sg.compile([x, start, index], [parts, *by], backend=backend)
        found = f(np.ones((1, n)), np.ones((2, 1)), np.ones(1, "int32"))
        shapes = (0,), (1, n), (2, 1)
        for value, shape in zip(found, shapes, strict=True):
            np.testing.assert_array_equal(value, np.zeros(shape))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_state_whose_size_turns_out_to_be_a_number_keeps_its_type(backend: str) -> None:
    n = sg.scalar("n", dtype="int64")
    loop = Loop(scan_of(sg.scan(lambda h: sg.tanh(h), [], [sg.zeros(n)], n_steps=3)))
    body = Graph(loop.body.inputs, [sg.constant(np.ones(4, "float32"))])
    alike = make_alike(loop.node, loop.node.inputs, body=body)
    assert alike.type is loop.node.type
    f = sg.compile([n], item(alike, 0)[-1], backend=backend)
    np.testing.assert_array_equal(f(4), np.ones(4))
    with pytest.raises(sg.CallError, match="reshape"):
        f(5)


def scan_of(result: sg.Variable) -> sg.Variable:
    (scan,) = [v for v in sg.ancestors(result) if is_scan(v)]
    return scan

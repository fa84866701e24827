"""The checks themselves: what they accept, and what they catch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.op import OPS, Op
from symgraph.core.variable import Variable, node
from symgraph.core.verify import verify
from symgraph.testing import RandomGraph, check_gradient, check_op, evaluate, random_graphs

X = np.array([[0.5, -1.0, 2.0]])


@pytest.fixture
def wrong_op():
    """An op whose gradient, result dtype and treatment of its input are all wrong."""

    def spoil(arrays):
        result = arrays[0] * 2
        arrays[0][...] = 0
        return result.astype("float32")

    op = Op(
        "wrong",
        lambda inputs: inputs[0].type,
        evaluate=spoil,
        vjp=lambda z, ct: [ct * 3],
    )
    yield lambda x: node(op, (x,))
    del OPS["wrong"]


def test_a_right_gradient_passes() -> None:
    check_gradient(lambda x, y: sg.exp(x) * sg.sin(y), X, X + 0.3)
    check_gradient(lambda x, i: [x[i], sg.sum(x)], np.arange(4.0), np.array([0, 2, 2]))


def test_a_parameter_keeps_its_value() -> None:
    weight = sg.shared(np.array([[1.0], [2.0], [3.0]]))
    check_gradient(lambda x: sg.tanh(sg.dot(x, weight)), X)


def test_a_wrong_gradient_fails() -> None:
    half = Op(
        "half", lambda inputs: inputs[0].type, lambda arrays: arrays[0] * 0.5, lambda z, ct: [ct]
    )
    try:
        with pytest.raises(AssertionError, match=r"argument_0 \(order 1\).*3 of 3"):
            check_gradient(lambda x: node(half, (x,)), X)
    finally:
        del OPS["half"]


def test_a_wrong_second_gradient_fails() -> None:
    cube = Op(
        "cube",
        lambda inputs: inputs[0].type,
        lambda arrays: arrays[0] ** 3,
        lambda z, ct: [ct * 3 * sg.stop_gradient(z.inputs[0]) ** 2],
    )
    try:
        check_gradient(lambda x: node(cube, (x,)), X, order=1)
        with pytest.raises(AssertionError, match="order 2"):
            check_gradient(lambda x: node(cube, (x,)), X)
    finally:
        del OPS["cube"]


def test_a_wrong_dtype_fails(wrong_op) -> None:
    with pytest.raises(AssertionError, match="came out as float32"):
        check_op(wrong_op, X.copy())


def test_a_changed_argument_fails(wrong_op) -> None:
    with pytest.raises(AssertionError, match="changed"):
        check_op(wrong_op, X.astype("float32"))


def test_evaluate_takes_one_or_several() -> None:
    x = sg.vector("x")
    assert evaluate(x * 2, {x: [1, 2]}).tolist() == [2, 4]
    first, second = evaluate([x + 1, sg.sum(x)], {x: [1, 2]})
    assert first.tolist() == [2, 3]
    assert second == 3


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(random_graphs(dtypes=("float32", "float64")))
def test_random_graphs_are_sound(graph: RandomGraph) -> None:
    """They verify, evaluate to what was inferred, and have gradients of the inputs' types."""
    inputs, outputs, values = graph
    verify(Graph(inputs, outputs))
    results = evaluate(outputs, dict(zip(inputs, values, strict=True)))
    for output, result in zip(outputs, results, strict=True):
        assert isinstance(output, Variable)
        assert result.dtype == output.dtype
        assert result.ndim == output.ndim
    cost = sum((sg.sum(v.astype("float64")) for v in outputs), start=sg.constant(0.0))
    for v, gradient in zip(inputs, sg.grad(cost, inputs, disconnected="zero"), strict=True):
        assert gradient.type is v.type

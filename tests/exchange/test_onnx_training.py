"""Whole training steps as models: dropout, loops and their gradients, the rule's slots, streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx_checks import node_counts, session_of

import symgraph as sg
import symgraph_nn as nn
from symgraph.exchange.subject import subject_of


class Net(nn.Module):
    """A classifier of sequences, as in the demonstration, of fewer units."""

    def __init__(self) -> None:
        self.dropout = nn.Dropout(0.3, rng=1)
        self.layer = nn.Bidirectional(nn.LSTM(4, 6, rng=2), nn.LSTM(4, 6, rng=3))
        self.readout = nn.Dense(12, 3, rng=4)

    def __call__(self, x: sg.Variable, mask: sg.Variable, *, training: bool) -> sg.Variable:
        y = self.layer(self.dropout(x, training=training), mask=mask)
        return self.readout(y[-1])


RULES = {
    "nesterov": (lambda loss, params: nn.nesterov(loss, params, 0.05, momentum=0.9), 1e-5),
    "adam": (lambda loss, params: nn.adam(loss, params, 0.01), 1e-3),
    "rmsprop": (lambda loss, params: nn.rmsprop(loss, params, 0.01), 1e-3),
}


def training_step(rule: Any) -> sg.Function:
    net = Net()
    x, mask = sg.tensor("x", ("T", "B", 4)), sg.tensor("mask", ("T", "B"))
    labels = sg.tensor("labels", ("B",), dtype="int64")
    loss = nn.cross_entropy(net(x, mask, training=True), labels).mean()
    return sg.compile(
        [x, mask, labels], loss, updates=rule(loss, net.params), name="train", backend="numpy"
    )


def batch(number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(number)
    steps, n = int(rng.integers(1, 9)), int(rng.integers(1, 6))
    lengths = rng.integers(1, steps + 1, n)
    mask = (np.arange(steps)[:, None] < lengths).astype("f")
    return [rng.normal(size=(steps, n, 4)).astype("f"), mask, rng.integers(0, 3, n)]


def state_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The values at first of the inputs that are updated."""
    given = {end.name for end in model.graph.input}
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in given]
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in tensors}


def step_of(session: Any, state: Any, arrays: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The loss of a call, and the state after it."""
    names = ["output", *(f"{key}_next" for key in state)]
    loss, *new = session.run(names, {**arrays, **state})
    return loss, dict(zip(state, new, strict=True))


def check_state(train: sg.Function, state: Any, tolerance: float) -> None:
    """Compare the state with that of the function's shared variables."""
    subject = subject_of(train)
    assert state.keys() == subject.updates.keys()
    for key, found in state.items():
        ours = subject.shared[key].get_value()
        size = np.max(np.abs(ours), initial=1.0)
        np.testing.assert_allclose(found, ours, rtol=0, atol=tolerance * size, err_msg=key)


@pytest.mark.parametrize("name", RULES)
def test_a_hundred_steps(name: str) -> None:
    rule, tolerance = RULES[name]
    train = training_step(rule)
    model = sg.export_onnx(train)
    assert [end.name for end in model.graph.input][:3] == ["x", "mask", "labels"]
    state, session = state_of(model), session_of(model)
    assert any("counter" in key for key in state)
    assert {end.name for end in model.graph.output} == {"output", *(f"{key}_next" for key in state)}
    assert node_counts(model)["Scan"] == 4
    for number in range(100):
        arrays = batch(number)
        named = dict(zip(("x", "mask", "labels"), arrays, strict=True))
        loss, state = step_of(session, state, named)
        np.testing.assert_allclose(loss, train(*arrays), rtol=1e-3)
    check_state(train, state, tolerance)


def test_the_values_of_the_time_of_export_stay() -> None:
    train = training_step(RULES["nesterov"][0])
    model = sg.export_onnx(train)
    before = state_of(model)
    train(*batch(0))
    again = state_of(sg.export_onnx(train))
    assert before.keys() == again.keys()
    assert any(not np.array_equal(before[key], again[key]) for key in before)


def test_statistics_of_batches() -> None:
    """Buffers that follow what a call sees are updates like others."""
    norm = nn.BatchNorm(4)
    x = sg.tensor("x", ("B", 4))
    loss = (norm(x, training=True) ** 2).mean() + norm.params[0].sum()
    train = sg.compile(
        [x], loss, updates=nn.sgd(loss, norm.params, 0.1), name="train", backend="numpy"
    )
    model = sg.export_onnx(train)
    state, session = state_of(model), session_of(model)
    rng = np.random.default_rng(0)
    for _ in range(5):
        value = rng.normal(size=(6, 4)).astype("f") * 3
        _, state = step_of(session, state, {"x": value})
        train(value)
    check_state(train, state, 1e-5)

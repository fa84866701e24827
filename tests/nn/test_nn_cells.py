"""Cells against one step written in NumPy, and against PyTorch's outputs."""

from __future__ import annotations

import math

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

N_IN, N_UNITS, BATCH = 3, 4, 2
DOUBLE = {"rng": 3, "dtype": "float64"}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step_rnn(cell, x, h):
    W, U, b = (v.get_value() for v in (cell.W, cell.U, cell.b))
    h = np.tanh(x @ W + h @ U + b)
    return h, h


def step_lstm(cell, x, state):
    h, c = state
    W, U, b = (v.get_value() for v in (cell.W, cell.U, cell.b))
    i, f, g, o = np.split(x @ W + h @ U + b, 4, axis=1)
    p_i, p_f, p_o = (
        (v.get_value() for v in (cell.p_i, cell.p_f, cell.p_o)) if cell.peepholes else (0, 0, 0)
    )
    new_c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g)
    h = sigmoid(o + p_o * new_c) * np.tanh(new_c)
    return h, (h, new_c)


def step_gru(cell, x, h):
    W, U, b = (v.get_value() for v in (cell.W, cell.U, cell.b))
    z_r, z_u, z_n = np.split(x @ W + b, 3, axis=1)
    y_r, y_u, y_n = np.split(h @ U, 3, axis=1)
    r, u = sigmoid(z_r + y_r), sigmoid(z_u + y_u)
    h = u * h + (1 - u) * np.tanh(z_n + r * y_n)
    return h, h


def step_gru_with_second_bias(cell, x, h):
    W, U, b, c = (v.get_value() for v in (cell.W, cell.U, cell.b, cell.c))
    z_r, z_u, z_n = np.split(x @ W + b, 3, axis=1)
    y_r, y_u, y_n = np.split(h @ U, 3, axis=1)
    r, u = sigmoid(z_r + y_r), sigmoid(z_u + y_u)
    h = u * h + (1 - u) * np.tanh(z_n + r * (y_n + c))
    return h, h


def step_gru_reset_before(cell, x, h):
    W, U, b = (v.get_value() for v in (cell.W, cell.U, cell.b))
    U_r, U_u, U_n = np.split(U, 3, axis=1)
    z_r, z_u, z_n = np.split(x @ W + b, 3, axis=1)
    r, u = sigmoid(z_r + h @ U_r), sigmoid(z_u + h @ U_u)
    h = u * h + (1 - u) * np.tanh(z_n + (r * h) @ U_n)
    return h, h


CASES = {
    "RNN": (lambda **k: nn.RNNCell(N_IN, N_UNITS, **k), step_rnn),
    "LSTM": (lambda **k: nn.LSTMCell(N_IN, N_UNITS, **k), step_lstm),
    "LSTM with peepholes": (lambda **k: nn.LSTMCell(N_IN, N_UNITS, peepholes=True, **k), step_lstm),
    "GRU": (lambda **k: nn.GRUCell(N_IN, N_UNITS, **k), step_gru),
    "GRU with a second bias": (
        lambda **k: nn.GRUCell(N_IN, N_UNITS, second_bias=True, **k),
        step_gru_with_second_bias,
    ),
    "GRU reset before": (
        lambda **k: nn.GRUCell(N_IN, N_UNITS, reset="before", **k),
        step_gru_reset_before,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_step_is_the_formula(name):
    make, reference = CASES[name]
    cell, rng = make(**DOUBLE), np.random.default_rng(0)
    for p in cell.params:  # biases and peepholes too
        p.set_value(rng.normal(size=p.get_value().shape))
    x = rng.normal(size=(BATCH, N_IN))
    zero = cell.initial_state(BATCH)
    parts = list(zero) if isinstance(zero, tuple) else [zero]
    values = [rng.normal(size=(BATCH, N_UNITS)) for _ in parts]
    symbols = [sg.matrix(f"s{i}", "float64") for i in range(len(parts))]
    x_t = sg.matrix("x", "float64")
    output, state = cell.step(x_t, tuple(symbols) if isinstance(zero, tuple) else symbols[0])
    new = list(state) if isinstance(state, tuple) else [state]
    found = sg.compile([x_t, *symbols], [output, *new])(x, *values)
    expected, expected_state = reference(
        cell, x, tuple(values) if isinstance(zero, tuple) else values[0]
    )
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    stacked = expected_state if isinstance(expected_state, tuple) else (expected_state,)
    for a, b in zip(found[1:], stacked, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    for part in parts:
        np.testing.assert_array_equal(part.eval(), np.zeros((BATCH, N_UNITS)))
        assert part.dtype == np.dtype("float64")


def fill(*shape, phase):
    return 0.8 * np.sin(np.arange(math.prod(shape)) * 1.3 + phase).reshape(shape)


# The last outputs of torch.nn.RNN, LSTM and GRU (2 inputs, 3 units, 4 steps, a batch of 2), whose
# weights are `fill` with the phases below and whose recurrent biases are zero.
PYTORCH = {
    "RNN": [
        0.763494383192, 0.891184198206, -0.236204396153,
        -0.190705839141, -0.0325903138755, 0.1738438832,
    ],
    "LSTM": [
        0.242516036447, -0.364673450767, -0.391256479017,
        0.131353370571, -0.322614172853, -0.247109957562,
    ],
    "GRU": [
        -0.23409094572, -0.479594293663, -0.263432142556,
        0.692188617752, -0.546729151203, -0.498990989987,
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", PYTORCH)
def test_layer_agrees_with_pytorch(name):
    layer = getattr(nn, name)(2, 3, dtype="float64")
    columns = layer.cell.n_gates * 3
    layer.cell.W.set_value(fill(2, columns, phase=0.5))
    layer.cell.U.set_value(fill(3, columns, phase=0.7))
    layer.cell.b.set_value(fill(columns, phase=0.9))
    y = layer(fill(4, 2, 2, phase=0.3)).eval()
    np.testing.assert_allclose(y[-1].ravel(), PYTORCH[name], rtol=1e-9)


def test_initial_values():
    lstm = nn.LSTMCell(5, 6, rng=0)
    b = lstm.b.get_value()
    np.testing.assert_array_equal(b[6:12], np.ones(6))  # the forget gate
    assert np.count_nonzero(b) == 6
    assert np.count_nonzero(nn.LSTMCell(5, 6, forget_bias=0.0).b.get_value()) == 0
    given = np.arange(24.0)
    np.testing.assert_array_equal(nn.LSTMCell(5, 6, bias=given).b.get_value(), given)
    for gate in np.split(lstm.U.get_value(), 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(6), atol=1e-5)
    # Every gate is drawn as a matrix of its own.
    limit = np.sqrt(6 / (5 + 6))
    assert 0.8 * limit < np.abs(lstm.W.get_value()).max() <= limit
    same, other = nn.LSTMCell(5, 6, rng=0), nn.LSTMCell(5, 6, rng=1)
    np.testing.assert_array_equal(same.W.get_value(), lstm.W.get_value())
    assert not np.array_equal(other.W.get_value(), lstm.W.get_value())
    rng = np.random.default_rng(0)
    first, second = nn.RNNCell(5, 6, rng=rng), nn.RNNCell(5, 6, rng=rng)
    assert not np.array_equal(first.W.get_value(), second.W.get_value())


def test_activation_of_the_plain_cell():
    cell = nn.RNNCell(2, 2, activation=sg.relu, rng=0)
    x = np.array([[1.0, -2.0]], "float32")
    output, _ = cell.step(sg.constant(x), cell.initial_state(1))
    np.testing.assert_allclose(output.eval(), np.maximum(x @ cell.W.get_value(), 0), rtol=1e-6)


def test_params_and_their_order():
    assert [p.name for p in nn.RNNCell(2, 3).params] == ["W", "U", "b"]
    peepholes = nn.LSTMCell(2, 3, peepholes=True)
    assert [p.name for p in peepholes.params] == ["W", "U", "b", "p_i", "p_f", "p_o"]
    assert repr(peepholes) == "LSTMCell(2, 3)"


@pytest.mark.parametrize("sizes", [(0, 3), (3, -1), (2.0, 3), ("3", 3), (True, 2)])
def test_sizes_that_make_no_sense(sizes):
    with pytest.raises(sg.SymgraphValueError, match="GRUCell"):
        nn.GRUCell(*sizes)


def test_resets_that_there_are_not():
    with pytest.raises(sg.SymgraphValueError, match="'after' or 'before'"):
        nn.GRUCell(1, 1, reset="never")
    with pytest.raises(sg.SymgraphValueError, match="second bias"):
        nn.GRU(1, 1, reset="before", second_bias=True)

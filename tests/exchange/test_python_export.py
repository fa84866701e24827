"""Programs go out as Python that NumPy alone runs, with the NumPy backend's bits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from python_programs import check, load, same

import symgraph as sg
import symgraph_nn as nn


class NormalisedCell(nn.Module):
    """A cell of a user's own: a gated unit with layer normalisation."""

    def __init__(self, n_in: int, n_units: int) -> None:
        rng = np.random.default_rng(0)
        self.n_units = n_units
        self.W = sg.shared(rng.normal(size=(n_in, n_units)).astype("float32") * 0.3, "W")
        self.U = sg.shared(rng.normal(size=(n_units, n_units)).astype("float32") * 0.3, "U")
        self.gain = sg.shared(np.ones(n_units, "float32"), "gain")
        self.bias = sg.shared(np.zeros(n_units, "float32"), "bias")

    def initial_state(self, batch: Any) -> sg.Variable:
        return sg.zeros((batch, self.n_units))

    def step(self, x_t: sg.Variable, h: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        z = x_t @ self.W + h @ self.U
        centred = z - z.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        normal = centred / sg.sqrt(variance + 1e-5) * self.gain + self.bias
        keep = sg.sigmoid(normal)
        h = keep * h + (1 - keep) * sg.tanh(normal)
        return h, h


def test_a_cell_of_ones_own_reads_as_it_was_written(tmp_path: Path) -> None:
    x = sg.tensor("x", ("T", "B", 5))
    f = sg.compile([x], nn.Recurrent(NormalisedCell(5, 8))(x), backend="numpy")
    path = sg.export_python(f, tmp_path, name="normalised")
    text = check(path)
    for name in ("z", "centred", "variance", "normal", "keep", "h"):
        assert re.search(rf"^    {name} = ", text, re.MULTILINE), (name, text)
    assert "def normalised_cell" in text
    assert not re.search(r"\bv\d+\b", text)
    g = load(path)
    for T, B in ((7, 3), (1, 1), (0, 4), (3, 0), (30, 16)):
        a = np.random.default_rng(1).normal(size=(T, B, 5)).astype("float32")
        same(g(a), f(a))


@pytest.mark.parametrize("shape", [(5, 2), (1, 1), (0, 3)])
def test_layers_go_out_with_masks_in_both_directions(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    x, mask = sg.tensor("x", ("T", "B", 3)), sg.tensor("mask", ("T", "B"))
    net = nn.Bidirectional(nn.LSTM(3, 4, rng=0), nn.LSTM(3, 4, rng=1))
    f = sg.compile([x, mask], net(x, mask=mask), backend="numpy")
    path = sg.export_python(f, tmp_path, name="net")
    text = check(path)
    assert text.count("def lstm_cell") == 1  # one body, two loops
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(*shape, 3)).astype("float32"), (rng.random(shape) > 0.3) * 1.0
    same(load(path)(*arrays), f(*arrays))


def test_loops_end_early_and_look_further_back(tmp_path: Path) -> None:
    x, n = sg.vector("x"), sg.scalar("n", "int64")

    def step(x_t, x_next, past, older):
        new = past + 0.5 * older + x_t * x_next
        return new, sg.until(new > 10.0)

    rows = {"input": x, "taps": [0, 1]}
    start = {"initial": sg.constant([1.0, 2.0]), "taps": [-1, -2]}
    y = sg.scan(step, [rows], [start])
    count = sg.scan(lambda number: number + 1, [], [sg.constant(0)], n_steps=n)
    f = sg.compile([x, n], {"all": y, "last": y[-1], "count": count[-1]}, backend="numpy")
    g = load(sg.export_python(f, tmp_path))
    check(tmp_path / "model.py")
    for length in (2, 9, 30):
        a = np.linspace(0.1, 2, length, dtype="float32")
        same(g(a, 5), f(a, 5))
    same(g(np.ones(4, "float32"), 1)["count"], f(np.ones(4, "float32"), 1)["count"])


def test_updates_come_back_as_new_values(tmp_path: Path) -> None:
    x = sg.matrix("x")
    w = sg.shared(np.ones(3, "float32"), "weights")
    stream = sg.random.Stream(7)
    loss = ((x @ w + stream.uniform(x.shape[0])) ** 2).mean()
    f = sg.compile([x], loss, updates=nn.sgd(loss, [w], 0.1), backend="numpy")
    g = load(sg.export_python(f, tmp_path))
    check(tmp_path / "model.py")
    a = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    values = None
    for _ in range(3):
        got, updates = g(a) if values is None else g(a, params=values)
        expected = f(a)
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        values = updates
    np.testing.assert_allclose(values["weights"], w.get_value(), rtol=1e-6)
    assert values["random_counter"] == stream.counter.get_value()

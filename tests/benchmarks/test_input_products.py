"""The pairs of the input products' benchmark compute the same, and rows have all figures."""

from __future__ import annotations

import input_products
import numpy as np
import pytest
from input_products import BACKENDS, FIGURES, PAIRS, Pair, Sizes

TINY = Sizes(n_steps=5, batch=2, n_in=3, n_units=4, n_symbols=3)


def states_by_numpy(pair: Pair) -> np.ndarray:
    """The states, step by step in float64."""
    _, params = input_products.make_inputs(pair, TINY)
    w, b, *table = (p.get_value().astype("float64") for p in params)
    x, *mask = input_products.make_sequences(pair, TINY)
    if table:
        x = table[0][x]
    if mask:
        x = x * mask[0][..., None]
    h = c = np.zeros((*x.shape[1:-1], TINY.n_units))
    states = []
    for row in x:
        z = np.concatenate([row, h], axis=-1) @ w + b
        if pair.n_gates == 1:
            h = np.tanh(z)
        else:
            i, f, g, o = np.split(z, 4, axis=-1)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
        states.append(h)
    return np.array(states)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PAIRS)
def test_both_ways_give_the_states_of_numpy(name, backend):
    pair = PAIRS[name]
    values = input_products.make_sequences(pair, TINY)
    for function in input_products.compile_pair(pair, TINY, backend, "forward"):
        (states,) = function(*values)
        np.testing.assert_allclose(states, states_by_numpy(pair), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PAIRS)
def test_both_ways_have_the_same_gradients(name, backend):
    pair = PAIRS[name]
    values = input_products.make_sequences(pair, TINY)
    inside, hoisted = input_products.compile_pair(pair, TINY, backend, "training")
    for found, expected in zip(inside(*values), hoisted(*values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_a_row_has_times_and_ratios_of_all_figures(monkeypatch):
    monkeypatch.setattr("measure.SAMPLE_MS", 0.01)
    row = input_products.measure_pair("tanh", "numpy", 1, TINY)
    assert all(
        row[f"{figure}: ratio"] == row[f"{figure}: inside, ms"] / row[f"{figure}: hoisted, ms"]
        for figure in FIGURES
    )

"""Nets that train alike on both backends."""

import numpy as np

import symgraph as sg
import symgraph_nn as nn


def curve_of(backend: str) -> list[float]:
    """The README's example: its error over a hundred steps."""
    wave = np.sin(np.arange(400) / 5)
    data = np.stack([wave[i : i + 31] for i in range(0, 360, 6)], axis=1)[..., None]
    x, y = sg.tensor("x", ("T", "B", 1)), sg.tensor("y", ("T", "B", 1))
    net = nn.Sequential(
        nn.Bidirectional(nn.LSTM(1, 16, rng=0), nn.LSTM(1, 16, rng=1)), nn.Dense(32, 1, rng=2)
    )
    loss = nn.squared_error(net(x), y)
    updates = nn.nesterov(loss, net.params, 0.1, 0.9)
    train = sg.compile([x, y], loss, updates=updates, backend=backend)
    return [float(train(data[:-1], data[1:])) for _ in range(100)]


def test_the_example_of_the_readme_has_one_loss_curve():
    native, reference = curve_of("native"), curve_of("numpy")
    np.testing.assert_allclose(native, reference, atol=1e-6)
    # What gradients of zero for the backward layer gave was 0.0046.
    assert 0.0030 < native[-1] < 0.0034

"""What is known of convolutions beyond their values, which are in the op table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.testing import evaluate


def test_sizes() -> None:
    x, w = sg.tensor("x", ("B", "T", 3)), sg.tensor("w", (5, 3, 8))
    assert str(sg.conv1d(x, w, padding="same").type) == "float32[B, T, 8]"
    assert str(sg.conv1d(x, w, padding="causal").type) == "float32[B, T, 8]"
    assert str(sg.conv1d(x, w, padding="same", stride=2).type) == "float32[B, (T + 1)//2, 8]"
    assert sg.conv1d(x, w).type.shape[1] is x[:, 4:].type.shape[1]
    image = sg.tensor("image", ("B", 28, 28, 1))
    features = sg.conv2d(image, sg.tensor("w", (3, 3, 1, 4)), padding="same")
    assert features.type.shape[1:] == (28, 28, 4)
    assert sg.max_pool(features, 2).type.shape[1:] == (14, 14, 4)
    assert str(sg.max_pool(x, 2).type) == "float32[B, T//2, 3]"
    by_x = sg.grad(sg.conv1d(x, w, stride=3).sum(), x)
    assert by_x.type is x.type


def test_causal_outputs_do_not_see_the_future() -> None:
    x = sg.tensor("x", ("B", "T", 1), "float64")
    y = sg.conv1d(x, np.ones((4, 1, 1)), padding="causal", dilation=2)
    array = np.random.default_rng(0).normal(size=(1, 12, 1))
    later = array.copy()
    later[:, 6:] = 99
    before, after = (evaluate(y, {x: a}) for a in (array, later))
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert (before[:, 6:] != after[:, 6:]).all()


def test_a_window_that_is_too_large() -> None:
    x = sg.tensor("x", ("B", "T", 1), "float64")
    for y in (sg.conv1d(x, np.ones((4, 1, 1))), sg.max_pool(x, 4), sg.average_pool(x, 4)):
        assert evaluate(y, {x: np.ones((1, 4, 1))}).shape == (1, 1, 1)
        with pytest.raises(sg.CallError, match="larger than axis 1"):
            evaluate(y, {x: np.ones((1, 3, 1))})
    with pytest.raises(sg.ShapeError, match=r"test_conv\.py"):
        sg.conv1d(sg.tensor("x", (1, 3, 1)), np.ones((2, 1, 1)), dilation=3)
    assert sg.conv1d(sg.tensor("x", (1, 3, 1)), np.ones((4, 1, 1)), padding=1).type.shape[1] == 2


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "full"},
        {"padding": -1},
        {"padding": (1, 2, 3)},
        {"padding": 1.5},
        {"stride": 0},
        {"stride": (1, 1)},
        {"dilation": True},
        {"groups": 2},
        {"groups": 0},
    ],
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(sg.SymgraphError, match=r"test_conv\.py"):
        sg.conv1d(sg.tensor("x", ("B", "T", 3)), sg.tensor("w", (2, 3, 5)), **options)


def test_max_pool_shares_the_gradient_of_ties() -> None:
    x = sg.tensor("x", (1, 4, 1), "float64")
    gradient = sg.grad(sg.max_pool(x, 2).sum(), x)
    found = evaluate(gradient, {x: np.array([1.0, 1, 3, 2]).reshape(1, 4, 1)})
    np.testing.assert_array_equal(found.ravel(), [0.5, 0.5, 1, 0])


def test_integers_and_mixed_dtypes() -> None:
    x = sg.tensor("x", (1, 4, 1), "int32")
    array = np.arange(4, dtype=np.int32).reshape(1, 4, 1)
    pooled = sg.max_pool(x, 3, stride=1, padding="same")
    assert pooled.dtype == np.int32
    np.testing.assert_array_equal(evaluate(pooled, {x: array - 9}).ravel(), [-8, -7, -6, -6])
    assert sg.conv1d(x, np.ones((2, 1, 1), np.float32)).dtype == np.float64

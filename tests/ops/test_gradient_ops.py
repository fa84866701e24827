"""What the identities of `symgraph.ops.gradient` do to what flows back."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.testing import evaluate

X = np.array([0.5, -2.0, 3.0])


def test_stop_gradient_makes_a_constant() -> None:
    x = sg.tensor("x", ("T",), "float64")
    product = sg.stop_gradient(x) * x
    value, gradient = evaluate([product, sg.grad(sg.sum(product), x)], {x: X})
    np.testing.assert_array_equal(value, X * X)
    np.testing.assert_array_equal(gradient, X)
    with pytest.raises(sg.DisconnectedError, match="stop_gradient"):
        sg.grad(sg.sum(sg.stop_gradient(x)), x)


def test_clip_gradient_bounds_each_element() -> None:
    x = sg.tensor("x", ("T",), "float64")
    low = sg.tensor("low", (), "float64")
    cost = sg.sum(sg.square(sg.clip_gradient(x, low, 1.5)))
    gradient = sg.grad(cost, x)
    assert evaluate(gradient, {x: X, low: -3.0}).tolist() == [1.0, -3.0, 1.5]
    with pytest.raises(sg.ShapeError, match="scalar"):
        sg.clip_gradient(x, x, 1.0)

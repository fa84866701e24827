"""Derivatives of layers against central differences."""

from __future__ import annotations

import numpy as np

import symgraph as sg


def check_two_orders(cost, x, point, params, weights_of):
    """Compare the gradients by ``x`` and the parameters, and the gradient of a weighted sum of
    these, with differences at a value of ``x``; ``weights_of(shape, number)`` gives the weights."""
    wrt = [x, *params]
    mixed = [sg.sum(g * weights_of(g.shape, k)) for k, g in enumerate(sg.grad(cost, wrt))]
    for scalar in (cost, sum(mixed[1:], mixed[0])):
        exact = sg.compile([x], sg.grad(scalar, wrt))(point)
        value_of = sg.compile([x], scalar)
        for variable, gradient in zip(wrt, exact, strict=True):
            start = point if variable is x else variable.get_value()

            def at(value, f=value_of, v=variable):
                if v is x:
                    return f(value)
                v.set_value(value)
                return f(point)

            numeric = _differences(at, start)
            if variable is not x:
                variable.set_value(start)
            scale = max(1.0, np.abs(numeric).max())
            np.testing.assert_allclose(gradient / scale, numeric / scale, rtol=0, atol=1e-6)


def _differences(f, value, h=1e-5):
    """Central differences of a scalar function by each element."""
    found = np.zeros_like(value)
    for i in np.ndindex(*value.shape):
        ahead, behind = value.copy(), value.copy()
        ahead[i] += h
        behind[i] -= h
        found[i] = (f(ahead) - f(behind)) / (2 * h)
    return found

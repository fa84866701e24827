"""Derivatives at awkward points: where a limit is finite, so is the derivative, and equal to it.

Each case states a function, a point, the gradient of the sum there, and the Hessian (None where
there is none), worked out by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import symgraph as sg

inf = np.inf
ORIGIN, BELOW, EYE = np.zeros(3), -np.ones(3), np.eye(3)


class Limit(NamedTuple):
    function: Callable[[sg.Variable], sg.Variable]
    point: Any
    gradient: Any
    hessian: Any = None


def norm(x: sg.Variable) -> sg.Variable:
    return sg.sqrt((x**2).sum())


def norms(x: sg.Variable) -> sg.Variable:
    return sg.sqrt((x**2).sum(axis=1))


def first(y: sg.Variable) -> sg.Variable:
    return sg.where(np.array([[True], [False]]), y, 0.0)[:, 1]


LIMITS = {
    # Where the root is a factor of what comes after, its derivative is finite.
    "norm ** 2": Limit(lambda x: norm(x) ** 2, ORIGIN, 0, 2 * EYE),
    "square of norm": Limit(lambda x: sg.square(norm(x)), ORIGIN, 0, 2 * EYE),
    "norm * norm": Limit(lambda x: norm(x) * norm(x), ORIGIN, 0, 2 * EYE),
    "norm ** 3": Limit(lambda x: norm(x) ** 3, ORIGIN, 0, 0),
    "norm ** 4": Limit(lambda x: norm(x) ** 4, ORIGIN, 0, 0),
    "norm * dot": Limit(lambda x: norm(x) * (x * [1.0, 2.0, 3.0]).sum(), ORIGIN, 0),
    "sqrt ** 2": Limit(lambda x: sg.sqrt(x) ** 2, ORIGIN, 1, 0),
    "sqrt ** 3": Limit(lambda x: sg.sqrt(x) ** 3, ORIGIN, 0),
    "sqrt ** 4": Limit(lambda x: sg.sqrt(x) ** 4, ORIGIN, 0, 2 * EYE),
    "half power": Limit(lambda x: (x**0.5) ** 2, ORIGIN, 1, 0),
    "cubic root": Limit(lambda x: (x ** (1 / 3)) ** 3, ORIGIN, 1, 0),
    "root in a sum": Limit(
        lambda x: 3 * sg.sqrt(x) ** 2 - sg.sqrt(x) * sg.sqrt(x) / 2 + x, ORIGIN, 3.5, 0
    ),
    "root read twice": Limit(
        lambda x: sg.sqrt(x) ** 2 + sg.where(x > 0, sg.sqrt(x), 0.0), ORIGIN, 1, 0
    ),
    "exp of sqrt ** 2": Limit(lambda x: sg.exp(sg.sqrt(x) ** 2), ORIGIN, 1, EYE),
    "reshaped root": Limit(lambda x: sg.sqrt(x).reshape((3, 1)) ** 2, ORIGIN, 1, 0),
    "flipped root": Limit(lambda x: sg.sqrt(x)[::-1] ** 2, ORIGIN, 1, 0),
    "part of a root": Limit(lambda x: sg.sqrt(x)[1:] ** 2, ORIGIN, [0, 1, 1], 0),
    "elements of a root": Limit(lambda x: sg.sqrt(x)[[0, 2, 0]] ** 2, ORIGIN, [2, 0, 1], 0),
    "column of roots": Limit(lambda x: (sg.sqrt(x)[:, None] * np.ones(2)) ** 2, ORIGIN, 2, 0),
    "row of roots": Limit(lambda x: (sg.sqrt(x) * np.ones((2, 1))) ** 2, ORIGIN, 2, 0),
    "repeated root": Limit(lambda x: sg.broadcast_to(sg.sqrt(x), (2, *x.shape)) ** 2, ORIGIN, 2, 0),
    "joined roots": Limit(lambda x: sg.concatenate([sg.sqrt(x), sg.sqrt(x)]) ** 2, ORIGIN, 2, 0),
    "stacked roots": Limit(lambda x: sg.stack([x, sg.sqrt(x)], axis=1) ** 2, ORIGIN, 1, 2 * EYE),
    "changed root": Limit(lambda x: sg.sqrt(x).set(0, 5.0) ** 2, ORIGIN, [0, 1, 1], 0),
    "changed roots": Limit(lambda x: sg.sqrt(x).set([0, 2], x[:2]) ** 2, ORIGIN, [0, 1, 0]),
    "moved root": Limit(lambda x: sg.roll(sg.sqrt(x)[:, None].T, 1) ** 2, ORIGIN, 1, 0),
    "masked root": Limit(lambda x: sg.where(x >= 0, sg.sqrt(x) ** 2, 0.0), ORIGIN, 1, 0),
    "squares of norms": Limit(lambda x: norms(x) ** 2, np.zeros((2, 2)), 0),
    # Kinks in the middle, and functions that are flat there.
    "sqrt of x ** 4": Limit(lambda x: sg.sqrt(x**4), ORIGIN, 0),
    "norm": Limit(norm, ORIGIN, 0),
    "unit vector": Limit(lambda x: sg.where(norm(x) > 0, x / norm(x), 0.0), ORIGIN, 0, 0),
    "exp(-1 / x ** 2)": Limit(lambda x: sg.exp(-1 / x**2), ORIGIN, 0, 0),
    "x * abs": Limit(lambda x: x * sg.abs(x), ORIGIN, 0, 0),
    "x ** 2.5": Limit(lambda x: x**2.5, ORIGIN, 0, 0),
    "hypot": Limit(lambda x: sg.hypot(x, x), ORIGIN, 0),
    "zero times root": Limit(lambda x: 0.0 * sg.sqrt(x), ORIGIN, 0, 0),
    "root of zero times": Limit(lambda x: sg.sqrt(0.0 * x), ORIGIN, 0, 0),
    "root of relu": Limit(lambda x: sg.sqrt(sg.relu(x)), BELOW, 0, 0),
    "root of maximum": Limit(lambda x: sg.sqrt(sg.maximum(x, 0.0)), BELOW, 0, 0),
    "root of clip": Limit(lambda x: sg.sqrt(sg.clip(x, 0.0, 1.0)), BELOW, 0, 0),
    "root of where": Limit(lambda x: sg.sqrt(sg.where(x > 0, x, 0.0)), BELOW, 0, 0),
    "log of max": Limit(
        lambda x: sg.log(sg.max(x)), [0.0, 1.0, 0.5], [0, 1, 0], -np.diag([0, 1, 0])
    ),
    "entropy": Limit(
        lambda x: sg.where(x > 0, x * sg.log(x), 0.0),
        [0.0, 1.0, 2.0],
        [0, 1, 1 + np.log(2)],
        np.diag([0, 1, 0.5]),
    ),
    # Parts that are not read.
    "sqrt(x)[2:]": Limit(
        lambda x: sg.sqrt(x)[2:], [0.0, 0, 4], [0, 0, 1 / 4], np.diag([0, 0, -1 / 32])
    ),
    "sqrt(x).set(0, 0)": Limit(
        lambda x: sg.sqrt(x).set(0, 0.0),
        [0.0, 1, 4],
        [0, 1 / 2, 1 / 4],
        np.diag([0, -1 / 4, -1 / 32]),
    ),
    "nothing read": Limit(lambda x: sg.sqrt(x)[3:], ORIGIN, 0, 0),
    "masked norms": Limit(
        lambda x: sg.where(norms(x) > 0, norms(x), 0.0), [[0.0, 0], [3, 4]], [[0, 0], [0.6, 0.8]]
    ),
    "one element": Limit(lambda x: sg.where(x > 0, sg.sqrt(x), 0.0), [0.0], 0, 0),
    "no element": Limit(lambda x: sg.where(x > 0, sg.sqrt(x), 0.0), np.zeros(0), 0, 0),
    "scalar": Limit(lambda x: sg.where(x > 0, sg.sqrt(x), 0.0), 0.0, 0, 0),
    "ifelse": Limit(lambda x: sg.ifelse(x > 0, sg.log(x), 2.0 * x), 0.0, 2, 0),
    # Reductions.
    "var": Limit(sg.var, np.ones(3), 0, 2 / 3 * (EYE - 1 / 3)),
    "std": Limit(sg.std, np.ones(3), 0, 0),
    "prod of a zero": Limit(sg.prod, [0.0, 2, 3], [6, 0, 0], [[0, 3, 2], [3, 0, 0], [2, 0, 0]]),
    "prod of zeros": Limit(sg.prod, [0.0, 0, 3], 0, [[0, 3, 0], [3, 0, 0], [0, 0, 0]]),
    "cumprod of zeros": Limit(
        sg.cumprod, [0.0, 0, 3], [1, 0, 0], [[0, 4, 0], [4, 0, 0], [0, 0, 0]]
    ),
    "max of equals": Limit(sg.max, [1.0, 1, 0], [0.5, 0.5, 0], 0),
    "logsumexp": Limit(
        sg.logsumexp, [-inf, 0, 0], [0, 0.5, 0.5], [[0, 0, 0], [0, 0.25, -0.25], [0, -0.25, 0.25]]
    ),
    "logsumexp of nothing": Limit(sg.logsumexp, [-inf, -inf, -inf], 0, 0),
    "softmax": Limit(lambda x: sg.softmax(x) * [1.0, 2.0, 4.0], [-inf, 0, 0], [0, -0.5, 0.5], 0),
    "masked softmax": Limit(
        lambda x: first(sg.softmax(x)),
        [[0.0] * 3, [-inf] * 3],
        [[-1 / 9, 2 / 9, -1 / 9], [0, 0, 0]],
    ),
    "masked log_softmax": Limit(
        lambda x: first(sg.log_softmax(x)),
        [[0.0] * 3, [-inf] * 3],
        [[-1 / 3, 2 / 3, -1 / 3], [0, 0, 0]],
    ),
    "attention": Limit(
        lambda x: sg.softmax(sg.where([True, False, True], x, -inf)) * [1.0, 2.0, 4.0],
        [0.0, 5.0, 0.0],
        [-0.75, 0, 0.75],
        0,
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit(name: str) -> None:
    function, point, gradient, hessian = LIMITS[name]
    point = np.asarray(point, "float64")
    direction = np.linspace(-0.9, 2.1, point.size).reshape(point.shape)
    gradient = np.broadcast_to(np.asarray(gradient, "float64"), point.shape)
    for backend, shape in (("numpy", point.shape), ("native", (None,) * point.ndim)):
        x = sg.tensor("x", shape, "float64")
        cost = function(x).sum()
        by_x, tangent = sg.grad(cost, x), sg.jvp(cost, x, direction)
        second = [
            sg.hessian_vector_product(cost, x, direction),
            sg.jvp(by_x, x, direction),
            sg.grad(tangent, x, disconnected="zero"),
        ]
        outputs = [by_x, tangent, sg.hessian(cost, x), *second, cost]
        found = sg.compile([x], outputs, backend=backend)(point)
        np.testing.assert_allclose(found[0], gradient, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found[1], (gradient * direction).sum(), rtol=1e-12, atol=1e-12)
        if hessian is None:
            continue
        matrix = np.broadcast_to(np.asarray(hessian, "float64"), 2 * point.shape)
        np.testing.assert_allclose(found[2], matrix, rtol=1e-12, atol=1e-12)
        product = np.tensordot(matrix, direction, point.ndim)
        for each in found[3:-1]:
            np.testing.assert_allclose(each, product, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_what_is_nan_and_read_stays_nan(backend: str) -> None:
    x = sg.tensor("x", (3,), "float64")
    for function in (sg.tanh, sg.sqrt, sg.exp, lambda x: x * x, lambda x: 1.0 / x):
        by_x = sg.compile([x], sg.grad(function(x).sum(), x), backend=backend)([np.nan, 0.5, 2.0])
        assert np.isnan(by_x).tolist() == [True, False, False]


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_what_is_infinite_and_read_stays_infinite(backend: str) -> None:
    x = sg.tensor("x", (2,), "float64")
    for function in (sg.sqrt, sg.log, lambda x: x**0.5, lambda x: 2.0 * x ** (1 / 3) + x):
        cost = (function(x) * [3.0, 1.0]).sum()
        for derivative in (sg.grad(cost, x), sg.jvp(function(x), x, np.ones(2))):
            found = sg.compile([x], derivative, backend=backend)([0.0, 1.0])
            assert np.isposinf(found[0])
            assert np.isfinite(found[1])

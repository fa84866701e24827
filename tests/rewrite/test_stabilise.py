"""Formulas as people write them, and their gradients, at logits where they lose everything."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy import special

import symgraph as sg

LOGITS = np.array(
    [[1000.0, -1000.0, 0.0, 3.0], [1.0, 2.0, 3.0, 4.0], [-1000.0, -1000.0, -1000.0, -999.0]]
)
LABELS = np.array([1, 2, 3])
POINTS = np.array([-1000.0, -40.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 40.0, 1000.0])


def value_and_gradient(function, point, *others):
    """A function of one array, and the gradient of its sum, compiled with all rewrites."""
    x = sg.tensor("x", point.shape, dtype="float64")
    rest = [sg.tensor(f"other_{i}", a.shape, dtype=a.dtype) for i, a in enumerate(others)]
    y = function(x, *rest)
    f = sg.compile([x, *rest], [y, sg.grad(sg.sum(y), x)], backend="numpy")
    return f(point, *others)


BELOW_0 = np.array([-1e300, -1000.0, -40.0, -1.0, -0.7, -0.69, -1e-9, -1e-20, -1e-300])


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: sg.log(1.0 - sg.exp(x)),
        lambda x: sg.log1p(-sg.exp(x)),
        lambda x: sg.log(-sg.expm1(x)),
    ],
    ids=["log(1 - exp(x))", "log1p(-exp(x))", "log(-expm1(x))"],
)
def test_the_logarithm_of_the_complement_of_an_exponential(function, backend):
    x = sg.tensor("x", ("n",), dtype="float64")
    y = function(x)
    value, gradient = sg.compile([x], [y, sg.grad(sg.sum(y), x)], backend=backend)(BELOW_0)
    with mpmath.workdps(400):
        exact = [mpmath.exp(mpmath.mpf(p)) if p > -1e4 else mpmath.mpf(0) for p in BELOW_0]
        expected = np.array([float(mpmath.log(1 - e)) for e in exact])
        slope = np.array([float(-e / (1 - e)) for e in exact])
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(gradient, slope, rtol=1e-14)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_the_inverse_of_softplus(backend):
    x = sg.tensor("x", ("n",), dtype="float64")
    y = sg.log(sg.exp(x) - 1.0)
    value, gradient = sg.compile([x], [y, sg.grad(sg.sum(y), x)], backend=backend)(-BELOW_0[1:])
    with mpmath.workdps(400):
        exact = [mpmath.expm1(mpmath.mpf(-p)) for p in BELOW_0[1:]]
        expected = np.array([float(mpmath.log(e)) for e in exact])
        slope = np.array([float((e + 1) / e) for e in exact])
    np.testing.assert_allclose(value, expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(gradient, slope, rtol=1e-14)


def exp_over_sum(x):
    return sg.exp(x) / sg.sum(sg.exp(x), axis=1, keepdims=True)


def shifted(x):
    weights = sg.exp(x - sg.max(x, axis=1, keepdims=True))
    return weights / sg.expand_dims(sg.sum(weights, axis=1), 1)


SHARES = {"softmax": sg.softmax, "exp over its sum": exp_over_sum, "shifted": shifted}


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_cross_entropy_of_the_chosen_logarithms(shares):
    def loss(x, labels):
        return -sg.mean(sg.log(shares(x))[sg.arange(x.shape[0]), labels])

    check_cross_entropy(*value_and_gradient(loss, LOGITS, LABELS))


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_cross_entropy_of_the_logarithms_of_the_chosen(shares):
    def loss(x, labels):
        return -sg.mean(sg.log(shares(x)[sg.arange(x.shape[0]), labels]))

    check_cross_entropy(*value_and_gradient(loss, LOGITS, LABELS))


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_cross_entropy_of_one_hot_labels(shares):
    def loss(x, labels):
        targets = sg.one_hot(labels, 4, dtype="float64")
        return sg.mean(-sg.sum(targets * sg.log(shares(x)), axis=1))

    check_cross_entropy(*value_and_gradient(loss, LOGITS, LABELS))


def check_cross_entropy(loss, gradient):
    logs = special.log_softmax(LOGITS, axis=1)
    rows = np.arange(len(LABELS))
    expected = special.softmax(LOGITS, axis=1)
    expected[rows, LABELS] -= 1.0
    np.testing.assert_allclose(loss, -logs[rows, LABELS].mean(), rtol=1e-12)
    np.testing.assert_allclose(gradient, expected / len(LABELS), rtol=1e-9, atol=1e-15)


def test_cross_entropy_under_a_mask():
    def loss(x, labels, mask):
        logs = sg.log(sg.softmax(x))[sg.arange(x.shape[0]), labels]
        return -sg.sum(sg.where(mask, logs, 0.0))

    mask = np.array([True, False, True])
    found, gradient = value_and_gradient(loss, LOGITS, LABELS, mask)
    expected = special.softmax(LOGITS, axis=1)
    expected[np.arange(3), LABELS] -= 1.0
    logs = special.log_softmax(LOGITS, axis=1)[np.arange(3), LABELS]
    np.testing.assert_allclose(found, -logs[mask].sum(), rtol=1e-12)
    np.testing.assert_allclose(gradient, expected * mask[:, None], rtol=1e-9, atol=1e-15)


LOG_SUMS = {
    "sum, axis dropped": lambda x: sg.log(sg.sum(sg.exp(x), axis=1)),
    "sum, axis kept": lambda x: sg.log(sg.sum(sg.exp(x), axis=1, keepdims=True))[:, 0],
    "mean": lambda x: sg.log(sg.mean(sg.exp(x), axis=1)) + np.log(4.0),
}


@pytest.mark.parametrize("function", LOG_SUMS.values(), ids=LOG_SUMS)
def test_logarithm_of_a_sum_of_exponentials(function):
    found, gradient = value_and_gradient(function, LOGITS)
    np.testing.assert_allclose(found, special.logsumexp(LOGITS, axis=1), rtol=1e-12)
    np.testing.assert_allclose(gradient, special.softmax(LOGITS, axis=1), rtol=1e-9, atol=1e-15)


def test_log_softmax_written_with_logsumexp():
    found, _ = value_and_gradient(lambda x: x - sg.logsumexp(x, axis=1, keepdims=True), LOGITS)
    np.testing.assert_allclose(found, special.log_softmax(LOGITS, axis=1), rtol=1e-12)


def test_a_sum_over_another_axis_is_no_softmax():
    square = LOGITS[:2, :2] / 1000.0

    def wrong(x):
        return sg.exp(x) / sg.sum(sg.exp(x), axis=1)  # along the last axis, not the rows

    found, _ = value_and_gradient(wrong, square)
    np.testing.assert_allclose(found, np.exp(square) / np.exp(square).sum(axis=1), rtol=1e-12)


EXPIT, LOG_EXPIT = special.expit, special.log_expit
POINTWISE = {
    "log(sigmoid)": (lambda x: sg.log(sg.sigmoid(x)), LOG_EXPIT, lambda x: EXPIT(-x)),
    "log(1 - sigmoid)": (
        lambda x: sg.log(1.0 - sg.sigmoid(x)),
        lambda x: LOG_EXPIT(-x),
        lambda x: -EXPIT(x),
    ),
    "log(1 / (1 + exp(-x)))": (
        lambda x: sg.log(1.0 / (1.0 + sg.exp(-x))),
        LOG_EXPIT,
        lambda x: EXPIT(-x),
    ),
    "log(1 + exp)": (lambda x: sg.log(1.0 + sg.exp(x)), lambda x: -LOG_EXPIT(-x), EXPIT),
    "log(exp)": (lambda x: sg.log(sg.exp(x)), lambda x: x, np.ones_like),
    "exp / (1 + exp)": (
        lambda x: sg.exp(x) / (1.0 + sg.exp(x)),
        EXPIT,
        None,
    ),
}


@pytest.mark.parametrize(("function", "value", "slope"), POINTWISE.values(), ids=POINTWISE)
def test_sigmoids_and_logarithms(function, value, slope):
    found, gradient = value_and_gradient(function, POINTS)
    np.testing.assert_allclose(found, value(POINTS), rtol=1e-12, atol=1e-300)
    if slope is not None:
        # 1 - sigmoid(x), as the derivative has it, is exact to an absolute 1e-16.
        np.testing.assert_allclose(gradient, slope(POINTS), rtol=1e-9, atol=3e-16)


def test_binary_cross_entropy_from_probabilities():
    def loss(x, targets):
        p = sg.sigmoid(x)
        return -(targets * sg.log(p) + (1.0 - targets) * sg.log(1.0 - p))

    targets = np.array([0.0, 1.0, 0.3, 0.0, 1.0, 0.5, 0.0, 1.0, 0.0])
    found, gradient = value_and_gradient(loss, POINTS, targets)
    expected = -(targets * LOG_EXPIT(POINTS) + (1.0 - targets) * LOG_EXPIT(-POINTS))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, EXPIT(POINTS) - targets, rtol=1e-9, atol=1e-15)


SMALL = np.array([-1e-3, -1e-9, -1e-15, 0.0, 1e-15, 1e-9, 1e-3])


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda x: sg.log(1.0 + x), np.log1p),
        (lambda x: sg.log(1.0 - x), lambda x: np.log1p(-x)),
        (lambda x: sg.exp(x) - 1.0, np.expm1),
        (lambda x: 1.0 - sg.exp(x), lambda x: -np.expm1(x)),
    ],
)
def test_digits_near_zero(function, value):
    found, _ = value_and_gradient(function, SMALL)
    np.testing.assert_allclose(found, value(SMALL), rtol=1e-15)


def test_infinite_and_undefined_values_stay():
    points = np.array([np.inf, -np.inf, np.nan])
    for function, reference in (
        (lambda x: sg.log(sg.exp(x)), lambda x: x),
        (lambda x: sg.log(1.0 + x), np.log1p),
        (lambda x: sg.log(1.0 + sg.exp(x)), lambda x: np.logaddexp(0.0, x)),
        (lambda x: sg.log(sg.sigmoid(x)), LOG_EXPIT),
    ):
        with np.errstate(all="ignore"):
            found, _ = value_and_gradient(function, points)
            np.testing.assert_array_equal(found, reference(points))

"""Derivatives of formulas whose exponentials overflow: in reverse, forwards, and whole matrices."""

import numpy as np
import pytest
from scipy import special

import symgraph as sg

BACKENDS = ("numpy", "native")
POINTS = [
    np.array([-1000.0, 3.0, 800.0]),
    np.array([900.0, -800.0, 2.0]),
    np.array([0.1, -0.2, 0.3]),
    np.array([750.0]),
]
EXPIT = special.expit


def diagonal(slope):
    return lambda x: np.diag(slope(x))


def of_log_softmax(x):
    return np.eye(len(x)) - special.softmax(x)[None]


def of_softmax(x):
    shares = special.softmax(x)
    return np.diag(shares) - np.outer(shares, shares)


def written_softmax(x):
    return sg.exp(x) / sg.sum(sg.exp(x))


# Each with its matrix of derivatives; a gradient where the result has no axes.
FORMULAS = {
    "log(exp)": (lambda x: sg.log(sg.exp(x)), diagonal(np.ones_like)),
    "log(1 + exp)": (lambda x: sg.log(1.0 + sg.exp(x)), diagonal(EXPIT)),
    "log1p(exp)": (lambda x: sg.log1p(sg.exp(x)), diagonal(EXPIT)),
    "log(sigmoid)": (lambda x: sg.log(sg.sigmoid(x)), diagonal(lambda x: EXPIT(-x))),
    "log(1 - sigmoid)": (lambda x: sg.log(1 - sg.sigmoid(x)), diagonal(lambda x: -EXPIT(x))),
    "log1p(-sigmoid)": (lambda x: sg.log1p(-sg.sigmoid(x)), diagonal(lambda x: -EXPIT(x))),
    "exp / (1 + exp)": (
        lambda x: sg.exp(x) / (1 + sg.exp(x)),
        diagonal(lambda x: EXPIT(x) * EXPIT(-x)),
    ),
    "log(expm1(abs))": (
        lambda x: sg.log(sg.expm1(sg.abs(x))),
        diagonal(lambda x: np.sign(x) / -np.expm1(-np.abs(x))),
    ),
    "log of two": (
        lambda x: sg.log(sg.exp(x) + sg.exp(2 * x)),
        diagonal(lambda x: 1 + EXPIT(x)),
    ),
    "log(sum(exp))": (lambda x: sg.log(sg.sum(sg.exp(x))), special.softmax),
    "log(sum(exp)), axis kept": (
        lambda x: sg.log(sg.sum(sg.exp(x), axis=0, keepdims=True)),
        lambda x: special.softmax(x)[None],
    ),
    "log(mean(exp))": (lambda x: sg.log(sg.mean(sg.exp(x))), special.softmax),
    "written softmax": (written_softmax, of_softmax),
    "log of written softmax": (lambda x: sg.log(written_softmax(x)), of_log_softmax),
    "log(softmax)": (lambda x: sg.log(sg.softmax(x)), of_log_softmax),
    "part of softmax": (
        lambda x: sg.log(sg.softmax(x)[-1]),
        lambda x: of_log_softmax(x)[-1],
    ),
    "part of written softmax": (
        lambda x: sg.log(written_softmax(x)[-1]),
        lambda x: of_log_softmax(x)[-1],
    ),
    "part of log of written softmax": (
        lambda x: sg.log(written_softmax(x))[-1],
        lambda x: of_log_softmax(x)[-1],
    ),
    "part of log(exp + exp)": (
        lambda x: sg.log(sg.exp(x) + sg.exp(2 * x))[-1],
        lambda x: (np.eye(len(x)) * (1 + EXPIT(x)))[-1],
    ),
    "log of part of exp / (1 + exp)": (
        lambda x: sg.log((sg.exp(x) / (1 + sg.exp(x)))[-1]),
        lambda x: (np.eye(len(x)) * EXPIT(-x))[-1],
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("formula", "matrix"), FORMULAS.values(), ids=FORMULAS)
def test_derivatives_beyond_the_overflow(backend, formula, matrix):
    x, direction = (sg.vector(name, dtype="float64") for name in ("x", "t"))
    y = formula(x)
    forwards = sg.jvp([y], [x], [direction])[0]
    plain = sg.jvp([y], [x], [sg.ones_like(x)])[0]
    outputs = [sg.grad(sg.sum(y), x), forwards, plain, sg.jacobian(y, x)]
    run = sg.compile([x, direction], outputs, backend=backend)
    for point in POINTS:
        along = np.array([1.0, -2.0, 0.5])[: len(point)]
        expected = matrix(point)
        gradient = expected.sum(axis=0) if y.ndim else expected
        found = run(point, along)
        for got, wanted in zip(
            found, (gradient, expected @ along, expected.sum(axis=-1), expected), strict=True
        ):
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-14)


AXES = [0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_logarithm_of_a_sum_over_any_axes(backend, keepdims, axis):
    x, direction = (sg.tensor3(name, dtype="float64") for name in ("x", "t"))
    y = sg.log(sg.sum(sg.exp(x), axis=axis, keepdims=keepdims))
    outputs = [sg.grad(sg.sum(y), x), sg.jvp([y], [x], [direction])[0]]
    run = sg.compile([x, direction], outputs, backend=backend)
    rng = np.random.default_rng(0)
    # Cubes, too, where a wrong axis has a shape that fits.
    for shape in ((2, 3, 4), (3, 3, 3), (1, 3, 1)):
        point, along = rng.normal(size=(2, *shape)) * [[[[900.0]]], [[[1.0]]]]
        shares = special.softmax(point, axis=axis)
        gradient, tangent = run(point, along)
        np.testing.assert_allclose(gradient, shares, rtol=1e-9, atol=1e-15)
        expected = (shares * along).sum(axis=axis, keepdims=keepdims)
        np.testing.assert_allclose(tangent, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_transposed_sum_is_not_the_total(backend):
    x, direction = (sg.tensor3(name, dtype="float64") for name in ("x", "t"))
    weights = sg.exp(x)
    products = sg.sum(direction * weights, axis=0, keepdims=True)
    y = sg.transpose(products, (2, 1, 0))[:, :, 0] / sg.sum(weights, axis=0)
    point, along = np.random.default_rng(1).normal(size=(2, 3, 3, 3))
    found = sg.compile([x, direction], y, backend=backend)(point, along)
    expected = (along * np.exp(point)).sum(axis=0).T / np.exp(point).sum(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def normalised_by_hand(kind, weights):
    totals = {
        "kept": lambda: weights.sum(1, keepdims=True),
        "put back": lambda: sg.expand_dims(weights.sum(1), 1),
        "indexed": lambda: weights.sum(1)[:, None],
    }
    return weights / totals[kind]()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["kept", "put back", "indexed"])
def test_rows_normalised_by_hand(backend, kind):
    x, direction = (sg.matrix(name, dtype="float64") for name in ("x", "t"))
    shares = normalised_by_hand(kind, sg.exp(x))
    logs = sg.log(shares)
    outputs = [
        f(y)
        for y in (shares, logs)
        for f in (
            lambda y: y,
            lambda y: sg.jvp(y, x, direction),
            lambda y: sg.grad((y * direction).sum(), x),
        )
    ]
    point, t = np.array([[800.0, 3.0], [1.0, 2.0]]), np.array([[1.0, 0.5], [2.0, 3.0]])
    p = special.softmax(point, axis=1)
    centred = t - (p * t).sum(1, keepdims=True)
    expected = [
        p,
        p * centred,
        p * centred,
        special.log_softmax(point, axis=1),
        centred,
        t - p * t.sum(1, keepdims=True),
    ]
    for found, value in zip(
        sg.compile([x, direction], outputs, backend=backend)(point, t), expected, strict=True
    ):
        np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-15)

"""Losses against NumPy and PyTorch: values, masks, gradients, and arguments that do not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

RNG = np.random.default_rng(4)
LOGITS = RNG.normal(0, 3, size=(5, 4, 3))
LABELS = RNG.integers(0, 3, size=(5, 4))
MASK = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1]], bool)


def negative_log_probability(logits, labels):
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.take_along_axis(log_p, labels[..., None], -1)[..., 0]


def test_cross_entropy_of_labels_and_of_probabilities():
    expected = negative_log_probability(LOGITS, LABELS).mean()
    assert nn.cross_entropy(LOGITS, LABELS).eval() == pytest.approx(expected, rel=1e-12)
    one_hot = np.eye(3)[LABELS]
    assert nn.cross_entropy(LOGITS, one_hot).eval() == pytest.approx(expected, rel=1e-12)
    soft = 0.7 * one_hot + 0.1
    mixed = 0.7 * expected + 0.1 * np.sum(
        [negative_log_probability(LOGITS, np.full((5, 4), k)).mean() for k in range(3)]
    )
    assert nn.cross_entropy(LOGITS, soft).eval() == pytest.approx(mixed, rel=1e-12)
    assert nn.cross_entropy(LOGITS[0, 0], np.int64(2)).eval() == pytest.approx(
        negative_log_probability(LOGITS[0, 0], np.array(2)), rel=1e-12
    )


def fill(*shape, phase):
    return 0.8 * np.sin(np.arange(math.prod(shape)) * 1.3 + phase).reshape(shape)


def test_values_of_pytorch():
    z, t = 3 * fill(4, 3, phase=0.2), fill(4, 3, phase=1.7) > 0
    labels = np.array([0, 2, 1, 1])
    assert nn.cross_entropy(z, labels).eval() == pytest.approx(1.432710754566239, rel=1e-12)
    assert nn.binary_cross_entropy(z, t).eval() == pytest.approx(0.9888244353218493, rel=1e-12)


@pytest.mark.parametrize("dtype", ["bool", "float32", "float64", "int32"])
def test_masked_means_are_those_of_what_is_left(dtype):
    mask = MASK.astype(dtype)
    labels = np.where(MASK, LABELS, -1)
    logits = np.where(MASK[..., None], LOGITS, np.nan)
    expected = negative_log_probability(LOGITS[MASK], LABELS[MASK]).mean()
    assert nn.cross_entropy(logits, labels, mask).eval() == pytest.approx(expected, rel=1e-6)
    target = RNG.normal(size=LOGITS.shape)
    expected = ((LOGITS - target)[MASK] ** 2).mean()
    assert nn.squared_error(logits, target, mask).eval() == pytest.approx(expected, rel=1e-6)
    expected = nn.binary_cross_entropy(LOGITS[MASK], target[MASK] > 0).eval()
    found = nn.binary_cross_entropy(logits, target > 0, mask).eval()
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_mask_of_the_elements_themselves_and_of_weights():
    target, mask = RNG.normal(size=LOGITS.shape), RNG.random(LOGITS.shape) < 0.5
    found = nn.squared_error(LOGITS, target, mask).eval()
    assert found == pytest.approx(((LOGITS - target)[mask] ** 2).mean(), rel=1e-12)
    weights = RNG.random((5, 4))
    expected = np.average(negative_log_probability(LOGITS, LABELS), weights=weights)
    assert nn.cross_entropy(LOGITS, LABELS, weights).eval() == pytest.approx(expected, rel=1e-12)


def test_gradients_are_the_known_ones_and_nothing_reaches_what_is_masked():
    x = sg.constant(LOGITS)
    gradient = sg.grad(nn.cross_entropy(x, np.where(MASK, LABELS, -1), MASK), x).eval()
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    expected = np.where(MASK[..., None], p - np.eye(3)[LABELS], 0) / MASK.sum()
    np.testing.assert_allclose(gradient, expected, atol=1e-15)
    target = LOGITS > 0.5
    gradient = sg.grad(nn.binary_cross_entropy(x, target), x).eval()
    expected = (1 / (1 + np.exp(-LOGITS)) - target) / LOGITS.size
    np.testing.assert_allclose(gradient, expected, atol=1e-15)


def test_accuracy():
    hits = LOGITS.argmax(-1) == LABELS
    assert nn.accuracy(LOGITS, LABELS).eval() == pytest.approx(hits.mean(), rel=1e-6)
    labels = np.where(MASK, LABELS, -1)
    assert nn.accuracy(LOGITS, labels, MASK).eval() == pytest.approx(hits[MASK].mean(), rel=1e-6)
    with pytest.raises(sg.DtypeError, match="accuracy"):
        nn.accuracy(LOGITS, LABELS.astype("float64"))


def test_large_logits_stay_finite():
    z = sg.constant(np.array([[1000.0, -1000.0]]))
    for loss in (nn.cross_entropy(z, [1]), nn.binary_cross_entropy(z, [[0, 1]])):
        assert np.isfinite(loss.eval())
        assert np.isfinite(sg.grad(loss, z).eval()).all()
    assert nn.cross_entropy(z, [1]).eval() == 2000
    assert nn.binary_cross_entropy(z, [[0, 1]]).eval() == 1000


def test_losses_keep_float32():
    x, labels = sg.matrix("x"), sg.vector("labels", "int64")
    assert nn.cross_entropy(x, labels).dtype == np.dtype("float32")
    assert nn.cross_entropy(x, labels, sg.vector("mask")).dtype == np.dtype("float32")
    assert nn.binary_cross_entropy(x, sg.matrix("t", "int64")).dtype == np.dtype("float32")
    assert nn.squared_error(x, sg.matrix("t")).dtype == np.dtype("float32")
    for loss in (nn.cross_entropy(x, labels), nn.squared_error(x, x + 1)):
        assert loss.ndim == 0


def test_labels_out_of_range_are_an_error_at_the_call():
    labels = sg.vector("labels", "int64")
    f = sg.compile([labels], nn.cross_entropy(LOGITS[0], labels))
    assert np.isfinite(f([0, 1, 2, 0]))
    for wrong in ([0, 1, 3, 0], [0, 1, -4, 0]):
        with pytest.raises(sg.SymgraphError):
            f(wrong)


def test_arguments_that_do_not_fit_are_errors_with_the_users_line():
    x, y = sg.tensor("x", ("B", 3)), sg.tensor("y", ("B", 1))
    column, labels = sg.vector("column"), sg.vector("labels", "int64")
    for call, kind, text in [
        (lambda: nn.squared_error(x, y), sg.ShapeError, "axis 1"),
        (lambda: nn.squared_error(x, column), sg.ShapeError, "numbers of axes"),
        (lambda: nn.squared_error(x, None), sg.SymgraphTypeError, "squared_error"),
        (lambda: nn.cross_entropy(x, column), sg.DtypeError, "integers"),
        (lambda: nn.cross_entropy(x, sg.tensor3("z")), sg.ShapeError, "1 axes"),
        (lambda: nn.cross_entropy(labels, labels), sg.DtypeError, "floats"),
        (lambda: nn.cross_entropy(sg.scalar(), labels), sg.ShapeError, "axis of classes"),
        (lambda: nn.cross_entropy(sg.softmax(x), labels), sg.SymgraphValueError, "softmax"),
        (lambda: nn.binary_cross_entropy(sg.sigmoid(x), x), sg.SymgraphValueError, "sigmoid"),
        (lambda: nn.cross_entropy(x, labels, sg.tensor3("m")), sg.ShapeError, "more axes"),
        (lambda: nn.squared_error(x, x, np.ones((7, 4))), sg.ShapeError, "mask"),
    ]:
        with pytest.raises(kind, match=text) as caught:
            call()
        assert __file__ in str(caught.value)

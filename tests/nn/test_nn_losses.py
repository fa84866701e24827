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


# --- others -------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("backend", ["native", "numpy"])
DRAWS = np.random.default_rng(5)
SCORES, SHARES, CHOSEN = (
    DRAWS.normal(size=(4, 3, 5)),
    DRAWS.random((4, 3, 5)),
    DRAWS.random((4, 3)) > 0.4,
)
SHARES = np.where(SHARES < 0.3, 0, SHARES)
SHARES /= SHARES.sum(axis=-1, keepdims=True)


def value_of(function, *arrays, backend, **options):
    symbols = [sg.tensor(f"x{i}", (None,) * a.ndim, a.dtype) for i, a in enumerate(arrays)]
    return sg.compile(symbols, function(*symbols, **options), backend=backend)(*arrays)


def log_softmax(z):
    return z - np.logaddexp.reduce(z, axis=-1, keepdims=True)


@BOTH
def test_kl_divergence(backend):
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(SHARES > 0, SHARES * (np.log(SHARES) - log_softmax(SCORES)), 0).sum(
            axis=-1
        )
    found = value_of(nn.kl_divergence, SCORES, SHARES, backend=backend)
    np.testing.assert_allclose(found, terms.mean(), rtol=1e-10)
    hidden = np.where(CHOSEN[..., None], SCORES, np.nan)
    found = value_of(nn.kl_divergence, hidden, SHARES, CHOSEN, backend=backend)
    np.testing.assert_allclose(found, terms[CHOSEN].mean(), rtol=1e-10)
    # The same as cross-entropy less the entropy, so its gradient is that of cross-entropy.
    z = sg.constant(SCORES)
    one, other = (sg.grad(f(z, SHARES), z).eval() for f in (nn.kl_divergence, nn.cross_entropy))
    np.testing.assert_allclose(one, other, atol=1e-12)
    sg.testing.check_gradient(lambda z, p: nn.kl_divergence(z, p), SCORES, SHARES + 0.1)


@BOTH
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal(gamma, backend):
    labels, weights = DRAWS.integers(0, 5, (4, 3)), np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    log_p = np.take_along_axis(log_softmax(SCORES), labels[..., None], axis=-1)[..., 0]
    costs = -((1 - np.exp(log_p)) ** gamma) * log_p
    found = value_of(nn.focal, SCORES, labels, backend=backend, gamma=gamma)
    np.testing.assert_allclose(found, costs.mean(), rtol=1e-10)
    found = value_of(nn.focal, SCORES, labels, backend=backend, gamma=gamma, class_weights=weights)
    shares = weights[labels]
    np.testing.assert_allclose(found, (costs * shares).sum() / shares.sum(), rtol=1e-10)
    ignored = np.where(CHOSEN, labels, -100)
    found = value_of(nn.focal, SCORES, ignored, backend=backend, gamma=gamma, ignore_index=-100)
    np.testing.assert_allclose(found, costs[CHOSEN].mean(), rtol=1e-10)
    sg.testing.check_gradient(lambda z: nn.focal(z, labels, gamma=gamma), SCORES, backend=backend)


@BOTH
@pytest.mark.parametrize("delta", [0.3, 1.0])
def test_huber(delta, backend):
    a, b = SCORES[..., 0] * 2, SCORES[..., 1]
    e = np.abs(a - b)
    terms = np.where(e <= delta, e**2 / 2, delta * (e - delta / 2))
    found = value_of(nn.huber, a, b, backend=backend, delta=delta)
    np.testing.assert_allclose(found, terms.mean(), rtol=1e-12)
    found = value_of(nn.huber, a, b, CHOSEN, backend=backend, delta=delta)
    np.testing.assert_allclose(found, terms[CHOSEN].mean(), rtol=1e-12)
    sg.testing.check_gradient(lambda a, b: nn.huber(a, b, delta=delta), a, b, backend=backend)
    x = sg.constant(np.zeros(1))
    assert sg.grad(nn.huber(x, np.zeros(1)), x).eval() == 0


@BOTH
def test_cosine_distance(backend):
    a, b = SCORES, SHARES - 0.1
    cos = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    found = value_of(nn.cosine_distance, a, b, CHOSEN, backend=backend)
    np.testing.assert_allclose(found, (1 - cos)[CHOSEN].mean(), rtol=1e-10)
    sg.testing.check_gradient(lambda a, b: nn.cosine_distance(a, b), a, b, backend=backend)
    far = value_of(nn.cosine_distance, a * 1e200, b * 1e-200, backend=backend)
    np.testing.assert_allclose(far, (1 - cos).mean(), rtol=1e-10)
    zero = sg.constant(np.zeros((1, 3)))
    distance = nn.cosine_distance(zero, np.ones((1, 3)))
    assert distance.eval() == 1
    np.testing.assert_array_equal(sg.grad(distance, zero).eval(), np.zeros((1, 3)))


def test_a_mask_stays_where_no_label_can_be_the_ignored_one():
    labels = np.array([0, 1, 1], "uint8")
    logits, mask = np.array([[9.0, 0.0], [0.0, 9.0], [9.0, 0.0]]), np.array([True, True, False])
    assert nn.cross_entropy(logits, labels, mask, ignore_index=-100).eval() < 0.001
    assert nn.accuracy(logits, labels, mask, ignore_index=-100).eval() == 1


def test_wrong_arguments_of_the_other_losses():
    with pytest.raises(sg.SymgraphValueError, match="delta"):
        nn.huber(np.ones(2), np.ones(2), delta=0)
    with pytest.raises(sg.ShapeError, match="axes"):
        nn.huber(np.ones(2), np.ones((2, 1)))
    with pytest.raises(sg.SymgraphValueError, match="softmax"):
        nn.kl_divergence(sg.softmax(sg.constant(np.ones((1, 2)))), np.ones((1, 2)))
    with pytest.raises(sg.SymgraphValueError, match="gamma"):
        nn.focal(np.ones((1, 2)), np.array([0]), gamma=-1)
    with pytest.raises(sg.IndexRangeError):
        nn.focal(np.ones((1, 2)), np.array([-1])).eval()
    with pytest.raises(sg.ShapeError, match="vectors"):
        nn.cosine_distance(np.float64(1), np.float64(1))


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("loss", [nn.cross_entropy, nn.focal, nn.accuracy])
def test_labels_in_another_layout_are_an_error(loss, backend: str) -> None:
    """Though they are as many: [batch, time] for logits [time, batch, classes]."""
    named = sg.tensor("x", ("T", "B", 4)), sg.tensor("y", ("B", "T"), "int64")
    with pytest.raises(sg.ShapeError, match=r"axis 0 of 'y' .* has size B, that of 'x' .* has T"):
        loss(*named)
    x, y = sg.tensor("x", (None, None, 4)), sg.tensor("y", (None, None), "int64")
    f = sg.compile([x, y], loss(x, y), backend=backend)
    assert np.isfinite(f(np.ones((3, 2, 4)), np.zeros((3, 2), int)))
    with pytest.raises(sg.CallError, match="axis 0"):
        f(np.ones((3, 2, 4)), np.zeros((2, 3), int))


def test_masks_in_another_layout_are_named() -> None:
    x, mask = sg.tensor("x", ("T", "B", 4)), sg.tensor("mask", ("B", "T"))
    for build in (
        lambda: nn.squared_error(x, x * 2, mask),
        lambda: nn.GRU(4, 2)(x, mask=mask),
        lambda: nn.MultiHeadAttention(4, 2)(x, mask=mask),
        lambda: nn.GlobalAveragePool(time_major=True)(x, mask=mask),
    ):
        with pytest.raises(sg.ShapeError, match=r"axis 0 of 'mask' .* has size B, .* has T"):
            build()

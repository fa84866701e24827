"""CTC against the sum over all alignments, and against PyTorch where it is installed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

BACKENDS = ("native", "numpy")


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.logaddexp.reduce(x, axis=-1, keepdims=True)


def labels_of(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != blank)


def by_labels(scores: np.ndarray, blank: int) -> dict[tuple[int, ...], float]:
    """For each string of labels the log-probability, summed over all paths [T, C]."""
    n_frames, n_classes = scores.shape
    total: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(n_classes), repeat=n_frames):
        score = float(sum(scores[t, symbol] for t, symbol in enumerate(path)))
        labels = labels_of(path, blank)
        total[labels] = float(np.logaddexp(total.get(labels, -np.inf), score))
    return total


def by_paths(logits: np.ndarray, labels: Any, steps: Any, counts: Any, blank: int) -> np.ndarray:
    """The losses of all rows."""
    scores = log_softmax(logits.astype("float64"))
    return np.array([
        -by_labels(scores[:steps[b], b], blank).get(tuple(labels[b][:counts[b]]), -np.inf)
        for b in range(len(labels))
    ])  # fmt: skip


# Empty labels, repeats, no frames at all, exactly as many frames as are needed, one too few.
LABELS = np.array([[1, 2, 1], [1, 1, 9], [-1, 7, -1], [2, 2, 2], [1, 2, -5], [8, 8, 8]])
COUNTS, STEPS = [3, 2, 0, 3, 2, 0], [5, 3, 4, 4, 2, 0]


def case(blank: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    logits = np.random.default_rng(blank).normal(size=(5, 6, 3)).astype(dtype) * 2
    # The labels 1 and 2 are the first and the second class that is no blank.
    symbols = np.array([blank, *(c for c in range(3) if c != blank)])
    counted = np.arange(3) < np.array(COUNTS)[:, None]
    return logits, np.where(counted, symbols[np.where(counted, LABELS, 0)], LABELS)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("blank", [0, 1, 2])
def test_the_loss_is_the_sum_over_all_alignments(backend: str, blank: int) -> None:
    logits, labels = case(blank)
    x = sg.tensor("x", (None, None, None), "float64")
    y, steps, counts = sg.matrix("y", "int64"), sg.vector("t", "int64"), sg.vector("u", "int64")
    loss = nn.ctc(x, y, steps, counts, blank=blank, reduction="none")
    f = sg.compile([x, y, steps, counts], loss, backend=backend)
    expected = by_paths(logits, labels, STEPS, COUNTS, blank)
    assert np.isinf(expected[3])
    np.testing.assert_allclose(f(logits, labels, STEPS, COUNTS), expected, rtol=1e-12, atol=1e-14)


def test_reductions_and_infinite_losses() -> None:
    logits, labels = case(0)
    losses = by_paths(logits, labels, STEPS, COUNTS, 0)
    finite = np.where(np.isinf(losses), 0, losses)

    def loss(**options: Any) -> Any:
        return nn.ctc(logits, labels, STEPS, COUNTS, **options).eval()

    assert np.isinf(loss())
    assert np.isinf(loss(reduction="sum"))
    np.testing.assert_allclose(loss(reduction="none", zero_infinity=True), finite, atol=1e-14)
    np.testing.assert_allclose(loss(reduction="sum", zero_infinity=True), finite.sum())
    expected = np.mean(finite / np.maximum(COUNTS, 1))
    np.testing.assert_allclose(loss(zero_infinity=True), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_to_second_order_are_those_of_differences(backend: str) -> None:
    logits, labels = case(1)
    sg.testing.check_gradient(
        lambda x: nn.ctc(x, labels, STEPS, COUNTS, blank=1, zero_infinity=True),
        logits,
        order=2,
        backend=backend,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_values_and_gradients_are_those_of_pytorch(dtype: str, reduction: str) -> None:
    torch = pytest.importorskip("torch")
    logits, labels = case(2, dtype)
    x = sg.tensor("x", (None, None, 3), dtype)
    loss = nn.ctc(
        x,
        labels,
        STEPS,
        COUNTS,
        blank=2,
        zero_infinity=True,
        reduction=reduction,
    )
    value, gradient = sg.compile([x], [loss, sg.grad(loss, x)])(logits)
    theirs = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.ctc_loss(
        torch.log_softmax(theirs, -1), torch.tensor(np.clip(labels, 0, 2)), torch.tensor(STEPS),
        torch.tensor(COUNTS), blank=2, reduction=reduction, zero_infinity=True,
    )  # fmt: skip
    expected.backward()
    tolerance = 1e-5 if dtype == "float32" else 1e-8
    np.testing.assert_allclose(value, expected.item(), rtol=tolerance)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), atol=tolerance)


def test_classes_of_no_probability_are_no_nan() -> None:
    logits = np.array([[[0.0, -np.inf, 1.0]], [[0.5, -np.inf, 0.0]]])
    x = sg.tensor("x", (2, 1, 3), "float64")
    loss = nn.ctc(x, [[2]], [2], [1])
    value, gradient = sg.compile([x], [loss, sg.grad(loss, x)])(logits)
    kept = log_softmax(logits[:, 0, [0, 2]])
    np.testing.assert_allclose(value, -by_labels(kept, 0)[(1,)])
    assert np.isfinite(gradient).all()


def test_what_does_not_fit_is_an_error() -> None:
    logits, labels = np.zeros((3, 1, 2), "float32"), np.ones((1, 1), "int64")
    for wrong in (-1, 2):
        with pytest.raises(sg.IndexRangeError, match="ctc: label"):
            nn.ctc(logits, [[wrong]], [3], [1]).eval()
    with pytest.raises(sg.IndexRangeError, match="input length 4"):
        nn.ctc(logits, labels, [4], [1]).eval()
    with pytest.raises(sg.IndexRangeError, match="label length 2"):
        nn.ctc(logits, labels, [3], [2]).eval()
    with pytest.raises(sg.SymgraphValueError, match="blank"):
        nn.ctc(logits, labels, [3], [1], blank=2)
    with pytest.raises(sg.SymgraphValueError, match="reduction"):
        nn.ctc(logits, labels, [3], [1], reduction="max")
    with pytest.raises(sg.ShapeError, match="labels"):
        nn.ctc(logits, [1], [3], [1])
    with pytest.raises(sg.DtypeError, match="integers"):
        nn.ctc(logits, [[1.0]], [3], [1])
    with pytest.raises(sg.ShapeError, match="lengths"):
        nn.ctc(logits, labels, [3, 3], [1])


# --- decoding -----------------------------------------------------------------------------------


def test_greedy_takes_repeats_together_and_leaves_out_blanks() -> None:
    path = np.array([[2, 2, 0, 2, 1, 1], [0, 0, 0, 0, 0, 0], [1, 2, 1, 0, 0, 2]]).T
    assert nn.ctc_greedy(np.eye(3)[path], [6, 6, 3]) == [[2, 2, 1], [], [1, 2, 1]]
    assert nn.ctc_greedy(np.eye(3)[path], [0, 6, 6], blank=2) == [[], [0], [1, 1, 0]]


@pytest.mark.parametrize("blank", [0, 1, 2])
def test_a_wide_beam_finds_the_likeliest_labels(blank: int) -> None:
    logits = np.random.default_rng(blank).normal(size=(5, 8, 3))
    lengths = [5, 5, 4, 3, 2, 1, 0, 5]
    for row, found in enumerate(nn.ctc_beam(logits, lengths, width=500, blank=blank)):
        known = by_labels(log_softmax(logits[: lengths[row], row]), blank)
        assert tuple(found) == max(known, key=lambda labels: known[labels])


def test_a_language_model_weighs_what_follows() -> None:
    logits = np.log(np.array([[[0.2, 0.45, 0.35]], [[0.98, 0.01, 0.01]]]))

    def never_one(prefix: list[int]) -> np.ndarray:
        return np.log([0.0 + 1e-9, 1e-9, 1.0]) if not prefix else np.zeros(3)

    assert nn.ctc_beam(logits, [2], width=8) == [[1]]
    assert nn.ctc_beam(logits, [2], width=8, language_model=never_one) == [[2]]
    assert nn.ctc_beam(logits, [2], width=8, language_model=never_one, weight=0.0) == [[1]]

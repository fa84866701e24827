"""Losses of classes, and accuracy: each a scalar, the mean over positions, or the unmasked ones.

Masks are those of `symgraph_nn.masking`; what is masked may be anything, labels of -1 included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
    describe,
)
from symgraph.typing import ArrayLike

from .checks import as_variable, check_axes, check_float, check_number, check_sizes
from .distances import as_pair
from .masking import chosen_by, masked_mean, weighted_mean, weights_of

__all__ = ["accuracy", "binary_cross_entropy", "cross_entropy", "focal", "kl_divergence"]


def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    ignore_index: int | None = None,
    class_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
) -> sg.Variable:
    """The mean of ``-log softmax(logits)[label]`` over all positions, a scalar.

    logits
        [..., classes], unnormalised: the result of a softmax is a `SymgraphValueError`.
    labels
        Integers [...], each from 0 to below the number of classes (another one, -1 too, is an
        `IndexRangeError` at the call), or probabilities, floats [..., classes] (one-hot rows, say).
    mask
        [...], or the leading axes of it: zeros are left out, other floats weigh.
    ignore_index
        The label of positions that do not count, neither in the sum nor in what it is divided by.
    class_weights
        [classes] weigh the classes. The mean of labels is the weighted one, divided by the sum of
        the weights of the labels; that of probabilities is divided by the number of positions.
    label_smoothing
        How much of each label goes to all classes alike, from 0 to 1.

    The options are PyTorch's. Other axes than these are a `ShapeError`, other dtypes a
    `DtypeError`.

    >>> logits = np.array([[2.0, 0.0], [0.0, 3.0]])
    >>> print(nn.cross_entropy(logits, np.array([0, 1])).eval().round(3))
    0.088
    >>> print(nn.cross_entropy(logits, np.array([0, -1]), ignore_index=-1).eval().round(3))
    0.127
    """
    logits = as_variable(logits, "cross_entropy")
    labels = as_variable(labels, "cross_entropy")
    check_float(logits, "cross_entropy")
    _refuse_normalised(logits, "cross_entropy", "softmax")
    if logits.ndim == 0:
        raise ShapeError.here("cross_entropy: logits have an axis of classes")
    weights = (
        None if class_weights is None else _as_class_weights(class_weights, logits, "cross_entropy")
    )
    _check_smoothing(label_smoothing)
    costs = -sg.log_softmax(logits, axis=-1)
    if labels.ndim == logits.ndim:
        _check_probabilities(logits, labels, ignore_index)
        weighed = costs if weights is None else costs * weights
        expected = sg.sum(labels.astype(logits.dtype) * weighed, axis=-1)
        return masked_mean(_smoothed(expected, weighed, label_smoothing), mask, "cross_entropy")
    chosen, counts = _checked_labels("cross_entropy", logits, labels, mask, ignore_index)
    own = _at_labels(costs, chosen)
    shares = None
    if weights is not None:
        shares = weights[chosen]
        own, costs = own * shares, costs * weights
    own = _smoothed(own, costs, label_smoothing)
    return weighted_mean(own, counts, weights_of(mask, own), shares)


def binary_cross_entropy(
    logits: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None
) -> sg.Variable:
    """The mean of ``-t log σ(z) - (1 - t) log(1 - σ(z))`` over all elements, a scalar.

    logits
        z [...], unnormalised, as `cross_entropy` has them: the result of a sigmoid is a
        `SymgraphValueError`.
    targets
        t [...], 0 and 1 (any dtype) or probabilities; another shape is a `ShapeError`.
    mask
        The leading axes of these: zeros are left out, other floats weigh.

    >>> print(nn.binary_cross_entropy(np.array([0.0, 0.0]), np.array([0, 1])).eval().round(4))
    0.6931
    """
    z, t = as_pair("binary_cross_entropy", logits, targets)
    check_float(z, "binary_cross_entropy")
    _refuse_normalised(z, "binary_cross_entropy", "sigmoid")
    t = t.astype(z.dtype)
    return masked_mean(sg.softplus(z) - t * z, mask, "binary_cross_entropy")


def focal(
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    gamma: float = 2.0,
    ignore_index: int | None = None,
    class_weights: ArrayLike | None = None,
) -> sg.Variable:
    """The mean of ``-(1 - p)^γ log p``, p the probability of the label (Lin et al. 2017), a scalar.

    What is right already counts little, so that rare classes and hard cases are learned; γ of 0 is
    `cross_entropy`, whose arguments these are. Raises as it does, and a `SymgraphValueError` for a
    negative ``gamma``.

    >>> logits, labels = np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([0, 1])
    >>> print(nn.focal(logits, labels, gamma=2.0).eval().round(5))
    0.00096
    """
    check_number("focal", gamma=gamma)
    logits, labels = as_variable(logits, "focal"), as_variable(labels, "focal")
    check_float(logits, "focal")
    _refuse_normalised(logits, "focal", "softmax")
    chosen, counts = _checked_labels("focal", logits, labels, mask, ignore_index)
    own = _at_labels(-sg.log_softmax(logits, axis=-1), chosen)
    if gamma:
        own = own * (-sg.expm1(-own)) ** gamma
    shares = None
    if class_weights is not None:
        shares = _as_class_weights(class_weights, logits, "focal")[chosen]
        own = own * shares
    return weighted_mean(own, counts, weights_of(mask, own), shares)


def kl_divergence(
    logits: ArrayLike, probabilities: ArrayLike, mask: ArrayLike | None = None
) -> sg.Variable:
    """The mean over positions of ``Σ p (log p - log softmax(logits))``, a scalar.

    logits
        [..., classes], unnormalised; logarithms of probabilities do as well.
    probabilities
        p, floats of the same shape, such as a teacher's; where p is 0 the term is 0.
    mask
        [...], or the leading axes of it: zeros are left out, other floats weigh.

    Raises `ShapeError` for other shapes, `SymgraphValueError` for the result of a softmax.

    >>> print(nn.kl_divergence(np.zeros((1, 2)), np.array([[0.5, 0.5]])).eval())
    0.0
    >>> print(nn.kl_divergence(np.zeros((1, 2)), np.array([[1.0, 0.0]])).eval().round(4))
    0.6931
    """
    z, p = as_pair("kl_divergence", logits, probabilities)
    check_float(z, "kl_divergence")
    _refuse_normalised(z, "kl_divergence", "softmax")
    p = p.astype(z.dtype)
    entropy = sg.where(p > 0, p * sg.log(sg.where(p > 0, p, 1)), 0)
    terms = entropy - sg.where(p > 0, p * sg.log_softmax(z, axis=-1), 0)
    return masked_mean(sg.sum(terms, axis=-1), mask, "kl_divergence")


def accuracy(
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    ignore_index: int | None = None,
) -> sg.Variable:
    """The share of positions whose largest logit is the label's, a float32 scalar; no gradient.

    logits
        [..., classes]; probabilities do as well.
    labels
        Integers [...], each from 0 to below the number of classes; another one is an
        `IndexRangeError` at the call.
    mask, ignore_index
        Which positions count, as in `cross_entropy`.

    >>> print(nn.accuracy(np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([0, 0])).eval())
    0.5
    """
    logits, labels = as_variable(logits, "accuracy"), as_variable(labels, "accuracy")
    chosen, counts = _checked_labels("accuracy", logits, labels, mask, ignore_index)
    hits = sg.eq(sg.argmax(logits, axis=-1), chosen).astype("float32")
    return weighted_mean(hits, counts, weights_of(mask, hits))


def _check_probabilities(
    logits: sg.Variable, labels: sg.Variable, ignore_index: int | None
) -> None:
    """Raise unless the labels are floats of the logits' shape, and no label is to be ignored."""
    check_float(labels, "cross_entropy: labels with an axis of classes")
    check_sizes("cross_entropy", labels, logits, range(labels.ndim))
    if ignore_index is not None:
        raise SymgraphTypeError.here(
            "cross_entropy: ignore_index is a label; these are probabilities",
            remedy="Give a mask.",
        )


def _check_labels(owner: str, logits: sg.Variable, labels: sg.Variable) -> None:
    """Raise unless the labels are integers with the axes of the logits but that of the classes."""
    if labels.ndim != logits.ndim - 1:
        raise ShapeError.here(
            f"{owner}: labels for {describe(logits)} have {logits.ndim - 1} axes; "
            f"found {describe(labels)}"
        )
    if labels.dtype.kind not in "iu":
        raise DtypeError.here(
            f"{owner}: labels are integers; found {describe(labels)}",
            remedy="Convert them with .astype('int64').",
        )
    check_sizes(owner, labels, logits, range(labels.ndim))


def _refuse_normalised(x: sg.Variable, owner: str, function: str) -> None:
    if x.op.name == function:
        raise SymgraphValueError.here(
            f"{owner}: logits are expected, not the result of {function}",
            remedy=f"Leave the {function} out: the loss contains it, without loss of accuracy.",
        )


def _checked_labels(
    owner: str, logits: sg.Variable, labels: sg.Variable, mask: Any, ignore_index: Any
) -> tuple[sg.Variable, sg.Variable | None]:
    """Labels in range, 0 where none counts; and where one does (None: everywhere)."""
    _check_labels(owner, logits, labels)
    counts = None if mask is None else chosen_by(mask, labels, owner)
    if ignore_index is not None:
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, (int, np.integer)):
            raise SymgraphTypeError.here(f"{owner}: ignore_index is an int, not {ignore_index!r}")
        others = _differ(labels, int(ignore_index))
        if others is not None:
            counts = others if counts is None else counts & others
    chosen = labels if counts is None else sg.where(counts, labels, 0)
    return sg.in_range(chosen, logits.shape[-1], f"{owner}: label"), counts


def _differ(labels: sg.Variable, number: int) -> sg.Variable | None:
    """Where the labels differ from a number; None for everywhere, as it is none of their dtype."""
    limits = np.iinfo(labels.dtype)
    return sg.ne(labels, number) if limits.min <= number <= limits.max else None


def _as_class_weights(weights: Any, logits: sg.Variable, owner: str) -> sg.Variable:
    weights = as_variable(weights, f"{owner}: class_weights")
    check_axes(weights, 1, owner, "class_weights [classes]")
    n, size = logits.shape[-1], weights.shape[0]
    if isinstance(n, int) and isinstance(size, int) and n != size:
        raise ShapeError.here(f"{owner}: {n} classes need as many class_weights, not {size}")
    return weights.astype(logits.dtype)


def _check_smoothing(share: Any) -> None:
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise SymgraphValueError.here(
            f"cross_entropy: label_smoothing is a number from 0 to 1, not {share!r}"
        )


def _smoothed(own: sg.Variable, costs: sg.Variable, share: float) -> sg.Variable:
    """The costs of the labels, a share of which goes to all classes alike."""
    return (1 - share) * own + share * sg.mean(costs, axis=-1) if share else own


def _at_labels(values: sg.Variable, labels: sg.Variable) -> sg.Variable:
    """The value of each position's label; an error at the call for labels of other sizes."""
    labels = sg.broadcast_to(labels, values.shape[:-1])
    rows = sg.reshape(values, (-1, values.shape[-1]))
    flat = sg.reshape(labels, (-1,))
    return sg.reshape(rows[sg.arange(flat.shape[0]), flat], labels.shape)

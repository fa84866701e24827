"""Losses, and accuracy: each a scalar, the mean over the elements, or over the unmasked ones.

A mask has the leading axes of what it masks, such as [time, batch]. Bools and zeros and ones
choose; other floats weigh. What is masked is not looked at: it may be anything, NaN and labels of
-1 included. The mean over nothing is no number.
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

from .checks import as_mask, as_partner, as_variable, check_axes, check_float, check_sizes

__all__ = ["accuracy", "binary_cross_entropy", "cross_entropy", "squared_error"]


def squared_error(
    prediction: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None
) -> sg.Variable:
    """The mean of ``(prediction - target)²`` over all elements, a scalar.

    prediction, target
        Of one shape; other axes or sizes are a `ShapeError`, also where they would broadcast.
    mask
        [...], the leading axes of these: zeros are left out, other floats weigh.

    >>> prediction, target = np.array([1.0, 2.0]), np.array([1.0, 4.0])
    >>> print(nn.squared_error(prediction, target).eval())
    2.0
    >>> print(nn.squared_error(prediction, target, mask=np.array([False, True])).eval())
    4.0
    """
    prediction, target = _pair("squared_error", prediction, target)
    return _mean(sg.square(prediction - target), mask, "squared_error")


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
    weights = None if class_weights is None else _as_class_weights(class_weights, logits)
    _check_smoothing(label_smoothing)
    costs = -sg.log_softmax(logits, axis=-1)
    if labels.ndim == logits.ndim:
        _check_probabilities(logits, labels, ignore_index)
        weighed = costs if weights is None else costs * weights
        expected = sg.sum(labels.astype(logits.dtype) * weighed, axis=-1)
        return _mean(_smoothed(expected, weighed, label_smoothing), mask, "cross_entropy")
    chosen, counts = _checked_labels("cross_entropy", logits, labels, mask, ignore_index)
    own = _at_labels(costs, chosen)
    shares = None
    if weights is not None:
        shares = weights[chosen]
        own, costs = own * shares, costs * weights
    own = _smoothed(own, costs, label_smoothing)
    return _weighted_mean(own, counts, _as_weights(mask, own), shares)


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
    z, t = _pair("binary_cross_entropy", logits, targets)
    check_float(z, "binary_cross_entropy")
    _refuse_normalised(z, "binary_cross_entropy", "sigmoid")
    t = t.astype(z.dtype)
    return _mean(sg.softplus(z) - t * z, mask, "binary_cross_entropy")


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
    return _weighted_mean(hits, counts, _as_weights(mask, hits))


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


def _pair(owner: str, prediction: Any, target: Any) -> tuple[sg.Variable, sg.Variable]:
    """Both as variables; different numbers of axes or known sizes are an error."""
    a = as_variable(prediction, owner)
    b = as_partner(target, a, owner)
    if a.ndim != b.ndim:
        raise ShapeError.here(
            f"{owner}: the prediction is {describe(a)}, the target {describe(b)}: "
            "they have different numbers of axes",
            remedy="Reshape one of them, or take out an axis with x[..., 0].",
        )
    check_sizes(owner, a, b, range(a.ndim))
    return a, b


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
    counts = None if mask is None else _as_bool(mask, labels, owner)
    if ignore_index is not None:
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, (int, np.integer)):
            raise SymgraphTypeError.here(f"{owner}: ignore_index is an int, not {ignore_index!r}")
        others = _differ(labels, int(ignore_index))
        counts = others if counts is None or others is None else counts & others
    chosen = labels if counts is None else sg.where(counts, labels, 0)
    return sg.in_range(chosen, logits.shape[-1], f"{owner}: label"), counts


def _differ(labels: sg.Variable, number: int) -> sg.Variable | None:
    """Where the labels differ from a number; None for everywhere, as it is none of their dtype."""
    limits = np.iinfo(labels.dtype)
    return sg.ne(labels, number) if limits.min <= number <= limits.max else None


def _as_class_weights(weights: Any, logits: sg.Variable) -> sg.Variable:
    weights = as_variable(weights, "cross_entropy: class_weights")
    check_axes(weights, 1, "cross_entropy", "class_weights [classes]")
    n, size = logits.shape[-1], weights.shape[0]
    if isinstance(n, int) and isinstance(size, int) and n != size:
        raise ShapeError.here(f"cross_entropy: {n} classes need as many class_weights, not {size}")
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
    """The value of each position's label."""
    rows = sg.reshape(values, (-1, values.shape[-1]))
    flat = sg.reshape(labels, (-1,))
    return sg.reshape(rows[sg.arange(flat.shape[0]), flat], labels.shape)


def _as_bool(mask: Any, values: sg.Variable, owner: str) -> sg.Variable:
    """The mask as bools with the axes of the values; the axes it lacks have size 1."""
    mask = as_mask(mask, owner)
    if mask.ndim > values.ndim:
        raise ShapeError.here(
            f"{owner}: the mask {describe(mask)} has more axes than what it masks, "
            f"{describe(values)}"
        )
    check_sizes(f"{owner}: mask", mask, values, range(mask.ndim))
    missing = tuple(range(mask.ndim, values.ndim))
    if missing:
        mask = sg.expand_dims(mask, missing)
    return mask if mask.dtype == np.bool_ else sg.ne(mask, 0)


def _as_weights(mask: Any, values: sg.Variable) -> sg.Variable | None:
    """What the mask weighs; None for one that only chooses."""
    if mask is None or as_mask(mask, "mask").dtype.kind != "f":
        return None
    weights = as_mask(mask, "mask")
    missing = tuple(range(weights.ndim, values.ndim))
    return (sg.expand_dims(weights, missing) if missing else weights).astype(values.dtype)


def _mean(values: sg.Variable, mask: Any, owner: str) -> sg.Variable:
    """The mean of the unmasked values."""
    counts = None if mask is None else _as_bool(mask, values, owner)
    return _weighted_mean(values, counts, _as_weights(mask, values))


def _weighted_mean(
    values: sg.Variable,
    counts: sg.Variable | None,
    weights: sg.Variable | None,
    others: sg.Variable | None = None,
) -> sg.Variable:
    """The mean of the values that count, weighed; the values have the ``others`` in them."""
    if counts is None and weights is None and others is None:
        return sg.mean(values)
    # An axis that a mask lacks counts in full.
    shares = sg.ones_like(values) if others is None else others
    if weights is not None:
        values, shares = values * weights, shares * weights
    if counts is not None:
        values, shares = sg.where(counts, values, 0), sg.where(counts, shares, 0)
    return sg.sum(values) / sg.sum(shares)

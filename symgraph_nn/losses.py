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

from .checks import as_mask, as_partner, as_variable, check_axes, check_float, check_sizes

__all__ = ["accuracy", "binary_cross_entropy", "cross_entropy", "squared_error"]


def squared_error(prediction: Any, target: Any, mask: Any = None) -> sg.Variable:
    """The mean of ``(prediction - target)²`` over all elements, a scalar; shapes must agree."""
    prediction, target = _pair("squared_error", prediction, target)
    return _mean(sg.square(prediction - target), mask, "squared_error")


def cross_entropy(
    logits: Any,
    labels: Any,
    mask: Any = None,
    *,
    ignore_index: int | None = None,
    class_weights: Any = None,
    label_smoothing: float = 0.0,
) -> sg.Variable:
    """The mean of ``-log softmax(logits)[label]`` over all positions, a scalar.

    ``logits`` [..., classes] are unnormalised. ``labels`` are integers [...], each from 0 to below
    the number of classes (another one, -1 too, is an `IndexRangeError` at the call), or
    probabilities, floats [..., classes] (one-hot rows, say). The options are PyTorch's:

    mask
        [...] chooses positions, or weighs them.
    ignore_index
        The label of positions that do not count, neither in the sum nor in what it is divided by.
    class_weights
        [classes] weigh the classes. The mean of labels is the weighted one, divided by the sum of
        the weights of the labels; that of probabilities is divided by the number of positions.
    label_smoothing
        How much of each label goes to all classes alike, from 0 to 1.
    """
    logits = as_variable(logits, "cross_entropy")
    labels = as_variable(labels, "cross_entropy")
    check_float(logits, "cross_entropy")
    _refuse_normalised(logits, "cross_entropy", "softmax")
    if logits.ndim == 0:
        raise ShapeError.here("cross_entropy: logits have an axis of classes")
    if class_weights is not None:
        class_weights = _as_class_weights(class_weights, logits)
    _check_smoothing(label_smoothing)
    costs = -sg.log_softmax(logits, axis=-1)
    if labels.ndim == logits.ndim:
        check_float(labels, "cross_entropy: labels with an axis of classes")
        check_sizes("cross_entropy", labels, logits, range(labels.ndim))
        if ignore_index is not None:
            raise SymgraphTypeError.here(
                "cross_entropy: ignore_index is a label; these are probabilities",
                remedy="Give a mask.",
            )
        weighed = costs if class_weights is None else costs * class_weights
        found = sg.sum(labels.astype(logits.dtype) * weighed, axis=-1)
        return _mean(_smoothed(found, weighed, label_smoothing), mask, "cross_entropy")
    chosen, kept = _checked_labels("cross_entropy", logits, labels, mask, ignore_index)
    found = _at_labels(costs, chosen)
    weights = None
    if class_weights is not None:
        weights = class_weights[chosen]
        found, costs = found * weights, costs * class_weights
    found = _smoothed(found, costs, label_smoothing)
    return _weighted_mean(found, kept, _as_weights(mask, found), weights)


def binary_cross_entropy(logits: Any, targets: Any, mask: Any = None) -> sg.Variable:
    """The mean of ``-t log σ(z) - (1 - t) log(1 - σ(z))`` over all elements, a scalar.

    ``logits`` z are unnormalised, as `cross_entropy` has them: give what would go into the
    sigmoid, not what comes out. ``targets`` t are 0 and 1 (any dtype) or probabilities.
    """
    z, t = _pair("binary_cross_entropy", logits, targets)
    check_float(z, "binary_cross_entropy")
    _refuse_normalised(z, "binary_cross_entropy", "sigmoid")
    t = t.astype(z.dtype)
    return _mean(sg.softplus(z) - t * z, mask, "binary_cross_entropy")


def accuracy(
    logits: Any, labels: Any, mask: Any = None, *, ignore_index: int | None = None
) -> sg.Variable:
    """The share of positions whose largest logit is the label's, a float32 scalar; no gradient.

    ``logits`` [..., classes] may as well be probabilities; ``labels`` are integers [...]. ``mask``
    and ``ignore_index`` as in `cross_entropy`.
    """
    logits, labels = as_variable(logits, "accuracy"), as_variable(labels, "accuracy")
    chosen, kept = _checked_labels("accuracy", logits, labels, mask, ignore_index)
    hits = sg.eq(sg.argmax(logits, axis=-1), chosen).astype("float32")
    return _weighted_mean(hits, kept, _as_weights(mask, hits))


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
    kept = None if mask is None else _as_bool(mask, labels, owner)
    if ignore_index is not None:
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, (int, np.integer)):
            raise SymgraphTypeError.here(f"{owner}: ignore_index is an int, not {ignore_index!r}")
        counts = _differ(labels, int(ignore_index))
        kept = counts if kept is None or counts is None else kept & counts
    chosen = labels if kept is None else sg.where(kept, labels, 0)
    return sg.in_range(chosen, logits.shape[-1], f"{owner}: label"), kept


def _differ(labels: sg.Variable, number: int) -> sg.Variable | None:
    """Where the labels differ from a number; None for everywhere, as it is none of their dtype."""
    limits = np.iinfo(labels.dtype)
    return sg.ne(labels, number) if limits.min <= number <= limits.max else None


def _as_class_weights(weights: Any, logits: sg.Variable) -> sg.Variable:
    found = as_variable(weights, "cross_entropy: class_weights")
    check_axes(found, 1, "cross_entropy", "class_weights [classes]")
    n, size = logits.shape[-1], found.shape[0]
    if isinstance(n, int) and isinstance(size, int) and n != size:
        raise ShapeError.here(f"cross_entropy: {n} classes need as many class_weights, not {size}")
    return found.astype(logits.dtype)


def _check_smoothing(share: Any) -> None:
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise SymgraphValueError.here(
            f"cross_entropy: label_smoothing is a number from 0 to 1, not {share!r}"
        )


def _smoothed(found: sg.Variable, costs: sg.Variable, share: float) -> sg.Variable:
    """The costs of the labels, a share of which goes to all classes alike."""
    return (1 - share) * found + share * sg.mean(costs, axis=-1) if share else found


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
    kept = None if mask is None else _as_bool(mask, values, owner)
    return _weighted_mean(values, kept, _as_weights(mask, values))


def _weighted_mean(
    values: sg.Variable,
    kept: sg.Variable | None,
    weights: sg.Variable | None,
    others: sg.Variable | None = None,
) -> sg.Variable:
    """The mean of the values that are kept, weighed; the values have the ``others`` in them."""
    if kept is None and weights is None and others is None:
        return sg.mean(values)
    # An axis that a mask lacks counts in full.
    shares = sg.ones_like(values) if others is None else others
    if weights is not None:
        values, shares = values * weights, shares * weights
    if kept is not None:
        values, shares = sg.where(kept, values, 0), sg.where(kept, shares, 0)
    return sg.sum(values) / sg.sum(shares)

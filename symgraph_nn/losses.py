"""Losses, and accuracy: each a scalar, the mean over the elements, or over the unmasked ones.

A mask has the leading axes of what it masks, such as [time, batch]. Bools and zeros and ones
choose; other floats weigh. What is masked may be anything, NaN and labels of -1 included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    ShapeError,
    SymgraphValueError,
    describe,
    explain,
    user_line,
)

from .checks import as_variable, check_float, check_sizes

__all__ = ["accuracy", "binary_cross_entropy", "cross_entropy", "squared_error"]


def squared_error(prediction: Any, target: Any, mask: Any = None) -> sg.Variable:
    """The mean of ``(prediction - target)²`` over all elements, a scalar; shapes must agree."""
    prediction, target = _pair("squared_error", prediction, target)
    return _mean(sg.square(prediction - target), mask, "squared_error")


def cross_entropy(logits: Any, labels: Any, mask: Any = None) -> sg.Variable:
    """The mean of ``-log softmax(logits)[label]`` over all positions, a scalar.

    ``logits`` [..., classes] are unnormalised. ``labels`` are integers [...], each from 0 to below
    the number of classes, or probabilities, floats [..., classes] (one-hot rows, say). ``mask``
    [...] chooses positions.
    """
    logits = as_variable(logits, "cross_entropy")
    labels = as_variable(labels, "cross_entropy")
    check_float(logits, "cross_entropy")
    _refuse_normalised(logits, "cross_entropy", "softmax")
    if logits.ndim == 0:
        raise ShapeError(explain("cross_entropy: logits have an axis of classes", line=user_line()))
    log_probabilities = sg.log_softmax(logits, axis=-1)
    if labels.ndim == logits.ndim:
        check_float(labels, "cross_entropy: labels with an axis of classes")
        check_sizes("cross_entropy", labels, logits, range(labels.ndim))
        probabilities = labels.astype(logits.dtype)
        return _mean(-sg.sum(probabilities * log_probabilities, axis=-1), mask, "cross_entropy")
    _check_labels("cross_entropy", logits, labels)
    return _mean(-_chosen(log_probabilities, labels, mask), mask, "cross_entropy")


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


def accuracy(logits: Any, labels: Any, mask: Any = None) -> sg.Variable:
    """The share of positions whose largest logit is the label's, a float32 scalar; no gradient.

    ``logits`` [..., classes] may as well be probabilities; ``labels`` are integers [...].
    """
    logits, labels = as_variable(logits, "accuracy"), as_variable(labels, "accuracy")
    _check_labels("accuracy", logits, labels)
    hits = sg.eq(sg.argmax(logits, axis=-1), labels)
    return _mean(hits.astype("float32"), mask, "accuracy")


def _check_labels(owner: str, logits: sg.Variable, labels: sg.Variable) -> None:
    """Raise unless the labels are integers with the axes of the logits but that of the classes."""
    if labels.ndim != logits.ndim - 1:
        raise ShapeError(
            explain(
                f"{owner}: labels for {describe(logits)} have {logits.ndim - 1} axes; "
                f"found {describe(labels)}",
                line=user_line(),
            )
        )
    if labels.dtype.kind not in "iu":
        raise DtypeError(
            explain(
                f"{owner}: labels are integers; found {describe(labels)}",
                line=user_line(),
                remedy="Convert them with .astype('int64').",
            )
        )
    check_sizes(owner, labels, logits, range(labels.ndim))


def _pair(owner: str, prediction: Any, target: Any) -> tuple[sg.Variable, sg.Variable]:
    """Both as variables; different numbers of axes or known sizes are an error."""
    a, b = as_variable(prediction, owner), as_variable(target, owner)
    if a.ndim != b.ndim:
        raise ShapeError(
            explain(
                f"{owner}: the prediction is {describe(a)}, the target {describe(b)}: "
                "they have different numbers of axes",
                line=user_line(),
                remedy="Reshape one of them, or take out an axis with x[..., 0].",
            )
        )
    check_sizes(owner, a, b, range(a.ndim))
    return a, b


def _refuse_normalised(x: sg.Variable, owner: str, function: str) -> None:
    if x.op.name == function:
        raise SymgraphValueError(
            explain(
                f"{owner}: logits are expected, not the result of {function}",
                line=user_line(),
                remedy=f"Leave the {function} out: the loss contains it, without loss of accuracy.",
            )
        )


def _chosen(values: sg.Variable, labels: sg.Variable, mask: Any) -> sg.Variable:
    """The value of each position's label."""
    if mask is not None:
        labels = sg.where(_as_bool(mask, labels, "cross_entropy"), labels, 0)
    n_classes = values.shape[-1]
    rows = sg.reshape(values, (-1, n_classes))
    flat = sg.reshape(labels, (-1,))
    return sg.reshape(rows[sg.arange(flat.shape[0]), flat], labels.shape)


def _as_bool(mask: Any, values: sg.Variable, owner: str) -> sg.Variable:
    """The mask as bools with the axes of the values; the axes it lacks have size 1."""
    mask = as_variable(mask, owner)
    if mask.ndim > values.ndim:
        raise ShapeError(
            explain(
                f"{owner}: the mask {describe(mask)} has more axes than what it masks, "
                f"{describe(values)}",
                line=user_line(),
            )
        )
    check_sizes(f"{owner}: mask", mask, values, range(mask.ndim))
    missing = tuple(range(mask.ndim, values.ndim))
    if missing:
        mask = sg.expand_dims(mask, missing)
    return mask if mask.dtype == np.bool_ else sg.ne(mask, 0)


def _mean(values: sg.Variable, mask: Any, owner: str) -> sg.Variable:
    """The mean of the unmasked values."""
    if mask is None:
        return sg.mean(values)
    is_kept = _as_bool(mask, values, owner)
    kept = sg.where(is_kept, values, 0)
    weights = as_variable(mask, owner)
    if weights.dtype.kind == "f":
        weights = sg.reshape(weights, is_kept.shape).astype(values.dtype)
        kept = kept * weights
    else:
        weights = is_kept.astype(values.dtype)
    # An axis that the mask lacks counts in full.
    return sg.sum(kept) / sg.sum(weights * sg.ones_like(values))

"""Means over what a mask leaves.

A mask has the leading axes of what it masks, such as [time, batch]. Bools and zeros and ones
choose; other floats weigh. What is masked is not looked at: it may be anything, NaN included. The
mean over nothing is no number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import ShapeError, describe

from .checks import as_mask, check_sizes

__all__ = ["chosen_by", "masked_mean", "weighted_mean", "weights_of"]


def chosen_by(mask: Any, values: sg.Variable, owner: str) -> sg.Variable:
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


def weights_of(mask: Any, values: sg.Variable) -> sg.Variable | None:
    """What the mask weighs; None for one that only chooses."""
    if mask is None or as_mask(mask, "mask").dtype.kind != "f":
        return None
    weights = as_mask(mask, "mask")
    missing = tuple(range(weights.ndim, values.ndim))
    return (sg.expand_dims(weights, missing) if missing else weights).astype(values.dtype)


def masked_mean(values: sg.Variable, mask: Any, owner: str) -> sg.Variable:
    """The mean of the unmasked values."""
    counts = None if mask is None else chosen_by(mask, values, owner)
    return weighted_mean(values, counts, weights_of(mask, values))


def weighted_mean(
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

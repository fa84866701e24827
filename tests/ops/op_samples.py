"""Arrays with awkward points, for the op table."""

from __future__ import annotations

import itertools

import numpy as np

__all__ = ["AWKWARD", "INTEGERS", "PAIRS", "POSITIVE", "UNIT", "integer_pairs", "integers"]

# Signed zeros, infinities, NaN, subnormals, the edges of both float dtypes.
_signed = [0.0, 1.0, 0.5, 1.5, 2.5, 3.0, 1e-3, 1e-8, 20.0, 90.0, 800.0, 1e-40, 1e-310, 1e30, np.inf]
AWKWARD = np.array([*_signed, *(-v for v in _signed), np.nan])
UNIT = np.array([0.0, -0.0, 1.0, -1.0, 0.3, -0.7, 0.999, -0.999, 1e-9, 1e-40, 1.5, -2.0, np.nan])
POSITIVE = np.array([0.0, 1e-40, 1e-8, 0.3, 1.0, 1.5, 2.0, 7.25, 30.0, 1e5, 1e30, np.inf, np.nan])

# Every pair of some awkward points, as two vectors.
_corners = [0.0, -0.0, 1.0, -1.5, 2.5, 1e-40, 1e30, np.inf, -np.inf, np.nan]
PAIRS = tuple(np.array(list(itertools.product(_corners, _corners))).T)

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def integers(dtype: str) -> np.ndarray:
    """Small numbers and the edges of an integer dtype."""
    info = np.iinfo(dtype)
    values = [0, 1, 2, 3, 7, 100, info.max, info.max - 1, info.min]
    if info.min < 0:
        values += [-1, -2, -7, info.min + 1]
    return np.array(values, dtype)


def integer_pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of `integers`, as two vectors."""
    values = integers(dtype)
    first, second = np.meshgrid(values, values)
    return first.ravel(), second.ravel()

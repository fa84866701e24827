"""Logarithms of sums of exponentials, and what they normalise; stable at any size.

Entries of -Inf count as probability 0; among nothing but them `logsumexp` is -Inf and `softmax`
NaN, as in SciPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.annotations import ArrayLike, Axes
from ..core.flags import check_flags
from ..core.op import Op
from ..core.types import TensorType
from ..core.variable import Variable, node
from .activation import sigmoid
from .broadcast import rearrange, reduce_sum, restore_axes
from .comparison import equal, isfinite, isinf, logical_and
from .elementwise import add, divide, scale, subtract, where
from .entry import elementwise
from .extremes import MAX, infer_extreme
from .promotion import as_variable, to_float
from .shape import reduced_axes
from .transcendental import exp, log

__all__ = ["log_softmax", "logaddexp", "logsumexp", "softmax", "weight_of_first"]

_LN2 = math.log(2.0)


def _logaddexp(m: Any, x: Any, y: Any) -> Any:
    """The larger one and ``log1p(exp(-distance))``; equal infinities have no distance."""
    distance = m.absolute(m.subtract(x, y))
    return m.select(
        m.eq(x, y),
        m.add(x, _LN2),
        m.add(m.maximum(x, y), m.log1p(m.exp(m.negative(distance)))),
    )


def weight_of_first(x: Variable, y: Variable) -> Variable:
    """``exp(x) / (exp(x) + exp(y))``: a sigmoid; a half for equal infinities."""
    same = logical_and(equal(x, y), isinf(x))
    return sigmoid(where(same, 0.0, subtract(x, y)))


LOGADDEXP = elementwise(
    "logaddexp",
    _logaddexp,
    [
        lambda ct, z, x, y: scale(ct, weight_of_first(x, y)),
        lambda ct, z, x, y: scale(ct, weight_of_first(y, x)),
    ],
    operands="float",
    traits=["commutative"],
)


def logaddexp(x: ArrayLike, y: ArrayLike) -> Variable:
    """``log(exp(x) + exp(y))`` without overflow; -Inf for two of -Inf.

    >>> sg.logaddexp(-np.inf, 1000.0).eval()
    np.float32(1000.0)
    """
    return LOGADDEXP(x, y)


# --- over axes ----------------------------------------------------------------------------------


def _maximum(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The largest element over the axes, which stay; a `CallError` where there is none."""
    assert MAX.evaluate is not None
    return MAX.evaluate([x], axes, True)


def _finite_maximum(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The largest element over the axes, 0 where it is infinite or NaN."""
    largest = _maximum(x, axes)
    return np.where(np.isfinite(largest), largest, x.dtype.type(0))


def _symbolic_maximum(x: Variable, axes: tuple[int, ...]) -> Variable:
    largest = node(MAX, (x,), (axes, True))
    return where(isfinite(largest), largest, 0.0)


def _evaluate_logsumexp(
    arrays: Sequence[np.ndarray], axes: tuple[int, ...], keepdims: bool
) -> np.ndarray:
    (x,) = arrays
    shift = _finite_maximum(x, axes)
    total = np.log(np.sum(np.exp(x - shift), axis=axes, keepdims=True)) + shift
    return total if keepdims else np.squeeze(total, axis=axes)


def _vjp_logsumexp(total: Variable, cotangent: Variable) -> list[Variable | None]:
    (x,) = total.inputs
    axes, keepdims = total.params
    if not keepdims:
        total = restore_axes(total, axes, x.ndim)
        cotangent = restore_axes(cotangent, axes, x.ndim)
    # Not exp(x - total): that has only the digits that a large total leaves to its logarithm.
    shares = where(equal(total, -math.inf), 0.0, node(SOFTMAX, (x,), (axes,)))
    return [scale(cotangent, shares)]


def _expand_logsumexp(total: Variable) -> Variable:
    (x,) = total.inputs
    axes, keepdims = total.params
    shift = _symbolic_maximum(x, axes)
    result = add(log(reduce_sum(exp(subtract(x, shift)), axes, keepdims=True)), shift)
    return result if keepdims else rearrange(result, [i for i in range(x.ndim) if i not in axes])


LOGSUMEXP = Op(
    "logsumexp",
    infer_extreme,
    _evaluate_logsumexp,
    _vjp_logsumexp,
    expand=_expand_logsumexp,
    params=("axes", "keepdims"),
    kind="reduction",
)


def _infer_shares(inputs: Sequence[Variable], axes: tuple[int, ...]) -> TensorType:
    infer_extreme(inputs, axes, True)  # there are no shares of nothing
    return inputs[0].type


def _evaluate_softmax(arrays: Sequence[np.ndarray], axes: tuple[int, ...]) -> np.ndarray:
    (x,) = arrays
    weights = np.exp(x - _maximum(x, axes))
    return weights / np.sum(weights, axis=axes, keepdims=True)


def _vjp_softmax(shares: Variable, cotangent: Variable) -> list[Variable | None]:
    (axes,) = shares.params
    average = reduce_sum(scale(cotangent, shares), axes, keepdims=True)
    return [scale(shares, subtract(cotangent, average))]


def _expand_softmax(shares: Variable) -> Variable:
    (x,) = shares.inputs
    (axes,) = shares.params
    weights = exp(subtract(x, node(MAX, (x,), (axes, True))))
    return divide(weights, reduce_sum(weights, axes, keepdims=True))


SOFTMAX = Op(
    "softmax",
    _infer_shares,
    _evaluate_softmax,
    _vjp_softmax,
    expand=_expand_softmax,
    params=("axes",),
    kind="reduction",
)


def _evaluate_log_softmax(arrays: Sequence[np.ndarray], axes: tuple[int, ...]) -> np.ndarray:
    (x,) = arrays
    distance = x - _finite_maximum(x, axes)
    return distance - np.log(np.sum(np.exp(distance), axis=axes, keepdims=True))


def _vjp_log_softmax(logs: Variable, cotangent: Variable) -> list[Variable | None]:
    (axes,) = logs.params
    total = reduce_sum(cotangent, axes, keepdims=True)
    return [subtract(cotangent, scale(exp(logs), total))]


def _expand_log_softmax(logs: Variable) -> Variable:
    (x,) = logs.inputs
    (axes,) = logs.params
    distance = subtract(x, _symbolic_maximum(x, axes))
    return subtract(distance, log(reduce_sum(exp(distance), axes, keepdims=True)))


LOG_SOFTMAX = Op(
    "log_softmax",
    _infer_shares,
    _evaluate_log_softmax,
    _vjp_log_softmax,
    expand=_expand_log_softmax,
    params=("axes",),
    kind="reduction",
)


def logsumexp(x: ArrayLike, axis: Axes = None, *, keepdims: bool = False) -> Variable:
    """``log(sum(exp(x)))`` over the axes (None: all), without overflow.

    Over an axis of size 0 a `CallError`, or a `ShapeError` where that is known.

    >>> sg.logsumexp([[1000.0, -np.inf], [0.0, -np.inf]], axis=1).eval()
    array([1000.,    0.], dtype=float32)
    """
    check_flags("logsumexp", keepdims=keepdims)
    x = to_float(as_variable(x, "logsumexp"))
    axes = reduced_axes(x, axis, "logsumexp")
    return node(LOGSUMEXP, (x,), (axes, keepdims)) if axes else x


def softmax(x: ArrayLike, axis: Axes = -1) -> Variable:
    """``exp(x)`` divided by its sum over the axis (an int, a tuple, or None for all), as floats.

    The result has the shape of ``x``. Over an axis of size 0 a `CallError`, or a `ShapeError`
    where that is known.

    >>> sg.softmax([1000.0, 1000.0]).eval()
    array([0.5, 0.5], dtype=float32)
    """
    x = to_float(as_variable(x, "softmax"))
    return node(SOFTMAX, (x,), (reduced_axes(x, axis, "softmax"),))


def log_softmax(x: ArrayLike, axis: Axes = -1) -> Variable:
    """``log(softmax(x))`` over the axis (an int, a tuple, or None for all), without underflow.

    The result has the shape of ``x``. Over an axis of size 0 a `CallError`, or a `ShapeError`
    where that is known.

    >>> sg.log_softmax([0.0, -1000.0]).eval()
    array([    0., -1000.], dtype=float32)
    """
    x = to_float(as_variable(x, "log_softmax"))
    return node(LOG_SOFTMAX, (x,), (reduced_axes(x, axis, "log_softmax"),))

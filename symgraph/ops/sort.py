"""Sorting, and searching in what is sorted. Indices are those of a stable order; NaN comes last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Axis
from ..core.errors import ShapeError, SymgraphTypeError
from ..core.interrupts import call_apart
from ..core.op import Op
from ..core.types import TensorType, tensor_type
from ..core.variable import Variable, node
from .positions import take_along_axis
from .promotion import promote_arguments
from .shape import along_axis

__all__ = ["ARGSORT", "SEARCHSORTED", "SORT", "argsort", "searchsorted", "sort"]

_INT64 = np.dtype("int64")
# From how many elements on a thread of its own is worth while: they take some ten milliseconds.
_LONG = 1 << 20


def _vjp_sort(ordered: Variable, cotangent: Variable) -> list[Variable | None]:
    (x,) = ordered.inputs
    (axis,) = ordered.params
    # The place of each element in the sorted array is the inverse of the sorting permutation.
    places = node(ARGSORT, (node(ARGSORT, (x,), (axis,)),), (axis,))
    return [take_along_axis(cotangent, places, axis)]


def _interruptible(call: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """What NumPy returns for the arrays; Ctrl-C, which it does not look for, ends the waiting."""
    if sum(x.size for x in arrays) < _LONG:
        return call(*arrays)
    # What is waited for no more may be freed.
    copies = [x.copy() for x in arrays]
    return call_apart(lambda: call(*copies))


# The elements in ascending order along an axis. Values tell no order of equal ones, so NumPy may
# choose how to sort: a stable way takes up to twenty times as long.
SORT = Op(
    "sort",
    lambda inputs, axis: inputs[0].type,
    evaluate=lambda arrays, axis: _interruptible(lambda x: np.sort(x, axis), *arrays),
    vjp=_vjp_sort,
    params=("axis",),
)
# The indices that sort an axis; equal elements stay in order.
ARGSORT = Op(
    "argsort",
    lambda inputs, axis: inputs[0].type.with_dtype(_INT64),
    evaluate=lambda arrays, axis: _interruptible(
        lambda x: np.argsort(x, axis, kind="stable"), *arrays
    ),
    params=("axis",),
)


def sort(x: ArrayLike, axis: Axis | None = -1) -> Variable:
    """``x`` in ascending order along an axis; flattened first where the axis is None.

    NaN comes last. The gradient goes to where each element came from; equal elements keep their
    order. An axis that is not there is a `ShapeError`.

    >>> sg.sort([[3, 1, 2], [6, 5, 4]]).eval()
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    x, axis = along_axis(x, axis, "sort")
    return node(SORT, (x,), (axis,))


def argsort(x: ArrayLike, axis: Axis | None = -1) -> Variable:
    """The indices (int64) that put ``x`` in ascending order along an axis; stable, as `sort`.

    NumPy's is not stable unless asked to be. Without a gradient.

    >>> sg.argsort([3, 1, 2, 1]).eval()
    array([1, 3, 2, 0])
    """
    x, axis = along_axis(x, axis, "argsort")
    return node(ARGSORT, (x,), (axis,))


def _infer_searchsorted(inputs: Sequence[Variable], side: str) -> TensorType:
    return tensor_type(_INT64, inputs[1].type.shape)


# Where values would go in a sorted vector.
SEARCHSORTED = Op(
    "searchsorted",
    _infer_searchsorted,
    evaluate=lambda arrays, side: np.asarray(
        _interruptible(lambda x, values: np.searchsorted(x, values, side=side), *arrays), np.int64
    ),
    params=("side",),
)


def searchsorted(ordered: ArrayLike, values: ArrayLike, side: str = "left") -> Variable:
    """The indices (int64) at which values would keep an ascending vector in order.

    ``side``: before (``left``) or after (``right``) the elements that are equal to a value. The
    result has the shape of the values; in a vector that is not in order it means nothing. No
    gradient. What is no vector is a `ShapeError`, another side a `SymgraphTypeError`.

    >>> sg.searchsorted([1, 3, 5], [3, 4]).eval()
    array([1, 2])
    """
    ordered, values = promote_arguments("searchsorted", (ordered, values))
    if ordered.ndim != 1:
        raise ShapeError.here(
            f"searchsorted looks in a vector; found {provenance.describe(ordered)}"
        )
    if side not in ("left", "right"):
        raise SymgraphTypeError.here(f"searchsorted: the side is 'left' or 'right', not {side!r}")
    return node(SEARCHSORTED, (ordered, values), (side,))

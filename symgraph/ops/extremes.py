"""The largest and the smallest elements over axes, and where they are.

Equal ones share the gradient equally. Among nothing there is none: an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Axes, Axis
from ..core.errors import CallError, ShapeError
from ..core.flags import check_flags
from ..core.op import Op
from ..core.types import TensorType, format_shape, tensor_type
from ..core.variable import Variable, node
from .broadcast import infer_reduction, reduce_sum, restore_axes
from .comparison import equal
from .elementwise import divide, masked
from .promotion import as_variable, cast_to
from .shape import along_axis, reduced_axes

__all__ = ["ARGMAX", "ARGMIN", "MAX", "MIN", "amax", "amin", "argmax", "argmin", "max", "min"]

_INT64 = np.dtype("int64")


def infer_extreme(inputs: Sequence[Variable], axes: tuple[int, ...], keepdims: bool) -> TensorType:
    """The type of an extreme over the axes; among nothing there is none, as for NumPy even where
    the result would have no elements."""
    result = infer_reduction(inputs, axes, keepdims)
    (x,) = inputs
    if any(x.type.shape[axis] == 0 for axis in axes):
        raise ShapeError.here(
            f"there is no largest or smallest element among none: {provenance.describe(x)} "
            f"over {'axes' if len(axes) > 1 else 'axis'} {', '.join(map(str, axes))}"
        )
    return result


def _evaluate_extreme(reduce: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def evaluate(arrays: Sequence[np.ndarray], axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        (x,) = arrays
        try:
            return reduce(x, axis=axes, keepdims=keepdims)
        except ValueError:
            raise CallError(
                f"there is no largest or smallest element among none: shape "
                f"{format_shape(x.shape)} over axes {axes}"
            ) from None

    return evaluate


def _vjp_extreme(extreme: Variable, cotangent: Variable) -> list[Variable | None]:
    (x,) = extreme.inputs
    axes, keepdims = extreme.params
    if not keepdims:
        extreme = restore_axes(extreme, axes, x.ndim)
        cotangent = restore_axes(cotangent, axes, x.ndim)
    chosen = equal(x, extreme)
    count = reduce_sum(cast_to(chosen, x.dtype), axes, keepdims=True)
    return [masked(chosen, divide(cotangent, count))]


def _extreme_op(name: str, reduce: Callable[..., np.ndarray]) -> Op:
    return Op(
        name,
        infer_extreme,
        _evaluate_extreme(reduce),
        _vjp_extreme,
        params=("axes", "keepdims"),
        kind="reduction",
    )


# The largest and the smallest element over axes (sorted, not negative); NaN if there is one.
MAX = _extreme_op("max", np.max)
MIN = _extreme_op("min", np.min)


def max(x: ArrayLike, axis: Axes = None, *, keepdims: bool = False) -> Variable:
    """The largest element over the axes (None: over all), in the dtype of ``x``.

    NaN if there is one. Equal ones share the gradient. Over nothing it is a `ShapeError`, or a
    `CallError` where the size is not known before; an axis that is not there is a `ShapeError`.

    >>> sg.max([[1, 5], [3, 2]], axis=1).eval()
    array([5, 3])
    """
    return _extreme(MAX, x, axis, keepdims=keepdims)


def min(x: ArrayLike, axis: Axes = None, *, keepdims: bool = False) -> Variable:
    """The smallest element over the axes (None: over all); otherwise as `max`.

    >>> sg.min([[1, 5], [3, 2]], axis=1).eval()
    array([1, 2])
    """
    return _extreme(MIN, x, axis, keepdims=keepdims)


amax = max
amin = min


def _extreme(op: Op, x: ArrayLike, axis: Axes, *, keepdims: bool) -> Variable:
    check_flags(op.name, keepdims=keepdims)
    x = as_variable(x, op.name)
    axes = reduced_axes(x, axis, op.name)
    if not axes:
        return x
    return node(op, (x,), (axes, keepdims))


# --- where extremes are -------------------------------------------------------------------------


def _infer_position(inputs: Sequence[Variable], axis: int) -> TensorType:
    (x,) = inputs
    if x.type.shape[axis] == 0:
        raise ShapeError.here(
            f"there is no largest or smallest element among none: axis {axis} of "
            f"{provenance.describe(x)}"
        )
    return tensor_type(_INT64, x.type.shape[:axis] + x.type.shape[axis + 1 :])


def _evaluate_position(find: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def evaluate(arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
        (x,) = arrays
        if not x.shape[axis]:
            raise CallError(
                "there is no largest or smallest element among none: axis "
                f"{axis} of shape {format_shape(x.shape)}"
            )
        return find(x, axis=axis).astype(_INT64, copy=False)

    return evaluate


def _position_op(name: str, find: Callable[..., np.ndarray]) -> Op:
    return Op(
        name,
        _infer_position,
        _evaluate_position(find),
        params=("axis",),
        traits=frozenset({"traced"}),
        kind="reduction",
    )


# The index of the first largest or smallest element along an axis; of the first NaN if any.
ARGMAX = _position_op("argmax", np.argmax)
ARGMIN = _position_op("argmin", np.argmin)


def argmax(x: ArrayLike, axis: Axis | None = None, *, keepdims: bool = False) -> Variable:
    """The index (int64) of the first largest element along the axis, or in ``x`` flattened.

    That of the first NaN if there is one. Without a gradient. Errors as for `max`.

    >>> sg.argmax([[1, 5, 5], [3, 2, 1]], axis=1).eval()
    array([1, 0])
    """
    return _position(ARGMAX, x, axis, keepdims=keepdims)


def argmin(x: ArrayLike, axis: Axis | None = None, *, keepdims: bool = False) -> Variable:
    """The index (int64) of the first smallest element; otherwise as `argmax`.

    >>> sg.argmin([[1, 5, 5], [3, 2, 1]]).eval()
    np.int64(0)
    """
    return _position(ARGMIN, x, axis, keepdims=keepdims)


def _position(op: Op, x: ArrayLike, axis: Axis | None, *, keepdims: bool) -> Variable:
    check_flags(op.name, keepdims=keepdims)
    x = as_variable(x, op.name)
    operand, along = along_axis(x, axis, op.name)
    place = node(op, (operand,), (along,))
    if not keepdims:
        return place
    return restore_axes(place, tuple(range(x.ndim)) if axis is None else (along,), x.ndim)

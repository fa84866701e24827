"""Shapes that meet: the unification of operands, and the three ops that undo and redo broadcasts.

``sum``, ``broadcast_to`` and ``rearrange`` are each other's derivatives and those of every
elementwise op, so they stand together, below the rest of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Shape
from ..core.dims import Size
from ..core.errors import CallError, ShapeError
from ..core.op import Op
from ..core.size_differences import known_different
from ..core.types import TensorType, format_shape
from ..core.variable import CONSTANT, Variable, make_constant, node
from .promotion import as_variable
from .sizes import check_size, preferred_size, shape_of, shape_operands, size_of

__all__ = [
    "BROADCAST_TO",
    "REARRANGE",
    "SUM",
    "broadcast_shapes",
    "broadcast_to",
    "filled",
    "infer_reduction",
    "is_zeros",
    "rearrange",
    "reduce_sum",
    "restore_axes",
    "seen_through",
    "template_sizes",
    "unbroadcast",
    "unify_shapes",
]


def broadcast_shapes(shapes: Sequence[Sequence[Size]], function: str) -> tuple[Size, ...]:
    """The common shape; sizes must be one and the same, or statically 1."""
    longest = _longest_if_nested(shapes)
    if longest is not None:
        return tuple(longest)
    ndim = max(len(shape) for shape in shapes)
    result: list[Size] = []
    for axis in range(-ndim, 0):
        common: Size = 1
        for shape in shapes:
            size = shape[axis] if len(shape) >= -axis else 1
            if size == 1 or size is common:
                continue
            if common == 1:
                common = size
            elif size != common:
                all_shapes = " and ".join(map(format_shape, shapes))
                raise ShapeError.here(
                    f"{function}: shapes {all_shapes} do not fit: {common} against {size}"
                )
        result.append(common)
    return tuple(result)


def _longest_if_nested(shapes: Sequence[Sequence[Size]]) -> Sequence[Size] | None:
    """The longest shape where all others are its last axes, as scalars and biases are."""
    longest = max(shapes, key=len)
    n = len(longest)
    for shape in shapes:
        if shape is not longest and tuple(shape) != tuple(longest[n - len(shape) :]):
            return None
    return longest


def unify_shapes(operands: Sequence[Variable], function: str) -> list[Variable]:
    """The operands with equal sizes on every axis where they are not statically 1.

    Sizes known to differ are a `ShapeError`; sizes that may be equal are checked at the call.
    """
    result = list(operands)
    if _longest_if_nested([x.type.shape for x in result]) is not None:
        return result
    for axis in range(-max(x.ndim for x in result), 0):
        held = [i for i, x in enumerate(result) if x.ndim >= -axis and x.type.shape[axis] != 1]
        if len({result[i].type.shape[axis] for i in held}) <= 1:
            continue
        best = held[0]
        for i in held[1:]:
            ours, theirs = result[best].type.shape[axis], result[i].type.shape[axis]
            if known_different(ours, theirs):
                raise ShapeError.here(
                    "\n    ".join(
                        [f"{function}: sizes do not fit on axis {axis}:"]
                        + [provenance.describe(x) for x in operands]
                    ),
                    remedy="Only an axis of size 1 is broadcast; expand_dims or reshape makes one.",
                )
            if preferred_size(ours, theirs) != ours:
                best = i
        model = result[best]
        for i in held:
            result[i] = check_size(
                result[i], result[i].ndim + axis, model, model.ndim + axis, function
            )
    return result


# --- sum ----------------------------------------------------------------------------------------


def infer_reduction(
    inputs: Sequence[Variable], axes: tuple[int, ...], keepdims: bool
) -> TensorType:
    """The type of the input without the axes, or with size 1 there."""
    (x,) = inputs
    if keepdims:
        shape = [1 if axis in axes else size for axis, size in enumerate(x.type.shape)]
    else:
        shape = [size for axis, size in enumerate(x.type.shape) if axis not in axes]
    return x.type.with_shape(shape)


def _evaluate_sum(
    arrays: Sequence[np.ndarray], axes: tuple[int, ...], keepdims: bool
) -> np.ndarray:
    return np.sum(arrays[0], axis=axes, keepdims=keepdims, dtype=arrays[0].dtype)


def _vjp_sum(total: Variable, cotangent: Variable) -> list[Variable | None]:
    (x,) = total.inputs
    axes, keepdims = total.params
    if not keepdims:
        cotangent = restore_axes(cotangent, axes, x.ndim)
    return [broadcast_to(cotangent, shape_of(x))]


def restore_axes(x: Variable, axes: tuple[int, ...], ndim: int) -> Variable:
    """``x`` with axes of size 1 where a reduction over ``axes`` took them away."""
    own = iter(range(x.ndim))
    return rearrange(x, [None if axis in axes else next(own) for axis in range(ndim)])


# The sum over axes (sorted, not negative), in the dtype of the operand.
SUM = Op(
    "sum", infer_reduction, _evaluate_sum, _vjp_sum, params=("axes", "keepdims"), kind="reduction"
)


def reduce_sum(x: Variable, axes: Sequence[int], *, keepdims: bool = False) -> Variable:
    """``x`` summed over the axes, in its own dtype; ``x`` itself for no axes."""
    return node(SUM, (x,), (tuple(sorted(axes)), keepdims)) if axes else x


def unbroadcast(cotangent: Variable, type: TensorType) -> Variable:
    """The cotangent summed over the axes along which a value of this type was broadcast."""
    shape = cotangent.type.shape
    extra = len(shape) - len(type.shape)
    stretched = [
        extra + axis
        for axis, size in enumerate(type.shape)
        if size == 1 and shape[extra + axis] != 1
    ]
    cotangent = reduce_sum(cotangent, stretched, keepdims=True)
    return reduce_sum(cotangent, range(extra))


# --- broadcast ----------------------------------------------------------------------------------


def template_sizes(template: Sequence[int | None], symbols: Sequence[Variable]) -> list[Size]:
    """The sizes that a template means, its gaps filled with what the symbols stand for."""
    rest = iter(symbols)
    return [size_of(next(rest)) if size is None else size for size in template]


def template_numbers(template: Sequence[int | None], symbols: Sequence[np.ndarray]) -> list[int]:
    """The numbers that a template means at the call."""
    rest = iter(symbols)
    return [int(next(rest)) if size is None else size for size in template]


def _infer_broadcast_to(inputs: Sequence[Variable], template: tuple[int | None, ...]) -> TensorType:
    x, *symbols = inputs
    shape = template_sizes(template, symbols)
    if x.ndim > len(shape):
        raise ShapeError.here(f"broadcast_to: {x.type} has more axes than {format_shape(shape)}")
    for ours, theirs in zip(x.type.shape, shape[len(shape) - x.ndim :], strict=True):
        if ours not in (1, theirs):
            raise ShapeError.here(
                f"broadcast_to: {provenance.describe(x)} does not fit into {format_shape(shape)}"
            )
    return x.type.with_shape(shape)


def _evaluate_broadcast_to(
    arrays: Sequence[np.ndarray], template: tuple[int | None, ...]
) -> np.ndarray:
    x, *symbols = arrays
    shape = template_numbers(template, symbols)
    if any(size < 0 for size in shape):
        raise CallError(f"broadcast_to: a size is negative: {shape}")
    return np.broadcast_to(x, shape)


def _vjp_broadcast_to(wide: Variable, cotangent: Variable) -> list[Variable | None]:
    x = wide.inputs[0]
    return [unbroadcast(cotangent, x.type), *([None] * (len(wide.inputs) - 1))]


# x repeated along axes of size 1 and new leading axes; inputs are x and the symbolic sizes.
BROADCAST_TO = Op(
    "broadcast_to",
    _infer_broadcast_to,
    _evaluate_broadcast_to,
    _vjp_broadcast_to,
    params=("template",),
    traits=frozenset({"view"}),
    kind="movement",
)


def broadcast_to(x: ArrayLike, shape: Shape) -> Variable:
    """``x`` repeated to the shape, along axes of size 1 and new leading axes.

    Sizes are ints or integer scalars. Only an axis that is known to have size 1 is repeated. Sizes
    known to differ are a `ShapeError`; those that may differ are checked at the call.

    >>> sg.broadcast_to([1, 2], (2, 2)).eval()
    array([[1, 2],
           [1, 2]])
    """
    x = as_variable(x, "broadcast_to")
    template, symbols, sizes = shape_operands(shape, "broadcast_to")
    if x.type.shape == sizes:
        return x
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise ShapeError.here(f"broadcast_to: a size is at least 0; found {format_shape(sizes)}")
    extra = len(sizes) - x.ndim
    if extra >= 0 and any(
        ours not in (1, theirs) for ours, theirs in zip(x.type.shape, sizes[extra:], strict=True)
    ):
        return _broadcast_checked(x, node(BROADCAST_TO, (_ZERO, *symbols), (template,)))
    return node(BROADCAST_TO, (x, *symbols), (template,))


def filled(value: int, dtype: np.dtype, sizes: Sequence[int | Variable]) -> Variable:
    """A constant repeated to these sizes."""
    return broadcast_to(make_constant(np.asarray(value, dtype)), sizes)


def _broadcast_checked(x: Variable, model: Variable) -> Variable:
    """``x`` repeated to the shape of a model, with the sizes that are not 1 checked against it."""
    extra = model.ndim - x.ndim
    wide = list(shape_of(model))
    for axis, size in enumerate(x.type.shape):
        if size != 1:
            x = check_size(x, axis, model, extra + axis, "broadcast_to")
            wide[extra + axis] = shape_of(x)[axis]
    return broadcast_to(x, wide)


def _build_broadcast_to(inputs: Sequence[Variable], template: tuple[int | None, ...]) -> Variable:
    x, *symbols = inputs
    rest = iter(symbols)
    return broadcast_to(x, [next(rest) if size is None else size for size in template])


BROADCAST_TO.attach(build=_build_broadcast_to)
_ZERO = make_constant(np.zeros((), bool))


# --- rearrange ----------------------------------------------------------------------------------


def _infer_rearrange(inputs: Sequence[Variable], order: tuple[int | None, ...]) -> TensorType:
    (x,) = inputs
    for axis, size in enumerate(x.type.shape):
        if axis not in order and size != 1:
            raise ShapeError.here(
                f"axis {axis} of {provenance.describe(x)} cannot be dropped: its size is {size}"
            )
    return x.type.with_shape([1 if axis is None else x.type.shape[axis] for axis in order])


def _evaluate_rearrange(arrays: Sequence[np.ndarray], order: tuple[int | None, ...]) -> np.ndarray:
    (x,) = arrays
    axes = [axis for axis in order if axis is not None]
    dropped = [axis for axis in range(x.ndim) if axis not in axes]
    moved = x.transpose(axes + dropped)[(..., *(0 for _ in dropped))]
    return moved[tuple(np.newaxis if axis is None else slice(None) for axis in order)]


def _vjp_rearrange(moved: Variable, cotangent: Variable) -> list[Variable | None]:
    (x,) = moved.inputs
    (order,) = moved.params
    back = [order.index(axis) if axis in order else None for axis in range(x.ndim)]
    return [rearrange(cotangent, back)]


# Axes permuted, made (None: a new axis of size 1) and dropped (those of size 1 left out).
REARRANGE = Op(
    "rearrange",
    _infer_rearrange,
    _evaluate_rearrange,
    _vjp_rearrange,
    params=("order",),
    traits=frozenset({"layout", "view"}),
    kind="movement",
)


def rearrange(x: Variable, order: Sequence[int | None]) -> Variable:
    """``x`` with its axes in this order; None makes an axis of size 1, those of size 1 may go."""
    if list(order) == list(range(x.ndim)):
        return x
    return node(REARRANGE, (x,), (tuple(order),))


def is_zeros(x: Variable) -> bool:
    """Whether this is a constant without a nonzero element, repeated or with other axes perhaps."""
    x = seen_through(x, BROADCAST_TO, REARRANGE)
    return x.op is CONSTANT and not x.params[0].array.any()


def seen_through(x: Variable, *views: Op) -> Variable:
    """The variable of which ``x`` is a view by these ops alone, one on the other."""
    while x.op in views:
        x = x.inputs[0]
    return x

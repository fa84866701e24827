"""Elements at arrays of indices: reading them, and a copy of an array with them changed.

Index arrays are broadcast together and address some axes of ``x``, one array for each. The axes of
the result follow NumPy: where the indexed axes are neighbours, the axes of the indices take their
place, else they come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.dims import Size
from ..core.errors import CallError, DtypeError, IndexRangeError, explain
from ..core.op import Op
from ..core.types import TensorType, is_integer, tensor_type
from ..core.variable import Variable, constant_value, make_constant, node
from .broadcast import broadcast_shapes, rearrange, reduce_sum, unify_shapes
from .comparison import eq
from .create import zeros, zeros_like
from .elementwise import masked
from .promotion import cast_to
from .ranges import iota
from .reshape import fit, product_of, refuse_misfit, reshape
from .sizes import check_size, shape_of, size_of

__all__ = [
    "FLAT_NONZERO",
    "GATHER",
    "SCATTER_ADD",
    "SCATTER_SET",
    "check_indices",
    "flat_nonzero",
    "gather",
    "scatter",
]

_INT64 = np.dtype("int64")
_BOOL = np.dtype("bool")


def place_of(axes: Sequence[int]) -> int:
    """Where the axes of the indices stand in the result."""
    neighbours = axes[-1] - axes[0] == len(axes) - 1
    return axes[0] if neighbours else 0


# --- types --------------------------------------------------------------------------------------


def _infer_gather(inputs: Sequence[Variable], axes: tuple[int, ...]) -> TensorType:
    x, *indices = inputs
    return x.type.with_shape(_part_shape(x, indices, axes))


def _part_shape(x: Variable, indices: Sequence[Variable], axes: Sequence[int]) -> tuple[Size, ...]:
    if any(not is_integer(index.dtype) for index in indices):
        raise DtypeError.here(f"indices are integers, not {[str(i.dtype) for i in indices]}")
    common = broadcast_shapes([index.type.shape for index in indices], "indexing")
    others = [s for axis, s in enumerate(x.type.shape) if axis not in axes]
    place = place_of(axes)
    return (*others[:place], *common, *others[place:])


def _infer_scatter(inputs: Sequence[Variable], axes: tuple[int, ...]) -> TensorType:
    x, values, *indices = inputs
    refuse_misfit(values, x, _part_shape(x, indices, axes), "elements")
    return x.type


# --- values -------------------------------------------------------------------------------------


def _locate(x: np.ndarray, indices: Sequence[np.ndarray], axes: Sequence[int]) -> tuple[Any, ...]:
    """The NumPy index for the elements; a wrong index is an `IndexRangeError`."""
    where_to: list[Any] = [slice(None)] * x.ndim
    ndim = max(index.ndim for index in indices)
    for index, axis in zip(indices, axes, strict=True):
        check_range(index, x.shape[axis], axis, ndim=ndim)
        where_to[axis] = index
    return tuple(where_to)


def check_range(
    index: np.ndarray, size: int, axis: int, *, ndim: int = 0, line: str | None = None
) -> None:
    """Raise an `IndexRangeError` unless all the indices address an axis of this size.

    ``ndim``: how many axes the indices have with which these are broadcast.
    """
    if index.size and not (-size <= int(index.min()) and int(index.max()) < size):
        first = tuple(map(int, np.argwhere((index < -size) | (index >= size))[0]))
        what = f"index {index[first]} is outside axis {axis}, which has size {size}"
        error = IndexRangeError(explain(what, line=line))
        error.place = (*[0] * (ndim - index.ndim), *first)
        raise error


def _evaluate_gather(arrays: Sequence[np.ndarray], axes: tuple[int, ...]) -> np.ndarray:
    x, *indices = arrays
    return x[_locate(x, indices, axes)]


def _evaluate_scatter_set(arrays: Sequence[np.ndarray], axes: tuple[int, ...]) -> np.ndarray:
    x, values, *indices = arrays
    result = np.array(x)
    result[_locate(x, indices, axes)] = values
    return result


def _evaluate_scatter_add(arrays: Sequence[np.ndarray], axes: tuple[int, ...]) -> np.ndarray:
    """Sums the values of each index first: many times faster than ``np.add.at`` on rows."""
    x, values, *indices = arrays
    _locate(x, indices, axes)
    result = np.array(x)
    target = np.moveaxis(result, axes, range(len(axes)))
    sizes = target.shape[: len(axes)]
    common = np.broadcast_shapes(*(index.shape for index in indices))
    flat = np.zeros(common, np.int64)
    for index, size in zip(indices, sizes, strict=True):
        index = index.astype(np.int64)
        flat = flat * size + np.where(index < 0, index + size, index)
    if not values.size:
        return result
    place = place_of(axes)
    rows = np.moveaxis(values, range(place, place + len(common)), range(len(common)))
    rows = rows.reshape(flat.size, -1)
    order = np.argsort(flat, axis=None, kind="stable")
    ordered = flat.reshape(-1)[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sums = np.add.reduceat(rows[order], starts, axis=0, dtype=x.dtype)
    hit = np.unravel_index(ordered[starts], sizes)
    target[hit] += sums.reshape(len(starts), *target.shape[len(axes) :])
    return result


# --- derivatives --------------------------------------------------------------------------------


def _vjp_gather(part: Variable, cotangent: Variable) -> list[Variable | None]:
    x, *indices = part.inputs
    spread = node(SCATTER_ADD, (zeros_like(x), cotangent, *indices), part.params)
    return [spread, *([None] * len(indices))]


def _vjp_scatter_add(changed: Variable, cotangent: Variable) -> list[Variable | None]:
    _, _, *indices = changed.inputs
    part = node(GATHER, (cotangent, *indices), changed.params)
    return [cotangent, part, *([None] * len(indices))]


def _vjp_scatter_set(changed: Variable, cotangent: Variable) -> list[Variable | None]:
    _, values, *indices = changed.inputs
    (axes,) = changed.params
    elsewhere = node(SCATTER_SET, (cotangent, zeros_like(values), *indices), (axes,))
    part = node(GATHER, (cotangent, *indices), (axes,))
    stored = masked(_last_ones(changed), part)
    return [elsewhere, stored, *([None] * len(indices))]


def _last_ones(changed: Variable) -> Variable:
    """Which of the values were stored last, and so stayed; broadcasts against the values."""
    x, values, *indices = changed.inputs
    (axes,) = changed.params
    place = place_of(axes)
    ndim = max(index.ndim for index in indices)
    common = shape_of(values)[place : place + ndim]
    numbers = reshape(iota(product_of(common)), common)
    owners = node(
        SCATTER_SET,
        (zeros([shape_of(x)[axis] for axis in axes], "int64"), numbers, *indices),
        (tuple(range(len(axes))),),
    )
    last = eq(node(GATHER, (owners, *indices), (tuple(range(len(axes))),)), numbers)
    after = values.ndim - place - ndim
    return rearrange(last, [*([None] * place), *range(ndim), *([None] * after)])


# --- building -----------------------------------------------------------------------------------


def _build_gather(inputs: Sequence[Variable], axes: tuple[int, ...]) -> Variable:
    x, *indices = inputs
    return node(GATHER, (x, *unify_shapes(indices, "indexing")), (axes,))


def _build_scatter(op: Op, inputs: Sequence[Variable], axes: tuple[int, ...]) -> Variable:
    x, values, *indices = inputs
    part = _build_gather((x, *indices), axes)
    values = fit(cast_to(values, x.dtype), part, op.name)
    return node(op, (x, values, *part.inputs[1:]), (axes,))


# The elements of x at the index arrays, one for each of the (ascending) axes.
GATHER = Op(
    "gather",
    _infer_gather,
    _evaluate_gather,
    _vjp_gather,
    build=_build_gather,
    params=("axes",),
    traits=frozenset({"layout", "traced"}),
    kind="movement",
)
# x with values, which have the shape of the elements, stored there: the last of several stays.
SCATTER_SET = Op(
    "scatter_set",
    _infer_scatter,
    _evaluate_scatter_set,
    _vjp_scatter_set,
    build=lambda inputs, axes: _build_scatter(SCATTER_SET, inputs, axes),
    params=("axes",),
    traits=frozenset({"layout", "traced"}),
    kind="movement",
)
# x with values added there, all of several.
SCATTER_ADD = Op(
    "scatter_add",
    _infer_scatter,
    _evaluate_scatter_add,
    _vjp_scatter_add,
    build=lambda inputs, axes: _build_scatter(SCATTER_ADD, inputs, axes),
    params=("axes",),
    traits=frozenset({"traced"}),
    kind="movement",
)


def gather(x: Variable, indices: Sequence[Variable], axes: Sequence[int]) -> Variable:
    """The elements of ``x`` at the index arrays, one for each of the (ascending) axes."""
    check_indices(x, indices, axes)
    return _build_gather((x, *indices), tuple(axes))


def scatter(
    op: Op, x: Variable, values: Variable, indices: Sequence[Variable], axes: Sequence[int]
) -> Variable:
    """``x`` with values, which are broadcast, stored at or added to the elements."""
    check_indices(x, indices, axes)
    return _build_scatter(op, (x, values, *indices), tuple(axes))


def check_indices(x: Variable, indices: Sequence[Variable], axes: Sequence[int]) -> None:
    """Raise an `IndexRangeError` for constant indices that are known to be wrong."""
    for index, axis in zip(indices, axes, strict=True):
        value, length = constant_value(index), x.type.shape[axis]
        if value is not None and isinstance(length, int):
            check_range(value, length, axis, line=provenance.user_line())


# --- masks --------------------------------------------------------------------------------------


def _infer_flat_nonzero(inputs: Sequence[Variable]) -> TensorType:
    _, count = inputs
    return tensor_type(_INT64, (size_of(count),))


def _evaluate_flat_nonzero(arrays: Sequence[np.ndarray]) -> np.ndarray:
    mask, count = arrays
    positions = np.flatnonzero(mask)
    if len(positions) != count:
        raise CallError(f"nonzero: {len(positions)} elements are set, not {count}")
    return positions


# The positions at which a flat mask is set; the second input is their number.
FLAT_NONZERO = Op("flat_nonzero", _infer_flat_nonzero, _evaluate_flat_nonzero)


def flat_nonzero(mask: Variable) -> Variable:
    """The positions in the flattened mask at which it is set."""
    if mask.dtype != _BOOL:
        mask = cast_to(mask, _BOOL)
    value = constant_value(mask)
    if value is not None:
        return make_constant(np.flatnonzero(value).astype(np.int64))
    mask = reshape(mask, (-1,))
    count = reduce_sum(cast_to(mask, _INT64), (0,))
    return node(FLAT_NONZERO, (mask, count))


def merge_axes(x: Variable, mask: Variable, axis: int) -> Variable:
    """``x`` with the axes that a mask covers, from ``axis`` on, made one."""
    for i in range(mask.ndim):
        x = check_size(x, axis + i, mask, i, "indexing by a mask")
    if mask.ndim == 1:
        return x
    sizes = shape_of(x)
    end = axis + mask.ndim
    return reshape(x, (*sizes[:axis], product_of(sizes[axis:end]), *sizes[end:]))

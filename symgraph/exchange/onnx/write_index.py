"""Elements at arrays of indices, where a mask is set, and numbers in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.variable import Variable
from ...ops.gather import place_of
from ...ops.sizes import shape_of
from .write_maths import OnnxMaths
from .write_movement import rearranged
from .write_sizes import vector_of
from .writer import Value, Writer, writes

_INT64 = np.dtype("int64")
_WIDE = (_INT64, np.dtype("int32"))
MAX_CONSTANT = 1024
"""How many numbers in order are written as a constant."""


# --- reading and changing elements --------------------------------------------------------------


@writes("gather")
def _write_gather(w: Writer, v: Variable) -> Value:
    x, *indices = v.inputs
    (axes,) = v.params
    value = w.value(x)
    if len(axes) == 1:
        return w.emit("Gather", value, _as_index(w, w.value(indices[0])), axis=axes[0])
    n_common = max(index.ndim for index in indices)
    others = [axis for axis in range(x.ndim) if axis not in axes]
    value = rearranged(w, value, x.ndim, [*axes, *others])
    part = w.emit("GatherND", value, _joined(w, indices))
    return rearranged(w, part, v.ndim, _to_place(place_of(axes), n_common, v.ndim))


@writes("scatter_set", "scatter_add")
def _write_scatter(w: Writer, v: Variable) -> Value:
    x, values, *indices = v.inputs
    (axes,) = v.params
    n_common = max(index.ndim for index in indices)
    others = [axis for axis in range(x.ndim) if axis not in axes]
    forth = [*axes, *others]
    place = place_of(axes)
    updates = rearranged(w, w.value(values), values.ndim, _from_place(place, n_common, values.ndim))
    reduction: dict[str, Any] = {} if v.op.name == "scatter_set" else {"reduction": "add"}
    changed = w.emit(
        "ScatterND",
        rearranged(w, w.value(x), x.ndim, forth),
        _joined(w, indices),
        updates,
        **reduction,
    )
    return rearranged(w, changed, x.ndim, [forth.index(axis) for axis in range(x.ndim)])


def _to_place(place: int, n_common: int, ndim: int) -> list[int]:
    """The order in which axes of indices that come first stand in their place."""
    common, others = range(n_common), range(n_common, ndim)
    return [*others[:place], *common, *others[place:]]


def _from_place(place: int, n_common: int, ndim: int) -> list[int]:
    """The order in which axes of indices come first."""
    common = range(place, place + n_common)
    return [*common, *(axis for axis in range(ndim) if axis not in common)]


def _as_index(w: Writer, index: Value) -> Value:
    return index if index.dtype in _WIDE else w.cast(index, _INT64)


def _joined(w: Writer, indices: Sequence[Variable]) -> Value:
    """The indices side by side on a new last axis."""
    values = [w.cast(value, _INT64) for value in w.values(indices)]
    known = [w.known(value) for value in values]
    if all(array is not None for array in known):
        arrays = np.broadcast_arrays(*(array for array in known if array is not None))
        return w.constant(np.stack(arrays, axis=-1))
    if len({index.type.shape for index in indices}) > 1:
        m = OnnxMaths(w)
        total = values[0]
        for value in values[1:]:
            total = m.add(total, value)
        zeros = m.subtract(total, total)
        values = [m.add(value, zeros) for value in values]
    columns = [w.emit("Unsqueeze", value, w.ints(-1)) for value in values]
    return columns[0] if len(columns) == 1 else w.emit("Concat", *columns, axis=-1)


# --- positions ----------------------------------------------------------------------------------


@writes("flat_nonzero")
def _write_flat_nonzero(w: Writer, v: Variable) -> Value:
    found = w.emit("NonZero", w.value(v.inputs[0]), dtype=_INT64)
    return w.emit("Squeeze", found, w.ints(0))


@writes("iota")
def _write_iota(w: Writer, v: Variable) -> Value:
    (length,), dtype = v.params
    if length is not None and length <= MAX_CONSTANT:
        return w.constant(np.arange(length, dtype=dtype))
    end = w.value(v.inputs[0]) if length is None else w.number(length, _INT64)
    numbers = w.emit("Range", w.number(0, _INT64), end, w.number(1, _INT64))
    return w.cast(numbers, dtype)


@writes("windows")
def _write_windows(w: Writer, v: Variable) -> Value:
    (x,) = v.inputs
    axis, size, stride, dilation = v.params
    count = v.type.shape[axis]
    if not isinstance(count, int):
        return w.expanded(v)
    starts, steps = np.arange(count) * stride, np.arange(size) * dilation
    return w.emit("Gather", w.value(x), w.constant(starts[:, None] + steps), axis=axis)


# --- order --------------------------------------------------------------------------------------


@writes("sort")
def _write_sort(w: Writer, v: Variable) -> Value:
    (x,), (axis,) = v.inputs, v.params
    value, m = w.value(x), OnnxMaths(w)
    if x.dtype.kind != "f":
        return _unkeyed(m, _sorted(w, x, _key(m, value), axis)[0], x.dtype)
    is_nan = m.isnan(value)
    ordered = _sorted(w, x, m.select(is_nan, np.inf, value), axis)[0]
    # Those that are no numbers come last.
    numbers = w.cast(m.bit_not(is_nan), _INT64)
    count = w.emit("ReduceSum", numbers, w.ints(axis), keepdims=1)
    ones = m.add(m.multiply(numbers, 0), 1)
    place = w.emit("CumSum", ones, w.number(axis, _INT64))
    return m.select(m.le(place, count), ordered, np.nan)


@writes("argsort")
def _write_argsort(w: Writer, v: Variable) -> Value:
    (x,), (axis,) = v.inputs, v.params
    value, m = w.value(x), OnnxMaths(w)
    if x.dtype.kind != "f":
        return _sorted(w, x, _key(m, value), axis)[1]
    is_nan = m.isnan(value)
    places = _sorted(w, x, m.select(is_nan, np.inf, value), axis)[1]
    flags = w.emit("GatherElements", w.cast(is_nan, np.dtype("uint8")), places, axis=axis)
    last = _sorted(w, x, flags, axis)[1]
    return w.emit("GatherElements", places, last, axis=axis)


def _sorted(w: Writer, x: Variable, value: Value, axis: int) -> tuple[Value, Value]:
    """The elements in ascending order along an axis of ``x``, and where they were."""
    count = vector_of(w, [shape_of(x)[axis]])
    ordered, places = w.emit_several(
        "TopK", [value, count], [value.dtype, _INT64], axis=axis, largest=0, sorted=1
    )
    return ordered, places


def _key(m: OnnxMaths, x: Value) -> Value:
    """What is ordered as integers are, in a dtype that onnxruntime sorts."""
    if x.dtype == np.dtype("uint64"):
        return m.w.cast(m.bit_xor(x, 1 << 63), _INT64)
    stand_in = {1: "uint8", 2: "int32", 4: "int64"}
    is_sorted = x.dtype.kind == "i" or x.dtype == np.dtype("uint8")
    return x if is_sorted else m.w.cast(x, np.dtype(stand_in[x.dtype.itemsize]))


def _unkeyed(m: OnnxMaths, key: Value, dtype: np.dtype) -> Value:
    x = m.w.cast(key, dtype)
    return m.bit_xor(x, 1 << 63) if dtype == np.dtype("uint64") else x


@writes("searchsorted")
def _write_searchsorted(w: Writer, v: Variable) -> Value:
    """How many elements come before a value."""
    ordered, value = v.inputs
    m = OnnxMaths(w)
    elements = w.value(ordered)
    x = w.emit("Unsqueeze", w.value(value), w.ints(-1))
    if v.params[0] == "left":
        before = m.lt(elements, x)
    else:
        before = m.le(elements, x)
    if elements.dtype.kind == "f":  # what is no number comes last
        is_last = m.isnan(x)
        if v.params[0] == "left":
            is_last = m.bit_and(is_last, m.bit_not(m.isnan(elements)))
        before = m.bit_or(before, is_last)
    return w.emit("ReduceSum", w.cast(before, _INT64), w.ints(-1), keepdims=0)

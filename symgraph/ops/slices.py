"""Slices and single elements: reading them, and a copy of an array with them changed.

The three ops share one description of a part, an *entry* for each axis: None for all of it, `At`
for one element (the axis goes), `Span` for a slice. Bounds that are symbols are integer scalars
which are known not to be negative (`bound` sees to that), so the length of a slice is a formula of
sizes and ``x[1:]`` and ``x[:-1]`` have one and the same type.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core import provenance
from ..core.dims import Dim, Size, ceil_div, maximum_zero
from ..core.errors import DtypeError, IndexRangeError, ShapeError, SymgraphTypeError
from ..core.op import Op
from ..core.types import TensorType, format_shape, is_integer
from ..core.variable import Variable, constant_value, make_constant, node
from .broadcast import broadcast_to
from .comparison import less
from .elementwise import (
    ADD,
    FLOOR_DIVIDE,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    add,
    maximum,
    minimum,
    to_int64,
    where,
)
from .promotion import CAST, cast_to
from .reshape import fit
from .sizes import SIZE, as_scalar, carry_size, shape_of, size_of, take_for_size

__all__ = [
    "ADD_SLICE",
    "SET_SLICE",
    "SLICE",
    "SYMBOL",
    "At",
    "Entry",
    "Span",
    "add_slice",
    "axis_size",
    "bound",
    "bounds_of",
    "read_slice",
    "set_slice",
    "slice_axis",
    "zeros_like_type",
]

_FAR = 1 << 62
# Stands in an entry for the next symbolic input.
SYMBOL = "symbol"
Bound = int | str


class At(NamedTuple):
    """One element of an axis; negative numbers count from the end."""

    index: Bound  # type: ignore[assignment]  # of the axis, not the method of tuples


class Span(NamedTuple):
    """``x[start:stop][::step]``: a negative step starts at the end of what the bounds leave."""

    start: Bound
    stop: Bound | None
    step: int


Entry = At | Span | None


# --- types --------------------------------------------------------------------------------------


def _infer_slice(inputs: Sequence[Variable], entries: tuple[Entry, ...]) -> TensorType:
    x, *symbols = inputs
    return x.type.with_shape(_slice_shape(x, entries, symbols))


def _slice_shape(x: Variable, entries: Sequence[Entry], symbols: Sequence[Variable]) -> list[Size]:
    rest = iter(symbols)
    shape: list[Size] = []
    for axis, (size, entry) in enumerate(zip(x.type.shape, entries, strict=True)):
        if entry is None:
            shape.append(size)
        elif isinstance(entry, At):
            if isinstance(entry.index, str):
                next(rest)
            elif isinstance(size, int) and not -size <= entry.index < size:
                raise IndexRangeError.here(
                    f"index {entry.index} is outside axis {axis} of {provenance.describe(x)}"
                )
        else:
            start = size_of(next(rest)) if isinstance(entry.start, str) else entry.start
            stop = size_of(next(rest)) if isinstance(entry.stop, str) else entry.stop
            shape.append(_length(size, start, stop, entry.step))
    return shape


def bounds_of(v: Variable) -> list[Variable]:
    """The scalars that bound the spans of a slice, or of a copy with one changed."""
    symbols = iter(v.inputs[1 if v.op is SLICE else 2 :])
    found: list[Variable] = []
    for entry in v.params[0]:
        if isinstance(entry, At) and entry.index == SYMBOL:
            next(symbols)
        elif isinstance(entry, Span):
            found += [next(symbols) for edge in (entry.start, entry.stop) if edge == SYMBOL]
    return found


def _length(size: Size, start: Size, stop: Size | None, step: int) -> Size:
    """The length of ``x[start:stop][::step]`` for an axis of this size."""
    if isinstance(size, int) and isinstance(start, int) and not isinstance(stop, Dim):
        first, end, _ = slice(start, stop).indices(size)
        return ceil_div(max(end - first, 0), abs(step))
    if stop is None:
        length = _remaining(size, start)
    elif isinstance(stop, int) and stop < 0 and (isinstance(start, Dim) or start >= 0):
        length = _positive_part(size + stop - start)
    else:
        length = _remaining(size, start) - _remaining(size, stop)
        if not _in_order(start, stop):
            length = maximum_zero(length)
    return ceil_div(length, abs(step))


def _remaining(size: Size, edge: Size) -> Size:
    """How many elements an axis has from an edge on."""
    if edge == 0:
        return size
    if isinstance(edge, int) and edge < 0:
        return size - _positive_part(size + edge)
    return _positive_part(size - edge)


def _positive_part(size: Size) -> Size:
    """``max(size, 0)`` for a formula of sizes that are known not to be negative."""
    if isinstance(size, Dim) and all(factor <= 0 for _, factor in size.terms):
        return 0
    return maximum_zero(size)


def _in_order(start: Size, stop: Size) -> bool:
    """Whether the edges are known to be ascending."""
    if isinstance(start, int) and isinstance(stop, int):
        return start <= stop and (start < 0) == (stop < 0)
    if isinstance(start, int) and start < 0:
        return False
    distance = stop - start
    return distance >= 0 if isinstance(distance, int) else maximum_zero(distance) is distance


# --- values -------------------------------------------------------------------------------------


def _slice_arrays(
    x: np.ndarray, entries: Sequence[Entry], symbols: Sequence[np.ndarray]
) -> np.ndarray:
    """The view of ``x`` that the entries mean."""
    rest = iter(symbols)
    bounds: list[Any] = []
    steps: list[Any] = []
    for axis, entry in enumerate(entries):
        if entry is None:
            bounds.append(slice(None))
            steps.append(slice(None))
        elif isinstance(entry, At):
            index = int(next(rest) if entry.index == SYMBOL else entry.index)
            if not -x.shape[axis] <= index < x.shape[axis]:
                raise IndexRangeError(
                    f"index {index} is outside axis {axis} of an array of shape {x.shape}"
                )
            bounds.append(index)
        else:
            edges = [
                int(next(rest)) if edge == SYMBOL else edge for edge in (entry.start, entry.stop)
            ]
            bounds.append(slice(*edges))
            steps.append(slice(None, None, entry.step))
    return x[(*bounds, ...)][(*steps, ...)]


def _evaluate_slice(arrays: Sequence[np.ndarray], entries: tuple[Entry, ...]) -> np.ndarray:
    x, *symbols = arrays
    return _slice_arrays(x, entries, symbols)


def _evaluate_set_slice(arrays: Sequence[np.ndarray], entries: tuple[Entry, ...]) -> np.ndarray:
    x, values, *symbols = arrays
    result = np.array(x)
    _slice_arrays(result, entries, symbols)[...] = values
    return result


def _evaluate_add_slice(arrays: Sequence[np.ndarray], entries: tuple[Entry, ...]) -> np.ndarray:
    x, values, *symbols = arrays
    result = np.array(x)
    part = _slice_arrays(result, entries, symbols)
    part[...] = part | values if part.dtype == np.bool_ else part + values
    return result


# --- derivatives --------------------------------------------------------------------------------


def _vjp_slice(part: Variable, cotangent: Variable) -> list[Variable | None]:
    x, *symbols = part.inputs
    (entries,) = part.params
    if part.type is x.type and all(entry is None or abs(entry.step) == 1 for entry in entries):
        # All of x, with axes reversed perhaps.
        return [node(SLICE, (cotangent, *symbols), (entries,)), *([None] * len(symbols))]
    whole = node(ADD_SLICE, (zeros_like_type(x), cotangent, *symbols), (entries,))
    return [whole, *([None] * len(symbols))]


def _vjp_set_slice(changed: Variable, cotangent: Variable) -> list[Variable | None]:
    _, values, *symbols = changed.inputs
    (entries,) = changed.params
    kept = node(SET_SLICE, (cotangent, zeros_like_type(values), *symbols), (entries,))
    return [kept, node(SLICE, (cotangent, *symbols), (entries,)), *([None] * len(symbols))]


def _vjp_add_slice(changed: Variable, cotangent: Variable) -> list[Variable | None]:
    _, _, *symbols = changed.inputs
    (entries,) = changed.params
    return [cotangent, node(SLICE, (cotangent, *symbols), (entries,)), *([None] * len(symbols))]


def zeros_like_type(x: Variable) -> Variable:
    """Zeros of the shape and dtype of ``x``."""
    return broadcast_to(make_constant(np.zeros((), x.dtype)), shape_of(x))


def _infer_changed(inputs: Sequence[Variable], entries: tuple[Entry, ...]) -> TensorType:
    x, values, *symbols = inputs
    shape = tuple(_slice_shape(x, entries, symbols))
    if values.dtype != x.dtype:
        raise DtypeError(f"values of {values.dtype} cannot be stored in an array of {x.dtype}")
    if values.type.shape != shape:
        raise ShapeError(
            f"values of shape {format_shape(values.type.shape)} do not fit a part of shape "
            f"{format_shape(shape)}"
        )
    return x.type


def _build_set_slice(inputs: Sequence[Variable], entries: tuple[Entry, ...]) -> Variable:
    x, values, *symbols = inputs
    return set_slice(x, entries, symbols, values)


def _build_add_slice(inputs: Sequence[Variable], entries: tuple[Entry, ...]) -> Variable:
    x, values, *symbols = inputs
    return add_slice(x, entries, symbols, values)


def _change(
    op: Op, x: Variable, entries: Sequence[Entry], symbols: Sequence[Variable], values: Variable
) -> Variable:
    """The node that stores or adds values, which are unified with the part that they go to."""
    part = node(SLICE, (x, *symbols), (tuple(entries),))
    values = fit(cast_to(values, x.dtype), part, op.name)
    return node(op, (x, values, *symbols), (tuple(entries),))


# The part of x that the entries mean; inputs are x and the symbols, in the order of the entries.
SLICE = Op(
    "slice",
    _infer_slice,
    _evaluate_slice,
    _vjp_slice,
    params=("entries",),
    traits=frozenset({"layout", "view", "traced"}),
    kind="movement",
)
# x with the part replaced by the values, which have its shape; inputs are x, values and symbols.
SET_SLICE = Op(
    "set_slice",
    _infer_changed,
    _evaluate_set_slice,
    _vjp_set_slice,
    build=_build_set_slice,
    params=("entries",),
    traits=frozenset({"layout", "traced"}),
    kind="movement",
)
# x with the values added to the part.
ADD_SLICE = Op(
    "add_slice",
    _infer_changed,
    _evaluate_add_slice,
    _vjp_add_slice,
    build=_build_add_slice,
    params=("entries",),
    traits=frozenset({"traced"}),
    kind="movement",
)


# --- building -----------------------------------------------------------------------------------


def read_slice(x: Variable, entries: Sequence[Entry], symbols: Sequence[Variable]) -> Variable:
    """The part of ``x``; ``x`` itself where that is all of it."""
    if all(entry is None for entry in entries):
        return x
    made = node(SLICE, (x, *symbols), (tuple(entries),))
    if made.type is x.type and all(
        entry is None or (isinstance(entry, Span) and entry.step == 1) for entry in entries
    ):
        return x  # as long as x, forwards and without gaps
    return made


def set_slice(
    x: Variable, entries: Sequence[Entry], symbols: Sequence[Variable], values: Variable
) -> Variable:
    """``x`` with the part replaced by the values, which are broadcast to it."""
    return _change(SET_SLICE, x, entries, symbols, values)


def add_slice(
    x: Variable, entries: Sequence[Entry], symbols: Sequence[Variable], values: Variable
) -> Variable:
    """``x`` with the values, which are broadcast to it, added to the part."""
    return _change(ADD_SLICE, x, entries, symbols, values)


def slice_axis(x: Variable, axis: int, start: Any, stop: Any = None, step: int = 1) -> Variable:
    """``x[start:stop:step]`` on one axis, for a positive step."""
    symbols: list[Variable] = []
    edges = []
    for edge in (start, stop):
        edge = bound(edge, x, axis)
        if isinstance(edge, Variable):
            symbols.append(edge)
            edge = SYMBOL
        edges.append(edge)
    entries: list[Entry] = [None] * x.ndim
    entries[axis] = Span(edges[0] or 0, edges[1], step)
    return read_slice(x, entries, symbols)


def bound(edge: Any, x: Variable, axis: int, *, after: bool = False) -> Any:
    """An edge of a slice as a `Span` has it: an int, None, or a scalar that is not negative.

    With ``after`` the edge on the other side of that element.
    """
    if edge is None:
        return None
    if not isinstance(edge, Variable):
        try:
            return _after(_number(edge), x, axis) if after else _number(edge)
        except TypeError:
            raise _bad_bound(edge) from None
    if edge.ndim or not is_integer(edge.dtype):
        raise _bad_bound(edge)
    meaning, size = size_of(edge), x.type.shape[axis]
    distance = size - meaning
    if isinstance(distance, int) and 0 < distance <= 2 and isinstance(size, Dim):
        meaning = -distance  # x[:T - 1] is x[:-1], for an empty axis too
    if isinstance(meaning, int):
        return _after(meaning, x, axis) if after else meaning
    edge = to_int64(edge)
    if _is_size(edge):
        return add(edge, 1) if after else edge
    return _clipped(edge, x, axis, after=after)


# The first clipped edge for each size, scalar and side: later ones stand for the same size.
_first_clipped: weakref.WeakValueDictionary[tuple, Variable] = weakref.WeakValueDictionary()


def _clipped(edge: Variable, x: Variable, axis: int, *, after: bool) -> Variable:
    """NumPy's meaning of a bound that may turn out negative, or too large."""
    length = axis_size(x, axis)
    # The largest number plus one would be the least.
    moved = add(minimum(edge, length), 1) if after else edge
    made = where(less(edge, 0), maximum(add(moved, length), 0), minimum(moved, length))
    first = _first_clipped.setdefault((x.type.shape[axis], edge, after), made)
    take_for_size(first)
    carry_size(first, made)
    return made


def _after(edge: int, x: Variable, axis: int) -> Any:
    return shape_of(x)[axis] if edge == -1 else edge + 1


def _number(edge: Any) -> int:
    if isinstance(edge, (bool, np.bool_)):
        raise TypeError
    # Beyond these no axis has elements, and sums of two still fit 64 bits.
    return min(max(operator.index(edge), -_FAR), _FAR)


def _bad_bound(edge: Any) -> SymgraphTypeError:
    found = provenance.describe(edge) if isinstance(edge, Variable) else repr(edge)
    return SymgraphTypeError.here(f"the bounds of a slice are integers; found {found}")


_SIZE_OPS = frozenset({ADD, MULTIPLY, MINIMUM, FLOOR_DIVIDE, CAST})


def _is_size(scalar: Variable) -> bool:
    """Whether an integer scalar is known not to be negative, being made of sizes."""
    stack = [scalar]
    while stack:
        v = stack.pop()
        value = constant_value(v)
        if v.op is SIZE or (value is not None and value >= 0):
            continue
        if v.op is MAXIMUM and any(
            (c := constant_value(x)) is not None and c >= 0 for x in v.inputs
        ):
            continue
        if v.op not in _SIZE_OPS:
            return False
        stack.extend(v.inputs)
    return True


def axis_size(x: Variable, axis: int) -> Variable:
    """The size of one axis as an int64 scalar."""
    return as_scalar(shape_of(x)[axis])

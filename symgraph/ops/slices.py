"""Slices and single elements: reading them, and a copy of an array with them changed.

The three ops share one description of a part, an *entry* for each axis: None for all of it, `At`
for one element (the axis goes), `Span` for a slice. Bounds that are symbols are integer scalars
which are known not to be negative (`bound` sees to that), so the length of a slice is a formula of
sizes and ``x[1:]`` and ``x[:-1]`` have one and the same type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ..core import provenance
from ..core.annotations import SizeLike
from ..core.dims import Dim, Size, ceil_div, maximum_zero
from ..core.errors import IndexRangeError
from ..core.op import Op
from ..core.types import TensorType
from ..core.variable import Variable, node
from .bounds import bound
from .broadcast import filled
from .promotion import cast_to
from .reshape import fit, refuse_misfit
from .sizes import shape_of, size_of

__all__ = [
    "ADD_SLICE",
    "SET_SLICE",
    "SLICE",
    "SYMBOL",
    "At",
    "AtIndices",
    "Entry",
    "Span",
    "bounds_of",
    "change_slice",
    "read_slice",
    "reversed_rows",
    "slice_axis",
    "take_out_indices",
]

# Stands in an entry for the next symbolic input.
SYMBOL = "symbol"
Bound = int | str
T = TypeVar("T")


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
    bounds: list[Variable] = []
    for entry in v.params[0]:
        if isinstance(entry, At) and entry.index == SYMBOL:
            next(symbols)
        elif isinstance(entry, Span):
            bounds += [next(symbols) for edge in (entry.start, entry.stop) if edge == SYMBOL]
    return bounds


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
    whole = node(ADD_SLICE, (filled(0, x.dtype, shape_of(x)), cotangent, *symbols), (entries,))
    return [whole, *([None] * len(symbols))]


def _vjp_set_slice(changed: Variable, cotangent: Variable) -> list[Variable | None]:
    _, values, *symbols = changed.inputs
    (entries,) = changed.params
    elsewhere = node(
        SET_SLICE, (cotangent, filled(0, values.dtype, shape_of(values)), *symbols), (entries,)
    )
    return [elsewhere, node(SLICE, (cotangent, *symbols), (entries,)), *([None] * len(symbols))]


def _vjp_add_slice(changed: Variable, cotangent: Variable) -> list[Variable | None]:
    _, _, *symbols = changed.inputs
    (entries,) = changed.params
    return [cotangent, node(SLICE, (cotangent, *symbols), (entries,)), *([None] * len(symbols))]


def _infer_changed(inputs: Sequence[Variable], entries: tuple[Entry, ...]) -> TensorType:
    x, values, *symbols = inputs
    refuse_misfit(values, x, tuple(_slice_shape(x, entries, symbols)), "a part")
    return x.type


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
    build=lambda inputs, entries: _change(SET_SLICE, inputs, entries),
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
    build=lambda inputs, entries: _change(ADD_SLICE, inputs, entries),
    params=("entries",),
    traits=frozenset({"traced"}),
    kind="movement",
)


# --- building -----------------------------------------------------------------------------------


def read_slice(x: Variable, entries: Sequence[Entry], symbols: Sequence[Variable]) -> Variable:
    """The part of ``x``; ``x`` itself where that is all of it."""
    if all(entry is None for entry in entries):
        return x
    part = node(SLICE, (x, *symbols), (tuple(entries),))
    if part.type is x.type and all(
        entry is None or (isinstance(entry, Span) and entry.step == 1) for entry in entries
    ):
        return x  # as long as x, forwards and without gaps
    return part


def change_slice(
    op: Op, x: Variable, values: Variable, entries: Sequence[Entry], symbols: Sequence[Variable]
) -> Variable:
    """``x`` with values, which are broadcast, stored in the part or added to it."""
    return _change(op, (x, values, *symbols), tuple(entries))


def _change(op: Op, inputs: Sequence[Variable], entries: tuple[Entry, ...]) -> Variable:
    x, values, *symbols = inputs
    part = node(SLICE, (x, *symbols), (entries,))
    return node(op, (x, fit(cast_to(values, x.dtype), part, op.name), *symbols), (entries,))


class AtIndices(NamedTuple, Generic[T]):
    """A part at indices that are taken out of its entries: elements of a part without them."""

    entries: tuple[Entry, ...]
    symbols: list[T]
    indices: list[T]
    axes: tuple[int, ...]
    """The axes of the part without them that the indices address."""


def take_out_indices(
    entries: Sequence[Entry], symbols: Sequence[T], is_taken: Callable[[T], bool]
) -> AtIndices[T] | None:
    """The entries without those symbolic indices that ``is_taken`` chooses; None where it chooses
    the bound of a slice."""
    rest, left, indices = iter(symbols), [], []
    others: list[Entry] = []
    axes: list[int] = []
    for entry in entries:
        given = [next(rest) for edge in (entry or ())[:2] if edge == SYMBOL]
        if not any(map(is_taken, given)):
            left += given
            others.append(entry)
        elif isinstance(entry, At):
            axes.append(sum(not isinstance(other, At) for other in others))
            indices += given
            others.append(None)
        else:
            return None
    return AtIndices(tuple(others), left, indices, tuple(axes))


def slice_axis(
    x: Variable, axis: int, start: SizeLike, stop: SizeLike | None = None, step: int = 1
) -> Variable:
    """``x[start:stop:step]`` on one axis, for a positive step."""
    symbols: list[Variable] = []
    entries: list[Entry] = [None] * x.ndim
    entries[axis] = span_between(bound(start, x, axis), bound(stop, x, axis), step, symbols)
    return read_slice(x, entries, symbols)


def reversed_rows(x: Variable) -> Variable:
    """``x[::-1]``: the rows from the last to the first."""
    return read_slice(x, [Span(0, None, -1), *[None] * (x.ndim - 1)], ())


def span_between(
    start: int | Variable | None, stop: int | Variable | None, step: int, symbols: list[Variable]
) -> Span:
    """The span between two bounds; those that are scalars are added to the symbols."""
    first = _entry_bound(0 if start is None else start, symbols)
    return Span(first, None if stop is None else _entry_bound(stop, symbols), step)


def _entry_bound(edge: int | Variable, symbols: list[Variable]) -> Bound:
    if not isinstance(edge, Variable):
        return edge
    symbols.append(edge)
    return SYMBOL

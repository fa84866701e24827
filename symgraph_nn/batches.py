"""Arrays cut into batches of rows, along whatever axis holds the rows of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
    describe,
    refuse_masked,
)

from .typing import BatchAxis, Data

__all__ = ["Batches", "batches_of"]


@dataclass(frozen=True)
class Batches:
    """Arrays, one for each input, with the same number of rows along their axes."""

    inputs: list[sg.Variable]
    arrays: list[np.ndarray[Any, Any]]
    axes: list[int]
    rows: int
    size: int

    @property
    def count(self) -> int:
        """The number of batches; the last one may be smaller."""
        return -(-self.rows // self.size)

    def shuffled(self, rng: np.random.Generator) -> Iterator[tuple[int, list[np.ndarray]]]:
        """The batches of the rows in random order, each with its number of rows."""
        return self._cut(rng.permutation(self.rows))

    def in_order(self) -> Iterator[tuple[int, list[np.ndarray]]]:
        """The batches of the rows in their order, each with its number of rows."""
        return self._cut(np.arange(self.rows))

    def only(self, wanted: Sequence[bool]) -> Batches:
        """The batches of the wanted inputs alone."""
        return Batches(
            list(compress(self.inputs, wanted)),
            list(compress(self.arrays, wanted)),
            list(compress(self.axes, wanted)),
            self.rows,
            self.size,
        )

    def _cut(self, order: np.ndarray) -> Iterator[tuple[int, list[np.ndarray]]]:
        for start in range(0, self.rows, self.size):
            chosen = order[start : start + self.size]
            pairs = zip(self.arrays, self.axes, strict=True)
            yield len(chosen), [np.take(array, chosen, axis) for array, axis in pairs]


def batches_of(
    inputs: Sequence[sg.Variable],
    data: Data,
    size: int,
    axis: BatchAxis | Sequence[BatchAxis] | None,
    label: str,
) -> Batches:
    """The batches of the data for these inputs; data that do not fit them are an error."""
    inputs = list(inputs)
    ordered = _in_order(inputs, data, label)
    arrays = [_as_array(x, array, label) for x, array in zip(inputs, ordered, strict=True)]
    axes = _axes(inputs, axis)
    for x, array in zip(inputs, arrays, strict=True):
        if array.ndim != x.ndim:
            raise ShapeError.here(f"fit: {label} for {describe(x)} have {array.ndim} axes")
    for x, k in zip(inputs, axes, strict=True):
        if not 0 <= k < x.ndim:
            raise ShapeError.here(f"fit: {describe(x)} has no batch axis {k}")
    rows = [array.shape[k] for array, k in zip(arrays, axes, strict=True)]
    if not rows or len(set(rows)) > 1 or rows[0] == 0:
        listed = ", ".join(
            f"{x.name or i}: {n}" for i, (x, n) in enumerate(zip(inputs, rows, strict=True))
        )
        raise ShapeError.here(
            f"fit: {label} have the same number of rows along the batch axis, at least one; "
            f"found {listed or 'no array'}",
            remedy="Say which axis holds the rows with batch_axis (1 in [time, batch, …]).",
        )
    return Batches(inputs, arrays, axes, rows[0], size)


def _as_array(x: sg.Variable, value: Any, label: str) -> np.ndarray:
    refuse_masked(value, f"fit: {label} for {describe(x)}")
    try:
        return np.asarray(value)
    except ValueError as error:
        raise SymgraphValueError.here(
            f"fit: {label} for {describe(x)} are no array: {error}"
        ) from None


def _in_order(inputs: list[sg.Variable], data: Data, label: str) -> list[Any]:
    if isinstance(data, Mapping):
        names = [x.name for x in inputs]
        missing = [str(n) for n in names if n not in data]
        unknown = [str(n) for n in data if n not in names]
        if missing or unknown:
            faults = [f"{', '.join(missing)} missing"] if missing else []
            faults += [f"{', '.join(unknown)} not among the inputs"] if unknown else []
            raise SymgraphValueError.here(f"fit: {label}: {'; '.join(faults)}")
        return [data[name] for name in names if name is not None]
    if not isinstance(data, Sequence):
        raise SymgraphTypeError.here(
            f"fit: {label} are a list of arrays, one for each input, or a dict by their names, "
            f"not {data!r}"
        )
    listed = list(data)
    if len(listed) != len(inputs):
        raise SymgraphValueError.here(
            f"fit: {len(inputs)} inputs need as many arrays in {label}, not {len(listed)}"
        )
    return listed


def _axes(inputs: Sequence[sg.Variable], axis: BatchAxis | Sequence[BatchAxis] | None) -> list[int]:
    """The batch axis of each input."""
    if axis is None:
        _refuse_open(inputs)
        return [0] * len(inputs)
    if isinstance(axis, (str, int, np.integer)):
        return [_axis(x, axis) for x in inputs]
    if not isinstance(axis, Sequence) or len(axis) != len(inputs):
        what = f"names {len(axis)} axes" if isinstance(axis, Sequence) else f"is {axis!r}"
        raise SymgraphValueError.here(f"fit: batch_axis {what}, one for each input is needed")
    return [_axis(x, its) for x, its in zip(inputs, axis, strict=True)]


def _axis(x: sg.Variable, axis: Any) -> int:
    """The batch axis of one input, a number or the name of its size."""
    if isinstance(axis, str):
        named = [i for i, size in enumerate(x.type.shape) if str(size) == axis]
        if len(named) != 1:
            raise ShapeError.here(f"fit: {describe(x)} has no axis of size {axis!r}")
        return named[0]
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise SymgraphTypeError.here(
            f"fit: batch_axis is an axis, or the name of a size, not {axis!r}"
        )
    return int(axis)


def _refuse_open(inputs: Sequence[sg.Variable]) -> None:
    """Raise unless the first axis of each input can hold nothing but the rows.

    A sequence is [time, batch, features]: its first axis would be shuffled without a word.
    """
    names = {str(x.type.shape[0]) for x in inputs if x.ndim and _is_named(x.type.shape[0])}
    unclear = [x for x in inputs if _leaves_open(x)]
    if not unclear and len(names) < 2:
        return
    sizes = [{str(s) for s in x.type.shape if _is_named(s)} for x in inputs]
    common = sorted(set.intersection(*sizes)) if sizes else []
    example = repr(common[-1]) if common else "1"
    why = (
        f"{describe(unclear[0])} leaves open which axis holds the rows"
        if unclear
        else f"the first axes have different names: {', '.join(sorted(names))}"
    )
    raise SymgraphValueError.here(
        f"fit: batch_axis is not given, and {why}",
        remedy=f"Say which axis of each input holds the rows: batch_axis={example}, or another "
        "axis, name of a size, or list with one for each input.",
    )


def _leaves_open(x: sg.Variable) -> bool:
    """Whether the rows may lie along another axis than the first."""
    free = [i for i, size in enumerate(x.type.shape) if not isinstance(size, int)]
    if len(free) < 2:
        return free != [0] and x.ndim > 1 + (not free)
    # A matrix of floats without names is [rows, features], one of integers [time, batch].
    is_plain = x.ndim == 2 and x.dtype.kind == "f"
    return not is_plain or any(_is_named(size) for size in x.type.shape)


def _is_named(size: Any) -> bool:
    return not isinstance(size, int) and size.is_name

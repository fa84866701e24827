"""Arrays cut into batches of rows, along whatever axis holds the rows of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

import symgraph as sg
from symgraph.errors import (
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
    describe,
    refuse_masked,
)

from .axes import axes_of
from .typing import BatchAxis, Data

__all__ = ["Batch", "Batches", "Place", "as_array", "as_batch", "batches_of"]


class Place(NamedTuple):
    """Where data were given, for errors: to which function, as which argument."""

    owner: str
    label: str

    def __str__(self) -> str:
        return f"{self.owner}: {self.label}"


class Batch(NamedTuple):
    """What one call gets."""

    rows: int | None
    """How many rows there are; None where nobody can tell."""
    arrays: list[np.ndarray[Any, Any]]

    @property
    def weight(self) -> int:
        """How much the batch counts in a mean."""
        return 1 if self.rows is None else self.rows

    def only(self, wanted: Sequence[bool]) -> Batch:
        """The batch of the wanted inputs alone."""
        return Batch(self.rows, list(compress(self.arrays, wanted)))


@dataclass(frozen=True)
class Batches:
    """Arrays, one for each input, with the same number of rows along their axes.

    An array whose axis is None belongs to every batch as it is. Nothing is copied but the rows of
    the batch that is asked for.
    """

    inputs: list[sg.Variable]
    arrays: list[np.ndarray[Any, Any]]
    axes: list[int | None]
    rows: int
    size: int

    @property
    def count(self) -> int:
        """The number of batches; the last one may be smaller."""
        return -(-self.rows // self.size)

    def epoch(self, number: int, order: np.random.Generator | None) -> Iterator[Batch]:
        """The batches of an epoch, from 0: of the rows in random order, or as they stand."""
        rows = np.arange(self.rows) if order is None else order.permutation(self.rows)
        for i in range(self.count):
            yield self._of(rows[i * self.size : (i + 1) * self.size])

    def batch(self, number: int) -> Batch:
        """A batch of the rows as they stand, from 0."""
        start = number * self.size
        return self._of(np.arange(start, min(start + self.size, self.rows)))

    def _of(self, rows: np.ndarray) -> Batch:
        pairs = zip(self.arrays, self.axes, strict=True)
        arrays = [a if k is None else _taken(a, rows, k) for a, k in pairs]
        return Batch(len(rows), arrays)

    def only(self, wanted: Sequence[bool]) -> Batches:
        """The batches of the wanted inputs alone."""
        inputs, arrays = compress(self.inputs, wanted), compress(self.arrays, wanted)
        axes = compress(self.axes, wanted)
        return Batches(list(inputs), list(arrays), list(axes), self.rows, self.size)

    def parted(self, share: float) -> tuple[Batches, Batches]:
        """The rows but the last ones, and those, which are this share of all."""
        n_last = round(share * self.rows) if 0 < share < 1 else 0
        if not 0 < n_last < self.rows:
            raise SymgraphValueError.here(
                f"fit: validation={share!r} is no share of {self.rows} rows that leaves at least "
                "one on either side"
            )
        middle = self.rows - n_last
        return self._rows(slice(middle)), self._rows(slice(middle, self.rows))

    def _rows(self, rows: slice) -> Batches:
        pairs = zip(self.arrays, self.axes, strict=True)
        arrays = [a if k is None else a[(slice(None),) * k + (rows,)] for a, k in pairs]
        return replace(self, arrays=arrays, rows=len(range(*rows.indices(self.rows))))


def batches_of(
    inputs: Sequence[sg.Variable],
    data: Data,
    size: int,
    axis: BatchAxis | Sequence[BatchAxis | None] | None,
    place: Place,
) -> Batches:
    """The batches of the data for these inputs; data that do not fit them are an error."""
    inputs = list(inputs)
    arrays = as_batch(inputs, data, place)
    axes = axes_of(inputs, axis, place.owner)
    pairs = list(zip(inputs, arrays, axes, strict=True))
    for x, array, _ in pairs:
        if array.ndim != x.ndim:
            raise ShapeError.here(f"{place} for {describe(x)} have {array.ndim} axes")
    rows = {x.name or str(i): a.shape[k] for i, (x, a, k) in enumerate(pairs) if k is not None}
    if len(set(rows.values())) != 1 or 0 in rows.values():
        listed = ", ".join(f"{name}: {n}" for name, n in rows.items())
        raise ShapeError.here(
            f"{place} have the same number of rows along the batch axis, at least one; "
            f"found {listed or 'no array'}",
            remedy="Say which axis holds the rows with batch_axis (1 in [time, batch, …]), and "
            "None for an input that is the same for all rows.",
        )
    return Batches(inputs, arrays, axes, next(iter(rows.values())), size)


def as_batch(inputs: list[sg.Variable], data: Any, place: Place) -> list[np.ndarray[Any, Any]]:
    """An array for each input, from a list or a dict of them."""
    pairs = zip(inputs, _in_order(inputs, data, place), strict=True)
    return [as_array(value, f"{place} for {describe(x)}") for x, value in pairs]


def as_array(value: Any, what: str) -> np.ndarray[Any, Any]:
    """The value as an array, a view where it is one; an error where it is none."""
    refuse_masked(value, what)
    try:
        return np.asarray(value)
    except ValueError as error:
        raise SymgraphValueError.here(f"{what} are no array: {error}") from None


def _in_order(inputs: list[sg.Variable], data: Any, place: Place) -> list[Any]:
    if isinstance(data, Mapping):
        names = [x.name for x in inputs]
        missing = [str(n) for n in names if n not in data]
        unknown = [str(n) for n in data if n not in names]
        if missing or unknown:
            faults = [f"{', '.join(missing)} missing"] if missing else []
            faults += [f"{', '.join(unknown)} not among the inputs"] if unknown else []
            raise SymgraphValueError.here(f"{place}: {'; '.join(faults)}")
        return [data[name] for name in names if name is not None]
    if not isinstance(data, Sequence):
        raise SymgraphTypeError.here(
            f"{place} are a list of arrays, one for each input, a dict by their names, or an "
            f"iterable of such batches, not {data!r}"
        )
    listed = list(data)
    if len(listed) != len(inputs):
        raise SymgraphValueError.here(
            f"{place.owner}: {len(inputs)} inputs need as many arrays in {place.label}, not "
            f"{len(listed)}"
        )
    return listed


def _taken(array: np.ndarray[Any, Any], rows: np.ndarray, axis: int) -> np.ndarray[Any, Any]:
    """These rows along the axis; `numpy.take` would copy all of an array that lies in pieces."""
    if array.flags.c_contiguous:
        return np.take(array, rows, axis)
    return array[(slice(None),) * axis + (rows,)]

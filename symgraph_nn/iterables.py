"""Batches that come ready: from a list, a function or an object that is iterated each epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, Protocol

import numpy as np

import symgraph as sg
from symgraph.errors import ShapeError, SymgraphTypeError, SymgraphValueError, describe

from .axes import axes_of, open_input
from .batches import Batch, Place, as_batch, batches_of
from .typing import BatchAxis, Data

__all__ = ["Source", "is_ready", "source_of", "started"]


class Source(Protocol):
    """What gives the batches of each epoch."""

    @property
    def inputs(self) -> list[sg.Variable]:
        """What the arrays of a batch are for."""
        ...

    @property
    def count(self) -> int | None:
        """The number of batches of an epoch; None where nobody can tell before."""
        ...

    def epoch(self, number: int, order: np.random.Generator | None) -> Iterator[Batch]:
        """The batches of an epoch, from 0, in the order of the generator if that is possible."""
        ...

    def only(self, wanted: Sequence[bool]) -> Source:
        """The same batches, with the arrays of the wanted inputs alone."""
        ...


def source_of(
    inputs: Sequence[sg.Variable],
    data: Data,
    size: int,
    axis: BatchAxis | Sequence[BatchAxis | None] | None,
    place: Place,
) -> Source:
    """The batches of arrays, or of an iterable; data that do not fit are an error."""
    if hasattr(data, "ndim"):  # one input needs no list
        data = [data]
    if not is_ready(data, len(inputs)):
        return batches_of(inputs, data, size, axis, place)
    axes: list[int | None] = [None for _ in inputs]
    if axis is not None or open_input(inputs) is None:
        axes = axes_of(inputs, axis, place.owner)
    count = len(data) if isinstance(data, Sized) else None
    return _Ready(list(inputs), axes, [True] * len(inputs), data, count, place)


def is_ready(data: Any, n_inputs: int) -> bool:
    """Whether the data are batches that come ready, and no arrays to cut."""
    if isinstance(data, (list, tuple)):
        return bool(data) and all(_is_batch(member, n_inputs) for member in data)
    if isinstance(data, Mapping) or hasattr(data, "ndim") or isinstance(data, (str, bytes, type)):
        return False
    return callable(data) or isinstance(data, Iterable)


def _is_batch(value: Any, n_inputs: int) -> bool:
    """Whether a member of a list is a batch: a dict, or a tuple or list of arrays."""
    if isinstance(value, Mapping):
        return True
    if not isinstance(value, (list, tuple)):
        return False
    holds = any(getattr(member, "ndim", 0) for member in value)
    return holds and (isinstance(value, tuple) or len(value) == n_inputs)


@dataclass(frozen=True)
class _Ready:
    """Batches of an iterable, or of what a function gives for an epoch."""

    all_inputs: list[sg.Variable]
    axes: list[int | None]
    wanted: list[bool]
    data: Any
    count: int | None
    place: Place

    @property
    def inputs(self) -> list[sg.Variable]:
        """What the arrays of a batch are for."""
        return list(compress(self.all_inputs, self.wanted))

    def only(self, wanted: Sequence[bool]) -> Source:
        """The same batches, with the arrays of the wanted inputs alone."""
        return replace(self, wanted=list(wanted))

    def epoch(self, number: int, order: np.random.Generator | None) -> Iterator[Batch]:
        """The batches in the order of the iterable."""
        n_batches = 0
        for n_batches, value in enumerate(started(self.data, number, self.place), start=1):
            yield self._batch(value, n_batches).only(self.wanted)
        if not n_batches:
            raise SymgraphValueError.here(
                f"{self.place} gave no batch in epoch {number + 1}",
                remedy="An iterator is used up after one epoch: give a list, an object whose "
                "__iter__ starts anew, or the generator function itself (make, not make()).",
            )

    def _batch(self, value: Any, number: int) -> Batch:
        place = Place(self.place.owner, f"batch {number} of {self.place.label}")
        is_one = len(self.all_inputs) == 1 and hasattr(value, "ndim")
        if not is_one and not isinstance(value, (tuple, list, Mapping)):
            raise SymgraphTypeError.here(
                f"{place} is a tuple of arrays, one for each input, or a dict by their names, "
                f"not {value!r}"
            )
        arrays = as_batch(self.all_inputs, [value] if is_one else value, place)
        rows: dict[str, int] = {}
        for i, (x, array, k) in enumerate(zip(self.all_inputs, arrays, self.axes, strict=True)):
            if array.ndim != x.ndim:
                raise ShapeError.here(f"{place}: the array for {describe(x)} has {array.ndim} axes")
            if k is not None:
                rows[x.name or str(i)] = array.shape[k]
        if len(set(rows.values())) > 1 or 0 in rows.values():
            listed = ", ".join(f"{name}: {n}" for name, n in rows.items())
            raise ShapeError.here(
                f"{place}: its arrays have the same number of rows along the batch axis, at least "
                f"one; found {listed}"
            )
        return Batch(next(iter(rows.values()), None), arrays)


def started(data: Any, epoch: int, place: Place) -> Iterable[Any]:
    """The iterable of an epoch, from 0: of the function, where it is one."""
    if not callable(data):
        return data
    batches = data(epoch) if _takes_epoch(data) else data()
    if not isinstance(batches, Iterable):
        raise SymgraphTypeError.here(
            f"{place}: {data!r} gives an iterable of batches, not {batches!r}"
        )
    return batches


def _takes_epoch(function: Callable[..., Any]) -> bool:
    """Whether a function needs an argument: the number of the epoch."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in positional and p.default is p.empty for p in parameters)

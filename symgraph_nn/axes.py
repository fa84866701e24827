"""Which axis of each input holds the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import ShapeError, SymgraphTypeError, SymgraphValueError, describe

from .typing import BatchAxis

__all__ = ["axes_of", "is_named", "open_input"]


def axes_of(
    inputs: Sequence[sg.Variable],
    axis: BatchAxis | Sequence[BatchAxis | None] | None,
    owner: str,
) -> list[int | None]:
    """The batch axis of each input, None for one that is the same for all rows."""
    if axis is None:
        _refuse_open(inputs, owner)
        axes: list[int | None] = [0] * len(inputs)
    elif isinstance(axis, (str, int, np.integer)):
        axes = [_axis(x, axis, owner) for x in inputs]
    elif not isinstance(axis, Sequence) or len(axis) != len(inputs):
        what = f"names {len(axis)} axes" if isinstance(axis, Sequence) else f"is {axis!r}"
        raise SymgraphValueError.here(f"{owner}: batch_axis {what}, one for each input is needed")
    elif inputs and all(its is None for its in axis):
        raise SymgraphTypeError.here(
            f"{owner}: batch_axis is an axis, or the name of a size, for one input at least, "
            f"not {axis!r}"
        )
    else:
        axes = [
            None if its is None else _axis(x, its, owner)
            for x, its in zip(inputs, axis, strict=True)
        ]
    for x, k in zip(inputs, axes, strict=True):
        if k is not None and not 0 <= k < x.ndim:
            raise ShapeError.here(f"{owner}: {describe(x)} has no batch axis {k}")
    return axes


def _axis(x: sg.Variable, axis: Any, owner: str) -> int:
    """The batch axis of one input, a number or the name of its size."""
    if isinstance(axis, str):
        named = [i for i, size in enumerate(x.type.shape) if str(size) == axis]
        if len(named) != 1:
            raise ShapeError.here(f"{owner}: {describe(x)} has no axis of size {axis!r}")
        return named[0]
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise SymgraphTypeError.here(
            f"{owner}: batch_axis is an axis, or the name of a size, not {axis!r}"
        )
    return int(axis)


def _refuse_open(inputs: Sequence[sg.Variable], owner: str) -> None:
    """Raise unless the first axis of each input can hold nothing but the rows.

    A sequence is [time, batch, features]: its first axis would be shuffled without a word.
    """
    why = open_input(inputs)
    if why is None:
        return
    sizes = [{str(s) for s in x.type.shape if is_named(s)} for x in inputs]
    second = {str(x.type.shape[1]) for x in inputs if x.ndim > 1}  # [time, batch, …]
    common = sorted(set.intersection(*sizes), key=lambda n: (n in second, n)) if sizes else []
    example = repr(common[-1]) if common else "1"
    raise SymgraphValueError.here(
        f"{owner}: batch_axis is not given, and {why}",
        remedy=f"Say which axis of each input holds the rows: batch_axis={example}, or another "
        "axis, name of a size, or list with one for each input.",
    )


def open_input(inputs: Sequence[sg.Variable]) -> str | None:
    """What leaves open that the rows lie along the first axes, in words; None for nothing."""
    unclear = next((x for x in inputs if _leaves_open(x)), None)
    if unclear is not None:
        return f"{describe(unclear)} leaves open which axis holds the rows"
    names = {str(x.type.shape[0]) for x in inputs if x.ndim and is_named(x.type.shape[0])}
    if len(names) < 2:
        return None
    return f"the first axes have different names: {', '.join(sorted(names))}"


def _leaves_open(x: sg.Variable) -> bool:
    """Whether the rows may lie along another axis than the first."""
    free = [i for i, size in enumerate(x.type.shape) if not isinstance(size, int)]
    if len(free) < 2:
        return free != [0] and x.ndim > 1 + (not free)
    # A matrix of floats without names is [rows, features], one of integers [time, batch].
    is_plain = x.ndim == 2 and x.dtype.kind == "f"
    return not is_plain or any(is_named(size) for size in x.type.shape)


def is_named(size: Any) -> bool:
    """Whether a size of a type is one that the user named."""
    return not isinstance(size, int) and size.is_name

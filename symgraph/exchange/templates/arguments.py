"""Arguments of patterns that are no variables: what they may be, by what there is in a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...core.variable import Variable, ancestors
from ...ops.composite import arguments_of, is_composite
from .chains import number_of

__all__ = ["as_written", "values_between"]


def values_between(target: Variable, holes: set[Variable]) -> list[Any]:
    """The values of parameters and constants, each once, those of small ops' first."""
    found: dict[tuple[Any, ...], Any] = {}
    for v in reversed(ancestors([target], holes)):
        if v in holes:
            continue
        number = number_of(v)
        values = [as_written(number, v.dtype)] if number is not None else _values_of(v)
        found |= {(type(value), repr(value)): value for value in values}
    return list(found.values())


def _values_of(v: Variable) -> Iterator[Any]:
    return _flat(tuple(arguments_of(v).values()) if is_composite(v) else v.params)


def as_written(number: float, dtype: np.dtype) -> Any:
    """The shortest number that gives this one in the dtype."""
    return float(str(dtype.type(number))) if dtype.kind == "f" else dtype.type(number).item()


def _flat(params: tuple[Any, ...]) -> Iterator[Any]:
    """The numbers and words among parameters, alone and in tuples."""
    for value in params:
        if isinstance(value, (bool, int, float, str)) or value is None:
            yield value
        elif isinstance(value, tuple):
            if len(value) == 1:
                yield from _flat(value)
            if all(isinstance(x, int) for x in value):
                yield value
            if len(value) > 1:
                yield from _flat(value)
        elif isinstance(value, np.dtype):
            yield value.name

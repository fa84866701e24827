"""What values may grow to while a model is read: each node can square what there is."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from ...core.dims import PRIMITIVE, Dim, Size
from ...core.errors import ExchangeError
from ...core.types import TensorType
from ...core.variable import Variable
from ...ops.sizes import is_size, size_of
from .read_values import Sizes

__all__ = ["check_growth"]

_LARGEST = 2**63
_MOST_PARTS = 4096
"""How many names and numbers the formula of one size has."""
_MOST_TERMS = 10_000
"""How many terms the product of all sizes of a value may have."""


def check_growth(value: Any) -> None:
    """Raise `ExchangeError` where a size is no int64, or a formula that cannot be handled."""
    if isinstance(value, Sizes):
        for entry in value.entries.reshape(-1):
            _check(size_of(entry) if isinstance(entry, Variable) and is_size(entry) else entry)
    elif isinstance(value, Variable) and isinstance(value.type, TensorType):
        sizes = value.type.shape
        for size in sizes:
            _check(size)
        if math.prod(len(size.terms) for size in sizes if isinstance(size, Dim)) > _MOST_TERMS:
            raise ExchangeError.here(f"the formula of the size of {value.type} is too long")


def _check(size: Any) -> None:
    if isinstance(size, Dim):
        if _parts(size) > _MOST_PARTS:
            raise ExchangeError.here(f"the formula of a size has more than {_MOST_PARTS} parts")
    elif isinstance(size, int) and not -_LARGEST <= size < _LARGEST:
        raise ExchangeError.here("a size is more than can be counted in int64")


@lru_cache(maxsize=4096)
def _parts(size: Dim) -> int:
    """How many names and numbers a formula has, up to one more than may be."""
    number = 0
    pending: list[Size] = [size]
    while pending and number <= _MOST_PARTS:
        inner = pending.pop()
        terms = inner.terms if isinstance(inner, Dim) else [((), inner)]
        for monomial, factor in terms:
            number += 1 + len(monomial) + abs(factor) // _LARGEST
            for atom in monomial:
                if atom[0] not in PRIMITIVE:
                    pending += atom[1:]
    return number

"""Numbers for parameters by patterns that their names fit, as file names have them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import symgraph as sg
from symgraph.errors import SymgraphTypeError, SymgraphValueError

from .checks import check_number

__all__ = ["decays", "numbers_by_pattern"]


def numbers_by_pattern(
    owner: str, patterns: Mapping[str, float], params: Sequence[sg.SharedVariable]
) -> list[float | None]:
    """For each parameter the number of the first pattern that fits its name; None where none does.

    Raises `SymgraphValueError` for a pattern that fits nothing.
    """
    if not isinstance(patterns, Mapping) or not all(isinstance(p, str) for p in patterns):
        raise SymgraphTypeError.here(
            f"{owner}: a dict from patterns to numbers is expected, not {patterns!r}"
        )
    check_number(owner, **dict(patterns))
    fitting = [[p for p in patterns if fnmatch.fnmatchcase(v.name or "", p)] for v in params]
    unused = set(patterns) - {pattern for fits in fitting for pattern in fits}
    if unused:
        raise SymgraphValueError.here(
            f"{owner}: no parameter's name fits {', '.join(map(repr, sorted(unused)))}",
            remedy=f"The names are {', '.join(repr(p.name) for p in params)}.",
        )
    return [float(patterns[fits[0]]) if fits else None for fits in fitting]


def decays(owner: str, decay: Any, params: Sequence[sg.SharedVariable]) -> list[float]:
    """How much each parameter decays: one number for all, or by patterns, and 0 for the others."""
    if isinstance(decay, Mapping):
        return [number or 0.0 for number in numbers_by_pattern(owner, decay, params)]
    check_number(owner, weight_decay=decay)
    return [float(decay)] * len(params)

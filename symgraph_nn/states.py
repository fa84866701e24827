"""The states of cells as trees: a variable, or tuples of states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import symgraph as sg

__all__ = ["chosen", "parts_of_state", "position_of", "state_like"]


def parts_of_state(state: Any) -> list[Any]:
    """The variables of a state, in order: itself, or those of the tuples that it is made of."""
    if not isinstance(state, (tuple, list)):
        return [state]
    return [part for member in state for part in parts_of_state(member)]


def state_like(model: Any, parts: Sequence[Any]) -> Any:
    """The parts as the model has them: one variable, or a tree of tuples."""
    return _filled(model, iter(parts))


def _filled(model: Any, parts: Iterator[Any]) -> Any:
    if not isinstance(model, (tuple, list)):
        return next(parts)
    return tuple(_filled(member, parts) for member in model)


def position_of(output: sg.Variable, parts: Sequence[sg.Variable]) -> int:
    """Where the output stands among the parts; their number where it is none of them."""
    return next((i for i, part in enumerate(parts) if part is output), len(parts))


def chosen(mask: sg.Variable, new: sg.Variable, old: sg.Variable) -> sg.Variable:
    """The new value where the mask [batch] holds, elsewhere the old one; any number of axes."""
    axes = tuple(range(1, new.ndim))
    return sg.where(sg.expand_dims(mask, axes) if axes else mask, new, old)

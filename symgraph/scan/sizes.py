"""Sizes as expressions outside a loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.dims import PRIMITIVE, Atom, Dim, Size, atom_size
from ..core.variable import Variable, make_constant, node
from ..ops.broadcast import broadcast_to
from ..ops.elementwise import maximum
from ..ops.intervals import interval_within
from ..ops.sizes import SIZE

__all__ = ["of_length", "scalar_for"]


def of_length(size: Any) -> Variable:
    """A vector of this length, which takes no memory: it brings a size into a loop."""
    return broadcast_to(make_constant(0), (size,))


def scalar_for(size: Size, sources: Sequence[Variable]) -> Any:
    """A size as a number, or an integer scalar made of the sources' sizes; None if it cannot be."""
    if isinstance(size, int):
        return size
    known: dict[Size, Any] = {}
    for x in sources:
        for axis, entry in enumerate(x.type.shape):
            if isinstance(entry, Dim) and entry not in known:
                known[entry] = node(SIZE, (x,), (axis,))
    return _scalar_from(size, known)


def _scalar_from(size: Size, known: dict[Size, Any]) -> Any:
    """The expression for a size over known ones; sizes nest no deeper than the user wrote them."""
    if isinstance(size, int):
        return size
    if size in known:
        return known[size]
    total: Any = 0
    for monomial, factor in size.terms:
        term: Any = factor
        for atom in monomial:
            value = _scalar_from_atom(atom, known)
            if value is None:
                return None
            term = value * term
        total = term + total
    return total


def _scalar_from_atom(atom: Atom, known: dict[Size, Any]) -> Any:
    if atom[0] in PRIMITIVE:
        return known.get(atom_size(atom))
    parts = [_scalar_from(part, known) for part in atom[1:]]
    if any(part is None for part in parts):
        return None
    if atom[0] == "interval":
        return interval_within(*parts)
    return parts[0] // parts[1] if atom[0] == "floor_div" else maximum(parts[0], 0)

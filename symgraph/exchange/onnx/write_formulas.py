"""Formulas of sizes as scalars, in terms of variables that have such sizes."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.annotations import SizeLike
from ...core.dims import Atom, Dim, Size
from ...core.variable import Variable
from ...ops.elementwise import add, floor_divide, maximum, multiply
from ...ops.sizes import shape_of

__all__ = ["size_among"]


def size_among(size: Size, variables: Sequence[Variable]) -> SizeLike:
    """The size as a number or a scalar, computed from the sizes of the variables; 0 where these do
    not tell it."""
    known: dict[Size, SizeLike] = {}
    for v in variables:
        for own, scalar in zip(v.type.shape, shape_of(v), strict=True):
            known.setdefault(own, scalar)
    return _computed(size, known)


def _computed(size: Size, known: dict[Size, SizeLike]) -> SizeLike:
    if isinstance(size, int):
        return size
    if size in known:
        return known[size]
    total: SizeLike = 0
    for monomial, factor in size.terms:
        term: SizeLike = factor
        for atom in monomial:
            term = multiply(term, _of_atom(atom, known))
        total = add(total, term)
    return total


def _of_atom(atom: Atom, known: dict[Size, SizeLike]) -> SizeLike:
    kind, *parts = atom
    if kind == "floor_div":
        return floor_divide(*(_computed(part, known) for part in parts))
    if kind == "max_zero":
        return maximum(_computed(parts[0], known), 0)
    return next((v for size, v in known.items() if isinstance(size, Dim) and size.atom == atom), 0)

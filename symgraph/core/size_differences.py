"""Which sizes cannot be equal."""

from __future__ import annotations

from functools import lru_cache

from .dims import Dim, Size, atom_size

__all__ = ["known_different"]


def known_different(a: Size, b: Size) -> bool:
    """Whether the sizes cannot be equal: another number, another offset or another name.

    The length of a slice counts as if the axis were long enough: ``x[1:]`` and ``x`` differ. That
    of a slice may be 0, though, where another one is known to be.
    """
    if a is b:
        return False
    for size, other in ((a, b), (b, a)):
        if size == 0 and isinstance(other, Dim) and _has_clamp(other):
            return False
    if isinstance(a, int) and isinstance(b, int):
        return a != b
    if isinstance(a, Dim) and isinstance(b, Dim) and a.is_name and b.is_name:
        return True
    difference = _without_max_zero(a) - _without_max_zero(b)
    return isinstance(difference, int) and difference != 0


def _has_clamp(size: Dim) -> bool:
    return any(atom[0] == "max_zero" for monomial, _ in size.terms for atom in monomial)


# A minimum has its first size twice.
@lru_cache(maxsize=4096)
def _without_max_zero(size: Size) -> Size:
    if isinstance(size, int):
        return size
    total: Size = 0
    for monomial, factor in size.terms:
        term: Size = factor
        for atom in monomial:
            inner = _without_max_zero(atom[1]) if atom[0] == "max_zero" else atom_size(atom)
            term = term * inner
        total = total + term
    return total

"""Upper bounds of sizes, as sizes of fewer terms."""

from __future__ import annotations

from typing import TypeGuard

from .dims import Atom, Dim, Monomial, Size, atom_size, maximum_zero, product

__all__ = ["is_at_most", "without_rests"]


def is_at_most(size: Size, most: int) -> bool:
    """Whether a size is known to be no more than a number, as that of ``x[:1]`` is than 1."""
    return maximum_zero(size - most) == 0


def without_rests(size: Size) -> Size:
    """A size that is no less, in which what a division leaves over is all that it might be.

    ``n - max(n - 1, 0) // k * k``, the last of parts of ``k``, becomes ``k``: a number, or how far
    checkpoints are apart.
    """
    if not isinstance(size, Dim) or all(factor > 0 for _, factor in size.terms):
        return size
    for atom in dict.fromkeys(atom for monomial, _ in size.terms for atom in monomial):
        if atom[0] == "floor_div" and isinstance(size, Dim):
            bound = _without_rest(size, atom)
            # A numerator that is not in the size would make it longer.
            if bound is not None and _length(bound) <= _length(size):
                size = bound
    return size


def _length(size: Size) -> int:
    return len(size.terms) if isinstance(size, Dim) else 1


def _without_rest(size: Dim, quotient: Atom) -> Size | None:
    """The bound by one quotient; None where it is not taken away as often as its divisor says."""
    numerator, every = quotient[1:]
    if isinstance(numerator, Dim) and numerator.atom is not None:
        kind, *parts = numerator.atom
        numerator = parts[0] if kind == "max_zero" else numerator
    times: Size = 0
    """How often the rest stands in the size: what the quotient's factors are without -k."""
    for monomial, factor in size.terms:
        if quotient in monomial:
            part = _divided(monomial, factor, quotient, every)
            if part is None:
                return None
            times = times + part
    rest = numerator + 1 - atom_size(quotient) * every
    return size - times * rest + times * every


def _divided(monomial: Monomial, factor: int, quotient: Atom, every: Size) -> Size | None:
    """The term without the quotient, divided by minus the divisor; None where that is no size."""
    others = list(monomial)
    others.remove(quotient)
    left_over = 0
    if isinstance(every, int) and every > 0:
        factor, left_over = divmod(-factor, every)
    elif _is_positive(every) and every.atom in others:
        others.remove(every.atom)
        factor = -factor
    else:
        return None
    if left_over or factor <= 0 or quotient in others:
        return None
    return factor * product(map(atom_size, others))


def _is_positive(size: Size) -> TypeGuard[Dim]:
    """Whether the size is none that may be 0, by which a quotient is 0."""
    return isinstance(size, Dim) and size.atom is not None and size.atom[0] == "interval"

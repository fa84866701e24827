"""Formulas of sizes as scalars, in terms of variables that have such sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...core.annotations import SizeLike
from ...core.dims import Atom, Dim, Monomial, Size, atom_size
from ...core.variable import Variable
from ...ops.elementwise import add, floor_divide, maximum, multiply, subtract
from ...ops.intervals import interval_within
from ...ops.sizes import is_size, shape_of, size_of

__all__ = ["size_among"]


def size_among(size: Size, variables: Sequence[Variable]) -> SizeLike:
    """The size as a number or a scalar, computed from the sizes of the variables, and from those
    that are sizes; 0 where these do not tell it."""
    known: dict[Size, SizeLike] = {}
    for v in variables:
        for own, scalar in zip(v.type.shape, shape_of(v), strict=True):
            known.setdefault(own, scalar)
        if v.ndim == 0 and is_size(v) and (own := size_of(v)) is not None:
            known.setdefault(own, v)
    found = _Formulas(known).of(size)
    return 0 if found is None else found


class _Formulas:
    """Sizes in terms of known ones; None for those that these do not tell."""

    def __init__(self, known: dict[Size, SizeLike]) -> None:
        self._known = known
        self._in_work: set[Monomial] = set()

    def of(self, size: Size) -> SizeLike | None:
        """The formula of a size."""
        if isinstance(size, int):
            return size
        return self._known[size] if size in self._known else self._sum(size.terms)

    def _sum(self, terms: Iterable[tuple[Monomial, int]]) -> SizeLike | None:
        total: SizeLike | None = None
        for monomial, factor in terms:
            part = self._product(monomial)
            if part is None:
                return None
            part = _times(part, factor)
            total = part if total is None else add(total, part)
        return 0 if total is None else total

    def _product(self, monomial: Monomial) -> SizeLike | None:
        """The product of sizes; from a known sum that it is a part of where its parts are not."""
        if monomial in self._in_work:
            return None
        self._in_work.add(monomial)
        product: SizeLike | None = 1
        for atom in monomial:
            own = self._of_atom(atom) if len(monomial) == 1 else self._product((atom,))
            product = None if product is None or own is None else _times(own, product)
        if product is None:
            product = next(self._solved(monomial), None)
        self._in_work.discard(monomial)
        return product

    def _solved(self, monomial: Monomial) -> Iterator[SizeLike]:
        """What it must be for the sums that are known to be what they are."""
        for own, scalar in self._known.items():
            terms = dict(own.terms) if isinstance(own, Dim) else {}
            factor = terms.pop(monomial, None)
            if factor is None or (rest := self._sum(terms.items())) is None:
                continue
            left = subtract(scalar, rest)
            yield left if factor == 1 else floor_divide(left, factor)

    def _of_atom(self, atom: Atom) -> SizeLike | None:
        if (size := atom_size(atom)) in self._known:
            return self._known[size]
        kind, *parts = atom
        if kind not in ("floor_div", "max_zero", "interval"):
            return None
        if kind == "interval":
            of_parts = [self.of(part) for part in parts]
            known = [part for part in of_parts if part is not None]
            return interval_within(*known) if len(known) == 4 else None
        first = self.of(parts[0])
        if kind == "max_zero" or first is None:
            return None if first is None else maximum(first, 0)
        divisor = self.of(parts[1])
        return None if divisor is None else floor_divide(first, divisor)


def _times(size: SizeLike, factor: SizeLike) -> SizeLike:
    if isinstance(factor, int) and factor == 1:
        return size
    return (
        size * factor
        if isinstance(size, int) and isinstance(factor, int)
        else multiply(size, factor)
    )

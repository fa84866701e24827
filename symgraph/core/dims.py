"""Sizes of axes: numbers, or interned polynomials of named sizes.

A size is an ``int`` or a `Dim`. Dims are canonical and interned, so two sizes that are known to be
equal are one object and ``is`` decides. Floor division and ``max(p, 0)`` (the length of a slice)
are atoms of the polynomial; ``min(a, b)`` is written ``a - max(a - b, 0)``, so that the parts of a
split axis add up to the whole again.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from .interned import Interned, InternTable
from .interval import interval_of
from .processes import origin
from .size_text import atom_text, sum_text

__all__ = [
    "PRIMITIVE",
    "Atom",
    "Dim",
    "Size",
    "atom_size",
    "ceil_div",
    "floor_div",
    "fresh_number",
    "fresh_size",
    "interval",
    "maximum_zero",
    "minimum",
    "named_size",
    "product",
    "size_atoms",
    "substitute_size",
]

# ("name", "B"), ("unknown", origin, 7), ("number", origin, 8), ("floor_div", p, q),
# ("max_zero", p), ("interval", p, q, r, s): hashable by value. Of these a number alone may be
# negative.
Atom: TypeAlias = tuple[Any, ...]
# How many characters of a formula tell it from others as they are.
_LONG = 200
# How many names and unknowns the text of a formula has; parts of longer ones are left out.
_MOST_WRITTEN = 200
# The kinds of atoms that are made of no others.
PRIMITIVE = frozenset({"name", "unknown", "number"})
Monomial: TypeAlias = tuple[Atom, ...]


class Dim(Interned):
    """A polynomial with integer coefficients in named sizes, interned; never a constant."""

    __slots__ = ("__weakref__", "_atoms", "_key", "_n_written", "_text", "terms")

    terms: tuple[tuple[Monomial, int], ...]
    _text: str | None
    _key: str | None
    _atoms: tuple[Atom, ...] | None
    _n_written: int | None

    def __new__(cls, *_args: object) -> Dim:
        raise TypeError("make sizes with named_size, fresh_size and arithmetic")

    def __str__(self) -> str:
        if self._text is None:
            is_long = self.n_written > _MOST_WRITTEN
            self._text = sum_text(self.terms, _shortened if is_long else str)
        return self._text

    def __repr__(self) -> str:
        return f"Dim({self})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _from_terms, (self.terms,)

    def __add__(self, other: Size) -> Size:
        return _sum(self, other)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return _intern(tuple([(monomial, -factor) for monomial, factor in self.terms]))

    def __sub__(self, other: Size) -> Size:
        return self + -other

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        return _product(self, other)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return floor_div(self, other)

    @property
    def atom(self) -> Atom | None:
        """The atom that this size consists of, or None where it is a compound."""
        if len(self.terms) == 1:
            (monomial, factor), *_ = self.terms
            if factor == 1 and len(monomial) == 1:
                return monomial[0]
        return None

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """The names and unknowns that it is made of, each once."""
        if self._atoms is None:
            self._atoms = tuple(dict.fromkeys(_primitive_atoms(self.terms)))
        return self._atoms

    @property
    def n_written(self) -> int:
        """How many names and unknowns it has when it is written, each as often as it stands."""
        if self._n_written is None:
            self._n_written = sum(
                1 if atom[0] in PRIMITIVE else sum(map(_n_written, atom[1:]))
                for monomial, _ in self.terms
                for atom in monomial
            )
        return self._n_written

    @property
    def key(self) -> str:
        """Its text where that is short, else the beginning and a digest: a text of its own length
        for each of the parts would double with each minimum of minima."""
        if self._key is None:
            text = sum_text(self.terms, lambda size: size.key)
            if len(text) > _LONG:
                digest = hashlib.sha256(text.encode()).hexdigest()
                text = f"{text[: _LONG // 2]}... {digest}"
            self._key = text
        return self._key

    @property
    def is_name(self) -> bool:
        """Whether this is one plain name."""
        atom = self.atom
        return atom is not None and atom[0] == "name"

    @property
    def is_unknown(self) -> bool:
        """Whether this is one size about which nothing is known."""
        atom = self.atom
        return atom is not None and atom[0] in ("unknown", "number")

    def evaluate(self, values: Mapping[Atom, int]) -> int | None:
        """The number for the given values of names and unknowns, None where one is missing."""
        try:
            return _evaluate(self, values, {})
        except KeyError:
            return None


Size: TypeAlias = int | Dim

_interned: InternTable[Dim] = InternTable()
_counter = itertools.count()


def named_size(name: str) -> Dim:
    """The size with this name; the same object for the same name."""
    return atom_size(("name", name))


def fresh_size() -> Dim:
    """A size that is known to equal nothing else."""
    # Those of two processes must stay apart when one unpickles what the other wrote.
    return atom_size(("unknown", origin(), next(_counter)))


def fresh_number() -> Dim:
    """An integer that is known to equal nothing else, and that may be negative."""
    return atom_size(("number", origin(), next(_counter)))


def floor_div(numerator: Size, denominator: Size) -> Size:
    """``numerator // denominator``, simplified where the division is known to be exact."""
    if isinstance(numerator, int) and isinstance(denominator, int):
        return numerator // denominator if denominator else 0
    quotient = _exact_quotient(numerator, denominator)
    if quotient is not None:
        return quotient
    if isinstance(denominator, int) and isinstance(numerator, Dim) and denominator > 0:
        whole = tuple((m, f // denominator) for m, f in numerator.terms if f // denominator)
        rest = tuple((m, f % denominator) for m, f in numerator.terms if f % denominator)
        remainder = _from_terms(rest)
        part = remainder // denominator if isinstance(remainder, int) else None
        if part is None:
            part = atom_size(("floor_div", remainder, denominator))
        return _from_terms((*whole, *_terms(part)))
    return atom_size(("floor_div", numerator, denominator))


def ceil_div(numerator: Size, denominator: int) -> Size:
    """``numerator / denominator`` rounded up, for a positive denominator."""
    return floor_div(numerator + (denominator - 1), denominator)


def interval(steps: Size, kept: Size, each: Size, memory: Size) -> Size:
    """How many steps checkpoints are apart, at least 1 and at most all.

    Checkpoints every ``k`` steps take ``kept`` bytes for each of the ``(steps - 1) // k`` chunks
    before the last one, and a chunk takes ``each * k``. Of the numbers for which both together are
    no more than the memory it is the one with which the fewest steps run again, all but the last
    chunk's; where there is none, one that takes the least. Without memory (0) it is the root of
    the number of steps.
    """
    parts = (steps, kept, each, memory)
    numbers = [part for part in parts if isinstance(part, int)]
    return interval_of(*numbers) if len(numbers) == 4 else atom_size(("interval", *parts))


def maximum_zero(size: Size) -> Size:
    """``max(size, 0)``, where the size is not known to be at least zero, or at most."""
    if isinstance(size, int):
        return max(size, 0)
    if _is_at_least_zero(size):
        return size
    return 0 if _is_at_least_zero(-size) else atom_size(("max_zero", size))


@lru_cache(maxsize=4096)
def _is_at_least_zero(size: Size) -> bool:
    """Whether a size is known not to be negative, as ``s - max(s - c, 0)`` is: ``min(s, c)``."""
    if isinstance(size, int):
        return size >= 0
    negative = [(monomial, factor) for monomial, factor in size.terms if factor < 0]
    if not negative:
        return not any(_may_be_negative(atom) for monomial, _ in size.terms for atom in monomial)
    for monomial, factor in negative:
        for atom in monomial:
            if atom[0] == "floor_div" and _is_times(monomial, factor, atom):
                # p // q * q is at most p, if q is at least 0.
                rest = size + _from_terms(((monomial, -factor),)) - atom[1]
                return all(map(_is_at_least_zero, (*atom[1:], rest)))
    clamped = [term for term in size.terms if len(term[0]) == 1 and term[0][0][0] == "max_zero"]
    if len(clamped) > 4:
        return False
    if all(term in clamped for term in negative):
        # -max(p, 0) is 0 or -p, whichever is less: both must do.
        without, instead = _unclamped(size, *negative[0])
        return _is_at_least_zero(without) and _is_at_least_zero(instead)
    # max(p, 0) is at least p.
    positive = (_unclamped(size, *term)[1] for term in clamped if term not in negative)
    return any(map(_is_at_least_zero, positive))


def _unclamped(size: Dim, monomial: Monomial, factor: int) -> tuple[Size, Size]:
    """The size without its term of ``max(p, 0)``, and with ``p`` in its place."""
    without = size + _from_terms(((monomial, -factor),))
    return without, without + monomial[0][1] * factor


def _is_times(monomial: Monomial, factor: int, quotient: Atom) -> bool:
    """Whether a negative term is a quotient times what it is divided by."""
    others = list(monomial)
    others.remove(quotient)
    return _from_terms(((tuple(others), -factor),)) == quotient[2]


def _may_be_negative(atom: Atom) -> bool:
    if atom[0] == "floor_div":
        return not all(map(_is_at_least_zero, atom[1:]))
    return atom[0] == "number"


def minimum(a: Size, b: Size) -> Size:
    """``min(a, b)``, written so that ``min(a, b) + max(a - b, 0)`` is ``a`` again."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return a - maximum_zero(a - b)


def product(sizes: Iterable[Size]) -> Size:
    """The product of the sizes, 1 for none."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def size_atoms(size: Size) -> tuple[Atom, ...]:
    """The names and unknowns in a size, those inside floor divisions too, each once."""
    return () if isinstance(size, int) else size.atoms


def _shortened(part: Dim) -> str:
    """The text of a part of a formula that is too long to be read."""
    return str(part) if part.n_written <= _MOST_WRITTEN // 4 else "..."


def _n_written(size: Size) -> int:
    return 0 if isinstance(size, int) else size.n_written


def _primitive_atoms(terms: Iterable[tuple[Monomial, int]]) -> Iterator[Atom]:
    for monomial, _ in terms:
        for atom in monomial:
            if atom[0] in PRIMITIVE:
                yield atom
            else:
                for part in atom[1:]:
                    yield from size_atoms(part)


def substitute_size(size: Size, replacements: Mapping[Atom, Size]) -> Size:
    """The size with atoms replaced by other sizes."""
    # And what is made of them, which several parts may have.
    return _substitute(size, dict(replacements)) if replacements else size


def _substitute(size: Size, known: dict[Atom, Size]) -> Size:
    total: Size = 0
    for monomial, factor in _terms(size):
        term: Size = factor
        for atom in monomial:
            term = term * _substitute_atom(atom, known)
        total = total + term
    return total


def _substitute_atom(atom: Atom, known: dict[Atom, Size]) -> Size:
    """What an atom becomes, which is known then."""
    if atom not in known:
        kind, *parts = atom
        if kind in PRIMITIVE:
            known[atom] = atom_size(atom)
        else:
            known[atom] = _FORMULAS[kind](*[_substitute(part, known) for part in parts])
    return known[atom]


_FORMULAS: Mapping[str, Callable[..., Size]] = {
    "floor_div": floor_div,
    "max_zero": maximum_zero,
    "interval": interval,
}


def _evaluate(size: Size, values: Mapping[Atom, int], known: dict[Atom, int]) -> int:
    """The number for a size; ``known``: those of formulas, which several parts may have."""
    total = 0
    for monomial, factor in _terms(size):
        for atom in monomial:
            is_primitive = atom[0] in PRIMITIVE
            factor *= values[atom] if is_primitive else _evaluate_formula(atom, values, known)
        total += factor
    return total


def _evaluate_formula(atom: Atom, values: Mapping[Atom, int], known: dict[Atom, int]) -> int:
    if atom not in known:
        parts = [_evaluate(part, values, known) for part in atom[1:]]
        if atom[0] == "floor_div":
            known[atom] = parts[0] // parts[1] if parts[1] else 0
        else:
            known[atom] = interval_of(*parts) if atom[0] == "interval" else max(parts[0], 0)
    return known[atom]


def atom_size(atom: Atom) -> Dim:
    """The size that consists of this atom alone."""
    return _intern((((atom,), 1),))


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(size, Dim):
        return size.terms
    return (((), int(size)),) if size else ()


# A graph asks for the same few sums and products at every node.
@lru_cache(maxsize=4096)
def _sum(a: Size, b: Size) -> Size:
    return _from_terms((*_terms(a), *_terms(b)))


@lru_cache(maxsize=4096)
def _product(a: Size, b: Size) -> Size:
    return _from_terms(
        tuple((_sorted_monomial(p + q), m * n) for p, m in _terms(a) for q, n in _terms(b))
    )


def _from_terms(terms: Iterable[tuple[Monomial, int]]) -> Size:
    """The canonical size of a sum of terms."""
    collected: dict[Monomial, int] = {}
    for monomial, factor in terms:
        collected[monomial] = collected.get(monomial, 0) + factor
    kept = {monomial: factor for monomial, factor in collected.items() if factor}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    return _intern(tuple(sorted(kept.items(), key=_term_key)))


def _intern(terms: tuple[tuple[Monomial, int], ...]) -> Dim:
    dim = _interned.get(terms)
    if dim is None:
        dim = object.__new__(Dim)
        dim.terms = terms
        dim._text = dim._key = dim._atoms = dim._n_written = None
        dim = _interned.keep_first(terms, dim)
    return dim


def _term_key(term: tuple[Monomial, int]) -> tuple[Any, ...]:
    monomial, _ = term
    return (-len(monomial), [_atom_key(atom) for atom in monomial])


# In every process the same order: names and formulas by their text, then unknowns as they came.
@lru_cache(maxsize=4096)
def _atom_key(atom: Atom) -> tuple[Any, ...]:
    kind = atom[0]
    if kind == "name":
        return (0, atom[1], ())
    if kind in ("unknown", "number"):
        return (1, atom[2], atom[1])
    return (0, atom_text(atom, lambda size: size.key), tuple(map(_size_key, atom[1:])))


def _size_key(size: Size) -> tuple[Any, ...]:
    """What tells formulas apart whose texts are one, since unknowns have no names."""
    return tuple((_term_key(term), term[1]) for term in _terms(size))


def _sorted_monomial(monomial: Monomial) -> Monomial:
    return tuple(sorted(monomial, key=_atom_key))


def _exact_quotient(numerator: Size, denominator: Size) -> Size | None:
    """The quotient where the denominator is one term that divides every term of the numerator."""
    divisor = _terms(denominator)
    if len(divisor) != 1:
        return 1 if numerator is denominator else None
    ((atoms, factor),) = divisor
    terms = []
    for monomial, coefficient in _terms(numerator):
        remaining = list(monomial)
        for atom in atoms:
            if atom not in remaining:
                return None
            remaining.remove(atom)
        if coefficient % factor:
            return None
        terms.append((tuple(remaining), coefficient // factor))
    return _from_terms(terms)

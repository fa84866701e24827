"""A pattern held against a graph: what its holes have to be for both to be the same.

A pattern is a graph with symbols for holes, a *form*. Sums and products are held against each
other as `Chain`s: what is no hole has to be there, with its sign or exponent, and holes take what
is left. All else has to be of the same op and parameters, on operands that match. Where there are
several ways, each is tried: the functions here yield what holes are, again and again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ...core.types import TupleType
from ...core.variable import CONSTANT, Variable, constant_value
from ...ops.composite import COMPOSITE
from ...ops.promotion import CAST
from ...ops.sizes import SIZE, is_size, size_of
from ...ops.special_functions import ERF
from ...ops.transcendental import ARCTAN, SIN, SINH, TAN, TANH
from .chains import (
    ROUNDING,
    Chain,
    Kind,
    chain_of,
    has_power_in,
    is_close,
    kind_of,
    number_of,
    plain,
)
from .views import has_same_parameters, without_detours

__all__ = ["Bindings", "Form", "Match", "matches"]

Bindings: TypeAlias = Mapping[Variable, Variable]
"""For the symbols of holes what they stand for."""
Part: TypeAlias = tuple[Variable, float]

# Functions of which the value for -x is that for x, negated.
_ODD = (ERF, TANH, SIN, TAN, ARCTAN, SINH)
# How many steps one comparison may take: ways to divide up a long sum are many.
_STEPS = 5000


@dataclass(frozen=True)
class Form:
    """A pattern as a graph."""

    root: Variable
    holes: tuple[Variable, ...]
    """The symbols of the holes."""
    is_sketch: bool = False
    """Whether the types of the holes are guesses: then parameters, numbers and sizes may differ."""


@dataclass(frozen=True)
class Match:
    """What holes stand for, and what is left of a sum or product of which the pattern is a part."""

    bindings: Bindings
    rest: Variable | None = None


def matches(
    form: Form,
    target: Variable,
    *,
    with_rest: bool = False,
    atoms: Collection[Variable] = (),
) -> Iterator[Match]:
    """The ways in which the form is the target.

    ``with_rest``: the ways in which it is some of the terms or factors of the target instead.
    ``atoms``: sums and products that are not to be taken apart.
    """
    matcher = _Matcher(form, atoms)
    if not with_rest:
        for bindings in matcher.match(form.root, target, {}):
            if len(bindings) == len(form.holes):
                yield Match(bindings)
        return
    kind = kind_of(form.root)
    if kind is None or kind_of(target) != kind:
        return
    pattern, found = matcher.chain(form.root, kind), matcher.chain(target, kind)
    if len(found.parts) < 2 or len(found.parts) < len(pattern.parts):
        return
    for bindings, left in matcher.match_parts(pattern, found, {}):
        rest = left.combined(target) if left.parts else None
        if rest is not None and left.is_neutral and len(bindings) == len(form.holes):
            yield Match(bindings, rest)


class _Matcher:
    """One form held against one variable."""

    def __init__(self, form: Form, atoms: Collection[Variable]) -> None:
        self.form, self.atoms = form, atoms
        self.holes = frozenset(form.holes)
        self.steps = 0
        self._chains: dict[tuple[Variable, Kind], Chain] = {}

    def chain(self, v: Variable, kind: Kind) -> Chain:
        """The variable as a sum or product."""
        key = (v, kind)
        if key not in self._chains:
            self._chains[key] = self._chain(v, kind)
        return self._chains[key]

    def _chain(self, v: Variable, kind: Kind) -> Chain:
        chain = chain_of(v, kind, atoms=self.atoms)
        if self.form.is_sketch:
            sizes = [part for part in chain.parts if _is_of_sizes(part[0])]
            parts = [part for part in chain.parts if part not in sizes]
            chain = Chain(kind, parts, 0.0 if kind == "sum" else 1.0, [*chain.inner, *sizes])
        return chain

    def match(self, pattern: Variable, target: Variable, known: Bindings) -> Iterator[Bindings]:
        """The ways in which the pattern is the target, given what some holes are."""
        self.steps += 1
        if self.steps > _STEPS:
            return
        pattern = plain(pattern)
        if pattern in self.holes:
            yield from self._bind(pattern, target, known)
            return
        target = plain(target)
        if pattern.op is CONSTANT or number_of(pattern) is not None:
            if self._is_equal(pattern, target):
                yield known
            return
        if self.form.is_sketch and _is_of_sizes(pattern):
            if _is_of_sizes(target):
                yield known
            return
        if _is_same_size(pattern, target):
            yield known
            return
        kind = kind_of(pattern)
        if kind is not None:
            yield from self._match_chains(
                self.chain(pattern, kind), self.chain(target, kind), known
            )
            return
        yield from self._match_ops(pattern, target, known)
        short, other = without_detours(pattern), without_detours(target)
        if (short, other) != (pattern, target):
            yield from self._match_ops(short, other, known)

    def _match_ops(
        self, pattern: Variable, target: Variable, known: Bindings
    ) -> Iterator[Bindings]:
        """The ways in which both are one op, on operands that match."""
        if not self._is_alike(pattern, target):
            return
        wanted, found = self._operands(pattern), self._operands(target)
        if len(wanted) == len(found):
            yield from self._match_all(wanted, found, known)
            if "commutative" in pattern.op.traits:
                yield from self._match_all(wanted, found[::-1], known)

    def _bind(self, hole: Variable, target: Variable, known: Bindings) -> Iterator[Bindings]:
        bound = known.get(hole)
        if bound is None:
            yield {**known, hole: target}
        elif _is_same(bound, target):
            yield known

    def _match_all(
        self, patterns: Sequence[Variable], targets: Sequence[Variable], known: Bindings
    ) -> Iterator[Bindings]:
        if not patterns:
            yield known
            return
        for bindings in self.match(patterns[0], targets[0], known):
            yield from self._match_all(patterns[1:], targets[1:], bindings)

    def _is_alike(self, pattern: Variable, target: Variable) -> bool:
        """Whether both are of one op, with the same parameters."""
        if pattern.op is not target.op:
            return False
        if pattern.op is COMPOSITE:
            (title, body), (other_title, other) = pattern.params, target.params
            return title.name == other_title.name and (self.form.is_sketch or body is other)
        return self.form.is_sketch or has_same_parameters(pattern, target)

    def _operands(self, v: Variable) -> tuple[Variable, ...]:
        """The inputs of the op; of a sketch without sizes, which may be numbers in the graph."""
        if not self.form.is_sketch or "template" not in v.op.params:
            return v.inputs
        template = v.params[v.op.params.index("template")]
        return v.inputs[: len(v.inputs) - template.count(None)]

    def _is_equal(self, pattern: Variable, target: Variable) -> bool:
        """Whether a constant of the pattern is the target."""
        if self.form.is_sketch:
            return _is_of_sizes(target) or target.op is CONSTANT
        value, number = number_of(pattern), number_of(target)
        if value is not None:
            # A number goes with any shape; what has a shape of its own is of no other.
            is_as_large = not pattern.ndim or pattern.type.shape == target.type.shape
            return number is not None and is_as_large and is_close(value, number)
        wanted, found = constant_value(pattern), constant_value(target)
        if wanted is None or found is None or wanted.shape != found.shape:
            return False
        return bool(np.allclose(wanted, found, rtol=ROUNDING, atol=0.0, equal_nan=True))

    # --- sums and products ----------------------------------------------------------------------

    def _match_chains(self, pattern: Chain, target: Chain, known: Bindings) -> Iterator[Bindings]:
        """The ways in which a sum or product of the pattern is all of the target."""
        for bindings, left in self.match_parts(pattern, target, known):
            if not left.parts and (self.form.is_sketch or left.is_neutral):
                yield bindings

    def match_parts(
        self, pattern: Chain, target: Chain, known: Bindings
    ) -> Iterator[tuple[Bindings, Chain]]:
        """The ways in which the pattern's parts are some of the target's; what is left of it."""
        fixed = [part for part in pattern.parts if part[0] not in self.holes]
        holes = [part for part in pattern.parts if part[0] in self.holes]
        if len(fixed) > len(target.parts):
            return
        for bindings, parts in self._match_fixed(fixed, target.parts, pattern.kind, known):
            left = Chain(pattern.kind, parts, target.number_without(pattern.number))
            left.inner, left.n_whole = target.inner[1:], len(target.parts)
            yield from self._give_to_holes(holes, left, bindings)

    def _match_fixed(
        self, fixed: Sequence[Part], parts: list[Part], kind: Kind, known: Bindings
    ) -> Iterator[tuple[Bindings, list[Part]]]:
        """The ways in which parts without holes of their own are found among the parts."""
        if not fixed:
            yield known, parts
            return
        (wanted, weight), *others = fixed
        for i, (found, found_weight) in enumerate(parts):
            rest = [*parts[:i], *parts[i + 1 :]]
            for bindings in self._match_part(wanted, weight, found, found_weight, kind, known):
                yield from self._match_fixed(others, rest, kind, bindings)

    def _match_part(
        self,
        wanted: Variable,
        weight: float,
        found: Variable,
        found_weight: float,
        kind: Kind,
        known: Bindings,
    ) -> Iterator[Bindings]:
        if weight == found_weight:
            yield from self.match(wanted, found, known)
        elif kind == "sum" and kind_of(wanted) == "product":
            yield from self._match_negated(wanted, found, known)
        elif kind == "sum" and wanted.op in _ODD and wanted.op is found.op:
            yield from self._match_negated(wanted.inputs[0], found.inputs[0], known)

    def _match_negated(
        self, pattern: Variable, target: Variable, known: Bindings
    ) -> Iterator[Bindings]:
        """The ways in which the pattern is the target with the other sign: -(2 y) is (-2) y."""
        wanted = self.chain(pattern, "product")
        negated = replace(wanted, number=-wanted.number)
        yield from self._match_chains(negated, self.chain(target, "product"), known)

    def _give_to_holes(
        self, holes: Sequence[Part], left: Chain, known: Bindings
    ) -> Iterator[tuple[Bindings, Chain]]:
        """The ways in which holes, those that are known first, take parts of what is left."""
        self.steps += 1
        if self.steps > _STEPS:
            return
        ordered = sorted(holes, key=lambda part: part[0] not in known)
        if not ordered:
            yield known, left
            return
        (hole, weight), *others = ordered
        bound = known.get(hole)
        options = [bound] if bound is not None else self._options(weight, left, is_last=not others)
        for option in options:
            remaining = self._without(left, option, weight)
            if remaining is not None:
                bindings = {**known, hole: option}
                yield from self._give_to_holes(others, remaining, bindings)

    def _options(self, weight: float, left: Chain, *, is_last: bool) -> list[Variable]:
        """What a hole that occurs with this sign or exponent may be."""
        inner = [v for v, inner_weight in left.inner if inner_weight == weight]
        single = [v for v, w in left.parts if w == weight or has_power_in(left.kind, w, weight)]
        options = dict.fromkeys([*inner, *single])
        # What is made here is searched in turn: it has to be less than what was there.
        if is_last and 1 < len(left.parts) < left.n_whole and left.is_neutral:
            model = left.parts[0][0]
            whole = left.combined(model, weight)
            if whole is not None:
                options = dict.fromkeys([*inner, whole, *single])
        return list(options)

    def _without(self, left: Chain, v: Variable, weight: float) -> Chain | None:
        """What is left without a variable of this sign or exponent; None if it is not in there."""
        taken = chain_of(v, left.kind, weight, self.atoms)
        parts = list(left.parts)
        for part, part_weight in taken.parts:
            if self.form.is_sketch and _is_of_sizes(part):
                continue
            for i, (found, found_weight) in enumerate(parts):
                if found is not part:
                    continue
                if found_weight == part_weight:
                    del parts[i]
                    break
                if has_power_in(left.kind, found_weight, part_weight):
                    parts[i] = (found, found_weight - part_weight)
                    break
            else:
                return None
        return replace(left, parts=parts, number=left.number_without(taken.number))


# --- sizes and values ----------------------------------------------------------------------------


def _is_same(a: Variable, b: Variable) -> bool:
    """Whether two variables have one value."""
    if plain(a) is plain(b):
        return True
    x, y = number_of(a), number_of(b)
    return x is not None and y is not None and x == y and a.dtype == b.dtype


def _is_of_sizes(v: Variable) -> bool:
    """Whether the variable is a number, or made of sizes and numbers alone."""
    pending = [v]
    while pending:
        v = pending.pop()
        if v.op is SIZE or number_of(v) is not None:
            continue
        if isinstance(v.type, TupleType) or not (is_size(v) or (v.op is CAST and not v.ndim)):
            return False
        pending += v.inputs
    return True


def _is_same_size(a: Variable, b: Variable) -> bool:
    """Whether both are the same size, though they may be read off different variables."""
    while a.op is CAST and b.op is CAST and a.params == b.params:
        a, b = a.inputs[0], b.inputs[0]
    if a.type is not b.type or not (is_size(a) and is_size(b)):
        return False
    return _is_of_sizes(a) and _is_of_sizes(b) and size_of(a) == size_of(b)

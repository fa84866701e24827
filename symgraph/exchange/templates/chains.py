"""Sums and products as what they are made of, in whatever order and by whatever ops.

``x / y * 2`` and ``2 * (x * reciprocal(y))`` are one product: of x and y⁻¹, times 2. ``x - y + 1``
and ``1 - (y - x)`` are one sum: of x and -y, plus 1. Two that are alike have equal values but for
rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ...core.op import Op
from ...core.variable import Variable, make_constant
from ...ops.elementwise import (
    ADD,
    DIVIDE,
    MULTIPLY,
    NEGATIVE,
    SQUARE,
    SUBTRACT,
    add,
    divide,
    multiply,
    subtract,
)
from ...ops.promotion import cast_to
from ...ops.sizes import CHECK_SIZE
from ...ops.special_functions import ERFC, erf
from ...ops.transcendental import POWER, RECIPROCAL, SQRT
from ...rewrite.pattern import uniform

__all__ = [
    "ROUNDING",
    "Chain",
    "Kind",
    "chain_of",
    "has_power_in",
    "is_chain_op",
    "is_close",
    "kind_of",
    "number_of",
    "plain",
]

Kind = Literal["sum", "product"]

# Constants are rounded to their dtype, and products of them once more.
ROUNDING = 2e-6
# From how many parts on a chain is not looked into any further.
_LONGEST = 64
_KINDS: dict[object, Kind] = {
    ADD: "sum",
    SUBTRACT: "sum",
    MULTIPLY: "product",
    DIVIDE: "product",
    NEGATIVE: "product",
    SQUARE: "product",
    RECIPROCAL: "product",
    SQRT: "product",
    POWER: "product",
    ERFC: "sum",  # 1 - erf
}
_EXPONENTS = {SQUARE: 2.0, RECIPROCAL: -1.0, SQRT: 0.5}
_ONE, _MINUS_ONE = make_constant(1), make_constant(-1)


def plain(v: Variable) -> Variable:
    """The variable without checks of its sizes: what has its value."""
    while v.op is CHECK_SIZE:
        v = v.inputs[0]
    return v


def number_of(v: Variable) -> float | None:
    """The number that all elements of a constant have; None for another variable."""
    value = uniform(plain(v))
    return None if value is None or value.dtype.kind not in "iufb" else float(value)


def is_chain_op(op: Op) -> bool:
    """Whether variables of the op may be sums or products."""
    return op in _KINDS


def kind_of(v: Variable) -> Kind | None:
    """Whether the variable is a sum or a product; None where it is neither."""
    kind = _KINDS.get(v.op)
    if kind is None or v.dtype.kind not in "iuf":
        return None
    if v.op is POWER and number_of(v.inputs[1]) is None:
        return None
    if v.op is DIVIDE and v.dtype.kind != "f":
        return None
    return kind


@dataclass
class Chain:
    """What a sum or product is made of."""

    kind: Kind
    parts: list[tuple[Variable, float]] = field(default_factory=list)
    """The terms with their signs, or the factors with their exponents."""
    number: float = 0.0
    """The number that is added to the terms, or that the factors are multiplied by."""
    inner: list[tuple[Variable, float]] = field(default_factory=list)
    """The sums or products within it, and constants, with their signs or exponents."""
    n_whole: int = 0
    """Of how many parts it is what is left."""

    @property
    def is_neutral(self) -> bool:
        """Whether the number is none that matters: 0 in a sum, 1 in a product."""
        return abs(self.number) <= 1e-12 if self.kind == "sum" else is_close(self.number, 1.0)

    def number_without(self, known: float) -> float:
        """What is left of the number without that of a part."""
        if self.kind == "sum":
            return 0.0 if is_close(self.number, known) else self.number - known
        if known:
            return self.number / known
        return 1.0 if self.number == known else np.nan

    def combined(self, model: Variable, weight: float = 1.0) -> Variable | None:
        """The parts added up or multiplied, in the model's dtype; None for other powers of them.

        ``weight``: the sign or exponent with which the result stands for the parts.
        """
        if any(w not in (weight, -weight) for _, w in self.parts):
            return None
        combine, take_away = (add, subtract) if self.kind == "sum" else (multiply, divide)
        start = make_constant(model.dtype.type(0 if self.kind == "sum" else 1))
        straight = [v for v, w in self.parts if w == weight]
        made = functools.reduce(combine, straight) if straight else start
        made = functools.reduce(take_away, (v for v, w in self.parts if w != weight), made)
        return cast_to(made, model.dtype)


def chain_of(
    v: Variable, kind: Kind, weight: float = 1.0, atoms: Collection[Variable] = ()
) -> Chain:
    """The variable, with this sign or exponent, as a sum or product of what is none itself.

    What is among the ``atoms`` counts as none.
    """
    chain = Chain(kind, number=0.0 if kind == "sum" else 1.0)
    pending = [(plain(v), float(weight))]
    while pending:
        v, weight = pending.pop()
        value = number_of(v)
        is_whole = v in atoms or len(pending) + len(chain.parts) >= _LONGEST
        steps = None if is_whole else _steps(v, kind)
        if value is not None and (kind == "sum" or value or weight > 0):
            chain.number = _with_number(chain, value, weight)
            chain.inner.append((v, weight))
        elif steps is None or not _goes_inside(weight, steps):
            chain.parts.append((v, weight))
        else:
            chain.inner.append((v, weight))
            pending += [(plain(x), weight * inner) for x, inner in reversed(steps)]
    if kind == "product":
        chain.parts = _merged(chain.parts)
    return chain


def _with_number(chain: Chain, value: float, weight: float) -> float:
    if chain.kind == "sum":
        return chain.number + value * weight
    with np.errstate(all="ignore"):
        return chain.number * float(np.float64(value) ** weight)


def _steps(v: Variable, kind: Kind) -> list[tuple[Variable, float]] | None:
    """What a sum or product is made of in one step; None where it is none of the kind."""
    if kind == "sum":
        if v.op is ADD or v.op is SUBTRACT:
            return [(v.inputs[0], 1), (v.inputs[1], 1 if v.op is ADD else -1)]
        if v.op is ERFC:
            return [(_ONE, 1), (erf(v.inputs[0]), -1)]
        return [(v.inputs[0], -1)] if v.op is NEGATIVE else None
    if kind_of(v) != "product":
        return None
    if v.op is MULTIPLY or v.op is DIVIDE:
        return [(v.inputs[0], 1), (v.inputs[1], 1 if v.op is MULTIPLY else -1)]
    if v.op is NEGATIVE:
        return [(v.inputs[0], 1), (_MINUS_ONE, 1)]
    if v.op is POWER:
        exponent = number_of(v.inputs[1])
        assert exponent is not None
        return [(v.inputs[0], exponent)]
    return [(v.inputs[0], _EXPONENTS[v.op])]


def _goes_inside(weight: float, steps: list[tuple[Variable, float]]) -> bool:
    """Whether a power of the parts is made of powers of theirs: the square root of x² is not x."""
    if weight in (1, -1):
        return True
    return weight.is_integer() and all(float(inner).is_integer() for _, inner in steps)


def _merged(factors: list[tuple[Variable, float]]) -> list[tuple[Variable, float]]:
    """The factors with whole exponents of one base added up; the square root twice stays so."""
    whole: dict[Variable, float] = {}
    others: list[tuple[Variable, float]] = []
    for base, exponent in factors:
        if exponent.is_integer():
            whole[base] = whole.get(base, 0.0) + exponent
        else:
            others.append((base, exponent))
    return [*((base, exponent) for base, exponent in whole.items() if exponent), *others]


def is_close(a: float, b: float) -> bool:
    """Whether two numbers are one but for rounding."""
    return a == b or abs(a - b) <= ROUNDING * max(abs(a), abs(b)) or (a != a and b != b)


def has_power_in(kind: Kind, weight: float, wanted: float) -> bool:
    """Whether x to one power has the other power of it in it."""
    is_whole = weight.is_integer() and wanted.is_integer()
    return kind == "product" and is_whole and weight * wanted > 0 and abs(weight) > abs(wanted)

"""Cotangents that are zero but at one place of an axis, handed on as such.

By way of ``tanh(h @ W + b)[-1]`` a cotangent reaches the last row alone. The op's own derivative
would make an array of zeros as large as its result, and multiply all of it.

Exponentials, and what they are divided by or multiplied with, are not taken apart: rules that keep
their derivatives from overflowing see whole arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from ..core import provenance
from ..core.variable import CONSTANT, Variable
from ..ops.activation import RELU
from ..ops.broadcast import BROADCAST_TO, SUM, is_zeros, seen_through
from ..ops.elementwise import ADD, DIVIDE, MULTIPLY, NEGATIVE, SUBTRACT, WHERE
from ..ops.join import CONCATENATE
from ..ops.linalg import MATMUL
from ..ops.places import add_at, operand_places, part_of, place_in, read_at
from ..ops.promotion import CAST
from ..ops.slices import ADD_SLICE
from ..ops.transcendental import TANH

__all__ = ["cotangents_at_place"]

PullBack: TypeAlias = Callable[..., list[Variable | None]]

_TAKEN_APART = frozenset(
    {ADD, SUBTRACT, NEGATIVE, CAST, WHERE, RELU, TANH, MATMUL, CONCATENATE, SUM}
)


def cotangents_at_place(
    v: Variable, cotangent: Variable, relevant: Collection[Variable], pull_back: PullBack
) -> list[Variable | None] | None:
    """The cotangents of the ``relevant`` operands, for one that is zero but at one place.

    None where it is another one, or where the op is better not taken apart.
    """
    if cotangent.op is not ADD_SLICE or not is_zeros(cotangent.inputs[0]):
        return None
    if v.op not in _TAKEN_APART and not _is_scaled(v, relevant):
        return None
    place, here = place_in(cotangent), cotangent.inputs[1]
    places = None if place is None else operand_places(v, place)
    if place is None or places is None:
        return None
    operands = [read_at(x, at) for x, at in zip(v.inputs, places, strict=True)]
    part = part_of(v, place, operands)
    if part.type is not here.type:
        return None
    provenance.set_lines(part, provenance.lines_of(v))
    # Each operand once: its cotangent is that of all its places among them.
    pairs = zip(v.inputs, operands, strict=True)
    wanted = list(dict.fromkeys(x for source, x in pairs if source in relevant))
    found = dict(zip(wanted, pull_back({part: here}, wanted, stop=wanted), strict=True))
    arriving = [found.pop(x, None) for x in operands]
    return [
        None if ct is None else add_at(x, ct, at)
        for x, ct, at in zip(v.inputs, arriving, places, strict=True)
    ]


def _is_scaled(v: Variable, relevant: Collection[Variable]) -> bool:
    """Whether this is a product, or a quotient, with a factor through which nothing flows."""
    if v.op is DIVIDE:
        return seen_through(v.inputs[1], BROADCAST_TO).op is CONSTANT
    return v.op is MULTIPLY and sum(x in relevant for x in v.inputs) == 1

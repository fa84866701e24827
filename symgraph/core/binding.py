"""The numbers that named and unknown sizes stand for, found from the shapes of actual arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .dims import PRIMITIVE, Atom, Dim, Size
from .types import TensorType

__all__ = ["bind_sizes", "shape_numbers", "solved_for"]


def bind_sizes(types: Iterable[TensorType], shapes: Iterable[Sequence[int]]) -> dict[Atom, int]:
    """The values of names and unknowns for which arrays of these types have these shapes.

    Sizes such as ``2*B + 1`` tell B too; the first axis that tells a value counts.
    """
    found: dict[Atom, int] = {}
    for type, shape in zip(types, shapes, strict=True):
        for size, number in zip(type.shape, shape, strict=True):
            if isinstance(size, Dim):
                _bind(size, number, found)
    return found


def _bind(size: Dim, number: int, found: dict[Atom, int]) -> None:
    solved = solved_for(size)
    if solved is not None:
        atom, factor, constant = solved
        found.setdefault(atom, (number - constant) // factor)


def solved_for(size: Size) -> tuple[Atom, int, int] | None:
    """The atom, factor and constant of a size ``factor * atom + constant``; None for others."""
    constant, atom, factor = 0, None, 1
    for monomial, coefficient in () if isinstance(size, int) else size.terms:
        if not monomial:
            constant = coefficient
        elif atom is None and len(monomial) == 1 and monomial[0][0] in PRIMITIVE:
            atom, factor = monomial[0], coefficient
        else:
            return None
    return None if atom is None else (atom, factor, constant)


def shape_numbers(shape: Sequence[Size], values: Mapping[Atom, int]) -> tuple[int | None, ...]:
    """The shape as numbers, with None where a size depends on what has no value."""
    return tuple(size if isinstance(size, int) else size.evaluate(values) for size in shape)

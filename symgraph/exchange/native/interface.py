"""The C function of a program: its arrays and sizes, under names that C takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...core.dims import PRIMITIVE, Atom, Dim, Size, atom_size, size_atoms
from ...core.errors import ExchangeError
from ...core.variable import Variable
from ..subject import distinct, identifier
from .c_names import LIBRARY, RESERVED

__all__ = ["Array", "Interface", "check_name", "interface_of", "size_expression"]

# What is made of the function's name.
_ENDINGS = ("", "_workspace", "_status", "_floor_div")
_C_TYPES = {
    "bool": "bool",
    "float32": "float",
    "float64": "double",
    **{f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class Array(NamedTuple):
    """An argument or a result."""

    name: str
    dtype: np.dtype
    shape: tuple[Size, ...]
    text: str
    """What the user called it."""

    @property
    def c_type(self) -> str:
        """The type of its elements."""
        return _C_TYPES[self.dtype.name]


@dataclass(frozen=True)
class Interface:
    """What the C function is given, in order: inputs, sizes, outputs."""

    name: str
    inputs: tuple[Array, ...]
    """The function's inputs, then the shared variables that it reads and updates."""
    sizes: Mapping[Atom, str]
    """The arguments that are sizes, in order of first appearance in the inputs."""
    outputs: tuple[Array, ...]
    """The function's outputs, then the new values."""
    known: Mapping[Atom, int]
    """Sizes that the parameters within tell."""

    def spelt(self, atom: Atom) -> str:
        """How C writes a size that is made of no others."""
        name = self.sizes.get(atom)
        return name if name is not None else str(self.known[atom])

    def c_expression(self, size: Size) -> str:
        """A size as an expression in C."""
        return size_expression(size, self.spelt, f"{self.name}_floor_div")

    def shape_text(self, array: Array) -> str:
        """The shape of an array as C declares it."""
        return "".join(f"[{self.c_expression(size)}]" for size in array.shape) or "[1]"


def interface_of(
    name: str,
    inputs: Mapping[str, Variable],
    outputs: Mapping[str, Variable],
    shapes: Sequence[tuple[Size, ...]],
    known: Mapping[Atom, int],
) -> Interface:
    """The C function of this name with these inputs and outputs, the shapes of whose results may
    be told better than by their types; ``known`` are sizes that are no arguments."""
    taken = {*RESERVED, *(name + ending for ending in _ENDINGS)}
    arguments = tuple(
        Array(_unique(text, taken), v.dtype, v.type.shape, text) for text, v in inputs.items()
    )
    sizes = _sizes(arguments, taken)
    results = tuple(
        Array(_unique(text, taken), v.dtype, shape, text)
        for (text, v), shape in zip(outputs.items(), shapes, strict=True)
    )
    for array in (*arguments, *results):
        if array.dtype.name not in _C_TYPES:
            raise ExchangeError.here(f"{array.text!r} is {array.dtype}, for which C has no type")
    return Interface(name, arguments, sizes, results, known)


def _sizes(inputs: Iterable[Array], taken: set[str]) -> dict[Atom, str]:
    """The names of the sizes, in order of first appearance."""
    names: dict[Atom, str] = {}
    for array in inputs:
        for axis, size in enumerate(array.shape):
            for atom in size_atoms(size):
                if atom not in names:
                    plain = atom[1] if atom[0] == "name" else f"{array.name}_size{axis}"
                    names[atom] = _unique(plain, taken)
    return names


def _unique(name: str, taken: set[str]) -> str:
    """The name as C takes it, with a number where it is taken; it is taken then."""
    return distinct(identifier(name), taken)


def check_name(name: object) -> str:
    """The name, which C takes as a function's; else an `ExchangeError`."""
    if not isinstance(name, str) or _unique(name, set(RESERVED)) != name:
        raise ExchangeError.here(
            f"the name is one of a function in C, such as 'model'; found {name!r}"
        )
    if name in LIBRARY:
        raise ExchangeError.here(
            f"{name!r} is a function of the C library",
            remedy=f"Give it another name, such as name='{name}_net'.",
        )
    return name


def size_expression(size: Size, spelt: Callable[[Atom], str], divide: str) -> str:
    """A size as an expression in C or JavaScript, with a function that divides as Python does."""
    if not isinstance(size, Dim):
        return str(size)
    text = ""
    for monomial, factor in size.terms:
        parts = [_atom_expression(atom, spelt, divide) for atom in monomial]
        if abs(factor) != 1 or not parts:
            parts.insert(0, str(abs(factor)))
        sign = ("-" if factor < 0 else "") if not text else (" - " if factor < 0 else " + ")
        text += sign + " * ".join(parts)
    return text


def _atom_expression(atom: Atom, spelt: Callable[[Atom], str], divide: str) -> str:
    # Sizes nest a few levels deep at most: a slice of a slice.
    if atom[0] in PRIMITIVE:
        return spelt(atom)
    parts = [size_expression(part, spelt, divide) for part in atom[1:]]
    if atom[0] == "max_zero":
        return f"({parts[0]} > 0 ? {parts[0]} : 0)"
    if atom[0] == "interval":
        raise ExchangeError.here(
            f"the size {atom_size(atom)} of a result has no formula in C or JavaScript",
            remedy="Give checkpoint_every a number.",
        )
    return f"{divide}({', '.join(parts)})"

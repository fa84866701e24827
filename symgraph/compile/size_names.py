"""The sizes of a function by name, and formulas of these for what its integers tell.

A size without a name goes by its input's name and axis, as ``x_0``; an integer input by its name.
Some sizes in a graph are those of integers of which no type tells what they are made of, such as
the bounds of slices and the steps that a gradient goes back with truncation and checkpoints. What
computes them is in the graph, and gives a formula.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from ..core.dims import (
    PRIMITIVE,
    Atom,
    Dim,
    Size,
    maximum_zero,
    minimum,
    named_size,
    size_atoms,
    substitute_size,
)
from ..core.graph import Graph
from ..core.types import TensorType, is_integer
from ..core.variable import Variable
from ..ops.comparison import LESS, LESS_EQUAL
from ..ops.elementwise import WHERE
from ..ops.sizes import known_size, size_of
from ..scan.paths import with_bodies
from .program import Program

__all__ = ["SizeNames", "in_numbers", "names_in"]

# What has more terms is long: a formula that goes by a number, as what only data tell does.
_LONG = 100


class SizeNames:
    """The names of a function's sizes: those that the user named, those of its inputs, and numbers
    (``size_3``) for what only a call tells."""

    def __init__(self, program: Program, rewritten: Graph) -> None:
        self._graph = rewritten
        self._words: dict[Atom, Size] = {}
        self._long: dict[Atom, Size] = {}
        """Formulas of sizes that go by a number, those first that others are made of."""
        labels = [parameter.name for parameter in program.parameters]
        pairs = [*zip(program.inputs, labels, strict=True), *((v, v.name) for v in program.shared)]
        for k, (v, name) in enumerate(pairs):
            self._learn_input(v, name or f"input{k}")
        self.names = sorted(names_in(self._words.values()))
        """Of sizes that arguments tell, in order."""

    def _learn_input(self, v: Variable, label: str) -> None:
        for axis, size in enumerate(v.type.shape):
            for atom in size_atoms(size):
                name = atom[1] if atom[0] == "name" else f"{label}_{axis}"
                self._words.setdefault(atom, named_size(name))
        if not v.ndim and is_integer(v.dtype):
            number = size_of(v)
            if isinstance(number, Dim) and number.atom is not None:
                self._words.setdefault(number.atom, named_size(label))

    @cached_property
    def _formulas(self) -> dict[Atom, Size]:
        return _formulas_of_integers(self._graph)

    def in_words(self, size: Size) -> Size:
        """The size as a formula of named ones."""
        pending = [*size_atoms(size)]
        while pending:
            atom = pending[-1]
            parts = [x for x in size_atoms(self._formulas.get(atom, 0)) if x not in self._words]
            pending += parts
            if not parts:
                self._words.setdefault(pending.pop(), self._word(atom))
        return substitute_size(size, self._words)

    def _word(self, atom: Atom) -> Size:
        if atom[0] == "name":
            return named_size(atom[1])
        name = named_size(f"size_{len(self._words)}")
        formula = self._formulas.get(atom)
        if formula is None:
            return name
        words = substitute_size(formula, self._words)
        if not _is_long(words):
            return words
        self._long[("name", str(name))] = words
        return name

    def asked_for(self, sizes: Iterable[Size]) -> set[str]:
        """The names by whose values those of the sizes, in words, are known."""
        names = names_in(sizes)
        for (_, name), formula in reversed(self._long.items()):
            if name in names:
                names = names - {name} | names_in([formula])
        return names

    def numbers(self, values: Mapping[str, int]) -> dict[Atom, int]:
        """The values of names, with those of all that follow from them."""
        known: dict[Atom, int] = {("name", name): int(value) for name, value in values.items()}
        for atom, formula in self._long.items():
            number = in_numbers(formula, known)
            if isinstance(number, int):
                known[atom] = number
        return known

    def numbers_of_call(self, values: Mapping[Atom, int]) -> dict[Atom, int]:
        """The same from the values of a call's sizes."""
        words = {atom: self._words[atom] for atom in values if atom in self._words}
        return self.numbers({str(word): values[atom] for atom, word in words.items()})


def in_numbers(size: Size, values: Mapping[Atom, int]) -> Size:
    """The size as a number, where the values tell it; else as it is."""
    number = size if isinstance(size, int) else size.evaluate(values)
    return size if number is None else number


def names_in(sizes: Iterable[Size]) -> set[str]:
    """The names that sizes in words are made of."""
    return {atom[1] for size in sizes for atom in size_atoms(size)}


def _formulas_of_integers(graph: Graph) -> dict[Atom, Size]:
    """What integers are of which types know no more than that they are sizes, as formulas of
    others; each is made of what stands before it, or has none."""
    formulas: dict[Atom, Size] = {}
    parts = set[Atom]()
    for body in with_bodies(graph):
        for v in body.nodes:
            size = _number(v) if v.op is WHERE else None
            atom = size.atom if isinstance(size, Dim) else None
            if atom is None or atom[0] not in PRIMITIVE or atom in formulas or atom in parts:
                continue
            formula = _chosen(*v.inputs)
            atoms = set() if formula is None else {*size_atoms(formula)}
            if formula is not None and atom not in atoms:
                formulas[atom] = formula
                parts |= atoms - formulas.keys()
    return formulas


def _chosen(condition: Variable, a: Variable, b: Variable) -> Size | None:
    """``where(x < y, a, b)`` as a formula, if it is an integer of integers that sizes tell."""
    if condition.op not in (LESS, LESS_EQUAL):
        return None
    x, y, chosen, other = map(_number, (*condition.inputs, a, b))
    if x is None or y is None or chosen is None or other is None:
        return None
    if any(map(_is_long, (x, y, chosen, other))):
        return None
    if condition.op is LESS and y == chosen == 0 and x is other:
        return maximum_zero(other)
    beyond = y if condition.op is LESS else y + 1
    is_less = minimum(maximum_zero(beyond - x), 1)
    return other + is_less * (chosen - other)


def _is_long(size: Size) -> bool:
    return isinstance(size, Dim) and len(size.terms) > _LONG


def _number(v: Variable) -> Size | None:
    """What an integer scalar stands for, as far as types know."""
    is_scalar = isinstance(v.type, TensorType) and not v.ndim and is_integer(v.dtype)
    return known_size(v) if is_scalar else None

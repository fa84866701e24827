"""`template`: a pattern and what takes its place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...core.errors import ExchangeError
from ...core.op import Op
from ...core.variable import Variable
from ...ops.elementwise import add, multiply
from ...ops.promotion import as_variable
from .chains import chain_of, kind_of
from .instances import Found, Pattern, as_pattern
from .parts import Find, Place, in_place_of
from .text import parse_formula

__all__ = ["PatternLike", "Template", "template"]

PatternLike: TypeAlias = str | Callable[..., Any]
"""A formula as text, or a function of holes."""


@dataclass(frozen=True, repr=False)
class Template:
    """Patterns, and what takes their place. Made by `template`."""

    name: str
    patterns: tuple[Pattern, ...]
    replacement: Callable[[Found], Any]

    def may_be_in(self, ops: Collection[Op]) -> bool:
        """Whether a pattern may be in a graph of these ops."""
        return any(pattern.needed_ops() <= set(ops) for pattern in self.patterns)

    def finder(self) -> Find:
        """How places of the patterns are found in one graph."""
        return _Search(self).place_of

    def __repr__(self) -> str:
        return f"<template {self.name}>"


class _Search:
    """A template looked for in one graph."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self._whole: dict[Variable, Found | None] = {}

    def place_of(self, v: Variable) -> Place | None:
        """Where the variable is what a pattern stands for, or has it as terms or factors."""
        found = self._find(v) or self._find_part(v)
        if found is None:
            return None
        names = list(found.variables)
        rest = () if found.rest is None else (found.rest,)

        def make(operands: Sequence[Variable]) -> list[Variable] | None:
            variables = dict(zip(names, operands, strict=False))
            left = operands[len(names)] if rest else None
            made = self.template.replacement(Found(variables, found.parameters, left))
            return None if made is None else [self._fitted(v, made, operands, left)]

        return Place((*found.variables.values(), *rest), make)

    def _find(self, v: Variable) -> Found | None:
        """A pattern as the variable."""
        if v not in self._whole:
            self._whole[v] = self._first(v, with_rest=False)
        return self._whole[v]

    def _find_part(self, v: Variable) -> Found | None:
        """A pattern as some terms or factors of the variable."""
        return self._first(v, with_rest=True) if kind_of(v) is not None else None

    def _first(self, v: Variable, *, with_rest: bool) -> Found | None:
        kind = kind_of(v)
        inner = [] if kind is None else [x for x, _ in chain_of(v, kind).inner[1:]]
        # What a pattern stands for by itself is not torn apart for another place.
        atoms = {x for x in sorted(inner, key=_age) if self._find(x) is not None}
        finds = (
            pattern.find(v, with_rest=with_rest, atoms=atoms) for pattern in self.template.patterns
        )
        return next((found for found in finds if found is not None), None)

    def _fitted(
        self, v: Variable, made: Any, operands: Sequence[Variable], rest: Variable | None
    ) -> Variable:
        """What was made, as it may stand in the variable's place."""
        if isinstance(made, (tuple, list)) and len(made) == 1:
            made = made[0]
        if isinstance(made, (tuple, list, dict)):
            raise ExchangeError.here(
                f"the replacement of {self.template!r} gives several results: {made!r}",
                remedy="A pattern is one expression, and so is what replaces it.",
            )
        new = as_variable(made, repr(self.template))
        if rest is not None:
            new = (add if kind_of(v) == "sum" else multiply)(new, rest)
        return in_place_of(v, new, repr(self.template), operands)


def _age(v: Variable) -> int:
    return v.serial


def template(
    pattern: PatternLike | Sequence[PatternLike],
    replacement: str | Callable[..., Any],
    name: str | None = None,
) -> Template:
    """A rule for `rewrite_graph`: what the pattern stands for becomes the replacement.

    pattern
        A formula as text, in symgraph's terms: operators, numbers, indices and calls of its
        functions; every other name is a *hole*, which stands for any variable, the same one
        wherever it occurs. A name behind ``=`` (``axis=axis``) stands for an argument that is no
        variable. Or a function of the holes, which are its positional parameters; keyword-only
        parameters without a default stand for arguments; a parameter whose default is a variable
        stands for variables of that type alone. Or several of these with the same holes, of which
        the first that is there counts.
    replacement
        A formula of the holes and arguments; or a function, a composite or a module, which is
        called with those that its parameters name, or, where they have other names, with all holes
        in order. It may give None, and then nothing is replaced there. The result has the dtype and
        shape of what it replaces.
    name
        What messages call the template.

    Sums and products match in whatever order they are written, as a part of longer ones too;
    quotients, differences, squares, whole powers, roots and reciprocals count as such products and
    sums. Numbers match by value, but for rounding. Everything else is of the same op and the same
    parameters. What only a part of a pattern needs may have other users: they keep it.

    Raises `ExchangeError` for text that is no formula, names that are nothing, a pattern that
    cannot be built, and a replacement of another dtype or shape.

    >>> quick = sg.template("x * sigmoid(1.702 * x)", "gelu(x)")
    >>> x = sg.vector("x")
    >>> sg.rewrite_graph(sg.sigmoid(x * 1.702) * x, [quick]) is sg.gelu(x)
    True
    """
    alternatives = list(pattern) if isinstance(pattern, (list, tuple)) else [pattern]
    if not alternatives:
        raise ExchangeError.here("a template has a pattern at least")
    patterns = tuple(map(as_pattern, alternatives))
    first = patterns[0]
    for each in patterns:
        if {*each.holes, *each.parameters} != {*first.holes, *first.parameters}:
            raise ExchangeError.here(
                f"the patterns of a template have the same holes: {first.text} has "
                f"{_listed(first)}, {each.text} has {_listed(each)}"
            )
        each.check()
    if name is not None and not isinstance(name, str):
        raise ExchangeError.here(f"the name of a template is a string, not {name!r}")
    return Template(name or first.text, patterns, _as_replacement(replacement, first))


def _listed(pattern: Pattern) -> str:
    return ", ".join((*pattern.holes, *pattern.parameters)) or "none"


def _as_replacement(replacement: Any, pattern: Pattern) -> Callable[[Found], Any]:
    """What takes a pattern's place, as a function of what is found."""
    names = {*pattern.holes, *pattern.parameters}
    if isinstance(replacement, str):
        formula = parse_formula(replacement)
        unknown = [n for n in (*formula.holes, *formula.parameters) if n not in names]
        if unknown:
            raise ExchangeError.here(
                f"the replacement {replacement!r} has {', '.join(map(repr, unknown))}, which the "
                f"pattern {pattern.text} has not; it has {_listed(pattern)}"
            )
        return lambda found: formula(**found.variables, **found.parameters)
    if not callable(replacement) or isinstance(replacement, Variable):
        raise ExchangeError.here(
            f"a replacement is text, or a function, composite or module, not {replacement!r}"
        )
    return _by_name(replacement, names) or _in_order(replacement, pattern)


def _by_name(function: Callable[..., Any], names: set[str]) -> Callable[[Found], Any] | None:
    """The function called with what its parameters name; None where they name something else."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.POSITIONAL_ONLY for p in parameters):
        return None
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if any(p.name not in names and p.default is p.empty for p in named):
        return None
    if not takes_all and not any(p.name in names for p in named) and names:
        return None
    wanted = names if takes_all else {p.name for p in named} & names

    def replace(found: Found) -> Any:
        values: Mapping[str, Any] = {**found.variables, **found.parameters}
        return function(**{name: value for name, value in values.items() if name in wanted})

    return replace


def _in_order(function: Callable[..., Any], pattern: Pattern) -> Callable[[Found], Any]:
    """The function called with all holes in order."""
    try:
        inspect.signature(function).bind(*pattern.holes, **dict.fromkeys(pattern.parameters))
    except TypeError as error:
        raise ExchangeError.here(
            f"the replacement {function!r} cannot be called with {_listed(pattern)}: {error}",
            remedy="Its parameters are called as holes and arguments, or are as many as these.",
        ) from None
    except ValueError:
        pass  # a builtin that does not tell

    def replace(found: Found) -> Any:
        values = [found.variables[name] for name in pattern.holes]
        return function(*values, **found.parameters)

    return replace

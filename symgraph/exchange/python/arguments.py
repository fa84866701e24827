"""The arguments of a program's function: names, defaults, and how they become arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compile.function import Function
from ...compile.program import In
from ...core.variable import Variable
from .identifiers import as_identifier, numbered
from .layout import Statement
from .surroundings import Framework
from .table import number_text

__all__ = ["Argument", "arguments_of", "defaults_of"]


@dataclass(frozen=True)
class Argument:
    """An argument of the function, which may be left out where it has a default value."""

    name: str
    variable: Variable
    default: np.ndarray | None
    follows_default: bool
    """Whether one before it has a default, so that Python asks for one here."""
    key: str
    """Under which a default with axes stands among the parameters; empty for others."""

    @property
    def declared(self) -> str:
        """The argument as the function declares it."""
        if self.default is not None and not self.key:
            return f"{self.name}={number_text(self.default, self.default.dtype).text}"
        return f"{self.name}=None" if self.key or self.follows_default else self.name

    def statements(self, framework: Framework) -> list[Statement]:
        """The statements that make it an array."""
        value, found = self.name, []
        if self.key:
            value = f'params["{self.key}"] if {self.name} is None else {self.name}'
        elif self.default is None and self.follows_default:
            found = [
                Statement(1, f"if {self.name} is None:"),
                Statement(2, f'raise TypeError("{self.name} is missing")'),
            ]
        text = framework.argument(value, self.variable.dtype)
        return [*found, Statement(1, f"{self.name} = {text}")]


def defaults_of(what: Any, inputs: Sequence[Variable | In] | None) -> list[np.ndarray | None]:
    """The default values of the inputs, in order; an empty list where none is known."""
    if isinstance(what, Function):
        return [parameter.default for parameter in what.program.parameters]
    return [
        np.asarray(entry.value, entry.variable.dtype)
        if isinstance(entry, In) and entry.value is not None
        else None
        for entry in inputs or ()
    ]


def arguments_of(
    inputs: Mapping[str, Variable],
    defaults: Sequence[np.ndarray | None],
    taken: Collection[str],
    keys: Collection[str],
) -> list[Argument]:
    """The arguments; ``taken`` are names that none of them has, ``keys`` those of parameters."""
    used, known = set(taken), set(keys)
    found: list[Argument] = []
    for i, (label, v) in enumerate(inputs.items()):
        name = numbered(as_identifier(label), used)
        used.add(name)
        default = defaults[i] if i < len(defaults) else None
        key = numbered(name, known) if default is not None and default.ndim else ""
        known.add(key)
        follows = any(argument.default is not None for argument in found)
        found.append(Argument(name, v, default, follows, key))
    return found

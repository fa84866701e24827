"""What a function that is being written asks of the program around it."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...core.graph import Graph
from ...core.variable import Variable
from .expression import Expression
from .table import Entry

__all__ = ["Framework", "InnerFunction", "Surroundings"]


@dataclass(frozen=True)
class InnerFunction:
    """The function of a body, of a loop or a composite."""

    name: str
    body: Graph
    parameters: tuple[str, ...]
    is_number: tuple[bool, ...]
    """Which of the parameters are Python numbers."""


class Framework(Protocol):
    """What runs a program: how it is written for it."""

    name: str
    title: str
    name_of_infinity: str
    """The module that has ``inf`` and ``nan``."""
    table: Mapping[str, Entry]
    functions: Mapping[str, str]
    """The source of functions that programs bring along, by name."""
    dtypes: Collection[np.dtype]
    decorator: str | None
    """What stands above the function itself."""
    keeps_lists: bool
    """Whether values over time are kept in lists alone."""
    rounds_by_layout: bool
    """Whether results are to have the bits that the layout in memory gives them."""

    def imports(self, *, loads: bool) -> Sequence[str]:
        """What the program imports, with and without values beside it."""
        ...

    def argument(self, value: str, dtype: np.dtype) -> str:
        """The text that makes an argument an array."""
        ...

    def loading(self, file: str) -> Sequence[str]:
        """The statements that read parameters from a file beside the program."""
        ...

    def strong(self, x: Expression, dtype: np.dtype) -> Expression:
        """A Python number as a value of the dtype."""
        ...

    def part(
        self, x: Expression, entries: Sequence[Any], symbols: Sequence[Expression]
    ) -> Expression:
        """The part of an array that the entries of a slice mean."""
        ...

    def array(self, value: np.ndarray) -> Expression:
        """A small array."""
        ...

    def copied(self, x: Expression) -> Expression:
        """A copy."""
        ...

    def in_rows(self, name: str) -> str:
        """The text of an array laid out row after row."""
        ...

    def empty(self, shape: Expression, dtype: np.dtype) -> Expression:
        """An array whose elements are stored later."""
        ...

    def stacked(self, rows: str, shape: Expression, dtype: np.dtype) -> Expression:
        """An array of the rows in a list; each has this shape, if there are any."""
        ...

    def stored(self, value: np.ndarray) -> np.ndarray:
        """A value as it is kept beside the program."""
        ...


class Surroundings(Protocol):
    """The program as a function sees it."""

    width: int
    target: Framework
    names: dict[Variable, str]
    """What the user called values."""
    names_of_functions: set[str]

    def param_name(self, v: Variable) -> str | None:
        """What a shared variable is called in a function; None for other variables."""
        ...

    def group(self, v: Variable) -> Hashable:
        """What a variable has in common with others that one statement may give names to."""
        ...

    def brought(self, name: str) -> str:
        """The name of a function that is brought along."""
        ...

    def constant(self, v: Variable) -> Expression:
        """The expression for a constant."""
        ...

    def write_loop(self, writer: Any, scan: Variable) -> None:
        """Write a loop into a function."""
        ...

    def write_composite(self, writer: Any, v: Variable) -> None:
        """Write a call of a composite's function."""
        ...

    def composite_body(self, v: Variable) -> Graph:
        """The body of a composite as it is written."""
        ...

    def inner_function(
        self, body: Graph, names: Sequence[str], is_number: tuple[bool, ...]
    ) -> InnerFunction:
        """The function of a body; ``names`` are what its parameters would best be called."""
        ...

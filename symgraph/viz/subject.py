"""What is shown: a variable, several, a graph or a compiled function; and in which order.

Nodes are numbered by their place in a walk from the outputs, so that the same program gives the
same text in every process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ..core.errors import SymgraphTypeError
from ..core.graph import Graph
from ..core.origins import Origins
from ..core.variable import Variable

__all__ = ["Drawable", "Shown", "Subject", "subject_of"]


@runtime_checkable
class Drawable(Protocol):
    """What a compiled function shows of itself."""

    name: str | None
    """What the user called it."""

    @property
    def graph(self) -> Graph:
        """Its program: the outputs are the results, then the new values of shared variables."""
        ...

    @property
    def updates(self) -> Mapping[Any, Variable]:
        """The shared variables that it updates, in the order of the graph's last outputs."""
        ...


Shown: TypeAlias = Variable | Sequence[Variable] | Mapping[str, Variable] | Graph | Drawable
"""What there are pictures and listings of."""


@dataclass(frozen=True)
class Subject:
    """Something to show, whatever it came as."""

    name: str | None
    inputs: tuple[Variable, ...]
    """What is free in it, where that is known; shown first, in this order."""
    outputs: tuple[Variable, ...]
    updates: tuple[tuple[Variable, Variable], ...] = ()
    """Pairs of a shared variable and its new value."""
    origins: Origins | None = None
    """What a compiled function calls its nodes."""

    @property
    def results(self) -> tuple[Variable, ...]:
        """Everything that is computed for its own sake."""
        return (*self.outputs, *(new for _, new in self.updates))


def subject_of(shown: Shown, function: str) -> Subject:
    """What a user wants to see: a variable, a list of them, a graph or a compiled function."""
    if isinstance(shown, Variable):
        return Subject(None, (), (shown,))
    if isinstance(shown, Graph):
        return Subject(None, shown.inputs, shown.outputs)
    if isinstance(shown, Drawable):
        graph, shared = shown.graph, tuple(shown.updates)
        end = len(graph.outputs) - len(shared)
        updates = tuple(zip(shared, graph.outputs[end:], strict=True))
        origins = getattr(shown, "origins", None)
        return Subject(shown.name, graph.inputs, graph.outputs[:end], updates, origins)
    if isinstance(shown, Mapping):
        shown = list(shown.values())
    if isinstance(shown, (list, tuple)) and all(isinstance(v, Variable) for v in shown):
        return Subject(None, (), tuple(shown))
    raise SymgraphTypeError.here(
        f"{function} shows a variable, a list of variables, a graph or a compiled function; "
        f"found {shown!r}"
    )

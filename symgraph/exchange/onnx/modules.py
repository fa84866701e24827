"""Calls of modules made composites, so that each goes out as one node.

What a call computes lies between what it returned and what it was called on. Such a part of the
graph becomes the body of a composite; the modules' parameters, and whatever else it reads, become
inputs of the node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ...core import provenance
from ...core.calls import Call, calls_of
from ...core.errors import ExchangeError, SymgraphTypeError
from ...core.graph import Graph, has_effect, replace
from ...core.shared import SharedVariable
from ...core.variable import CONSTANT, Variable, ancestors, item, make_input, node
from ...ops.composite import COMPOSITE, Title
from .loop_rows import is_made_of_sizes
from .rebuild import rebuild_into

__all__ = ["ModuleTitle", "Modules", "domain_of", "with_modules"]

Modules: TypeAlias = Literal["all"] | Collection[Any]
"""Which modules go out as functions: all that are called, or these objects."""


def with_modules(graph: Graph, modules: Modules) -> Graph:
    """The graph with a composite for each call of these modules.

    With ``"all"`` calls stay as they are of which more than the results is read, as a gradient
    reads it, and so does the one that is the whole graph, if there are others within. Raises
    `ExchangeError` for a given module that is not called in the graph, or of which more is read.
    """
    if (isinstance(modules, str) and modules != "all") or not isinstance(modules, Iterable):
        raise SymgraphTypeError.here(f'modules is "all" or a list of modules, not {modules!r}')
    parts = [part for call in _calls_in(graph) if (part := _Part(call, graph)).is_whole]
    if modules == "all":
        apart = sorted((part for part in parts if part.is_apart), key=lambda part: part.order)
        parts = [part for part in apart if not part.is_all] or apart[:1]
    else:
        parts = _of_modules(parts, list(modules))
    if not parts:
        return graph
    new: dict[Variable, Variable] = {v: v for v in graph.inputs}
    for part in sorted(parts, key=lambda part: part.order):
        part.replace(new)
    rebuild_into(graph.outputs, new)
    return Graph(graph.inputs, [new[v] for v in graph.outputs])


def _calls_in(graph: Graph) -> list[Call]:
    """The calls that returned variables of the graph, each once."""
    found: dict[Any, Call] = {}
    for v in graph.nodes:
        for call in calls_of(v):
            found[id(call.owner), call.inputs, call.outputs] = call
    return list(found.values())


def _of_modules(parts: Sequence[_Part], modules: Sequence[Any]) -> list[_Part]:
    """The calls of these modules; an `ExchangeError` for one that cannot be a function."""
    chosen: list[_Part] = []
    for module in modules:
        own = [part for part in parts if part.call.owner is module]
        if not own:
            raise ExchangeError.here(
                f"{module!r} is not called in what is exported",
                remedy="A module notes its calls itself, if it derives from nn.Module; for another "
                "callable use sg.note_call, or sg.composite. In steps of loops only composites are "
                "functions.",
            )
        if not all(part.is_apart for part in own):
            raise ExchangeError.here(
                f"{module!r} cannot be one function: more is read of what it computes than what "
                "it returns, as a gradient does",
                remedy="Leave it out of modules=.",
            )
        chosen += own
    return chosen


@dataclass(frozen=True)
class ModuleTitle(Title):
    """What the call of a module is called."""

    domain: str = "symgraph"
    """ONNX's domain of the function."""


def domain_of(composite: Variable) -> str:
    """ONNX's domain of the function: layers of symgraph_nn have their own."""
    title = composite.params[0]
    return title.domain if isinstance(title, ModuleTitle) else "symgraph"


class _Part:
    """What a call computes, as a part of a graph."""

    def __init__(self, call: Call, graph: Graph) -> None:
        self.call = call
        known = set(graph.nodes)
        self.outputs = [v for v in call.outputs if v in known]
        below = ancestors(self.outputs, call.inputs)
        self.inputs = [v for v in call.inputs if v in below and v in known]
        self.inside = [v for v in below if v not in self.inputs and "leaf" not in v.op.traits]
        self._graph = graph

    @property
    def order(self) -> tuple[int, int]:
        """Where it comes: parts that it is made of, and those within it, before."""
        return max(v.serial for v in self.outputs), len(self.inside)

    @property
    def is_whole(self) -> bool:
        """Whether the call's inputs are what it is made of, and there is something in it."""
        return bool(self.inputs and self.inside)

    @property
    def is_apart(self) -> bool:
        """Whether no more is read of it than its outputs."""
        inside, outputs = set(self.inside), set(self.outputs)
        ends = set(self._graph.outputs)
        for v in self.inside:
            if v in outputs or is_made_of_sizes(v):
                continue
            if v in ends or any(user not in inside for user, _ in self._graph.users[v]):
                return False
        return not any(map(has_effect, self.inside))

    @property
    def is_all(self) -> bool:
        """Whether there is nothing beside it."""
        inside = set(self.inside)
        return all(v in inside or not v.inputs for v in self._graph.nodes)

    def replace(self, new: dict[Variable, Variable]) -> None:
        """Put a composite's results in the place of its outputs."""
        rebuild_into([*self.inputs, *self.outputs], new)
        outputs = [new[v] for v in self.outputs]
        given = dict.fromkeys(new[v] for v in self.inputs)
        leaves = (v for v in ancestors(outputs, given) if "leaf" in v.op.traits)
        given |= dict.fromkeys(v for v in leaves if v.op is not CONSTANT)
        symbols = {v: make_input(v.type) for v in given}
        inside = replace(outputs, symbols, keep_lines=True)
        body = Graph(list(symbols.values()), inside).canonical()
        made = node(COMPOSITE, tuple(given), (_title_of(self.call.owner, given), body))
        several = len(outputs) > 1
        results = [item(made, i) for i in range(len(outputs))] if several else [made]
        for v, result in zip(self.outputs, results, strict=True):
            new[v] = result
            if v.name:
                provenance.set_name(result, v.name)


def _title_of(owner: Any, inputs: Iterable[Variable]) -> ModuleTitle:
    """The module's kind; its parameters by the last word of their path."""
    kind = type(owner)
    package = kind.__module__.partition(".")[0]
    return ModuleTitle(
        kind.__name__,
        tuple(
            (v.name or "").rpartition(".")[2] if isinstance(v, SharedVariable) else ""
            for v in inputs
        ),
        domain="symgraph_nn" if package == "symgraph_nn" else "symgraph",
    )

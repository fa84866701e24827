"""A whole file as it is written: what is brought along, steps of loops, the function itself."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ...core import provenance
from ...core.errors import ExchangeError, explain
from ...core.graph import Graph
from ...core.shared import SharedVariable
from ...core.types import TensorType
from ...core.variable import Variable
from ...ops.composite import body_of, is_composite, name_of_composite
from ...ops.elementwise import SCALE, UNSCALE
from ...scan.op import is_scan
from ...scan.source_names import lines_of_step, snake, source_names, written_function
from .composites import write_composite
from .expression import Expression
from .function import FunctionWriter
from .identifiers import as_identifier, numbered
from .layout import Statement
from .loops import LoopWriter
from .surroundings import Framework, InnerFunction
from .table import number_text

__all__ = ["Program", "graphs_of"]

# How many elements a constant may have that stands in the text, and how long it is there.
_MOST_IN_TEXT = 8
_LONGEST_IN_TEXT = 48


class Program:
    """The functions of a file, and what they have in common."""

    def __init__(
        self,
        framework: Framework,
        width: int,
        graph: Graph,
        name: str,
        keys: Mapping[Variable, str],
        composites: Mapping[Graph, Graph],
    ) -> None:
        self.target, self.width = framework, width
        self._composites = composites
        self._graphs = graphs_of(graph, composites)
        for each in self._graphs:
            for v in each.nodes:
                if isinstance(v.type, TensorType) and v.dtype not in framework.dtypes:
                    raise ExchangeError(
                        explain(
                            f"{v.op.name} gives {v.dtype}, which {framework.title} lacks",
                            line=provenance.nearest_line(v),
                            remedy="Convert it with .astype, or write the program for NumPy.",
                        )
                    )
        self.names: dict[Variable, str] = self._names()
        self._keys = dict(keys)
        self.constants: dict[str, np.ndarray] = {}
        self._bodies: dict[Graph, str] = {}
        titles = {
            composites[body_of(v)]: name_of_composite(v)
            for each in self._graphs
            for v in each.nodes
            if is_composite(v)
        }
        self.names_of_functions: set[str] = {name, *framework.functions}
        # Composites have the names that they have; bodies of loops give way.
        for inner in sorted(self._graphs[1:], key=lambda body: body not in titles):
            called = as_identifier(titles[inner]) if inner in titles else self._name_of(inner)
            self._bodies[inner] = numbered(called, self.names_of_functions)
            self.names_of_functions.add(self._bodies[inner])
        self._functions: dict[tuple[Graph, tuple[bool, ...]], InnerFunction] = {}
        self.used: set[str] = set()
        """The functions that are brought along."""

    def _names(self) -> dict[Variable, str]:
        outermost, *bodies = self._graphs
        told = source_names([outermost, *(body for body in bodies if not _is_derivative(body))])
        self._sources = {v: source for v, (_, source) in told.items()}
        names = {v: name for v, (name, _) in told.items()}
        for graph in self._graphs:
            for v in graph.nodes:
                own = provenance.name_of(v)
                if own is not None and v.inputs and not is_scan(v):
                    names[v] = own
        return names

    def _name_of(self, body: Graph) -> str:
        loops = [v for g in self._graphs for v in g.nodes if is_scan(v) and v.params[0] is body]
        for v in loops:
            if v.name:
                return as_identifier(snake(v.name.partition("(")[0]))
        lines = (line for v in loops for line in lines_of_step(v))
        name = next(filter(None, map(written_function, lines)), None) or "step"
        return as_identifier(f"gradient_of_{name}" if _is_derivative(body) else name)

    # --- what functions ask for -----------------------------------------------------------------

    def param_name(self, v: Variable) -> str | None:
        """What a shared variable is called in a function: the end of its path."""
        key = self._keys.get(v)
        if key is None or not isinstance(v, SharedVariable):
            return None
        parts = re.split(r"\W+", key)
        while len(parts) > 1 and parts[-1].isdigit():  # of a list's entry
            parts[-2:] = ["_".join(parts[-2:])]
        return parts[-1]

    def group(self, v: Variable) -> Hashable:
        """What a variable has in common with others that one statement may give names to."""
        if self.param_name(v) is not None:
            return "params"
        source = self._sources.get(v)
        return source if source is not None and len(source[2]) > 1 else None

    def brought(self, name: str) -> str:
        """The name of a function that is brought along."""
        self.used.add(name)
        return name

    def constant(self, v: Variable) -> Expression:
        """The expression for a constant."""
        array = v.params[0].array
        if array.ndim == 0:
            return number_text(array, array.dtype, self.target.name_of_infinity)
        if array.size <= _MOST_IN_TEXT:
            made = self.target.array(array)
            if len(made.text) <= _LONGEST_IN_TEXT:
                return made
        key = numbered(as_identifier(v.name or "constant"), {*self._keys.values(), *self.constants})
        self.constants[key] = array
        return Expression(f'constants["{key}"]')

    # --- functions ------------------------------------------------------------------------------

    def write_loop(self, writer: Any, scan: Variable) -> None:
        """Write a loop into a function."""
        LoopWriter(writer, scan).write()

    def write_composite(self, writer: Any, v: Variable) -> None:
        """Write a call of a composite's function."""
        write_composite(writer, v)

    def composite_body(self, v: Variable) -> Graph:
        """The body of a composite as it is written."""
        return self._composites[body_of(v)]

    def inner_function(
        self, body: Graph, names: Sequence[str], is_number: tuple[bool, ...]
    ) -> InnerFunction:
        """The function of a body; ``names`` are what its parameters would best be called."""
        key = (body, is_number)
        if key not in self._functions:
            taken = set(self.names_of_functions)
            parameters: list[str] = []
            for name in names:
                parameters.append(numbered(as_identifier(name), taken))
                taken.add(parameters[-1])
            name = self._bodies[body]
            if any(known.body is body for known in self._functions.values()):
                name = numbered(name, self.names_of_functions)
                self.names_of_functions.add(name)
            self._functions[key] = InnerFunction(name, body, tuple(parameters), is_number)
        return self._functions[key]

    def write_functions(self) -> list[list[Statement]]:
        """The functions of all bodies, those first that others call."""
        written: dict[InnerFunction, list[Statement]] = {}
        while pending := [f for f in self._functions.values() if f not in written]:
            for function in pending:
                written[function] = self._write_function(function)
        # Bodies within bodies are shallower.
        return [written[f] for f in sorted(written, key=lambda f: f.body.depth)]

    def _write_function(self, function: InnerFunction) -> list[Statement]:
        inputs = {
            v: Expression(name, is_number=is_number)
            for v, name, is_number in zip(
                function.body.inputs, function.parameters, function.is_number, strict=True
            )
        }
        writer = FunctionWriter(self, function.body, inputs)
        results = writer.write()
        texts = [
            self.handed_over(x, v).text for x, v in zip(results, function.body.outputs, strict=True)
        ]
        head = Statement(0, f"def {function.name}(", function.parameters, "):")
        one = ", ".join(texts)
        if len(one) + 11 <= self.width:
            last = Statement(1, f"return {one}")
        else:
            last = Statement(1, "return (", tuple(texts), ")", is_literal=True)
        return [head, *writer.statements, last]

    def handed_over(self, x: Expression, v: Variable) -> Expression:
        """A result as a value of its dtype."""
        return self.target.strong(x, v.dtype) if x.is_number else x


def _is_derivative(body: Graph) -> bool:
    """Whether a body computes derivatives, which have lines of what they are derivatives of."""
    return any(v.op in (SCALE, UNSCALE) for v in body.nodes)


def graphs_of(graph: Graph, composites: Mapping[Graph, Graph]) -> list[Graph]:
    """The graph and the bodies in it, each once, from the outermost inwards.

    ``composites``: the bodies of composites as they are written.
    """
    found = [graph]
    for outer in found:
        for v in outer.nodes:
            inner = v.params[0] if is_scan(v) else None
            inner = composites[body_of(v)] if is_composite(v) else inner
            if inner is not None and inner not in found:
                found.append(inner)
    return found

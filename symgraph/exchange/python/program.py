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
from ...scan.op import Loop, is_scan
from .expression import Expression
from .function import FunctionWriter
from .identifiers import as_identifier, numbered
from .layout import Statement
from .loops import LoopWriter
from .source_names import snake, source_names, state_names, written_function
from .surroundings import Framework, StepFunction
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
    ) -> None:
        self.target, self.width = framework, width
        self._graphs = graphs_of(graph)
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
        self.names_of_functions: set[str] = {name, *framework.functions}
        for inner in self._graphs[1:]:
            self._bodies[inner] = numbered(self._name_of(inner), self.names_of_functions)
            self.names_of_functions.add(self._bodies[inner])
        self._steps: dict[tuple[Graph, tuple[bool, ...]], StepFunction] = {}
        self.used: set[str] = set()
        """The functions that are brought along."""

    def _names(self) -> dict[Variable, str]:
        told = source_names(self._graphs)
        self._sources = {v: source for v, (_, source) in told.items()}
        names = {v: name for v, (name, _) in told.items()}
        for graph in self._graphs:
            for v in graph.nodes:
                own = provenance.name_of(v)
                if own is not None and v.inputs and not is_scan(v):
                    names[v] = own
        return names

    def _name_of(self, body: Graph) -> str:
        for graph in self._graphs:
            for v in graph.nodes:
                if is_scan(v) and v.params[0] is body and v.name:
                    return as_identifier(snake(v.name.partition("(")[0]))
        name = next(filter(None, map(written_function, _lines_of(body))), None)
        return as_identifier(name or "step")

    def state_names(self, loop: Loop) -> tuple[str, ...]:
        """What the states of a loop are called in the function of its step, if that tells."""
        n_reads, n_states = len(loop.reads), sum(len(state.taps) for state in loop.states)
        if n_states == len(loop.states):
            for line in _lines_of(loop.body):
                found = state_names(line, n_reads, n_states)
                if found is not None:
                    return found
        return ()

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
        return Expression(f'params["{key}"]')

    # --- functions ------------------------------------------------------------------------------

    def write_loop(self, writer: Any, scan: Variable) -> None:
        """Write a loop into a function."""
        LoopWriter(writer, scan).write()

    def step_function(
        self, loop: Loop, names: Sequence[str], is_number: tuple[bool, ...]
    ) -> StepFunction:
        """The function of a loop's body; ``names`` are what its parameters would best be called."""
        key = (loop.body, is_number)
        if key not in self._steps:
            taken = set(self.names_of_functions)
            parameters: list[str] = []
            for name in names:
                parameters.append(numbered(as_identifier(name), taken))
                taken.add(parameters[-1])
            name = self._bodies[loop.body]
            if any(step.body is loop.body for step in self._steps.values()):
                name = numbered(name, self.names_of_functions)
                self.names_of_functions.add(name)
            self._steps[key] = StepFunction(name, loop.body, tuple(parameters), is_number)
        return self._steps[key]

    def write_steps(self) -> list[list[Statement]]:
        """The functions of all bodies, those first that others call."""
        written: dict[StepFunction, list[Statement]] = {}
        while pending := [step for step in self._steps.values() if step not in written]:
            for step in pending:
                written[step] = self._write_step(step)
        # Bodies within bodies are shallower.
        return [written[step] for step in sorted(written, key=lambda s: s.body.depth)]

    def _write_step(self, step: StepFunction) -> list[Statement]:
        inputs = {
            v: Expression(name, is_number=is_number)
            for v, name, is_number in zip(
                step.body.inputs, step.parameters, step.is_number, strict=True
            )
        }
        writer = FunctionWriter(self, step.body, inputs)
        results = writer.write()
        texts = [
            self.handed_over(x, v).text for x, v in zip(results, step.body.outputs, strict=True)
        ]
        head = Statement(0, f"def {step.name}(", step.parameters, "):")
        one = ", ".join(texts)
        if len(one) + 11 <= self.width:
            last = Statement(1, f"return {one}")
        else:
            last = Statement(1, "return (", tuple(texts), ")", is_literal=True)
        return [head, *writer.statements, last]

    def handed_over(self, x: Expression, v: Variable) -> Expression:
        """A result as a value of its dtype."""
        return self.target.strong(x, v.dtype) if x.is_number else x


def _lines_of(body: Graph) -> list[provenance.Line]:
    """The lines that made what a body computes, the last first."""
    found = [line for v in reversed(body.nodes) if v.inputs for line in provenance.written_at(v)]
    return list(dict.fromkeys(found))


def graphs_of(graph: Graph) -> list[Graph]:
    """The graph and the bodies of its loops, each once, from the outermost inwards."""
    found = [graph]
    for outer in found:
        for v in outer.nodes:
            if is_scan(v) and v.params[0] not in found:
                found.append(v.params[0])
    return found

"""What the user asked `compile` for, as one closed program; what makes no sense is found here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..core import provenance
from ..core.copies import dump, load
from ..core.errors import InputError, SymgraphTypeError, SymgraphValueError, explain
from ..core.graph import Graph, replace, substitute
from ..core.shared import SharedVariable
from ..core.types import TensorType
from ..core.variable import CONSTANT, Variable, ancestors, make_constant, make_input
from .signature import Parameter, as_argument
from .updates import (
    as_pairs,
    as_replacements,
    checked_updates,
    describe_value,
    substituted,
    with_defaults,
)

__all__ = ["In", "Program", "make_program"]


class In:
    """An input with a default value, or with another name for keyword calls."""

    __slots__ = ("name", "value", "variable")

    def __init__(self, variable: Variable, value: Any = None, *, name: str | None = None) -> None:
        if not isinstance(variable, Variable):
            raise SymgraphTypeError.here(
                f"In takes a variable, not {variable!r}", remedy="Write sg.In(x, value=default)."
            )
        self.variable = variable
        self.value = value
        self.name = name

    def __repr__(self) -> str:
        return f"In({self.variable!r}, value={self.value!r})"


@dataclass(frozen=True)
class Program:
    """Inputs and shared variables to outputs and updates, as they were built."""

    inputs: tuple[Variable, ...]
    parameters: tuple[Parameter, ...]
    outputs: tuple[Variable, ...]
    updates: dict[SharedVariable, Variable]
    container: Any
    """How the outputs are handed over: None, ``"one"``, ``list``, ``tuple`` or a list of keys."""

    @cached_property
    def shared(self) -> tuple[SharedVariable, ...]:
        """The shared variables whose values the program reads."""
        leaves = ancestors([*self.outputs, *self.updates.values()])
        return tuple(v for v in leaves if isinstance(v, SharedVariable))

    @cached_property
    def graph(self) -> Graph:
        """The closed graph: inputs and shared variables to outputs and updates."""
        return Graph((*self.inputs, *self.shared), (*self.outputs, *self.updates.values()))

    @property
    def pack(self) -> Callable[[Sequence[Any]], Any]:
        """A function that hands over a list of results as the user asked for them."""
        container = self.container
        if container is None:
            return lambda results: None
        if container == "one":
            return lambda results: results[0]
        if isinstance(container, list):
            return lambda results: dict(zip(container, results, strict=True))
        return container

    def swapped(self, swap: Mapping[SharedVariable, SharedVariable]) -> Program:
        """The program with shared variables in place of others."""
        if not isinstance(swap, Mapping):
            raise InputError.here(
                f"swap is a dict of shared variables, not {swap!r}",
                remedy="Write f.copy(swap={old: new}).",
            )
        known = {*self.shared, *self.updates}
        for old, new in swap.items():
            if not isinstance(old, SharedVariable) or old not in known:
                raise InputError.here(
                    f"swap: {describe_value(old)} is not a shared variable of the function",
                    remedy=f"These are: {', '.join(map(provenance.describe, known))}.",
                )
            if not isinstance(new, SharedVariable):
                raise InputError.here(
                    f"swap: {describe_value(old)} takes a shared variable, not {new!r}"
                )
        replacements: dict[Variable, Variable] = {**swap}
        results = substitute([*self.outputs, *self.updates.values()], replacements)
        outputs = results[: len(self.outputs)]
        updates = zip(
            [swap.get(shared, shared) for shared in self.updates],
            results[len(self.outputs) :],
            strict=True,
        )
        return Program(
            self.inputs, self.parameters, tuple(outputs), checked_updates(updates), self.container
        )

    def __reduce__(self) -> tuple[Callable, tuple]:
        # One dump of everything, so that what is shared stays shared.
        dumped = dump([*self.inputs, *self.outputs, *self.updates, *self.updates.values()])
        counts = (len(self.inputs), len(self.outputs), len(self.updates))
        return _load_program, (dumped, counts, self.parameters, self.container)


def _load_program(
    dumped: tuple, counts: tuple[int, int, int], parameters: tuple[Parameter, ...], container: Any
) -> Program:
    variables = load(*dumped)
    n_inputs, n_outputs, n_updates = counts
    inputs, variables = variables[:n_inputs], variables[n_inputs:]
    outputs, variables = variables[:n_outputs], variables[n_outputs:]
    pairs = zip(variables[:n_updates], variables[n_updates:], strict=True)
    updates = {shared: new for shared, new in pairs if isinstance(shared, SharedVariable)}
    return Program(tuple(inputs), parameters, tuple(outputs), updates, container)


def make_program(inputs: Any, outputs: Any, updates: Any = None, givens: Any = None) -> Program:
    """The program that the arguments of `compile` describe."""
    arguments = _as_arguments(inputs)
    container, wanted = _flattened(outputs)
    asked = checked_updates(as_pairs(updates, "updates"))
    replacements = as_replacements(givens)
    results = substituted([*wanted, *asked.values()], replacements)
    wanted = results[: len(wanted)]
    asked = dict(zip(asked, results[len(wanted) :], strict=True))
    asked = with_defaults(wanted, asked, replacements)
    variables, results = _as_leaves([a.variable for a in arguments], [*wanted, *asked.values()])
    asked = checked_updates(zip(asked, results[len(wanted) :], strict=True))
    program = Program(
        tuple(variables),
        tuple(_parameter(a, i) for i, a in enumerate(arguments)),
        tuple(results[: len(wanted)]),
        asked,
        container,
    )
    _check_inputs(program)
    return program


# --- inputs -------------------------------------------------------------------------------------


def _as_arguments(inputs: Any) -> list[In]:
    if not isinstance(inputs, (list, tuple)):
        raise InputError.here(
            f"inputs are a list of variables, not {inputs!r}",
            remedy="Write sg.compile([x], y), also for one input.",
        )
    arguments: list[In] = []
    seen: set[Variable] = set()
    for entry in inputs:
        argument = entry if isinstance(entry, In) else None
        if isinstance(entry, Variable):
            argument = In(entry)
        if argument is None:
            raise InputError.here(
                f"an input is a variable or sg.In(variable, value=default), not {entry!r}"
            )
        _check_input(argument.variable)
        if argument.variable in seen:
            raise InputError.here(
                f"{provenance.describe(argument.variable)} is given twice among the inputs"
            )
        seen.add(argument.variable)
        arguments.append(argument)
    return arguments


def _check_input(variable: Variable) -> None:
    remedy = None
    if isinstance(variable, SharedVariable):
        remedy = (
            "A shared variable brings its own value. Leave it out, set it with set_value, or "
            "replace it with givens={shared: input}."
        )
    elif variable.op is CONSTANT:
        remedy = "A constant has its value already: leave it out."
    elif not isinstance(variable.type, TensorType):
        remedy = "It has several results: take one of them."
    if remedy:
        raise InputError.here(f"{provenance.describe(variable)} cannot be an input", remedy=remedy)


def _parameter(argument: In, position: int) -> Parameter:
    variable = argument.variable
    name = argument.name or provenance.name_of(variable)
    label = name or f"input {position + 1}"
    default = argument.value
    if default is not None:
        try:
            default = np.array(as_argument(default, variable.type, label))
        except (SymgraphTypeError, SymgraphValueError) as error:
            line = provenance.user_line()
            told = line is not None and line in str(error)
            text = explain(f"the default value: {error}", line=None if told else line)
            raise type(error)(text) from None
    return Parameter(name, label, variable.type, default)


def _as_leaves(
    inputs: list[Variable], outputs: list[Variable]
) -> tuple[list[Variable], list[Variable]]:
    """Inputs that are computed made leaves of their own, and the outputs in terms of them."""
    inner = {
        v: make_input(v.type, provenance.name_of(v)) for v in inputs if "leaf" not in v.op.traits
    }
    if not inner:
        return inputs, outputs
    return [inner.get(v, v) for v in inputs], replace(outputs, inner)


def _check_inputs(program: Program) -> None:
    """Raise for what the outputs need and nobody gives, and for what is given and nobody needs."""
    given = set(program.inputs)
    order = ancestors([*program.outputs, *program.updates.values()])
    for v in order:
        if "leaf" not in v.op.traits or v in given or v.op is CONSTANT:
            continue
        if isinstance(v, SharedVariable):
            continue
        user = next((u for u in order if v in u.inputs), None)
        raise InputError.here(
            f"{provenance.describe(v)} is missing from the inputs"
            + (f"; it is used by {provenance.describe(user)}" if user is not None else ""),
            remedy="Add it to the inputs, or give it a value with givens.",
        )
    used = set(order)
    for v, parameter in zip(program.inputs, program.parameters, strict=True):
        if v not in used:
            raise InputError.here(
                f"the input {parameter.label} is not used: neither an output nor an update "
                f"depends on {provenance.describe(v)}",
                remedy="Leave it out of the inputs.",
            )


# --- outputs ------------------------------------------------------------------------------------


def _flattened(outputs: Any) -> tuple[Any, list[Variable]]:
    """How the outputs are to be handed over, and the variables in order."""
    if outputs is None:
        return None, []
    if isinstance(outputs, Mapping):
        return list(outputs), [_as_output(v) for v in outputs.values()]
    if isinstance(outputs, (list, tuple)):
        kind = tuple if isinstance(outputs, tuple) else list
        return kind, [_as_output(v) for v in outputs]
    return "one", [_as_output(outputs)]


def _as_output(value: Any) -> Variable:
    if isinstance(value, (bool, int, float, np.generic, np.ndarray)):
        return make_constant(value)
    if not isinstance(value, Variable):
        raise SymgraphTypeError.here(
            f"an output is a variable, not {value!r} ({type(value).__name__})",
            remedy="outputs is a variable, a list of them, a dict of them or None.",
        )
    if not isinstance(value.type, TensorType):
        raise SymgraphTypeError.here(f"{value!r} has several results; take one of them")
    return value

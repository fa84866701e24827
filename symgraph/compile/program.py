"""What the user asked `compile` for, as one closed program; what makes no sense is found here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.copies import dump, load
from ..core.errors import InputError, ShapeError, SymgraphTypeError
from ..core.graph import Graph, graph_of, replace, substitute
from ..core.shared import SharedVariable
from ..core.types import TensorType
from ..core.variable import CONSTANT, Variable, ancestors, make_constant, make_input
from ..scan.observers import without_observers
from .signature import Parameter, as_argument, with_prefix
from .updates import GivensLike, Request, UpdatesLike, as_pairs, as_replacements, checked_updates

__all__ = ["In", "OutputsLike", "Program", "make_program"]


class In:
    """An input with a default value, or with another name for keyword calls.

    The default is converted and checked as an argument is, when the function is compiled.

    >>> x = sg.scalar("x")
    >>> f = sg.compile([sg.In(x, value=3.0, name="start")], x * 2)
    >>> print(f(), f(start=5.0))
    6.0 10.0
    """

    __slots__ = ("name", "value", "variable")

    def __init__(
        self, variable: Variable, value: ArrayLike | None = None, *, name: str | None = None
    ) -> None:
        if not isinstance(variable, Variable):
            raise SymgraphTypeError.here(
                f"In takes a variable, not {variable!r}", remedy="Write sg.In(x, value=default)."
            )
        self.variable: Variable = variable
        self.value: ArrayLike | None = value
        self.name: str | None = name

    def __repr__(self) -> str:
        return f"In({self.variable!r}, value={self.value!r})"


OutputLike: TypeAlias = Variable | float | np.generic | np.ndarray
OutputsLike: TypeAlias = OutputLike | Sequence[OutputLike] | Mapping[str, OutputLike] | None
"""One output, a list or a tuple of them, outputs by name, or none."""


@dataclass(frozen=True)
class Program(Request):
    """Inputs and shared variables to outputs and updates, as they were built."""

    inputs: tuple[Variable, ...]
    parameters: tuple[Parameter, ...]
    container: Any
    """How the outputs are handed over: None, ``"one"``, ``list``, ``tuple`` or a list of keys."""

    @cached_property
    def shared(self) -> tuple[SharedVariable, ...]:
        """The shared variables whose values the program reads."""
        return tuple(v for v in ancestors(self.results) if isinstance(v, SharedVariable))

    @cached_property
    def graph(self) -> Graph:
        """The closed graph: inputs and shared variables to outputs and updates."""
        return Graph((*self.inputs, *self.shared), self.results)

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
                    f"swap: {provenance.describe(old)} is not a shared variable of the function",
                    remedy=f"These are: {', '.join(map(provenance.describe, known))}.",
                )
            if not isinstance(new, SharedVariable):
                raise InputError.here(
                    f"swap: {provenance.describe(old)} takes a shared variable, not {new!r}"
                )
        updated = [swap.get(shared, shared) for shared in self.updates]
        return self.with_results(substitute(self.results, {**swap}), updated)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # One dump of everything, so that what is shared stays shared.
        dumped = dump([*self.inputs, *self.updates, *self.results])
        counts = (len(self.inputs), len(self.updates))
        return _load_program, (dumped, counts, self.parameters, self.container)


def _load_program(
    dumped: tuple[Any, ...],
    counts: tuple[int, int],
    parameters: tuple[Parameter, ...],
    container: Any,
) -> Program:
    variables = load(*dumped)
    n_inputs, n_updates = counts
    inputs, updated = variables[:n_inputs], variables[n_inputs : n_inputs + n_updates]
    results = variables[n_inputs + n_updates :]
    outputs = tuple(results[: len(results) - n_updates])
    empty = Program(outputs, {}, tuple(inputs), parameters, container)
    return empty.with_results(results, updated)


def make_program(
    inputs: Sequence[Variable | In],
    outputs: OutputsLike,
    updates: UpdatesLike | None = None,
    givens: GivensLike | None = None,
    *,
    unused: Literal["raise", "ignore"] = "raise",
    debug: bool = True,
) -> Program:
    """The program that the arguments of `compile` describe."""
    arguments = _as_arguments(inputs)
    container, wanted = _flattened(outputs)
    request = Request(tuple(wanted), checked_updates(as_pairs(updates, "updates")))
    if not debug:
        bare = without_observers(graph_of(request.results))
        request = request.with_results(bare.outputs)
    request = request.with_givens(as_replacements(givens))
    variables = [argument.variable for argument in arguments]
    leaves = [_as_leaf(v) for v in variables]
    if leaves != variables:
        inner = dict(zip(variables, leaves, strict=True))
        request = request.with_results(replace(request.results, inner))
    parameters = tuple(_parameter(argument, i) for i, argument in enumerate(arguments))
    program = Program(request.outputs, request.updates, tuple(leaves), parameters, container)
    order = ancestors(program.results)
    _check_that_all_is_given(program, order)
    if unused == "raise":
        _check_that_all_is_used(program, order)
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
        except (ShapeError, SymgraphTypeError) as error:
            raise with_prefix(error, "the default value: ") from None
    return Parameter(name, label, variable.type, default)


def _as_leaf(v: Variable) -> Variable:
    """The variable, or a leaf in place of one that is computed."""
    return v if "leaf" in v.op.traits else make_input(v.type, provenance.name_of(v))


def _check_that_all_is_given(program: Program, order: Sequence[Variable]) -> None:
    known = {*program.inputs, *program.shared}
    for v in order:
        if "leaf" in v.op.traits and v.op is not CONSTANT and v not in known:
            user = next((u for u in order if v in u.inputs), None)
            raise InputError.here(
                f"{provenance.describe(v)} is missing from the inputs"
                + (f"; it is used by {provenance.describe(user)}" if user is not None else ""),
                remedy="Add it to the inputs, or give it a value with givens.",
            )


def _check_that_all_is_used(program: Program, order: Sequence[Variable]) -> None:
    used = set(order)
    for v, parameter in zip(program.inputs, program.parameters, strict=True):
        if v not in used:
            raise InputError.here(
                f"the input {parameter.label} is not used: neither an output nor an update "
                f"depends on {provenance.describe(v)}",
                remedy='Leave it out of the inputs, or compile with unused="ignore".',
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

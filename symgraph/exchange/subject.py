"""What is exported, whatever it came as: a function, variables, or a module called on inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..compile.function import Function
from ..compile.program import In, Program, make_program
from ..core.errors import ExchangeError
from ..core.graph import graph_of
from ..core.shared import SharedVariable
from ..core.variable import CONSTANT, Variable, ancestors
from ..scan.observers import without_observers

__all__ = ["Exportable", "Structure", "Subject", "distinct", "identifier", "subject_of"]

Exportable: TypeAlias = (
    Function | Variable | Sequence[Variable] | Mapping[str, Variable] | Callable[..., Any]
)
"""A compiled function; a variable, or several; what is called on inputs, such as a module."""

Structure: TypeAlias = Any
"""How results are handed over: the name of an output, None, or a list, tuple or dict of such."""


@dataclass(frozen=True)
class Subject:
    """What goes out, as it was built. No two inputs, shared variables and outputs share a name."""

    name: str
    """What it is called: an identifier."""
    inputs: Mapping[str, Variable]
    """The inputs by name, in order."""
    outputs: Mapping[str, Variable]
    """The outputs by name, in order; one variable may be several of them."""
    shared: Mapping[str, SharedVariable]
    """The shared variables that it reads or updates, by name."""
    updates: Mapping[str, Variable]
    """New values, by the name of the shared variable."""
    structure: Structure
    """How the user has the outputs: their names, as one, or in a list, tuple or dict."""

    @property
    def results(self) -> tuple[Variable, ...]:
        """The outputs, then the new values."""
        return (*self.outputs.values(), *self.updates.values())


def subject_of(
    what: Exportable,
    inputs: Sequence[Variable | In] | None = None,
    *,
    name: str | None = None,
) -> Subject:
    """What the user wants to export, with a name for each of its ends.

    A function is taken as it was built, and has its inputs. For variables ``inputs`` may be left
    out: they are what the variables depend on then, in the order in which it was made. A module,
    or another callable, is called on the inputs; its result may be a tree of tuples, lists and
    dicts. Raises `ExchangeError` where ``what`` is none of these.
    """
    if isinstance(what, Function):
        if inputs is not None:
            raise ExchangeError.here(
                f"the function {what.name or what!r} has its inputs already",
                remedy="Leave out inputs=.",
            )
        program = what.program
        return _named(program, _structure_of(program), name or what.name)
    if callable(what) and not isinstance(what, Variable):
        return _called(what, inputs, name)
    if inputs is None:
        inputs = _free_inputs(what)
    assert not callable(what) or isinstance(what, Variable)
    program = make_program(inputs, what, unused="ignore")
    only = what if isinstance(what, Variable) else None
    return _named(
        program, _structure_of(program), name or (only.name if only is not None else None)
    )


def _called(what: Callable[..., Any], inputs: Any, name: str | None) -> Subject:
    if inputs is None:
        raise ExchangeError.here(
            f"{what!r} is called on its inputs, which are missing",
            remedy='Give them, as inputs=[sg.tensor("x", ("T", "B", 12))].',
        )
    variables = [entry.variable if isinstance(entry, In) else entry for entry in inputs]
    tree = what(*variables)
    for attribute in ("params", "buffers"):
        getattr(what, attribute, None)  # a module names its variables by their paths here
    leaves: list[tuple[str, Variable]] = []
    structure = _flatten(tree, "", leaves, what)
    program = make_program(inputs, [v for _, v in leaves], unused="ignore")
    named = [key for key, _ in leaves]
    return _named(program, structure, name or _word(what), keys=named)


def _word(what: Any) -> str:
    return getattr(what, "__name__", None) or type(what).__name__.lower()


def _flatten(tree: Any, key: str, leaves: list[tuple[str, Variable]], what: Any) -> Structure:
    """The tree with the positions of its leaves for them, which are added to the list."""
    if tree is None:  # no state
        return None
    if isinstance(tree, Variable):
        leaves.append((key, tree))
        return len(leaves) - 1
    if isinstance(tree, Mapping):
        return {k: _flatten(v, _joined(key, str(k)), leaves, what) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        parts = [_flatten(v, key, leaves, what) for v in tree]
        return parts if isinstance(tree, list) else tuple(parts)
    raise ExchangeError.here(
        f"{what!r} gives {tree!r}, which is no variable, nor a tuple, list or dict of variables"
    )


def _joined(*keys: str) -> str:
    return "_".join(key for key in keys if key)


def _structure_of(program: Program) -> Structure:
    """The positions of the outputs as the user has them."""
    container, n = program.container, len(program.outputs)
    if container is None:
        return None
    if container == "one":
        return 0
    if isinstance(container, list):
        return dict(zip(container, range(n), strict=True))
    return container(range(n))


def _free_inputs(what: Any) -> list[Variable]:
    """What variables depend on and have no value of its own, in the order it was made."""
    values: Any = what.values() if isinstance(what, Mapping) else what
    is_one = isinstance(values, Variable) or not isinstance(values, Iterable)
    outputs: list[Any] = [values] if is_one else list(values)
    for v in outputs:
        if not isinstance(v, Variable):
            raise ExchangeError.here(
                "what goes out is a function, a variable, a list or dict of variables, or a "
                f"module with inputs; found {v!r}"
            )
    return [
        v
        for v in sorted(ancestors(outputs), key=lambda v: v.serial)
        if "leaf" in v.op.traits and v.op is not CONSTANT and not isinstance(v, SharedVariable)
    ]


def _named(
    program: Program, structure: Structure, name: str | None, *, keys: Sequence[str] = ()
) -> Subject:
    """The program with names; ``structure`` has the positions of the outputs.

    What looks at values is left out: it is there for this process.
    """
    program = program.with_results(without_observers(graph_of(program.results)).outputs)
    taken: set[str] = set()
    inputs = {
        distinct(parameter.name or f"input_{i + 1}", taken): v
        for i, (parameter, v) in enumerate(zip(program.parameters, program.inputs, strict=True))
    }
    all_shared = dict.fromkeys((*program.shared, *program.updates))
    shared = {distinct(v.name or "shared", taken): v for v in all_shared}
    names = {v: key for key, v in shared.items()}
    if isinstance(program.container, list):
        keys = [str(key) for key in program.container]
    ends = {*program.inputs, *all_shared}
    outputs = {
        distinct((keys[i] if keys else "") or (None if v in ends else v.name) or "output", taken): v
        for i, v in enumerate(program.outputs)
    }
    return Subject(
        name=identifier(name or "model"),
        inputs=inputs,
        outputs=outputs,
        shared=shared,
        updates={names[v]: new for v, new in program.updates.items()},
        structure=_filled(structure, list(outputs)),
    )


def _filled(structure: Structure, names: Sequence[str]) -> Structure:
    """The structure with names for positions."""
    if structure is None:
        return None
    if isinstance(structure, int):
        return names[structure]
    if isinstance(structure, Mapping):
        return {key: _filled(part, names) for key, part in structure.items()}
    return type(structure)(_filled(part, names) for part in structure)


def distinct(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken; it is taken then."""
    unique, number = name, 0
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    taken.add(unique)
    return unique


def identifier(name: str) -> str:
    """The name as programming languages take it."""
    word = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
    return word if word and not word[0].isdigit() else f"_{word}"

"""Composites: expressions of several ops that count as one op, until they are compiled.

A composite node has a body, a closed graph, and its inputs: the arguments, then what the function
took from around it. Several results are a tuple, of which `item` takes one. Whoever looks at a
graph sees one node; `opened` are the expressions that it stands for, with which `compile` begins
and of which derivatives are made.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core import provenance
from ..core.dims import Atom, Dim, size_atoms
from ..core.errors import GraphError
from ..core.graph import Graph, replace
from ..core.op import Op
from ..core.types import TensorType, TupleType, Type
from ..core.variable import Variable, item, make_input, node, walk

__all__ = [
    "COMPOSITE",
    "Argument",
    "Title",
    "argument_texts",
    "arguments_of",
    "body_of",
    "input_names_of",
    "is_composite",
    "make_composite",
    "name_of_composite",
    "opened",
    "opened_on",
    "there_are_composites",
    "with_body",
]


@dataclass(frozen=True)
class Argument:
    """An argument of a composite that is no variable. Equal texts mean equal values."""

    name: str
    text: str
    """The value as it is written in Python."""
    value: Any = field(compare=False)


@dataclass(frozen=True)
class Title:
    """What a composite is called, and how it was called."""

    name: str
    inputs: tuple[str, ...]
    """The names of the function's parameters and of what it took from around it, or ``""``."""
    arguments: tuple[Argument, ...] = ()
    """The arguments that are no variables, as far as they can be written down."""


def _infer_composite(inputs: Sequence[Variable], title: Title, body: Graph) -> Type:
    expected, given = [x.type for x in body.inputs], [x.type for x in inputs]
    if expected != given:
        raise GraphError(f"{title.name}: the body takes {expected}; it is given {given}")
    _bodies.add(body)
    results: Sequence[Variable] = body.outputs
    known = {atom for x in inputs for atom in _atoms(x.type)}
    if not all(known.issuperset(_atoms(v.type)) for v in results):
        # Sizes that are computed inside are those of the expressions on these inputs.
        results = body(*inputs)
    return results[0].type if len(results) == 1 else TupleType([v.type for v in results])


def _atoms(type: TensorType) -> set[Atom]:
    """What the sizes of a type are made of, but for names, which mean the same everywhere."""
    sizes = (size for size in type.shape if isinstance(size, Dim))
    return {atom for size in sizes for atom in size_atoms(size) if atom[0] != "name"}


def _build_composite(inputs: Sequence[Variable], title: Title, body: Graph) -> Variable:
    """The composite on inputs of other types: its body is built again."""
    symbols = [make_input(x.type) for x in inputs]
    return node(COMPOSITE, inputs, (title, Graph(symbols, body(*symbols)).canonical()))


# The derivative is that of the body: autodiff/composites.py attaches it.
COMPOSITE = Op(
    "composite",
    _infer_composite,
    build=_build_composite,
    title=lambda title, body: title.name,
    params=("title", "body"),
    traits=frozenset({"traced"}),
)

# The bodies of all composites that live: without any there is nothing to look for.
_bodies: weakref.WeakSet[Graph] = weakref.WeakSet()
# What each composite stands for; by this the sizes that it computes stay the same ones.
_opened: weakref.WeakKeyDictionary[Variable, dict[Variable, Variable]] = weakref.WeakKeyDictionary()


def make_composite(
    name: str,
    inputs: Mapping[Variable, Variable],
    outputs: Sequence[Variable],
    *,
    names: Mapping[Variable, str] | None = None,
    arguments: Sequence[Argument] = (),
) -> list[Variable]:
    """The results of one node that stands for the outputs.

    ``inputs``: the symbols of which the outputs are expressions, with what each stands for, in
    order; the outputs need nothing else but constants. ``names``: what the symbols are called.
    """
    title = Title(name, tuple((names or {}).get(v, "") for v in inputs), tuple(arguments))
    body = Graph([*inputs], outputs).canonical()
    made = node(COMPOSITE, tuple(inputs.values()), (title, body))
    if provenance.has_notes():
        _take_notes(outputs, [*inputs], made)
    return [item(made, i) for i in range(len(outputs))] if len(outputs) > 1 else [made]


# Under this key stand, with a composite, the notes of what it is made of. Its body is that of other
# composites too, which are made of other shared variables.
_INSIDE = "notes inside"


def _take_notes(outputs: Sequence[Variable], inputs: Sequence[Variable], made: Variable) -> None:
    """Write down with the composite what is noted of the expressions in it."""
    order = walk(outputs, inputs)[len(inputs) :]
    notes = {i: dict(v.notes) for i, v in enumerate(order) if v.notes}
    if not notes:
        return
    for v in set(body_of(made).nodes).difference(order):
        provenance.forget_notes(v)
    made.note(_INSIDE, (len(order), notes))


def _hand_out_notes(composite: Variable, copies: Mapping[Variable, Variable]) -> None:
    """Write down of what a composite is opened to what was noted inside it."""
    count, notes = composite.notes[_INSIDE]
    body = body_of(composite)
    order = walk(body.outputs, body.inputs)[len(body.inputs) :]
    if len(order) == count:  # else it was built anew in another way
        for i, of_variable in notes.items():
            provenance.carry_notes(of_variable, copies[order[i]])


def is_composite(variable: Variable) -> bool:
    """Whether the variable is a composite (a tuple of results, where there are several)."""
    return variable.op is COMPOSITE


def name_of_composite(variable: Variable) -> str:
    """The name of the function that a composite is a call of."""
    return variable.params[0].name


def input_names_of(variable: Variable) -> tuple[str, ...]:
    """For each input of a composite what the function calls it; ``""`` where it has no name."""
    return variable.params[0].inputs


def arguments_of(variable: Variable) -> dict[str, Any]:
    """The arguments of a composite that are no variables, by name."""
    return {argument.name: argument.value for argument in variable.params[0].arguments}


def argument_texts(variable: Variable) -> dict[str, str]:
    """The arguments of a composite that are no variables, as they are written in Python."""
    return {argument.name: argument.text for argument in variable.params[0].arguments}


def body_of(variable: Variable) -> Graph:
    """What a composite computes: its inputs are in the order of the node's, its outputs results."""
    return variable.params[1]


def with_body(composite: Variable, inputs: Sequence[Variable], body: Graph) -> Variable:
    """The composite with another body, on inputs of the same types."""
    return node(COMPOSITE, inputs, (composite.params[0], body))


def opened(composite: Variable) -> list[Variable]:
    """The results of a composite as expressions of its inputs; composites in them stay."""
    found = _opened.get(composite)
    if found is None:
        found = _opened[composite] = _copies(composite, composite.inputs)
    return _told(composite, found)


def opened_on(composite: Variable, inputs: Sequence[Variable]) -> list[Variable]:
    """What the results of a composite would be as expressions of other inputs."""
    return _told(composite, _copies(composite, inputs))


def _copies(composite: Variable, inputs: Sequence[Variable]) -> dict[Variable, Variable]:
    """For each node of a composite's body what it would be of other inputs."""
    body = body_of(composite)
    symbols = dict(zip(body.inputs, inputs, strict=True))
    nodes = [v for v in body.nodes if v not in symbols]
    return symbols | dict(zip(nodes, replace(nodes, symbols, keep_lines=True), strict=True))


def _told(composite: Variable, copies: Mapping[Variable, Variable]) -> list[Variable]:
    """The results of a composite, among the copies of its body's nodes, which get their lines."""
    body, callers = body_of(composite), provenance.lines_of(composite)
    for v in body.nodes:
        copy = copies[v]
        if copy is not v and ("traced" in v.op.traits or provenance.lines_of(v)):
            provenance.add_callers(copy, v, callers)
    if _INSIDE in composite.notes:
        _hand_out_notes(composite, copies)
    return [copies[v] for v in body.outputs]


def there_are_composites() -> bool:
    """Whether there is any composite at all; else there is no need to look for them."""
    return bool(_bodies)

"""The numbered text listing of expressions, graphs and functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..core.graph import Graph
from ..core.origins import call_within
from ..core.variable import Variable, constant_value, walk
from .labels import (
    Bodies,
    constant_text,
    input_ports,
    is_scalar_constant,
    operand_groups,
    output_ports,
    params_of,
)
from .subject import Shown, Subject, subject_of

__all__ = ["dprint", "listing"]

_INDENT = "    "


def listing(x: Shown) -> str:
    """The numbered listing of a variable, a list of them, a graph or a compiled function.

    One line for each node: number, name, op with its operands and parameters, dtype and shape. The
    body of a loop stands indented below the first loop that runs it. Numbers stand where they are
    used. The text is the same in every process. Anything else is a `SymgraphTypeError`.

    >>> x = sg.tensor("x", (3,))
    >>> print(sg.listing(sg.exp(x) * 2))
    %0 'x' = input : float32[3]
    %1 = exp(%0) : float32[3]
    %2 = multiply(%1, 2.0) : float32[3]
    outputs: %2
    """
    subject = subject_of(x, "listing")
    return call_within(subject.origins, lambda: _text(subject))


def _text(subject: Subject) -> str:
    lines = [f"function '{subject.name}'"] if subject.name else []
    # A list of pending parts instead of recursion: bodies may hold loops, and so on.
    bodies = Bodies()
    order = walk(subject.results, subject.inputs)
    numbers = _numbers(order)
    parts = [_lines(order, numbers, bodies, {})]
    while parts:
        entry = next(parts[-1], None)
        if entry is None:
            parts.pop()
        elif isinstance(entry, str):
            lines.append(_INDENT * (len(parts) - 1) + entry)
        else:
            parts.append(_body_lines(*entry, bodies))
    if subject.outputs:
        lines.append("outputs: " + ", ".join(_operand(v, numbers) for v in subject.outputs))
    for shared, new in subject.updates:
        lines.append(f"update: {_operand(shared, numbers)} <- {_operand(new, numbers)}")
    return "\n".join(lines)


def dprint(x: Shown) -> None:
    """Print the `listing` of a variable, a list of them, a graph or a compiled function.

    >>> sg.dprint(sg.zeros(2))
    %0 = broadcast_to(0.0; template=(2,)) : float32[2]
    outputs: %0
    """
    print(listing(x))


def _numbers(order: Sequence[Variable]) -> dict[Variable, int]:
    shown = (v for v in order if not is_scalar_constant(v))
    return {v: i for i, v in enumerate(shown)}


def _operand(v: Variable, numbers: dict[Variable, int]) -> str:
    value = constant_value(v)
    return constant_text(value) if value is not None and v not in numbers else f"%{numbers[v]}"


def _lines(
    order: Sequence[Variable],
    numbers: dict[Variable, int],
    bodies: Bodies,
    ports: dict[Variable, str],
) -> Iterator[str | tuple[Variable, Graph]]:
    """The lines of nodes; in between, an op and its body where a body is to be written out."""
    for v in order:
        if v not in numbers:
            continue
        fresh = [body for body in Bodies.of(v) if bodies.is_new(body)]
        name = f" '{v.name}'" if v.name and v not in ports else ""
        yield f"%{numbers[v]}{name} = {_expression(v, numbers, bodies, ports)} : {v.type}"
        for body in fresh:
            yield v, body


def _expression(
    v: Variable, numbers: dict[Variable, int], bodies: Bodies, ports: dict[Variable, str]
) -> str:
    if v in ports:
        return ports[v]
    value = constant_value(v)
    if value is not None:
        return f"constant {constant_text(value)}"
    if "leaf" in v.op.traits:
        return v.op.name
    inside = ", ".join(operand_groups(v, [_operand(x, numbers) for x in v.inputs]))
    params = ", ".join(params_of(v, bodies))
    return f"{v.op.title_of(v.params)}({inside}{'; ' if inside and params else ''}{params})"


def _body_lines(v: Variable, body: Graph, bodies: Bodies) -> Iterator[str | tuple[Variable, Graph]]:
    yield f"body {bodies.number(body)}:"
    order = walk(body.outputs, body.inputs)
    numbers = _numbers(order)
    ports = dict(zip(body.inputs, input_ports(v, body), strict=True))
    yield from _lines(order, numbers, bodies, ports)
    for label, output in zip(output_ports(v, body), body.outputs, strict=True):
        yield f"{label}: {_operand(output, numbers)}"

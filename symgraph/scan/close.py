"""A traced step made a closed body: what does not depend on the step is taken from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.graph import Graph, replace
from ..core.variable import Variable
from ..ops.broadcast import BROADCAST_TO
from ..ops.sizes import is_size

__all__ = ["close_body", "find_varying"]


def close_body(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    outer: Mapping[Variable, Variable] | None = None,
) -> tuple[Graph, list[Variable]]:
    """The canonical body with the given inputs first, and the outer variables for its other inputs.

    Outer variables are the largest subexpressions that do not change over time, in the order in
    which a walk from the outputs meets them: equal steps give equal bodies, whatever was made
    first. A broadcast stays inside, since outside it would be an array, and so do constants, and
    sizes, since within the body nothing would be known of an integer that was given.
    ``outer`` maps symbols that stand for outer variables to these.
    """
    varying = find_varying(outputs, inputs)
    found: dict[Variable, None] = {}
    constant: set[Variable] = set()
    seen: set[Variable] = set(inputs)
    stack = list(reversed(outputs))
    while stack:
        v = stack.pop()
        if v in seen:
            continue
        seen.add(v)
        if v in varying or v.op is BROADCAST_TO or is_size(v) or _is_constant(v, constant):
            stack.extend(reversed(v.inputs))
        else:
            found[v] = None
    graph = Graph([*inputs, *found], outputs)
    return graph.canonical(), replace(list(found), outer) if outer else list(found)


def find_varying(outputs: Sequence[Variable], symbols: Sequence[Variable]) -> set[Variable]:
    """The variables, among those that the outputs are made of, that depend on one of the symbols."""
    if not symbols:
        return set()
    # What is older than every symbol depends on none.
    oldest = min(v.serial for v in symbols)
    seen = {v for v in outputs if v.serial >= oldest}
    stack = list(seen)
    while stack:
        for x in stack.pop().inputs:
            if x.serial >= oldest and x not in seen:
                seen.add(x)
                stack.append(x)
    varying = set(symbols)
    for v in sorted(seen, key=lambda v: v.serial):
        if any(x in varying for x in v.inputs):
            varying.add(v)
    return varying


def _is_constant(variable: Variable, known: set[Variable]) -> bool:
    """Whether a variable is made of constants alone; ``known`` collects those that are."""
    seen: set[Variable] = set()
    stack = [variable]
    while stack:
        v = stack.pop()
        if v in seen or v in known:
            continue
        if "leaf" in v.op.traits and v.op.name != "constant":
            return False
        seen.add(v)
        stack.extend(v.inputs)
    known |= seen
    return True

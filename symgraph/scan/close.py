"""A traced step made a closed body: what does not depend on the step is taken from outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from operator import attrgetter

from ..core.dims import Dim, size_atoms
from ..core.graph import Graph, has_effect, replace
from ..core.variable import CONSTANT, Variable, make_input, node
from ..ops.broadcast import BROADCAST_TO
from ..ops.elementwise import MAXIMUM
from ..ops.promotion import cast_to
from ..ops.sizes import SIZE, is_size, known_size
from ..ops.slices import ADD_SLICE, SET_SLICE, SLICE, bounds_of
from .sizes import of_length

__all__ = ["close_body", "find_outer", "find_varying"]


def close_body(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    fixed: Mapping[Variable, Variable] | None = None,
    varying: Set[Variable] | None = None,
) -> tuple[Graph, list[Variable]]:
    """The canonical body with the given inputs first, and the outer variables for its other inputs.

    Outer variables are the largest subexpressions that do not change over time, in the order in
    which a walk from the outputs meets them: equal steps give equal bodies, whatever was made
    first. A broadcast stays inside, since outside it would be an array, and so do constants.

    Of an integer that the body is given nothing is known. So arithmetic on sizes stays inside, and
    a number that sets the size of an axis comes in as an array of this length. What is made of a
    number that may be negative, such as ``maximum(n, 0)``, is such a number, and ``n`` is not.
    ``fixed`` maps symbols that stand for outer variables to these. ``varying``: see `find_outer`.
    """
    inside, outer = find_outer(inputs, outputs, varying)
    lengths = {v: of_length(v) for v in _find_lengths(inside) if v in outer}
    operands = [lengths.get(v, v) for v in outer]
    if fixed:
        operands = replace(operands, fixed)
    # Operands may be of sizes that are known by other scalars outside.
    symbols = {
        v: make_input(x.type)
        for v, x in zip(outer, operands, strict=True)
        if v in lengths or x.type is not v.type
    }
    if symbols:
        values = {
            v: cast_to(node(SIZE, (x,), (0,)), v.dtype) if v in lengths else x
            for v, x in symbols.items()
        }
        outputs = replace(outputs, values, keep_lines=True)
        # Sizes that have to be checked now may bring in what they are read from.
        _, met = find_outer([*inputs, *symbols.values()], outputs)
        more = [v for v in met if v not in outer]
        outer.update(dict.fromkeys(more))
        operands += replace(more, fixed) if fixed else more
    graph = Graph([*inputs, *(symbols.get(v, v) for v in outer)], outputs)
    return graph.canonical(), operands


def find_outer(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    varying: Set[Variable] | None = None,
) -> tuple[list[Variable], dict[Variable, None]]:
    """The variables that a step with these inputs and outputs computes, and those from outside.

    ``varying``: those of them that change from step to step, where that is known.
    """
    varying = find_varying(outputs, inputs) if varying is None else varying
    inside: list[Variable] = []
    outer: dict[Variable, None] = {}
    constant: set[Variable] = set()
    seen: set[Variable] = set(inputs)
    stack = list(reversed(outputs))
    while stack:
        v = stack.pop()
        if v in seen:
            continue
        seen.add(v)
        is_inside = v in varying or v.op is BROADCAST_TO or (is_size(v) and not _is_clamped(v))
        if is_inside or _is_constant(v, constant):
            inside.append(v)
            stack.extend(reversed(v.inputs))
        else:
            outer[v] = None
    return inside, outer


def _is_clamped(v: Variable) -> bool:
    """Whether this is a size made of a number that may be negative, and so is no length itself."""
    if v.op is not MAXIMUM or not isinstance(size := known_size(v), Dim):
        return False
    return any(atom[0] == "number" for atom in size_atoms(size))


def _find_lengths(variables: Iterable[Variable]) -> set[Variable]:
    """The integer scalars that these variables have for the sizes of axes, or compute them from."""
    lengths: set[Variable] = set()
    for v in sorted(variables, key=attrgetter("serial"), reverse=True):
        if "template" in v.op.params:
            template = v.params[v.op.params.index("template")]
            lengths.update(v.inputs[len(v.inputs) - template.count(None) :])
        elif v.op in (SLICE, SET_SLICE, ADD_SLICE):
            lengths.update(bounds_of(v))
        elif v in lengths and is_size(v) and v.op is not SIZE:
            lengths.update(v.inputs)
    return lengths


def find_varying(outputs: Sequence[Variable], symbols: Sequence[Variable]) -> set[Variable]:
    """Of the variables that the outputs are made of, those that depend on one of the symbols.

    What the symbols are made of, where they stand for values that are, is left out.
    """
    if not symbols:
        return set()
    # What is older than every symbol depends on none.
    oldest = min(v.serial for v in symbols)
    varying = set(symbols)
    seen = {v for v in outputs if v.serial >= oldest and v not in varying}
    stack = list(seen)
    while stack:
        for x in stack.pop().inputs:
            if x.serial >= oldest and x not in seen and x not in varying:
                seen.add(x)
                stack.append(x)
    for v in sorted(seen, key=attrgetter("serial")):
        if not varying.isdisjoint(v.inputs):
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
        if ("leaf" in v.op.traits and v.op is not CONSTANT) or has_effect(v):
            return False
        seen.add(v)
        stack.extend(v.inputs)
    known |= seen
    return True

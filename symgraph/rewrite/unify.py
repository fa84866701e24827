"""Sizes of inputs that must agree, made one at the inputs.

Where ``log(exp(u) + exp(v))`` adds two vectors of sizes that nobody named, the sum checks that they
agree, and only from there on they are one size: the exponentials below have different types, and no
rule sees what they have in common. A check at the inputs unites all that is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core import provenance
from ..core.dims import Dim, Size
from ..core.errors import SymgraphError
from ..core.graph import Graph, replace
from ..core.variable import Variable, node
from ..ops.broadcast import REARRANGE
from ..ops.create import zeros
from ..ops.gather import GATHER
from ..ops.join import CONCATENATE
from ..ops.linalg import MATMUL
from ..ops.sizes import CHECK_SIZE, preferred_size

__all__ = ["unify_inputs"]

# For each size the axes of inputs that have it: the input and the axis.
_Places = Mapping[Size, Sequence[tuple[Variable, int]]]


def unify_inputs(graph: Graph, *, keeps_types: bool = False) -> Graph:
    """The graph in which sizes of inputs that a check compares are compared at the inputs.

    It is the graph as it was where they could be one on no call, or on such alone that have empty
    axes; with ``keeps_types``, which is for who reads the outputs from outside, also where the type
    of an output would be another one.
    """
    checks = [v for v in graph.nodes if v.op is CHECK_SIZE]
    if not checks:
        return graph
    places = _places(graph)
    checked: dict[Variable, Variable] = {}
    for size, (model, check) in _united(checks, places).items():
        place = _place_of(model, places)
        for x, axis in places[size]:
            made = _checked(checked.get(x, x), axis, place, check.params[2])
            provenance.set_lines(made, provenance.lines_of(check))
            checked[x] = made
    if not checked:
        return graph
    try:
        outputs = replace(graph.outputs, checked | {made: made for made in checked.values()})
    except SymgraphError:
        return graph
    if keeps_types:
        pairs = list(zip(graph.outputs, outputs, strict=True))
        outputs = [_with_sizes_of(old, new, places) for old, new in pairs]
        if not all(new.type is old.type for (old, _), new in zip(pairs, outputs, strict=True)):
            return graph
    return Graph(graph.inputs, outputs)


def _with_sizes_of(old: Variable, new: Variable, places: _Places) -> Variable:
    """An output with the sizes that it had, where these are sizes of inputs."""
    for axis, size in enumerate(old.type.shape):
        if new.type.shape[axis] != size and size in places:
            new = _checked(new, axis, places[size][0], "output")
    return new


def _checked(x: Variable, axis: int, place: tuple[Variable, int], context: str) -> Variable:
    """What has the size of a place along an axis, at the call; also where both sizes have names.

    Who said that two named sizes are one may do so: `check_size` would refuse it.
    """
    other, other_axis = place
    return node(CHECK_SIZE, (x, other), (axis, other_axis, context))


def _place_of(size: Size, places: _Places) -> tuple[Variable, int]:
    """Something that has this size, and the axis; of an input, or a number."""
    return (zeros(size), 0) if isinstance(size, int) else places[size][0]


def _places(graph: Graph) -> _Places:
    places: dict[Size, list[tuple[Variable, int]]] = {}
    for x in graph.nodes:
        if "leaf" in x.op.traits:
            for axis, size in enumerate(x.type.shape):
                places.setdefault(size, []).append((x, axis))
    return places


def _united(checks: Sequence[Variable], places: _Places) -> dict[Size, tuple[Size, Variable]]:
    """For sizes of inputs the one that takes their place, and a check that says so."""
    united: dict[Size, tuple[Size, Variable]] = {}

    def settled(size: Size) -> Size:
        while size in united:
            size = united[size][0]
        return size

    for check in checks:
        axis, other_axis, _ = check.params
        x, other = check.inputs
        a, b = settled(x.type.shape[axis]), settled(other.type.shape[other_axis])
        model = preferred_size(b, a)
        size = a if model is b else b
        if a == b or not isinstance(size, Dim) or size not in places:
            continue  # two numbers that differ are an error at the call
        if isinstance(model, int):
            is_told = _is_made_of(x, [leaf for leaf, _ in places[size]])
        else:
            is_told = model in places
        if is_told:
            united[size] = (model, check)
    return {size: (settled(size), check) for size, (_, check) in united.items()}


def _is_made_of(x: Variable, leaves: Sequence[Variable]) -> bool:
    """Whether values of leaves are certain to be read for ``x``.

    Of a size that becomes a number nobody asks any more: a check of a leaf that a loop reads for
    its length, and no step, would be gone with it.
    """
    wanted, seen, pending = set(leaves), {x}, [x]
    while pending:
        v = pending.pop()
        if v in wanted:
            return True
        if v.op.formula is not None or v.op in (GATHER, MATMUL, CONCATENATE, REARRANGE):
            pending += [y for y in v.inputs if y not in seen]
            seen.update(v.inputs)
    return False

"""Sizes that are checked to agree made one size, so that what is computed with them can fuse.

``x + y`` for arrays of unknown lengths checks that they agree; from there on both lengths are one
number. The graph is rebuilt with inputs whose types say so, and the checks are left to the entry.
"""

from __future__ import annotations

from ....core import provenance
from ....core.dims import Atom, Dim, Size, substitute_size
from ....core.errors import ShapeError
from ....core.graph import Graph, rebuild
from ....core.variable import Variable, make_input
from ....ops.sizes import CHECK_SIZE, preferred_size

__all__ = ["unify_sizes"]


def unify_sizes(graph: Graph) -> tuple[Graph, list[Variable]]:
    """The graph with as few sizes as its checks allow, and the checks that are left to others."""
    checks = [v for v in graph.nodes if v.op is CHECK_SIZE]
    if not checks:
        return graph, []
    atoms = {s.atom for v in graph.inputs for s in v.type.shape if isinstance(s, Dim)}
    merged: dict[Atom, Size] = {}
    used: list[Variable] = []
    for v in checks:
        axis, other_axis, _ = v.params
        a, b = (
            _resolved(size, merged)
            for size in (v.inputs[0].type.shape[axis], v.inputs[1].type.shape[other_axis])
        )
        if a == b:
            used.append(v)
            continue
        new = preferred_size(a, b)
        old = b if new is a else a
        # Only sizes of arguments: those are compared before anything is computed.
        atom = old.atom if isinstance(old, Dim) else None
        is_told = isinstance(new, int) or new.atom in atoms
        if atom is not None and atom in atoms and is_told:
            merged[atom] = new
            used.append(v)
    if not merged:
        return graph, []
    try:
        return _merged(graph, merged), used
    except ShapeError:
        # As one, sizes differ elsewhere, unless axes are empty: each call looks at them.
        return graph, []


def _merged(graph: Graph, merged: dict[Atom, Size]) -> Graph:
    """The graph on inputs whose types tell that sizes are the same."""
    inputs = {v: _input_like(v, merged) for v in graph.inputs}
    new: dict[Variable, Variable] = dict(inputs)
    for v in graph.nodes:
        if v not in new:
            new[v] = _with(v, [new[x] for x in v.inputs])
    return Graph(list(inputs.values()), [new[v] for v in graph.outputs])


def _with(v: Variable, inputs: list[Variable]) -> Variable:
    """The node on these inputs; a check that cannot fail is its operand."""
    if v.op is CHECK_SIZE:
        axis, other_axis, _ = v.params
        if inputs[0].type.shape[axis] == inputs[1].type.shape[other_axis]:
            return inputs[0]
    if tuple(inputs) == v.inputs:
        return v
    new = rebuild(v, inputs)
    provenance.set_lines(new, provenance.lines_of(v))
    return new


def _resolved(size: Size, merged: dict[Atom, Size]) -> Size:
    while isinstance(size, Dim):
        new = substitute_size(size, merged)
        if new == size:
            break
        size = new
    return size


def _input_like(v: Variable, merged: dict[Atom, Size]) -> Variable:
    shape = tuple(_resolved(size, merged) for size in v.type.shape)
    return v if shape == v.type.shape else make_input(v.type.with_shape(shape))

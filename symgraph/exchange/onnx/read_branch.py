"""If of ONNX: the branch of a condition that is known, or else both of which one is chosen.

Exporters put loops that may take no step into an If, ours too: there both branches give values of
no elements where the condition does not hold, and the loop's own is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...core.dims import Atom, Dim, Size, substitute_size
from ...core.types import TensorType
from ...core.variable import Variable, constant_value
from ...ops.broadcast import REARRANGE
from ...ops.comparison import GREATER, NOT_EQUAL
from ...ops.elementwise import ifelse, where
from ...ops.join import concatenate
from ...ops.promotion import CAST
from ...ops.reshape import RESHAPE, reshape
from ...ops.sizes import is_size, shape_of, size_of
from ...ops.slices import slice_axis
from .read_node import Node
from .read_registry import reads
from .read_values import Sizes, Value, as_entries, as_variable, objects


@reads("If")
def _if(node: Node) -> tuple[Value, ...]:
    condition = node.known(0)
    if condition is not None:
        return tuple(node.run("then_branch" if condition.all() else "else_branch"))
    scalar = node.variable(0)
    scalar = scalar if scalar.ndim == 0 else reshape(scalar, ())
    branches = [node.run(name) for name in ("then_branch", "else_branch")]
    if len(branches[0]) != len(branches[1]):
        raise node.refusal(f"its branches have {len(branches[0])} and {len(branches[1])} outputs")
    return tuple(_chosen(node, scalar, x, y) for x, y in zip(*branches, strict=True))


def _chosen(node: Node, condition: Variable, x: Value, y: Value) -> Value:
    """The value of one of two branches."""
    if x is y:
        return x
    if isinstance(x, (Sizes, np.ndarray)) and isinstance(y, (Sizes, np.ndarray)):
        a, b = as_entries(x), as_entries(y)
        if a is not None and b is not None and a.shape == b.shape:
            pairs = zip(a.reshape(-1), b.reshape(-1), strict=True)
            chosen = [p if p is q else ifelse(condition, p, q) for p, q in pairs]
            return Sizes(objects(chosen).reshape(a.shape), x.dtype)
    first, second = as_variable(x, "a branch"), as_variable(y, "a branch")
    if first.ndim != second.ndim:
        raise node.refusal(
            f"its branches give {first.type} and {second.type}, and the condition is not known",
            remedy="If the condition depends on an input, give its value: known={…}.",
        )
    if _is_empty_without(condition, first.type, second.type):
        return first
    return _of_either_size(node, condition, first, second)


# --- branches of no elements --------------------------------------------------------------------


def _is_empty_without(condition: Variable, x: TensorType, y: TensorType) -> bool:
    """Whether both are of the same sizes, and have no elements, where a condition does not hold.

    The condition is then that there are elements: a size, or a product of sizes, is not 0.
    """
    atoms = list(_atoms_of(_counted(condition)))
    return bool(atoms) and all(_is_empty_at(atom, x, y) for atom in atoms)


def _is_empty_at(atom: Atom, x: TensorType, y: TensorType) -> bool:
    sizes, others = ([substitute_size(size, {atom: 0}) for size in t.shape] for t in (x, y))
    return sizes == others and 0 in sizes


def _counted(condition: Variable) -> Size | None:
    """The size of which a condition says that it is not 0, if it does."""
    v = condition
    if v.op in (GREATER, NOT_EQUAL):
        zero = constant_value(v.inputs[1])
        if zero is None or np.any(zero):
            return None
        v = v.inputs[0]
    while v.op in (CAST, RESHAPE, REARRANGE) and not is_size(v):
        v = v.inputs[0]
    return size_of(v) if v.ndim == 0 and is_size(v) else None


def _atoms_of(size: Size | None) -> Iterator[Atom]:
    """The parts of a product, each of which makes it 0; none of a sum."""
    if isinstance(size, Dim) and len(size.terms) == 1:
        yield from size.terms[0][0]


# --- branches of other sizes --------------------------------------------------------------------


def _of_either_size(node: Node, condition: Variable, x: Variable, y: Variable) -> Variable:
    """One of the values, which may differ in the size of one axis."""
    pairs = zip(x.type.shape, y.type.shape, strict=True)
    differing = [axis for axis, (a, b) in enumerate(pairs) if a != b]
    if not differing:
        return ifelse(condition, x, y)
    if len(differing) > 1:
        raise node.refusal(
            f"its branches give {x.type} and {y.type}, and the condition is not known",
            remedy="If the condition depends on an input, give its value: known={…}.",
        )
    (axis,) = differing
    kept = where(condition, shape_of(x)[axis], 0), where(condition, 0, shape_of(y)[axis])
    parts = [slice_axis(v, axis, 0, size) for v, size in zip((x, y), kept, strict=True)]
    return parts[0] if y.type.shape[axis] == 0 else concatenate(parts, axis)

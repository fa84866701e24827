"""Nodes that have no native code: Python computes them in the middle of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.dims import Dim
from ...core.variable import Variable
from ...ops.sizes import size_of
from ...scan.op import SCAN
from .lowering import Place, PythonStep

if TYPE_CHECKING:
    from .lower import Scope

__all__ = ["call_python"]


def call_python(scope: Scope, v: Variable) -> None:
    """Compute the node in Python: its result is copied to where it belongs."""
    a = scope.assembler
    inputs = []
    for x in v.inputs:
        if x.op is SCAN:
            raise AssertionError("a loop has a lowering")
        place = scope.place(x) if x in scope.needed else _size_in_memory(scope, x)
        shape = tuple(a.size(s) for s in x.type.shape)
        strides = tuple(a.size(s) for s in place.strides)
        inputs.append((place.base, shape, strides, x.dtype))
    outputs = [_python_output(scope, v)]
    scope.lowering.steps.append(
        PythonStep(v, tuple(inputs), tuple(outputs), tuple(scope.lowering.loops))
    )
    a.run("python", len(scope.lowering.steps) - 1)


def _size_in_memory(scope: Scope, x: Variable) -> Place:
    """A size that nobody has computed as a value, for Python to read."""
    a = scope.assembler
    slot = a.memory(1, x.dtype)
    a.run("write", slot, a.size(size_of(x)))
    return Place(slot, ())


def _python_output(scope: Scope, v: Variable) -> tuple[int, tuple[int, ...], bool]:
    a = scope.assembler
    unknown = [s for s in v.type.shape if not a.is_bound(s)]
    if not unknown:
        return scope.base(v), tuple(a.size(s) for s in v.type.shape), True
    slots = []
    for size in v.type.shape:
        atom = size.atom if isinstance(size, Dim) else None
        if isinstance(size, Dim) and not a.is_bound(size) and atom is not None:
            a.bind(atom, a.slot(), at_entry=False)
            slots.append(a.atoms[atom])
        else:
            slots.append(-1)
    scope.bases[v] = scope.bases.get(v) or a.slot()
    return scope.bases[v], tuple(slots), False

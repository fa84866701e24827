"""Nodes that have no native code: Python computes them in the middle of the program."""

from __future__ import annotations

from ....core.binding import solved_for
from ....core.dims import Size, floor_div, fresh_number
from ....core.variable import ITEM, Variable
from ....ops.sizes import size_of
from ....scan.op import SCAN
from .program import Place, PythonOperand, PythonResult, PythonStep
from .scope import Scope

__all__ = ["call_python"]


def call_python(scope: Scope, v: Variable) -> None:
    """Compute the node in Python: its results are copied to where they belong.

    Sizes that only the results tell are known from then on.
    """
    read = set(scope.values.reads[v])
    inputs = tuple(
        _array(scope, x, scope.place(x) if x in read else _size_in_memory(scope, x))
        for x in v.inputs
    )
    found: dict[Size, int] = {}
    results = tuple(_result(scope, i, x, found) for i, x in _results_read(scope, v))
    lowering = scope.builder
    lowering.steps.append(PythonStep(v, inputs, results, tuple(lowering.loops)))
    scope.assembler.run("python", len(lowering.steps) - 1)
    for size, slot in found.items():
        _bind(scope, size, slot)


def _results_read(scope: Scope, v: Variable) -> list[tuple[int, Variable]]:
    """The results that are wanted, with their numbers."""
    if v.op is not SCAN:
        return [(0, v)]
    users = [x for x, _ in scope.graph.users[v] if x in scope.values.needed]
    return [(x.params[0], x) for x in users if x.op is ITEM]


def _array(scope: Scope, x: Variable, place: Place) -> PythonOperand:
    a = scope.assembler
    shape = tuple(a.size(s) for s in x.type.shape)
    strides = tuple(a.size(s) for s in place.strides)
    return PythonOperand(place.base, shape, strides, x.dtype)


def _size_in_memory(scope: Scope, x: Variable) -> Place:
    """A size, which need not lie in memory as a value; or an array of which only sizes are asked,
    with no memory at all."""
    a = scope.assembler
    if x.ndim:
        return Place(a.literal(0), (0,) * x.ndim)
    slot = a.memory(1, x.dtype)
    a.run("write", slot, a.size(size_of(x)))
    return Place(slot, ())


def _result(scope: Scope, number: int, x: Variable, found: dict[Size, int]) -> PythonResult:
    """Where the result goes; slots for sizes that it tells are added to ``found``."""
    a = scope.assembler
    unknown = [size for size in x.type.shape if not a.is_bound(size)]
    if not unknown:
        sizes = tuple(a.size(s) for s in x.type.shape)
        return PythonResult(number, scope.base(x), sizes, has_room=True)
    for size in unknown:
        if size not in found:
            found[size] = a.slot()
    if x not in scope.bases:
        scope.bases[x] = a.slot()
    sizes = tuple(-1 if a.is_bound(size) else found[size] for size in x.type.shape)
    return PythonResult(number, scope.bases[x], sizes, has_room=False)


def _bind(scope: Scope, size: Size, slot: int) -> None:
    """Let the atom be known that a size tells, which lies in the slot by now."""
    a = scope.assembler
    solved = solved_for(size)
    if solved is None or a.is_bound(size):
        return
    atom, factor, constant = solved
    told = fresh_number()
    assert told.atom is not None
    a.bind(told.atom, slot, at_entry=False)
    a.bind(atom, a.size(floor_div(told - constant, factor)), at_entry=False)

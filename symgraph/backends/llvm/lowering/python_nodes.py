"""Nodes that have no native code: Python computes them in the middle of the program."""

from __future__ import annotations

from ....core.binding import solved_for
from ....core.dims import Size, floor_div, fresh_number
from ....core.types import TensorType
from ....core.variable import Variable
from ....ops.sizes import size_of
from ..machine.assembler import Assembler
from .program import Place, PythonNode, PythonOperand, PythonResult
from .scope import Scope

__all__ = ["call_python"]


def call_python(scope: Scope, v: Variable) -> None:
    """Compute the node in Python: its results are copied to where they belong.

    Sizes that only the results tell are known from then on.
    """
    builder, reads = scope.builder, set(scope.values.reads[v])
    inputs = tuple(
        _operand(scope, x, scope.place(x) if x in reads else _size_in_memory(scope, x))
        for x in v.inputs
    )
    slots: dict[Size, int] = {}
    results = tuple(_result(scope, i, x, slots) for i, x in _results_read(scope, v))
    builder.python_nodes.append(PythonNode(v, inputs, results, tuple(builder.loops)))
    scope.assembler.run("python", len(builder.python_nodes) - 1)
    for size, slot in slots.items():
        _bind(scope.assembler, size, slot)


def _results_read(scope: Scope, v: Variable) -> list[tuple[int, Variable]]:
    """The results that are wanted, with their numbers."""
    if isinstance(v.type, TensorType):
        return [(0, v)]
    items = (x for x, _ in scope.graph.users[v] if x in scope.values.needed)
    return [(x.params[0], x) for x in items]


def _operand(scope: Scope, x: Variable, place: Place) -> PythonOperand:
    sizes, strides = (tuple(map(scope.assembler.size, s)) for s in (x.type.shape, place.strides))
    return PythonOperand(place.base, sizes, strides, x.dtype)


def _size_in_memory(scope: Scope, x: Variable) -> Place:
    """A size, which need not lie in memory as a value; or an array of which only sizes are asked,
    with no memory at all."""
    a = scope.assembler
    if x.ndim:
        return Place(a.literal(0), (0,) * x.ndim)
    slot = a.memory(1, x.dtype)
    a.run("write", slot, a.size(size_of(x)))
    return Place(slot, ())


def _result(scope: Scope, number: int, x: Variable, slots: dict[Size, int]) -> PythonResult:
    """Where the result goes; sizes that it tells are given slots."""
    a, shape = scope.assembler, x.type.shape
    untold = [size for size in shape if not a.is_bound(size)]
    if not untold:
        place = scope.place(x)  # a trace of a loop need not lie in C order
        sizes, strides = (tuple(map(a.size, s)) for s in (shape, place.strides))
        return PythonResult(number, place.base, sizes, strides, x.dtype)
    for size in untold:
        if size not in slots:
            slots[size] = a.slot()
    if x not in scope.bases:
        scope.bases[x] = a.slot()
    sizes = tuple(slots[size] if size in untold else -1 for size in shape)
    return PythonResult(number, scope.bases[x], sizes, None, x.dtype)


def _bind(a: Assembler, size: Size, slot: int) -> None:
    """Let the atom be known that a size tells, which lies in the slot by now."""
    solved = solved_for(size)
    if solved is None or a.is_bound(size):
        return
    atom, factor, constant = solved
    number = fresh_number()
    assert number.atom is not None
    a.bind(number.atom, slot, at_entry=False)
    a.bind(atom, a.size(floor_div(number - constant, factor)), at_entry=False)

"""Lowerings of what moves numbers and computes none: sizes, reshapes, joins, changed slices."""

from __future__ import annotations

from typing import Any

from ....core.dims import Size
from ....core.variable import Variable, node
from ....ops.slices import SLICE
from ..analysis.layout import View, contiguous_strides, elements_needed, view_of
from ..kernels.nest import Access, Nest, Output, Step
from .program import Place
from .records import rule
from .scope import Scope


@rule("size")
def lower_size(scope: Scope, v: Variable) -> bool:
    """A size as a value."""
    a = scope.assembler
    a.run("write", scope.base(v), a.size(v.inputs[0].type.shape[v.params[0]]))
    return True


@rule("reshape")
def lower_reshape(scope: Scope, v: Variable) -> bool:
    """A reshape of what does not lie in C order: a copy that does."""
    (x, *_) = v.inputs
    target = Place(scope.base(v), contiguous_strides(x.type.shape))
    scope.lowering.copy(scope.place(x), target, x.type.shape, x.dtype)
    return True


@rule("concatenate")
def lower_concatenate(scope: Scope, v: Variable) -> bool:
    """Each operand copied to its part of the result."""
    (axis,) = v.params
    strides = contiguous_strides(v.type.shape)
    start: Size = 0
    for i, x in enumerate(v.inputs):
        target = View(v, start * strides[axis], x.type.shape, strides)
        if scope.views[x] != target or x in v.inputs[:i]:
            base = scope.assembler.address(scope.base(v), target.offset, v.dtype)
            scope.lowering.copy(scope.place(x), Place(base, strides), x.type.shape, x.dtype)
        start = start + x.type.shape[axis]
    return True


@rule("set_slice", "add_slice")
def lower_change(scope: Scope, v: Variable) -> bool:
    """A copy of the array, and then its part changed."""
    x, values, *symbols = v.inputs
    whole = View.whole(v)
    read = node(SLICE, (x, *symbols), v.params)
    part = view_of(read, whole)
    if part is None:
        return False
    for size, least in elements_needed(read):
        slots = [scope.assembler.size(size), scope.assembler.literal(least)]
        scope.assembler.run("at_least", *slots, scope.lowering.check(v, *slots))
    base = scope.base(v)
    scope.lowering.copy(scope.place(x), Place(base, whole.strides), v.type.shape, v.dtype)
    target = Place(scope.assembler.address(base, part.offset, v.dtype), part.strides)
    if v.op.name == "set_slice":
        scope.lowering.copy(scope.place(values), target, values.type.shape, v.dtype)
        return True
    inputs = [
        Access(target.base, target.strides, v.dtype),
        Access(scope.place(values).base, scope.place(values).strides, v.dtype),
    ]
    step = Step(_add, (), (("input", 0), ("input", 1)))
    output = Output(Access(target.base, target.strides, v.dtype), ("step", 0))
    scope.lowering.nest(Nest(tuple(values.type.shape), frozenset(), inputs, [step], [output]))
    return True


def _add(maths: Any, x: Any, y: Any) -> Any:
    return maths.bit_or(x, y) if x.dtype.kind == "b" else maths.add(x, y)

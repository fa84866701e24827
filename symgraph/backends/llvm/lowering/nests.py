"""A group of elementwise work and reductions as one loop nest."""

from __future__ import annotations

from ....core.dims import Size
from ....core.variable import CONSTANT, Variable
from ..analysis.cluster import Group
from ..analysis.layout import contiguous_strides, stretched
from ..kernels.nest import Access, Nest, Operation, Output
from .scope import Scope

__all__ = ["nest_of"]


def nest_of(scope: Scope, group: Group) -> Nest:
    """The nest that computes the group's nodes."""
    return _Builder(scope, group).nest()


class _Builder:
    """A group as a nest."""

    def __init__(self, scope: Scope, group: Group) -> None:
        self.scope = scope
        self.group = group
        assert group.space is not None
        self.space: tuple[Size, ...] = group.space
        self.inputs: list[Access] = []
        self.references: dict[Variable, tuple] = {}
        self.input_of: dict[Access, int] = {}
        """Accesses that are equal read the same number at each point of the space."""

    def nest(self) -> Nest:
        """Inputs, operations and outputs of the group."""
        operations: list[Operation] = []
        outputs: list[Output] = []
        for v in self.group.nodes:
            arguments = tuple(self._reference(x) for x in v.inputs)
            if v.op.formula is not None:
                self.references[v] = ("operation", len(operations))
                operations.append(Operation(v.op.formula, v.params, arguments))
                if self._escapes(v):
                    outputs.append(Output(self._target(v), self.references[v]))
            else:
                access = self._total(v)
                outputs.append(Output(access, arguments[0], self.scope.builder.totals[v.op]))
        return Nest(self.space, self.group.reduced, self.inputs, operations, outputs)

    def _reference(self, x: Variable) -> tuple:
        reference = self.references.get(x)
        if reference is not None:
            return reference
        if x.op is CONSTANT and x.params[0].array.size == 1:
            array = x.params[0].array
            return ("constant", array.tobytes(), array.dtype)
        place = self.scope.place(x)
        strides = stretched(x.type.shape, place.strides, self.space)
        access = Access(place.base, strides, x.dtype)
        index = self.input_of.get(access)
        if index is None:
            index = self.input_of[access] = len(self.inputs)
            self.inputs.append(access)
        reference = self.references[x] = ("input", index)
        return reference

    def _escapes(self, v: Variable) -> bool:
        if v in self.scope.values.outputs or self.scope.values.views[v].root is not v:
            return True
        if v in self.scope.values.sizes_by_value:
            return True  # it is read from memory
        readers = self.scope.readers.get(v, set())
        return bool(readers - {self.group.number}) or v in self.scope.values.lasting

    def _target(self, v: Variable) -> Access:
        place = self.scope.place(v)
        return Access(place.base, stretched(v.type.shape, place.strides, self.space), v.dtype)

    def _total(self, v: Variable) -> Access:
        rest = [axis for axis in range(len(self.space)) if axis not in self.group.reduced]
        strides: list[Size] = [0] * len(self.space)
        dense = contiguous_strides([self.space[axis] for axis in rest])
        for axis, stride in zip(rest, dense, strict=True):
            strides[axis] = stride
        return Access(self.scope.base(v), tuple(strides), v.dtype)

"""What is known of the values of a graph before anything is written.

Where each lies (in a buffer of its own, or as a view of another value), which of them are read at
all, which scalars tell sizes, and which sizes have to be checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ....core.dims import Atom, Dim, Size, maximum_zero, product, size_atoms
from ....core.graph import Graph
from ....core.types import is_integer
from ....core.variable import ITEM, Variable
from ....ops.broadcast import BROADCAST_TO
from ....ops.join import CONCATENATE
from ....ops.reshape import RESHAPE
from ....ops.sizes import CHECK_SIZE, SIZE, size_of
from ....ops.slices import SLICE
from ....scan.op import SCAN
from ..machine.assembler import Assembler
from .layout import View, contiguous_strides, elements_needed, view_of

__all__ = ["SizeCheck", "Values"]

# Views whose other inputs are sizes.
_SIZED = frozenset({"broadcast_to", "reshape", "slice"})


def _sizes_asked_of(v: Variable) -> list[Size]:
    """The sizes that the node's lowering has to know."""
    sizes = list(v.type.shape) if hasattr(v.type, "shape") else []
    if v.op is SCAN:
        sizes.append(size_of(v.inputs[0]))
    elif v.op is SLICE:
        sizes += map(size_of, v.inputs[1:])
    return sizes


class SizeCheck(NamedTuple):
    """Two sizes that must agree, or of which one is the least: the rule, the node, the sizes."""

    rule: str
    node: Variable
    size: Size
    other: Size


class Values:
    """The values of one graph."""

    def __init__(
        self, graph: Graph, assembler: Assembler, given: Mapping[Variable, tuple[Size, ...]]
    ) -> None:
        self.graph = graph
        self.assembler = assembler
        self.views = {v: View(v, 0, v.type.shape, strides) for v, strides in given.items()}
        self.producers = {v: v for v in given}
        self.given = frozenset(given)
        self.outputs = frozenset(graph.outputs)
        self.late: dict[Variable, View] = {}
        """Views with bounds that the program computes: copied when these are known."""
        self._lay_out()
        self.sizes_by_value = self._find_sizes_by_value()
        self.told_by: dict[Variable, list[Variable]] = {}
        """The scalars that tell sizes, by the node that computes what they are views of."""
        for v in self.sizes_by_value:
            self.told_by.setdefault(self.producers[v], []).append(v)
        self._late_sizes = self._find_late_sizes()
        self.needed = self._find_needed()

    def _parts_in_place(self) -> dict[Variable, View]:
        """Operands of concatenations that can be computed where they will stand."""
        found: dict[Variable, View] = {}
        for v in self.graph.nodes:
            if v.op is not CONCATENATE:
                continue
            if not all(map(self.assembler.is_known_at_entry, v.type.shape)):
                continue  # the room of the whole is not there when the parts are computed
            (axis,) = v.params
            strides = contiguous_strides(v.type.shape)
            start: Size = 0
            for x in v.inputs:
                if x.op.formula is not None and x not in found and x not in self.outputs:
                    found[x] = View(v, start * strides[axis], x.type.shape, strides)
                start = start + x.type.shape[axis]
        return found

    def _lay_out(self) -> None:
        in_place = self._parts_in_place()
        for v in self.graph.nodes:
            if v in self.views:
                continue
            if v.op is ITEM:
                self.producers[v] = v.inputs[0]
                self.views[v] = View.whole(v)
                continue
            view = None
            if v.inputs and v.inputs[0] in self.views:
                view = view_of(v, self.views[v.inputs[0]])
            if (
                view is not None
                and not all(
                    self.is_size(x) for x in v.inputs[1:] if x.ndim == 0 and is_integer(x.dtype)
                )
                and v.op.name in _SIZED
            ):
                self.late[v] = view
                view = None
            if view is None:
                self.producers[v] = v
                view = in_place.get(v)
                if view is None and v.op is not SCAN and hasattr(v.type, "shape"):
                    view = View.whole(v)
            else:
                self.producers[v] = self.producers[v.inputs[0]]
            if view is not None:
                self.views[v] = view

    def _find_sizes_by_value(self) -> dict[Variable, Atom]:
        """The int64 scalars that stand for sizes which only their values tell."""
        atoms = {
            atom
            for v in self.graph.nodes
            for size in _sizes_asked_of(v)
            for atom in size_atoms(size)
            if not self.assembler.knows(atom)
        }
        found: dict[Variable, Atom] = {}
        if not atoms:
            return found
        for v in self.graph.nodes:
            if hasattr(v.type, "shape") and v.type.shape == () and v.dtype == np.int64:
                size = size_of(v)
                if isinstance(size, Dim) and size.atom in atoms:
                    found[v] = size.atom
        return found

    def _find_late_sizes(self) -> set[Variable]:
        """The nodes that look at a size which is known when its array has been made."""
        axis_of = {SIZE: 0, CHECK_SIZE: 1}
        return {
            v
            for v in self.graph.nodes
            if v.op in axis_of
            and not self.assembler.is_bound(v.inputs[-1].type.shape[v.params[axis_of[v.op]]])
        }

    def _find_needed(self) -> set[Variable]:
        """The nodes whose elements are read: not those of which only a size matters."""
        needed = {*self.graph.outputs, *self.sizes_by_value}
        for v in reversed(self.graph.nodes):
            if v.op is CHECK_SIZE:
                needed.add(v)  # what may fail is looked at even if nobody reads the result
            if v in needed and v not in self.given:
                needed.update(self.data_inputs(v))
        return needed

    def data_inputs(self, v: Variable) -> list[Variable]:
        """The inputs whose elements the node reads."""
        if v.op is SIZE or v.op is CHECK_SIZE:
            return list(v.inputs if v in self._late_sizes else v.inputs[:-1])
        if v.op is SCAN:
            return [x for i, x in enumerate(v.inputs) if i or not self.is_size(x)]
        first = {"broadcast_to": 1, "reshape": 1, "slice": 1, "iota": 0}.get(v.op.name)
        if first is None or (v in self.views and self.views[v].root is v and v.op is SLICE):
            return list(v.inputs)
        return [x for i, x in enumerate(v.inputs) if i < first or not self.is_size(x)]

    def is_size(self, x: Variable) -> bool:
        """Whether an integer scalar is known from the arguments' shapes."""
        return self.assembler.is_known_at_entry(size_of(x))

    def size_checks(self, v: Variable) -> list[SizeCheck]:
        """Sizes that must agree, or be large enough: the rule, the node, and the sizes."""
        if v.op is CHECK_SIZE:
            x, other = v.inputs
            return [SizeCheck("check", v, x.type.shape[v.params[0]], other.type.shape[v.params[1]])]
        if v.op is RESHAPE:
            before, after = product(v.inputs[0].type.shape), product(v.type.shape)
            if before == after:
                return []
            return [*self._no_less(v), SizeCheck("check", v, before, after)]
        if v.op is BROADCAST_TO:
            return self._no_less(v)
        if v not in self.needed:
            return []
        if v.op is SLICE:
            return [SizeCheck("at_least", v, size, least) for size, least in elements_needed(v)]
        if v.op.name == "windows":
            axis, size, _, dilation = v.params
            length = v.inputs[0].type.shape[axis]
            least = (size - 1) * dilation + 1
            return [SizeCheck("at_least", v, length, least)] if isinstance(length, Dim) else []
        if v.op.name in ("max", "min"):
            sizes = [v.inputs[0].type.shape[axis] for axis in v.params[0]]
            return [SizeCheck("at_least", v, size, 1) for size in sizes if isinstance(size, Dim)]
        return []

    def _no_less(self, v: Variable) -> list[SizeCheck]:
        """Checks of the sizes that the user computes: none is negative."""
        return [
            SizeCheck("at_least", v, size, 0)
            for size in map(size_of, v.inputs[1:])
            if isinstance(size, Dim)
            and (maximum_zero(size) is not size or not self.assembler.is_known_at_entry(size))
        ]

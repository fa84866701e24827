"""Where the values of a scope lie: slots of addresses, strides, sizes that are known by now.

A scope is a graph at one level of loops: the function itself, or a loop's body. Values that are
views are resolved to strides; the others lie in buffers, which are given back when nobody reads
them any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ....core.dims import product
from ....core.graph import Graph
from ....core.variable import CONSTANT, ITEM, Variable
from ..analysis.analyses import CLUSTER, LAYOUT
from ..analysis.cluster import Group
from ..analysis.layout import View, contiguous_strides, is_contiguous
from .program import Place, ProgramBuilder

__all__ = ["Scope"]


class Scope:
    """One graph at one level of loops, being written; ``placed`` lies somewhere already."""

    def __init__(
        self, builder: ProgramBuilder, graph: Graph, placed: Mapping[Variable, Place]
    ) -> None:
        strides = {v: place.strides for v, place in placed.items()}
        self.builder = builder
        self.assembler = builder.assembler
        self.graph = graph
        found_by = (graph, tuple(strides.items()), builder.assembler.known())
        layout_of = graph, strides, builder.assembler, builder.facts
        self.values = builder.analyse_once(found_by, LAYOUT, *layout_of)
        self.bases = {v: place.base for v, place in placed.items()}
        """For each buffer's owner the slot of its address."""
        self.readers: dict[Variable, set[int]] = {}
        """For each buffer's owner the numbers of the groups that have yet to read it."""
        self.packers = self.values.packers()
        """How many nodes have yet to read this operand, which they pack."""
        self.packed: dict[View, int] = {}
        """Operands that several nodes pack: the slots of their packed copies."""
        self.copies: dict[Variable, list[Place]] = {}
        """Outputs, and where they have to be copied at the end."""

    # --- places ---------------------------------------------------------------------------------

    def place(self, v: Variable) -> Place:
        """Where the value lies; what it is a view of has been computed."""
        view = self.values.views[v]
        base = self.base(view.root)
        if not (isinstance(view.offset, int) and view.offset == 0):
            base = self.assembler.address(base, view.offset, v.dtype)
        return Place(base, view.strides)

    def base(self, root: Variable) -> int:
        """The slot with the address of a variable's own buffer."""
        slot = self.bases.get(root)
        if slot is None:
            if root.op is CONSTANT:
                slot = self.builder.constant(root)
            else:
                elements = self.values.rooms.get(root)
                if elements is None:
                    elements = product(root.type.shape)
                slot = self.builder.buffers.take(elements, root.dtype)
            self.bases[root] = slot
        return slot

    def result(self, v: Variable) -> Place:
        """Where the node's own buffer lies, which is in C order."""
        return Place(self.base(v), contiguous_strides(v.type.shape))

    def contiguous(self, v: Variable) -> int:
        """The slot with the address of the value in C order, copied if need be."""
        place = self.place(v)
        if is_contiguous(v.type.shape, place.strides):
            return place.base
        slot = self.builder.buffers.take(product(v.type.shape), v.dtype)
        target = Place(slot, contiguous_strides(v.type.shape))
        self.builder.copy(place, target, v.type.shape, v.dtype)
        return slot

    def lay_outputs(self, destinations: Mapping[Variable, Sequence[Place]]) -> None:
        """Let outputs be computed where they belong; the others have to be copied at the end."""
        for v, places in destinations.items():
            first = places[0]
            if v not in self.bases and self._may_lie(v, first):
                self.bases[v] = first.base
                places = places[1:]
            if places:
                self.copies[v] = list(places)

    def _may_lie(self, v: Variable, target: Place) -> bool:
        return (
            self.values.views[v].root is v
            and (v.op is ITEM or self.is_computed(v))
            and is_contiguous(v.type.shape, target.strides)
        )

    # --- what is computed -----------------------------------------------------------------------

    def is_computed(self, v: Variable) -> bool:
        """Whether the scope has to write something that makes the value."""
        values = self.values
        return (
            v in values.needed
            and v not in values.placed
            and v.op is not CONSTANT
            and v.op is not ITEM
            and values.producers[v] is v
        )

    def groups(self) -> list[Group]:
        """What is to be computed, in an order in which it can be; from now on readers are known."""
        builder, values = self.builder, self.values
        computed = [v for v in self.graph.nodes if self.is_computed(v)]
        of = computed, values.producers, builder.totals
        groups = builder.analyse_once(values, CLUSTER, *of)
        for group in groups:
            for v in group.nodes:
                for x in values.reads[v]:
                    self.readers.setdefault(values.views[x].root, set()).add(group.number)
        return groups

    def release(self, group: Group) -> None:
        """Give back the buffers that nobody reads after this group."""
        values = self.values
        for v in group.nodes:
            for x in (v, *values.reads[v]):
                if x not in values.views:
                    continue
                root = values.views[x].root
                if root in values.placed or root in values.lasting or root not in self.bases:
                    continue
                readers = self.readers.get(root)
                if readers is not None:
                    readers.discard(group.number)
                if not readers and root.op is not CONSTANT:
                    self.builder.buffers.give_back(self.bases[root])
                    self.readers[root] = {-1}

    # --- sizes ----------------------------------------------------------------------------------

    def bind_sizes(self, producers: Iterable[Variable]) -> None:
        """Let sizes be known whose values these nodes have computed, read through views or not."""
        a, values = self.assembler, self.values
        for v in (v for producer in producers for v in values.told_by.get(producer, ())):
            atom = values.sizes_by_value[v]
            if not a.knows(atom):
                slot = a.slot()
                a.run("read", slot, self.place(v).base)
                a.bind(atom, slot, at_entry=False)

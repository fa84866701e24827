"""What is known of the values of a graph before anything is written.

Where each lies (in a buffer of its own, or as a view of another value), which of them are read at
all, which scalars tell sizes, and which sizes have to be checked. What ops say of that is handed
in, as `Facts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from ....core.dims import Atom, Dim, Size, size_atoms
from ....core.graph import Graph
from ....core.op import Op
from ....core.types import TensorType
from ....core.variable import ITEM, Variable
from ....ops.sizes import size_of
from ..machine.assembler import Assembler
from .layout import View, is_contiguous
from .traces import lay_traces

__all__ = ["NO_FACTS", "Facts", "SizeCheck", "Values"]


class SizeCheck(NamedTuple):
    """Two sizes that must agree, or of which one is the least: the rule, the node, the sizes."""

    rule: str
    node: Variable
    size: Size
    other: Size


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of an op before anything is written; an op need not say any of it."""

    view: Callable[[Variable, View], View | None] | None = None
    """The node as a view of its first input, which lies as told; None where it is none."""
    sizes: slice = field(default_factory=partial(slice, 0))
    """Which inputs are sizes: of those that the arguments' shapes tell nobody reads the value."""
    reads: Callable[[Values, Variable], Sequence[Variable]] | None = None
    """The inputs whose elements the node reads; None: all but the sizes."""
    checks: Callable[[Values, Variable], Iterable[SizeCheck]] | None = None
    """The sizes that must agree, or be large enough; asked of nodes that nobody reads as well."""
    is_always_needed: bool = False
    """Whether the node is looked at even if nobody reads the result: it may fail."""
    parts: Callable[[Variable], Iterable[tuple[Variable, View]]] | None = None
    """Inputs, and where in the node's own buffer each stands: they may be computed there."""
    copies_to: bool = False
    """Whether the node, where it is no view, is a copy in C order, made where it will stand."""
    total: str = ""
    """What kernels call the reduction, over the axes that are the first parameter."""
    work: Callable[[Variable, Callable[[Graph], Size]], Size] | None = None
    """About how many multiply-adds of a product the node takes, for what those of graphs are."""
    packs: Callable[[Variable], Variable] | None = None
    """The operand that is packed first. Nodes that share it follow one another; alone, several
    threads take such a node apart."""


NO_FACTS = Facts()


class Values:
    """The values of one graph.

    ``placed``
        The inputs, and what else lies somewhere already: strides.
    ``facts``
        What is known of ops.
    """

    def __init__(
        self,
        graph: Graph,
        placed: Mapping[Variable, tuple[Size, ...]],
        assembler: Assembler,
        facts: Mapping[Op, Facts],
    ) -> None:
        self.graph = graph
        self.assembler = assembler
        self.facts = facts
        self._stated = [(v, facts[v.op]) for v in graph.nodes if v.op in facts]
        self.views = {v: View(v, 0, v.type.shape, strides) for v, strides in placed.items()}
        self.producers = {v: v for v in placed}
        """For each value the node that has to be computed for it to be there."""
        self.placed = frozenset(placed)
        self.outputs = frozenset(graph.outputs)
        self.late: dict[Variable, View] = {}
        """Views with bounds that the program computes: copied when these are known."""
        self.rooms: dict[Variable, Size] = {}
        """The elements of buffers that hold more than the value which owns them."""
        self._lay_out()
        self.lasting = frozenset(self.views[v].root for v in self.outputs if v in self.views)
        """The owners of the buffers in which outputs lie."""
        self.sizes_by_value = self._sizes_by_value()
        self.told_by: dict[Variable, list[Variable]] = {}
        """The scalars that tell sizes, by the node that computes what they are views of."""
        for v in self.sizes_by_value:
            self.told_by.setdefault(self.producers[v], []).append(v)
        self.reads: dict[Variable, Sequence[Variable]] = {}
        """For each node that is needed the inputs whose elements it reads."""
        self.needed = self._needed()

    def is_size(self, x: Variable) -> bool:
        """Whether an integer scalar is known from the arguments' shapes."""
        return self.assembler.is_known_at_entry(size_of(x))

    def size_checks(self) -> list[SizeCheck]:
        """Sizes that must agree, or be large enough."""
        stated = ((v, facts.checks) for v, facts in self._stated)
        return [check for v, checks in stated if checks is not None for check in checks(self, v)]

    def packers(self) -> Counter[View]:
        """How many nodes pack an operand, by where it lies."""
        packing = ((v, facts.packs) for v, facts in self._stated if v in self.needed)
        return Counter(self.views[packs(v)] for v, packs in packing if packs is not None)

    # --- where they lie -------------------------------------------------------------------------

    def _lay_out(self) -> None:
        places = self._parts_in_place()
        traces, self.rooms = lay_traces(self.graph, self.assembler.is_known_at_entry)
        places |= traces
        for v in self.graph.nodes:
            if v in self.placed:
                continue
            view = self._view(v)
            if view is not None:
                self.views[v] = view
                self.producers[v] = self.producers[v.inputs[0]]
                continue
            self.producers[v] = v.inputs[0] if v.op is ITEM else v
            if isinstance(v.type, TensorType):
                self.views[v] = places[v] if v in places else View.whole(v)

    def _parts_in_place(self) -> dict[Variable, View]:
        """What can be computed where it will stand, as a part of another node's result."""
        places: dict[Variable, View] = {}
        for v, facts in self._stated:
            # Else the room of the whole is not there when the parts are computed.
            if facts.parts and all(map(self.assembler.is_known_at_entry, v.type.shape)):
                for x, view in facts.parts(v):
                    if self._may_stand(x, view) and x not in self.outputs:
                        places.setdefault(x, view)
        return places

    def _may_stand(self, x: Variable, view: View) -> bool:
        """Whether the value can be computed there."""
        if x.op.formula is not None:
            return True
        copies = self.facts.get(x.op, NO_FACTS).copies_to
        return copies and is_contiguous(x.type.shape, view.strides)

    def _view(self, v: Variable) -> View | None:
        """The node as a view of its first input, if it is one; a late one is noted."""
        facts = self.facts.get(v.op)
        if facts is None or facts.view is None or v.inputs[0] not in self.views:
            return None
        view = facts.view(v, self.views[v.inputs[0]])
        if view is not None and not all(map(self.is_size, v.inputs[facts.sizes])):
            self.late[v] = view
            return None
        return view

    # --- which are read -------------------------------------------------------------------------

    def _sizes_by_value(self) -> dict[Variable, Atom]:
        """The int64 scalars that stand for sizes which only their values tell."""
        types = {v.type for v in self.graph.nodes}
        asked = {size for each in types if isinstance(each, TensorType) for size in each.shape}
        asked |= {size_of(x) for v, facts in self._stated for x in v.inputs[facts.sizes]}
        atoms = {a for size in asked for a in size_atoms(size) if not self.assembler.knows(a)}
        if not atoms:
            return {}
        scalars = [
            (v, size_of(v))
            for v in self.graph.nodes
            if isinstance(v.type, TensorType) and v.type.shape == () and v.dtype == np.int64
        ]
        return {
            v: size.atom
            for v, size in scalars
            if isinstance(size, Dim) and size.atom is not None and size.atom in atoms
        }

    def _needed(self) -> set[Variable]:
        """The nodes whose elements are read: not those of which only a size matters."""
        needed = {*self.graph.outputs, *self.sizes_by_value}
        for v in reversed(self.graph.nodes):
            facts = self.facts.get(v.op, NO_FACTS)
            if facts.is_always_needed:
                needed.add(v)
            if v in needed and v not in self.placed:
                reads = facts.reads(self, v) if facts.reads else self._all_but_sizes(v, facts)
                self.reads[v] = reads
                needed.update(reads)
        return needed

    def _all_but_sizes(self, v: Variable, facts: Facts) -> Sequence[Variable]:
        are_sizes = range(len(v.inputs))[facts.sizes]
        if not are_sizes:
            return v.inputs
        return [x for i, x in enumerate(v.inputs) if i not in are_sizes or not self.is_size(x)]

"""From a graph to a program: the instructions that compute it.

A scope is a graph at one level of loops: the function itself, or a loop's body. Views are resolved
to strides, elementwise work and reductions become loop nests, products go to the micro-kernels,
loops to instructions that hold their body, and what has no lowering is called back in Python.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from ....core.dims import Size, product
from ....core.graph import Graph
from ....core.variable import CONSTANT, ITEM, Variable
from ....ops.linalg import MATMUL
from ....scan.op import SCAN
from ..analysis.cluster import Group, cluster
from ..analysis.layout import View, contiguous_strides, is_contiguous
from ..analysis.schedule import is_large, is_lopsided, stages, work_of
from ..analysis.values import SizeCheck, Values
from .nests import nest_of
from .program import Lowering, Place
from .python_nodes import call_python
from .records import RULES

__all__ = ["Scope"]


class Scope(Values):
    """One graph at one level of loops, being written."""

    def __init__(self, lowering: Lowering, graph: Graph, given: Mapping[Variable, Place]) -> None:
        strides = {v: place.strides for v, place in given.items()}
        super().__init__(graph, lowering.assembler, strides)
        self.lowering = lowering
        self.bases = {v: place.base for v, place in given.items()}
        self.readers: dict[Variable, set[int]] = {}
        """For each buffer's owner the numbers of the groups that have yet to read it."""
        self.right_operands: Counter[View] = Counter()
        """How many products of the scope have this right operand."""
        self.packed_here: dict[View, int] = {}
        """Right operands of several products: the slots of their packed copies."""
        self._is_apart = False
        """Whether what is written is a part that runs beside others."""

    def _bind_sizes(self, producers: Iterable[Variable]) -> None:
        """Let sizes be known whose values these nodes have computed, read through views or not."""
        a = self.assembler
        for v in (v for producer in producers for v in self.told_by.get(producer, ())):
            atom = self.sizes_by_value[v]
            if not a.knows(atom):
                slot = a.slot()
                a.run("read", slot, self.place(v).base)
                a.bind(atom, slot, at_entry=False)

    # --- places ---------------------------------------------------------------------------------

    def place(self, v: Variable) -> Place:
        """Where the value lies; what it is a view of has been computed."""
        view = self.views[v]
        base = self.base(view.root)
        if not (isinstance(view.offset, int) and view.offset == 0):
            base = self.assembler.address(base, view.offset, v.dtype)
        return Place(base, view.strides)

    def base(self, root: Variable) -> int:
        """The slot with the address of a variable's own buffer."""
        found = self.bases.get(root)
        if found is None:
            if root.op is CONSTANT:
                found = self.lowering.constant(root)
            else:
                found = self.lowering.buffers.take(product(root.type.shape), root.dtype)
            self.bases[root] = found
        return found

    def contiguous(self, v: Variable) -> int:
        """The slot with the address of the value in C order, copied if need be."""
        place = self.place(v)
        if is_contiguous(v.type.shape, place.strides):
            return place.base
        slot = self.lowering.buffers.take(product(v.type.shape), v.dtype)
        target = Place(slot, contiguous_strides(v.type.shape))
        self.lowering.copy(place, target, v.type.shape, v.dtype)
        return slot

    # --- emission -------------------------------------------------------------------------------

    def emit(self, destinations: Mapping[Variable, Sequence[Place]]) -> None:
        """The program of the scope, its outputs stored at their destinations."""
        copies: list[tuple[Variable, Place]] = []
        for v, places in destinations.items():
            first, *others = places
            if self.views[v].root is v and v not in self.bases and self._may_lie(v, first):
                self.bases[v] = first.base
            else:
                copies.append((v, first))
            copies += [(v, place) for place in others]
        computed = [v for v in self.graph.nodes if self._is_computed(v)]
        groups = cluster(computed, self.producers)
        self.readers = self._count_readers(groups)
        self._bind_sizes(v for v in self.told_by if not self._is_computed(v))
        checks = [check for v in self.graph.nodes for check in self.size_checks(v)]
        for stage in self._stages(groups):
            checks = self._emit_checks(checks)
            self._write_stage(stage)
            for group in stage:
                self._bind_sizes(group.nodes)
                self._release(group)
        self._emit_checks(checks)
        for v, target in copies:
            self.lowering.copy(self.place(v), target, v.type.shape, v.dtype)

    def _may_lie(self, v: Variable, target: Place) -> bool:
        return (self._is_computed(v) or v.op is ITEM) and is_contiguous(
            v.type.shape, target.strides
        )

    def _is_computed(self, v: Variable) -> bool:
        return (
            v in self.needed
            and v not in self.given
            and v.op is not CONSTANT
            and v.op is not ITEM
            and self.producers[v] is v
        )

    def _count_readers(self, groups: list[Group]) -> dict[Variable, set[int]]:
        """For each buffer's owner the groups that read it."""
        readers: dict[Variable, set[int]] = {}
        for group in groups:
            for v in group.nodes:
                for x in self.data_inputs(v):
                    readers.setdefault(self.views[x].root, set()).add(group.number)
        return readers

    def _release(self, group: Group) -> None:
        """Give back the buffers that nobody reads after this group."""
        kept = {self.views[v].root for v in self.graph.outputs}
        for v in group.nodes:
            for x in [v, *self.data_inputs(v)]:
                if x.op is SCAN:
                    continue
                root = self.views[x].root
                readers = self.readers.get(root)
                if root in self.given or root in kept or root not in self.bases:
                    continue
                if readers is not None:
                    readers.discard(group.number)
                if not readers and root.op is not CONSTANT:
                    self.lowering.buffers.give_back(self.bases[root])
                    self.readers[root] = {-1}

    def _emit_checks(self, checks: list[SizeCheck]) -> list[SizeCheck]:
        """Write the checks of sizes that are known by now; the others are given back."""
        a = self.assembler
        later = []
        for check in checks:
            name, v, *sizes = check
            if not all(a.is_bound(s) for s in sizes):
                later.append(check)
                continue
            self.lowering.node = v
            slots = [a.size(s) for s in sizes]
            status = self.lowering.check(v, *slots)
            # At entry for all steps at once; a loop without steps checks nothing.
            runs = self.lowering.runs
            if all(map(a.is_known_at_entry, (*sizes, runs))):
                compared = [a.size(s * runs) for s in sizes]
                a.prologue.emit_raw(a.runtime[name], *compared, status)
            else:
                a.run(name, *slots, status)
        return later

    # --- threads --------------------------------------------------------------------------------

    def _stages(self, groups: list[Group]) -> Iterable[list[Group]]:
        """What is written one after the other: groups, or several that may run at once."""
        if self.idle_threads == 1:
            return ([group] for group in groups)
        return stages(groups, self.producers, self._may_share)

    def _may_share(self, group: Group) -> bool:
        work = self._work(group)
        return self.assembler.is_bound(work) and is_large(work)

    def _work(self, group: Group) -> Size:
        return sum((work_of(v, self.lowering.works) for v in group.nodes), 0)

    def _write_stage(self, stage: list[Group]) -> None:
        parts = self._parts(stage)
        if len(parts) == 1:
            self._write_groups(stage)
            return
        works = [sum(map(self._work, part), 0) for part in parts]
        if self._are_products(stage) and is_lopsided(works, self.lowering.threads):
            self._write_groups(stage)  # each is taken apart by rows
            return
        writers = [partial(self._write_groups, part) for part in parts]
        self.write_together(list(zip(works, writers, strict=True)))

    def _write_groups(self, groups: list[Group]) -> None:
        for group in groups:
            self.lowering.timed(group.nodes, partial(self._emit_group, group))

    @property
    def idle_threads(self) -> int:
        """How many threads may run what is written next."""
        return 1 if self.lowering.loops or self._is_apart else self.lowering.threads

    def write_together(self, parts: Sequence[tuple[Size, Callable[[], object]]]) -> None:
        """Write parts, each with its work, that several threads may run at once."""
        if len(parts) == 1:
            parts[0][1]()
            return
        lowering = self.lowering
        n_steps, given_back = len(lowering.steps), []

        def write(part: Callable[[], object]) -> None:
            with lowering.buffers.part(given_back):
                part()

        threads = min(lowering.threads, len(parts))
        self._is_apart = True
        place = self.assembler.together(threads, [(work, partial(write, p)) for work, p in parts])
        self._is_apart = False
        for slot in given_back:
            lowering.buffers.give_back(slot)
        if len(lowering.steps) > n_steps:
            self.assembler.main.words[place] = 1  # steps in Python follow one another
        else:
            lowering.threads_used = max(lowering.threads_used, threads)

    @staticmethod
    def _are_products(stage: list[Group]) -> bool:
        return all(v.op is MATMUL for group in stage for v in group.nodes)

    def _parts(self, stage: list[Group]) -> list[list[Group]]:
        """The groups of a stage, those together that share what they pack."""
        parts: dict[View | Variable, list[Group]] = {}
        for group in stage:
            v = group.nodes[0]
            key = self.views[v.inputs[1]] if v.op is MATMUL else v
            parts.setdefault(key, []).append(group)
        return list(parts.values())

    # --- groups ---------------------------------------------------------------------------------

    def _emit_group(self, group: Group) -> None:
        if group.space is not None:
            self.lowering.nest(nest_of(self, group))
            return
        (v,) = group.nodes
        rule = RULES.get(v.op.name)
        if rule is None or not rule(self, v):
            call_python(self, v)

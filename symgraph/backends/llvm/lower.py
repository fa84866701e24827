"""From a graph to a program: where each value lies, and the instructions that compute it.

A scope is a graph at one level of loops: the function itself, or a loop's body. Views are resolved
to strides, elementwise work and reductions become loop nests, products go to the micro-kernels,
loops to instructions that hold their body, and what has no lowering is called back in Python.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...core.dims import Atom, Dim, Size, maximum_zero, product, size_atoms
from ...core.errors import CallError, SymgraphError
from ...core.graph import Graph
from ...core.types import is_integer
from ...core.variable import CONSTANT, ITEM, Variable, node
from ...ops.broadcast import BROADCAST_TO
from ...ops.join import CONCATENATE
from ...ops.linalg import MATMUL
from ...ops.reshape import RESHAPE
from ...ops.sizes import CHECK_SIZE, SIZE, size_of
from ...ops.slices import SLICE
from ...scan.op import SCAN
from .assemble import Assembler
from .buffers import Buffers
from .cluster import REDUCTIONS, Group, cluster
from .cpu import Cpu
from .layout import View, contiguous_strides, elements_needed, is_contiguous, view_of
from .nest import Access, Nest, Output, Step, nest_kernel
from .schedule import is_large, is_lopsided, stages, work_of
from .timing import Timing

__all__ = ["Check", "Lowering", "Place", "PythonStep", "Scope"]


class Place(NamedTuple):
    """Where a value lies: the slot of its first element's address, and its strides."""

    base: int
    strides: tuple[Size, ...]


class Check(NamedTuple):
    """What may fail in a program: the node that says why, and the slots of what was compared."""

    node: Variable
    slots: tuple[int, ...]
    text: Callable[..., str] | None
    error: type[SymgraphError]
    loops: tuple[tuple[int, Variable], ...]


class PythonStep(NamedTuple):
    """A node that Python computes in the middle of a program."""

    node: Variable
    inputs: tuple[tuple[int, tuple[int, ...], tuple[int, ...], np.dtype], ...]
    """For each input the slots of its address, shape and strides, and its dtype."""
    outputs: tuple[tuple[int, tuple[int, ...], bool], ...]
    """For each result the slots of its address and shape, and whether it has room already."""
    loops: tuple[tuple[int, Variable], ...]
    """The loops around it, outermost first: the slot of the turn, and the loop."""


class Lowering:
    """What the scopes of one program have in common."""

    def __init__(self, cpu: Cpu, timing: Timing | None = None, threads: int = 1) -> None:
        self.cpu = cpu
        self.timing = timing
        self.threads = threads if timing is None else 1
        """How many threads may run a call; times are counted for one."""
        self.threads_used = 1
        """How many threads the program has work for."""
        self.works: dict[Graph, Size] = {}
        """What a step of a loop takes, by its body."""
        self.assembler = Assembler()
        self.buffers = Buffers(self.assembler)
        self.checks: list[Check] = []
        self.steps: list[PythonStep] = []
        self.constants: dict[Variable, int] = {}
        self.packed: dict[tuple, int] = {}
        """Right operands that were packed ahead of a loop: by where they lie."""
        self.loops: list[tuple[int, Variable]] = []
        """The loops that are being written: the slot of the turn, and the loop."""

    def check(
        self,
        node: Variable,
        *slots: int,
        text: Callable[..., str] | None = None,
        error: type[SymgraphError] = CallError,
    ) -> int:
        """The status of a new check; the text is made from the numbers in the slots."""
        self.checks.append(Check(node, slots, text, error, tuple(self.loops)))
        return len(self.checks)

    def constant(self, v: Variable) -> int:
        """A slot with the address of a constant's elements."""
        found = self.constants.get(v)
        if found is None:
            array = v.params[0].array
            address = array.__array_interface__["data"][0]
            found = self.constants[v] = self.assembler.slot(address)
        return found

    def nest(self, nest: Nest) -> None:
        """Append a loop nest to the program."""
        nest = nest.collapsed()
        kernel, operands = nest_kernel(nest, self.cpu)
        a = self.assembler
        slots = [o[0] if isinstance(o, tuple) else a.size(o) for o in operands]
        a.main.emit(kernel, *slots)

    def copy(self, source: Place, target: Place, shape: Sequence[Size], dtype: np.dtype) -> None:
        """Append a copy of an array."""
        identity = Step(_identity, (), (("input", 0),))
        self.nest(
            Nest(
                tuple(shape),
                frozenset(),
                [Access(source.base, source.strides, dtype)],
                [identity],
                [Output(Access(target.base, target.strides, dtype), ("step", 0))],
            )
        )


def _identity(maths: Any, x: Any) -> Any:
    return x


class Scope:
    """One graph at one level of loops."""

    def __init__(self, lowering: Lowering, graph: Graph, given: Mapping[Variable, Place]) -> None:
        self.lowering = lowering
        self.assembler = lowering.assembler
        self.graph = graph
        self.views: dict[Variable, View] = {}
        self.bases: dict[Variable, int] = {}
        self.producers: dict[Variable, Variable] = {}
        for v, place in given.items():
            self.views[v] = View(v, 0, place.strides)
            self.bases[v] = place.base
            self.producers[v] = v
        self._given = frozenset(given)
        self._outputs = set(graph.outputs)
        self.late: dict[Variable, View] = {}
        """Views with bounds that the program computes: copied when these are known."""
        self._lay_out()
        self._sizes_by_value = self._find_sizes_by_value()
        self.needed = self._find_needed()
        self._addresses: dict[tuple[int, Size], int] = {}
        self.right_operands: Counter[View] = Counter()
        """How many products of the scope have this right operand."""
        self.packed_here: dict[View, int] = {}
        """Right operands of several products: the slots of their packed copies."""
        self._is_apart = False
        """Whether what is written is a part that runs beside others."""

    # --- analysis -------------------------------------------------------------------------------

    def _parts_in_place(self) -> dict[Variable, View]:
        """Operands of concatenations that can be computed where they will stand."""
        found: dict[Variable, View] = {}
        for v in self.graph.nodes:
            if v.op is not CONCATENATE:
                continue
            (axis,) = v.params
            strides = contiguous_strides(v.type.shape)
            start: Size = 0
            for x in v.inputs:
                if x.op.formula is not None and x not in found and x not in self._outputs:
                    found[x] = View(v, start * strides[axis], strides)
                start = start + x.type.shape[axis]
        return found

    def _lay_out(self) -> None:
        in_place = self._parts_in_place()
        for v in self.graph.nodes:
            if v in self.views:
                continue
            if v.op is ITEM:
                self.producers[v] = v.inputs[0]
                self.views[v] = View(v, 0, contiguous_strides(v.type.shape))
                continue
            view = None
            if v.inputs and v.inputs[0] in self.views:
                view = view_of(v, self.views[v.inputs[0]])
            if (
                view is not None
                and not all(
                    self._is_size(x) for x in v.inputs[1:] if x.ndim == 0 and is_integer(x.dtype)
                )
                and v.op.name in _SIZED
            ):
                self.late[v] = view
                view = None
            if view is None:
                self.producers[v] = v
                view = in_place.get(v)
                if view is None and v.op is not SCAN and hasattr(v.type, "shape"):
                    view = View(v, 0, contiguous_strides(v.type.shape))
            else:
                self.producers[v] = self.producers[view.root]
            if view is not None:
                self.views[v] = view

    def _find_sizes_by_value(self) -> dict[Variable, Atom]:
        """The int64 scalars that stand for sizes which only their values tell."""
        atoms = {
            atom
            for v in self.graph.nodes
            if hasattr(v.type, "shape")
            for size in v.type.shape
            for atom in size_atoms(size)
            if atom not in self.assembler.atoms
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

    def _bind_sizes(self, nodes: Iterable[Variable]) -> None:
        """Let sizes be known whose values have been computed."""
        a = self.assembler
        for v in nodes:
            atom = self._sizes_by_value.get(v)
            if atom is not None and atom not in a.atoms:
                slot = a.slot()
                a.run("read", slot, self.place(v).base)
                a.bind(atom, slot, at_entry=False)

    def _find_needed(self) -> set[Variable]:
        """The nodes whose elements are read: not those of which only a size matters."""
        needed = {*self.graph.outputs, *self._sizes_by_value}
        for v in reversed(self.graph.nodes):
            if v.op.name in _CHECKS:
                needed.add(v)  # what may fail is looked at even if nobody reads the result
            if v in needed and v not in self._given:
                needed.update(self.data_inputs(v))
        return needed

    def data_inputs(self, v: Variable) -> list[Variable]:
        """The inputs whose elements the node reads."""
        if v.op is SIZE:
            return []
        if v.op is CHECK_SIZE:
            return [v.inputs[0]]
        if v.op is SCAN:
            return [x for i, x in enumerate(v.inputs) if i or not self._is_size(x)]
        first = {"broadcast_to": 1, "reshape": 1, "slice": 1, "iota": 0}.get(v.op.name)
        if first is None or (v in self.views and self.views[v].root is v and v.op is SLICE):
            return list(v.inputs)
        return [x for i, x in enumerate(v.inputs) if i < first or not self._is_size(x)]

    def _is_size(self, x: Variable) -> bool:
        """Whether an integer scalar is known from the arguments' shapes."""
        return self.assembler.is_known_at_entry(size_of(x))

    # --- places ---------------------------------------------------------------------------------

    def place(self, v: Variable) -> Place:
        """Where the value lies; what it is a view of has been computed."""
        view = self.views[v]
        base = self.base(view.root)
        if not (isinstance(view.offset, int) and view.offset == 0):
            key = (base, view.offset)
            found = self._addresses.get(key)
            if found is None:
                found = self.assembler.address(base, view.offset, v.dtype)
                self._addresses[key] = found
            base = found
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
        self._readers = self._count_readers(groups)
        self._bind_sizes(v for v in self._given if v in self._sizes_by_value)
        checks = [check for v in self.graph.nodes for check in self._checks(v)]
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
            and v not in self._given
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
                readers = self._readers.get(root)
                if root in self._given or root in kept or root not in self.bases:
                    continue
                if readers is not None:
                    readers.discard(group.number)
                if not readers and root.op is not CONSTANT:
                    self.lowering.buffers.give_back(self.bases[root])
                    self._readers[root] = {-1}

    def _checks(self, v: Variable) -> list[tuple[str, Variable, Size, Size]]:
        """Sizes that must agree, or be large enough: the rule, the node, and the sizes."""
        if v.op is CHECK_SIZE:
            x, other = v.inputs
            return [("check", v, x.type.shape[v.params[0]], other.type.shape[v.params[1]])]
        if v.op is RESHAPE:
            before, after = product(v.inputs[0].type.shape), product(v.type.shape)
            return [*self._no_less(v), ("check", v, before, after)] if before != after else []
        if v not in self.needed:
            return []
        if v.op is BROADCAST_TO:
            return self._no_less(v)
        if v.op is SLICE:
            return [("at_least", v, size, least) for size, least in elements_needed(v)]
        if v.op.name == "windows":
            axis, size, _, dilation = v.params
            length = v.inputs[0].type.shape[axis]
            least = (size - 1) * dilation + 1
            return [("at_least", v, length, least)] if isinstance(length, Dim) else []
        if v.op.name in ("max", "min"):
            sizes = [v.inputs[0].type.shape[axis] for axis in v.params[0]]
            return [("at_least", v, size, 1) for size in sizes if isinstance(size, Dim)]
        return []

    def _no_less(self, v: Variable) -> list[tuple[str, Variable, Size, Size]]:
        """Checks of the sizes that the user computes: none is negative."""
        return [
            ("at_least", v, size, 0)
            for size in map(size_of, v.inputs[1:])
            if isinstance(size, Dim)
            and (maximum_zero(size) is not size or not self.assembler.is_known_at_entry(size))
        ]

    def _emit_checks(
        self, checks: list[tuple[str, Variable, Size, Size]]
    ) -> list[tuple[str, Variable, Size, Size]]:
        """Write the checks of sizes that are known by now; the others are given back."""
        a = self.assembler
        later = []
        for check in checks:
            name, v, *sizes = check
            if not all(a.is_bound(s) for s in sizes):
                later.append(check)
                continue
            stream = a.prologue if all(a.is_known_at_entry(s) for s in sizes) else a.main
            slots = [a.size(s) for s in sizes]
            stream.emit_raw(a.runtime[name], *slots, self.lowering.check(v, *slots))
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
            self._write_group(group)

    @property
    def idle_threads(self) -> int:
        """How many threads may run what is written next."""
        return 1 if self.lowering.loops or self._is_apart else self.lowering.threads

    def write_together(self, parts: Sequence[tuple[Size, Callable[[], object]]]) -> None:
        """Write parts, each with its work, that several threads may run at once."""
        if len(parts) == 1:
            parts[0][1]()
            return
        lowering, addresses = self.lowering, self._addresses
        n_steps, given_back = len(lowering.steps), []

        def write(part: Callable[[], object]) -> None:
            self._addresses = dict(addresses)  # what one part computes is not there for others
            with lowering.buffers.part(given_back):
                part()

        threads = min(lowering.threads, len(parts))
        self._is_apart = True
        place = self.assembler.together(threads, [(work, partial(write, p)) for work, p in parts])
        self._is_apart = False
        self._addresses = addresses
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
        parts: dict[Any, list[Group]] = {}
        for group in stage:
            v = group.nodes[0]
            key = self.views[v.inputs[1]] if v.op is MATMUL else v
            parts.setdefault(key, []).append(group)
        return list(parts.values())

    # --- groups ---------------------------------------------------------------------------------

    def _write_group(self, group: Group) -> None:
        timing, lowering = self.lowering.timing, self.lowering
        if timing is None:
            self._emit_group(group)
            return
        depth = len(lowering.loops)
        timing.measure(self.assembler, group.nodes, depth, lambda: self._emit_group(group))

    def _emit_group(self, group: Group) -> None:
        if group.space is not None:
            self._emit_nest(group)
            return
        (v,) = group.nodes
        rule = RULES.get(v.op.name)
        if rule is None or not rule(self, v):
            call_python(self, v)

    def _emit_nest(self, group: Group) -> None:
        builder = _NestBuilder(self, group)
        self.lowering.nest(builder.nest())


_CHECKS = frozenset({"check_size"})
# Views whose other inputs are sizes.
_SIZED = frozenset({"broadcast_to", "reshape", "slice"})


class _NestBuilder:
    """A group as a nest."""

    def __init__(self, scope: Scope, group: Group) -> None:
        self.scope = scope
        self.group = group
        assert group.space is not None
        self.space: tuple[Size, ...] = group.space
        self.members = {v for v in group.nodes if v.op.name not in REDUCTIONS}
        self.inputs: list[Access] = []
        self.references: dict[Variable, tuple] = {}
        self.input_of: dict[tuple, int] = {}

    def nest(self) -> Nest:
        """Inputs, steps and outputs of the group."""
        steps: list[Step] = []
        outputs: list[Output] = []
        for v in self.group.nodes:
            arguments = tuple(self._reference(x) for x in v.inputs)
            if v in self.members:
                assert v.op.formula is not None
                self.references[v] = ("step", len(steps))
                steps.append(Step(v.op.formula, v.params, arguments))
                if self._escapes(v):
                    outputs.append(Output(self._target(v), self.references[v]))
            else:
                access = self._total(v)
                outputs.append(Output(access, arguments[0], REDUCTIONS[v.op.name]))
        return Nest(self.space, self.group.reduced, self.inputs, steps, outputs)

    def _reference(self, x: Variable) -> tuple:
        found = self.references.get(x)
        if found is not None:
            return found
        if x.op is CONSTANT and x.params[0].array.size == 1:
            array = x.params[0].array
            return ("constant", array.tobytes(), array.dtype)
        place = self.scope.place(x)
        strides = _stretched(x.type.shape, place.strides, self.space)
        key = (place.base, strides)
        index = self.input_of.get(key)
        if index is None:
            index = self.input_of[key] = len(self.inputs)
            self.inputs.append(Access(place.base, strides, x.dtype))
        found = self.references[x] = ("input", index)
        return found

    def _escapes(self, v: Variable) -> bool:
        if v in self.scope._outputs or self.scope.views[v].root is not v:
            return True
        if v in self.scope._sizes_by_value:
            return True  # it is read from memory
        readers = self.scope._readers.get(v, set())
        return bool(readers - {self.group.number}) or any(
            self.scope.views[out].root is v for out in self.scope._outputs
        )

    def _target(self, v: Variable) -> Access:
        place = self.scope.place(v)
        return Access(place.base, _stretched(v.type.shape, place.strides, self.space), v.dtype)

    def _total(self, v: Variable) -> Access:
        kept = [axis for axis in range(len(self.space)) if axis not in self.group.reduced]
        strides: list[Size] = [0] * len(self.space)
        dense = contiguous_strides([self.space[axis] for axis in kept])
        for axis, stride in zip(kept, dense, strict=True):
            strides[axis] = stride
        return Access(self.scope.base(v), tuple(strides), v.dtype)


def _stretched(
    shape: Sequence[Size], strides: Sequence[Size], space: Sequence[Size]
) -> tuple[Size, ...]:
    """The strides of an operand along the axes of the space that it is broadcast to."""
    extra = len(space) - len(shape)
    return (0,) * extra + tuple(
        0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True)
    )


# --- rules for single nodes ---------------------------------------------------------------------

# By the op's name: a function that lowers the node, or returns False to leave it to Python.
RULES: dict[str, Callable[[Scope, Variable], bool]] = {}


def rule(*names: str) -> Callable[[Callable[[Scope, Variable], bool]], Callable]:
    """A decorator that makes a function the lowering of these ops."""

    def register(function: Callable[[Scope, Variable], bool]) -> Callable:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


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
        target = View(v, start * strides[axis], strides)
        if scope.views[x] != target or x in v.inputs[:i]:
            base = scope.assembler.address(scope.base(v), target.offset, v.dtype)
            scope.lowering.copy(scope.place(x), Place(base, strides), x.type.shape, x.dtype)
        start = start + x.type.shape[axis]
    return True


@rule("set_slice", "add_slice")
def lower_change(scope: Scope, v: Variable) -> bool:
    """A copy of the array, and then its part changed."""
    x, values, *symbols = v.inputs
    whole = View(v, 0, contiguous_strides(v.type.shape))
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


def call_python(scope: Scope, v: Variable) -> None:
    """Compute the node in Python: its result is copied to where it belongs."""
    a = scope.assembler
    inputs = []
    for x in v.inputs:
        if x.op is SCAN:
            raise AssertionError("a loop has a lowering")
        place = scope.place(x) if x in scope.needed else size_in_memory(scope, x)
        shape = tuple(a.size(s) for s in x.type.shape)
        strides = tuple(a.size(s) for s in place.strides)
        inputs.append((place.base, shape, strides, x.dtype))
    outputs = [_python_output(scope, v)]
    scope.lowering.steps.append(
        PythonStep(v, tuple(inputs), tuple(outputs), tuple(scope.lowering.loops))
    )
    a.run("python", len(scope.lowering.steps) - 1)


def size_in_memory(scope: Scope, x: Variable) -> Place:
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

"""What the scopes of one program have in common: slots, checks, constants, nodes left to Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ....core.binding import shape_numbers
from ....core.dims import Atom, Size, maximum_zero, product, size_atoms
from ....core.errors import CallError, SymgraphError, TooLargeError
from ....core.op import Op
from ....core.types import TensorType
from ....core.variable import Variable
from ....scan.op import SCAN
from ...guarded import is_guarded
from ...too_large import array_text, room_text
from ..analysis.analyses import ANALYSES, Analysis, P, R
from ..analysis.schedule import Works
from ..analysis.values import Facts
from ..code.cpu import Cpu
from ..kernels.nest import Access, Nest, Operation, Output
from ..kernels.nest_kernel import NestKernel, nest_kernel
from ..kernels.order import in_order
from ..machine.assembler import Assembler
from ..machine.timing import Timing
from .buffers import Buffers

__all__ = [
    "Check",
    "PackedKey",
    "Place",
    "ProgramBuilder",
    "PythonOperand",
    "PythonResult",
    "PythonNode",
]


class Place(NamedTuple):
    """Where a value lies: the slot of its first element's address, and its strides."""

    base: int
    strides: tuple[Size, ...]


class PackedKey(NamedTuple):
    """Which elements a packed right operand holds, in which order.

    The same in the loop's scope and in those around it, so it names the slot of the buffer's
    address and not the variable, which each scope has its own of. No buffer is given back while
    the key stands, and the key goes when the loop ends: the slot means one buffer all the while.
    """

    base: int | None
    offset: Size
    shape: tuple[Size, ...]
    strides: tuple[Size, ...]
    dtype: np.dtype


class Turn(NamedTuple):
    """A loop that is being run: what tells the number of its step."""

    slot: int
    """That of the turn."""
    loop: Variable
    first: int | None
    """The slot of the address of the first step's number; None where it is 0."""


class Check(NamedTuple):
    """What may fail in a program: the node that says why, and the slots of what was compared."""

    node: Variable
    slots: tuple[int, ...]
    text: Callable[..., str] | None
    error: type[SymgraphError]
    loops: tuple[Turn, ...]
    sizes: dict[Atom, int]
    """The slots of the sizes that were known there."""
    place: tuple[int, tuple[Size, ...]] | None = None
    """For an index in an array of such a shape the slot of its place, in C order."""


class PythonOperand(NamedTuple):
    """An array that Python reads: the slots of its address, its sizes and its strides."""

    base: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype


class PythonResult(NamedTuple):
    """An array that Python makes."""

    number: int
    """Which of the node's results."""
    base: int
    """The slot of its address."""
    shape: tuple[int, ...]
    """The slots of its sizes; −1 where nothing is to be told."""
    strides: tuple[int, ...] | None
    """The slots of its strides in memory that is there, of the sizes in the slots; None where
    there is none yet: then the sizes are told."""
    dtype: np.dtype
    """What the program reads there, whatever Python makes."""


class PythonNode(NamedTuple):
    """A node that Python computes in the middle of a program."""

    node: Variable
    inputs: tuple[PythonOperand, ...]
    results: tuple[PythonResult, ...]
    loops: tuple[Turn, ...]
    """The loops around it, outermost first."""


class ProgramBuilder:
    """What the scopes of one program have in common."""

    def __init__(
        self, facts: Mapping[Op, Facts], cpu: Cpu, timing: Timing | None = None, threads: int = 1
    ) -> None:
        self.facts = facts
        self.totals = {op: each.total for op, each in facts.items() if each.total}
        """What kernels call the ops that reduce."""
        self.works = Works(facts)
        self.seconds = dict.fromkeys((analysis.name for analysis in ANALYSES), 0.0)
        """What each analysis has taken."""
        self.cpu = cpu
        self.timing = timing
        self.threads = threads if timing is None else 1
        """How many threads may run a call; times are counted for one."""
        self.threads_used = 1
        """How many threads the program has work for."""
        self._is_apart = False
        """Whether what is written is a part that runs beside others."""
        self.node: Variable | None = None
        """What is being written, or else the input or output whose sizes are."""
        self.assembler = Assembler(self._too_large, guarded=is_guarded())
        self.buffers = Buffers(self.assembler)
        self.checks: list[Check] = []
        self.python_nodes: list[PythonNode] = []
        self.constants: dict[Variable, int] = {}
        """Slots of addresses, by the constant: interned on dtype, shape and bytes."""
        self.packed: dict[PackedKey, int] = {}
        """Right operands that were packed ahead of a loop that is being written."""
        self.loops: list[Turn] = []
        """The loops that are being written."""
        self.found: dict[tuple[str, Hashable], Any] = {}
        """What analyses have found, by their names and all that it depends on."""
        self.runs: Size = 1
        """1, or 0 where a loop that is being written takes no step."""

    def check(
        self,
        node: Variable,
        *slots: int,
        text: Callable[..., str] | None = None,
        error: type[SymgraphError] = CallError,
        place: tuple[int, tuple[Size, ...]] | None = None,
    ) -> int:
        """The status of a new check; the text is made from the numbers in the slots."""
        known = self.assembler.sizes_known()
        self.checks.append(Check(node, slots, text, error, tuple(self.loops), known, place))
        return len(self.checks)

    @contextmanager
    def inside(self, turn: Turn, steps: Size) -> Iterator[None]:
        """What is written meanwhile is the body of a loop."""
        outer = self.runs
        self.runs = outer * (steps - maximum_zero(steps - 1))
        self.loops.append(turn)
        yield
        self.loops.pop()
        self.runs = outer

    @contextmanager
    def at_step(self, slot: int) -> Iterator[None]:
        """What is written meanwhile is of the step of the innermost loop that the slot tells."""
        turn = self.loops[-1]
        self.loops[-1] = turn._replace(slot=slot)
        yield
        self.loops[-1] = turn

    def analyse(self, analysis: Analysis[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What the analysis finds; its time is counted."""
        started = time.perf_counter()
        result = analysis.find(*args, **kwargs)
        self.seconds[analysis.name] += time.perf_counter() - started
        return result

    def analyse_once(
        self, depends_on: Hashable, analysis: Analysis[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """What the analysis finds, or found where all that it depends on was equal: for loops that
        have one body once."""
        key = (analysis.name, depends_on)
        if key not in self.found:
            self.found[key] = self.analyse(analysis, *args, **kwargs)
        return self.found[key]

    def timed(self, nodes: Sequence[Variable], write: Callable[[], object]) -> None:
        """Append the part of the program that computes these nodes; its time may be counted."""
        before, self.node = self.node, nodes[-1]
        if self.timing is None:
            write()
        else:
            self.timing.measure(self.assembler, nodes, len(self.loops), write)
        self.node = before

    def step(self, write: Callable[[], object]) -> None:
        """Append the body of a loop; its steps may be logged."""
        if self.timing is None:
            write()
        else:
            self.timing.measure_step(self.assembler, write)

    @property
    def idle_threads(self) -> int:
        """How many threads may run what is written next."""
        return 1 if self.loops or self._is_apart else self.threads

    def write_together(self, parts: Sequence[tuple[Size, Callable[[], object]]]) -> None:
        """Write parts, each with its work, that several threads may run at once."""
        if len(parts) == 1:
            parts[0][1]()
            return
        n_in_python, given_back = len(self.python_nodes), []

        def write(part: Callable[[], object]) -> None:
            with self.buffers.part(given_back):
                part()

        threads = min(self.threads, len(parts))
        self._is_apart = True
        place = self.assembler.together(threads, [(work, partial(write, p)) for work, p in parts])
        self._is_apart = False
        for slot in given_back:
            self.buffers.give_back(slot)
        if len(self.python_nodes) > n_in_python:
            self.assembler.main.words[place] = 1  # what Python computes is one after the other
        else:
            self.threads_used = max(self.threads_used, threads)

    def _too_large(self, size: Size, dtype: np.dtype | None) -> int:
        """The status of a size that cannot be counted, or of so many elements without room."""
        node, atoms = self.node, self.assembler.sizes_known()
        assert node is not None
        shape = node.type.shape if isinstance(node.type, TensorType) else ()
        needed = dict.fromkeys(atom for each in (size, *shape) for atom in size_atoms(each))
        known = [atom for atom in needed if atom in atoms]

        def text(*numbers: int) -> str:
            sizes = dict(zip(known, numbers, strict=True))
            said = _too_large_text(size, dtype, node, sizes)
            return f"scan: {said}" if node.op is SCAN else said

        slots = tuple(atoms[atom] for atom in known)
        # Sizes that the arguments tell are computed before any loop.
        loops = () if self.assembler.is_known_at_entry(size) else tuple(self.loops)
        self.checks.append(Check(node, slots, text, TooLargeError, loops, atoms))
        return len(self.checks)

    def constant(self, v: Variable) -> int:
        """The slot that the address of a constant's elements is put into."""
        slot = self.constants.get(v)
        if slot is None:
            slot = self.constants[v] = self.assembler.slot()
        return slot

    def nest(self, nest: Nest) -> None:
        """Append a loop nest to the program."""
        if any(size == 0 for i, size in enumerate(nest.space) if i not in nest.reduced):
            return  # there is nothing to store, however long the other axes are
        nest = in_order(nest.collapsed())
        found = nest_kernel(nest, self.cpu)
        self.assembler.run_kernel(found.kernel, found.pieces, *self.operands(found, nest))

    def operands(self, found: NestKernel, nest: Nest) -> list[int]:
        """The slots of what the kernel of a nest is given."""
        a = self.assembler
        numbers = [a.literal(number.word) for number in found.numbers]
        return [*map(a.size, found.sizes), *numbers, *(access.base for access in nest.accesses)]

    def copy(self, source: Place, target: Place, shape: Sequence[Size], dtype: np.dtype) -> None:
        """Append a copy of an array."""
        inputs = [Access(*source, dtype)]
        self._store(_identity, inputs, Access(*target, dtype), shape)

    def add(self, source: Place, target: Place, shape: Sequence[Size], dtype: np.dtype) -> None:
        """Append the addition of an array to another, in place."""
        total = Access(*target, dtype)
        self._store(_sum, [total, Access(*source, dtype)], total, shape)

    def _store(
        self,
        formula: Callable[..., Any],
        inputs: list[Access],
        target: Access,
        shape: Sequence[Size],
    ) -> None:
        operation = Operation(formula, (), tuple(("input", i) for i in range(len(inputs))))
        outputs = [Output(target, ("operation", 0))]
        self.nest(Nest(tuple(shape), frozenset(), inputs, [operation], outputs))

    def advancing(
        self, moves: Iterable[tuple[int, Size]], dtype: np.dtype
    ) -> list[tuple[int, int]]:
        """Copies of addresses, each with the bytes that it advances by at each turn of a loop."""
        a = self.assembler
        copies = []
        for base, stride in moves:
            slot = a.slot()
            a.run("address", slot, base, a.literal(0), 1)
            copies.append((slot, a.size(stride * dtype.itemsize)))
        return copies

    def each(
        self,
        sizes: Sequence[Size],
        places: Sequence[Place],
        dtype: np.dtype,
        write: Callable[..., object],
    ) -> None:
        """Append a loop for each of these sizes, around what is written for the addresses that the
        places then have."""
        a = self.assembler

        def loops(axis: int, bases: Sequence[int]) -> None:
            if axis == len(sizes):
                write(*bases)
                return
            strides = [place.strides[axis] for place in places]
            own = self.advancing(zip(bases, strides, strict=True), dtype)
            inner = [slot for slot, _ in own]
            a.loop(a.size(sizes[axis]), a.slot(), own, lambda: loops(axis + 1, inner))

        loops(0, [place.base for place in places])


def _too_large_text(
    size: Size, dtype: np.dtype | None, node: Variable, sizes: Mapping[Atom, int]
) -> str:
    """What is said of a size, or of room for so many elements, in the making of a node."""
    (number,) = shape_numbers([size], sizes)
    if isinstance(node.type, TensorType) and product(node.type.shape) == size:
        shape = [n for n in shape_numbers(node.type.shape, sizes) if n is not None]
        if len(shape) == node.ndim:
            return array_text(shape, dtype or node.dtype)
    if dtype is not None and number is not None:
        return room_text(number, dtype)
    value = "" if number is None or number == size else f" = {number}"
    return f"the size {size}{value} is more than can be counted"


def _identity(maths: Any, x: Any) -> Any:
    return x


def _sum(maths: Any, x: Any, y: Any) -> Any:
    return maths.bit_or(x, y) if x.dtype.kind == "b" else maths.add(x, y)

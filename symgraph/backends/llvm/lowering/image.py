"""A lowered graph as data: a frame to begin with, the instructions that run on it, their kernels.

An image holds no address and no variable, so that it can be kept on disk. What is said of a call
that fails needs the variables: it is told by the `Lowered` that the image came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ....core.dims import PRIMITIVE, Atom, Dim, Size, size_atoms
from ....core.graph import Graph
from ....core.variable import Variable
from ..analysis.analyses import SINK, UNIFY
from ..analysis.layout import contiguous_strides
from ..code.cpu import Cpu, host
from ..code.engine import Kernel
from ..machine.assembler import Room, Stream
from ..machine.pieces import pieces_kernel
from ..machine.threads import part_kernel, together_kernel
from ..machine.timing import Timing
from .along_axis import ALONG_AXIS
from .groups import write_scope
from .indexing import INDEXING
from .loops import LOOPS
from .movement import MOVEMENT
from .products import PRODUCTS
from .program import Check, Place, ProgramBuilder, PythonNode
from .records import LOWERINGS
from .scope import Scope

__all__ = ["Image", "Lowered", "Output", "kernels_used", "lower"]


LOWERINGS.update(MOVEMENT | INDEXING | ALONG_AXIS | PRODUCTS | LOOPS)


class Output(NamedTuple):
    """A result of a program."""

    dtype: np.dtype
    sizes: tuple[int, ...]
    """The slots of its sizes."""
    slot: int
    """Of its address."""
    is_static: bool
    """Whether its sizes are known before the program runs, and its address is given to it."""


@dataclass(frozen=True)
class Image:
    """A program and what its calls begin with."""

    template: np.ndarray
    """The contents of the frame at first."""
    constants: tuple[tuple[int, np.ndarray], ...]
    """Arrays, and the slots of their addresses."""
    prologue: Stream
    main: Stream
    bases: tuple[int, ...]
    """For each input the slot of its address."""
    axes: tuple[tuple[int, int, int], ...]
    """Input, axis, and the slot that its size is put into."""
    formula_atoms: tuple[tuple[Atom, int], ...]
    """Sizes that follow from those of the inputs by formulas, and their slots."""
    outputs: tuple[Output, ...]
    arena: tuple[int, int] | None
    """The slots of the arena's size and address."""
    kernels: int
    distinct_kernels: int
    threads: int
    """How many threads a call may keep busy."""

    @property
    def needed(self) -> dict[str, Kernel]:
        """The kernels by name."""
        return {k.name: k for stream in (self.prologue, self.main) for _, k in stream.kernels}


def kernels_used(stream: Stream, runtime: Mapping[str, Kernel]) -> list[Kernel]:
    """What a program runs besides the instructions that every program is made of, use by use."""
    common = (part_kernel(), together_kernel(), pieces_kernel())
    names = {kernel.name for kernel in (*runtime.values(), *common)}
    return [kernel for _, kernel in stream.kernels if kernel.name not in names]


class Lowered(NamedTuple):
    """An image, and what refers to the graph that it was made of."""

    image: Image
    python_nodes: tuple[PythonNode, ...]
    checks: tuple[Check, ...]
    """What the statuses of a program mean, from 1 on."""
    input_checks: frozenset[int]
    """The statuses that speak of arguments which do not fit together."""
    taken_for_granted: tuple[Variable, ...]
    """Checks of sizes that the entry makes."""
    guarded: bool
    """Whether the program wants guarded memory."""
    rooms: tuple[Room, ...]
    """What shares the arena."""
    taken: tuple[Size, ...]
    """The bytes of all buffers, those of the arena and others."""
    outputs: tuple[Variable | None, ...]
    """What is computed for each output; None for constants, which nothing here keeps alive."""
    seconds: Mapping[str, float]
    """What each analysis took."""


def lower(
    graph: Graph, *, threads: int = 1, timing: Timing | None = None, cpu: Cpu | None = None
) -> Lowered:
    """The graph as a program for so many threads; with ``timing``, it counts where time goes.

    ``cpu``: the processor that it is for, where that is not the host's.
    """
    builder = ProgramBuilder(LOWERINGS, cpu or host(), timing, threads)
    unified, taken_for_granted = builder.analyse(UNIFY, graph)
    lowered = _Writer(graph, builder.analyse(SINK, unified), builder).write(taken_for_granted)
    builder.found.clear()  # it refers to the builder, and the graph is to go with its last user
    return lowered


class _Writer:
    """A function being lowered: its inputs, its outputs, its arena."""

    def __init__(self, original: Graph, graph: Graph, builder: ProgramBuilder) -> None:
        self._types = [v.type for v in original.inputs]
        self._graph = graph
        self._builder = builder
        self._bases: list[int] = []
        self._axes: list[tuple[int, int, int]] = []
        self._formula_atoms: list[tuple[Atom, int]] = []
        self._input_checks: set[int] = set()

    def write(self, taken_for_granted: Sequence[Variable]) -> Lowered:
        """The program, and what is known of it."""
        builder, a = self._builder, self._builder.assembler
        outputs = self._write_body(self._read_inputs())
        arena = self._place_arena()
        emitted = [kernel.name for kernel in kernels_used(a.main, a.runtime)]
        in_python = [(each.node.op, each.node.params) for each in builder.python_nodes]
        image = Image(
            np.array(a.template, np.int64),
            tuple((slot, v.params[0].array) for v, slot in builder.constants.items()),
            a.prologue,
            a.main,
            tuple(self._bases),
            tuple(self._axes),
            tuple(self._formula_atoms),
            tuple(outputs),
            arena,
            len(emitted) + len(in_python),
            len(set(emitted)) + len(set(in_python)),
            builder.threads_used,
        )
        return Lowered(
            image,
            tuple(builder.python_nodes),
            tuple(builder.checks),
            frozenset(self._input_checks),
            tuple(taken_for_granted),
            a.guarded,
            tuple(a.arena),
            tuple(a.taken),
            tuple(v if v.inputs else None for v in self._graph.outputs),
            builder.seconds,
        )

    def _read_inputs(self) -> dict[Variable, Place]:
        """Where the inputs lie; their sizes are bound, and those given by formulas checked."""
        a = self._builder.assembler
        inputs: dict[Variable, Place] = {}
        pending: list[tuple[int, int, Size]] = []
        for i, v in enumerate(self._graph.inputs):
            self._builder.node = v
            base = a.slot()
            self._bases.append(base)
            inputs[v] = Place(base, contiguous_strides(v.type.shape))
            for axis, size in enumerate(v.type.shape):
                if isinstance(size, int) and isinstance(self._types[i].shape[axis], Dim):
                    pending.append((i, axis, size))
                elif isinstance(size, Dim):
                    atom = size.atom
                    is_new = not a.is_bound(size)
                    if atom is not None and atom[0] in PRIMITIVE and is_new:
                        self._axes.append((i, axis, self._bind(atom)))
                    else:
                        pending.append((i, axis, size))
        self._bind_formulas(pending)
        return inputs

    def _bind(self, atom: Atom) -> int:
        a = self._builder.assembler
        slot = a.slot()
        a.bind(atom, slot, at_entry=True)
        return slot

    def _bind_formulas(self, pending: Sequence[tuple[int, int, Size]]) -> None:
        """Sizes of inputs that are formulas: they tell a name, or are checked."""
        a = self._builder.assembler
        for i, axis, size in pending:
            self._builder.node = self._graph.inputs[i]
            if a.is_known_at_entry(size):
                slot = a.slot()
                self._axes.append((i, axis, slot))
                expected = a.size(size)
                status = self._builder.check(self._graph.inputs[i], slot, expected)
                self._input_checks.add(status)
                a.prologue.emit_raw(a.runtime["check"], slot, expected, status)
            else:
                unbound = [atom for atom in size_atoms(size) if not a.knows(atom)]
                self._formula_atoms += [(atom, self._bind(atom)) for atom in unbound]

    def _write_body(self, inputs: Mapping[Variable, Place]) -> list[Output]:
        """The instructions of the graph; where its outputs are found."""
        a = self._builder.assembler
        scope = Scope(self._builder, self._graph, inputs)
        self._builder.node = next(iter(self._graph.outputs), None)
        destinations: dict[Variable, list[Place]] = {}
        slots: list[tuple[Variable, int, bool]] = []
        for v in self._graph.outputs:
            is_static = all(a.is_known_at_entry(s) for s in v.type.shape)
            slot = a.slot()
            slots.append((v, slot, is_static))
            if is_static:
                destinations.setdefault(v, []).append(Place(slot, contiguous_strides(v.type.shape)))
        write_scope(scope, destinations)
        outputs = []
        for v, slot, is_static in slots:
            self._builder.node = v
            if not is_static:
                slot = scope.contiguous(v)
            outputs.append(Output(v.dtype, tuple(map(a.size, v.type.shape)), slot, is_static))
        return outputs

    def _place_arena(self) -> tuple[int, int] | None:
        a = self._builder.assembler
        if not a.arena:
            return None
        size, base = a.slot(), a.slot()
        words = [word for room in a.arena for word in room]
        a.prologue.emit_raw(a.runtime["arena"], size, base, len(a.arena), *words)
        return size, base

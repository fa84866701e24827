"""What the scopes of one program have in common: its slots, checks, constants and steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.dims import Size
from ...core.errors import CallError, SymgraphError
from ...core.graph import Graph
from ...core.variable import Variable
from .assemble import Assembler
from .buffers import Buffers
from .cpu import Cpu
from .nest import Access, Nest, Output, Step
from .nest_kernel import nest_kernel
from .timing import Timing

__all__ = ["Check", "Lowering", "Place", "PythonStep"]


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

    def timed(self, nodes: Sequence[Variable], write: Callable[[], object]) -> None:
        """Append the part of the program that computes these nodes; its time may be counted."""
        if self.timing is None:
            write()
        else:
            self.timing.measure(self.assembler, nodes, len(self.loops), write)

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
        kernel, operands, pieces = nest_kernel(nest, self.cpu)
        a = self.assembler
        slots = [o[0] if isinstance(o, tuple) else a.size(o) for o in operands]
        a.run_kernel(kernel, pieces, *slots)

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

"""A compiled function as what an object file is made of; what cannot go is refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ...backends.guarded import guarded
from ...backends.llvm.backend import BACKEND
from ...backends.llvm.code.cpu import Cpu
from ...backends.llvm.code.engine import Kernel, with_needs
from ...backends.llvm.code.libraries import SCIPY
from ...backends.llvm.lowering.image import Image, Lowered, lower
from ...backends.llvm.lowering.program import Check
from ...backends.llvm.machine.assembler import UnboundSizeError
from ...compile.pipeline import rewrite
from ...core import provenance
from ...core.binding import bind_sizes
from ...core.dims import Atom
from ...core.errors import ExchangeError, IndexRangeError, TooLargeError
from ...core.graph import Graph
from ...core.shared import SharedVariable
from ...core.variable import Variable, ancestors
from ...scan.paths import with_bodies
from ..subject import Subject
from .interface import Interface, interface_of

__all__ = ["NativeProgram", "native_program"]


@dataclass(frozen=True)
class NativeProgram:
    """A function, ready to become machine code for one processor."""

    interface: Interface
    graph: Graph
    """What it computes, after the compiler's passes."""
    image: Image
    ends: tuple[int | np.ndarray, ...]
    """What each input of the program is: an argument, by its number, or a value."""
    texts: tuple[str, ...]
    """What the program's own statuses say, from 1 on."""

    @property
    def kernels(self) -> Mapping[str, Kernel]:
        """What it runs, by name."""
        return with_needs(self.image.needed.values())


def native_program(subject: Subject, cpu: Cpu) -> NativeProgram:
    """What goes out as a program for this processor; `ExchangeError` for what needs Python."""
    read = set(ancestors(subject.results))
    shared = {key: v for key, v in subject.shared.items() if v in read}
    built = Graph((*subject.inputs.values(), *shared.values()), subject.results)
    graph, _ = rewrite(built, BACKEND, of_steps=True)
    with guarded(on=False):
        try:
            lowered = lower(graph, cpu=cpu)
        except UnboundSizeError as error:
            raise ExchangeError.here(
                f"the size {error} depends on data, and memory is needed for it before it is known"
            ) from None
    _refuse_python(lowered)
    _refuse_scipy(lowered.image, graph)
    _refuse_unknown_sizes(lowered, subject)
    inputs = {**subject.inputs, **{k: v for k, v in shared.items() if k in subject.updates}}
    numbers = {v: i for i, v in enumerate(inputs.values())}
    ends = [numbers[v] if v in numbers else _value(v) for v in built.inputs]
    outputs = {**subject.outputs, **{f"{key}_next": v for key, v in subject.updates.items()}}
    made = [v if w is None else w for v, w in zip(graph.outputs, lowered.outputs, strict=True)]
    known = _known_sizes(graph, ends)
    return NativeProgram(
        interface_of(subject.name, inputs, outputs, [v.type.shape for v in made], known),
        graph,
        lowered.image,
        tuple(ends),
        tuple(_text_of(i + 1, check, lowered) for i, check in enumerate(lowered.checks)),
    )


def _value(v: Variable) -> np.ndarray:
    assert isinstance(v, SharedVariable)
    return v.get_value()


def _known_sizes(graph: Graph, ends: Iterable[int | np.ndarray]) -> dict[Atom, int]:
    """The sizes that values within tell."""
    within = [(v, x) for v, x in zip(graph.inputs, ends, strict=True) if isinstance(x, np.ndarray)]
    return bind_sizes([v.type for v, _ in within], [x.shape for _, x in within])


# --- what cannot go -----------------------------------------------------------------------------


def _refuse_python(lowered: Lowered) -> None:
    for each in lowered.python_nodes:
        raise ExchangeError.here(
            f"{_told(each.node)} is computed by Python, which a native program has not",
            remedy="Compute it outside, before or after the program.",
        )


def _refuse_scipy(image: Image, graph: Graph) -> None:
    parts = {part for k in with_needs(image.needed.values()).values() for part, _ in k.parts}
    for name in sorted(parts & SCIPY.keys()):
        op = name.removeprefix("sg_")
        nodes = (v for part in with_bodies(graph) for v in part.nodes)
        node = next((v for v in nodes if v.op.name == op), None)
        raise ExchangeError.here(
            f"{_told(node) if node is not None else op} is a function of SciPy's, which a native "
            "program has not",
            remedy="Compute it outside, before or after the program.",
        )


def _refuse_unknown_sizes(lowered: Lowered, subject: Subject) -> None:
    names = [*subject.outputs, *(f"the update of {name}" for name in subject.updates)]
    for name, output, v in zip(names, lowered.image.outputs, subject.results, strict=True):
        if not output.is_static:
            raise ExchangeError.here(
                f"the size of {name!r}, {v.type}, is known only once the program has run: nobody "
                "could have room for it",
                remedy="Let it have a size that follows from those of the inputs: the last step "
                "of a loop with until, say.",
            )


def _told(node: Variable) -> str:
    line = provenance.nearest_line(node)
    return f"{node.op.name}, {node.type}" + (f", at {line}," if line else "")


# --- statuses -----------------------------------------------------------------------------------


def _text_of(status: int, check: Check, lowered: Lowered) -> str:
    """What a status of the program's own says, for all calls alike."""
    lines = provenance.lines_of(check.node)
    where = f" ({os.path.basename(lines[0].file)}:{lines[0].line})" if lines else ""
    what = check.node.op.name
    if issubclass(check.error, IndexRangeError):
        return f"{what}: an index is outside its range{where}"
    if issubclass(check.error, TooLargeError):
        return f"{what}: a size is more than can be counted, or memory is lacking{where}"
    if status in lowered.input_checks:
        name = provenance.name_of(check.node)
        return f"the sizes of the inputs do not fit together{f': {name}' if name else ''}"
    return f"{what}: sizes do not fit{where}"

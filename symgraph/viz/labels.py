"""The words for constants, parameters of ops, and the ends of loop bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dims import Dim
from ..core.graph import Graph
from ..core.variable import Variable, constant_value
from ..ops.composite import argument_texts, is_composite
from ..ops.slices import SYMBOL, At, Span
from ..scan.layout import Layout
from ..scan.op import Loop, is_scan
from ..scan.source_names import names_of_states, source_names

__all__ = [
    "Bodies",
    "constant_text",
    "input_ports",
    "is_scalar_constant",
    "names_of_ports",
    "operand_groups",
    "output_ports",
    "params_of",
]

_SHOWN_ELEMENTS = 4


def is_scalar_constant(v: Variable) -> bool:
    """Whether the variable is a number, which is shown where it is used."""
    value = constant_value(v)
    return value is not None and value.ndim == 0


def constant_text(value: np.ndarray) -> str:
    """The value, shortened: ``0.5``, ``[1, 2, 3, 4, …]``."""
    if value.ndim == 0:
        return str(value[()])
    shown = ", ".join(str(element) for element in value.reshape(-1)[:_SHOWN_ELEMENTS])
    return f"[{shown}{', …' if value.size > _SHOWN_ELEMENTS else ''}]"


class Bodies:
    """The numbers of the closed graphs that ops carry; equal bodies have one number."""

    def __init__(self) -> None:
        self._numbers: dict[Graph, int] = {}

    def is_new(self, body: Graph) -> bool:
        """Whether the body has not been met yet."""
        return body not in self._numbers

    def number(self, body: Graph) -> int:
        """The body's number, from 1 in the order in which they are met."""
        return self._numbers.setdefault(body, len(self._numbers) + 1)

    @staticmethod
    def of(v: Variable) -> list[Graph]:
        """The closed graphs among an op's parameters; none of a composite, which is shown whole."""
        if is_composite(v):
            return []
        return list(dict.fromkeys(p for p in v.params if isinstance(p, Graph)))


def params_of(v: Variable, bodies: Bodies) -> list[str]:
    """The op's parameters as ``name=value``; a loop's layout stands at its body's ends."""
    if is_composite(v):
        return [f"{name}={text}" for name, text in argument_texts(v).items()]
    names = v.op.params or ("parameter",) * len(v.params)
    return [
        _labelled(name, value, bodies)
        for name, value in zip(names, v.params, strict=False)
        if not isinstance(value, Layout) or value.truncate or value.has_checkpoints
    ]


def _labelled(name: str, value: Any, bodies: Bodies) -> str:
    if isinstance(value, tuple) and any(isinstance(entry, (At, Span)) for entry in value):
        return _index_text(value)
    return f"{name}={_param_text(value, bodies)}"


def _index_text(entries: Sequence[Any]) -> str:
    """The index as it is written in Python: ``[1:, :, -1]``, ``_`` for a symbol."""
    texts = [_entry_text(entry) for entry in entries]
    while len(texts) > 1 and texts[-1] == ":":
        texts.pop()
    return f"[{', '.join(texts)}]"


def _entry_text(entry: At | Span | None) -> str:
    if entry is None:
        return ":"
    if isinstance(entry, At):
        return _edge_text(entry.index)
    start = "" if entry.start == 0 else _edge_text(entry.start)
    stop = "" if entry.stop is None else _edge_text(entry.stop)
    if entry.step == 1:
        return f"{start}:{stop}"
    return f"{start}:{stop} by {entry.step}" if start or stop else f"::{entry.step}"


def _edge_text(edge: Any) -> str:
    return "_" if edge == SYMBOL else str(edge)


def _param_text(value: Any, bodies: Bodies) -> str:
    if isinstance(value, Graph):
        return str(bodies.number(value))
    if isinstance(value, Layout):
        texts = [] if value.truncate is None else [f"truncated to {value.truncate} steps"]
        return ", ".join(texts + ["checkpoints"] * value.has_checkpoints)
    if isinstance(value, tuple):
        entries = [_param_text(entry, bodies) for entry in value]
        fields = getattr(value, "_fields", None)
        if fields is not None:
            entries = [f"{name}={text}" for name, text in zip(fields, entries, strict=True)]
        return f"({', '.join(entries)}{',' if len(entries) == 1 else ''})"
    if isinstance(value, (np.dtype, Dim, int, str, bool, type(None))):
        return str(value)
    return type(value).__name__


def input_ports(v: Variable, body: Graph) -> list[str]:
    """What each input of an op's body is."""
    if not is_scan(v):
        return [f"input {i}" for i in range(len(body.inputs))]
    loop = Loop(v)
    labels = [
        f"sequence {i}, {_time(read.offset)}"
        for i, reads in enumerate(loop.reads_by_sequence)
        for read in reads
    ]
    labels += [f"state {i}, {_time(tap)}" for i, s in enumerate(loop.states) for tap in s.taps]
    return labels + [f"fixed {i}" for i in range(len(loop.fixed))]


def output_ports(v: Variable, body: Graph) -> list[str]:
    """What each output of an op's body is."""
    if not is_scan(v):
        return [f"output {i}" for i in range(len(body.outputs))]
    loop = Loop(v)
    labels = [f"new state {i}" for i in range(len(loop.states))]
    labels += [f"output {i}" for i in range(len(loop.outputs))]
    return labels + ["until"] * loop.layout.until


def names_of_ports(loop: Loop) -> tuple[list[str | None], list[str | None]]:
    """The names of what a body reads, and of what it gives: of states those of the step."""
    states: list[str | None] = [None] * len(loop.states)
    if loop.layout.role != "gradient":
        told = {v: name for v, (name, _) in source_names([loop.body]).items()}
        told |= {v: v.name for v in loop.body.nodes if v.name and v.inputs}
        states = names_of_states(loop, told)
    reads = [read.sequence.name for read in loop.reads]
    taps = [name for name, state in zip(states, loop.states, strict=True) for _ in state.taps]
    others = [None] * (len(loop.body.outputs) - len(states))
    return [*reads, *taps, *(x.name for x in loop.fixed.values())], [*states, *others]


def _time(offset: int) -> str:
    return "t" if offset == 0 else f"t {'+' if offset > 0 else '-'} {abs(offset)}"


def operand_groups(v: Variable, operands: Sequence[str]) -> list[str]:
    """The operands as they are written in a listing; a loop's by what they are for."""
    if not is_scan(v):
        return list(operands)
    parts = Loop(v).layout.parts(operands)
    groups = (
        ("sequences", parts.sequences),
        ("initials", parts.initials),
        ("fixed", parts.fixed),
    )
    texts = [f"{name}=[{', '.join(members)}]" for name, members in groups if members]
    every = Loop(v).checkpoint_every
    if every is not None:
        texts.append(f"checkpoints every {every} steps")
    return [f"steps={parts.n_steps}", *texts]

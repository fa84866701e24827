"""What of a graph is to be written, and how often it is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.dims import Size
from ...core.graph import Graph
from ...core.variable import Variable, node
from ...ops.broadcast import BROADCAST_TO, REARRANGE, rearrange
from ...ops.ranges import IOTA
from ...scan.op import Loop, is_scan
from .idioms import Idiom, find_idioms

__all__ = ["Live", "counts_steps", "row_of"]

# Inputs that are not written, by position.
_UNREAD = {"flat_nonzero": (1,), "in_step": (1,), "clip_gradient": (1, 2)}


class Live:
    """The variables of a graph that are written, in order, and the number of their uses.

    ``sizes`` are those that inputs tell: nothing else is read for them.
    """

    def __init__(self, graph: Graph, sizes: Mapping[Size, Any]) -> None:
        self._sizes = sizes
        self.idioms: dict[Variable, Idiom] = find_idioms(graph)
        self.n_uses: Counter[Variable] = Counter(graph.outputs)
        self.readers: dict[Variable, list[Variable]] = {v: [] for v in graph.outputs}
        """For each variable those that are written of it."""
        needed = set(graph.outputs)
        stack = list(needed)
        while stack:
            v = stack.pop()
            for x in self.read(v):
                self.n_uses[x] += 1
                self.readers.setdefault(x, []).append(v)
                if x not in needed:
                    needed.add(x)
                    stack.append(x)
        self.nodes: list[Variable] = [v for v in graph.nodes if v in needed]

    def unread(self, v: Variable) -> frozenset[Variable]:
        """The inputs of a variable that its expression does not have."""
        places = _UNREAD.get(v.op.name, ())
        others = {x for i, x in enumerate(v.inputs) if i not in places}
        return frozenset(v.inputs[i] for i in places) - others

    def read(self, v: Variable) -> list[Variable]:
        """What is read where the variable is written."""
        if v.op.name == "size" and v.inputs[0].type.shape[v.params[0]] in self._sizes:
            return []
        if v in self.idioms:
            return list(self.idioms[v].inputs)
        if is_scan(v):
            return _read_by_loop(Loop(v))
        places = _UNREAD.get(v.op.name, ())
        return [x for i, x in enumerate(v.inputs) if i not in places]


def _read_by_loop(loop: Loop) -> list[Variable]:
    sequences = [reads[0].sequence for reads in loop.reads_by_sequence]
    found = [loop.n_steps, *(x for x in sequences if not counts_steps(x))]
    for state in loop.states:
        row = row_of(state.initial) if set(state.taps) == {-1} else None
        if row is None:
            found.append(state.initial)
        else:
            found += [row] if row in state.initial.inputs else row.inputs
    return [*found, *loop.fixed.values()]


def counts_steps(sequence: Variable) -> bool:
    """Whether the rows of a sequence are the numbers of the steps."""
    return sequence.op is IOTA and sequence.dtype == np.int64


def row_of(initial: Variable) -> Variable | None:
    """The one row that initial rows have, where they are made of it; else None."""
    if initial.op is REARRANGE and initial.params[0][0] is None:
        return rearrange(initial.inputs[0], initial.params[0][1:])
    if initial.op is BROADCAST_TO and initial.params[0][0] == 1:
        x = initial.inputs[0]
        if x.ndim < initial.ndim:
            sizes = initial.params[0][1:]
            return node(BROADCAST_TO, initial.inputs, (sizes,)) if sizes else x
    return None

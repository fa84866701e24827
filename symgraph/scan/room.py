"""How much memory checkpoints take, and what is stored between them, once all passes have told.

Where memory chooses how far checkpoints are apart, the size that says so has two numbers of its
own, the bytes of a checkpoint and of a step (`ops/intervals.py`). What these are follows from the
rewritten graph: from the results that its loops keep for each step of a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..core.dims import Size, product, size_atoms
from ..core.graph import Graph, replace
from ..core.variable import ITEM, Variable, make_constant
from ..ops.intervals import INTERVAL, ROOM
from ..ops.sizes import known_size
from .op import Loop, is_scan, make_alike
from .paths import loop_paths, loops_in, with_bodies
from .rewrites import transform_loops
from .sizes import scalar_for
from .storage import LAST_ROWS, StoredResult, stored_results

__all__ = ["CHECKPOINT", "STEP", "Room", "rooms_of", "settle_rooms"]

CHECKPOINT, STEP = "a checkpoint", "a step"

# As large is a size whose value is not known, where sums of bytes are compared.
_USUAL_SIZE = 64


class Room(NamedTuple):
    """What a loop with checkpoints takes while its gradient runs."""

    checkpoint: Size
    """The bytes of one checkpoint."""
    step: Size
    """The bytes that are stored for each step of a chunk."""


def settle_rooms(graph: Graph) -> Graph:
    """The graph in which the bytes that intervals are made of are those that its loops take."""
    if not _has_rooms(graph):
        return graph
    found: dict[Size, Size] = {}
    for path, room in rooms_of(graph, loop_paths(graph)).items():
        for v in _room_nodes(Loop(path[-1])):
            size, taken = known_size(v), room.checkpoint if v.params[0] == CHECKPOINT else room.step
            if size is not None:
                found[size] = max(found.get(size, 0), taken, key=_usually)
    return _Settled(found).graph(graph)


def rooms_of(
    graph: Graph, paths: Sequence[tuple[Variable, ...]]
) -> dict[tuple[Variable, ...], Room]:
    """What the loops take that have checkpoints, of those at these paths."""
    stored: dict[tuple[Variable, ...], list[StoredResult]] = {}
    for each in stored_results(graph):
        stored.setdefault(each.path[:-1], []).append(each)
    found = {}
    for path in paths:
        loop = Loop(path[-1])
        if loop.layout.has_checkpoints:
            around: Graph = [graph, *(scan.params[0] for scan in path[:-1])][-1]
            kept = [x for x in loop.checkpoints if x in around.users]
            of_checkpoint = sum((product(x.type.shape[1:]) * x.dtype.itemsize for x in kept), 0)
            of_steps = [
                _for_each_step(
                    stored.get((*path[:-1], chunks), []),
                    loop.checkpoint_every,
                    _parts_read(loop, chunks),
                )
                for chunks in _loops_over_chunks(loop, around)
            ]
            found[path] = Room(of_checkpoint, max(of_steps, key=_usually, default=0))
    return found


def _has_rooms(graph: Graph) -> bool:
    """Whether a number stands for the bytes of a loop, even of one that is there no more."""
    return any(v.op is ROOM for part in with_bodies(graph) for v in part.nodes)


def _usually(size: Size) -> int:
    if isinstance(size, int):
        return size
    return size.evaluate(dict.fromkeys(size_atoms(size), _USUAL_SIZE)) or 0


def _loops_over_chunks(loop: Loop, graph: Graph) -> list[Variable]:
    """The loops that go through the chunks between a loop's checkpoints."""
    kept = set(loop.checkpoints)
    return [
        v
        for v in loops_in(graph)
        if v.params[1].is_over_chunks
        and any(checkpoint_source(read.sequence) in kept for read in Loop(v).reads)
    ]


def checkpoint_source(x: Variable) -> Variable:
    """The result of a loop of which a variable is a view, or is made in another way."""
    while x.inputs and x.op is not ITEM and not is_scan(x):
        x = x.inputs[0]
    return x


def _parts_read(loop: Loop, chunks: Variable) -> int:
    """How many parts the chunks have, each of which begins at a checkpoint."""
    kept = set(loop.checkpoints)
    for read in Loop(chunks).reads:
        source = checkpoint_source(read.sequence)
        if source in kept and read.symbol.ndim == source.ndim:
            parts = read.symbol.type.shape[0]
            return parts if isinstance(parts, int) else 1
    return 1


def _for_each_step(stored: Sequence[StoredResult], every: Size | None, parts: int) -> Size:
    """The bytes for each step between checkpoints of what is stored for chunks of so many parts."""
    assert every is not None
    return sum(
        (
            each.row_bytes * (parts if _at_least(each.rows, every * parts) else 1)
            for each in stored
            if each.reason != LAST_ROWS and _at_least(each.rows, every)
        ),
        start=0,
    )


def _at_least(rows: Size, steps: Size) -> bool:
    """Whether there are rows of so many steps, and perhaps a known number more."""
    more = rows - steps
    return isinstance(more, int) and more >= 0


def _room_nodes(loop: Loop) -> list[Variable]:
    """The nodes that stand for the bytes that a loop takes."""
    pending, found = [x for x in (loop.interval,) if x is not None], []
    while pending:
        x = pending.pop()
        if x.op is INTERVAL:
            found += [room for room in x.inputs[1:3] if room.op is ROOM]
        else:
            pending += x.inputs
    return found


class _Settled:
    """Graphs in which numbers stand for what loops take."""

    def __init__(self, found: Mapping[Size, Size]) -> None:
        self._found = found
        self._bodies: dict[Graph, Graph] = {}

    def graph(self, graph: Graph) -> Graph:
        """The graph, loops inside it settled first."""
        settled = transform_loops(graph, lambda _: self._with_body)
        rooms: dict[Variable, Variable] = {}
        for v in settled.nodes:
            if v.op is ROOM:  # of which an estimate may be made of the sizes of other loops
                rooms[v] = replace([self._number(v, graph)], rooms)[0]
        if not rooms:
            return settled
        return Graph(settled.inputs, replace(settled.outputs, rooms, keep_lines=True))

    def _with_body(self, scan: Variable, inputs: Sequence[Variable]) -> Variable:
        body: Graph = scan.params[0]
        if body not in self._bodies:
            self._bodies[body] = self.graph(body).canonical()
        if self._bodies[body] is body and tuple(inputs) == scan.inputs:
            return scan
        return make_alike(scan, inputs, body=self._bodies[body])

    def _number(self, room: Variable, graph: Graph) -> Variable:
        size = known_size(room)
        taken = None if size is None else scalar_for(self._found.get(size, 0), graph.inputs)
        if taken is None or (isinstance(taken, int) and not taken):
            return room.inputs[0]
        return make_constant(taken, "int64") if isinstance(taken, int) else taken

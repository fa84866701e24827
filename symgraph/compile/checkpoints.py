"""What a report tells of loops with checkpoints: how far apart, and how much runs again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..core.binding import bind_sizes
from ..core.dims import Atom, Dim, Size, floor_div, maximum_zero
from ..core.graph import Graph
from ..core.origins import call_in_steps
from ..core.provenance import Line, lines_of
from ..core.variable import Variable
from ..ops.sizes import known_size, size_of
from ..scan.op import Loop
from ..scan.paths import loop_paths, loops_in
from ..scan.room import Room, checkpoint_source, rooms_of
from .graphs import Graphs
from .program import Program
from .size_names import SizeNames, in_numbers
from .tables import Places, format_table, shown_bytes

__all__ = ["CheckpointedLoop", "checkpointed_loops", "format_checkpoints", "sizes_of_call"]


@dataclass(frozen=True)
class CheckpointedLoop:
    """A loop with checkpoints. Sizes are numbers, or formulas of sizes by name."""

    loop: str | None
    """Its name."""
    lines: tuple[Line, ...]
    """The user's lines that made it."""
    depth: int
    """0 outside other loops."""
    rule: str
    """How the interval was chosen: ``"given"``, ``"auto"`` or ``"memory=…"``, in bytes."""
    interval: Size
    """How many steps checkpoints are apart."""
    steps: Size
    """How many steps there are; at most, with ``until``."""
    run_again: Size
    """How many of them the gradient runs again."""
    bytes: Size
    """What checkpoints take, and what is stored for a chunk of steps between them."""
    memory: int | None
    """The bytes that there are."""

    @property
    def recompute(self) -> float | None:
        """How often a step runs forwards, on average: 1.0 where none runs again; None where sizes
        are not known."""
        if not isinstance(self.steps, int) or not isinstance(self.run_again, int):
            return None
        return 1.0 + self.run_again / max(self.steps, 1)

    @property
    def fits(self) -> bool | None:
        """Whether that is in the memory that there is; None where it is not known."""
        if self.memory is None or not isinstance(self.bytes, int):
            return None
        return self.bytes <= self.memory

    def with_sizes(self, told: Callable[[Size], Size]) -> CheckpointedLoop:
        """The same with its sizes told otherwise."""
        names = ("interval", "steps", "run_again", "bytes")
        return replace(self, **{name: told(getattr(self, name)) for name in names})


def checkpointed_loops(graphs: Graphs, values: Mapping[Atom, int]) -> list[CheckpointedLoop]:
    """The loops with checkpoints, with the numbers of a call as far as these are known."""
    graph = graphs.rewritten
    sizes = SizeNames(graphs.program, graph)
    found: list[CheckpointedLoop] = []
    for path, room in rooms_of(graph, loop_paths(graph)).items():
        around: Graph = [graph, *(scan.params[0] for scan in path[:-1])][-1]
        described = partial(_described, Loop(path[-1]), room, around, len(path) - 1)
        found.append(call_in_steps(path, described))
    words = [each.with_sizes(sizes.in_words) for each in found]
    known = sizes.numbers_of_call(values)
    return [each.with_sizes(lambda size: in_numbers(size, known)) for each in words]


def _described(loop: Loop, room: Room, graph: Graph, depth: int) -> CheckpointedLoop:
    every, rule = loop.checkpoint_every, loop.layout.rule
    assert every is not None
    before_tail = steps = size_of(loop.n_steps)
    last = maximum_zero(steps - 1)
    if loop.layout.ends_at_checkpoint:
        # All but the tail run again, which runs but once.
        steps, last = before_tail + next(map(size_of, _tails(loop, graph)), 0), before_tail
    taken = room.checkpoint * floor_div(last, every) + room.step * every
    return CheckpointedLoop(
        loop.node.name,
        lines_of(loop.node),
        depth,
        "given" if rule is None else str(rule),
        every,
        steps,
        before_tail,
        taken,
        None if rule is None else rule.memory,
    )


def _tails(loop: Loop, graph: Graph) -> Iterator[Variable]:
    """The numbers of steps of loops that begin at a single checkpoint, the last one."""
    kept = set(loop.checkpoints)
    for v in loops_in(graph):
        states = [x for x in Loop(v).states if checkpoint_source(x.initial) in kept]
        if states and states[0].initial.ndim < checkpoint_source(states[0].initial).ndim:
            yield v.inputs[0]


def sizes_of_call(program: Program, arguments: Sequence[Any]) -> dict[Atom, int]:
    """The values of sizes in a call with these arguments, in the order of the program's inputs."""
    given = [(v, np.asarray(x)) for v, x in zip(program.inputs, arguments, strict=False)]
    given += [(v, np.asarray(v.get_value())) for v in program.shared]
    pairs = [(v, x) for v, x in given if x.ndim == v.ndim]
    values = bind_sizes((v.type for v, _ in pairs), (x.shape for _, x in pairs))
    for v, x in pairs:
        number = known_size(v) if not v.ndim and x.dtype.kind in "iu" else None
        if isinstance(number, Dim) and number.atom is not None:
            values[number.atom] = int(x)
    return values


_AS_CALLED = "a call tells"


def format_checkpoints(loops: Sequence[CheckpointedLoop]) -> str:
    """A table: each loop with its interval, the bytes that it takes, and the recompute factor."""
    rows = []
    lines = [str(each.lines[0]) if each.lines else "" for each in loops]
    places = Places(lines)
    for each, line in zip(loops, lines, strict=True):
        name = "  " * each.depth + (each.loop or "loop") + places.of(line)
        factor = each.recompute
        taken = shown_bytes(each.bytes) if isinstance(each.bytes, int) else _AS_CALLED
        rule = f"{each.rule}: takes {taken} at least" if each.fits is False else each.rule
        shown = _AS_CALLED if factor is None else f"{factor:.2f}"
        rows.append((name, rule, str(each.interval), taken, shown))
    header = ("checkpoints" + places.heading, "rule", "every", "memory", "recompute factor")
    return format_table(header, rows, texts=[1])

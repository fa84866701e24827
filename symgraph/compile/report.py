"""What the compiler did to one function: as data, and printable as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any

from ..core import provenance
from ..core.dims import Atom
from ..core.graph import Graph
from ..core.origins import call_in_steps
from ..core.places import short_place, short_places
from ..core.provenance import Line
from ..core.variable import Variable
from ..scan.census import RepeatedBody, find_repeated
from ..scan.op import Loop
from ..scan.paths import loop_paths, with_bodies
from .advice import Advice, advice_on, format_advice
from .checkpoints import (
    CheckpointedLoop,
    checkpointed_loops,
    format_checkpoints,
    sizes_of_call,
)
from .data import as_data
from .graphs import Graphs
from .stored import Storage, StoredLoop, format_stored
from .tables import Places, format_table, in_lines

__all__ = [
    "LoopRow",
    "PassRow",
    "Report",
    "count_nodes",
    "describe_repeats",
    "list_loops",
]


@dataclass(frozen=True)
class PassRow:
    """What one pass took and did."""

    name: str
    seconds: float
    nodes_before: int
    nodes_after: int
    start: float = 0.0
    """When it began, on the clock of `time.perf_counter`."""
    rules: Mapping[str, int] = field(default_factory=dict)
    """How often each rule fired."""


@dataclass(frozen=True)
class LoopRow:
    """One loop of the compiled graph."""

    name: str | None
    line: Line | None
    """The user's line; a gradient loop has that of the loop it is the gradient of."""
    depth: int
    """0 outside other loops, 1 in the body of a loop, and so on."""
    body: int
    """The number of its body: equal numbers mean one and the same program."""
    nodes: int
    """How many variables the body has, loops inside it not counted."""
    sequences: int
    states: int
    traces: int
    """How many outputs it keeps over time that are no states."""
    checkpoint_every: int | str | None = None
    """How many steps its checkpoints are apart, a formula where the call tells; None without."""


@dataclass
class Report:
    """What `compile` built, what it took, and what is computed more often than need be.

    Nodes are all variables of the graph and of its loop bodies, each distinct body once. Loops are
    scan nodes, bodies the programs that they run: two loops merged into one node are one loop of
    two bodies. Times are in seconds; the printed tables have milliseconds.

    >>> x = sg.vector("x")
    >>> report = sg.compile([x], sg.log(sg.exp(x)), name="same").report
    >>> report.nodes_built, report.nodes, report.rules
    (3, 1, {'log(exp(x)) → x': 1})
    """

    name: str | None
    backend: str
    seconds: float
    """From the call of `compile` to its end."""
    passes: list[PassRow]
    loop_table: list[LoopRow]
    """The loops of the compiled graph, each followed by those in its body."""
    nodes_built: int
    nodes: int
    loops_built: int
    loops: int
    bodies_built: int
    bodies: int
    kernels: int
    distinct_kernels: int
    cache: str
    """``"hit"``, ``"miss"`` or ``"off"``: whether machine code came from the cache."""
    cache_reason: str = ""
    """Why it did not."""
    is_recalled: bool = False
    """Whether the rewritten and lowered program was found on disk, and no pass had to run."""
    recall_reason: str = ""
    """Why nothing was found there."""
    stages: dict[str, float] = field(default_factory=dict)
    """The seconds of each stage of the backend, after the passes, in order; and of its import,
    where this was the first function to need it."""
    threads: int = 1
    """How many threads a call may keep busy; each call decides by its sizes."""
    start: float = 0.0
    """When `compile` was called, on the clock of `time.perf_counter`."""
    is_verified: bool = False
    """Whether each call is compared with the reference."""
    advances: tuple[str, ...] = ()
    """The shared variables, such as random streams, that each call advances unasked."""
    first_call: float | None = None
    """The seconds of the first call; None before it."""
    last_arguments: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    """Shapes of the last call's arguments, as arrays that take no memory, and whole numbers; of
    functions that have loops with checkpoints."""
    graphs: Graphs | None = field(default=None, repr=False, compare=False)
    """What `repeated_bodies`, `advice` and `stored` are told from, when they are asked for."""

    @cached_property
    def repeated_bodies(self) -> tuple[RepeatedBody, ...]:
        """Groups of loops that run one body at other values of the same parameters; see
        ``.lines``. They are looked for when they are first asked for."""
        graphs = self.graphs
        if graphs is None:
            return ()
        return tuple(graphs.tell(lambda: find_repeated(graphs.built.outputs)))

    @cached_property
    def advice(self) -> list[Advice]:
        """What would make the function smaller or faster, each with its saving and lines; empty
        where nothing is found. It is looked for when it is first asked for.

        >>> x = sg.vector("x")
        >>> sg.compile([x], sg.exp(x)).report.advice
        []
        """
        graphs = self.graphs
        if graphs is None:
            return []
        return graphs.tell(lambda: advice_on(graphs, self.repeated_bodies))

    @property
    def stored(self) -> list[StoredLoop]:
        """For each loop of the compiled graph the bytes that it stores over time, by value, as a
        formula of sizes, with the reason and the user's lines.

        Results alone are counted: what is computed for all steps before or after a loop is not.

        >>> x = sg.tensor("x", ("T", 8))
        >>> h = sg.scan(lambda x, h: sg.tanh(x + h), [x], [sg.zeros(8)], name="cell")
        >>> (loop,) = sg.compile([x], h).report.stored
        >>> print(loop.loop, loop.bytes, loop.values[0])
        cell 32*T + 32 h: 32*T + 32 bytes, an output that is read
        """
        return [] if self._storage is None else self._storage.loops

    def stored_bytes(self, **sizes: int) -> int:
        """What all loops store over time, in bytes, for sizes by name: each result counted by
        itself. What a call takes of memory is not the same, see `call_bytes`.

        A size without a name goes by its input's name and axis, as ``x_0``, and an input that is a
        whole number by its own name. A name that is missing or unknown is a `SymgraphTypeError`
        that lists those there are.

        >>> x, n = sg.tensor("x", (8,)), sg.scalar("n", dtype="int64")
        >>> h = sg.scan(lambda h: sg.tanh(h), outputs_info=[x], n_steps=n)
        >>> sg.compile([x, n], h).report.stored_bytes(n=99)
        3200
        """
        return 0 if self._storage is None else self._storage.bytes_for(sizes)

    def call_bytes(self, **sizes: int) -> int | None:
        """How many bytes a call takes beside its arguments, for sizes as `stored_bytes` takes them.

        All buffers of the program, each once for all values that lie in it one after the other,
        and the results. Buffers of which only data tell the size are not counted. None where the
        backend does not lay out memory ahead, as the reference does not.

        >>> x = sg.tensor("x", ("T", 64))
        >>> h = sg.scan(lambda x, h: sg.tanh(x + h), [x], [sg.zeros(64)])
        >>> report = sg.compile([x], (h * 2).sum()).report
        >>> 256_000 <= report.call_bytes(T=1000) < 260_000
        True
        """
        return None if self._storage is None else self._storage.taken_for(sizes)

    @property
    def checkpoints(self) -> list[CheckpointedLoop]:
        """The loops with checkpoints: how many steps these are apart, and how much runs again;
        formulas of sizes, or numbers where these are known: of the last call, if there was one.

        >>> x = sg.tensor("x", (100, 8))
        >>> h = sg.scan(lambda x, h: sg.tanh(x + h), [x], [sg.zeros(8)], checkpoint_every="auto")
        >>> (loop,) = sg.compile([x], sg.grad(h[-1].sum(), x)).report.checkpoints
        >>> loop.interval, loop.recompute
        (10, 1.9)
        """
        graphs = self.graphs
        if graphs is None or not any(row.checkpoint_every for row in self.loop_table):
            return []
        return graphs.tell(lambda: checkpointed_loops(graphs, self._sizes_of_call))

    @property
    def _sizes_of_call(self) -> dict[Atom, int]:
        """The sizes of the last call, if there was one that left them."""
        if self.graphs is None or not self.last_arguments:
            return {}
        return sizes_of_call(self.graphs.program, self.last_arguments)

    @cached_property
    def _storage(self) -> Storage | None:
        return None if self.graphs is None else Storage(self.graphs)

    @property
    def rules(self) -> dict[str, int]:
        """How often each rule fired, in all passes."""
        total: dict[str, int] = {}
        for row in self.passes:
            for name, hits in row.rules.items():
                total[name] = total.get(name, 0) + hits
        return total

    def to_dict(self) -> dict[str, Any]:
        """The report in dicts, lists, strings and numbers, as JSON can hold it: its fields by name,
        with ``rules``, ``repeated_bodies``, ``stored`` and ``advice``; sizes that are no numbers
        are formulas.

        >>> x = sg.vector("x")
        >>> sg.compile([x], sg.exp(x), name="f").report.to_dict()["name"]
        'f'
        """
        hidden = ("graphs", "start", "last_arguments")
        names = [x.name for x in fields(self) if x.name not in hidden]
        told = (*names, "rules", "stored", "advice")
        found = {name: as_data(getattr(self, name)) for name in told}
        found["repeated_bodies"] = [
            {"loop": each.loops[0].name, "lines": as_data(each.lines)}
            for each in self.repeated_bodies
        ]
        found["checkpoints"] = [
            as_data(loop) | {"recompute": loop.recompute, "fits": loop.fits}
            for loop in self.checkpoints
        ]
        return found

    def __str__(self) -> str:
        parts = [
            self._headline(),
            self._pass_table(),
            self._count_table(),
            self._loop_table(),
        ]
        if self.rules:
            ranked = sorted(self.rules.items(), key=lambda entry: -entry[1])
            whole = [f"{name} ({hits})".replace(" ", "\xa0") for name, hits in ranked]
            parts.append(in_lines(f"rules fired: {', '.join(whole)}", margin="  "))
        if self.advances:
            advanced = short_places(", ".join(self.advances))
            parts.append(in_lines(f"advanced by each call: {advanced}", margin="  "))
        if checkpoints := self.checkpoints:
            parts.append(format_checkpoints(checkpoints))
        if self._storage is not None and self.stored:
            values = self._sizes_of_call
            when = " in the last call" if values else ""
            parts.append(format_stored(self._storage.in_call(values), when=when))
        parts.append(describe_repeats(self.repeated_bodies))
        if self.advice:
            parts.append(format_advice(self.advice))
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return str(self)

    def _headline(self) -> str:
        text = f"{self.name or 'function'}: compiled for {self.backend} in {_ms(self.seconds)} ms"
        if self.first_call is not None:
            text += f"; first call {_ms(self.first_call)} ms"
            after = f"first result after {_ms(self.seconds + self.first_call)} ms"
            text = in_lines(f"{text}, {after}".replace(after, after.replace(" ", "\xa0")))
        if self.is_verified:
            text += "\neach call is compared with the reference"
        return text

    def _pass_table(self) -> str:
        rows = [
            (row.name, _ms(row.seconds), str(row.nodes_before), str(row.nodes_after))
            for row in self.passes
        ]
        rows += [(name, _ms(seconds), "", "") for name, seconds in self.stages.items()]
        counted = sum(row.seconds for row in self.passes) + sum(self.stages.values())
        rows.append(("other", _ms(max(self.seconds - counted, 0.0)), "", ""))
        return format_table(("passes", "ms", "nodes before", "nodes after"), rows)

    def _loop_table(self) -> str:
        places = Places([str(row.line or "") for row in self.loop_table])
        rows = [
            (
                "  " * row.depth + (row.name or "loop") + places.of(str(row.line or "")),
                *map(str, (row.body, row.nodes, row.sequences, row.states, row.traces)),
            )
            for row in self.loop_table
        ]
        header = ("loops" + places.heading, "body", "nodes", "sequences", "states", "traces")
        return format_table(header, rows or [("none", "", "", "", "", "")])

    def _count_table(self) -> str:
        rows = [
            ("nodes", str(self.nodes_built), str(self.nodes), ""),
            ("loops", str(self.loops_built), str(self.loops), ""),
            ("bodies", str(self.bodies_built), str(self.bodies), _too_many(self.repeated_bodies)),
            ("kernels", "", str(self.kernels), f"{self.distinct_kernels} distinct"),
            ("threads", "", str(self.threads), ""),
            ("cache", "", self.cache, self.cache_reason),
            ("  of programs", "", "hit" if self.is_recalled else "miss", self.recall_reason),
        ]
        return format_table(("counts", "built", "compiled", ""), rows)


def count_nodes(graph: Graph) -> int:
    """How many variables a graph has, those of loop bodies included: each distinct body once."""
    return sum(len(part.nodes) for part in with_bodies(graph))


def list_loops(graph: Graph) -> list[LoopRow]:
    """A row for each loop of the graph, those inside loops included."""
    numbers: dict[Graph, int] = {}
    return [call_in_steps(path, partial(_loop_row, path, numbers)) for path in loop_paths(graph)]


def _loop_row(path: Sequence[Variable], numbers: dict[Graph, int]) -> LoopRow:
    loop = Loop(path[-1])
    return LoopRow(
        loop.title,
        next(iter(provenance.lines_of(loop.node)), None),
        len(path) - 1,
        numbers.setdefault(loop.body, len(numbers) + 1),
        len(loop.body.nodes),
        len(loop.reads_by_sequence),
        len(loop.states),
        len(loop.outputs),
        _interval_of(loop),
    )


def _interval_of(loop: Loop) -> int | str | None:
    every = loop.checkpoint_every
    return every if every is None or isinstance(every, int) else str(every)


def describe_repeats(repeated: Sequence[RepeatedBody]) -> str:
    """The sentence that says which loop bodies are computed more than once, and where."""
    if not repeated:
        return "No loop body is computed twice."
    groups: dict[tuple[Line, ...], int] = {}
    for each in repeated:
        groups[each.lines] = groups.get(each.lines, 0) + 1
    return "\n".join(_repeat_in_words(lines, count) for lines, count in groups.items())


def _repeat_in_words(lines: Sequence[Line], count: int) -> str:
    bodies = "1 loop body is" if count == 1 else f"{count} loop bodies are"
    times = "twice" if len(lines) == 2 else f"{len(lines)} times"
    first, *others = (short_place(str(line)) for line in lines)
    excess = count * len(others)
    more = f"{excess} {'body' if excess == 1 else 'bodies'} too many".replace(" ", "\xa0")
    return in_lines(
        f"{bodies} computed {times}, at other values of the same parameters: first at {first}, "
        f"again at {', '.join(others)} — {more}",
        margin="  ",
    )


def _too_many(repeated: Sequence[RepeatedBody]) -> str:
    excess = sum(each.excess for each in repeated)
    return f"{excess} too many" if excess else ""


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"

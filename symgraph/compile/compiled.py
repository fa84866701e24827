"""From a built graph to an executable: by all passes, or from what an earlier process left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple

from ..backends.base import Backend, Executable, Kept, Programs, executable_of
from ..core import provenance
from ..core.graph import Graph
from ..core.interrupts import call_without_collection
from ..core.origins import Origins, call_within
from ..core.shared import SharedVariable
from ..scan.census import count_loops
from ..scan.composites import with_open_composites
from .graphs import Graphs
from .key import program_key
from .marks import with_mark
from .notes import as_plain, from_plain
from .origins import origins_of
from .pipeline import rewrite
from .report import LoopRow, PassRow, Report, count_nodes, list_loops

__all__ = ["Compiled", "Summary", "compile_graph"]


@dataclass(frozen=True)
class Summary:
    """What a report tells of a rewritten graph."""

    passes: tuple[PassRow, ...]
    loop_table: tuple[LoopRow, ...]
    nodes: int
    loops: int
    bodies: int

    def as_plain(self) -> list[Any]:
        """The summary in lists, dicts, numbers and strings."""
        return [as_plain(getattr(self, field.name)) for field in fields(self)]

    @classmethod
    def from_plain(cls, data: Any) -> Summary:
        """The summary that `as_plain` wrote down."""
        return cls(*map(from_plain, data))


class Compiled(NamedTuple):
    """An executable, and how it came to be."""

    executable: Executable
    summary: Summary
    graph: Graph | None
    """The rewritten graph; None where the program was recalled, and no graph was rewritten."""
    recall_reason: str
    origins: Origins
    """What the program says of its nodes."""

    def report_on(
        self, graphs: Graphs, *, name: str | None, backend: str, is_verified: bool, start: float
    ) -> Report:
        """The report on a function of these graphs, which is compiled by now."""
        summary, executable, built = self.summary, self.executable, graphs.built
        n_loops = count_loops(built.outputs)
        return Report(
            name=name,
            backend=backend,
            passes=list(summary.passes),
            loop_table=list(summary.loop_table),
            nodes_built=count_nodes(built),
            nodes=summary.nodes,
            loops_built=n_loops,
            loops=summary.loops,
            bodies_built=n_loops,
            bodies=summary.bodies,
            kernels=executable.kernels,
            distinct_kernels=executable.distinct_kernels,
            cache=executable.cache,
            cache_reason=executable.cache_reason,
            is_recalled=self.graph is None,
            recall_reason=self.recall_reason,
            stages=dict(executable.seconds),
            threads=executable.threads,
            advances=tuple(map(provenance.describe, filter(_advances, graphs.program.updates))),
            is_verified=is_verified,
            start=start,
            seconds=time.perf_counter() - start,
            graphs=graphs,
        )


def _advances(updated: SharedVariable) -> bool:
    """Whether each call advances the variable unasked."""
    return updated.default_update is not None


def compile_graph(
    built: Graph,
    backend: Backend,
    *,
    threads: int,
    profile: bool,
    check_finite: bool = False,
    of_steps: bool = True,
    origins: Origins | None = None,
) -> Compiled:
    """The graph as an executable of the backend; with one more output where it is to be checked
    whether all values are finite.

    ``of_steps``: whether it may refuse calls in which sizes do not agree that steps of loops
    compare, even where no step is taken. ``origins``: what is said of the graph, where known.
    """
    options = {"threads": threads, "profile": profile, "check_finite": check_finite}
    known = origins_of(built) if origins is None else origins
    compiled = partial(_compiled, built, backend, known, **options, of_steps=of_steps)
    return call_without_collection(lambda: call_within(known, compiled))


def _compiled(
    built: Graph,
    backend: Backend,
    origins: Origins,
    *,
    threads: int,
    profile: bool,
    check_finite: bool,
    of_steps: bool,
) -> Compiled:
    start = time.perf_counter()
    built = with_open_composites(built)

    def prepare() -> tuple[Executable, Graph, Summary]:
        graph, passes = rewrite(built, backend, of_steps=of_steps, keeps_steps=check_finite)
        run = with_mark(graph) if check_finite else graph
        executable = executable_of(backend, run, threads=threads, profile=profile)
        return executable, graph, _summarise(graph, passes)

    programs = backend.programs
    key, reason = None, "what is checked is of this process"
    if not check_finite:
        key, reason = _key(built, programs, (threads, of_steps), profile=profile)
    if programs is None or key is None:
        executable, graph, summary = prepare()
        return Compiled(executable, summary, graph, reason, origins)
    recalled = programs.recall(key, built, lambda: call_without_collection(prepare)[0])
    if not isinstance(recalled, str):
        return _recalled(recalled, built, origins, start)
    executable, graph, summary = prepare()
    reason = programs.keep(key, executable, summary.as_plain()) or recalled
    return Compiled(executable, summary, graph, reason, origins)


def _key(
    built: Graph, programs: Programs | None, options: tuple[int, bool], *, profile: bool
) -> tuple[str | None, str]:
    """The key of the program, or None and why it has none."""
    if programs is None:
        return None, "the backend keeps no programs"
    if profile:
        return None, "a profile is of this process"
    key = program_key(built, *options)
    return key, "" if key is not None else "an op is the user's own"


def _recalled(kept: Kept, built: Graph, origins: Origins, start: float) -> Compiled:
    """What was kept, with rows for the passes that were spared."""
    summary = Summary.from_plain(kept.notes)
    elsewhere = sum(kept.executable.seconds.values())
    seconds, nodes = time.perf_counter() - start - elsewhere, count_nodes(built)
    recall = PassRow("recall", seconds, nodes, nodes, start)
    rows = [replace(row, seconds=0.0, start=start) for row in summary.passes]
    return Compiled(kept.executable, replace(summary, passes=(recall, *rows)), None, "", origins)


def _summarise(graph: Graph, passes: Sequence[PassRow]) -> Summary:
    count = count_loops(graph.outputs)
    loop_table = tuple(list_loops(graph))
    return Summary(tuple(passes), loop_table, count_nodes(graph), count, count)

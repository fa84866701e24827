"""A function's history as a trace for Chrome (chrome://tracing) or Perfetto."""

from __future__ import annotations

import json
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from ..backends.profile import END, STEP, Profile, ProfileRow
from ..core.errors import SymgraphTypeError
from .calls import tracks
from .function import Function

__all__ = ["write_trace"]

# By how many nanoseconds marks lie apart, if by no more.
_APART = 2
_COMPILE = 1
"""The number of the track of what compiling did; calls have those after it."""


def write_trace(path: str | os.PathLike[str], function: Function) -> None:
    """Write the compile passes and the latest 10,000 calls, on one clock, as JSON.

    Of a function that was compiled with ``profile=True``, the latest calls show what ran in them:
    each operation, in the step of its loop, in its loop, as far back as 65,536 bars go. Calls of
    several threads lie on tracks of their own.

    The file is for chrome://tracing or https://ui.perfetto.dev; times in it are microseconds.

    >>> f = sg.compile([], sg.constant(1.0), name="one")
    >>> sg.write_trace("one.json", f)
    """
    if not isinstance(function, Function):
        raise SymgraphTypeError.here(
            f"write_trace takes a path and a compiled function, not {function!r}"
        )
    lines = ",\n".join(map(json.dumps, _events(function)))
    text = f'{{"displayTimeUnit": "ms", "traceEvents": [\n{lines}\n]}}\n'
    Path(path).write_text(text, encoding="utf-8")


def _events(function: Function) -> Iterator[dict[str, Any]]:
    report, name = function.report, function.name or "function"
    yield {"name": "process_name", "ph": "M", "pid": 1, "tid": 0, "args": {"name": "symgraph"}}
    yield _track("compile", _COMPILE)
    yield _span(
        f"compile {name}",
        _COMPILE,
        report.start,
        report.seconds,
        nodes=report.nodes,
        loops=report.loops,
        bodies=report.bodies,
        kernels=report.kernels,
    )
    for row in report.passes:
        about = {"nodes_before": row.nodes_before, "nodes_after": row.nodes_after, **row.rules}
        yield _span(row.name, _COMPILE, row.start, row.seconds, **about)
    yield _track("calls", _COMPILE + 1)
    numbers: dict[int, int] = {}
    recordings = _recordings(function.profile)
    for track, start, seconds in tracks(list(function.calls)):
        if track not in numbers:
            numbers[track] = _COMPILE + 1 + len(numbers)
            if len(numbers) > 1:
                yield _track(f"calls {len(numbers)}", numbers[track])
        yield _span(f"call {name}", numbers[track], start, seconds)
        recorded = recordings[track]
        while recorded and recorded[0][0][1] < start * 1e9:
            recorded.popleft()  # of a call that failed after all
        if function.profile and recorded and recorded[0][0][1] <= (start + seconds) * 1e9:
            yield from _bars(recorded.popleft(), function.profile.rows, numbers[track])


def _recordings(profile: Profile | None) -> Mapping[int, deque[list[list[int]]]]:
    """The marks of each recorded call, by thread, in order."""
    recordings: Mapping[int, deque[list[list[int]]]] = defaultdict(deque)
    for thread, marks in list(profile.recordings) if profile is not None else ():
        if len(marks):
            recordings[thread].append(marks.tolist())
    return recordings


@dataclass
class _Bar:
    """What has begun and not ended."""

    name: str
    kind: str
    line: str | None
    label: str = ""
    steps: Iterator[int] = field(default_factory=count)
    """The numbers of the steps to come."""


def _bars(
    marks: Iterable[Sequence[int]], rows: Sequence[ProfileRow], track: int
) -> Iterator[dict[str, Any]]:
    """What ran in one call: each beginning and each end."""
    running, latest = [_Bar("", "", None)], 0
    for number, when in marks:
        # Viewers round times to nanoseconds, and put an end before a beginning of the same time.
        latest = max(when, latest + _APART)
        place = {"pid": 1, "tid": track, "ts": latest / 1e3}
        if number == END:
            yield {"name": running.pop().name, "ph": "E", **place}
            continue
        outer = running[-1]
        if number == STEP:
            bar = _Bar(f"step {next(outer.steps)} of {outer.label}", "step", outer.line)
        else:
            row = rows[number]
            line = row.near or outer.line
            name = f"{row.label} at {Path(line).name}" if line else row.label
            bar = _Bar(name, row.kind, line, row.label)
        running.append(bar)
        about = {"line": bar.line} if bar.line else {}
        yield {"name": bar.name, "cat": bar.kind, "ph": "B", **place, "args": about}


def _track(name: str, number: int) -> dict[str, Any]:
    return {"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": name}}


def _span(name: str, track: int, start: float, seconds: float, **about: Any) -> dict[str, Any]:
    """One complete event; times are microseconds."""
    return {
        "name": name,
        "ph": "X",
        "pid": 1,
        "tid": track,
        "ts": start * 1e6,
        "dur": seconds * 1e6,
        "args": about,
    }

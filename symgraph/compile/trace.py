"""A function's history as a trace for Chrome (chrome://tracing) or Perfetto."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..core.errors import SymgraphTypeError
from .function import Function

__all__ = ["write_trace"]


def write_trace(path: str | os.PathLike[str], function: Function) -> None:
    """Write the compile passes and the latest 10,000 calls, on one clock, as JSON.

    The file is for chrome://tracing or https://ui.perfetto.dev; times in it are microseconds.

    >>> f = sg.compile([], sg.constant(1.0), name="one")
    >>> sg.write_trace("one.json", f)
    """
    if not isinstance(function, Function):
        raise SymgraphTypeError.here(
            f"write_trace takes a path and a compiled function, not {function!r}"
        )
    trace = {"traceEvents": _events(function), "displayTimeUnit": "ms"}
    Path(path).write_text(json.dumps(trace, indent=1), encoding="utf-8")


def _events(function: Function) -> list[dict[str, Any]]:
    report, name = function.report, function.name or "function"
    events = [
        {"name": "process_name", "ph": "M", "pid": 1, "tid": 0, "args": {"name": "symgraph"}},
        {"name": "thread_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": "compile"}},
        {"name": "thread_name", "ph": "M", "pid": 1, "tid": 2, "args": {"name": "calls"}},
        _span(
            f"compile {name}",
            1,
            report.start,
            report.seconds,
            nodes=report.nodes,
            loops=report.loops,
            bodies=report.bodies,
            kernels=report.kernels,
        ),
    ]
    events += [
        _span(
            row.name,
            1,
            row.start,
            row.seconds,
            nodes_before=row.nodes_before,
            nodes_after=row.nodes_after,
            **row.rules,
        )
        for row in report.passes
    ]
    events += [_span(f"call {name}", 2, start, seconds) for start, seconds in list(function.calls)]
    return events


def _span(name: str, thread: int, start: float, seconds: float, **about: Any) -> dict[str, Any]:
    """One complete event; times are microseconds."""
    return {
        "name": name,
        "ph": "X",
        "pid": 1,
        "tid": thread,
        "ts": start * 1e6,
        "dur": seconds * 1e6,
        "args": about,
    }

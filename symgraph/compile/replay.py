"""`replay`: what a loop of a compiled function computed in one of its steps."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..backends.numpy_looking import Place, looking
from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.errors import SymgraphTypeError, SymgraphValueError
from ..core.graph import Graph
from ..core.origins import call_in_steps, call_within
from ..core.variable import ITEM, Variable
from ..scan.observers import without_observers
from ..scan.op import Loop
from ..scan.paths import counted_loops, loop_paths, symbol_labels
from .function import Function
from .replayed import Replay, Shown
from .rounding import expanded
from .step_names import StepNames

__all__ = ["Replay", "replay"]

LoopLike: TypeAlias = str | int
_Path: TypeAlias = tuple[Variable, ...]


def replay(
    f: Function,
    args: Sequence[ArrayLike] | Mapping[str, ArrayLike] = (),
    *,
    loop: LoopLike | tuple[LoopLike, ...],
    step: int | tuple[int, ...],
) -> Replay:
    """What a loop of the function computes in one step of a call, by the reference.

    ``args`` are the arguments of the call, in a list, or a dict by name; shared variables have the
    values of now, and nothing is stored. ``loop`` is the loop's name, its row in
    ``f.report.loop_table`` (from 0), or the user's line, as ``"file.py:12"``; ``step`` counts from
    0 in the order of execution, through all parts of a loop with checkpoints. For a loop in a loop
    both may be tuples, outermost first; ``step`` has to be one. By name and line it is the loop as
    it was built; by row that of the rewritten graph, where the loops of gradients are. Raises
    `SymgraphValueError` for a loop that there is not, and for a step that is not taken.

    >>> x = sg.vector("x")
    >>> h = sg.scan(lambda x, h: sg.tanh(x + h), [x], [sg.constant(0.0)], name="cell")
    >>> f = sg.compile([x], h[-1])
    >>> sg.replay(f, [[0.5, 0.25]], loop="cell", step=1).values["x[t]"]
    array(0.25, dtype=float32)
    """
    if not isinstance(f, Function):
        raise SymgraphTypeError.here(
            f"replay takes a compiled function, not {f!r}",
            remedy="Give what sg.compile gave, then the arguments of a call in a list.",
        )
    return call_within(f.origins, lambda: _replayed(f, args, loop, step))


def _replayed(f: Function, args: Any, loop: Any, step: Any) -> Replay:
    entries = loop if isinstance(loop, tuple) else (loop,)
    steps = step if isinstance(step, tuple) else (step,)
    graph, path = _find(f, entries)
    counted = counted_loops(path)
    loops = [path[i] for i in counted]
    _check_steps(loops, steps)
    arrays = _arrays(f, args)
    names = StepNames(graph, path, f.program.graph)
    described = call_in_steps(path, lambda: [_describe(scan) for scan in loops])
    forward = None if names.forward is None else _named(names.forward)
    result, taken = Replay(described, steps, forward), _Taken()
    replayed = _Step(result, names)

    def look(v: Variable, operands: Sequence[Any], value: Any, place: Place) -> None:
        step = _steps_at(place, path, counted)
        if step is not None and step[:-1] == steps[:-1]:
            taken.add(step[-1])
        if step != steps:
            if result.values:
                raise _Over
        elif len(place) == len(path):
            replayed.add(v, value)

    with contextlib.suppress(_Over):
        looking(graph, look)(*arrays)
    if not result.values:
        raise SymgraphValueError.here(
            f"replay: {result.loop} takes {taken} in this call; there is no step {step}",
            remedy="Steps count from 0.",
        )
    result._put_first(replayed.given)
    return result


def _steps_at(place: Place, path: _Path, counted: Sequence[int]) -> tuple[int, ...] | None:
    """The steps of those loops of a path that count; None at a place in other loops."""
    if len(place) < len(path) or any(place[i][0] is not scan for i, scan in enumerate(path)):
        return None
    return tuple([place[i][1] for i in counted])


class _Taken:
    """The steps that a loop takes where those around it are in theirs."""

    def __init__(self) -> None:
        self._first, self._last = 0, -1

    def add(self, step: int) -> None:
        self._first = step if self._last < 0 else min(self._first, step)
        self._last = max(self._last, step)

    def __str__(self) -> str:
        first, last = self._first, self._last
        return f"the steps {first} to {last}" if first else f"{last + 1} steps"


class _Over(BaseException):
    """Ends a run when the step is over."""


def _arrays(f: Function, args: Any) -> list[np.ndarray]:
    """What a call with these arguments gives to the program."""
    if isinstance(args, Mapping):
        return f._input_arrays((), args)
    given: Any = list(args) if isinstance(args, np.ndarray) and args.ndim else args
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise SymgraphTypeError.here(
            f"replay: args are the arguments of a call, in a list or in a dict by name, not "
            f"{args!r}",
            remedy="Write sg.replay(f, [x, y], loop=..., step=...).",
        )
    return f._input_arrays(given, {})


# --- which loop ---------------------------------------------------------------------------------


def _find(f: Function, entries: Sequence[Any]) -> tuple[Graph, _Path]:
    """The graph to run, and the loop in it with those around it."""
    for entry in entries:
        if not isinstance(entry, str | int | np.integer) or isinstance(entry, bool):
            raise SymgraphTypeError.here(
                f"replay: a loop is a name, a row of the report's loop_table or a line, not "
                f"{entry!r}",
                remedy="For a loop in a loop give a tuple of them, outermost first.",
            )
    built, compiled = f._graphs.built, f.graph
    by_row = any(not isinstance(entry, str) for entry in entries)
    for graph in (compiled,) if by_row else (built, compiled):
        # Rows are those of the report, which looks may part or keep in another order.
        run = expanded(graph if graph is compiled else without_observers(graph))
        paths = loop_paths(run)
        for path in paths:
            if _fits(path, entries, paths):
                return run, path
    raise _no_loop(entries, built, compiled)


def _no_loop(entries: Sequence[Any], built: Graph, compiled: Graph) -> SymgraphValueError:
    """The error for a loop that there is not, which tells of those that there are: the rows of the
    report's table as it calls them, and what was rewritten to something else."""
    asked = entries[0] if len(entries) == 1 else tuple(entries)
    rows = [path[-1] for path in loop_paths(compiled)]
    known = [f"{row}: {_describe(scan, Loop(scan).title)}" for row, scan in enumerate(rows)]
    left = set(map(_describe, rows))
    gone = dict.fromkeys(_describe(path[-1]) for path in loop_paths(built))
    known += [f"{loop}, as it was built" for loop in gone if loop not in left]
    remedy = "Give a row, a name or a line of these."
    if any(Loop(scan).layout.is_numbered for scan in rows):
        remedy = "Give a row of these; by name and line it is the loop as it was built."
    return SymgraphValueError.here(
        f"replay: the function has no loop {asked!r}; it has"
        + ("".join(f"\n    {loop}" for loop in known) or " none"),
        remedy=remedy if known else None,
    )


def _fits(path: _Path, entries: Sequence[Any], paths: Sequence[_Path]) -> bool:
    """Whether these entries mean the loop: the last one itself, all of them those around it too."""
    if len(entries) == 1:
        return _is_meant(path, entries[0], paths)
    counted = counted_loops(path)
    return len(entries) == len(counted) and all(
        _is_meant(path[: i + 1], entry, paths) for i, entry in zip(counted, entries, strict=True)
    )


def _is_meant(path: _Path, entry: LoopLike, paths: Sequence[_Path]) -> bool:
    scan = path[-1]
    if not isinstance(entry, str):
        return 0 <= entry < len(paths) and paths[entry] == path
    return entry == scan.name or any(
        str(line) == entry or str(line).endswith("/" + entry.replace("\\", "/"))
        for line in provenance.lines_of(scan)[:1]
    )


def _describe(scan: Variable, title: str | None = None) -> str:
    line = provenance.line_of(scan)
    return _named(scan, title) + (f" at {line}" if line else "")


def _named(scan: Variable, title: str | None = None) -> str:
    name = title or scan.name
    return f"loop {name!r}" if name else "a loop without a name"


def _check_steps(loops: Sequence[Variable], steps: Sequence[Any]) -> None:
    if len(steps) != len(loops):
        all_loops = ", ".join(map(_describe, loops))
        raise SymgraphValueError.here(
            f"replay: {len(steps)} steps are given for {len(loops)} loops, outermost first: "
            f"{all_loops}",
            remedy=f"Give step as {'a tuple of numbers' if len(loops) > 1 else 'one number'}.",
        )
    for each in steps:
        if not isinstance(each, int | np.integer) or isinstance(each, bool) or each < 0:
            raise SymgraphValueError.here(
                f"replay: a step is a number from 0 on, not {each!r}",
                remedy="Steps count from 0, in the order of execution.",
            )


# --- what it computed ---------------------------------------------------------------------------


class _Step:
    """The values of a step, as they come."""

    def __init__(self, result: Replay, names: StepNames) -> None:
        self._result, self._names = result, names
        self._symbols = symbol_labels(names.loop)
        self._labels, self._kinds = set[str](), set[str]()
        self.given: list[str] = []
        """The labels that the user gave."""

    def add(self, v: Variable, value: Any) -> None:
        """Put in a value, by a label that no other one has."""
        if isinstance(value, tuple):  # of an op with several results, which are shown one by one
            return
        names, made = self._names, v.inputs[0] if v.op is ITEM else v
        own = v.name or self._symbols.get(v) or made.name or made.op.name
        what = _unique(own, self._kinds)
        label = _unique(names.name_of(v) or what, self._labels)
        if v.name:
            self.given.append(label)
        self._result._add(
            Shown(label, v in self._symbols, names.sources.get(v, "")),
            what,
            np.array(value),
            provenance.line_of(v),
        )


def _unique(label: str, taken: set[str]) -> str:
    """The label, with a number where it is taken."""
    unique, number = label, 1
    while unique in taken:
        number += 1
        unique = f"{label} {number}"
    taken.add(unique)
    return unique

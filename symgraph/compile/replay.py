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
from ..core.variable import ITEM, Variable
from ..scan.composites import with_open_composites
from ..scan.observers import without_observers
from ..scan.op import Loop
from ..scan.paths import counted_loops, loop_paths, symbol_labels
from .function import Function
from .rounding import expanded
from .tables import format_table

__all__ = ["Replay", "replay"]

LoopLike: TypeAlias = str | int
_Path: TypeAlias = tuple[Variable, ...]


class Replay:
    """The values of one step of a loop, by label; printable as a table. `replay` gives it.

    >>> h = sg.scan(lambda h: h * 2, outputs_info=[1.0], n_steps=3, name="double")
    >>> print(sg.replay(sg.compile([], h), loop="double", step=2).values)
    {'state 0[t-1]': array(4., dtype=float32), 'multiply': array(8., dtype=float32)}
    """

    values: dict[str, np.ndarray]
    """What has a name of the user's, then what the step read and computed, in this order; the rest
    are called after what they are."""
    lines: dict[str, str | None]
    """For each label the user's line, as ``file:line``, where one is known."""
    loop: str
    """The loop, and the loops around it, in words."""
    step: tuple[int, ...]
    """The step of each of them, from 0."""

    def __init__(self, loops: Sequence[Variable], step: tuple[int, ...]) -> None:
        self.values, self.lines = {}, {}
        self._loops = [_describe(scan) for scan in loops]
        self.loop = " in ".join(reversed(self._loops))
        self.step = step

    def __str__(self) -> str:
        rows = [
            (label, f"{array.dtype}{list(array.shape)}", _in_short(array), self.lines[label] or "")
            for label, array in self.values.items()
        ]
        places = zip(reversed(self.step), reversed(self._loops), strict=True)
        where = "\n  in ".join(f"step {step} of {loop}" for step, loop in places)
        return f"{where}\n\n" + format_table(("", "type", "value", ""), rows)

    def __repr__(self) -> str:
        return str(self)


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
    entries = loop if isinstance(loop, tuple) else (loop,)
    steps = step if isinstance(step, tuple) else (step,)
    graph, path = _find(f, entries)
    counted = counted_loops(path)
    loops = [path[i] for i in counted]
    _check_steps(loops, steps)
    arrays = _arrays(f, args)
    result, labels, taken = Replay(loops, steps), _Labels(path[-1]), _Taken()

    def look(v: Variable, operands: Sequence[Any], value: Any, place: Place) -> None:
        step = _steps_at(place, path, counted)
        if step is not None and step[:-1] == steps[:-1]:
            taken.add(step[-1])
        if step != steps:
            if result.values:
                raise _Over
        elif len(place) == len(path):
            _add(result, labels, v, value, path[-1])

    with contextlib.suppress(_Over):
        looking(graph, look)(*arrays)
    if not result.values:
        raise SymgraphValueError.here(
            f"replay: {result.loop} takes {taken} in this call; there is no step {step}",
            remedy="Steps count from 0.",
        )
    named = [label for label in result.values if label in labels.given]
    for of_label in (result.values, result.lines):
        for label in (*named, *(x for x in [*of_label] if x not in labels.given)):
            of_label[label] = of_label.pop(label)  # type: ignore[assignment]
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
    built, compiled = with_open_composites(f.program.graph), f.graph
    by_row = any(not isinstance(entry, str) for entry in entries)
    for graph in (compiled,) if by_row else (built, compiled):
        run = expanded(without_observers(graph))
        paths = loop_paths(run)
        for path in paths:
            if _fits(path, entries, paths):
                return run, path
    known = [f"\n    {row}: {_describe(path[-1])}" for row, path in enumerate(loop_paths(compiled))]
    asked = entries[0] if len(entries) == 1 else tuple(entries)
    raise SymgraphValueError.here(
        f"replay: the function has no loop {asked!r}; it has" + ("".join(known) or " none"),
        remedy="Give a row, a name or a line of these." if known else None,
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


def _describe(scan: Variable) -> str:
    line = provenance.line_of(scan)
    name = f"loop {scan.name!r}" if scan.name else "a loop without a name"
    return name + (f" at {line}" if line else "")


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


def _add(result: Replay, labels: _Labels, v: Variable, value: Any, loop: Variable) -> None:
    if isinstance(value, tuple):  # of an op with several results, which are shown one by one
        return
    label = labels(v)
    result.values[label] = np.array(value)
    result.lines[label] = provenance.line_in(v, loop)


class _Labels:
    """What the values of a loop's body are called: each by a label of its own."""

    def __init__(self, scan: Variable) -> None:
        self._symbols = symbol_labels(Loop(scan))
        self._taken: set[str] = set()
        self.given: set[str] = set()
        """Those that the user gave."""

    def __call__(self, v: Variable) -> str:
        """A label that no other value has."""
        made = v.inputs[0] if v.op is ITEM else v
        label = v.name or self._symbols.get(v) or made.name or made.op.name
        unique, number = label, 1
        while unique in self._taken:
            number += 1
            unique = f"{label} {number}"
        self._taken.add(unique)
        if v.name:
            self.given.add(unique)
        return unique


_SHOWN = 4


def _in_short(array: np.ndarray) -> str:
    """The elements of a small array; of a larger one their range."""
    if array.size <= _SHOWN:
        return np.array2string(array, separator=", ", precision=6).replace("\n", "")
    if array.dtype.kind == "b":
        return f"{int(array.sum())} of {array.size} true"
    finite = array[np.isfinite(array)]
    lost = array.size - finite.size
    ends = dict.fromkeys(f"{end:g}" for end in (finite.min(), finite.max())) if finite.size else ()
    text = " to ".join(ends) or "no number"
    return text + (f", {lost} not finite" if lost else "")

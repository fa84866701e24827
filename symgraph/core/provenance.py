"""Names, the user's source lines, and notes, of variables: beside the graph, no part of it.

Lines are recorded for leaves, loops, the ops with the trait ``traced``, and what the step of a loop
builds; within `record_lines` for every node. Where they stand: `symgraph.core.origins`.
"""

from __future__ import annotations

import contextlib
import contextvars
import weakref
from collections.abc import Hashable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from .lines import (
    DEPTH,
    Line,
    Lines,
    Steps,
    lines_of_builder,
    lines_with,
    one_line_at_a_time,
    user_line,
    user_lines,
)
from .node import Node
from .origins import (
    Places,
    call_in_steps,
    claim,
    hand_on,
    hand_on_all,
    is_told_of,
    joined,
    name_of,
    origins,
    place_among,
    places_of,
    set_name,
    set_places,
    take_place,
    without_names,
)

__all__ = [
    "Line",
    "Places",
    "Steps",
    "add_callers",
    "add_note",
    "add_places",
    "carry_notes",
    "claim",
    "derive_from",
    "describe",
    "forget_notes",
    "hand_on",
    "hand_on_all",
    "hand_on_lines",
    "hands_on_lines",
    "has_notes",
    "is_told_of",
    "leave_out_callers",
    "line_at",
    "line_of",
    "lines_of",
    "loop_words",
    "name_of",
    "named_sources",
    "nearest_line",
    "notes_of",
    "place_among",
    "places_of",
    "record",
    "record_lines",
    "record_lines_of_step",
    "recorded",
    "set_lines",
    "set_name",
    "set_places",
    "steps_at",
    "take_place",
    "tell_steps",
    "user_line",
    "user_lines",
    "without_lines",
    "written_at",
]

# How many named variables a message tells of, and among how many they are looked for.
_SOURCES, _SEARCHED = 3, 100

_notes: weakref.WeakKeyDictionary[Node, dict[Hashable, Any]] = weakref.WeakKeyDictionary()
_NO_NOTES: Mapping[Hashable, Any] = MappingProxyType({})
_recorded: contextvars.ContextVar[str] = contextvars.ContextVar("recorded", default="traced")
recorded = _recorded.get
"""For which nodes lines are recorded: "all", "traced" (by their op's trait), or "none"; with "same"
all get those of the node that they are derived from."""
_origin: contextvars.ContextVar[Places] = contextvars.ContextVar("origin", default=())


def record_lines() -> contextlib.AbstractContextManager[None]:
    """A context in which the user's line is recorded for every node that is built.

    >>> with sg.record_lines():
    ...     y = sg.exp(sg.scalar("x"))
    """
    return _recording("all")


def without_lines() -> contextlib.AbstractContextManager[None]:
    """A context in which no lines are recorded: the compiler hands on those of the originals."""
    return _recording("none")


@contextlib.contextmanager
def record_lines_of_step() -> Iterator[None]:
    """A context in which lines are recorded for every node, unless for none.

    For a loop's step, and a composite's function: what they compute is looked at node by node, when
    it is replayed or written as source.
    """
    with one_line_at_a_time(), _recording("none" if _recorded.get() == "none" else "all"):
        yield


def hand_on_lines() -> contextlib.AbstractContextManager[None]:
    """A context in which nodes have the lines of those that they are derived from."""
    return _recording("same")


def hands_on_lines() -> bool:
    """Whether `derive_from` has to be told from which node others are derived."""
    return _recorded.get() == "same"


def derive_from(variable: Node) -> None:
    """What is built from now on, where lines are handed on, is derived from the variable."""
    _origin.set(without_names(places_of(variable)))


@contextlib.contextmanager
def _recording(which: str) -> Iterator[None]:
    token = _recorded.set(which)
    try:
        yield
    finally:
        _recorded.reset(token)


def record(variable: Node) -> None:
    """Note where somebody writes the variable just now; of what is derived, unless something is
    known of it, where that is written which it is derived from."""
    is_derived = _recorded.get() == "same"
    if (is_derived or origins() is not None) and places_of(variable):
        return
    if is_derived:
        set_places(variable, _origin.get())
    else:
        set_lines(variable, lines_of_builder())


def set_lines(variable: Node, lines: tuple[Line, ...]) -> None:
    """Note these lines for a variable, before others; nothing where they are empty."""
    places = places_of(variable)
    if lines and (not places or places[0] != lines):
        place = lines if isinstance(lines, Lines) else lines_with(lines, ())
        set_places(variable, joined((place,), places))


def add_places(variable: Node, places: Places) -> None:
    """Let the variable be known as written at these places, before others."""
    if places:
        set_places(variable, joined(places, places_of(variable)))


def lines_of(variable: Node) -> tuple[Line, ...]:
    """The user's lines at which the variable was made, innermost first; empty if not recorded."""
    places = places_of(variable)
    return places[0] if places else ()


def line_of(variable: Node) -> str | None:
    """The innermost of the user's lines at which the variable was made, as ``file:line``."""
    lines = lines_of(variable)
    return str(lines[0]) if lines else None


def written_at(variable: Node) -> tuple[Line, ...]:
    """The lines that made the variable, innermost first, those of layers of symgraph_nn too."""
    lines = lines_of(variable)
    return getattr(lines, "written", ()) or lines


def leave_out_callers(variable: Node, callers: tuple[Line, ...]) -> None:
    """Let the variable have no lines but those within what these lines call."""
    lines = lines_of(variable)
    for k in range(len(lines)):
        if lines[k:] == callers[: len(lines) - k]:
            own = lines_with(lines[:k], written_at(variable), callers=lines[k:])
            set_places(variable, (own,))
            return


def add_callers(copy: Node, original: Node, callers: tuple[Line, ...]) -> None:
    """Let the copy have the lines of the original, and then those that call what made it."""
    lines = (*lines_of(original), *callers)[:DEPTH]
    set_places(copy, (lines_with(lines, written_at(original)),))


def nearest_line(variable: Node) -> str | None:
    """The line of the variable, or of the nearest one that it is made of and that has one."""
    seen, layer = {variable}, [variable]
    while layer:
        for x in layer:
            line = line_of(x)
            if line is not None:
                return line
        layer = [x for y in layer for x in y.inputs if not (x in seen or seen.add(x))]
    return None


def line_at(variable: Node, loops: Sequence[Node]) -> tuple[str | None, bool]:
    """The line for a variable within these loops, outermost first, and whether it is its own; else
    it is that of the nearest one that it is made of, or of a loop."""
    return call_in_steps(loops, lambda: _line_at(variable, loops))


def _line_at(variable: Node, loops: Sequence[Node]) -> tuple[str | None, bool]:
    own = line_of(variable)
    if own is not None:
        return own, True
    candidates = [nearest_line(variable), *map(line_of, reversed(loops))]
    return next((line for line in candidates if line is not None), None), False


def loop_words(loop: Node) -> str:
    """A loop as a message names it: by its name and its line."""
    name, line = name_of(loop), line_of(loop)
    words = f"loop {name!r}" if name else "the loop"
    return f"{words} at {line}" if line else words


def tell_steps(variable: Node, steps: Steps) -> None:
    """Let the variable be known as computed for all of these steps at once."""
    first, *others = places_of(variable) or (Lines(),)
    told = lines_with(first, first.written, steps=(steps, *first.steps), name=first.name)
    set_places(variable, (told, *others))


def steps_at(variable: Node, place: Sequence[int]) -> list[tuple[int, Steps]]:
    """The first steps that read what is computed for all at once at this place, each with those of
    its loop, outermost first."""
    steps: Sequence[Steps] = getattr(lines_of(variable), "steps", ())
    return [(max(k - each.ahead, 0), each) for k, each in zip(place, steps, strict=False)]


def add_note(variable: Node, key: Hashable, note: Any) -> None:
    """Write something down of the variable; it must not hold the variable, which it would keep."""
    _notes.setdefault(variable, {})[key] = note


def has_notes() -> bool:
    """Whether anything is written down of any variable."""
    return bool(_notes)


def notes_of(variable: Node) -> Mapping[Hashable, Any]:
    """What is written down of the variable, by key."""
    return _notes.get(variable, _NO_NOTES)


def forget_notes(variable: Node) -> None:
    """Let nothing be written down of the variable."""
    _notes.pop(variable, None)


def carry_notes(notes: Mapping[Hashable, Any], copy: Node) -> None:
    """Write notes down of what has come in a variable's place, where it has none of these keys."""
    for key, note in notes.items():
        _notes.setdefault(copy, {}).setdefault(key, note)


def describe(variable: object) -> str:
    """The variable as an error message names it: its name or op, type and line.

    What has no name is told by the named variables nearest to it; what is no variable as it is
    written.
    """
    if not isinstance(variable, Node):
        return repr(variable)
    name = name_of(variable)
    label = f"'{name}'" if name else f"a result of {variable.op.title_of(variable.params)}"
    line = line_of(variable)
    sources = [] if name or line else named_sources(variable)
    origin = f"made at {line}" if line else f"from {', '.join(sources)}" if sources else ""
    return f"{label} {variable.type}" + (f" ({origin})" if origin else "")


def named_sources(variable: Node) -> list[str]:
    """The names of the nearest variables with names that the variable is made of, quoted."""
    found: list[str] = []
    seen, layer = {variable}, [variable]
    while layer and len(seen) < _SEARCHED and len(found) < _SOURCES:
        layer = [x for v in layer for x in v.inputs if not (x in seen or seen.add(x))]
        found += [f"'{name}'" for name in map(name_of, layer) if name]
        layer = [x for x in layer if not name_of(x)]
    return list(dict.fromkeys(found))[:_SOURCES]

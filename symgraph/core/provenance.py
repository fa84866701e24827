"""Names, the user's source lines, and notes, of variables: beside the graph, no part of it.

Lines are recorded for leaves, loops, the ops with the trait ``traced``, and what the step of a loop
builds; within `record_lines` for every node.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import sys
import weakref
from collections.abc import Hashable, Iterator, Mapping, Sequence
from types import CodeType, FrameType, MappingProxyType
from typing import Any, NamedTuple

from .node import Node

__all__ = [
    "Line",
    "Steps",
    "add_callers",
    "add_lines",
    "add_note",
    "carry_notes",
    "derive_from",
    "describe",
    "forget_notes",
    "has_notes",
    "hand_on_lines",
    "hands_on_lines",
    "is_recorded",
    "leave_out_callers",
    "line_at",
    "line_in",
    "line_of",
    "loop_words",
    "lines_in",
    "lines_of",
    "name_of",
    "named_sources",
    "nearest_line",
    "notes_of",
    "record",
    "record_lines",
    "record_lines_of_step",
    "without_lines",
    "set_lines",
    "set_name",
    "steps_at",
    "tell_steps",
    "user_line",
    "user_lines",
    "written_at",
]

_DEPTH = 8
# How many lines of layers and of the user's are kept of what made a variable.
_WRITTEN = 3
# In how many other places a node is known to be written.
_PLACES = 7
# How many named variables a message tells of, and among how many they are looked for.
_SOURCES, _SEARCHED = 3, 100
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LAYERS = os.path.join(os.path.dirname(_PACKAGE), "symgraph_nn")
_COMPILER = (_PACKAGE + os.sep, "<frozen", "<string>")
_OWN = (_PACKAGE + os.sep, _LAYERS + os.sep, "<frozen")
# The examples are a user's programs; an installation has them in the package.
_EXAMPLES = os.path.join(_LAYERS, "examples") + os.sep


class Line(NamedTuple):
    """A line of the user's source."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Steps(NamedTuple):
    """Of which loop's steps an array has values along an axis."""

    loop: str
    """The loop as messages name it."""
    ahead: int
    """How many places after its first one a step reads at most."""


class Lines(tuple[Line, ...]):
    """The user's lines; and the innermost of those that made the variable, the layers' too."""

    written: tuple[Line, ...] = ()
    steps: tuple[Steps, ...] = ()
    """For what is computed for all steps of loops at once, those that its first axes are of."""


_notes: weakref.WeakKeyDictionary[Node, dict[Hashable, Any]] = weakref.WeakKeyDictionary()
_NO_NOTES: Mapping[Hashable, Any] = MappingProxyType({})
# For which nodes lines are recorded: "all", "traced" (by their op's trait), or "none"; with "same"
# all get those of the node that they are derived from.
_recorded: contextvars.ContextVar[str] = contextvars.ContextVar("recorded", default="traced")
_origin: contextvars.ContextVar[tuple[Line, ...]] = contextvars.ContextVar("origin", default=())


def user_lines(depth: int = _DEPTH) -> tuple[Line, ...]:
    """The lines outside symgraph that led here, innermost first, at most ``depth`` of them."""
    return _lines_from(sys._getframe(1), depth, 0)


def _lines_of_builder() -> Lines:
    """The lines that led here, those outside the compiler too; in a step, one line makes several
    nodes in turn."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and _maker_of(frame.f_code.co_filename) == "compiler":
        frame = frame.f_back
    latest = _latest.get()
    if frame is None or latest is None:
        return _lines_from(frame, _DEPTH, _WRITTEN)
    back = frame.f_back
    place = (id(frame), frame.f_lineno, id(back), -1 if back is None else back.f_lasti)
    if latest.place != place:
        latest.place, latest.lines = place, _lines_from(frame, _DEPTH, _WRITTEN)
    return latest.lines


class _Latest:
    """The place at which the latest node of a step was built, and its lines."""

    __slots__ = ("lines", "place")

    def __init__(self) -> None:
        self.place: tuple[int, ...] = ()
        self.lines = Lines()


_latest: contextvars.ContextVar[_Latest | None] = contextvars.ContextVar("latest", default=None)


def _lines_from(frame: FrameType | None, depth: int, n_written: int) -> Lines:
    """So many of the user's lines from this frame on, and of those outside the compiler."""
    users: list[Line] = []
    written: list[Line] = []
    while frame is not None and len(users) < depth:
        code = frame.f_code
        maker = _maker_of(code.co_filename)
        if maker != "compiler" and not _is_of_dataclass(code):
            line = _one_line(code.co_filename, frame.f_lineno, code.co_name)
            if maker == "user":
                users.append(line)
            if len(written) < n_written:
                written.append(line)
        frame = frame.f_back
    return _lines_with(tuple(users), tuple(written))


# The nodes of a program have few lines, and equal ones are compared faster where they are one.
_one_line = functools.lru_cache(maxsize=4096)(Line)


@functools.cache
def _maker_of(file: str) -> str:
    """Who wrote a file: the ``user``, symgraph_nn (``layers``), or the ``compiler``."""
    if not file.startswith(_OWN) or file.startswith(_EXAMPLES):
        return "user"
    return "compiler" if file.startswith(_COMPILER) else "layers"


def _is_of_dataclass(code: CodeType) -> bool:
    return code.co_name == "__init__" and code.co_filename == "<string>"


def user_line() -> str | None:
    """The innermost line outside symgraph that led here, as ``file:line``."""
    lines = user_lines(1)
    return str(lines[0]) if lines else None


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
    token = _latest.set(_Latest())
    try:
        with _recording("none" if _recorded.get() == "none" else "all"):
            yield
    finally:
        _latest.reset(token)


def hand_on_lines() -> contextlib.AbstractContextManager[None]:
    """A context in which nodes have the lines of those that they are derived from."""
    return _recording("same")


def hands_on_lines() -> bool:
    """Whether `derive_from` has to be told from which node others are derived."""
    return _recorded.get() == "same"


def derive_from(variable: Node) -> None:
    """What is built from now on, where lines are handed on, is derived from the variable."""
    _origin.set(lines_of(variable))


@contextlib.contextmanager
def _recording(which: str) -> Iterator[None]:
    token = _recorded.set(which)
    try:
        yield
    finally:
        _recorded.reset(token)


def is_recorded(*, traced: bool) -> bool:
    """Whether the line of a new node is recorded just now."""
    which = _recorded.get()
    return traced if which == "traced" else which != "none"


def record(variable: Node) -> None:
    """Note the user's lines of a variable that has none yet."""
    if variable.lines:
        return
    if _recorded.get() == "same":
        variable.lines = _origin.get()
    else:
        variable.lines = _lines_of_builder()


def written_at(variable: Node) -> tuple[Line, ...]:
    """The lines that made the variable, innermost first, those of layers of symgraph_nn too."""
    return getattr(variable.lines, "written", ()) or variable.lines


def set_lines(variable: Node, lines: tuple[Line, ...]) -> None:
    """Note these lines for a variable, before others; nothing where they are empty."""
    if not lines:
        return
    before = variable.lines
    variable.lines = lines
    if before and before is not lines and before != lines:
        others = [x for x in variable.other_lines if x != lines]
        variable.other_lines = (before, *others)[:_PLACES]


def add_lines(variable: Node, lines: tuple[Line, ...]) -> None:
    """Note these lines for a variable, after those that it has."""
    before = variable.lines
    set_lines(variable, lines)
    set_lines(variable, before)


def line_in(variable: Node, loop: Node) -> str | None:
    """The line of a variable as it was written in the step of that loop; else any of its lines."""
    place = lines_in(variable, loop)
    return str(place[0]) if place else None


def lines_in(variable: Node, loop: Node) -> tuple[Line, ...]:
    """The lines of a variable as it was written in the step of that loop; else any of its lines."""
    around = lines_of(loop)[:1]
    places = (variable.lines, *variable.other_lines)
    return next((x for x in places if around and around[0] in x), places[0])


def leave_out_callers(variable: Node, callers: tuple[Line, ...]) -> None:
    """Let the variable have no lines but those within what these lines call."""
    lines = lines_of(variable)
    for k in range(len(lines)):
        if lines[k:] == callers[: len(lines) - k]:
            variable.lines = _lines_with(lines[:k], written_at(variable))
            variable.other_lines = ()
            return


def add_callers(copy: Node, original: Node, callers: tuple[Line, ...]) -> None:
    """Let the copy have the lines of the original, and then those that call what made it."""
    lines = (*lines_of(original), *callers)[:_DEPTH]
    copy.lines = _lines_with(lines, written_at(original))
    copy.other_lines = ()


def _lines_with(lines: tuple[Line, ...], written: tuple[Line, ...]) -> Lines:
    made = Lines(lines)
    made.written = written
    return made


def lines_of(variable: Node) -> tuple[Line, ...]:
    """The user's lines at which the variable was made, innermost first; empty if not recorded."""
    return variable.lines


def line_of(variable: Node) -> str | None:
    """The innermost of the user's lines at which the variable was made, as ``file:line``."""
    lines = lines_of(variable)
    return str(lines[0]) if lines else None


def nearest_line(variable: Node, loop: Node | None = None) -> str | None:
    """The line of the variable, or of the nearest one that it is made of and that has one.

    ``loop``: in the step of which they were written.
    """
    seen, layer = {variable}, [variable]
    while layer:
        for x in layer:
            line = line_of(x) if loop is None else line_in(x, loop) if x.inputs else None
            if line is not None:
                return line
        layer = [x for y in layer for x in y.inputs if not (x in seen or seen.add(x))]
    return None


def line_at(variable: Node, loops: Sequence[Node]) -> tuple[str | None, bool]:
    """The line for a variable within these loops, outermost first, and whether it is its own; else
    it is that of the nearest one that it is made of, or of a loop."""
    loop = loops[-1] if loops else None
    own = line_of(variable) if loop is None else line_in(variable, loop)
    if own is not None:
        return own, True
    candidates = [nearest_line(variable, loop), *map(line_of, reversed(loops))]
    return next((line for line in candidates if line is not None), None), False


def loop_words(loop: Node) -> str:
    """A loop as a message names it: by its name and its line."""
    name, line = name_of(loop), line_of(loop)
    words = f"loop {name!r}" if name else "the loop"
    return f"{words} at {line}" if line else words


def tell_steps(variable: Node, steps: Steps) -> None:
    """Let the variable be known as computed for all of these steps at once."""
    before = lines_of(variable)
    variable.lines = lines = _lines_with(before, written_at(variable))
    lines.steps = (steps, *getattr(before, "steps", ()))


def steps_at(variable: Node, place: Sequence[int]) -> list[tuple[int, str]]:
    """The first steps that read what is computed for all at once at this place, each with its loop,
    outermost first."""
    steps: Sequence[Steps] = getattr(lines_of(variable), "steps", ())
    return [(max(k - ahead, 0), loop) for k, (loop, ahead) in zip(place, steps, strict=False)]


def set_name(variable: Node, name: str | None) -> None:
    """Give the variable a name, or take its name away with None."""
    variable.given_name = name


def name_of(variable: Node) -> str | None:
    """The variable's name, None where it has none."""
    return variable.given_name


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

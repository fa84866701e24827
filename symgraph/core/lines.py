"""Lines of the user's source, and how the present ones are found."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import NamedTuple

__all__ = [
    "DEPTH",
    "Line",
    "Lines",
    "Steps",
    "lines_of_builder",
    "lines_with",
    "one_line_at_a_time",
    "user_line",
    "user_lines",
]

# How many lines are kept, innermost first.
DEPTH = 8
# How many lines of layers and of the user's are kept of what made a variable.
_WRITTEN = 3
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
    is_part: bool
    """Whether these are counted from a checkpoint, of which the loop itself is told the number."""


class Lines(tuple[Line, ...]):
    """The user's lines at which a variable was written, innermost first."""

    written: tuple[Line, ...] = ()
    """The innermost of those that made the variable, the layers' too."""
    steps: tuple[Steps, ...] = ()
    """For what is computed for all steps of loops at once, those that its first axes are of."""
    name: str | None = None
    """What the variable is called there."""
    callers: tuple[Line, ...] = ()
    """The user's lines that led there, where they are left out."""


def lines_with(
    users: tuple[Line, ...],
    written: tuple[Line, ...],
    *,
    steps: tuple[Steps, ...] = (),
    name: str | None = None,
    callers: tuple[Line, ...] = (),
) -> Lines:
    """The user's lines, with what else is known of them."""
    made = Lines(users)
    made.written, made.steps, made.name, made.callers = written, steps, name, callers
    return made


def user_lines(depth: int = DEPTH) -> tuple[Line, ...]:
    """The lines outside symgraph that led here, innermost first, at most ``depth`` of them."""
    return _lines_from(sys._getframe(1), depth, 0)


def lines_of_builder() -> Lines:
    """The lines that led here, those outside the compiler too; in a step, one line makes several
    nodes in turn."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and _maker_of(frame.f_code.co_filename) == "compiler":
        frame = frame.f_back
    latest = _latest.get()
    if frame is None or latest is None:
        return _lines_from(frame, DEPTH, _WRITTEN)
    back = frame.f_back
    place = (id(frame), frame.f_lineno, id(back), -1 if back is None else back.f_lasti)
    if latest.place != place:
        latest.place, latest.lines = place, _lines_from(frame, DEPTH, _WRITTEN)
    return latest.lines


class _Latest:
    """The place at which the latest node of a step was built, and its lines."""

    __slots__ = ("lines", "place")

    def __init__(self) -> None:
        self.place: tuple[int, ...] = ()
        self.lines = Lines()


_latest: contextvars.ContextVar[_Latest | None] = contextvars.ContextVar("latest", default=None)


@contextlib.contextmanager
def one_line_at_a_time() -> Iterator[None]:
    """A context in which several nodes in turn are of one line, as in the step of a loop."""
    token = _latest.set(_Latest())
    try:
        yield
    finally:
        _latest.reset(token)


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
    return lines_with(tuple(users), tuple(written))


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

"""What one step of a loop computed, printable as a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..core.places import short_places
from .tables import WIDTH, Places, format_sections

__all__ = ["Replay", "Shown"]

T = TypeVar("T")


class Shown(NamedTuple):
    """A value as the table shows it."""

    label: str
    is_read: bool
    """Whether the step reads it, and does not compute it."""
    source: str
    """In a gradient, of what it is a part of the derivative."""


class _ByLabel(dict[str, T]):
    """Entries by label; each is found by what it is as well, such as ``add 2``."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}

    def add(self, label: str, what: str, entry: T) -> None:
        """Put in an entry, under a label and what it is."""
        self[label] = entry
        self._labels.setdefault(what, label)

    def __missing__(self, what: str) -> T:
        if what not in self._labels:
            raise KeyError(f"nothing is called {what!r}; there are {', '.join(map(repr, self))}")
        return self[self._labels[what]]


class Replay:
    """The values of one step of a loop, by label; printable as a table. `replay` gives it.

    >>> h = sg.scan(lambda h: h * 2, outputs_info=[1.0], n_steps=3, name="double")
    >>> print(sg.replay(sg.compile([], h), loop="double", step=2).values)
    {'h[t-1]': array(4., dtype=float32), 'multiply': array(8., dtype=float32)}
    """

    values: _ByLabel[np.ndarray]
    """What has a name of the user's, then what the step read and computed, in this order. Values
    are called by their names, by the assignments that made them, or after their operations, and
    are found by these in any case: ``values["add 2"]`` is the second sum."""
    lines: _ByLabel[str | None]
    """For each label the user's line, as ``file:line``, where one is known."""
    loop: str
    """The loop, and the loops around it, in words."""
    step: tuple[int, ...]
    """The step of each of them, from 0."""

    def __init__(self, loops: Sequence[str], step: tuple[int, ...], forward: str | None) -> None:
        self.values, self.lines = _ByLabel(), _ByLabel()
        self._loops, self.step = list(loops), step
        self.loop = " in ".join(reversed(self._loops))
        self._forward = forward
        self._shown: list[Shown] = []

    def _add(self, shown: Shown, what: str, value: np.ndarray, line: str | None) -> None:
        """Put in a value that is also known by what it is, with the line that made it."""
        self.values.add(shown.label, what, value)
        self.lines.add(shown.label, what, line)
        self._shown.append(shown)

    def _put_first(self, labels: Sequence[str]) -> None:
        """Let the values with these labels be the first ones."""
        for of_label in (self.values, self.lines):
            for label in (*labels, *(x for x in [*of_label] if x not in labels)):
                of_label[label] = of_label.pop(label)  # type: ignore[assignment]

    def __str__(self) -> str:
        places = zip(reversed(self.step), reversed(self._loops), strict=True)
        where = "\n  in ".join(f"step {step} of {loop}" for step, loop in places)
        if self._forward:
            where += f"\nwhich goes back through step t of {self._forward}"
        lines = Places([self.lines[x.label] or "" for x in self._shown if not x.is_read])
        shared = lines.one or lines.file
        if shared is not None and shared not in short_places(where):
            where += f"\ncomputed{lines.heading}"
        heading = "\n".join(map(_in_width, short_places(where).split("\n")))
        return f"{heading}\n\n{self._table(lines)}"

    def _table(self, lines: Places) -> str:
        """The values in the order in which they were there: read, then computed."""
        read = [(*self._row(x), "", "") for x in self._shown if x.is_read]
        computed = [
            (*self._row(x), lines.alone(self.lines[x.label] or ""), x.source)
            for x in self._shown
            if not x.is_read
        ]
        line = "line" if any(row[3] for row in computed) else ""
        part = "through" if any(row[4] for row in computed) else ""
        sections = [
            (("it reads", "type", "value", "", ""), read),
            (("it computes", "type", "value", line, part), computed),
        ]
        filled = [section for section in sections if section[1]]
        return format_sections(filled, texts=[1, *([] if lines.file else [3]), 4])

    def _row(self, shown: Shown) -> tuple[str, str, str]:
        array = self.values[shown.label]
        return shown.label, f"{array.dtype}{list(array.shape)}", _in_short(array)

    def __repr__(self) -> str:
        return str(self)


# How many elements of a small array are shown, and how many letters these may take.
_ELEMENTS, _LETTERS = 4, 26


def _in_short(array: np.ndarray) -> str:
    """The elements of a small array; of a larger one their range."""
    if array.size <= _ELEMENTS:
        text = np.array2string(array, separator=", ", formatter={"float_kind": _in_digits})
        text = re.sub(r"\s+", " ", text).replace("[ ", "[")
        if len(text) <= _LETTERS:
            return text
    if array.dtype.kind == "b":
        return f"{int(array.sum())} of {array.size} true"
    finite = array[np.isfinite(array)]
    lost = array.size - finite.size
    ends = dict.fromkeys(map(_in_digits, (finite.min(), finite.max()))) if finite.size else ()
    text = " to ".join(ends) or "no number"
    return text + (f", {lost} not finite" if lost else "")


def _in_digits(number: Any) -> str:
    return f"{number:.3g}"


def _in_width(line: str) -> str:
    """A line of the heading, with its place in a line of its own where both are too long."""
    words, _, place = line.rpartition(" at ")
    return f"{words}\n    at {place}" if words and len(line) > WIDTH else line

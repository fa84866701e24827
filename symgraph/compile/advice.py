"""Advice of a report: what the user could write in another way, and what that would save."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.places import short_place
from ..core.provenance import Line
from ..scan.census import RepeatedBody
from .graphs import Graphs
from .tables import in_lines

__all__ = ["Advice", "advice_on", "format_advice"]


@dataclass(frozen=True)
class Advice:
    """One thing that the user could write in another way.

    ``kind`` is one of "repeated bodies", "batchable loop", "associative loop", "product in a loop",
    "trace for its last row", "unrolled chain", "unread state" and "forced copy".
    """

    kind: str
    text: str
    """What is found, and what to write in its place."""
    saving: str
    """What that would save: bodies, variables, bytes or products; sizes by name."""
    lines: tuple[Line, ...]
    """The user's lines: the place, or one for each copy; none where the place is not recorded."""

    def __str__(self) -> str:
        places = f" at {', '.join(map(str, dict.fromkeys(self.lines)))}" if self.lines else ""
        return f"{self.kind}{places}: {self.text} (saves {self.saving})"


def advice_on(graphs: Graphs, repeated: Sequence[RepeatedBody]) -> list[Advice]:
    """All advice on a function; what finds it is imported when somebody asks."""
    return importlib.import_module(".advisor", __package__).find_advice(graphs, repeated)


def format_advice(advice: Sequence[Advice]) -> str:
    """The pieces of advice as text, each with its place, what to write, and what it saves."""
    parts = ["advice\n──────"]
    for each in advice:
        places = ", ".join(short_place(str(line)) for line in dict.fromkeys(each.lines))
        parts.append(in_lines(f"{each.kind}{' at ' if places else ''}{places}", margin="  "))
        for text in (each.text, f"saves {each.saving}"):
            parts.append(in_lines("  " + text, margin="  "))
    return "\n".join(parts)

"""Tables and sentences of text, as reports print them."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill, wrap

from ..core.provenance import short_place

__all__ = ["Places", "format_table", "in_lines", "shown_bytes"]

# How many letters a line of a report has, where that can be.
_WIDTH = 80

# First cells have room for so many letters at least.
_SHORT = 24


class Places:
    """Lines of the user's source as a table shows them: what all rows share once, in the heading.

    >>> from symgraph.compile.tables import Places
    >>> places = Places(["net.py:3", "net.py:5", ""])
    >>> places.heading, places.of("net.py:5"), places.of("")
    (' in net.py', ', line 5', '')
    """

    def __init__(self, places: Sequence[str]) -> None:
        known = list(dict.fromkeys(short_place(place) for place in places if place))
        files = {place.rpartition(":")[0] for place in known}
        self.one = known[0] if len(known) == 1 else None
        """The line, where all have the same one."""
        self.file = files.pop() if len(files) == 1 else None
        """The file, where all are in the same one."""

    @property
    def heading(self) -> str:
        """What a heading says for all rows."""
        return f" at {self.one}" if self.one else f" in {self.file}" if self.file else ""

    def of(self, place: str) -> str:
        """What is left to say of one row."""
        if self.one or not place:
            return ""
        return f", line {place.rpartition(':')[2]}" if self.file else f" at\xa0{short_place(place)}"


def format_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: Sequence[int] = ()
) -> str:
    """A table of text: the first column, a last one without a heading and the columns ``texts`` to
    the left, numbers to the right.

    Where it would be too wide, first cells go on in lines below those of the others; a word that is
    too long for any has a line of its own.
    """
    others = sum(max(len(row[k]) for row in (header, *rows)) + 2 for k in range(1, len(header)))
    room = max(_WIDTH - others, _SHORT)
    table: list[Sequence[str]] = [header]
    for first, *cells in rows:
        parts = _parts(first, room)
        pending = [cells, *[[""] * len(cells)] * (len(parts) - 1)]
        for part, rest in zip(parts, pending, strict=True):
            table += [(part, *rest)] if len(part) <= room else [(part,), ("", *rest)]
    widths = [max(len(row[k]) for row in table if k < len(row) > 1) for k in range(len(header))]
    to_left = {0, *texts, *([] if header[-1] else [len(header) - 1])}
    lines = [_line(row, widths, to_left) for row in table if any(row)]
    rule = "  ".join("─" * width for width in widths if width)
    return "\n".join([lines[0], rule, *lines[1:]])


def _parts(cell: str, room: int) -> list[str]:
    """The lines of a first cell: those after the first have its margin and more."""
    margin = cell[: len(cell) - len(cell.lstrip())] + "    "
    parts = wrap(
        cell, room, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )
    return parts or [""]


def _line(cells: Sequence[str], widths: Sequence[int], to_left: set[int]) -> str:
    padded = [
        cell.ljust(width) if k in to_left else cell.rjust(width)
        for k, (cell, width) in enumerate(zip(cells, widths, strict=False))
    ]
    return "  ".join(padded).replace("\xa0", " ").rstrip()


def in_lines(text: str, *, margin: str = "") -> str:
    """The text in lines of a report's width, with a margin before all but the first; words that
    no-break spaces join stay together."""
    lines = fill(
        text, _WIDTH, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )
    return lines.replace("\xa0", " ")


def shown_bytes(number: int) -> str:
    """A number of bytes with its unit, in four digits.

    >>> from symgraph.compile.tables import shown_bytes
    >>> shown_bytes(800), shown_bytes(33_600), shown_bytes(2_500_000)
    ('800 B', '33.6 kB', '2.5 MB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= unit:
            return f"{number / unit:.4g} {name}"
    return f"{number} B"

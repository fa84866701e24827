"""Tables and sentences of text, as reports print them."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill, wrap
from typing import TypeAlias

from ..core.places import short_place

__all__ = ["WIDTH", "Places", "format_sections", "format_table", "in_lines", "shown_bytes"]

# How many letters a line of a report has, where that can be.
WIDTH = 80

# First cells have room for so many letters at least.
_SHORT = 20


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
        alone = self.alone(place)
        return f", line {alone}" if self.file else f" at\xa0{alone}"

    def alone(self, place: str) -> str:
        """The same in a column of its own."""
        if self.one or not place:
            return ""
        return place.rpartition(":")[2] if self.file else short_place(place)


Rows: TypeAlias = Sequence[Sequence[str]]


def format_table(header: Sequence[str], rows: Rows, *, texts: Sequence[int] = ()) -> str:
    """A table of text: the first column, a last one without a heading and the columns ``texts`` to
    the left, numbers to the right.

    Where it would be too wide, first cells go on in lines below those of the others; a word that is
    too long for any has a line of its own.
    """
    last = [] if header[-1] else [len(header) - 1]
    return format_sections([(header, rows)], texts=[*texts, *last])


def format_sections(
    sections: Sequence[tuple[Sequence[str], Rows]], *, texts: Sequence[int] = ()
) -> str:
    """A table in sections, each with a header of its own; see `format_table`."""
    n = len(sections[0][0])
    all_rows = [row for header, rows in sections for row in (header, *rows)]
    others = sum(max(len(row[k]) for row in all_rows) + 2 for k in range(1, n))
    room = max(WIDTH - others, _SHORT)
    tables = [(_split([header], room), _split(rows, room)) for header, rows in sections]
    whole = [row for header, rows in tables for row in (*header, *rows) if len(row) == n]
    widths = [max(len(row[k]) for row in whole) for k in range(n)]
    return "\n\n".join(_lines(header, rows, widths, {0, *texts}) for header, rows in tables)


def _split(rows: Rows, room: int) -> list[Sequence[str]]:
    """The rows with their first cells in several lines, if need be; a word that is too long for a
    cell is the only one of its row."""
    found: list[Sequence[str]] = []
    for first, *cells in rows:
        parts = _parts(first, room)
        pending = [cells, *[[""] * len(cells)] * (len(parts) - 1)]
        for part, rest in zip(parts, pending, strict=True):
            found += [(part, *rest)] if len(part) <= room else [(part,), ("", *rest)]
    return [row for row in found if any(row)]


def _lines(header: Rows, rows: Rows, widths: Sequence[int], to_left: set[int]) -> str:
    """The lines of a table; a column that it does not fill is left out of its rule."""
    table = [*header, *rows]
    filled = [any(len(row) > k and row[k] for row in table) for k in range(len(widths))]
    rule = ["─" * width if there else "" for width, there in zip(widths, filled, strict=True)]
    return "\n".join(_line(row, widths, to_left) for row in (*header, rule, *rows))


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
    shown = [text for text, width in zip(padded, widths, strict=False) if width]
    return "  ".join(shown).replace("\xa0", " ").rstrip()


def in_lines(text: str, *, margin: str = "") -> str:
    """The text in lines of a report's width, with a margin before all but the first; words that
    no-break spaces join stay together."""
    lines = fill(
        text, WIDTH, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
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

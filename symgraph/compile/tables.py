"""Tables and sentences of text, as reports print them."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

__all__ = ["format_table", "in_lines"]

# How many letters a line of a report has, where that can be.
_WIDTH = 96

# First cells of so many letters stay in their rows.
_SHORT = 48


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text: the first and a wordy last column to the left, numbers to the right.

    Where it would be too wide, first cells that are too long have lines of their own, above what
    else their rows have; a single number follows at once, if it fits.
    """
    lines = _aligned(header, rows)
    firsts = [row[0] for row in rows]
    others = max(map(len, lines)) - max(map(len, (header[0], *firsts)))
    room = max(_WIDTH - others, _SHORT)
    if all(len(first) <= room for first in firsts):
        return "\n".join(lines)
    blank = " " * min(_SHORT, max(_WIDTH - others, 0))
    short = [first if len(first) <= room else blank for first in firsts]
    lines = _aligned(header, [(x, *row[1:]) for x, row in zip(short, rows, strict=True)])
    for k, (first, *cells) in enumerate(rows, start=2):
        if first not in short:
            at_once = f"{first}  {lines[k].lstrip()}"
            is_one = sum(map(bool, cells)) == 1 and len(at_once) <= _WIDTH
            lines[k] = at_once if is_one else f"{first}\n{lines[k]}"
    return "\n".join(lines)


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    numbers = [False, *([True] * (len(widths) - 1))]
    if header[-1] == "":
        numbers[-1] = False

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(cells, widths, numbers, strict=True)
        ]
        return "  ".join(padded).rstrip()

    rule = "  ".join("─" * width for width in widths if width)
    return [line(table[0]), rule, *map(line, table[1:])]


def in_lines(text: str, *, margin: str = "") -> str:
    """The text in lines of a report's width, with a margin before all but the first."""
    return fill(text, _WIDTH, subsequent_indent=margin, break_long_words=False)

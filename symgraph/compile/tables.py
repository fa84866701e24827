"""Tables of text, as reports print them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["format_table"]


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text: the first and a wordy last column to the left, numbers to the right."""
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
    return "\n".join([line(table[0]), rule, *map(line, table[1:])])

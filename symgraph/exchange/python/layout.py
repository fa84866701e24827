"""Statements laid out in lines no longer than a width, as formatters leave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["INDENT", "Statement", "lines_of", "with_value_returned"]

INDENT = 4


@dataclass(frozen=True)
class Statement:
    """One statement: ``opening``, items between commas, ``closing``; or ``opening`` alone."""

    depth: int
    """How many levels it is indented by."""
    opening: str
    items: tuple[str, ...] | None = None
    closing: str = ""
    is_literal: bool = False
    """Whether the items are those of a list, tuple or dict: each has its own line in a long one."""

    @property
    def flat(self) -> str:
        """The statement in one line."""
        inside = "" if self.items is None else ", ".join(self.items)
        return " " * (INDENT * self.depth) + self.opening + inside + self.closing


def lines_of(statements: Sequence[Statement], width: int) -> list[str]:
    """The lines of the statements."""
    return [line for statement in statements for line in _lines(statement, width)]


def _lines(statement: Statement, width: int) -> list[str]:
    flat = statement.flat
    if len(flat) <= width or not statement.items:
        return [flat.rstrip()]
    margin = " " * (INDENT * statement.depth)
    inside = " " * (INDENT * (statement.depth + 1))
    together = inside + ", ".join(statement.items)
    if statement.is_literal or len(together) > width:
        body = [f"{inside}{item}," for item in statement.items]
    else:
        body = [together]
    return [margin + statement.opening, *body, margin + statement.closing]


def with_value_returned(statements: list[Statement]) -> list[Statement]:
    """The statements, where the last gives a name to what is returned with the value returned."""
    *before, last = statements or [Statement(0, "")]
    opening = f"{last.opening.removeprefix('return ')} = "
    if last.items is not None or not before or not before[-1].opening.startswith(opening):
        return statements
    value = before[-1]
    if value.depth != last.depth:  # a state that every step of a loop gives anew
        return statements
    return [*before[:-1], replace(value, opening=f"return {value.opening.removeprefix(opening)}")]

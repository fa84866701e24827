"""How the function of a program hands its results over: as the user has them, with updates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...core.variable import CONSTANT, Variable
from ...ops.broadcast import BROADCAST_TO
from ..subject import Structure, Subject
from .expression import Expression
from .function import FunctionWriter
from .layout import INDENT, Statement
from .table import quoted

__all__ = ["Handover", "fresh_ones"]


def fresh_ones(outputs: Sequence[Variable], results: Sequence[Expression]) -> list[bool]:
    """For each output whether its value is a new array: no part of what was given, none again."""
    seen: set[str] = set()
    found: list[bool] = []
    for v, x in zip(outputs, results, strict=True):
        source, is_view = v, x.is_name
        while "view" in source.op.traits and source.inputs and source.op is not BROADCAST_TO:
            source, is_view = source.inputs[0], True
        is_given = "leaf" in source.op.traits and (source.op is not CONSTANT or source.ndim > 0)
        # What an expression is a part of is the array whose name it begins with.
        base = re.split(r"\W", x.text, maxsplit=1)[0] if is_view else ""
        found.append(not is_given and base not in seen and source.op is not BROADCAST_TO)
        seen.update([base] if base else [])
    return found


class Handover:
    """The last statements of a function."""

    def __init__(self, writer: FunctionWriter, subject: Subject) -> None:
        self._writer, self._subject = writer, subject
        self._statements: list[Statement] = []

    def statements(self, results: Sequence[Expression]) -> list[Statement]:
        """The statements that return the outputs, and the updates if there are any."""
        subject = self._subject
        texts = {
            key: x.text
            for key, x in zip([*subject.outputs, *subject.updates], results, strict=True)
        }
        if subject.structure is None and not subject.updates:
            return []
        whole = self._literal("return ", subject.structure, texts)
        if not subject.updates:
            return [*self._statements, whole]
        pairs = {key: key for key in subject.updates}
        updates = self._named("updates", pairs, texts)
        outputs = whole.flat.strip().removeprefix("return ")
        if len(f"return {outputs}, {updates}") > self._writer.room:
            outputs = self._named("outputs", subject.structure, texts)
        return [*self._statements, Statement(1, f"return {outputs}, {updates}")]

    def _named(self, name: str, structure: Structure, texts: Mapping[str, str]) -> str:
        """The name of a value, which a statement is added for."""
        name = self._writer.unique(name)
        self._statements.append(self._literal(f"{name} = ", structure, texts))
        return name

    def _literal(self, opening: str, structure: Structure, texts: Mapping[str, str]) -> Statement:
        """The statement that begins so and ends with the structure."""
        if structure is None or isinstance(structure, str):
            return Statement(1, f"{opening}{None if structure is None else texts[structure]}")
        room = self._writer.room - INDENT - 1
        if isinstance(structure, Mapping):
            items = tuple(
                f"{quoted(key)}: {self._text(part, texts, room - len(quoted(key)))}"
                for key, part in structure.items()
            )
            return Statement(1, f"{opening}{{", items, "}", is_literal=True)
        items = tuple(self._text(part, texts, room) for part in structure)
        if isinstance(structure, list):
            return Statement(1, f"{opening}[", items, "]", is_literal=True)
        if len(items) == 1:
            return Statement(1, f"{opening}({items[0]},)")
        bare = Statement(1, opening + ", ".join(items))
        if items and opening == "return " and len(bare.flat) <= self._writer.program.width:
            return bare
        return Statement(1, f"{opening}(", items, ")", is_literal=True)

    def _text(self, part: Structure, texts: Mapping[str, str], room: int) -> str:
        """A part of a structure; in a statement of its own where it is longer than the room."""
        statement = self._literal("", part, texts)
        text = statement.flat.strip()
        return text if len(text) <= room else self._named("part", part, texts)

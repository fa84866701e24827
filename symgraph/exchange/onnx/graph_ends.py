"""The results of graphs within nodes: each of them a value of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.types import TensorType
from .needed import made_by
from .writer import Value, Writer, declared

if TYPE_CHECKING:
    from onnx import GraphProto, ValueInfoProto

__all__ = ["GraphEnds"]


class GraphEnds:
    """The results of a graph, which are values that its own nodes made, each another one."""

    def __init__(self, w: Writer) -> None:
        self._w = w
        self.declared: list[ValueInfoProto] = []

    def add(self, value: Value, type: TensorType) -> Value:
        """Let the value be the next result; the value that it is now."""
        if value.name not in made_by(self._w.nodes) or any(
            end.name == value.name for end in self.declared
        ):
            value = self._w.emit("Identity", value)
        self.declared.append(declared(value.name, type))
        return value

    def graph(self, name: str, inputs: Sequence[ValueInfoProto]) -> GraphProto:
        """The graph with these results."""
        return self._w.graph(name, inputs, self.declared)

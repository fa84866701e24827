"""Which nodes of a graph are needed: what was written in vain is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["names_read", "needed_nodes"]


def needed_nodes(nodes: Sequence[NodeProto], outputs: Iterable[str]) -> list[NodeProto]:
    """The nodes that these outputs need, in order."""
    needed = set(outputs)
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.output):
            kept.append(node)
            needed |= names_read([node])
    return kept[::-1]


def names_read(nodes: Iterable[NodeProto]) -> set[str]:
    """The names that nodes read, in graphs within them too."""
    names, pending = set[str](), list(nodes)
    while pending:
        node = pending.pop()
        names.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                pending += attribute.g.node
                names.update(output.name for output in attribute.g.output)
    return names

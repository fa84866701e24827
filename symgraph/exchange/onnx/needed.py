"""Nodes that were written: which of them are needed, and other names for what they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["made_by", "names_read", "needed_nodes", "rename"]


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


def made_by(nodes: Iterable[NodeProto]) -> set[str]:
    """The names of what nodes give."""
    return {name for node in nodes for name in node.output}


def rename(nodes: Iterable[NodeProto], names: Mapping[str, str]) -> None:
    """Give values other names, in graphs within the nodes too."""
    pending = list(nodes) if names else []
    while pending:
        node = pending.pop()
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                pending += attribute.g.node
                for output in attribute.g.output:
                    output.name = names.get(output.name, output.name)

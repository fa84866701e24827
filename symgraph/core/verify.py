"""The proof that a graph's types are what its ops say."""

from __future__ import annotations

from .errors import GraphError
from .graph import Graph

__all__ = ["verify"]


def verify(graph: Graph) -> None:
    """Derive the type of every node again; a `GraphError` where it is not the node's type."""
    for v in graph.nodes:
        if any(source.serial >= v.serial for source in v.inputs):
            raise GraphError(f"{v!r} was made before one of its inputs")
        derived = v.op.infer(v.inputs, *v.params)
        if derived is not v.type:
            raise GraphError(f"{v!r} has type {v.type}; its op {v.op.name} derives {derived}")
        for parameter in v.params:
            if isinstance(parameter, Graph):
                verify(parameter)

"""The native backend."""

from __future__ import annotations

from ...core.graph import Graph
from ...core.op import Op
from .executable import NativeExecutable

__all__ = ["BACKEND", "NativeBackend"]


class NativeBackend:
    """Machine code through LLVM."""

    name = "native"

    def has_lowering(self, op: Op) -> bool:
        """Whether the op is lowered as it is, natively or by a call of Python."""
        return op.expand is None or op.name in _KEPT

    def prepare(
        self, graph: Graph, *, threads: int | None = None, profile: bool = False
    ) -> NativeExecutable:
        """The graph as machine code."""
        return NativeExecutable(graph, profile=profile)


# Ops that are better as they are than in terms of others.
_KEPT: frozenset[str] = frozenset()

BACKEND = NativeBackend()

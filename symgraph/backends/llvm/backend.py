"""The native backend."""

from __future__ import annotations

import time

from ...core.graph import Graph
from ...core.op import Op
from .executable import NativeExecutable
from .image import lower
from .programs import NativePrograms
from .timing import Timing

__all__ = ["BACKEND", "NativeBackend"]


class NativeBackend:
    """Machine code through LLVM."""

    name = "native"
    programs = NativePrograms()
    steps_are_cheap = True

    def has_lowering(self, op: Op) -> bool:
        """Whether the op is lowered as it is, natively or by a call of Python."""
        return op.expand is None

    def prepare(self, graph: Graph, *, threads: int = 1, profile: bool = False) -> NativeExecutable:
        """The graph as machine code."""
        started = time.perf_counter()
        timing = Timing() if profile else None
        lowered = lower(graph, threads=threads, timing=timing)
        seconds = time.perf_counter() - started
        types = [v.type for v in graph.inputs]
        executable = NativeExecutable(lowered.image, types, lowered=lowered, timing=timing)
        executable.seconds = {"lower": seconds, **executable.seconds}
        return executable


BACKEND = NativeBackend()

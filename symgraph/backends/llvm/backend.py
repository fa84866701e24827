"""The native backend."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ...core.dims import Size
from ...core.graph import Graph
from ...core.op import Op
from ..numpy import BACKEND as NUMPY
from ..numpy import NumpyExecutable
from .calls.executable import NativeExecutable
from .calls.programs import NativePrograms
from .lowering.image import lower
from .lowering.records import LOWERINGS
from .machine.assembler import UnboundSizeError
from .machine.timing import Timing

__all__ = ["BACKEND", "NativeBackend"]


class NativeBackend:
    """Machine code through LLVM."""

    name = "native"
    programs = NativePrograms()
    steps_are_cheap = True
    keeps_checkpoints = True

    def has_lowering(self, op: Op) -> bool:
        """Whether the op is lowered as it is, natively or by a call of Python."""
        return op.expand is None or op in LOWERINGS

    def prepare(
        self, graph: Graph, *, threads: int = 1, profile: bool = False
    ) -> NativeExecutable | NumpyExecutable:
        """The graph as machine code.

        Where memory is needed for a size that no program can tell in time, the reference runs it.
        """
        started = time.perf_counter()
        timing = Timing() if profile else None
        try:
            lowered = lower(graph, threads=threads, timing=timing)
        except UnboundSizeError as error:
            executable = NUMPY.prepare(graph, profile=profile)
            executable.cache_reason = f"the reference runs it, for the size {error} is known late"
            return executable
        seconds = time.perf_counter() - started
        types = [v.type for v in graph.inputs]
        executable = NativeExecutable(lowered.image, types, lowered=lowered, timing=timing)
        rest = seconds - sum(lowered.seconds.values())
        executable.seconds = {**lowered.seconds, "lower": rest, **executable.seconds}
        return executable

    def buffers(self, graph: Graph, *, threads: int) -> Sequence[Size] | None:
        """The bytes of each buffer that a call of the graph takes; None where the reference runs
        it."""
        try:
            return lower(graph, threads=threads).taken
        except UnboundSizeError:
            return None


BACKEND = NativeBackend()

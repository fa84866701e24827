"""The graphs behind a report: as built, and as rewritten, made when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from ..core.dims import Size
from ..core.graph import Graph
from ..scan.composites import with_open_composites
from .program import Program

__all__ = ["Graphs"]


class Graphs:
    """What a function computes, before and after the passes."""

    def __init__(
        self,
        program: Program,
        rewrite: Callable[[], Graph],
        find_buffers: Callable[[Graph], Sequence[Size] | None],
        rewritten: Graph | None = None,
        *,
        steps_are_cheap: bool,
    ) -> None:
        self.program = program
        self.steps_are_cheap = steps_are_cheap
        """See `Backend`."""
        self._rewrite, self._find_buffers = rewrite, find_buffers
        if rewritten is not None:
            self.rewritten = rewritten

    @cached_property
    def built(self) -> Graph:
        """The graph as it was built, composites opened."""
        return with_open_composites(self.program.graph)

    @cached_property
    def rewritten(self) -> Graph:
        """The graph after all passes; a program that was recalled has none until it is asked."""
        return self._rewrite()

    @cached_property
    def buffers(self) -> Sequence[Size] | None:
        """The bytes of each buffer of a call, where the backend says that."""
        return self._find_buffers(self.rewritten)

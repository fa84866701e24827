"""The graphs behind a report: as built, and as rewritten, made when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

from ..core.dims import Size
from ..core.graph import Graph
from ..core.origins import Origins, call_within
from ..scan.composites import with_open_composites
from .program import Program

__all__ = ["Graphs"]

T = TypeVar("T")


class Graphs:
    """What a function computes, before and after the passes."""

    def __init__(
        self,
        program: Program,
        rewrite: Callable[[], Graph],
        find_buffers: Callable[[Graph], Sequence[Size] | None],
        origins: Origins,
        rewritten: Graph | None = None,
        *,
        steps_are_cheap: bool,
    ) -> None:
        self.program = program
        self.steps_are_cheap = steps_are_cheap
        """See `Backend`."""
        self._rewrite, self._find_buffers = rewrite, find_buffers
        self.origins = origins
        """What the program says of its nodes."""
        if rewritten is not None:
            self.rewritten = rewritten

    @cached_property
    def built(self) -> Graph:
        """The graph as it was built, composites opened."""
        return self.tell(lambda: with_open_composites(self.program.graph))

    @cached_property
    def rewritten(self) -> Graph:
        """The graph after all passes; a program that was recalled has none until it is asked."""
        return self.tell(self._rewrite)

    @cached_property
    def buffers(self) -> Sequence[Size] | None:
        """The bytes of each buffer of a call, where the backend says that."""
        return self.tell(lambda: self._find_buffers(self.rewritten))

    def tell(self, what: Callable[[], T]) -> T:
        """What is found out of the graphs, with names and lines as the program has them."""
        return call_within(self.origins, what)

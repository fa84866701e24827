"""What the backend finds out about a graph before it writes anything, analysis by analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

from .cluster import cluster
from .sink import sink_slices
from .unify import unify_sizes
from .values import Values

__all__ = ["ANALYSES", "CLUSTER", "LAYOUT", "SINK", "UNIFY", "Analysis", "P", "R"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Analysis(Generic[P, R]):
    """A function by the name that reports give it."""

    name: str
    find: Callable[P, R]


UNIFY = Analysis("unify", unify_sizes)
SINK = Analysis("sink", sink_slices)
LAYOUT = Analysis("layout", Values)
CLUSTER = Analysis("cluster", cluster)

# In this order: the first of a function's graph, the others of each loop's body too.
ANALYSES = (
    UNIFY,  # sizes that are checked to agree are one size
    SINK,  # what is read in separate parts is computed in parts
    LAYOUT,  # where each value lies, and which are read at all
    CLUSTER,  # what one kernel computes
)

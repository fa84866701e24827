"""Programs made for calls in which sizes agree that steps of loops compare.

Nearly all calls are such, and a program that goes by it is the better one: a loop's products and
sums leave it where sizes are known to fit. A call of which sizes do not agree is an error of the
first step; where no step is taken it is none. That a program tells that goes by nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from ..core.errors import CallError
from ..core.graph import Graph
from ..rewrite.unify import sizes_agree
from ..scan.composites import with_open_composites
from .rounding import Run

__all__ = ["WithAgreeingSizes", "steps_agree"]


def steps_agree(graph: Graph, arrays: Sequence[np.ndarray]) -> bool:
    """Whether these arguments agree in all sizes that steps of the graph's loops compare."""
    return sizes_agree(with_open_composites(graph), [array.shape for array in arrays])


class WithAgreeingSizes:
    """Such a program; other calls go to one that ``make_other`` makes when there is the first.

    ``graph`` is the one that both come from.
    """

    def __init__(self, graph: Graph, run: Run, make_other: Callable[[], Run]) -> None:
        self._graph = graph
        self._run = run
        self._make_other = make_other

    @cached_property
    def _other(self) -> Run:
        return self._make_other()

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        """The results for these arguments."""
        try:
            return self._run(*arrays)
        except CallError:
            if steps_agree(self._graph, arrays):
                raise
        return self._other(*arrays)

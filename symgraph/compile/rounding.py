"""Two programs' results compared: which elements differ by more than rounding explains.

A first look allows some units in the last place of the largest element. What is beyond is looked
at again: the reference runs several times, each time rounding otherwise, and a difference is
rounding if it is not far beyond those among these runs. So a sum of many terms, a loop of many
steps and a comparison on the edge raise no alarm, and nobody has to choose a tolerance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..backends.base import load_backend
from ..core.graph import Graph
from ..core.variable import Variable
from .pipeline import Hits, expand

if TYPE_CHECKING:
    from ..backends.numpy import NumpyBackend

__all__ = [
    "RUNS_TO_SEARCH",
    "ULPS",
    "Difference",
    "Run",
    "Suspect",
    "compare",
    "differs",
    "measure",
    "reference",
    "ulps_between",
]

# A function from arrays to results.
Run = Callable[..., Sequence[np.ndarray]]

# How many units in the last place of the largest element are no difference at first sight; and how
# many at most where larger ones have been found to be rounding before.
ULPS = 32.0
_MOST_ULPS = 1024.0
# How often the reference is rounded otherwise before a difference is one. Where rounding decides a
# comparison each run has about an even chance of showing it. That there is a difference has to be
# certain; where it comes from is found with fewer.
RUNS = 12
RUNS_TO_SEARCH = 4
# How far beyond the differences among these runs two right results may be.
_FACTOR = 4.0


def _backend() -> NumpyBackend:
    """The reference, which is imported when it is first needed."""
    return cast("NumpyBackend", load_backend("numpy"))


def expanded(graph: Graph) -> Graph:
    """The graph in terms that the reference runs, not rewritten otherwise."""
    return expand(graph, _backend(), Hits())


def reference(graph: Graph) -> Run:
    """The graph as the reference runs it: as it is, node by node."""
    return _backend().prepare(expanded(graph))


def measure(graph: Graph, arrays: Sequence[np.ndarray]) -> Mapping[Variable, int]:
    """How many bytes the nodes of the graph and of its loop bodies compute, over all steps."""
    n_bytes: Counter[Variable] = Counter()
    _backend().prepare_measuring(expanded(graph), n_bytes)(*arrays)
    return n_bytes


@dataclass(frozen=True)
class Suspect:
    """What may compute wrong values: a rewriting, and what runs the rewritten graph."""

    rewrite: Callable[[Graph], Graph]
    prepare: Callable[[Graph], Run]

    def run(self, graph: Graph, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """The results of the graph; the arrays are not given away."""
        return self.prepare(self.rewrite(graph))(*[array.copy() for array in arrays])


@dataclass
class Difference:
    """One result twice, and where the two differ by more than rounding."""

    got: np.ndarray
    expected: np.ndarray
    wrong: np.ndarray
    """For each element whether it is wrong; of no dimensions where shapes or dtypes differ."""

    def __bool__(self) -> bool:
        return bool(self.wrong.any())

    @property
    def first_row(self) -> int:
        """The first row in which an element is wrong."""
        if self.wrong.ndim == 0:
            return 0
        return int(np.argmax(self.wrong.reshape(len(self.wrong), -1).any(axis=1)))

    def row(self, index: int) -> Difference:
        """One row of both."""
        if self.wrong.ndim == 0:
            return self
        return Difference(self.got[index], self.expected[index], np.asarray(self.wrong[index]))


def differs(got: np.ndarray, expected: np.ndarray, ulps: float) -> bool:
    """Whether the two differ at first sight: by more units in the last place than these."""
    return bool(_wrong(got, expected, None, by_row=False, ulps=ulps).any())


def ulps_between(got: np.ndarray, expected: np.ndarray) -> float:
    """How many units in the last place are to be passed over from now on, as these were rounding.

    Twice those between the two, within bounds.
    """
    if got.shape != expected.shape or expected.dtype.kind != "f" or not expected.size:
        return ULPS
    with np.errstate(all="ignore"):
        distance = np.abs(got.astype(np.float64) - expected.astype(np.float64))
        ulps = np.nanmax(distance / _unit(expected, None), initial=0.0)
    return float(min(max(ULPS, 2.0 * ulps), _MOST_ULPS))


def compare(
    graph: Graph,
    arrays: Sequence[np.ndarray],
    suspect: Suspect,
    got: Sequence[np.ndarray] | None = None,
    *,
    skip: Sequence[int] | None = None,
    runs: int = RUNS,
) -> list[Difference]:
    """For each result of the graph the suspect's value (``got`` if it is known) and the right one.

    ``skip``: the results are rows, step by step, each of a magnitude of its own, after so many that
    do not count; where one has fewer rows than the other the rest does not count either.
    ``runs``: how often to round otherwise before a difference is one.
    """
    expected = reference(graph)(*arrays)
    pairs = list(zip(suspect.run(graph, arrays) if got is None else got, expected, strict=True))
    by_row = skip is not None
    if skip is not None:
        pairs = [_same_rows(a[n:], b[n:]) for (a, b), n in zip(pairs, skip, strict=True)]
    differences = [Difference(a, b, _wrong(a, b, None, by_row=by_row)) for a, b in pairs]
    if not any(differences):
        return differences
    spreads = _Spreads([graph, suspect.rewrite(graph)], arrays, skip)
    for _ in range(runs):
        spreads.run_again()
        for each, spread in zip(differences, spreads.total(differences), strict=True):
            if each:
                each.wrong = _wrong(each.got, each.expected, spread, by_row=by_row)
        if not any(differences):
            break
    return differences


def _same_rows(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = min(len(a), len(b))
    return a[:n], b[:n]


class _Spreads:
    """How far the results of graphs are moved by rounding, as far as some runs show."""

    def __init__(
        self, graphs: Sequence[Graph], arrays: Sequence[np.ndarray], skip: Sequence[int] | None
    ) -> None:
        distinct = list(dict.fromkeys(graphs))
        self._arrays = arrays
        self._skip = skip
        self._rounding = [_backend().prepare_rounding(expanded(graph)) for graph in distinct]
        self._right = [self._counted(reference(graph)(*arrays)) for graph in distinct]
        self._spreads = [[np.zeros(each.shape) for each in right] for right in self._right]
        self._reshaped: set[int] = set()

    def _counted(self, results: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """The rows of the results that count."""
        if self._skip is None:
            return results
        return [result[n:] for result, n in zip(results, self._skip, strict=True)]

    def run_again(self) -> None:
        """Round all graphs otherwise, and note by how much that moves their results."""
        for run, right, spreads in zip(self._rounding, self._right, self._spreads, strict=True):
            moved = self._counted(run(*self._arrays))
            for i, (a, b) in enumerate(zip(moved, right, strict=True)):
                if a.shape != b.shape:
                    self._reshaped.add(i)
                spreads[i] = np.maximum(spreads[i], _distance(a, b, by_row=self._skip is not None))

    def total(self, differences: Sequence[Difference]) -> list[np.ndarray]:
        """For each difference the spreads of all graphs together.

        Where shapes differ it is one number: infinite if rounding changes the shape, or else 0.
        """
        totals = []
        for i, (each, *spreads) in enumerate(zip(differences, *self._spreads, strict=True)):
            if self._skip is not None:
                spreads = [spread[: len(each.expected)] for spread in spreads]
            if all(spread.shape == each.expected.shape == each.got.shape for spread in spreads):
                totals.append(np.asarray(sum(spreads)))
            else:
                totals.append(np.asarray(np.inf if i in self._reshaped else 0.0))
        return totals


def _distance(a: np.ndarray, b: np.ndarray, *, by_row: bool) -> np.ndarray:
    """How far each element of ``a`` is from that of ``b``; infinitely where one is not finite.

    It has the shape of ``b``; what ``a`` lacks is infinitely far.
    """
    result = np.full(b.shape, np.inf)
    n = min(len(a), len(b)) if by_row else None
    if by_row:
        a, b = a[:n], b[:n]
    if a.shape != b.shape:
        return result
    with np.errstate(all="ignore"):
        distance = np.abs(a.astype(np.float64) - b.astype(np.float64))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    distance = np.where(same, 0.0, np.where(np.isfinite(distance), distance, np.inf))
    # Integers beyond 2**53 differ all the same.
    distance = np.where(~same & (distance == 0.0), 1.0, distance)
    if by_row:
        result[:n] = distance
        return result
    return distance


def _wrong(
    got: np.ndarray,
    expected: np.ndarray,
    spread: np.ndarray | None,
    *,
    by_row: bool,
    ulps: float = ULPS,
) -> np.ndarray:
    """Which elements differ by more than rounding; one truth where shapes or dtypes differ.

    ``spread`` is how far rounding moved the elements. NaN and infinities have to be in the same
    places; integers and bools are exact unless rounding is seen to decide them.
    """
    if spread is None:
        spread = np.zeros(())
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return np.asarray(got.dtype != expected.dtype or not np.isinf(spread).all())
    wrong = np.asarray((got != expected) & ~(np.isnan(got) & np.isnan(expected)))
    if not wrong.any():
        return wrong
    spread = np.broadcast_to(spread, expected.shape)
    if expected.dtype.kind != "f":
        return np.asarray(wrong & ~(spread > 0))
    axes = tuple(range(1, got.ndim)) if by_row else None
    with np.errstate(all="ignore"):
        allowed = ulps * _unit(expected, axes) + _FACTOR * _near(spread)
        distance = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    return np.asarray(wrong & ~((distance <= allowed) | np.isinf(spread)))


def _unit(expected: np.ndarray, axes: tuple[int, ...] | None) -> Any:
    """For each element a unit in the last place: its own, and that of the largest.

    ``axes``: along which the largest is looked for; None for all.
    """
    limits = np.finfo(expected.dtype)
    size = np.where(np.isfinite(expected), np.abs(expected), 0.0).astype(np.float64)
    largest = np.max(size, axis=axes, keepdims=True)
    return float(limits.eps) * (size + largest) + float(limits.smallest_normal)


def _near(spread: np.ndarray) -> Any:
    """How far rounding moves each element, and those beside it.

    An element may have been moved by little through luck: the others of its row tell, too.
    """
    finite = np.where(np.isinf(spread), 0.0, spread)
    usual = np.mean(finite**2, axis=tuple(range(1, spread.ndim)), keepdims=True)
    return finite + np.sqrt(usual)

"""Calls that are verified: what was compiled and the reference side by side.

The reference evaluates the graph as it was built, node by node, so that a wrong rewrite is noticed
as well as wrong machine code. Where the two differ by more than rounding, the first wrong value is
searched for: in what the backend makes of the rewritten graph, or else in what a pass made of the
graph before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ..backends.base import Backend
from ..core import provenance
from ..core.errors import FiniteError, VerifyError, explain
from ..core.graph import Graph
from ..core.origins import call_in_steps
from ..core.variable import Variable, item
from ..rewrite.unify import with_united_sizes
from ..scan.observers import without_observers
from ..scan.paths import counted_loops
from .locate import Fault, is_value, locate
from .pipeline import Hits, Pass, all_passes, rewrite
from .rounding import ULPS, Difference, Run, Suspect, compare, differs, reference, ulps_between
from .sizes_of_steps import steps_agree

__all__ = ["Verified"]

# How many wrong results a message names.
_SHOWN = 4
_ONCE = "a program from the cache on disk, or a fault that comes and goes"
_RECORD = "Build the graph within sg.record_lines() to be told the line of every operation."


class Outcome(NamedTuple):
    """What a run came to: its results, or what it raised."""

    results: Sequence[np.ndarray]
    error: Exception | None


class Verified:
    """A program whose every call is compared with the reference; to be called as the program is.

    ``built``
        The graph as it was built.
    ``run``
        What the backend made of it.
    ``labels``
        What messages call the graph's outputs.
    """

    def __init__(
        self,
        built: Graph,
        run: Run,
        backend: Backend,
        *,
        threads: int,
        name: str | None,
        labels: Sequence[str],
    ) -> None:
        self._built = built = without_observers(built)
        self._run = run
        self._backend = backend
        self._threads = threads
        self._prefix = f"{name}: " if name else ""
        self._labels = labels
        self._reference = reference(built)
        self._ulps = [ULPS] * len(built.outputs)

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        """The program's results; a `VerifyError` where one differs from the reference's."""
        # Copies: neither a faulty program nor another thread changes what is compared.
        given = [array.copy() for array in arrays]
        expected = _outcome(self._reference, given)
        arguments = [array.copy() for array in given]
        outcome = _outcome(self._run, arguments)
        if outcome.error is not None or expected.error is not None:
            raise self._error_alone(outcome, expected)
        for before, after, v in zip(given, arguments, self._built.inputs, strict=True):
            if before.tobytes() != after.tobytes():
                raise self._changed_argument(v, before, after)
        self._compare(given, outcome.results, expected.results)
        return outcome.results

    # --- what differs ---------------------------------------------------------------------------

    def _compare(
        self,
        given: Sequence[np.ndarray],
        got: Sequence[np.ndarray],
        expected: Sequence[np.ndarray],
    ) -> None:
        """Raise where results differ; remember how far apart they are if that was rounding."""
        if any(map(differs, got, expected, self._ulps)):
            self._examine(given, got)
            self._ulps = list(map(max, self._ulps, map(ulps_between, got, expected)))

    def _examine(self, given: Sequence[np.ndarray], got: Sequence[np.ndarray]) -> None:
        """Raise where a difference is more than rounding."""
        agree = steps_agree(self._built, given)
        graph = rewrite(self._built, self._backend, of_steps=agree)[0]
        suspect = Suspect(lambda graph: graph, self._prepare)
        differences = compare(graph, given, suspect, got)
        if any(differences):
            fault = locate(graph, given, suspect)
            again = "" if fault else f" (not when it compiled it again: {_ONCE})"
            fault = fault or _as_output(graph, differences)
            self._raise(f"the {self._backend.name} backend{again}", fault, differences)
        examine = partial(self._examine_passes, given=given)
        with_united_sizes(self._built, examine, of_steps=agree)

    def _examine_passes(self, graph: Graph, given: Sequence[np.ndarray]) -> Graph:
        """The graph after all passes; raise where one of them is to blame for a difference."""
        for name, run in all_passes():
            suspect = Suspect(_alone(run, self._backend), reference)
            differences = compare(graph, given, suspect)
            if any(differences):
                fault = locate(graph, given, suspect) or _as_output(graph, differences)
                rules = _rules_at(fault, graph, run, self._backend)
                self._raise(f"the pass '{name}'{rules}", fault, differences)
            graph = suspect.rewrite(graph)
        return graph

    def _prepare(self, graph: Graph) -> Run:
        return self._backend.prepare(graph, threads=self._threads)

    def _raise(self, culprit: str, fault: Fault, differences: Sequence[Difference]) -> None:
        path = [scan for scan, _ in fault.loops]
        raise call_in_steps(path, lambda: self._error_at(culprit, fault, differences))

    def _error_at(
        self, culprit: str, fault: Fault, differences: Sequence[Difference]
    ) -> VerifyError:
        loops = [fault.loops[i] for i in counted_loops([scan for scan, _ in fault.loops])]
        names = tuple(scan.name or "scan" for scan, _ in loops)
        steps = tuple(step for _, step in loops)
        where = "".join(
            f" in step {step} of loop '{name}'"
            for step, name in zip(reversed(steps), reversed(names), strict=True)
        )
        line, is_own = provenance.line_at(fault.node, [scan for scan, _ in fault.loops])
        labels = [label for label, each in zip(self._labels, differences, strict=True) if each]
        others = len(labels) - _SHOWN
        wrong = ", ".join(labels[:_SHOWN]) + (f" and {others} more" if others > 0 else "")
        what = (
            f"{self._prefix}{culprit} makes {fault.node.op.name}{where} wrong, the first value "
            f"that differs from the reference: {_describe(fault.difference)}\n"
            f"  wrong with it: {wrong}"
        )
        return VerifyError(
            explain(what, line=line, remedy=None if is_own else _RECORD),
            op=fault.node.op.name,
            loop=names if len(names) > 1 else names[0] if names else None,
            step=steps if len(steps) > 1 else steps[0] if steps else None,
            line=line,
            got=fault.difference.got,
            expected=fault.difference.expected,
        )

    # --- what else may go wrong -----------------------------------------------------------------

    def _error_alone(self, outcome: Outcome, expected: Outcome) -> Exception:
        """What is raised where a side raised an error: that error, if both did."""
        for error in (outcome.error, expected.error):
            if error is not None and (
                isinstance(error, MemoryError | FiniteError) or (outcome.error and expected.error)
            ):
                return error
        error = outcome.error or expected.error
        raised, other = f"the {self._backend.name} backend", "the reference"
        if outcome.error is None:
            raised, other = other, raised
        alone = VerifyError(
            explain(f"{self._prefix}{raised} raised an error, {other} did not:\n  {error}"),
            line=provenance.user_line(),
            got=outcome.error or outcome.results,
            expected=expected.error or expected.results,
        )
        alone.__cause__ = error
        return alone

    def _changed_argument(self, v: Variable, before: np.ndarray, after: np.ndarray) -> VerifyError:
        line = provenance.line_of(v)
        what = f"{self._prefix}the {self._backend.name} backend changed its argument"
        return VerifyError(
            explain(f"{what} {provenance.describe(v)}"),
            op=v.op.name,
            line=line,
            got=after,
            expected=before,
        )


def _outcome(run: Run, arrays: Sequence[np.ndarray]) -> Outcome:
    try:
        return Outcome(run(*arrays), None)
    except Exception as error:
        return Outcome((), error)


def _alone(run: Pass, backend: Backend) -> Callable[[Graph], Graph]:
    """One pass as a rewriting."""

    def rewrite_once(graph: Graph) -> Graph:
        with provenance.without_lines():
            return run(graph, backend, Hits())

    return rewrite_once


def _as_output(graph: Graph, differences: Sequence[Difference]) -> Fault:
    """The first wrong output, where the fault cannot be followed to what it is made of."""
    node, difference = next(
        (v, each) for v, each in zip(graph.outputs, differences, strict=True) if each
    )
    return Fault(node, difference, ())


def _rules_at(fault: Fault, graph: Graph, run: Pass, backend: Backend) -> str:
    """The rules that fire at the node, or at the loop around it, in words."""
    values, below = [fault.node], [x for x in fault.node.inputs if is_value(x)]
    if fault.loops:
        scan = fault.loops[0][0]
        values = [item(scan, i) for i in range(len(scan.type.items))]
        below = list(scan.inputs)
    hits: list[Hits] = []
    for part in (values, below):
        hits.append(Hits())
        with provenance.without_lines():
            run(Graph(graph.inputs, part), backend, hits[-1])
    rules = sorted(hits[0] - hits[1])
    return f" ({', '.join(rules)})" if rules else ""


def _describe(difference: Difference) -> str:
    """The first wrong element of both."""
    got, expected, wrong = difference.got, difference.expected, difference.wrong
    if wrong.shape != expected.shape or wrong.shape != got.shape:
        found = f"{got.dtype}{list(got.shape)}"
        return f"it is {found}, {expected.dtype}{list(expected.shape)} is right"
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    element = f"element {list(index)} of {list(wrong.shape)}" if index else "it"
    others = f", and {int(wrong.sum()) - 1} more are wrong" if wrong.sum() > 1 else ""
    return f"{element} is {got[index]!s}, {expected[index]!s} is right{others}"

"""Calls of which every float value is checked: the first that is no finite number ends them.

What the backend runs is the rewritten graph with a mark. Where that is not 0 the reference runs the
graph again and looks at every value, to tell the first at fault: which is NaN where no operand is,
or infinite where all operands are finite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..backends.numpy_looking import Place, looking
from ..core import provenance
from ..core.errors import FiniteError, OperandRange, SymgraphError, explain
from ..core.graph import Graph
from ..core.origins import call_in_steps
from ..core.variable import Variable, constant_value
from ..scan.op import Loop
from ..scan.paths import counted_loops, loop_paths
from .marks import is_computed
from .rounding import Run, expanded
from .step_names import StepNames

__all__ = ["Checked"]

_RECORD = "Build the graph within sg.record_lines() to be told the line of every operation."


class Checked:
    """A program with a mark, whose calls raise a `FiniteError` where it is not 0.

    ``graph``, ``built``
        The rewritten graph, and the one as it was built.
    ``run``
        What the backend made of the rewritten one.
    """

    def __init__(self, graph: Graph, built: Graph, run: Run, *, backend: str, name: str | None):
        self._rewritten, self._built = graph, built
        self._run = run
        self._backend = backend
        self._prefix = f"{name}: " if name else ""

    @cached_property
    def _graph(self) -> Graph:
        return expanded(self._rewritten)

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        """The program's results."""
        try:
            *results, mark = self._run(*arrays)
        except SymgraphError:
            self._tell_first(arrays)  # an index, say, that NaN made
            raise
        if mark == 0:
            return results
        self._tell_first(arrays)
        raise FiniteError(
            f"{self._prefix}a value that the {self._backend} backend computed is not finite; "
            "those that the reference computed in its place are"
        )

    def _tell_first(self, arrays: Sequence[np.ndarray]) -> None:
        """Raise for the first value that is not finite, if the reference comes to one."""
        for v, array in zip(self._graph.inputs, arrays, strict=True):
            if is_not_finite(array):
                raise self._error(v, [], array, ())
        self._locate(arrays, _is_at_fault)
        self._locate(arrays, _is_nan)  # of a NaN among the constants

    def _locate(
        self, arrays: Sequence[np.ndarray], is_meant: Callable[[Sequence[Any], Any], bool]
    ) -> None:
        """Raise for the first value that the reference computes of which this holds."""

        def look(v: Variable, operands: Sequence[Any], value: Any, place: Place) -> None:
            if is_computed(v) and is_meant(operands, value):
                raise _Found(v, operands, value, place)

        try:
            looking(self._graph, look, checks=True)(*arrays)
        except SymgraphError:  # before any such value
            return
        except _Found as found:
            path = [scan for scan, _ in found.place]
            about = (found.node, found.operands, found.value, found.place)
            error = call_in_steps(path, lambda: self._error(*about))
        else:
            return
        raise error

    def _error(
        self, v: Variable, operands: Sequence[Any], value: np.ndarray, place: Place
    ) -> FiniteError:
        path = [scan for scan, _ in place]
        counted = counted_loops(path)
        loops, steps = self._labels(path, counted), tuple(place[i][1] for i in counted)
        where = "".join(
            f"\n  in step {place[i][1]} of loop {_named(path[i], loop)}{_at(path[i])}"
            for i, loop in zip(reversed(counted), reversed(loops), strict=True)
        )
        names = StepNames(self._graph, path, self._built) if path else None
        ranges = [_range(_label(x, names), y) for x, y in zip(v.inputs, operands, strict=False)]
        is_given = "leaf" in v.op.traits
        subject = provenance.describe(v) if is_given else v.op.name
        text = f"{self._prefix}{subject} {'is' if is_given else 'gives'} {_first(value)}"
        text += "".join(f"\n  of {each}" for each in ranges) + where
        line, is_own = provenance.line_at(v, path)
        return FiniteError(
            explain(text, line=line, remedy=None if is_own else _RECORD),
            op=v.op.name,
            loop=loops if len(loops) > 1 else loops[0] if loops else None,
            step=steps if len(steps) > 1 else steps[0] if steps else None,
            line=line,
            operands=tuple(ranges),
        )

    def _labels(self, path: Sequence[Variable], counted: Sequence[int]) -> tuple[str | int, ...]:
        """For each of these loops its name, where that tells which one is meant, or else its row in
        the report. Steps that run again from a checkpoint are those of the loop of that name."""
        if not path:
            return ()
        paths = loop_paths(self._graph)
        known = [_names(x) for x in paths if all(Loop(scan).layout.role != "again" for scan in x)]
        labels = []
        for i in counted:
            names = _names(path[: i + 1])
            alike = [x for x in known if (x if len(names) > 1 else x[-1:]) == names]
            is_told = names[-1] is not None and len(alike) <= 1
            labels.append(names[-1] if is_told else paths.index(tuple(path[: i + 1])))
        return tuple(labels)


def _names(path: Sequence[Variable]) -> list[str | None]:
    return [path[i].name for i in counted_loops(path)]


class _Found(BaseException):
    """Ends a run at a value."""

    def __init__(self, v: Variable, operands: Sequence[Any], value: Any, place: Place) -> None:
        super().__init__()
        self.node, self.operands, self.value, self.place = v, operands, value, place


def _is_at_fault(operands: Sequence[Any], value: Any) -> bool:
    """Whether a value is not finite in a way in which no operand is."""
    if not is_not_finite(value) or any(map(_has_nan, operands)):
        return False
    return _has_nan(value) or not any(map(is_not_finite, operands))


def _is_nan(_: Sequence[Any], value: Any) -> bool:
    """Whether a value has a NaN, wherever that came from."""
    return _has_nan(value)


def _has_nan(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and dtype.kind == "f" and bool(np.isnan(value).any())


def is_not_finite(value: Any) -> bool:
    """Whether an array of floats, or a number, has an element that is not finite."""
    dtype = getattr(value, "dtype", None)
    return dtype is not None and dtype.kind == "f" and not np.isfinite(value).all()


def _named(scan: Variable, loop: str | int) -> str:
    """The loop's name; with its row in the report, where other loops have that name too."""
    if isinstance(loop, str) or scan.name is None:
        return repr(loop)
    return f"{scan.name!r} (row {loop} of the report's loops)"


def _at(scan: Variable) -> str:
    line = provenance.line_of(scan)
    return f" at {line}" if line else ""


def _label(x: Variable, names: StepNames | None) -> str:
    """An operand in words, in a loop as its step calls it."""
    if x.name:
        return repr(x.name)
    if constant_value(x) is not None:
        return "a constant"
    known = names.name_of(x) if names else None
    if known:
        return known
    sources = provenance.named_sources(x)
    return f"a result of {x.op.name}" + (f" (from {', '.join(sources)})" if sources else "")


def _range(label: str, value: Any) -> OperandRange:
    array = np.asarray(value)
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    least, largest = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
    return OperandRange(label, least, largest, int(array.size - finite.size))


def _first(value: Any) -> str:
    """The first element that is not finite, and how many there are."""
    array = np.asarray(value)
    wrong = ~np.isfinite(array)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), array.shape))
    at = f" at {list(index)} of {list(array.shape)}" if index else ""
    others = int(wrong.sum()) - 1
    return f"{array[index]!s}{at}" + (f" and {others} more" if others else "")

"""The gradient of a loop by first rows alone: that of its first steps.

Cotangents that are zero but at first rows, as that of ``y[0]`` is, come back through the steps that
gave these rows. Later ones would hand on zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

from ..autodiff.reverse import zeros_for
from ..core.variable import Variable
from ..ops.broadcast import is_zeros
from ..ops.elementwise import add, terms_of
from ..ops.slices import ADD_SLICE, SLICE, At, Entry, Span, change_slice, slice_axis
from .first_rows import ALL_ROWS, Rows, first_steps_of
from .op import Loop
from .vjp import padded, vjp_of_steps

__all__ = ["vjp_of_first_steps"]


class _Part(NamedTuple):
    """The cotangent of some first rows of a result."""

    rows: Rows
    entries: tuple[Entry, ...]
    """For each axis to which part it is added, those of `rows` for the first one."""
    cotangent: Variable

    @property
    def stop(self) -> int:
        assert self.rows.stop is not None
        return self.rows.stop

    def of_rows_from(self, x: Variable, first: int) -> Variable:
        """The cotangent of ``x``, which has the result's rows from ``first`` on."""
        start, stop, values = self.rows.start - first, self.stop - first, self.cotangent
        if isinstance(self.entries[0], At):
            entry: Entry = At(start)
        else:
            entry = Span(start, stop, 1)
            values = values[::-1] if self.rows.is_reversed else values
        return _added_to(x, values, entry, *self.entries[1:])

    def is_of_row(self, index: int) -> bool:
        """Whether it is of all of this row, and no others."""
        is_one = isinstance(self.entries[0], At) and not any(self.entries[1:])
        return is_one and self.rows.start == index


class _FirstSteps(Loop):
    """The first steps of a loop, whose results are first rows of what the whole loop has."""

    def __init__(self, steps: Variable, whole: Loop, count: int) -> None:
        super().__init__(steps)
        buffers = zip(whole.buffers, whole.states, strict=True)
        self._buffers = [slice_axis(x, 0, 0, state.depth + count) for x, state in buffers]
        self._traces = [slice_axis(x, 0, 0, count) for x in whole.traces]

    @property
    def buffers(self) -> list[Variable]:
        return self._buffers

    @property
    def traces(self) -> list[Variable]:
        return self._traces


def vjp_of_first_steps(
    loop: Loop, cotangents: Sequence[Variable | None]
) -> Sequence[Variable | None] | None:
    """The cotangents of a loop's inputs, from those of its results; None where these may be of
    more than some first rows."""
    results = loop.results
    if loop.layout.truncate is not None or any(ct is not None for ct in cotangents[len(results) :]):
        return None
    found = [_parts_of(ct) for ct in cotangents[: len(results)]]
    parts = [of_result for of_result in found if of_result is not None]
    if len(parts) < len(results) or not any(parts):
        return None
    ends = (x.stop - r.depth for r, xs in zip(results, parts, strict=True) for x in xs)
    steps = _first_steps(loop, count := max(1, *ends))
    if steps is None:
        return None
    left = [*steps.buffers, *steps.traces]
    arriving = [
        _cotangent(x, result.depth, count, of_result) if of_result else None
        for x, result, of_result in zip(left, results, parts, strict=True)
    ]
    pulled = list(vjp_of_steps(steps, arriving))
    wholes = loop.layout.parts(loop.node.inputs).sequences
    for k, (whole, x) in enumerate(zip(wholes, steps.node.inputs[1:], strict=False), 1):
        ct = pulled[k]
        if ct is not None and x is not whole:
            pulled[k] = _added_to(whole, ct, *x.params[0])
    return padded(pulled, loop)


def _first_steps(loop: Loop, count: int) -> Loop | None:
    """The first steps; those of a loop with checkpoints run again, as any chunk of its would."""
    every = loop.checkpoint_every
    if every is None:
        steps = first_steps_of(loop, count)
        return None if steps is None else _FirstSteps(steps, loop, count)
    if count > (every if isinstance(every, int) else 1):
        return None
    if loop.body.has_effects:
        return None
    steps = first_steps_of(loop, count)
    return None if steps is None else Loop(steps)


def _parts_of(cotangent: Variable | None) -> list[_Part] | None:
    """What a cotangent adds to first rows of zeros; None where it may be more than that."""
    parts: list[_Part] = []
    pending = [] if cotangent is None else [(v, ALL_ROWS) for v in terms_of(cotangent)]
    while pending:
        v, rows = pending.pop()
        is_added = v.op is ADD_SLICE and len(v.inputs) == 2 and is_zeros(v.inputs[0])
        if not is_added and not _reverses(v):
            return None
        first, *others = v.params[0]
        part, values = rows.part(first), v.inputs[-1]
        if part is not None and part.stop is not None:
            if isinstance(first, Span) and abs(first.step) > 1:
                return None
            parts.append(_Part(part, v.params[0], values))
        elif part is not None and not any(others):
            pending += [(term, part) for term in terms_of(values)]
        else:
            return None
    return parts


def _reverses(v: Variable) -> bool:
    """Whether this has all rows of its operand from the last to the first."""
    return v.op is SLICE and v.params[0][0] == Span(0, None, -1) and not any(v.params[0][1:])


def _cotangent(result: Variable, depth: int, count: int, parts: Sequence[_Part]) -> Variable | None:
    """The cotangent of a result, with so many initial rows, of so many steps at most."""
    if not depth:
        return _sum([part.of_rows_from(result, 0) for part in parts])
    rows = result[depth:]
    of_rows: list[Variable] = []
    for part in parts:
        if part.rows.start >= depth:
            of_rows.append(part.of_rows_from(rows, depth))
            if part.is_of_row(depth + count - 1):
                # Known to be the last one: there the gradient loop starts.
                of_rows[-1] = _added_to(rows, of_rows[-1][-1], At(-1))
    initial = [part.of_rows_from(result, 0) for part in parts if part.rows.start < depth]
    later = _sum(of_rows)
    if later is not None:
        initial.append(_added_to(result, later, Span(depth, None, 1)))
    return _sum(initial)


def _added_to(x: Variable, values: Variable, *entries: Entry) -> Variable:
    """Zeros like ``x``, with values added at these parts of its first axes."""
    padded = (*entries, *[None] * (x.ndim - len(entries)))
    return change_slice(ADD_SLICE, zeros_for(x), values, padded, ())


def _sum(terms: Sequence[Variable]) -> Variable | None:
    return reduce(add, terms) if terms else None

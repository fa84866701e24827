"""Sums over time, taken out of the loop.

A state ``total = total + a @ b`` of which only the last value is read, such as the gradient of a
weight, costs a small product and a sum for each step. The loop leaves the factors behind instead,
and one large product after it does the rest: ``sum_t a_t @ b_t`` is a product over time and rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.variable import Variable
from ..ops.broadcast import REARRANGE, SUM, rearrange, reduce_sum
from ..ops.elementwise import add
from ..ops.linalg import MATMUL, matmul
from ..ops.shape import reshape
from ..ops.sizes import shape_of
from ..ops.slices import slice_axis
from .close import find_varying
from .open import OpenLoop

__all__ = ["Total", "take_out_sums"]

Results = Mapping[int, Variable]


@dataclass
class Trace:
    """A value of the body over time: rows of a sequence, or a result of the loop."""

    sequence: tuple[Variable, int] | None = None
    result: int = -1
    first: int = 0

    def read(self, loop: OpenLoop, results: Results) -> Variable:
        """The value over time, ``[n, ...]``, once the loop is closed."""
        base, first = self.sequence or (results[self.result], self.first)
        return slice_axis(base, 0, first, add(loop.n_steps, first))


@dataclass
class Total:
    """A state that is a sum over time, and what its last value is made of instead."""

    state: int
    initial: Variable
    terms: list[tuple[Variable, list[Trace]]]
    results: set[int] = field(default_factory=set)

    def value(self, loop: OpenLoop, results: Results) -> Variable:
        """The last value of the state."""
        total = loop.states[self.state].initial[-1]  # type: ignore[index]
        for term, traces in self.terms:
            total = add(total, _term_over_time(term, [t.read(loop, results) for t in traces]))
        return total


def take_out_sums(loop: OpenLoop, last_rows: Iterable[int]) -> list[Total]:
    """The states that need not be computed in the loop; it keeps what they need meanwhile."""
    if loop.condition is not None:
        return []
    found = []
    for i in sorted(last_rows):
        terms = _terms(loop, i) if i < len(loop.states) else None
        if terms:
            found.append((i, terms))
    totals = []
    for i, terms in found:
        total = Total(i, loop.states[i].initial, [])
        for term in terms:
            traces = [_keep(loop, factor) for factor in _factors(term)]
            total.terms.append((term, traces))
            total.results.update(t.result for t in traces if t.sequence is None)
        totals.append(total)
    return totals


def _terms(loop: OpenLoop, i: int) -> list[Variable] | None:
    """What state ``i`` adds up: products and sums over rows; None where it is no such sum."""
    state = loop.states[i]
    if list(state.taps) != [-1]:
        return None
    symbol = state.taps[-1]
    terms: list[Variable] = []
    met = 0
    stack = [state.value]
    while stack:
        v = stack.pop()
        if v is symbol:
            met += 1
        elif v.op.name == "add" and all(x.type is v.type for x in v.inputs):
            stack.extend(v.inputs)
        else:
            terms.append(v)
    others = [v for k, v in enumerate(loop.outputs()) if k != i]
    depends = find_varying([*terms, *others], [symbol])
    if met != 1 or any(v in depends for v in (*terms, *others)):
        return None
    return terms if all(_is_reduction(term) for term in terms) else None


def _is_reduction(v: Variable) -> bool:
    while v.op is REARRANGE:
        v = v.inputs[0]
    if v.op is MATMUL:
        return all(x.ndim == 2 for x in v.inputs)
    return v.op is SUM or v.ndim == 0


def _factors(term: Variable) -> list[Variable]:
    """The values that a term is made of, as they are kept over time."""
    while term.op is REARRANGE:
        term = term.inputs[0]
    if term.op is not MATMUL:
        return [term]
    left, right = term.inputs
    # The left factor of a weight's gradient is a transposed row block: keep the block.
    return [left.inputs[0] if _is_transpose(left) else left, right]


def _is_transpose(v: Variable) -> bool:
    return v.op is REARRANGE and v.params[0] == (1, 0)


def _keep(loop: OpenLoop, value: Variable) -> Trace:
    """How to read a value of the body over time; a new plain output if need be."""
    if value in loop.slices:
        return Trace(sequence=loop.slices[value])
    for i, state in enumerate(loop.states):
        for tap, symbol in state.taps.items():
            if value is symbol:
                return Trace(result=i, first=tap - min(state.taps))
    return Trace(result=loop.keep(value))


def _term_over_time(term: Variable, traces: list[Variable]) -> Variable:
    """The sum over time of a term, from its factors over time."""
    if term.op is REARRANGE:
        return rearrange(_term_over_time(term.inputs[0], traces), term.params[0])
    if term.op is not MATMUL:
        return reduce_sum(traces[0], [0])
    left, right = traces
    right = reshape(right, (_rows(right), shape_of(right)[2]))
    if _is_transpose(term.inputs[0]):
        left = rearrange(reshape(left, (_rows(left), shape_of(left)[2])), [1, 0])
    else:
        left = rearrange(left, [1, 0, 2])
        left = reshape(left, (shape_of(left)[0], shape_of(left)[1] * shape_of(left)[2]))
    return matmul(left, right)


def _rows(x: Variable) -> Any:
    """How many rows ``[n, k, ...]`` has when its first two axes are one."""
    n, k = shape_of(x)[:2]
    return n * k

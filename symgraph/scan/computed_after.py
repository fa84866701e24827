"""Values of a loop's body that no state needs, computed for all steps at once after the loop.

The cotangents of what a step computes of its rows are such: ``dz_t @ V'`` times a derivative, of
which the gradient of a weight is a sum over time. The loop leaves behind what they are made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from dataclasses import replace as with_fields

from ..core.dims import product
from ..core.graph import has_effect, replace
from ..core.types import TupleType
from ..core.variable import Variable, ancestors, make_input
from ..ops.linalg import MATMUL
from ..ops.sizes import size_of
from .open import OpenLoop
from .over_time import Results, Trace, keep_over_time
from .products import has_fixed_factor, left_of, product_over_time
from .stacked import stacked

__all__ = ["ComputedAfter", "Needed", "compute_after"]

# Of so many values of a body at most is one made that is computed after the loop: each of the
# values of a long body is made of those before it.
_MOST = 16


@dataclass(frozen=True)
class ComputedAfter:
    """A value of the body over time that is computed of others over time."""

    value: Variable
    sources: Mapping[Variable, Trace]
    """What it is made of, as the loop leaves it behind."""

    @property
    def results(self) -> set[int]:
        """The results of the loop that it needs."""
        return {i for trace in self.sources.values() for i in trace.results}

    @property
    def traces(self) -> list[Trace]:
        """The values over time that it is made of."""
        return list(self.sources.values())

    def over_time(self, loop: OpenLoop, results: Results) -> Variable:
        """The value over time, ``[n, ...]``, once the loop is closed."""
        values = {v: trace.over_time(loop, results) for v, trace in self.sources.items()}
        for v in _between(loop, self.value, values):
            values[v] = _in_all_steps(loop, v, values)
        return values[self.value]

    def has_products(self, loop: OpenLoop) -> bool:
        """Whether products are computed on the way."""
        return any(v.op is MATMUL for v in _between(loop, self.value, self.sources))

    def turned(self) -> ComputedAfter:
        """The same, from the last step to the first."""
        return with_fields(self, sources={v: x.turned() for v, x in self.sources.items()})


class Needed:
    """What a loop has to compute in any case.

    That is for its states, but for those ``without`` which it does, and for some ``results``, by
    number.
    """

    def __init__(self, loop: OpenLoop, without: Set[int], results: Iterable[int]) -> None:
        self._loop, ends = loop, loop.ends()
        self._left = {i for i in results if i not in without}
        self._n_results = len(ends)
        roots = {*range(len(loop.states))}.difference(without) | self._left
        self.values: Set[Variable] = set(ancestors([ends[i] for i in roots]))
        self._in_all_steps: dict[Variable, bool] = {}

    def is_left_behind(self, v: Variable) -> bool:
        """Whether the loop is known to leave the value behind, for all steps."""
        result = self._loop.result_with(v)
        return result is not None and (result in self._left or result >= self._n_results)

    def can_be_in_all_steps(self, v: Variable) -> bool:
        """Whether a value can be computed for all steps at once, if what it is made of is there."""
        if v not in self._in_all_steps:
            self._in_all_steps[v] = _can_be_in_all_steps(self._loop, v)
        return self._in_all_steps[v]


def compute_after(
    loop: OpenLoop,
    value: Variable,
    needed: Needed,
    *,
    may_keep: int,
    of_single_rows: bool = False,
) -> ComputedAfter | None:
    """How to compute a value after the loop; None where it needs the value, or it cannot be done.

    ``may_keep``: how many values more the loop may leave behind, instead of this one. They are no
    larger, but for factors of products.
    ``of_single_rows``: only of vectors and numbers, and where it is such a value.
    """
    if value in needed.values or needed.is_left_behind(value):
        return None
    if of_single_rows and value.ndim > 1:
        return None
    sources: set[Variable] = set()
    new: list[Variable] = []
    stack, seen = [], {value}
    symbols, met = set(loop.symbols), [value]
    while met:
        # What is left behind first: it may tell that nothing can be done.
        for v in met:
            is_left = needed.is_left_behind(v)
            if not (is_left or v in needed.values or v in symbols):
                stack.append(v)
                continue
            sources.add(v)
            new += [v] if v not in loop.reads and not is_left else []
            if len(new) > may_keep or not loop.has_fixed_size(v) or (of_single_rows and v.ndim > 1):
                return None
        met.clear()
        while stack and not met:
            if len(seen) > _MOST:
                return None
            met += dict.fromkeys(x for x in _made_of(loop, stack.pop()) if x not in seen)
            seen.update(met)
    between = seen - sources
    has_products = any(v.op is MATMUL for v in between)
    if not (has_products or all(_is_no_larger(v, value) for v in new)):
        return None
    if not all(map(needed.can_be_in_all_steps, between)):
        return None
    if not all(_has_row_for_each_step(loop, v) for v in sources):
        return None
    return ComputedAfter(value, {v: keep_over_time(loop, v) for v in sources})


def _is_no_larger(v: Variable, other: Variable) -> bool:
    a, b = (product(x.type.shape) * x.dtype.itemsize for x in (v, other))
    return a == b or (isinstance(a, int) and isinstance(b, int) and a <= b)


def _has_row_for_each_step(loop: OpenLoop, v: Variable) -> bool:
    """Whether it is known of a value over time that it has as many rows as there are steps."""
    if v not in loop.reads:
        return True
    n_rows = Trace(loop.reads[v]).over_time(loop, {}).type.shape[0]
    return n_rows == size_of(loop.n_steps)


def _can_be_in_all_steps(loop: OpenLoop, v: Variable) -> bool:
    if (v.op.kind == "elementwise" and not has_effect(v)) or has_fixed_factor(v, loop.varying):
        return True
    n = size_of(loop.n_steps)
    rows = [x for x in v.inputs if x in loop.varying]
    if any(isinstance(x.type, TupleType) for x in (v, *rows)):
        return False  # of a loop in the loop
    arrays = {x: make_input(x.type.with_shape((n, *x.type.shape))) for x in rows}
    return stacked([v], arrays) is not None


def _made_of(loop: OpenLoop, v: Variable) -> list[Variable]:
    varying = loop.varying
    if v.op is MATMUL and has_fixed_factor(v, varying):
        return [left_of(v)]
    return [x for x in v.inputs if x in varying]


def _between(loop: OpenLoop, value: Variable, sources: Iterable[Variable]) -> list[Variable]:
    """What is computed on the way from the sources to a value, the oldest first."""
    sources, found = set(sources), set[Variable]()
    stack = [value]
    while stack:
        v = stack.pop()
        if v not in sources and v not in found:
            found.add(v)
            stack.extend(_made_of(loop, v))
    return sorted(found, key=lambda v: v.serial)


def _in_all_steps(loop: OpenLoop, v: Variable, values: Mapping[Variable, Variable]) -> Variable:
    """A value over time, from those that it is made of."""
    if v.op is MATMUL:
        return product_over_time(loop, v, values[left_of(v)])
    made_of = _made_of(loop, v)
    arrays = {x: make_input(values[x].type) for x in made_of}
    stack = stacked([v], arrays)
    assert stack is not None
    return replace(stack, {arrays[x]: values[x] for x in made_of} | loop.fixed)[0]

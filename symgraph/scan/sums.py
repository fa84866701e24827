"""Sums over time, taken out of the loop.

A state ``total = total + a @ b`` of which only the last value is read, such as the gradient of a
weight, costs a small product and a sum for each step. The loop leaves the factors behind instead,
and one large product after it does the rest: ``sum_t a_t @ b_t`` is a product over time and rows.
Of a state to which steps add rows at indices, such as the gradient of a table, it leaves the rows
and the indices behind (`added_rows`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..core.variable import Variable
from ..ops.broadcast import REARRANGE, SUM, is_zeros, rearrange, reduce_sum, seen_through
from ..ops.elementwise import add, terms_of
from ..ops.join import CONCATENATE, concatenate
from ..ops.linalg import MATMUL, matmul
from ..ops.shape import reshape
from ..ops.sizes import shape_of
from .added_rows import add_rows_over_time, adds_rows, is_sum_of_rows, rows_and_indices
from .computed_after import ComputedAfter, Needed, compute_after
from .moved_axes import axis_among, move_alike, rearranged
from .open import OpenLoop
from .over_time import Results, Trace, keep_over_time

__all__ = ["Total", "take_out_sums"]

OverTime = Trace | ComputedAfter


@dataclass
class Total:
    """A state that is a sum over time, and what its last value is made of instead."""

    state: int
    terms: list[tuple[Variable, list[Variable], list[OverTime]]] = field(default_factory=list)
    """Each term, the values of the body that it is made of, and how these are had over time."""

    @property
    def results(self) -> set[int]:
        """The results of the loop that it needs."""
        return {i for _, _, factors in self.terms for each in factors for i in each.results}

    def value(self, loop: OpenLoop, results: Results) -> Variable:
        """The last value of the state."""
        total = loop.states[self.state].initial[-1]
        for term, factors, kept in self.terms:
            over_time = [each.over_time(loop, results) for each in kept]
            if adds_rows(term):
                total = add_rows_over_time(loop, total, term, over_time)
            else:
                total = add(total, _sum_over_time(term, factors, over_time))
        return total

    @property
    def traces(self) -> list[Trace]:
        """The values over time that it is made of."""
        return [x for _, _, factors in self.terms for each in factors for x in each.traces]

    def turned(self) -> Total:
        """The same, added up from the last step to the first."""
        terms = [
            (term, factors, [each.turned() for each in over_time])
            for term, factors, over_time in self.terms
        ]
        return Total(self.state, terms)


def take_out_sums(
    loop: OpenLoop, last_rows: Iterable[int], results: Iterable[int], *, steps_are_cheap: bool
) -> list[Total]:
    """The states that need not be computed in the loop; it keeps what they need meanwhile.

    ``results``: the plain outputs, by number, that it has to compute. ``steps_are_cheap``: states
    without a product, and without rows at indices, may stay, and so may work on several rows.
    """
    if loop.condition is not None:
        return []
    numbers = [i for i in sorted(last_rows) if i < len(loop.states)]
    users, ends = loop.users() if numbers else {}, Counter(loop.ends())
    found = {i: terms for i in numbers if (terms := _terms(loop, i, users, ends))}
    if not found:
        return []
    sums = {
        i: terms
        for i, terms in found.items()
        if all(_is_reduction(loop, term) for term in terms)
        and (not steps_are_cheap or any(map(_is_dear, terms)))
    }
    known = _Known(loop, Needed(loop, found.keys(), results), steps_are_cheap=steps_are_cheap)
    # What is needed anyway first: of that others are computed. And products first: the sum of rows
    # that are kept for a product needs no more of the loop.
    known.keep_needed(v for terms in sums.values() for term in terms for v in _factors(loop, term))
    totals = {i: Total(i) for i in sums}
    for i in sorted(sums, key=lambda i: not any(map(_is_product, sums[i]))):
        for term in sums[i]:
            factors = _factors(loop, term)
            over_time = [known.kept_or_computed(v, of=term) for v in factors]
            totals[i].terms.append((term, factors, over_time))
    # Other sums are taken out where the loop keeps nothing more for that.
    for i in sorted(found.keys() - sums.keys()):
        terms = [seen_through(term, REARRANGE) for term in found[i]]
        over_time = [known.had_already(v) for v in terms]
        if all(over_time):
            made_of = zip(found[i], terms, over_time, strict=True)
            totals[i] = Total(i, [(term, [v], [x]) for term, v, x in made_of if x])
    return list(totals.values())


class _Known:
    """What values of a loop's body are had over time, so far."""

    def __init__(self, loop: OpenLoop, needed: Needed, *, steps_are_cheap: bool) -> None:
        self._loop, self._needed, self._steps_are_cheap = loop, needed, steps_are_cheap
        # To leave another value behind, and not this one, gains the products between them alone.
        self._has_products = MATMUL in {v.op for v in loop.varying}
        self._known: dict[Variable, OverTime] = {}

    def keep_needed(self, values: Iterable[Variable]) -> None:
        """Keep those of the values that the loop computes anyway."""
        for v in values:
            if v in self._needed.values:
                self._known[v] = keep_over_time(self._loop, v)

    def kept_or_computed(self, v: Variable, of: Variable) -> OverTime:
        """The value over time, for a term that is made ``of`` it."""
        if v not in self._known:
            of_single_rows = self._steps_are_cheap and not adds_rows(of)
            after = self._has_products and compute_after(
                self._loop, v, self._needed, may_keep=1, of_single_rows=of_single_rows
            )
            self._known[v] = after or keep_over_time(self._loop, v)
        return self._known[v]

    def had_already(self, v: Variable) -> OverTime | None:
        """The value over time, where the loop keeps no more for it, and has less to do."""
        is_cheap = self._steps_are_cheap
        if is_cheap and not self._has_products:
            return None
        known = self._known.get(v) or compute_after(
            self._loop, v, self._needed, may_keep=0, of_single_rows=is_cheap
        )
        if is_cheap and not (isinstance(known, ComputedAfter) and known.has_products(self._loop)):
            return None
        return known


def _terms(
    loop: OpenLoop, i: int, users: Mapping[Variable, list[Variable]], ends: Counter[Variable]
) -> list[Variable] | None:
    """What state ``i`` adds up; None where it is no sum of what does not need it.

    ``users``: see `OpenLoop`. ``ends``: how often the body computes each value for the sake of it.
    """
    state = loop.states[i]
    if list(state.taps) != [-1]:
        return None
    symbol = state.taps[-1]
    terms = _added_up(state.new)[::-1]
    if terms.count(symbol) != 1:
        return None
    terms.remove(symbol)
    factors = {factor for term in terms for factor in _factors(loop, term)}
    sums, stack = {symbol}, [symbol]
    while stack:
        v = stack.pop()
        if v in factors or ends[v] > int(v is state.new):
            return None
        stack += [user for user in users[v] if user not in sums]
        sums.update(users[v])
    return terms if all(map(loop.has_fixed_size, factors)) else None


def _added_up(total: Variable) -> list[Variable]:
    """The terms of a sum, from left to right; rows added to one are a term, and it has its own."""
    terms: list[Variable] = []
    stack = [total]
    while stack:
        for v in terms_of(stack.pop()):
            terms.append(v)
            if adds_rows(v):
                stack.append(v.inputs[0])
    return [v for v in terms if not is_zeros(v)]


def _is_reduction(loop: OpenLoop, v: Variable) -> bool:
    if adds_rows(v):
        return is_sum_of_rows(loop, v)
    v = seen_through(v, REARRANGE)
    if v.op is MATMUL:
        return all(x.ndim == 2 for x in v.inputs)
    return v.op is SUM or v.ndim == 0


def _is_product(term: Variable) -> bool:
    return seen_through(term, REARRANGE).op is MATMUL


def _is_dear(term: Variable) -> bool:
    return adds_rows(term) or _is_product(term)


def _factors(loop: OpenLoop, term: Variable) -> list[Variable]:
    """The values that a term is made of, as they are kept over time."""
    if adds_rows(term) and is_sum_of_rows(loop, term):
        return rows_and_indices(loop, term)
    core = seen_through(term, REARRANGE)
    if core.op is SUM and loop.is_output(core.inputs[0]):
        return [core.inputs[0]]
    if core.op is not MATMUL:
        return [core]
    left, right = core.inputs
    return [*_blocks(left), seen_through(right, REARRANGE)]


def _blocks(left: Variable) -> Sequence[Variable]:
    """The blocks of rows that a left factor has, each as it is kept over time."""
    whole = seen_through(left, REARRANGE)
    if whole.op is CONCATENATE and axis_among(left, whole.params[0]) == 0:
        return whole.inputs
    return (whole,)


def _sum_over_time(term: Variable, factors: list[Variable], traces: list[Variable]) -> Variable:
    """The sum over time of a term, from its factors over time."""
    if term is factors[0]:
        return reduce_sum(traces[0], [0])
    if term.op is REARRANGE:
        return rearrange(_sum_over_time(term.inputs[0], factors, traces), term.params[0])
    if term.op is SUM:
        axes, keepdims = term.params
        return reduce_sum(reduce_sum(traces[0], [0]), axes, keepdims=keepdims)
    left, right = term.inputs
    *blocks, rows = traces
    rows = _as_rows(move_alike(right, rows, ahead=1))
    products = [_product_over_time(left, block, rows) for block in blocks]
    return products[0] if len(products) == 1 else concatenate(products, 0)


def _product_over_time(left: Variable, block: Variable, rows: Variable) -> Variable:
    """``sum_t left_t @ right_t`` of a block of the left factors' rows and the right ones' rows."""
    # Of a weight's gradient the left factor is a transposed block, which is one matrix as it lies.
    columns = rearranged(move_alike(left, block, ahead=1), (0, 2, 1))
    return matmul(rearrange(_as_rows(columns), (1, 0)), rows)


def _as_rows(x: Variable) -> Variable:
    """The matrices ``[n, k, m]`` one below the other."""
    n, k, m = shape_of(x)
    return reshape(x, (n * k, m))

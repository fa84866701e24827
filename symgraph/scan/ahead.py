"""What a loop's body computes without its states, for all steps at once, before the loop.

Where products of rows are computed before the loop, the loop reads as little of them as it can: a
bias is added to all rows, those of two products are added up, axes are moved, and masks applied.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import reduce

from ..core.dims import product
from ..core.graph import replace
from ..core.variable import Variable, ancestors, make_input
from ..ops.broadcast import REARRANGE, seen_through
from ..ops.elementwise import ADD, add
from ..ops.sizes import size_of
from .moved_axes import move_alike
from .open import OpenLoop
from .over_time import Trace
from .stacked import stacked

__all__ = ["OverTime", "compute_ahead"]

# Of so many elements an op of NumPy takes about as long as of one.
_SMALL = 4096


class OverTime:
    """What a body computes of rows of sequences, for all steps at once."""

    def __init__(self, loop: OpenLoop) -> None:
        self.loop = loop
        self.known: dict[Variable, Variable] = {}
        """By values of the body, the rows as they are read among them."""

    def rows_of(self, v: Variable) -> Variable | None:
        """The value over time; None where it can be computed step by step alone."""
        row = seen_through(v, REARRANGE)
        if row in self.loop.reads or row in self.known:
            return move_alike(v, self._of_known(row), ahead=1)
        below = [x for x in ancestors([v], self.known) if x in self.loop.reads or x in self.known]
        for x in below:
            self._of_known(x)
        # Equal lengths have to be known as equal ones.
        if len({self.known[x].type.shape[0] for x in below}) != 1:
            return None
        arrays = {x: make_input(self.known[x].type) for x in below}
        values = stacked([v], arrays)
        if values is None:
            return None
        outside = {arrays[x]: self.known[x] for x in below} | self.loop.fixed
        return replace(values, outside)[0]

    def read(self, v: Variable, rows: Variable) -> Variable:
        """The symbol for what the loop reads instead of computing ``v``: a row of its ``rows``."""
        symbol = make_input(v.type)
        self.known[v] = rows
        self.loop.read(rows, symbol)
        return symbol

    def results_among(self, values: Collection[Variable]) -> dict[int, Variable]:
        """The plain outputs of the loop that are among ``values``, by number, over time."""
        among, length, found = set(values), size_of(self.loop.n_steps), {}
        late = self.loop.late
        for index, output in enumerate(self.loop.outputs, len(self.loop.states)):
            if output in among and output in self.loop.varying and output not in late:
                rows = self.rows_of(output)
                if rows is not None and rows.type.shape == (length, *output.type.shape):
                    found[index] = rows
        return found

    def _of_known(self, v: Variable) -> Variable:
        if v not in self.known:
            self.known[v] = Trace(self.loop.reads[v]).over_time(self.loop, {})
        return self.known[v]


def compute_ahead(loop: OpenLoop, symbols: Sequence[Variable]) -> dict[int, Variable]:
    """Compute what is made of rows that were computed before the loop there as well.

    ``symbols`` stand for these rows. Nothing is moved that would let the loop read more than it
    does; and of rows that may be large, nothing but views: there an op costs what it computes, in a
    step as before the loop, and sums keep their order. Given are the results, by number, that are
    computed before the loop now.
    """
    _gather_terms(loop, list(filter(_is_small, symbols)))
    over_time, late, users = OverTime(loop), loop.late, loop.users()
    # Plain outputs are no readers: over time they are what is computed before.
    ends = {state.new for state in loop.states}
    ahead = set(symbols)
    replaced: dict[Variable, Variable] = {}
    for v in sorted(loop.varying - late - set(loop.symbols), key=lambda v: v.serial):
        sources = ahead.intersection(v.inputs)
        is_cheap = v.op.kind == "elementwise" and all(map(_is_small, sources))
        if not sources or not (v.op is REARRANGE or is_cheap):
            continue
        is_alone = all(set(users[x]) == {v} and x not in ends for x in sources)
        rows = over_time.rows_of(v) if is_alone and _is_no_larger(v, sources) else None
        if rows is not None and loop.has_fixed_size(v):
            ahead.add(v)
            replaced[v] = over_time.read(v, rows)
    results = over_time.results_among([*symbols, *replaced])
    if replaced:
        loop.substitute(replaced)
    return results


def _is_small(row: Variable) -> bool:
    size = product(row.type.shape)
    return isinstance(size, int) and size <= _SMALL


def _is_no_larger(v: Variable, sources: Collection[Variable]) -> bool:
    """Whether all rows of ``v`` take no more room than those of one of its sources."""
    size = product(v.type.shape), v.type.dtype.itemsize
    return any(size == (product(x.type.shape), x.type.dtype.itemsize) for x in sources)


# --- sums ---------------------------------------------------------------------------------------


def _gather_terms(loop: OpenLoop, symbols: Sequence[Variable]) -> None:
    """Add those terms of sums first that need no state, where one is a row of ``symbols``."""
    late, inner, ahead = loop.late, _inner_sums(loop), set(symbols)
    new: dict[Variable, Variable] = {}
    for v in sorted(late - inner, key=lambda v: v.serial):
        if v.op is not ADD:
            continue
        terms = _terms_among(v, inner)
        cores = [seen_through(term, REARRANGE) for term in terms]
        early = [term for term, core in zip(terms, cores, strict=True) if core not in late]
        others = [term for term, core in zip(terms, cores, strict=True) if core in late]
        if len(early) < 2 or not others or ahead.isdisjoint(cores):
            continue
        if any(term.type.dtype is not v.type.dtype for term in terms):
            continue
        first = reduce(add, early)
        total = reduce(add, [first, *others])
        if first.type is v.type and total is not v:
            new[v] = replace([total], new, keep_lines=True)[0]
    if new:
        loop.substitute(new)


def _inner_sums(loop: OpenLoop) -> set[Variable]:
    """The sums, and views of such, that other sums alone read, each of them once."""
    users, ends = loop.users(), set(loop.ends())
    inner: set[Variable] = set()
    for v in sorted(loop.varying, key=lambda v: v.serial, reverse=True):
        if v in ends or v.op not in (ADD, REARRANGE) or len(users[v]) != 1:
            continue
        (user,) = users[v]
        if user.op is ADD or user in inner:
            inner.add(v)
    return inner


def _terms_among(total: Variable, inner: Collection[Variable]) -> list[Variable]:
    """The terms of a sum, from left to right; the ``inner`` sums are seen through."""
    terms: list[Variable] = []
    stack = list(reversed(total.inputs))
    while stack:
        v = stack.pop()
        core = seen_through(v, REARRANGE)
        if core.op is ADD and core in inner and (v is core or _has_all_axes(core)):
            stack.extend(move_alike(v, x) for x in reversed(core.inputs))
        else:
            terms.append(v)
    return terms


def _has_all_axes(total: Variable) -> bool:
    """Whether the terms of a sum have its axes: one of fewer is not moved as the sum is."""
    return all(x.ndim == total.ndim for x in total.inputs)

"""Rows that a state has added at indices, in each step some, added for all steps at once.

What adds them is ``total.add_at(i, rows)``, with one array of indices or more, or with an index for
each step. Where the rows are products with a matrix that does not change, such as those of the
gradient of ``table[i] @ matrix``, these are computed after the loop, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from ..core.graph import replace
from ..core.variable import Variable
from ..ops.broadcast import REARRANGE, rearrange, seen_through
from ..ops.elementwise import add, terms_of
from ..ops.gather import SCATTER_ADD, place_of
from ..ops.slices import ADD_SLICE, SYMBOL, At
from .open import OpenLoop
from .products import has_fixed_factor, left_of, product_over_time

__all__ = ["add_rows_over_time", "adds_rows", "rows_and_indices"]


def adds_rows(v: Variable) -> bool:
    """Whether this is its first input with rows added at indices that are computed."""
    if v.op is ADD_SLICE:
        return len(v.inputs) > 2 and all(e is None or e == At(SYMBOL) for e in v.params[0])
    return v.op is SCATTER_ADD


def rows_and_indices(loop: OpenLoop, v: Variable) -> list[Variable]:
    """What the rows are made of, and the indices that change, as they are kept over time."""
    _, rows, *indices = v.inputs
    return [*([left_of(p) for p in _products(loop, rows)] or [rows]), *_varying(loop, indices)]


def add_rows_over_time(
    loop: OpenLoop, total: Variable, v: Variable, over_time: list[Variable]
) -> Variable:
    """The ``total`` with the rows of all steps added, from what they are made of over time."""
    _, rows, *indices = v.inputs
    products, n_varying = _products(loop, rows), len(_varying(loop, indices))
    made_of, changing = over_time[:-n_varying], iter(over_time[-n_varying:])
    if products:
        pairs = zip(products, made_of, strict=True)
        made_of = [product_over_time(loop, product, left) for product, left in pairs]
    all_rows = reduce(add, made_of)
    ndim = max(index.ndim for index in indices)
    places = [
        _with_ndim(next(changing), ndim + 1)
        if index in loop.varying
        else replace([index], loop.fixed)[0]
        for index in indices
    ]
    axes = _axes(v)
    place = place_of(axes)
    order = [*range(1, place + 1), 0, *range(place + 1, all_rows.ndim)]
    # Of sequences of several lengths it is not known that as many rows are read.
    assert SCATTER_ADD.build is not None
    return SCATTER_ADD.build((total, rearrange(all_rows, order), *places), axes)


def _with_ndim(index: Variable, ndim: int) -> Variable:
    """An index over time so that it broadcasts with others over time of so many axes."""
    gap = [None] * (ndim - index.ndim)
    return rearrange(index, [0, *gap, *range(1, index.ndim)])


def _varying(loop: OpenLoop, indices: Sequence[Variable]) -> list[Variable]:
    return [index for index in indices if index in loop.varying]


def _axes(v: Variable) -> tuple[int, ...]:
    if v.op is SCATTER_ADD:
        return v.params[0]
    return tuple(axis for axis, entry in enumerate(v.params[0]) if entry is not None)


def _products(loop: OpenLoop, rows: Variable) -> list[Variable]:
    """The products with fixed matrices that rows are the sum of; none where they are not."""
    terms = terms_of(rows)
    cores = (seen_through(term, REARRANGE) for term in terms)
    return terms if all(has_fixed_factor(core, loop.varying) for core in cores) else []

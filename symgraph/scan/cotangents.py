"""The cotangent of a buffer, taken apart by which of its rows it is for.

The results of a loop are read through slices, so their cotangents arrive as zeros with something
added to a slice. Seen through, they need no array of zeros: the cotangents of the new rows are
read where they lie, and that of the last row is where the gradient loop starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..core.variable import Variable
from ..ops.broadcast import is_zeros
from ..ops.elementwise import add, terms_of
from ..ops.slices import ADD_SLICE, At, Span

__all__ = ["BufferCotangent", "split_cotangent"]


class BufferCotangent(NamedTuple):
    """Cotangents of a buffer ``[depth + n, ...]``, which add up; None where there is none."""

    initial: Variable | None
    """Of the initial rows, ``[depth, ...]``."""
    rows: Variable | None
    """Of the new rows, ``[n, ...]``."""
    last: Variable | None
    """Of the last row."""
    last_may_be_initial: bool
    """Whether that is the last one of all rows, the initial one where there are no steps."""


def split_cotangent(cotangent: Variable, depth: int) -> BufferCotangent:
    """The cotangent of a buffer by what it is for."""
    rest: list[Variable] = []
    rows: list[Variable] = []
    last: list[Variable] = []
    last_may_be_initial = False
    for term in terms_of(cotangent):
        if _adds_to(term, Span(depth, None, 1)):
            for part in terms_of(term.inputs[1]):
                if _adds_to(part, At(-1)):
                    last.append(part.inputs[1])
                else:
                    rows.append(part)
        elif _adds_to(term, At(-1)):
            last.append(term.inputs[1])
            last_may_be_initial = True
        else:
            rest.append(term)
    whole = _sum(rest)
    initial = None if whole is None else whole[:depth]
    if whole is not None:
        rows.append(whole[depth:])
    return BufferCotangent(initial, _sum(rows), _sum(last), last_may_be_initial)


def _adds_to(v: Variable, entry: At | Span) -> bool:
    """Whether this is zeros to which something was added at this part of the first axis."""
    if v.op is not ADD_SLICE:
        return False
    first, *others = v.params[0]
    return (
        first == entry
        and all(other is None for other in others)
        and len(v.inputs) == 2
        and is_zeros(v.inputs[0])
    )


def _sum(terms: Sequence[Variable]) -> Variable | None:
    if not terms:
        return None
    total, *others = terms
    for term in others:
        total = add(total, term)
    return total

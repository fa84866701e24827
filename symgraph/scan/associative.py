"""`associative_scan`: running results of a function of two rows, in whatever grouping is fastest.

What happens, by measurements on the native backend with one thread:

- running sums and products are one op: in groups a product could overflow where that from the
  first row on is small, or 0;
- scalars, and rows of a few elements (`_SMALL`) of which not each is made of those at its place
  alone, of ops that `stacked` can do for many rows at once: *in groups*. The rows are cut into
  groups of `GROUP`. Within each, results run from its first row, in one loop for all groups; a
  second loop, over the groups, finds what came before each; and both meet in one expression
  (scalars: as fast as `scan`, with logarithms 9 times; their gradients twice and 6 times);
- all else is a loop over the rows. Where it is elementwise it is one kernel, or reads and writes as
  fast as memory does; of products of matrices groups would make several where the loop makes one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.dims import product
from ..core.errors import ScanError
from ..core.graph import replace
from ..core.size_differences import known_different
from ..core.types import tensor_type
from ..core.variable import Variable, make_input, node
from ..ops.broadcast import filled, rearrange
from ..ops.comparison import equal
from ..ops.cumulative import CUMPROD, CUMSUM
from ..ops.elementwise import add, floor_divide, maximum, multiply, subtract, where
from ..ops.gradient import stop_gradient
from ..ops.join import concatenate
from ..ops.promotion import as_variable
from ..ops.ranges import arange
from ..ops.repeat import flip
from ..ops.reshape import reshape
from ..ops.sizes import as_scalar, shape_of, unify_axis
from ..ops.slices import slice_axis
from .arguments import as_list
from .combination import Combination
from .op import Loop, Read, State, make_loop
from .stacked import stacked

__all__ = ["GROUP", "associative_scan"]

GROUP = 32
_SMALL = 8
_NAME = "associative_scan"


@overload
def associative_scan(
    op: Callable[[Any, Any], Any], sequences: Variable, *, reverse: bool = False
) -> Variable: ...
@overload
def associative_scan(
    op: Callable[[Any, Any], Any],
    sequences: ArrayLike | Sequence[ArrayLike],
    *,
    reverse: bool = False,
) -> Any: ...
def associative_scan(
    op: Callable[[Any, Any], Any],
    sequences: ArrayLike | Sequence[ArrayLike],
    *,
    reverse: bool = False,
) -> Any:
    """The running results of ``op`` over the rows of sequences, in the shapes of these.

    Result 0 is row 0, and result t is ``op(result t - 1, row t)``; with ``reverse`` it begins at
    the end. For one sequence a variable, for several a list of them.

    op
        ``op(left, right)`` on two rows, which gives one of the same dtype and shape; for several
        sequences on two tuples of rows, which gives as many. It is called once, with symbols. It
        has to be associative, ``op(op(a, b), c) = op(a, op(b, c))``, but for rounding; it need not
        be commutative.
    sequences
        A variable, or a list of them: as many rows each, perhaps none.

    Running sums and products are single operations. Scalars, as in logsumexp or linear recurrences
    ``(a, b)``, and rows of at most 8 elements that meet each other, are worked on in groups, many
    at a time, if ``op`` is made of elementwise operations, reductions, slices and the like. Other
    rows are worked on one after the other, as `scan` does. In groups rounding is another than from
    left to right, and a value between may overflow that would not otherwise. An elementwise ``op``
    of larger rows is also computed, and not used, for the first row with itself.

    reverse
        True: from the last row on, with ``op(accumulated, next)`` all the same.

    Raises `ScanError` where ``op`` returns something else than it was given, for scalars, nested or
    unequally long sequences, and for another ``reverse`` than True and False; lengths that only the
    call tells are a `CallError` then.

    >>> a, b = sg.constant([0.5, 0.5, 2.0]), sg.constant([1.0, 1.0, 1.0])
    >>> def after(first, second):  # x -> a * x + b, one after the other
    ...     return second[0] * first[0], second[0] * first[1] + second[1]
    >>> factors, states = sg.associative_scan(after, [a, b])
    >>> states.eval()
    array([1. , 1.5, 4. ], dtype=float32)
    """
    if not callable(op):
        raise ScanError.here(
            f"associative_scan: op is a function of two rows, not {op!r}",
            remedy="Give the function first, then the sequences: associative_scan(sg.maximum, x).",
        )
    if not isinstance(reverse, bool | np.bool_):
        raise ScanError.here(
            f"associative_scan: reverse is True or False, not {reverse!r}",
            remedy="True runs from the last row to the first, False from the first to the last.",
        )
    rows = _parse_sequences(sequences)
    if reverse:
        rows = [flip(x, 0) for x in rows]
    results = _running(Combination.traced(op, rows), rows)
    if reverse:
        results = [flip(x, 0) for x in results]
    return results if len(results) > 1 else results[0]


def _parse_sequences(sequences: Any) -> list[Variable]:
    """The sequences, known to be equally long."""
    values = as_list(sequences)
    if not values:
        raise ScanError.here(
            "associative_scan: there is no sequence", remedy="Give a variable, or a list of them."
        )
    if any(isinstance(value, dict) for value in values):
        raise ScanError.here(
            "associative_scan: sequences are variables; taps belong to sg.scan",
            remedy="Slice the sequence instead: x[1:].",
        )
    if any(_is_nested(value) for value in values):
        raise ScanError.here(
            "associative_scan: sequences are one variable or a flat list of them; found a list "
            "within the list",
            remedy="Give all of them in one list; op takes and returns tuples in that order.",
        )
    found = [as_variable(value, "associative_scan") for value in values]
    for x in found:
        if x.ndim == 0:
            raise ScanError.here(
                f"associative_scan: a sequence has at least one axis; {provenance.describe(x)} "
                "has none",
                remedy="What does not change from row to row can be used within op as it is.",
            )
        if known_different(x.type.shape[0], found[0].type.shape[0]):
            raise ScanError.here(
                "associative_scan: sequences are of unequal length:\n    "
                + "\n    ".join(map(provenance.describe, found)),
                remedy="Cut them to one length.",
            )
    return unify_axis(found, [0] * len(found), "associative_scan")


def _is_nested(value: Any) -> bool:
    """Whether it is a list with a variable in it, at any depth."""
    waiting = [value] if isinstance(value, (list, tuple)) else []
    while waiting:
        for part in waiting.pop():
            if isinstance(part, Variable):
                return True
            if isinstance(part, (list, tuple)):
                waiting.append(part)
    return False


# --- running results ----------------------------------------------------------------------------


def _running(combine: Combination, rows: list[Variable]) -> list[Variable]:
    """The results, in the way that suits the function and the sizes."""
    if combine.is_one_of(multiply):
        return [node(CUMPROD, tuple(rows), (0,))]
    if combine.is_one_of(add):
        return [node(CUMSUM, tuple(rows), (0,))]
    if _are_small(combine, rows) and (results := _in_groups(combine, rows)) is not None:
        return results
    if combine.is_elementwise:
        return _from_the_first(combine, rows)
    n = shape_of(rows[0])[0]
    return [
        _as_long_as(x, slice_axis(results, 0, 0, n))
        for x, results in zip(rows, _one_by_one(combine, rows, n - 1), strict=True)
    ]


def _are_small(combine: Combination, rows: Sequence[Variable]) -> bool:
    """Whether rows are of few elements, and there may be more than two groups of them."""
    most = 1 if combine.is_elementwise else _SMALL
    n = rows[0].type.shape[0]
    sizes = [product(x.type.shape[1:]) for x in rows]
    many = not isinstance(n, int) or n > 2 * GROUP
    return many and all(isinstance(size, int) and size <= most for size in sizes)


def _as_long_as(x: Variable, results: Variable) -> Variable:
    """The results, which are as many as the rows of ``x``, whatever formula their size is."""
    return reshape(results, shape_of(x))


def _from_the_first(combine: Combination, rows: Sequence[Variable]) -> list[Variable]:
    """The results by a loop over all rows, of which the first one is taken as it is.

    So no sequence is read, and no gradient written, but for a row. What stands in for a result
    before the first row is this row: two rows that ``op`` is made for.
    """
    n = as_scalar(shape_of(rows[0])[0])
    is_first = make_input(tensor_type(np.dtype("bool"), ()))
    reads = [Read(x, 0, v) for x, v in zip(rows, combine.right, strict=True)]
    reads.append(Read(equal(arange(n), 0), 0, is_first))
    states = [
        State(stop_gradient(_first_of(x)), {-1: left}, where(is_first, right, new))
        for x, left, right, new in zip(
            rows, combine.left, combine.right, combine.outputs, strict=True
        )
    ]
    return Loop(make_loop(n, reads, states, [], role="grouping", name=_NAME)).over_time()


def _one_by_one(combine: Combination, rows: Sequence[Variable], n: Any) -> list[Variable]:
    """The first row, and ``n`` results after it; of no rows one of zeros."""
    firsts = [_first_of(x) for x in rows]
    steps = max(n, 0) if isinstance(n, int) else maximum(n, 0)
    return _loop(combine, firsts, rows, steps, offset=1)


def _loop(
    combine: Combination, firsts: Sequence[Variable], rows: Sequence[Variable], n: Any, offset: int
) -> list[Variable]:
    """What comes before the rows (a stack of one), and ``n`` results from it on."""
    reads = [Read(x, offset, v) for x, v in zip(rows, combine.right, strict=True)]
    parts = zip(firsts, combine.left, combine.outputs, strict=True)
    states = [State(first, {-1: v}, new) for first, v, new in parts]
    return Loop(make_loop(as_scalar(n), reads, states, [], role="grouping", name=_NAME)).buffers


def _first_of(x: Variable) -> Variable:
    """The first row, as a stack of one; zeros where there is none."""
    if not (isinstance(x.type.shape[0], int) and x.type.shape[0] > 0):
        zeros = filled(0, x.dtype, [1, *shape_of(x)[1:]])
        x = rearrange(concatenate([x[:1], zeros])[0], [None, *range(x.ndim - 1)])
    return x[:1]


def _in_groups(combine: Combination, rows: Sequence[Variable]) -> list[Variable] | None:
    """The results, by groups; None where the function cannot be done for many rows at once.

    The groups are at the end. Before them are at least one row and at most a group: so something
    comes before every group, and no row has to be made up.
    """
    n = as_scalar(shape_of(rows[0])[0])
    n_groups = floor_divide(maximum(subtract(n, 1), 0), GROUP)
    n_before = subtract(n, multiply(n_groups, GROUP))
    # Of each group the first row, then of each group the second, ...
    groups = [_time_first(_cut(slice_axis(x, 0, n_before), n_groups)) for x in rows]
    for_all = combine.stacked([x[0] for x in groups])
    if for_all is None:
        return None
    before = _one_by_one(combine, rows, subtract(n_before, 1))
    within = _loop(for_all, [x[:1] for x in groups], groups, GROUP - 1, offset=1)
    totals = _loop(combine, [x[-1:] for x in before], [x[-1] for x in within], n_groups, offset=0)
    carried = [slice_axis(x, 0, 0, n_groups) for x in totals]
    meeting = replace(for_all.outputs, dict(zip(for_all.left, carried, strict=True)))
    after = stacked(meeting, dict(zip(for_all.right, within, strict=True)))
    assert after is not None  # all of it is of ops that could be stacked
    return [
        _as_long_as(x, concatenate([slice_axis(first, 0, 0, n), _joined(rest)]))
        for x, first, rest in zip(rows, before, after, strict=True)
    ]


def _cut(x: Variable, n_groups: Variable) -> Variable:
    return reshape(x, (n_groups, GROUP, *shape_of(x)[1:]))


def _time_first(x: Variable) -> Variable:
    return rearrange(x, [1, 0, *range(2, x.ndim)])


def _joined(x: Variable) -> Variable:
    """Rows by place and group, in the order of the sequence."""
    by_group = _time_first(x)
    n_groups, size, *rest = shape_of(by_group)
    return reshape(by_group, (multiply(n_groups, size), *rest))

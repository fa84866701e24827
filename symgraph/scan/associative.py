"""`associative_scan`: running results of a function of two rows, in whatever grouping is fastest.

What happens, by measurements on the native backend with one thread:

- running sums and products are one op: in groups a product could overflow where that from the
  first row on is small, or 0;
- scalars, and rows of a few elements (`_SMALL`) of which not each is made of those at its place
  alone, of ops that `stacked` can do for many rows at once: in groups of `GROUP` (groups.py);
  scalars as fast as `scan`, with logarithms 9 times, their gradients twice and 6 times;
- all else is a loop over the rows. Where it is elementwise it is one kernel, or reads and writes as
  fast as memory does; of products of matrices groups would make several where the loop makes one.
  For backends whose steps are dear `compile` puts elementwise ones in groups (regroup.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.dims import product
from ..core.errors import ScanError
from ..core.size_differences import known_different
from ..core.types import tensor_type
from ..core.variable import Variable, make_input, node
from ..ops.comparison import equal
from ..ops.cumulative import CUMPROD, CUMSUM
from ..ops.elementwise import add, multiply, where
from ..ops.gradient import stop_gradient
from ..ops.promotion import as_variable
from ..ops.ranges import arange
from ..ops.repeat import flip
from ..ops.sizes import as_scalar, shape_of, unify_axis
from ..ops.slices import slice_axis
from .arguments import as_list
from .combination import Combination
from .elements import taken_apart
from .groups import NAME, as_long_as, first_of, in_groups, number_of_groups, one_by_one
from .op import Loop, Read, State, make_loop

__all__ = ["GROUP", "associative_scan"]

GROUP = 32
_SMALL = 8


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
    rows are worked on one after the other, as `scan` does; but for elementwise ``op`` of up to 128
    elements on the NumPy backend, and their gradients. In groups rounding is another than from
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
    if (apart := taken_apart(combine, rows)) is not None:
        return apart.together(_running(apart.combine, apart.rows))
    if _are_small(combine, rows):
        results = in_groups(combine, rows, number_of_groups(rows[0], GROUP), GROUP)
        if results is not None:
            return results
    if combine.is_elementwise:
        return _from_the_first(combine, rows)
    n = shape_of(rows[0])[0]
    return [
        as_long_as(x, slice_axis(results, 0, 0, n))
        for x, results in zip(rows, one_by_one(combine, rows, n - 1), strict=True)
    ]


def _are_small(combine: Combination, rows: Sequence[Variable]) -> bool:
    """Whether rows are of few elements, and there may be more than two groups of them."""
    most = 1 if combine.is_elementwise else _SMALL
    n = rows[0].type.shape[0]
    sizes = [product(x.type.shape[1:]) for x in rows]
    many = not isinstance(n, int) or n > 2 * GROUP
    return many and all(isinstance(size, int) and size <= most for size in sizes)


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
        State(stop_gradient(first_of(x)), {-1: left}, where(is_first, right, new))
        for x, left, right, new in zip(
            rows, combine.left, combine.right, combine.outputs, strict=True
        )
    ]
    return Loop(make_loop(n, reads, states, [], role="running", name=NAME)).over_time()

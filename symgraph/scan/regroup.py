"""Running results in groups of rows, for backends whose steps are dear.

There the loops of `associative_scan` over all rows, of which each element is made of those at its
place alone, are done in about as many groups as each has rows: every operation for all groups at
once. So are the gradients of such loops: in what they carry they are linear, and steps that are
linear can be put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np

from ..core.dims import product
from ..core.graph import Graph, replace
from ..core.variable import Variable, make_input
from ..ops.broadcast import broadcast_to, filled
from ..ops.comparison import BITWISE_AND, BITWISE_OR, BITWISE_XOR, less_equal
from ..ops.elementwise import (
    ADD,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    WHERE,
    add,
    maximum,
    multiply,
    scale,
)
from ..ops.join import concatenate
from ..ops.promotion import cast_to
from ..ops.sizes import as_scalar, shape_of
from ..ops.slices import slice_axis
from ..ops.transcendental import sqrt
from .affine import Sum, affine_step
from .combination import Combination
from .groups import in_groups, number_of_groups
from .op import Loop, make_alike
from .rewrites import Replacements, rewrite_bodies, transform_loops
from .stacked import stacked

__all__ = ["with_groups"]

_MOST_ELEMENTS = 128
"""Steps on larger rows take longer than their calls do."""
_FEWEST_ROWS = 8
"""Fewer take no longer one after the other. Of none, moreover, nothing that is checked would be
left."""

_ACCUMULATED = frozenset({ADD, MULTIPLY, MAXIMUM, MINIMUM, BITWISE_AND, BITWISE_OR, BITWISE_XOR})
"""Loops of one of these are not dear: NumPy's ufuncs accumulate."""

Places: TypeAlias = Sequence[tuple[int, int]]
"""Where a matrix has elements that are not zero."""


def with_groups(graph: Graph) -> Graph:
    """The graph with running results, and their gradients, in groups of rows."""

    def regroup(part: Graph) -> Graph:
        return transform_loops(part, lambda _: _change)

    return rewrite_bodies(regroup(graph), regroup)


def _change(scan: Variable, inputs: Sequence[Variable]) -> Replacements | Variable:
    moved = make_alike(scan, inputs, body=scan.params[0])
    results = _results(Loop(moved))
    if results is None:
        return moved
    loop = Loop(scan)
    return dict(zip([*loop.buffers, *loop.traces], results, strict=True))


def _results(loop: Loop) -> list[Variable] | None:
    """What the loop leaves behind, in groups; None where that is not for it."""
    match loop.layout.role:
        case "running":
            return _running(loop)
        case "running gradient":
            return _running_gradient(loop)
    return None


def _running(loop: Loop) -> list[Variable] | None:
    """The buffers of a loop over rows of which the first one is taken as it is."""
    rows = {read.symbol: read.sequence for read in loop.reads}
    news = [state.new for state in loop.states]
    if not all(new.op is WHERE and new.inputs[1] in rows for new in news):
        return None
    left = [state.taps[-1] for state in loop.states]
    right = [new.inputs[1] for new in news]
    outputs = [new.inputs[2] for new in news]
    if len(outputs) == 1 and outputs[0].op in _ACCUMULATED:
        return None
    combine = Combination(left, right, replace(outputs, loop.fixed))
    results = _in_groups(combine, [rows[x] for x in right])
    if results is None:
        return None
    return [concatenate([s.initial, x]) for s, x in zip(loop.states, results, strict=True)]


def _in_groups(combine: Combination, rows: Sequence[Variable]) -> list[Variable] | None:
    """The results in about as many groups as each has rows; in none where rows are large, or known
    to be few."""
    n, *sizes = map(as_scalar, shape_of(rows[0]))
    length, elements = rows[0].type.shape[0], product(rows[0].type.shape[1:])
    is_short = isinstance(length, int) and length < _FEWEST_ROWS
    if is_short or (isinstance(elements, int) and elements > _MOST_ELEMENTS):
        return None
    group = maximum(cast_to(sqrt(cast_to(n, np.dtype("float64"))), n.dtype), 1)
    n_groups = number_of_groups(rows[0], group)
    if not isinstance(elements, int):
        n_groups = multiply(n_groups, less_equal(reduce(multiply, sizes), _MOST_ELEMENTS))
    return in_groups(combine, rows, n_groups, group)


# --- gradients ----------------------------------------------------------------------------------


def _running_gradient(loop: Loop) -> list[Variable] | None:
    """The buffers and traces of a loop that is linear in its states."""
    sums = affine_step(loop)
    if sums is None:
        return None
    rows = {
        read.symbol: slice_axis(read.sequence, 0, read.offset, add(loop.n_steps, read.offset))
        for read in loop.reads
    }
    places = _places(sums)
    sequences = _steps_over_time(loop, sums, places, rows)
    if sequences is None:
        return None
    results = _in_groups(_one_after_the_other(places, sequences), sequences)
    if results is None:
        return None
    buffers = results[len(places) :]
    for state, buffer in zip(loop.states, buffers, strict=True):
        rows[state.taps[-1]] = slice_axis(buffer, 0, 0, loop.n_steps)
    traces = stacked(replace(list(loop.outputs), loop.fixed), rows)
    return None if traces is None else [*buffers, *traces]


def _steps_over_time(
    loop: Loop, sums: Sequence[Sum], places: Places, rows: Mapping[Variable, Variable]
) -> list[Variable] | None:
    """The steps' factors at these places and their terms, after a first row: what the states are
    before them."""
    initial = loop.states[0].initial
    none = filled(0, initial.dtype, shape_of(initial)[1:])
    parts = [sums[i][j] for i, j in places] + [of_state[-1] for of_state in sums]
    sizes = {state.taps[-1]: none for state in loop.states}
    values = [none if part is None else part for part in parts]
    over_time = stacked(replace(values, loop.fixed | sizes), rows)
    if over_time is None:
        return None
    zeros = filled(0, initial.dtype, shape_of(initial))
    firsts = [zeros] * len(places) + [state.initial for state in loop.states]
    return [
        concatenate([first, broadcast_to(x, (*shape_of(x)[:1], *shape_of(first)[1:]))])
        for first, x in zip(firsts, over_time, strict=True)
    ]


def _places(sums: Sequence[Sum]) -> Places:
    """Where steps, and steps put together, have factors: of which state in which."""
    found = np.array([[x is not None for x in of_state[:-1]] for of_state in sums])
    for _ in sums:
        found = found | (found @ found)
    return [(int(i), int(j)) for i, j in np.argwhere(found)]


def _one_after_the_other(places: Places, sequences: Sequence[Variable]) -> Combination:
    """Two linear steps as one: of each the factors at these places, then the terms."""
    left, right = ([make_input(x.type.row) for x in sequences] for _ in range(2))
    first, second = (dict(zip(places, rows, strict=False)) for rows in (left, right))
    terms, later_terms = left[len(places) :], right[len(places) :]
    zero = filled(0, left[0].dtype, shape_of(left[0]))
    factors = [
        [scale(x, second[i, k]) for (k, j), x in first.items() if j == column and (i, k) in second]
        for i, column in places
    ]
    sums = [
        [scale(x, second[i, k]) for k, x in enumerate(terms) if (i, k) in second]
        for i in range(len(terms))
    ]
    outputs = [reduce(add, products) if products else zero for products in factors]
    outputs += [reduce(add, products, x) for products, x in zip(sums, later_terms, strict=True)]
    return Combination(left, right, outputs)

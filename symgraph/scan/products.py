"""Products with a matrix that does not change over time, taken out of the loop.

``x_t @ W`` for all steps is one large product: before the loop where ``x_t`` is a row of a
sequence, or is computed of such rows; after it where only the trace of the result is read.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from dataclasses import replace as with_fields

from ..core.graph import replace
from ..core.variable import Variable, ancestors, make_input
from ..ops.broadcast import REARRANGE, seen_through
from ..ops.linalg import MATMUL, matmul
from ..ops.shape import reshape
from ..ops.sizes import shape_of
from .close import find_varying
from .moved_axes import move_alike
from .open import OpenLoop
from .over_time import Results, Trace, keep_over_time
from .stacked import stacked

__all__ = ["ProductAfter", "multiply_after", "multiply_before"]


def multiply_before(loop: OpenLoop, *, steps_are_cheap: bool) -> None:
    """Compute the products that need no state before the loop, which reads their rows instead.

    ``steps_are_cheap``: but for those of rows as they are read, which the backend multiplies for
    some steps at once, and those of what is computed of rows.
    """
    products = [v for v in loop.products if _has_fixed_factor(v, loop.varying)]
    if loop.condition is not None or not products:
        return
    states = [symbol for state in loop.states for symbol in state.taps.values()]
    by_states = find_varying(loop.ends(), states)
    over_time = _OverTime(loop)
    replaced: dict[Variable, Variable] = {}
    for v in products:
        if v in by_states or not loop.has_fixed_size(v):
            continue
        left, right = v.inputs
        row = seen_through(left, REARRANGE)
        if steps_are_cheap and (row not in loop.reads or row is left):
            continue
        rows = over_time.rows_of(left)
        if rows is not None:
            (matrix,) = replace([right], loop.fixed)
            symbol = replaced[v] = make_input(v.type)
            over_time.known[v] = _all_rows(rows, matrix)
            loop.read(over_time.known[v], symbol)
    if replaced:
        loop.substitute(replaced)


class _OverTime:
    """What a body computes of rows of sequences, for all steps at once."""

    def __init__(self, loop: OpenLoop) -> None:
        self.loop = loop
        self.known: dict[Variable, Variable] = {}
        """By values of the body, the rows as they are read among them."""

    def rows_of(self, v: Variable) -> Variable | None:
        """The value over time; None where it can be computed step by step alone."""
        row = seen_through(v, REARRANGE)
        if row in self.loop.reads:
            return move_alike(v, self._of_read(row), ahead=1)
        below = [x for x in ancestors([v]) if x in self.loop.reads or x in self.known]
        for x in below:
            self._of_read(x)
        # Equal lengths have to be known as equal ones.
        if len({self.known[x].type.shape[0] for x in below}) != 1:
            return None
        arrays = {x: make_input(self.known[x].type) for x in below}
        values = stacked([v], arrays)
        if values is None:
            return None
        outside = {arrays[x]: self.known[x] for x in below} | self.loop.fixed
        return replace(values, outside)[0]

    def _of_read(self, symbol: Variable) -> Variable:
        if symbol not in self.known:
            self.known[symbol] = Trace(self.loop.reads[symbol]).over_time(self.loop, {})
        return self.known[symbol]


@dataclass
class ProductAfter:
    """A plain output that is a product, and where its left factor is kept over time."""

    result: int
    product: Variable
    left: Trace

    def value(self, loop: OpenLoop, results: Results) -> Variable:
        """The plain output over time."""
        left, right = seen_through(self.product, REARRANGE).inputs
        (matrix,) = replace([right], loop.fixed)
        rows = move_alike(left, self.left.over_time(loop, results), ahead=1)
        over_time = move_alike(self.product, _all_rows(rows, matrix), ahead=1)
        return over_time[::-1] if self.left.is_turned else over_time

    def turned(self) -> ProductAfter:
        """The same, computed from the last step to the first."""
        return with_fields(self, left=with_fields(self.left, is_turned=True))


def multiply_after(loop: OpenLoop, read: set[int]) -> list[ProductAfter]:
    """The plain outputs that can be computed after the loop; it keeps what they need meanwhile."""
    if loop.condition is not None:
        return []
    products = []
    for index, output in enumerate(list(loop.outputs), len(loop.states)):
        product = seen_through(output, REARRANGE)
        if index in read and _has_fixed_factor(product, loop.varying):
            left = seen_through(product.inputs[0], REARRANGE)
            if loop.has_fixed_size(output) and loop.has_fixed_size(left):
                products.append(ProductAfter(index, output, keep_over_time(loop, left)))
    return products


def _has_fixed_factor(v: Variable, varying: Set[Variable]) -> bool:
    """Whether this is a product of two matrices of which the right one does not change."""
    if v.op is not MATMUL or any(x.ndim != 2 for x in v.inputs):
        return False
    left, right = v.inputs
    return left in varying and right not in varying


def _all_rows(rows: Variable, matrix: Variable) -> Variable:
    """The products of all rows, ``[n, k, m]``, with a matrix, as one product."""
    n, k, m = shape_of(rows)
    flat = matmul(reshape(rows, (n * k, m)), matrix)
    return reshape(flat, (n, k, shape_of(matrix)[1]))

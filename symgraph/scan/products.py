"""Products with a matrix that does not change over time, taken out of the loop.

``x_t @ W`` for all steps is one large product: before the loop where ``x_t`` is a row of a
sequence, or is computed of such rows; after it where only the trace of the result is read.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from dataclasses import replace as with_fields

from ..core.graph import replace
from ..core.variable import Variable, ancestors, make_input
from ..ops.broadcast import REARRANGE, seen_through
from ..ops.linalg import MATMUL, matmul
from ..ops.shape import reshape
from ..ops.sizes import check_size, shape_of
from ..ops.slices import reversed_rows
from .ahead import OverTime, compute_ahead
from .moved_axes import move_alike
from .op import Read
from .open import OpenLoop
from .over_time import Results, Trace, keep_over_time, rows_between
from .sizes import of_length

__all__ = [
    "ProductAfter",
    "has_fixed_factor",
    "left_of",
    "multiply_after",
    "multiply_before",
    "product_over_time",
]


def multiply_before(loop: OpenLoop, *, steps_are_cheap: bool) -> dict[int, Variable]:
    """Compute the products that need no state before the loop, which reads their rows instead.

    With them goes what is made of them alone, and what they are made of: the results, by number,
    that need not be computed in the loop any more, over time.

    ``steps_are_cheap``: only rows that several steps multiply. The others the backend multiplies
    for some steps at once.
    """
    products = [v for v in loop.products if has_fixed_factor(v, loop.varying)]
    if loop.condition is not None or not products:
        return {}
    by_states = loop.late
    products = [v for v in products if v not in by_states and loop.has_fixed_size(v)]
    over_time = OverTime(loop)
    replaced = _multiply_once(loop, products)
    for v in () if steps_are_cheap else products:
        left, right = v.inputs
        rows = None if v in replaced else over_time.rows_of(left)
        if rows is not None:
            (matrix,) = replace([right], loop.fixed)
            replaced[v] = over_time.read(v, _all_rows(rows, matrix))
    if not replaced:
        return {}
    before = {} if steps_are_cheap else over_time.results_among(ancestors(replaced))
    loop.substitute(replaced)
    return before if steps_are_cheap else before | compute_ahead(loop, list(replaced.values()))


def _multiply_once(loop: OpenLoop, products: Sequence[Variable]) -> dict[Variable, Variable]:
    """For products of several rows of one sequence with one matrix, the rows read instead.

    Each row of the sequence is multiplied once, and read in several steps.
    """
    alike: dict[tuple[Variable, Variable, Variable], list[tuple[Variable, Read]]] = {}
    for v in products:
        left, right = v.inputs
        read = loop.reads.get(seen_through(left, REARRANGE))
        if read is not None:
            moved = move_alike(left, read.sequence, ahead=1)
            alike.setdefault((read.sequence, moved, right), []).append((v, read))
    replaced: dict[Variable, Variable] = {}
    for (sequence, _, right), found in alike.items():
        offsets = [read.offset for _, read in found]
        if len(set(offsets)) > 1:
            first = min(offsets)
            rows = rows_between(loop, sequence, first, max(offsets))
            (matrix,) = replace([right], loop.fixed)
            over_time = _all_rows(move_alike(found[0][0].inputs[0], rows, ahead=1), matrix)
            for v, read in found:
                symbol = replaced[v] = make_input(v.type)
                loop.read(over_time, symbol, read.offset - first)
    return replaced


@dataclass
class ProductAfter:
    """A plain output that is a product, and where its left factor is kept over time."""

    result: int
    product: Variable
    left: Trace

    def value(self, loop: OpenLoop, results: Results) -> Variable:
        """The plain output over time."""
        rows = product_over_time(loop, self.product, self.left.over_time(loop, results))
        # What is read of a sequence may have another formula for how many it is.
        over_time = check_size(rows, 0, of_length(loop.n_steps), 0, "scan")
        return reversed_rows(over_time) if self.left.is_turned else over_time

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
        if index in read and has_fixed_factor(product, loop.varying):
            left = left_of(product)
            if loop.has_fixed_size(output) and loop.has_fixed_size(left):
                products.append(ProductAfter(index, output, keep_over_time(loop, left)))
    return products


def left_of(product: Variable) -> Variable:
    """The left factor of a product whose axes were moved perhaps, as it is kept over time."""
    return seen_through(seen_through(product, REARRANGE).inputs[0], REARRANGE)


def product_over_time(loop: OpenLoop, product: Variable, rows: Variable) -> Variable:
    """A product with a fixed matrix over time, from the ``rows`` of what its left factor shows."""
    left, right = seen_through(product, REARRANGE).inputs
    (matrix,) = replace([right], loop.fixed)
    return move_alike(product, _all_rows(move_alike(left, rows, ahead=1), matrix), ahead=1)


def has_fixed_factor(v: Variable, varying: Set[Variable]) -> bool:
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

"""Products with a matrix that does not change over time, taken out of the loop.

``x_t @ W`` for all steps is one large product: before the loop where ``x_t`` is a row of a
sequence, after it where only the trace of the result is read.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.graph import replace
from ..core.variable import Variable, make_input
from ..ops.broadcast import REARRANGE, rearrange, seen_through
from ..ops.linalg import MATMUL, matmul
from ..ops.shape import reshape
from ..ops.sizes import shape_of
from .close import find_varying
from .open import OpenLoop
from .over_time import Results, Trace, keep_over_time

__all__ = ["ProductAfter", "multiply_after", "multiply_before"]


def multiply_before(loop: OpenLoop, *, steps_are_cheap: bool) -> None:
    """Compute the products of rows of sequences before the loop, which reads their rows instead.

    ``steps_are_cheap``: but for those of rows as they are read, which the backend multiplies for
    some steps at once.
    """
    if loop.condition is not None:
        return
    varying = find_varying(loop.ends(), loop.symbols)
    replaced: dict[Variable, Variable] = {}
    for v in sorted(varying, key=lambda v: v.serial):
        if not _has_fixed_factor(v, varying) or not loop.has_fixed_size(v):
            continue
        left, right = v.inputs
        row = seen_through(left, REARRANGE)
        if row not in loop.reads or (steps_are_cheap and row is left):
            continue
        rows = Trace(loop.reads[row]).over_time(loop, {})
        (matrix,) = replace([right], loop.fixed)
        symbol = replaced[v] = make_input(v.type)
        loop.read(_product_over_time(left, rows, matrix), symbol)
    if replaced:
        loop.substitute(replaced)


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
        trace = _product_over_time(left, self.left.over_time(loop, results), matrix)
        return _move_over_time(self.product, trace)


def multiply_after(loop: OpenLoop, read: set[int]) -> list[ProductAfter]:
    """The plain outputs that can be computed after the loop; it keeps what they need meanwhile."""
    if loop.condition is not None:
        return []
    varying = find_varying(loop.ends(), loop.symbols)
    products = []
    for index, output in enumerate(list(loop.outputs), len(loop.states)):
        product = seen_through(output, REARRANGE)
        if index in read and _has_fixed_factor(product, varying):
            left = seen_through(product.inputs[0], REARRANGE)
            if loop.has_fixed_size(output) and loop.has_fixed_size(left):
                products.append(ProductAfter(index, output, keep_over_time(loop, left)))
    return products


def _has_fixed_factor(v: Variable, varying: set[Variable]) -> bool:
    """Whether this is a product of two matrices of which the right one does not change."""
    if v.op is not MATMUL or any(x.ndim != 2 for x in v.inputs):
        return False
    left, right = v.inputs
    return left in varying and right not in varying


def _move_over_time(v: Variable, trace: Variable) -> Variable:
    """A trace with its axes moved as ``v`` moves them in each step."""
    orders = []
    while v.op is REARRANGE:
        orders.append(v.params[0])
        v = v.inputs[0]
    for order in reversed(orders):
        trace = rearrange(trace, [0, *(None if axis is None else axis + 1 for axis in order)])
    return trace


def _product_over_time(left: Variable, rows: Variable, matrix: Variable) -> Variable:
    """``left @ matrix`` for all steps, from what ``left`` is made of over time."""
    over_time = _move_over_time(left, rows)
    n, k, m = shape_of(over_time)
    flat = matmul(reshape(over_time, (n * k, m)), matrix)
    return reshape(flat, (n, k, shape_of(matrix)[1]))

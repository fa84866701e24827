"""Rules that keep products whole: ONNX multiplies arrays of any number of axes.

The passes take products out of loops as products of matrices, with all steps and rows on one axis,
which suits backends. ONNX's MatMul takes the axes as they are.
"""

from __future__ import annotations

from ...core.variable import Variable
from ...ops.linalg import MATMUL, matmul
from ...ops.reshape import RESHAPE
from ...ops.slices import SLICE, Span, read_slice
from ...rewrite.engine import EVERY, RuleSet, rule

__all__ = ["WHOLE_PRODUCTS"]


@rule("reshape", of=EVERY, reads=("matmul",))
def multiply_on_all_axes(v: Variable) -> Variable | None:
    """reshape(reshape(x) @ w) → x @ w, where just the last axis of x is multiplied."""
    product = v.inputs[0]
    flat, w = product.inputs
    if product.op is not MATMUL or flat.op is not RESHAPE or flat.ndim != 2 or w.ndim != 2:
        return None
    x = flat.inputs[0]
    if x.ndim < 2 or x.type.shape[-1] != flat.type.shape[-1]:
        return None
    if v.type.shape != (*x.type.shape[:-1], w.type.shape[-1]):
        return None
    return matmul(x, w)


@rule("matmul", of=EVERY, reads=("slice",))
def turn_after_product(v: Variable) -> Variable | None:
    """x[::-1] @ w → (x @ w)[::-1], which a loop reads backwards."""
    turned, w = v.inputs
    if turned.op is not SLICE or turned.ndim < 3 or w.ndim != 2:
        return None
    x, *symbols = turned.inputs
    entries = turned.params[0]
    if symbols or entries[0] != Span(0, None, -1) or any(entries[1:]):
        return None
    return read_slice(matmul(x, w), entries, ())


WHOLE_PRODUCTS = RuleSet(multiply_on_all_axes, turn_after_product)

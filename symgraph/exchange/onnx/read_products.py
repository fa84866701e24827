"""ONNX's products of matrices: Gemm, Einsum, of quantised integers, and determinants."""

from __future__ import annotations

import numpy as np

from ...core.variable import Variable
from ...ops.broadcast import rearrange
from ...ops.contractions import einsum
from ...ops.linalg import matmul
from ...ops.promotion import cast_to
from ...ops.shape import expand_dims, swapaxes
from .read_cast import quantised
from .read_conv import convolution
from .read_node import Node
from .read_registry import reads
from .read_values import Value

_INT32 = np.dtype("int32")


@reads("Gemm")
def _gemm(node: Node) -> Value:
    x, y = node.variable(0), node.variable(1)
    if x.ndim != 2 or y.ndim != 2:
        raise node.refusal(f"it multiplies matrices; found {x.ndim} and {y.ndim} axes")
    x = swapaxes(x, 0, 1) if node.attribute("transA", 0) else x
    y = swapaxes(y, 0, 1) if node.attribute("transB", 0) else y
    product = _scaled(matmul(x, y), node.attribute("alpha", 1.0))
    if not node.has(2):
        return product
    return product + _scaled(node.variable(2), node.attribute("beta", 1.0))


def _scaled(x: Variable, factor: float) -> Variable:
    if factor == 1:
        return x
    return cast_to(x * (int(factor) if x.dtype.kind in "iu" else factor), x.dtype)


@reads("Einsum")
def _einsum(node: Node) -> Value:
    return einsum(node.required("equation", str), *node.variables())


# --- of quantised integers ----------------------------------------------------------------------


def _centred(x: Variable, zero: Variable | None, *, of_rows: bool) -> Variable:
    """Integers as int32 from their zero point on: one for all, or for each row or column."""
    wide = cast_to(x, _INT32)
    if zero is None:
        return wide
    zero = cast_to(zero, _INT32)
    if zero.ndim == 1 and zero.type.shape[0] == 1:
        zero = rearrange(zero, [])
    return wide - (expand_dims(zero, -1) if zero.ndim == 1 and of_rows else zero)


@reads("MatMulInteger")
def _integer_product(node: Node) -> Value:
    x = _centred(node.variable(0), node.optional(2), of_rows=True)
    return matmul(x, _centred(node.variable(1), node.optional(3), of_rows=False))


@reads("QLinearMatMul")
def _quantised_product(node: Node) -> Value:
    x, x_scale, x_zero, y, y_scale, y_zero, scale, zero = node.variables()
    product = matmul(_centred(x, x_zero, of_rows=True) * 1, _centred(y, y_zero, of_rows=False))
    scales = cast_to(x_scale, scale.dtype) * cast_to(y_scale, scale.dtype)
    if scales.ndim == 1 and scales.type.shape[0] == 1:
        scales, scale, zero = (rearrange(v, []) for v in (scales, scale, zero))
    values = cast_to(product, scale.dtype) * scales
    return quantised(values, scale, zero, zero.dtype)


@reads("QLinearConv")
def _quantised_convolution(node: Node) -> Value:
    x, x_scale, x_zero, filters, w_scale, w_zero, scale, zero = (node.variable(i) for i in range(8))
    n = filters.ndim - 1
    rows = [0, *([None] * n)] if w_zero.ndim else []
    product = convolution(
        node,
        cast_to(x, _INT32) - cast_to(x_zero, _INT32),
        cast_to(filters, _INT32) - rearrange(cast_to(w_zero, _INT32), rows),
        node.optional(8),
    )
    channels = [0, *([None] * (n - 1))] if w_scale.ndim else []
    values = cast_to(product, scale.dtype) * (x_scale * rearrange(w_scale, channels))
    return quantised(values, scale, zero, zero.dtype)

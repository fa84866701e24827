"""The product of matrices: one op, ``matmul``, and what it makes of flattened operands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.errors import DtypeError, ShapeError
from ..core.op import Op
from ..core.types import TensorType, tensor_type
from ..core.variable import Variable, node
from .broadcast import broadcast_shapes, rearrange, unbroadcast
from .elementwise import multiply
from .promotion import promote_arguments
from .reshape import product_of, reshape
from .sizes import shape_of, unify_axis

__all__ = ["MATMUL", "matmul", "outer", "vdot"]


def _infer_matmul(inputs: Sequence[Variable]) -> TensorType:
    x, y = inputs
    if x.dtype != y.dtype:
        raise DtypeError(f"matmul: operands of {x.dtype} and {y.dtype}")
    if x.type.shape[-1] != y.type.shape[-2]:
        raise ShapeError.here(
            "matmul: sizes do not fit:\n    "
            f"{provenance.describe(x)}\n    {provenance.describe(y)}",
            remedy="The last axis of the first operand meets the last but one of the second.",
        )
    stacked = (
        broadcast_shapes([x.type.shape[:-2], y.type.shape[:-2]], "matmul")
        if (x.ndim > 2 or y.ndim > 2)
        else ()
    )
    return tensor_type(x.dtype, (*stacked, x.type.shape[-2], y.type.shape[-1]))


def _build_matmul(inputs: Sequence[ArrayLike]) -> Variable:
    x, y = promote_arguments("matmul", inputs)
    if x.type.shape[-1] != y.type.shape[-2]:
        x, y = unify_axis([x, y], [x.ndim - 1, y.ndim - 2], "matmul")
    for axis in range(-min(x.ndim, y.ndim), -2):
        if 1 not in (x.type.shape[axis], y.type.shape[axis]):
            x, y = unify_axis([x, y], [x.ndim + axis, y.ndim + axis], "matmul")
    return node(MATMUL, (x, y))


def _vjp_matmul(result: Variable, cotangent: Variable) -> list[Variable | None]:
    x, y = result.inputs
    by_x = unbroadcast(node(MATMUL, (cotangent, _transposed(y))), x.type)
    if y.ndim == 2 and x.ndim > 2:  # one product over all the rows, not a sum of products
        rows, cotangent_rows = _rows(x), _rows(cotangent)
        return [by_x, node(MATMUL, (_transposed(rows), cotangent_rows))]
    return [by_x, unbroadcast(node(MATMUL, (_transposed(x), cotangent)), y.type)]


def _rows(x: Variable) -> Variable:
    """All the rows of a stack of matrices as one matrix."""
    *stacked, columns = shape_of(x)
    return reshape(x, (product_of(stacked), columns))


def _transposed(x: Variable) -> Variable:
    return rearrange(x, [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2])


# Products of matrices, or of stacks of matrices whose leading axes are broadcast.
MATMUL = Op(
    "matmul",
    _infer_matmul,
    evaluate=lambda arrays: np.matmul(*arrays),
    vjp=_vjp_matmul,
    build=_build_matmul,
    kind="product",
)


def matmul(x: ArrayLike, y: ArrayLike) -> Variable:
    """The product of matrices, or of stacks of them: ``x @ y``.

    The last axis of ``x`` meets the last but one of ``y``; leading axes are broadcast. A vector
    counts as a row on the left, as a column on the right, and its axis goes. The dtype is the
    common one. Scalars, and sizes known to differ, are a `ShapeError`; those that may differ are
    checked at the call.

    >>> sg.matmul([[1, 2], [3, 4]], [1, 10]).eval()
    array([21, 43])
    """
    x, y = promote_arguments("matmul", (x, y))
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError.here(
            f"matmul takes no scalars; found {provenance.describe(x)} and {provenance.describe(y)}",
            remedy="Use * to multiply by a scalar.",
        )
    left = rearrange(x, [None, 0]) if x.ndim == 1 else x
    right = rearrange(y, [0, None]) if y.ndim == 1 else y
    product = _build_matmul((left, right))
    order = list(range(product.ndim))
    if y.ndim == 1:
        del order[-1]
    if x.ndim == 1:
        del order[product.ndim - 2]
    return rearrange(product, order)


def vdot(x: ArrayLike, y: ArrayLike) -> Variable:
    """The sum of the products of all elements of both, flattened: a scalar of the common dtype.

    Numbers of elements known to differ are a `ShapeError`.

    >>> sg.vdot([[1, 2], [3, 4]], [[1, 1], [1, 1]]).eval()
    np.int64(10)
    """
    x, y = (reshape(v, (-1,)) for v in promote_arguments("vdot", (x, y)))
    return matmul(x, y)


def outer(x: ArrayLike, y: ArrayLike) -> Variable:
    """The products of every element of ``x`` (rows) with every element of ``y`` (columns).

    Operands are flattened; the dtype is the common one.

    >>> sg.outer([1, 2], [1, 10, 100]).eval()
    array([[  1,  10, 100],
           [  2,  20, 200]])
    """
    x, y = (reshape(v, (-1,)) for v in promote_arguments("outer", (x, y)))
    return multiply(rearrange(x, [0, None]), rearrange(y, [None, 0]))

"""Products: one op, ``matmul``, and what is made of it (dot, outer, tensordot, einsum)."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.errors import DtypeError, ShapeError, SymgraphTypeError, SymgraphValueError, explain
from ..core.op import Op
from ..core.types import TensorType, tensor_type
from ..core.values import whole_number
from ..core.variable import Variable, constant_value, node
from .broadcast import broadcast_shapes, rearrange, reduce_sum, unbroadcast
from .create import iota, zeros
from .cumulative import accumulated
from .elementwise import add, maximum, minimum, multiply
from .gather import SCATTER_SET, gather, scatter
from .promotion import as_int, as_variable, promote_arguments
from .reshape import product_of, reshape
from .shape import normalise_axes
from .sizes import check_size, shape_of, unify_axis

__all__ = [
    "MATMUL",
    "diag",
    "diagonal",
    "dot",
    "einsum",
    "inner",
    "matmul",
    "outer",
    "tensordot",
    "trace",
    "vdot",
]


# --- matmul -------------------------------------------------------------------------------------


def _infer_matmul(inputs: Sequence[Variable]) -> TensorType:
    x, y = inputs
    if x.dtype != y.dtype:
        raise DtypeError(f"matmul: operands of {x.dtype} and {y.dtype}")
    if x.type.shape[-1] != y.type.shape[-2]:
        raise ShapeError(_misfit("matmul", x, y))
    stacked = (
        broadcast_shapes([x.type.shape[:-2], y.type.shape[:-2]], "matmul")
        if (x.ndim > 2 or y.ndim > 2)
        else ()
    )
    return tensor_type(x.dtype, (*stacked, x.type.shape[-2], y.type.shape[-1]))


def _misfit(function: str, x: Variable, y: Variable) -> str:
    return explain(
        f"{function}: sizes do not fit:\n    "
        f"{provenance.describe(x)}\n    {provenance.describe(y)}",
        line=provenance.user_line(),
        remedy="The last axis of the first operand meets the last but one of the second.",
    )


def _build_matmul(inputs: Sequence[Any]) -> Variable:
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


def matmul(x: Any, y: Any) -> Variable:
    """The product of matrices, or stacks of them; vectors count as a row or a column."""
    x, y = promote_arguments("matmul", (x, y))
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError.here(
            f"matmul takes no scalars; found {provenance.describe(x)} and {provenance.describe(y)}",
            remedy="Use * to multiply by a scalar.",
        )
    left = rearrange(x, [None, 0]) if x.ndim == 1 else x
    right = rearrange(y, [0, None]) if y.ndim == 1 else y
    product = _build_matmul((left, right))
    kept = list(range(product.ndim))
    if y.ndim == 1:
        del kept[-1]
    if x.ndim == 1:
        del kept[product.ndim - 2]
    return rearrange(product, kept)


def dot(x: Any, y: Any) -> Variable:
    """NumPy's dot: products summed over the last axis of ``x`` and the last but one of ``y``."""
    x, y = promote_arguments("dot", (x, y))
    if x.ndim == 0 or y.ndim == 0:
        return multiply(x, y)
    if y.ndim <= 2:
        return matmul(x, y)
    return tensordot(x, y, ([x.ndim - 1], [y.ndim - 2]))


def vdot(x: Any, y: Any) -> Variable:
    """The sum of the products of all elements."""
    x, y = (reshape(v, (-1,)) for v in promote_arguments("vdot", (x, y)))
    return matmul(x, y)


def inner(x: Any, y: Any) -> Variable:
    """The sums of products over the last axes."""
    x, y = promote_arguments("inner", (x, y))
    if x.ndim == 0 or y.ndim == 0:
        return multiply(x, y)
    return tensordot(x, y, ([x.ndim - 1], [y.ndim - 1]))


def outer(x: Any, y: Any) -> Variable:
    """The products of every element of ``x`` (rows) with every element of ``y`` (columns)."""
    x, y = (reshape(v, (-1,)) for v in promote_arguments("outer", (x, y)))
    return multiply(rearrange(x, [0, None]), rearrange(y, [None, 0]))


def tensordot(x: Any, y: Any, axes: Any = 2) -> Variable:
    """The sums of products over pairs of axes: the last of ``x`` with the first of ``y``, or given.

    ``axes`` is how many, or a pair of axes (or of lists of axes).
    """
    x, y = promote_arguments("tensordot", (x, y))
    count = whole_number(axes)
    if count is not None:
        if not 0 <= count <= min(x.ndim, y.ndim):
            raise ShapeError.here(
                f"tensordot: {count} axes of {provenance.describe(x)} and {provenance.describe(y)}"
            )
        ours, theirs = list(range(x.ndim - count, x.ndim)), list(range(count))
    else:
        try:
            first, second = axes
        except (TypeError, ValueError):
            raise SymgraphTypeError.here(
                f"tensordot: axes are a number or a pair of lists, not {axes!r}"
            ) from None
        ours = normalise_axes(first, x.ndim, "tensordot")
        theirs = normalise_axes(second, y.ndim, "tensordot")
    if len(ours) != len(theirs):
        raise ShapeError.here(f"tensordot: {len(ours)} axes meet {len(theirs)}")
    letters = iter(string.ascii_letters)
    x_labels = [next(letters) for _ in range(x.ndim)]
    y_labels = [next(letters) for _ in range(y.ndim)]
    for a, b in zip(ours, theirs, strict=True):
        y_labels[b] = x_labels[a]
        x, y = unify_axis([x, y], [a, b], "tensordot")
    kept = [v for i, v in enumerate(x_labels) if i not in ours]
    kept += [v for i, v in enumerate(y_labels) if i not in theirs]
    return _contract((x, x_labels), (y, y_labels), kept)[0]


# --- diagonals ----------------------------------------------------------------------------------


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Variable:
    """The diagonal of two axes, as a new last axis; ``offset`` goes towards later columns."""
    x = as_variable(x, "diagonal")
    first, second = normalise_axes((axis1, axis2), x.ndim, "diagonal")
    offset = as_int(offset, "diagonal: the offset")
    sizes = shape_of(x)
    if first > second:
        first, second, offset = second, first, -offset
    top, left = max(-offset, 0), max(offset, 0)
    rows, columns = x.type.shape[first], x.type.shape[second]
    if rows is columns and offset == 0:
        length = sizes[first]
    else:
        length = maximum(minimum(sizes[first] - top, sizes[second] - left), 0)
        known = constant_value(length)
        length = length if known is None else int(known)
    order = [axis for axis in range(x.ndim) if axis not in (first, second)]
    moved = rearrange(x, [first, second, *order])
    found = gather(moved, [add(iota(length), top), add(iota(length), left)], (0, 1))
    return rearrange(found, [*range(1, found.ndim), 0])


def diag(x: Any, k: int = 0) -> Variable:
    """The k-th diagonal of a matrix, or the matrix with this vector as its k-th diagonal."""
    x = as_variable(x, "diag")
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError.here(f"diag takes a vector or a matrix; found {provenance.describe(x)}")
    (length,), k = shape_of(x), as_int(k, "diag: the offset")
    blank = zeros((length + abs(k), length + abs(k)), x.dtype)
    rows, columns = add(iota(length), max(-k, 0)), add(iota(length), max(k, 0))
    return scatter(SCATTER_SET, blank, x, [rows, columns], (0, 1))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Variable:
    """The sum of the diagonal of two axes; integers and bools add up as 64-bit integers."""
    found = accumulated(diagonal(x, offset, axis1, axis2), dtype)
    return reduce_sum(found, (found.ndim - 1,))


# --- einsum -------------------------------------------------------------------------------------

# An operand and the labels of its axes.
Labelled = tuple[Variable, list[str]]


def einsum(subscripts: str, *operands: Any) -> Variable:
    """The sum of products that the subscripts describe, as NumPy's ``einsum``.

    Operands are taken from left to right; each pair becomes one product of matrices.
    """
    values = promote_arguments("einsum", operands) if operands else []
    labels, output = _parse(subscripts, values)
    terms = [_diagonals(value, own) for value, own in zip(values, labels, strict=True)]
    terms = _agree(terms, "einsum")
    result = terms[0]
    for i, term in enumerate(terms[1:], start=1):
        later = {label for _, own in terms[i + 1 :] for label in own}
        wanted = [
            label
            for label in dict.fromkeys([*result[1], *term[1]])
            if label in output or label in later
        ]
        result = _contract(result, term, wanted)
    value, own = _sum_out(result, output)
    return rearrange(value, [own.index(label) for label in output])


def _parse(subscripts: str, operands: Sequence[Variable]) -> tuple[list[list[str]], list[str]]:
    """The labels of each operand's axes and of the result's."""

    def fail(what: str) -> SymgraphValueError:
        return SymgraphValueError.here(f"einsum {subscripts!r}: {what}")

    if not isinstance(subscripts, str):
        raise SymgraphTypeError.here(
            f"einsum: subscripts are a string such as 'ij,jk->ik', not {subscripts!r}"
        )
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(operands):
        raise fail(f"there are {len(parts)} subscripts for {len(operands)} operands")
    labels: list[list[str]] = []
    widest = 0
    for part, x in zip(parts, operands, strict=True):
        named = part.replace("...", "", 1)
        if not all(c in string.ascii_letters for c in named):
            raise fail("labels are letters")
        extra = x.ndim - len(named)
        if extra < 0 or (extra and "..." not in part):
            raise fail(f"{part!r} does not fit the axes of {provenance.describe(x)}")
        before, _, after = part.partition("...")
        labels.append([*before, *(f"...{i}" for i in range(extra, 0, -1)), *after])
        widest = max(widest, extra if "..." in part else 0)
    dots = [f"...{i}" for i in range(widest, 0, -1)]
    if arrow:
        before, seen, after = right.partition("...")
        output = [*before, *(dots if seen else ()), *after]
        if dots and not seen:
            raise fail("the result leaves out the axes that ... stands for")
    else:
        every = [c for part in parts for c in part.replace("...", "", 1)]
        output = dots + sorted(c for c in set(every) if every.count(c) == 1)
    known = {label for own in labels for label in own}
    if len(set(output)) != len(output) or not known.issuperset(output):
        raise fail("each label of the result occurs there once, and in an operand")
    return labels, output


def _diagonals(x: Variable, labels: list[str]) -> Labelled:
    """The operand with axes that share a label made one."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            x = check_size(x, second, x, first, "einsum")
            x = diagonal(x, 0, first, second)
            labels = [v for i, v in enumerate(labels) if i not in (first, second)] + [label]
    return x, labels


def _agree(terms: Sequence[Labelled], function: str) -> list[Labelled]:
    """The operands with sizes of one label unified; axes of size 1 that meet others are dropped."""
    values = [value for value, _ in terms]
    labels = [list(own) for _, own in terms]
    for label in dict.fromkeys(v for own in labels for v in own):
        holders = [i for i, own in enumerate(labels) if label in own]
        wide = [i for i in holders if values[i].type.shape[labels[i].index(label)] != 1]
        for i in holders:
            if wide and i not in wide:
                axis = labels[i].index(label)
                values[i] = rearrange(values[i], [j for j in range(values[i].ndim) if j != axis])
                del labels[i][axis]
        if len(wide) > 1:
            axes = [own.index(label) if i in wide else None for i, own in enumerate(labels)]
            values = unify_axis(values, axes, function)
    return list(zip(values, labels, strict=True))


def _sum_out(term: Labelled, wanted: Sequence[str]) -> Labelled:
    """The operand summed over the labels that nobody wants."""
    value, labels = term
    gone = [i for i, label in enumerate(labels) if label not in wanted]
    return reduce_sum(value, gone), [label for label in labels if label in wanted]


def _contract(x: Labelled, y: Labelled, wanted: list[str]) -> Labelled:
    """The sum of products of two operands, with the wanted labels in their order."""
    x = _sum_out(x, [*wanted, *y[1]])
    y = _sum_out(y, [*wanted, *x[1]])
    shared = [label for label in x[1] if label in y[1]]
    summed = [label for label in shared if label not in wanted]
    stacked = [label for label in shared if label in wanted]
    ours = [label for label in x[1] if label not in shared]
    theirs = [label for label in y[1] if label not in shared]
    if not summed:
        order = [*stacked, *ours, *theirs]
        product = multiply(_spread(x, order), _spread(y, order))
    else:
        left = _grouped(x, stacked, ours, summed)
        right = _grouped(y, stacked, summed, theirs)
        product = node(MATMUL, (left, right))
        sizes = [_size(x, label) for label in [*stacked, *ours]]
        sizes += [_size(y, label) for label in theirs]
        product = reshape(product, sizes)
        order = [*stacked, *ours, *theirs]
    return rearrange(product, [order.index(label) for label in wanted]), wanted


def _size(term: Labelled, label: str) -> Any:
    value, labels = term
    return shape_of(value)[labels.index(label)]


def _spread(term: Labelled, order: Sequence[str]) -> Variable:
    """The operand with an axis for each label, of size 1 where it has none."""
    value, labels = term
    return rearrange(value, [labels.index(v) if v in labels else None for v in order])


def _grouped(term: Labelled, stacked: list[str], rows: list[str], columns: list[str]) -> Variable:
    """The operand as a stack of matrices, several axes of rows or of columns made one."""
    value, labels = term
    order = [*stacked, *rows, *columns]
    moved = rearrange(value, [labels.index(label) for label in order])
    if len(rows) == 1 and len(columns) == 1:
        return moved
    sizes = shape_of(moved)
    n, m = len(stacked), len(stacked) + len(rows)
    return reshape(moved, (*sizes[:n], product_of(sizes[n:m]), product_of(sizes[m:])))

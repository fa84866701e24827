"""The same elements in another shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Shape
from ..core.dims import Size, floor_div, product
from ..core.errors import CallError, DtypeError, ShapeError
from ..core.op import Op
from ..core.size_differences import known_different
from ..core.types import TensorType, format_shape
from ..core.variable import Variable, node
from .broadcast import broadcast_to, template_numbers, template_sizes, unify_shapes
from .promotion import as_variable
from .sizes import shape_of, shape_operands

__all__ = ["RESHAPE", "fit", "product_of", "refuse_misfit", "reshape"]


def _infer_reshape(inputs: Sequence[Variable], template: tuple[int | None, ...]) -> TensorType:
    x, *symbols = inputs
    sizes = template_sizes(template, symbols)
    total = product(x.type.shape)
    if -1 in template:
        rest = product(s for s, entry in zip(sizes, template, strict=True) if entry != -1)
        sizes[template.index(-1)] = floor_div(total, rest)
        if isinstance(total, int) and isinstance(rest, int) and (total % rest if rest else True):
            raise _unfit(x, template, sizes)
    elif known_different(total, product(sizes)):
        raise _unfit(x, template, sizes)
    return x.type.with_shape(sizes)


def _unfit(x: Variable, template: Sequence[int | None], sizes: Sequence[Size]) -> ShapeError:
    wanted = [-1 if entry == -1 else s for s, entry in zip(sizes, template, strict=True)]
    return ShapeError.here(
        f"reshape: {provenance.describe(x)} does not have the number of elements of shape "
        f"{format_shape(wanted)}"
    )


def _evaluate_reshape(arrays: Sequence[np.ndarray], template: tuple[int | None, ...]) -> np.ndarray:
    x, *symbols = arrays
    sizes = template_numbers(template, symbols)
    try:
        if any(int(symbol) < 0 for symbol in symbols):
            raise ValueError  # NumPy takes any negative size for whatever is left
        return x.reshape(sizes)
    except ValueError:
        raise CallError(
            f"reshape: an array of shape {x.shape} does not have the number of elements of shape "
            f"{tuple(sizes)}"
        ) from None


def _vjp_reshape(reshaped: Variable, cotangent: Variable) -> list[Variable | None]:
    x, *symbols = reshaped.inputs
    return [reshape(cotangent, shape_of(x)), *([None] * len(symbols))]


# The elements in another shape; one entry of the template may be -1: whatever is left.
RESHAPE = Op(
    "reshape",
    _infer_reshape,
    _evaluate_reshape,
    _vjp_reshape,
    params=("template",),
    traits=frozenset({"layout", "view", "traced"}),
    kind="movement",
)


def reshape(x: ArrayLike, shape: Shape) -> Variable:
    """``x`` in another shape of as many elements, the last axis fastest.

    Sizes are ints or integer scalars; one of them may be -1: whatever is left. A number of elements
    that is known to differ is a `ShapeError` now, one that turns out to differ a `CallError` at the
    call.

    >>> sg.reshape([1, 2, 3, 4], (-1, 2)).eval()
    array([[1, 2],
           [3, 4]])
    """
    x = as_variable(x, "reshape")
    template, symbols, sizes = shape_operands(shape, "reshape")
    if template.count(-1) > 1 or any(entry is not None and entry < -1 for entry in template):
        raise ShapeError.here(
            f"reshape: a shape has sizes of at least 0 and at most one -1, not {shape}"
        )
    if -1 in template:
        at = template.index(-1)
        sizes = _infer_reshape((x, *symbols), template).shape
        left = _what_is_left(x, [*sizes[:at], *sizes[at + 1 :]])
        if isinstance(left, Variable):
            symbols.insert(template[:at].count(None), left)
        if left is not None:
            entry = None if isinstance(left, Variable) else left
            template = (*template[:at], entry, *template[at + 1 :])
    if sizes == x.type.shape:
        return x
    return node(RESHAPE, (x, *symbols), (template,))


def _what_is_left(x: Variable, others: Sequence[Size]) -> int | Variable | None:
    """The size that -1 stands for where x has all the others among its own; None elsewhere.

    Division would not do where they may be 0: [T, B, 40] as (T, -1) is (T, B * 40) for T = 0 too.
    """
    if isinstance(product(others), int) and product(others):
        return None
    remaining = list(zip(x.type.shape, shape_of(x), strict=True))
    for other in others:
        place = next((i for i, (size, _) in enumerate(remaining) if size == other), None)
        if place is not None:
            del remaining[place]
        elif other != 1:
            return None
    return product_of([scalar for _, scalar in remaining])


def product_of(sizes: Sequence[int | Variable]) -> int | Variable:
    """The product of sizes: an int, or an integer scalar."""
    total: int | Variable = 1
    for size in sizes:
        total = size if isinstance(total, int) and total == 1 else total * size
    return total


def fit(values: Variable, part: Variable, function: str) -> Variable:
    """The values broadcast to exactly the type of a part that they are to replace."""
    if values.type.shape == part.type.shape:
        return values
    unify_shapes([part, values], function)  # raises where they are known not to fit
    values = broadcast_to(values, shape_of(part))
    for axis, size in enumerate(part.type.shape):
        if values.type.shape[axis] != size:  # checked to be equal, but another formula
            sizes = list(shape_of(values))
            sizes[axis] = shape_of(part)[axis]
            values = reshape(values, sizes)
    return values


def refuse_misfit(values: Variable, x: Variable, shape: Sequence[Size], what: str) -> None:
    """An error unless the values have the dtype of ``x``, and the shape of what is stored there."""
    if values.dtype != x.dtype:
        raise DtypeError(f"values of {values.dtype} cannot be stored in an array of {x.dtype}")
    if values.type.shape != shape:
        raise ShapeError(
            f"values of shape {format_shape(values.type.shape)} do not fit {what} of shape "
            f"{format_shape(shape)}"
        )

"""Arrays joined along an axis, and cut into parts again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, Axis, SizeLike
from ..core.dims import Size
from ..core.errors import DtypeError, ShapeError, SymgraphTypeError
from ..core.node import Node
from ..core.op import Op
from ..core.types import TensorType
from ..core.values import entries_of, whole_number
from ..core.variable import Variable, node
from .broadcast import rearrange
from .promotion import as_variable, promote_arguments
from .reshape import reshape
from .shape import atleast_1d, atleast_2d, atleast_3d, expand_dims, normalise_axis, ravel
from .sizes import shape_of, unify_axis
from .slices import slice_axis

__all__ = [
    "CONCATENATE",
    "column_stack",
    "concatenate",
    "dstack",
    "hstack",
    "split",
    "stack",
    "vstack",
]


# A list of what is joined, or a variable whose first axis has a known size.
Parts: TypeAlias = Node | Iterable[ArrayLike]


def _infer_concatenate(inputs: Sequence[Variable], axis: int) -> TensorType:
    first = inputs[0].type
    joined: Size = 0
    for x in inputs:
        joined = joined + x.type.shape[axis]
        others = zip(x.type.shape, first.shape, strict=True)
        if x.dtype != first.dtype:
            raise DtypeError(f"concatenate: operands of {first.dtype} and {x.dtype}")
        if any(a != b for i, (a, b) in enumerate(others) if i != axis):
            raise ShapeError(f"concatenate: operands of {first} and {x.type} on axis {axis}")
    return first.with_shape((*first.shape[:axis], joined, *first.shape[axis + 1 :]))


def _build_concatenate(inputs: Sequence[ArrayLike], axis: int) -> Variable:
    parts = promote_arguments("concatenate", inputs)
    for other in range(parts[0].ndim):
        if other != axis:
            parts = unify_axis(parts, [other] * len(parts), "concatenate")
    return node(CONCATENATE, parts, (axis,))


def _vjp_concatenate(whole: Variable, cotangent: Variable) -> list[Variable | None]:
    (axis,) = whole.params
    ends = itertools.accumulate(shape_of(x)[axis] for x in whole.inputs[:-1])
    return [*_cut(cotangent, list(ends), axis)]


def _cut(x: Variable, positions: Sequence[SizeLike], axis: int) -> list[Variable]:
    """``x`` cut before each of the positions on an axis."""
    edges = zip([0, *positions], [*positions, None], strict=True)
    return [slice_axis(x, axis, start, stop) for start, stop in edges]


# The operands one after the other along an axis.
CONCATENATE = Op(
    "concatenate",
    _infer_concatenate,
    evaluate=lambda arrays, axis: np.concatenate(arrays, axis),
    vjp=_vjp_concatenate,
    build=_build_concatenate,
    params=("axis",),
    traits=frozenset({"layout"}),
    kind="movement",
    is_cheap=True,
)


def concatenate(parts: Parts, axis: Axis | None = 0) -> Variable:
    """The parts one after the other along an axis, in their common dtype.

    Where the axis is None they are flattened first. ``parts`` are a list, or a variable whose first
    axis has a known size. Numbers of axes that differ, sizes of other axes known to differ, no
    parts at all or an axis that is not there are a `ShapeError`; what is no list is a
    `SymgraphTypeError`. Sizes that may differ are checked at the call.

    >>> sg.concatenate([[1, 2], [3]]).eval()
    array([1, 2, 3])
    """
    operands = _operands(parts, "concatenate")
    if axis is None:
        return _build_concatenate([ravel(x) for x in operands], 0)
    ndim = operands[0].ndim
    if any(x.ndim != ndim for x in operands) or ndim == 0:
        raise ShapeError.here(
            "concatenate: operands need one number of axes, at least 1; found "
            + " and ".join(provenance.describe(x) for x in operands),
            remedy="sg.stack joins along a new axis.",
        )
    axis = normalise_axis(axis, ndim, "concatenate")
    return operands[0] if len(operands) == 1 else _build_concatenate(operands, axis)


def stack(parts: Parts, axis: Axis = 0) -> Variable:
    """The parts, of one shape, along a new axis of the result; otherwise as `concatenate`.

    >>> sg.stack([[1, 2], [3, 4]], axis=1).eval()
    array([[1, 3],
           [2, 4]])
    """
    operands = _operands(parts, "stack")
    ndim = operands[0].ndim
    if any(x.ndim != ndim for x in operands):
        raise ShapeError.here(
            "stack: operands need one shape; found "
            + " and ".join(provenance.describe(x) for x in operands)
        )
    axis = normalise_axis(axis, ndim + 1, "stack")
    return concatenate([expand_dims(x, axis) for x in operands], axis)


def vstack(parts: Parts) -> Variable:
    """The parts on top of each other; a vector counts as a row. Otherwise as `concatenate`.

    >>> sg.vstack([[1, 2], [[3, 4], [5, 6]]]).eval()
    array([[1, 2],
           [3, 4],
           [5, 6]])
    """
    return concatenate([atleast_2d(x) for x in _operands(parts, "vstack")], 0)


def hstack(parts: Parts) -> Variable:
    """The parts side by side: along the second axis, vectors along their only one.

    Otherwise as `concatenate`.

    >>> sg.hstack([[1, 2], [3]]).eval()
    array([1, 2, 3])
    """
    operands = [atleast_1d(x) for x in _operands(parts, "hstack")]
    return concatenate(operands, 0 if operands[0].ndim == 1 else 1)


def column_stack(parts: Parts) -> Variable:
    """The parts side by side; a vector counts as a column. Otherwise as `concatenate`.

    >>> sg.column_stack([[1, 2], [3, 4]]).eval()
    array([[1, 3],
           [2, 4]])
    """
    operands = _operands(parts, "column_stack")
    return concatenate([rearrange(atleast_2d(x), (1, 0)) if x.ndim < 2 else x for x in operands], 1)


def dstack(parts: Parts) -> Variable:
    """The parts one behind the other, along a third axis that they have or are given.

    Otherwise as `concatenate`.

    >>> sg.dstack([[1, 2], [3, 4]]).eval()
    array([[[1, 3],
            [2, 4]]])
    """
    return concatenate([atleast_3d(x) for x in _operands(parts, "dstack")], 2)


def _operands(parts: Any, function: str) -> list[Variable]:
    """The parts, at least one, as variables of one dtype."""
    if isinstance(parts, Variable) and parts.ndim and isinstance(parts.type.shape[0], int):
        parts = list(parts)
    if isinstance(parts, (Variable, str)) or not np.iterable(parts):
        raise SymgraphTypeError.here(f"{function} takes a list of variables; found {parts!r}")
    entries = list(parts)
    if not entries:
        raise ShapeError.here(f"{function}: there is nothing to join")
    return promote_arguments(function, entries)


def split(x: ArrayLike, sections: int | Sequence[SizeLike], axis: Axis = 0) -> list[Variable]:
    """``x`` cut into so many equal parts, or before each of the given positions.

    Positions are ints or integer scalars. A size that cannot be divided into equal parts is a
    `ShapeError`, or a `CallError` at the call where it is not known before; an axis that is not
    there is a `ShapeError`, and sections that are neither a `SymgraphTypeError`.

    >>> [part.eval().tolist() for part in sg.split([1, 2, 3, 4], [1, 3])]
    [[1], [2, 3], [4]]
    """
    x = as_variable(x, "split")
    axis = normalise_axis(axis, x.ndim, "split")
    positions = entries_of(sections)
    if positions is not None:
        return _cut(x, positions, axis)
    number = whole_number(sections)
    if number is None or number < 1:
        raise SymgraphTypeError.here(
            f"split: sections are a number of parts or a list of positions, not {sections!r}"
        )
    return _equal_parts(x, number, axis)


def _equal_parts(x: Variable, number: int, axis: int) -> list[Variable]:
    length = x.type.shape[axis]
    if isinstance(length, int):
        if length % number:
            raise ShapeError.here(
                f"split: axis {axis} of {provenance.describe(x)} cannot be divided into "
                f"{number} equal parts"
            )
        step = length // number
        return [slice_axis(x, axis, i * step, (i + 1) * step) for i in range(number)]
    sizes = shape_of(x)
    parts = reshape(x, (*sizes[:axis], number, -1, *sizes[axis + 1 :]))
    order = [i for i in range(parts.ndim) if i != axis]
    return [rearrange(slice_axis(parts, axis, i, i + 1), order) for i in range(number)]

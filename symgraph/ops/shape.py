"""Arrays in other shapes: reshaping, axes, joining and splitting.

Transposing, inserting and dropping axes are all `rearrange`; everything here is made of that, of
``reshape``, ``concatenate`` and slices.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.dims import Size
from ..core.errors import DtypeError, ShapeError, SymgraphTypeError, explain
from ..core.op import Op
from ..core.types import TensorType, is_integer
from ..core.variable import Variable, constant_value, node
from .broadcast import broadcast_to, rearrange
from .elementwise import maximum, negative, remainder
from .promotion import as_variable, cast_to, promote_arguments
from .reshape import RESHAPE, product_of, reshape
from .sizes import as_scalar, shape_of, unify_axis
from .slices import At, Span, read_slice, slice_axis

__all__ = [
    "CONCATENATE",
    "RESHAPE",
    "atleast_1d",
    "atleast_2d",
    "broadcast_to",
    "concatenate",
    "expand_dims",
    "flatten",
    "flip",
    "hstack",
    "moveaxis",
    "normalise_axes",
    "normalise_axis",
    "pad",
    "ravel",
    "repeat",
    "reshape",
    "roll",
    "shape",
    "size",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "tile",
    "transpose",
    "vstack",
]


def shape(x: Any) -> tuple[Any, ...]:
    """The shape of ``x``: ints where known, elsewhere integer scalars."""
    return shape_of(as_variable(x, "shape"))


def size(x: Any, axis: int | None = None) -> Any:
    """The number of elements of ``x``, or of one axis: an int where known, or an integer scalar."""
    x = as_variable(x, "size")
    if axis is not None:
        return shape_of(x)[normalise_axis(axis, x.ndim, "size")]
    return product_of(shape_of(x))


def normalise_axis(axis: Any, ndim: int, function: str) -> int:
    """The axis counted from the front; a `ShapeError` where there is none."""
    if isinstance(axis, (bool, np.bool_)) or not isinstance(axis, (int, np.integer)):
        raise SymgraphTypeError(
            explain(f"{function}: an axis is an int, not {axis!r}", line=provenance.user_line())
        )
    if not -ndim <= axis < ndim:
        raise ShapeError(
            explain(
                f"{function}: there is no axis {axis}; there are {ndim} axes",
                line=provenance.user_line(),
            )
        )
    return int(axis) % ndim


def normalise_axes(axes: Any, ndim: int, function: str) -> list[int]:
    """The axes (one, or several different ones) counted from the front, in the order given."""
    given = list(axes) if isinstance(axes, (tuple, list)) else [axes]
    found = [normalise_axis(axis, ndim, function) for axis in given]
    if len(set(found)) != len(found):
        raise ShapeError(
            explain(f"{function}: an axis is repeated in {axes}", line=provenance.user_line())
        )
    return found


# --- axes joined ---------------------------------------------------------------------------------


def ravel(x: Any) -> Variable:
    """``x`` as one axis, the last one fastest."""
    x = as_variable(x, "ravel")
    return x if x.ndim == 1 else reshape(x, (-1,))


def flatten(x: Any, ndim: int = 1) -> Variable:
    """``x`` with its last axes joined into one, so that ``ndim`` axes are left."""
    x = as_variable(x, "flatten")
    if isinstance(ndim, bool) or not isinstance(ndim, int) or not 1 <= ndim <= max(x.ndim, 1):
        raise ShapeError(
            explain(
                f"flatten: {ndim!r} axes cannot be left of {provenance.describe(x)}",
                line=provenance.user_line(),
            )
        )
    return x if x.ndim == ndim else reshape(x, (*shape_of(x)[: ndim - 1], -1))


# --- axes ---------------------------------------------------------------------------------------


def transpose(x: Any, axes: Any = None) -> Variable:
    """``x`` with its axes in this order; reversed where none is given."""
    x = as_variable(x, "transpose")
    if axes is None:
        return rearrange(x, range(x.ndim)[::-1])
    order = normalise_axes(axes, x.ndim, "transpose")
    if len(order) != x.ndim:
        raise ShapeError(
            explain(
                f"transpose: {provenance.describe(x)} has {x.ndim} axes; the order {axes} has "
                f"{len(order)}",
                line=provenance.user_line(),
            )
        )
    return rearrange(x, order)


def swapaxes(x: Any, axis1: int, axis2: int) -> Variable:
    """``x`` with two axes exchanged."""
    x = as_variable(x, "swapaxes")
    a, b = (normalise_axis(axis, x.ndim, "swapaxes") for axis in (axis1, axis2))
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return rearrange(x, order)


def moveaxis(x: Any, source: Any, destination: Any) -> Variable:
    """``x`` with some axes moved to other places; the others keep their order."""
    x = as_variable(x, "moveaxis")
    sources = normalise_axes(source, x.ndim, "moveaxis")
    destinations = normalise_axes(destination, x.ndim, "moveaxis")
    if len(sources) != len(destinations):
        raise ShapeError(
            explain(
                f"moveaxis: {len(sources)} axes cannot go to {len(destinations)} places",
                line=provenance.user_line(),
            )
        )
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return rearrange(x, order)


def expand_dims(x: Any, axis: Any) -> Variable:
    """``x`` with new axes of size 1 at these places of the result."""
    x = as_variable(x, "expand_dims")
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    places = normalise_axes(axis, x.ndim + count, "expand_dims")
    kept = iter(range(x.ndim))
    return rearrange(x, [None if i in places else next(kept) for i in range(x.ndim + count)])


def squeeze(x: Any, axis: Any = None) -> Variable:
    """``x`` without axes of size 1: these, or all that are known to be so."""
    x = as_variable(x, "squeeze")
    if axis is None:
        dropped = [i for i, s in enumerate(x.type.shape) if s == 1]
    else:
        dropped = normalise_axes(axis, x.ndim, "squeeze")
        for i in dropped:
            if x.type.shape[i] != 1:
                raise ShapeError(
                    explain(
                        f"squeeze: axis {i} of {provenance.describe(x)} is not known to have "
                        "size 1",
                        line=provenance.user_line(),
                        remedy="x[0] on that axis takes its only element away from it.",
                    )
                )
    return rearrange(x, [i for i in range(x.ndim) if i not in dropped])


def atleast_1d(x: Any) -> Variable:
    """``x``, with an axis of size 1 where it has none."""
    x = as_variable(x, "atleast_1d")
    return x if x.ndim else expand_dims(x, 0)


def atleast_2d(x: Any) -> Variable:
    """``x``, with leading axes of size 1 where it has fewer than two axes."""
    x = as_variable(x, "atleast_2d")
    return rearrange(x, [*([None] * (2 - x.ndim)), *range(x.ndim)])


# --- joining ------------------------------------------------------------------------------------


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


def _build_concatenate(inputs: Sequence[Any], axis: int) -> Variable:
    parts = promote_arguments("concatenate", inputs)
    for other in range(parts[0].ndim):
        if other != axis:
            parts = unify_axis(parts, [other] * len(parts), "concatenate")
    return node(CONCATENATE, parts, (axis,))


def _vjp_concatenate(whole: Variable, cotangent: Variable) -> list[Variable | None]:
    (axis,) = whole.params
    sizes = [shape_of(x)[axis] for x in whole.inputs]
    return list(_successive(cotangent, sizes, axis))


def _successive(x: Variable, sizes: Sequence[Any], axis: int) -> list[Variable]:
    """``x`` cut into successive parts of these sizes."""
    parts = []
    start: Any = 0
    for i, length in enumerate(sizes):
        stop = start + length if i < len(sizes) - 1 else None
        parts.append(slice_axis(x, axis, start, stop))
        start = stop
    return parts


# The operands one after the other along an axis.
CONCATENATE = Op(
    "concatenate",
    _infer_concatenate,
    evaluate=lambda arrays, axis: np.concatenate(arrays, axis),
    vjp=_vjp_concatenate,
    build=_build_concatenate,
    params=("axis",),
)


def concatenate(parts: Sequence[Any], axis: int | None = 0) -> Variable:
    """The parts one after the other along an axis; flattened first where the axis is None."""
    operands = [as_variable(x, "concatenate") for x in _several(parts, "concatenate")]
    if axis is None:
        return _build_concatenate([ravel(x) for x in operands], 0)
    ndim = operands[0].ndim
    if any(x.ndim != ndim for x in operands) or ndim == 0:
        raise ShapeError(
            explain(
                "concatenate: operands need one number of axes, at least 1; found "
                + " and ".join(provenance.describe(x) for x in operands),
                line=provenance.user_line(),
                remedy="sg.stack joins along a new axis.",
            )
        )
    axis = normalise_axis(axis, ndim, "concatenate")
    return operands[0] if len(operands) == 1 else _build_concatenate(operands, axis)


def stack(parts: Sequence[Any], axis: int = 0) -> Variable:
    """The parts, of one shape, along a new axis."""
    operands = [as_variable(x, "stack") for x in _several(parts, "stack")]
    ndim = operands[0].ndim
    if any(x.ndim != ndim for x in operands):
        raise ShapeError(
            explain(
                "stack: operands need one shape; found "
                + " and ".join(provenance.describe(x) for x in operands),
                line=provenance.user_line(),
            )
        )
    axis = normalise_axis(axis, ndim + 1, "stack")
    return concatenate([expand_dims(x, axis) for x in operands], axis)


def vstack(parts: Sequence[Any]) -> Variable:
    """The parts on top of each other; a vector counts as a row."""
    return concatenate([atleast_2d(x) for x in _several(parts, "vstack")], 0)


def hstack(parts: Sequence[Any]) -> Variable:
    """The parts side by side: along the second axis, vectors along their only one."""
    operands = [atleast_1d(x) for x in _several(parts, "hstack")]
    return concatenate(operands, 0 if operands[0].ndim == 1 else 1)


def _several(parts: Any, function: str) -> list[Any]:
    """The parts as a list of at least one."""
    if isinstance(parts, Variable) and parts.ndim and isinstance(parts.type.shape[0], int):
        parts = list(parts)
    if isinstance(parts, (Variable, str)) or not hasattr(parts, "__iter__"):
        raise SymgraphTypeError(
            explain(
                f"{function} takes a list of variables; found {parts!r}",
                line=provenance.user_line(),
            )
        )
    found = list(parts)
    if not found:
        raise ShapeError(
            explain(f"{function}: there is nothing to join", line=provenance.user_line())
        )
    return found


def split(x: Any, sections: Any, axis: int = 0) -> list[Variable]:
    """``x`` cut into so many equal parts, or before each of the given positions.

    Positions are ints or integer scalars. A size that cannot be divided into equal parts is a
    `ShapeError`, or a `CallError` at the call where it is not known before.
    """
    x = as_variable(x, "split")
    axis = normalise_axis(axis, x.ndim, "split")
    if isinstance(sections, (list, tuple, np.ndarray)):
        edges = [0, *sections, None]
        return [slice_axis(x, axis, *pair) for pair in itertools.pairwise(edges)]
    if isinstance(sections, bool) or not isinstance(sections, (int, np.integer)) or sections < 1:
        raise SymgraphTypeError(
            explain(
                f"split: sections are a number of parts or a list of positions, not {sections!r}",
                line=provenance.user_line(),
            )
        )
    length = x.type.shape[axis]
    if isinstance(length, int):
        if length % sections:
            raise ShapeError(
                explain(
                    f"split: axis {axis} of {provenance.describe(x)} cannot be divided into "
                    f"{sections} equal parts",
                    line=provenance.user_line(),
                )
            )
        step = length // sections
        return [slice_axis(x, axis, i * step, (i + 1) * step) for i in range(sections)]
    sizes = shape_of(x)
    parts = reshape(x, (*sizes[:axis], int(sections), -1, *sizes[axis + 1 :]))
    return [
        rearrange(slice_axis(parts, axis, i, i + 1), [j for j in range(parts.ndim) if j != axis])
        for i in range(sections)
    ]


# --- repeating and moving -----------------------------------------------------------------------


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Variable:
    """Each element (or slice along the axis) so many times; of the flattened ``x`` for no axis."""
    x = as_variable(x, "repeat")
    if axis is None:
        x, axis = ravel(x), 0
    axis = normalise_axis(axis, x.ndim, "repeat")
    repeats = _count(repeats, "repeat")
    sizes = shape_of(x)
    wide = broadcast_to(expand_dims(x, axis + 1), (*sizes[: axis + 1], repeats, *sizes[axis + 1 :]))
    return reshape(wide, (*sizes[:axis], sizes[axis] * repeats, *sizes[axis + 1 :]))


def tile(x: Any, repeats: Any) -> Variable:
    """``x`` laid side by side so many times along each axis."""
    x = as_variable(x, "tile")
    counts = list(repeats) if isinstance(repeats, (list, tuple)) else [repeats]
    counts = [_count(n, "tile") for n in counts]
    counts = [1] * (x.ndim - len(counts)) + counts
    x = rearrange(x, [*([None] * (len(counts) - x.ndim)), *range(x.ndim)])
    sizes = shape_of(x)
    order: list[int | None] = []
    wide: list[Any] = []
    for i, (n, s) in enumerate(zip(counts, sizes, strict=True)):
        order += [None, i]
        wide += [n, s]
    return reshape(
        broadcast_to(rearrange(x, order), wide),
        [n * s for n, s in zip(counts, sizes, strict=True)],
    )


def _count(n: Any, function: str) -> Any:
    """A number of repeats: an int of at least 0, or an integer scalar."""
    if isinstance(n, Variable) and n.ndim == 0 and is_integer(n.dtype):
        value = constant_value(n)
        n = n if value is None else int(value)
    elif isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        found = provenance.describe(n) if isinstance(n, Variable) else repr(n)
        raise SymgraphTypeError(
            explain(
                f"{function}: the number of repeats is an int or an integer scalar; found {found}",
                line=provenance.user_line(),
                remedy="sg.take with a list of indices repeats elements unequally often.",
            )
        )
    if not isinstance(n, Variable) and n < 0:
        raise ShapeError(
            explain(f"{function}: {n} repeats are less than none", line=provenance.user_line())
        )
    return n


def flip(x: Any, axis: Any = None) -> Variable:
    """``x`` with the order of the elements reversed along these axes, or all."""
    x = as_variable(x, "flip")
    axes = range(x.ndim) if axis is None else normalise_axes(axis, x.ndim, "flip")
    return read_slice(x, [Span(0, None, -1) if i in axes else None for i in range(x.ndim)], ())


def roll(x: Any, shift: Any, axis: Any = None) -> Variable:
    """``x`` shifted along the axes, what leaves at the end coming in at the front.

    Without an axis the flattened ``x`` is shifted, and keeps its shape.
    """
    x = as_variable(x, "roll")
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), shape_of(x))
    axes = normalise_axes(axis, x.ndim, "roll")
    shifts = list(shift) if isinstance(shift, (list, tuple)) else [shift] * len(axes)
    if len(shifts) != len(axes):
        raise ShapeError(
            explain(f"roll: {len(shifts)} shifts for {len(axes)} axes", line=provenance.user_line())
        )
    for one, by in zip(axes, shifts, strict=True):
        x = _roll_axis(x, by, one)
    return x


def _roll_axis(x: Variable, shift: Any, axis: int) -> Variable:
    length = shape_of(x)[axis]
    if isinstance(length, int) and not isinstance(shift, Variable):
        start: Any = (length - shift) % length if length else 0
    elif isinstance(shift, int) and abs(shift) == 1:
        start = -shift  # right for an axis of any size
    else:
        back = remainder(negative(_shift(shift)), maximum(as_scalar(length), 1))
        start = maximum(back, 0)  # which tells that it is not negative
    return concatenate([slice_axis(x, axis, start), slice_axis(x, axis, 0, start)], axis)


def _shift(shift: Any) -> Variable:
    """A shift as an int64 scalar."""
    shift = as_variable(shift, "roll")
    if shift.ndim or not is_integer(shift.dtype):
        raise SymgraphTypeError(
            explain(
                f"roll: a shift is an int or an integer scalar; found {provenance.describe(shift)}",
                line=provenance.user_line(),
            )
        )
    return cast_to(shift, np.dtype("int64"))


def pad(x: Any, widths: Any, mode: str = "constant", constant_values: Any = 0) -> Variable:
    """``x`` with so many elements before and after on each axis.

    ``widths`` is one int for all, a pair for all, or a pair for each axis, of ints or integer
    scalars. ``mode`` is ``constant`` (filled with ``constant_values``) or ``edge`` (the first and
    last elements repeated).
    """
    x = as_variable(x, "pad")
    if mode not in ("constant", "edge"):
        raise SymgraphTypeError(
            explain(
                f"pad: mode {mode!r} is not supported",
                line=provenance.user_line(),
                remedy="Modes are 'constant' and 'edge'; others are made of concatenate and flip.",
            )
        )
    for axis, (before, after) in enumerate(_pad_widths(widths, x.ndim)):
        fillers = []
        for count, edge in ((before, 0), (after, -1)):
            if isinstance(count, int) and count == 0:
                continue
            if mode == "constant":
                filler = cast_to(as_variable(constant_values, "pad"), x.dtype)
            else:
                at = [At(edge) if i == axis else None for i in range(x.ndim)]
                filler = expand_dims(read_slice(x, at, ()), axis)
            sizes = shape_of(x)
            fillers.append((edge, broadcast_to(filler, (*sizes[:axis], count, *sizes[axis + 1 :]))))
        front = [filler for edge, filler in fillers if edge == 0]
        back = [filler for edge, filler in fillers if edge == -1]
        x = concatenate([*front, x, *back], axis)
    return x


def _pad_widths(widths: Any, ndim: int) -> list[tuple[Any, Any]]:
    """The widths before and after for each axis."""
    entries = widths.tolist() if isinstance(widths, np.ndarray) else widths
    if not isinstance(entries, (list, tuple)):
        pairs = [(entries, entries)] * ndim
    elif not any(isinstance(e, (list, tuple)) for e in entries) and len(entries) == 2:
        pairs = [tuple(entries)] * ndim
    else:
        pairs = [tuple(e) if isinstance(e, (list, tuple)) else (e, e) for e in entries]
        pairs = pairs * ndim if len(pairs) == 1 else pairs
    if len(pairs) != ndim or any(len(pair) != 2 for pair in pairs):
        raise ShapeError(
            explain(
                f"pad: widths {widths} do not fit {ndim} axes",
                line=provenance.user_line(),
                remedy="Give a pair (before, after) for each axis.",
            )
        )
    return [(_count(a, "pad"), _count(b, "pad")) for a, b in pairs]

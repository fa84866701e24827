"""Convolutions and pooling over one or more axes, channels last.

Signals are ``[batch, time, channels]``, images ``[batch, height, width, channels]``; filters are
``[time, channels, filters]`` and ``[height, width, channels, filters]``. What is left of a
convolution, once ``windows`` has shown what lies under the filters, is one product of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike, ScalarLike
from ..core.dims import Size
from ..core.errors import ShapeError, SymgraphTypeError
from ..core.size_differences import known_different
from ..core.values import entries_of, whole_number
from ..core.variable import Variable
from . import extremes, reduce
from .broadcast import rearrange
from .create import ones_like
from .elementwise import divide
from .linalg import matmul
from .padding import pad
from .promotion import as_variable, promote_arguments
from .reshape import product_of, reshape
from .sizes import shape_of, unify_axis
from .windows import span_of, windows

__all__ = ["all_windows", "average_pool", "conv1d", "conv2d", "convolve", "max_pool"]


# An int for all axes, or one for each.
Sizes: TypeAlias = int | Sequence[int]
# A name, an int for all sides, or for each axis an int or a pair (before, after).
Padding: TypeAlias = str | int | Sequence[int | Sequence[int]]


# --- convolution --------------------------------------------------------------------------------


def conv1d(
    x: ArrayLike,
    filters: ArrayLike,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    dilation: int = 1,
    groups: int = 1,
) -> Variable:
    """Signals ``[batch, time, channels]`` under filters ``[time, channels / groups, filters]``.

    The result is ``[batch, time, filters]`` in the common dtype. As in all neural networks' code
    the filters are not reversed. ``padding``: ``valid`` (none), ``same`` (as many outputs as
    inputs, divided by the stride and rounded up), ``causal`` (as ``same``, but no output sees the
    future), an int (zeros on either side) or a pair of ints. Operands of other shapes, and filters
    of an unknown size, are a `ShapeError`; another stride, dilation or padding is a
    `SymgraphTypeError`.

    >>> x = sg.reshape([1.0, 2.0, 4.0], (1, 3, 1))
    >>> sg.conv1d(x, np.ones((2, 1, 1), "float32"), padding="causal").eval().ravel()
    array([1., 3., 6.], dtype=float32)
    """
    return convolve(x, filters, 1, stride, padding, dilation, groups)


def conv2d(
    x: ArrayLike,
    filters: ArrayLike,
    *,
    stride: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    groups: int = 1,
) -> Variable:
    """Images ``[batch, height, width, channels]`` under filters.

    Filters are ``[height, width, channels / groups, filters]``; they are not reversed. The result
    is ``[batch, height, width, filters]``. Stride and dilation are an int, or a pair (height,
    width). ``padding``: ``valid`` (none), ``same`` (as many outputs as inputs, divided by the
    stride and rounded up), an int (zeros on all sides), a pair (height, width), or a pair of pairs
    (before, after). Errors as for `conv1d`.

    >>> x, filters = np.ones((1, 3, 4, 2)), np.ones((2, 2, 2, 5))
    >>> sg.conv2d(x, filters, padding="same").eval().shape
    (1, 3, 4, 5)
    """
    return convolve(x, filters, 2, stride, padding, dilation, groups)


def convolve(
    x: ArrayLike,
    filters: ArrayLike,
    n: int,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
) -> Variable:
    """``x`` of ``[batch, *axes, channels]`` under filters, for any number of axes; as `conv2d`."""
    function = f"conv{n}d"
    x, filters = promote_arguments(function, (x, filters))
    sizes = _check_operands(x, filters, n, function)
    strides, dilations = _each(stride, n, "stride"), _each(dilation, n, "dilation")
    margins = _margins(padding, sizes, dilations, function)
    parts = all_windows(pad(x, [(0, 0), *margins, (0, 0)]), sizes, strides, dilations)
    _check_groups(x, filters, groups, function)
    if groups > 1:
        return _grouped_product(parts, filters, sizes, groups)
    counts = shape_of(parts)[: 1 + n]
    parts, kernel = unify_axis([parts, filters], [parts.ndim - 1, n], function)
    width = product_of(shape_of(kernel)[:-1])
    product = matmul(
        reshape(parts, (product_of(counts), width)),
        reshape(kernel, (width, shape_of(kernel)[-1])),
    )
    return reshape(product, (*counts, shape_of(kernel)[-1]))


def _grouped_product(
    parts: Variable, filters: Variable, sizes: tuple[int, ...], groups: int
) -> Variable:
    """The windows under the filters of their group: a stack of products, one for each group."""
    n, counts = len(sizes), shape_of(parts)[: 1 + len(sizes)]
    channels, outputs = filters.type.shape[-2:]
    width = math.prod(sizes) * channels
    split = reshape(parts, (*shape_of(parts)[:-1], groups, channels))
    left = rearrange(split, [1 + 2 * n, *range(1 + 2 * n), 2 + 2 * n])
    kernel = reshape(filters, (*sizes, channels, groups, outputs // groups))
    right = rearrange(kernel, [1 + n, *range(1 + n), 2 + n])
    product = matmul(
        reshape(left, (groups, product_of(counts), width)),
        reshape(right, (groups, width, outputs // groups)),
    )
    return reshape(rearrange(product, [1, 0, 2]), (*counts, outputs))


def all_windows(
    x: Variable, sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Variable:
    """``[batch, *windows, *elements, channels]`` for ``[batch, *positions, channels]``."""
    n = len(sizes)
    for i in range(n):
        x = windows(x, 1 + 2 * i, sizes[i], strides[i], dilations[i])
    return rearrange(x, [0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2), 2 * n + 1])


def _check_operands(x: Variable, filters: Variable, n: int, function: str) -> tuple[int, ...]:
    """The sizes of the filters, which have to be known."""
    axes = ("time",) if n == 1 else ("depth", "height", "width")[-n:]
    for value, name, wanted in (
        (x, "batch", (*axes, "channels")),
        (filters, axes[0], (*axes[1:], "channels", "filters")),
    ):
        if value.ndim != n + 2:
            raise ShapeError.here(
                f"{function}: expected [{', '.join((name, *wanted))}]; found "
                f"{provenance.describe(value)}"
            )
    return _known_sizes(filters.type.shape[:n], function)


def _known_sizes(sizes: Sequence[Size], function: str) -> tuple[int, ...]:
    known = tuple(s for s in sizes if isinstance(s, int) and s > 0)
    if len(known) != len(sizes):
        raise ShapeError.here(
            f"{function}: the sizes of windows are known numbers of at least 1; found "
            f"{', '.join(map(str, sizes))}"
        )
    return known


def _check_groups(x: Variable, filters: Variable, groups: int, function: str) -> None:
    if groups == 1:
        return
    channels, outputs = filters.type.shape[-2:]
    if (
        whole_number(groups) is None
        or groups < 1
        or not isinstance(channels, int)
        or not isinstance(outputs, int)
        or known_different(x.type.shape[-1], groups * channels)
        or outputs % groups
    ):
        raise ShapeError.here(
            f"{function}: {groups!r} groups do not fit {provenance.describe(x)} under filters "
            f"{provenance.describe(filters)}",
            remedy="The input has groups * channels of the filters; the number of filters is "
            "divided among the groups.",
        )


def _each(value: Sizes, n: int, what: str) -> tuple[int, ...]:
    """The value for each of n axes: one int for all, or one for each."""
    values = [value] * n if whole_number(value) is not None else entries_of(value) or ()
    numbers = [number for v in values if (number := whole_number(v)) is not None and number >= 1]
    if len(values) != n or len(numbers) != n:
        raise SymgraphTypeError.here(
            f"a {what} is an int of at least 1{', or one for each axis' if n > 1 else ''}; "
            f"found {value!r}"
        )
    return tuple(numbers)


def _margins(
    padding: Padding, sizes: Sequence[int], dilations: Sequence[int], function: str
) -> list[tuple[int, int]]:
    """How many elements are put before and after each axis."""
    n = len(sizes)
    reach = [span_of(size, d) - 1 for size, d in zip(sizes, dilations, strict=True)]
    named = {"valid": [(0, 0)] * n, "same": [(r // 2, r - r // 2) for r in reach]}
    if n == 1:
        named["causal"] = [(reach[0], 0)]
    margins = named.get(padding) if isinstance(padding, str) else _margins_of(padding, n)
    if margins is None:
        raise SymgraphTypeError.here(
            f"{function}: padding is {', '.join(map(repr, named))}, or ints of at least 0; "
            f"found {padding!r}"
        )
    return margins


def _margins_of(padding: Any, n: int) -> list[tuple[int, int]] | None:
    """The margins for one int, or an int or a pair for each axis; None for anything else."""
    entries = [padding] * n if whole_number(padding) is not None else entries_of(padding)
    if n == 1 and entries is not None and len(entries) == 2:
        entries = [entries]  # the pair of the only axis
    margins: list[tuple[int, int]] = []
    for entry in entries or ():
        sides = [whole_number(side) for side in entries_of(entry) or (entry, entry)]
        pair = tuple(side for side in sides if side is not None and side >= 0)
        if len(sides) != 2 or len(pair) != 2:
            return None
        margins.append(pair)
    return margins if len(margins) == n else None


# --- pooling ------------------------------------------------------------------------------------


def max_pool(
    x: ArrayLike, size: Sizes, *, stride: Sizes | None = None, padding: Padding = "valid"
) -> Variable:
    """The largest element under a window, for each channel, in the dtype of ``x``.

    ``x`` is ``[batch, time, channels]`` or ``[batch, height, width, channels]``, and so is the
    result. The window moves on by its own size where no stride is given. Padding, given as for
    convolutions, never is the largest. Ties share the gradient equally. Other numbers of axes, and
    a window larger than the padded axis, are a `ShapeError`; another size, stride or padding is a
    `SymgraphTypeError`.

    >>> sg.max_pool(sg.reshape([1, 5, 2, 3], (1, 4, 1)), 2).eval().ravel()
    array([5, 3])
    """
    x = as_variable(x, "max_pool")
    lowest = {"f": -np.inf, "b": 0, "u": 0}.get(x.dtype.kind)
    if lowest is None:
        lowest = np.iinfo(x.dtype).min
    parts, axes = _pooled(x, size, stride, padding, x.dtype.type(lowest), "max_pool")
    return extremes.max(parts, axis=axes)


def average_pool(
    x: ArrayLike, size: Sizes, *, stride: Sizes | None = None, padding: Padding = "valid"
) -> Variable:
    """The mean of the elements under a window, for each channel; padding does not count.

    Integers are averaged as floats. As `max_pool` otherwise.

    >>> sg.average_pool(sg.reshape([1.0, 5.0, 2.0, 3.0], (1, 4, 1)), 2).eval().ravel()
    array([3. , 2.5], dtype=float32)
    """
    x = as_variable(x, "average_pool")
    parts, axes = _pooled(x, size, stride, padding, 0, "average_pool")
    if padding == "valid":
        return reduce.mean(parts, axis=axes)
    counts, _ = _pooled(ones_like(x), size, stride, padding, 0, "average_pool")
    return divide(reduce.sum(parts, axis=axes), reduce.sum(counts, axis=axes))


def _pooled(
    x: Variable,
    size: Sizes,
    stride: Sizes | None,
    padding: Padding,
    filler: ScalarLike,
    function: str,
) -> tuple[Variable, tuple[int, ...]]:
    """The windows of ``x``, and the axes of their elements."""
    n = x.ndim - 2
    if n not in (1, 2):
        raise ShapeError.here(
            f"{function}: expected [batch, time, channels] or [batch, height, width, "
            f"channels]; found {provenance.describe(x)}"
        )
    sizes = _each(size, n, "size of a window")
    strides = sizes if stride is None else _each(stride, n, "stride")
    margins = _margins(padding, sizes, (1,) * n, function)
    padded = pad(x, [(0, 0), *margins, (0, 0)], constant_values=filler)
    return all_windows(padded, sizes, strides, (1,) * n), tuple(range(1 + n, 1 + 2 * n))

"""The noise of shapes: sizes, broadcasts, and sums over what was summed or repeated.

These rules belong to `simplify`. They change no element, but that ``merge_sums`` and
``sum_of_equals`` add in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..core.dims import Size, maximum_zero, product
from ..core.types import TensorType
from ..core.variable import Variable, make_constant, node
from ..ops import ranges, reshape  # noqa: F401 (rules name their ops)
from ..ops.broadcast import BROADCAST_TO, SUM, broadcast_shapes, rearrange, reduce_sum
from ..ops.elementwise import NEGATIVE, multiply, negative
from ..ops.promotion import cast_to
from ..ops.sizes import CHECK_SIZE, SIZE, known_size
from .engine import EVERY, RuleSet, rule
from .pattern import fit, if_typed, uniform

__all__ = ["SHAPES"]

# --- sizes --------------------------------------------------------------------------------------


@rule("size", of=EVERY)
def find_size(v: Variable) -> Variable | None:
    """size(f(x)) → size(x): read where the size comes from, so that no value lives for its size."""
    (x,), (axis,) = v.inputs, v.params
    size = x.type.shape[axis]
    if isinstance(size, int):
        return make_constant(np.int64(size))
    # Of a scalar that may be negative, the op that makes the axis is asked, which refuses it.
    is_size = maximum_zero(size) is size
    for source in _nearest_sources(x):
        if size in source.type.shape:
            return node(SIZE, (source,), (source.type.shape.index(size),))
        if not is_size or source.type.ndim or source.dtype.kind not in "iu":
            continue
        if known_size(source) == size:
            return cast_to(source, v.dtype)
    return None


def _nearest_sources(x: Variable) -> Iterator[Variable]:
    """Some of what ``x`` is made of, the nearest first."""
    opened = [x]
    for v in opened:
        # A check that fails must do so even where only the size is used.
        if v.op is CHECK_SIZE:
            continue
        checks = [source for source in v.inputs if source.op is CHECK_SIZE]
        others = [source for source in v.inputs if source.op is not CHECK_SIZE]
        for source in checks + others:
            if isinstance(source.type, TensorType):
                yield source
            if len(opened) < _MAX_SOURCES:
                opened.append(source)


_MAX_SOURCES = 16


@rule("check_size", of=EVERY)
def drop_check(v: Variable) -> Variable | None:
    """check_size(x, y) → x where both sizes are known to be the same."""
    x, other = v.inputs
    axis, other_axis, _ = v.params
    return x if x.type.shape[axis] == other.type.shape[other_axis] else None


@rule("maximum", of=EVERY, reads=("size",))
def drop_bound(v: Variable) -> Variable | None:
    """maximum(size(x), 0) → size(x)."""
    for x, bound in (v.inputs, v.inputs[::-1]):
        if x.op is SIZE:
            value = uniform(bound)
            if value is not None and value <= 0:
                return fit(x, v, v.inputs)
    return None


# --- broadcasts ---------------------------------------------------------------------------------


@rule("broadcast_to", of=EVERY)
def merge_broadcasts(v: Variable) -> Variable | None:
    """broadcast_to(x, as it is) → x; broadcast_to(broadcast_to(x, a), b) → broadcast_to(x, b)."""
    x = v.inputs[0]
    if x.type is v.type:
        return x
    if x.op is BROADCAST_TO:
        return node(BROADCAST_TO, (x.inputs[0], *v.inputs[1:]), v.params)
    return None


@rule("broadcast_to", "reshape", "iota", of=EVERY)
def fix_sizes(v: Variable) -> Variable | None:
    """f(x, sizes) → f(x, numbers), where the sizes are numbers."""
    template = v.params[0]
    fixed = tuple(
        size if entry is None and isinstance(size, int) else entry
        for entry, size in zip(template, v.type.shape, strict=True)
    )
    if fixed == template:
        return None
    symbols = template.count(None)
    operands, sizes = v.inputs[:-symbols], v.inputs[-symbols:]
    open_entries = [entry for old, entry in zip(template, fixed, strict=True) if old is None]
    kept = [size for entry, size in zip(open_entries, sizes, strict=True) if entry is None]
    return if_typed(v, lambda: node(v.op, (*operands, *kept), (fixed, *v.params[1:])))


@rule(of=EVERY, reads=("broadcast_to",))
def narrow_operands(v: Variable) -> Variable | None:
    """f(broadcast_to(x), y) → f(x, y) where y has the shape, else → broadcast_to(f(x, y))."""
    for x in v.inputs:
        if x.op is BROADCAST_TO:
            break
    else:
        return None
    if v.op.kind != "elementwise":
        return None
    inputs = list(v.inputs)
    for i, x in enumerate(inputs):
        if x.op is BROADCAST_TO and _shape_with(inputs, i, x.inputs[0]) == v.type.shape:
            inputs[i] = x.inputs[0]
    if inputs != list(v.inputs):
        return node(v.op, inputs, v.params)
    # Without the broadcasts that are left the shape would be smaller: compute before them.
    wide = next(x for x in inputs if x.op is BROADCAST_TO)
    inputs = [x.inputs[0] if x.op is BROADCAST_TO else x for x in inputs]
    if wide.type.shape != v.type.shape:
        return None
    return node(BROADCAST_TO, (node(v.op, inputs, v.params), *wide.inputs[1:]), wide.params)


def _shape_with(inputs: Sequence[Variable], position: int, x: Variable) -> tuple[Size, ...]:
    """The shape to which the inputs broadcast with another one at a position."""
    shapes = [x.type.shape if i == position else y.type.shape for i, y in enumerate(inputs)]
    return broadcast_shapes(shapes, "broadcast_to")


# --- sums ---------------------------------------------------------------------------------------


@rule("sum", of=EVERY)
def merge_sums(v: Variable) -> Variable | None:
    """sum(x, axes of size 1) → rearrange(x); sum(sum(x, a), b) → sum(x, a and b)."""
    (x,), (axes, keepdims) = v.inputs, v.params
    if all(x.type.shape[axis] == 1 for axis in axes):
        return x if keepdims else rearrange(x, [i for i in range(x.ndim) if i not in axes])
    if x.op is not SUM:
        return None
    (source,), (inner, inner_keepdims) = x.inputs, x.params
    # For each axis of x the axis of the source that it is; None where that was summed.
    origins: list[int | None] = [
        None if axis in inner else axis
        for axis in range(source.ndim)
        if inner_keepdims or axis not in inner
    ]
    summed = {*inner, *(axis for i in axes if (axis := origins[i]) is not None)}
    kept = [axis for axis in range(source.ndim) if axis not in summed]
    order = [
        None if i in axes or origin is None else kept.index(origin)
        for i, origin in enumerate(origins)
        if keepdims or i not in axes
    ]
    return rearrange(reduce_sum(source, sorted(summed)), order)


@rule("sum", of=EVERY, reads=("negative",))
def negate_sum(v: Variable) -> Variable | None:
    """sum(-x) → -sum(x)."""
    (x,), (axes, keepdims) = v.inputs, v.params
    return negative(reduce_sum(x.inputs[0], axes, keepdims=keepdims)) if x.op is NEGATIVE else None


@rule("sum", of=EVERY, reads=("broadcast_to",))
def sum_of_equals(v: Variable) -> Variable | None:
    """sum(broadcast_to(x)) → x * n."""
    (wide,), (axes, keepdims) = v.inputs, v.params
    if wide.op is not BROADCAST_TO:
        return None
    x = wide.inputs[0]
    extra = wide.ndim - x.ndim
    # Summed axes that repeat x, and those that are its own.
    repeated = [a for a in axes if a < extra or x.type.shape[a - extra] != wide.type.shape[a]]
    own = [axis - extra for axis in axes if axis not in repeated]
    count = product(wide.type.shape[axis] for axis in repeated)
    # Nothing at all sums to 0, also where x is infinite: the count must be known.
    if not repeated or not isinstance(count, int) or count == 0:
        return None
    if v.dtype.kind == "f" and float(v.dtype.type(count)) != count:
        return None
    # A new leading axis that stays is one of size 1 here: the sum is repeated along it.
    order = [
        None if axis in axes or axis < extra else axis - extra
        for axis in range(wide.ndim)
        if keepdims or axis not in axes
    ]
    total = reduce_sum(x, own, keepdims=True)
    with np.errstate(all="ignore"):
        number = np.asarray(count).astype(v.dtype)
    return fit(rearrange(multiply(total, make_constant(number)), order), v, wide.inputs)


SHAPES = RuleSet(
    find_size,
    drop_check,
    drop_bound,
    merge_broadcasts,
    fix_sizes,
    narrow_operands,
    merge_sums,
    negate_sum,
    sum_of_equals,
)

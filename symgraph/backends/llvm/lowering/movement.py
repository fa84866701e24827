"""Lowerings of what moves numbers and computes none: sizes, reshapes, broadcasts, joins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ....core.dims import Dim, maximum_zero, product
from ....core.variable import Variable
from ....ops.broadcast import BROADCAST_TO, REARRANGE
from ....ops.join import CONCATENATE
from ....ops.reshape import RESHAPE
from ....ops.sizes import CHECK_SIZE, SIZE, size_of
from ..analysis.layout import View, contiguous_strides, is_contiguous
from ..analysis.values import SizeCheck, Values
from .program import Place
from .records import Lowering
from .scope import Scope

__all__ = ["MOVEMENT", "copy_late_view"]

# --- sizes --------------------------------------------------------------------------------------


def _write_size(scope: Scope, v: Variable) -> bool:
    """A size as a value."""
    a = scope.assembler
    a.run("write", scope.base(v), a.size(v.inputs[0].type.shape[v.params[0]]))
    return True


def _reads_for_size(values: Values, v: Variable) -> Sequence[Variable]:
    """All but the last input, of which a size is asked, unless it has to be there to tell it."""
    *others, x = v.inputs
    size = x.type.shape[v.params[len(others)]]
    return others if values.assembler.is_bound(size) else v.inputs


def _sizes_agree(values: Values, v: Variable) -> Iterator[SizeCheck]:
    x, other = v.inputs
    axis, other_axis, _ = v.params
    yield SizeCheck("check", v, x.type.shape[axis], other.type.shape[other_axis])


def _unchanged(v: Variable, source: View) -> View:
    return source.seen(v.type.shape, source.strides)


# --- other shapes -------------------------------------------------------------------------------


def _rearranged(v: Variable, source: View) -> View:
    order = v.params[0]
    return source.seen(v.type.shape, [0 if i is None else source.strides[i] for i in order])


def _broadcast(v: Variable, source: View) -> View:
    shape = v.type.shape
    extra = len(shape) - len(source.strides)
    strides = [
        0 if size == 1 and wide != 1 else stride
        for size, wide, stride in zip(
            v.inputs[0].type.shape, shape[extra:], source.strides, strict=True
        )
    ]
    return source.seen(shape, [0] * extra + strides)


def _reshaped(v: Variable, source: View) -> View | None:
    if not is_contiguous(v.inputs[0].type.shape, source.strides):
        return None
    return source.seen(v.type.shape, contiguous_strides(v.type.shape))


def _write_reshape(scope: Scope, v: Variable) -> bool:
    """A reshape of what does not lie in C order: a copy that does."""
    x = v.inputs[0]
    target = Place(scope.base(v), contiguous_strides(x.type.shape))
    scope.builder.copy(scope.place(x), target, x.type.shape, x.dtype)
    return True


def _as_many_elements(values: Values, v: Variable) -> Iterator[SizeCheck]:
    before, after = product(v.inputs[0].type.shape), product(v.type.shape)
    if before != after:
        yield from _none_negative(values, v)
        yield SizeCheck("check", v, before, after)


def _none_negative(values: Values, v: Variable) -> Iterator[SizeCheck]:
    """Checks of the sizes that the user computes."""
    for size in map(size_of, v.inputs[1:]):
        if isinstance(size, Dim) and (
            maximum_zero(size) is not size or not values.assembler.is_known_at_entry(size)
        ):
            yield SizeCheck("at_least", v, size, 0)


def copy_late_view(scope: Scope, v: Variable) -> bool:
    """A view with bounds that the program has computed: a copy of what it shows."""
    view = scope.values.late[v]
    base = scope.assembler.address(scope.base(view.root), view.offset, v.dtype)
    scope.builder.copy(Place(base, view.strides), scope.result(v), v.type.shape, v.dtype)
    return True


# --- joins --------------------------------------------------------------------------------------


def _parts(v: Variable) -> Iterator[tuple[Variable, View]]:
    """The operands of a concatenation, and where in the result they stand."""
    (axis,) = v.params
    whole, start = View.whole(v), 0
    for x in v.inputs:
        yield x, whole.seen(x.type.shape, whole.strides, start * whole.strides[axis])
        start = start + x.type.shape[axis]


def _write_concatenate(scope: Scope, v: Variable) -> bool:
    """Each operand copied to its part of the result, but for what was computed there."""
    written: set[Variable] = set()
    for x, part in _parts(v):
        if scope.values.views[x] != part or x in written:
            base = scope.assembler.address(scope.base(v), part.offset, v.dtype)
            target = Place(base, part.strides)
            scope.builder.copy(scope.place(x), target, x.type.shape, x.dtype)
        written.add(x)
    return True


_SIZES = slice(1, None)

MOVEMENT = {
    SIZE: Lowering(reads=_reads_for_size, write=_write_size),
    CHECK_SIZE: Lowering(
        view=_unchanged, reads=_reads_for_size, checks=_sizes_agree, is_always_needed=True
    ),
    REARRANGE: Lowering(view=_rearranged),
    BROADCAST_TO: Lowering(
        view=_broadcast, sizes=_SIZES, checks=_none_negative, write=copy_late_view
    ),
    RESHAPE: Lowering(view=_reshaped, sizes=_SIZES, checks=_as_many_elements, write=_write_reshape),
    CONCATENATE: Lowering(parts=_parts, write=_write_concatenate),
}

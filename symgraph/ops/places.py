"""What an op gives at one place of an axis, made of its operands at that place alone.

``tanh(h @ W + b)[-1]`` is ``tanh(h[-1] @ W + b)``: what is elementwise, a product with one matrix,
a join along another axis or a reduction over others needs no more. So where one place alone is
read, the compiler computes no other, and a cotangent that is zero elsewhere remains one of that
place on its way back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from ..core.variable import Variable, node
from .broadcast import SUM, filled, rearrange
from .extremes import MAX, MIN
from .join import CONCATENATE
from .linalg import MATMUL
from .sizes import shape_of
from .slices import ADD_SLICE, SLICE, At, Entry
from .softmax import LOG_SOFTMAX, LOGSUMEXP, SOFTMAX

__all__ = ["Place", "add_at", "operand_places", "part_of", "place_in", "read_at"]


class Place(NamedTuple):
    """One element of an axis."""

    axis: int
    """Counted from the last one, which is -1."""
    entry: At
    symbols: tuple[Variable, ...] = ()


Places: TypeAlias = Sequence[Place | None]
"""For each operand the place at which it is needed; None for all of it."""


def place_in(v: Variable) -> Place | None:
    """The place that a slice reads, or to which an ``add_slice`` adds; None where it is another
    part."""
    assert v.op in (SLICE, ADD_SLICE)
    chosen = [(axis, entry) for axis, entry in enumerate(v.params[0]) if entry is not None]
    if len(chosen) != 1 or not isinstance(chosen[0][1], At):
        return None
    axis, entry = chosen[0]
    whole = v.inputs[0]
    return Place(axis - whole.ndim, entry, v.inputs[1 if v.op is SLICE else 2 :])


def read_at(x: Variable, place: Place | None) -> Variable:
    """``x`` at the place, without that axis; all of it for None."""
    return x if place is None else node(SLICE, (x, *place.symbols), (_entries(x, place),))


def add_at(x: Variable, part: Variable, place: Place | None) -> Variable:
    """Zeros as large as ``x``, with the part at the place; for None the part, which is all."""
    if place is None:
        return part
    zeros = filled(0, x.dtype, shape_of(x))
    return node(ADD_SLICE, (zeros, part, *place.symbols), (_entries(x, place),))


def _entries(x: Variable, place: Place) -> tuple[Entry, ...]:
    entries: list[Entry] = [None] * x.ndim
    entries[place.axis] = place.entry
    return tuple(entries)


def operand_places(v: Variable, place: Place) -> Places | None:
    """Where the operands are needed for ``v`` at the place; None where that is not one place.

    Neither is it one, nor anything to gain, where ``v`` has no other place on the axis.
    """
    if v.type.shape[place.axis] == 1:
        return None
    if v.op.formula is not None:
        return [_of_operand(x, v, place) for x in v.inputs]
    rule = _RULES.get(v.op)
    return rule[0](v, place) if rule else None


def part_of(v: Variable, place: Place, operands: Sequence[Variable]) -> Variable:
    """``v`` at the place, of operands that have been read at theirs."""
    if v.op.formula is not None:
        return node(v.op, operands, v.params)
    return _RULES[v.op][1](v, place, operands)


def _of_operand(x: Variable, v: Variable, place: Place) -> Place | None:
    """The place of an operand that is broadcast as elementwise ones are."""
    if x.ndim < -place.axis:
        return None
    is_stretched = x.type.shape[place.axis] == 1
    return Place(place.axis, At(0)) if is_stretched else place


# --- joins --------------------------------------------------------------------------------------


def _joined_places(v: Variable, place: Place) -> Places | None:
    return None if v.params[0] == v.ndim + place.axis else [place] * len(v.inputs)


def _part_of_joined(v: Variable, place: Place, operands: Sequence[Variable]) -> Variable:
    (axis,) = v.params
    return node(CONCATENATE, operands, (axis - (axis > v.ndim + place.axis),))


# --- products -----------------------------------------------------------------------------------


def _product_places(v: Variable, place: Place) -> Places | None:
    """Of one row, or of one matrix of a stack."""
    x, y = v.inputs
    if place.axis == -1:
        return None
    return [place, None] if place.axis == -2 else [_of_operand(z, v, place) for z in (x, y)]


def _part_of_product(v: Variable, place: Place, operands: Sequence[Variable]) -> Variable:
    x, y = operands
    if place.axis != -2:
        return node(MATMUL, operands)
    axes = list(range(x.ndim))
    product = node(MATMUL, (rearrange(x, [*axes[:-1], None, axes[-1]]), y))
    kept = [axis for axis in range(product.ndim) if axis != product.ndim - 2]
    return rearrange(product, kept)


# --- reductions ---------------------------------------------------------------------------------


def _reduced_places(v: Variable, place: Place) -> Places | None:
    axis = _axis_before(v, place)
    return None if axis in v.params[0] else [Place(axis - v.inputs[0].ndim, *place[1:])]


def _part_of_reduced(v: Variable, place: Place, operands: Sequence[Variable]) -> Variable:
    axes, *others = v.params
    gone = _axis_before(v, place)
    return node(v.op, operands, (tuple(axis - (axis > gone) for axis in axes), *others))


def _axis_before(v: Variable, place: Place) -> int:
    """Which axis of the operand becomes the place's axis of the result."""
    (x,) = v.inputs
    axes = v.params[0]
    is_kept = v.ndim == x.ndim
    kept = [axis for axis in range(x.ndim) if is_kept or axis not in axes]
    return kept[place.axis]


_Rule: TypeAlias = tuple[
    Callable[[Variable, Place], Places | None],
    Callable[[Variable, Place, Sequence[Variable]], Variable],
]
_RULES: dict[object, _Rule] = {
    CONCATENATE: (_joined_places, _part_of_joined),
    MATMUL: (_product_places, _part_of_product),
    **dict.fromkeys(
        (SUM, MAX, MIN, LOGSUMEXP, SOFTMAX, LOG_SOFTMAX), (_reduced_places, _part_of_reduced)
    ),
}

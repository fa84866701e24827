"""Values that are others with their axes moved: how they were moved, and the same done again."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.variable import Variable
from ..ops.broadcast import REARRANGE, rearrange

__all__ = ["axis_among", "move_alike", "rearranged"]


def rearranged(x: Variable, order: Sequence[int | None]) -> Variable:
    """``x`` with its axes in this order, as one rearrangement of what ``x`` is a view of."""
    if x.op is REARRANGE:
        (inner,) = x.params
        return rearrange(x.inputs[0], [None if axis is None else inner[axis] for axis in order])
    return rearrange(x, order)


def move_alike(v: Variable, x: Variable, *, ahead: int = 0) -> Variable:
    """``x`` with its axes moved as ``v`` moves those of what it is a view of.

    ``ahead``: how many axes ``x`` has before them.
    """
    for order in reversed(_orders(v)):
        moved = (None if axis is None else axis + ahead for axis in order)
        x = rearranged(x, [*range(ahead), *moved])
    return x


def axis_among(v: Variable, axis: int) -> int | None:
    """Which axis of ``v`` is this one of what it is a view of; None where it is gone."""
    for order in reversed(_orders(v)):
        if axis not in order:
            return None
        axis = order.index(axis)
    return axis


def _orders(v: Variable) -> list[tuple[int | None, ...]]:
    """How axes were moved, the last time first."""
    orders = []
    while v.op is REARRANGE:
        orders.append(v.params[0])
        v = v.inputs[0]
    return orders

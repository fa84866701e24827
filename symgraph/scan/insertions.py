"""What the step before has put into an operand of a product, though it could go into the product.

``(x_t * s) @ W`` is ``(x_t @ W) * s`` where ``s`` is one and the same all along the axis that the
product adds up; and so with summands, and with choices between arrays.
"""

from __future__ import annotations

from collections.abc import Set

from ..core.variable import Variable
from ..ops.broadcast import BROADCAST_TO, REARRANGE
from ..ops.elementwise import (
    ADD,
    DIVIDE,
    MULTIPLY,
    NEGATIVE,
    SCALE,
    SUBTRACT,
    UNSCALE,
    WHERE,
)
from ..ops.promotion import CAST
from ..ops.sizes import CHECK_SIZE

__all__ = ["Insertions"]

_FORMULAS = {
    (-1, "factor"): "(x * s) @ W is (x @ W) * s",
    (-2, "factor"): "x @ (W * s) is (x @ W) * s",
    (-1, "summand"): "(x + s) @ W is x @ W + s * W.sum(0)",
    (-2, "summand"): "x @ (W + s) is x @ W + x.sum(-1, keepdims=True) * s",
    (-2, "column"): "x @ (W + s) is x @ W + x @ s, for which one column of s is enough",
    (-1, "choice"): "where(c, x, y) @ W is where(c, x @ W, y @ W)",
    (-2, "choice"): "x @ where(c, V, W) is where(c, x @ V, x @ W)",
}


_WORDS = {"factor": "factor", "summand": "summand", "column": "summand", "choice": "condition"}


class Insertions:
    """What is put into an operand, found from the last operation back to what needs no state."""

    def __init__(self, late: Set[Variable], axis: int, *, may_add_columns: bool) -> None:
        self._late, self._side = late, axis
        self._axis: int | None = axis
        """That which is added up, counted from the end of what is looked at; None if it is new."""
        self._columns: int | None = -1 if may_add_columns else None
        """The axis of columns, where summands may be one along that one instead."""
        self._has_factor = False
        """Whether what is found so far is multiplied by numbers that differ along the axis."""
        self._ways: list[str] = []
        self.values: list[tuple[str, Variable]] = []
        """What is put in, the last one first, with what it is."""
        self.early: list[Variable] = []
        """The parts of the operand that need no state."""

    @property
    def formulas(self) -> tuple[str, ...]:
        """What to write instead, for each way in which something is put in."""
        return tuple(_FORMULAS[self._side, way] for way in dict.fromkeys(self._ways))

    @property
    def has_columns(self) -> bool:
        """Whether something stays to be multiplied in the step: a column for a matrix."""
        return "column" in self._ways

    def find(self, operand: Variable) -> bool:
        """Whether all that the operand has of states is put in, and could go into the product."""
        v: Variable | None = self._seen(operand)
        while v is not None and v in self._late:
            below = self._below(v)
            v = None if below is None or self._axis is None else self._seen(below)
        if v is not None:
            self.early.append(v)
        return v is not None and self._axis is not None

    def _seen(self, v: Variable) -> Variable:
        """What is moved or checked alone, as it was before."""
        while v.op in (REARRANGE, CHECK_SIZE):
            if v.op is REARRANGE:
                self._axis = _axis_before(v, self._axis)
                self._columns = _axis_before(v, self._columns)
            v = v.inputs[0]
        return v

    def _below(self, v: Variable) -> Variable | None:
        """The operand into which the operation puts something; None where it does otherwise."""
        if v.op in (NEGATIVE, CAST):
            return v.inputs[0]
        if v.op in (MULTIPLY, SCALE, DIVIDE, UNSCALE):
            return self._put_into(v, "factor")
        if v.op in (ADD, SUBTRACT):
            return self._put_into(v, "summand")
        return self._chosen(*v.inputs) if v.op is WHERE else None

    def _put_into(self, v: Variable, way: str) -> Variable | None:
        first, second = v.inputs
        pairs = (
            [(first, second)] if v.op in (DIVIDE, UNSCALE) else [(first, second), (second, first)]
        )
        for below, value in pairs:
            if value in self._late and (told := self._way_of(value, way)):
                self._put(value, told)
                return below
        for below, value in pairs:
            if value not in self._late:
                self._has_factor |= way == "factor" and not _is_one_along(value, self._axis)
                self.early.append(value)
                return below
        return None

    def _way_of(self, value: Variable, way: str) -> str | None:
        """How the value is put in; None where it differs along the axis."""
        if way == "summand" and self._has_factor:
            return None
        if _is_one_along(value, self._axis):
            return way
        is_column = way == "summand" and _is_one_along(value, self._columns)
        return "column" if is_column else None

    def _chosen(self, condition: Variable, first: Variable, second: Variable) -> Variable | None:
        """Of a choice by what is one along the axis the branch that may need states."""
        below, other = (first, second) if first in self._late else (second, first)
        if condition not in self._late or other in self._late:
            return None
        if not _is_one_along(condition, self._axis):
            return None
        self._put(condition, "choice")
        self.early.append(other)
        return below

    def _put(self, value: Variable, way: str) -> None:
        self.values.append((_WORDS[way], value))
        self._ways.append(way)


def _axis_before(v: Variable, axis: int | None) -> int | None:
    """Which axis, counted from the end, this one was before axes were moved; None if it is new."""
    before = None if axis is None else v.params[0][axis]
    return None if before is None else before - v.inputs[0].ndim


def _is_one_along(v: Variable, axis: int | None) -> bool:
    """Whether all along an axis, counted from the end, there is one value."""
    if axis is None:
        return False
    if v.op is BROADCAST_TO:
        v = v.inputs[0]
    return v.ndim < -axis or v.type.shape[axis] == 1

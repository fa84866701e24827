"""Rows of loops that are written where a result of the program is to lie.

A state's rows stand after its initial one, so a result, which is most of them, would have to be
copied out of there; and so would rows that a result has from the last one on, as gradients have.
Where nobody else reads them, the steps write their rows into the result, forwards or from its end;
the initial row of a state stays apart.
"""

from __future__ import annotations

from typing import NamedTuple

from ....core.dims import Size, maximum_zero, product
from ....core.variable import Variable
from ..analysis.layout import View, is_contiguous
from .loop_rows import Rows, Turns
from .program import Place
from .scope import Scope

__all__ = ["ResultOfRows", "RowsInPlace", "result_of_rows"]


class ResultOfRows(NamedTuple):
    """A result of a scope that is all rows of a loop's, perhaps without a state's initial one."""

    value: Variable
    place: Place
    first: int
    """The first row that is part of it: 1 without the initial one, or else 0."""
    direction: int
    """1, or −1 where the last row comes first."""


def result_of_rows(scope: Scope, x: Variable, depth: int, n: Size) -> ResultOfRows | None:
    """The result that is all that is read of rows, ``x``: so many initial ones and ``n`` more."""
    value = _read_alone(scope, x) if depth <= 1 else None
    if value is None:
        return None
    place, view = scope.copies[value][0], scope.values.views[value]
    (rows, *shape), (stride, *strides) = value.type.shape, view.strides
    row = product(x.type.shape[1:])
    if product(shape) != row or not is_contiguous(shape, strides):
        return None
    if not is_contiguous(value.type.shape, place.strides):
        return None
    for first in range(depth + 1):
        offsets = {1: first * row}
        if _is_read_by_none(scope, value):  # views take rows to lie in the order of steps
            offsets[-1] = (rows - 1 + first) * row
        for direction, offset in offsets.items():
            is_that = view.offset == offset and (stride == direction * row or rows == 1)
            if is_that and maximum_zero(rows - (depth - first)) == n:
                return ResultOfRows(value, place, first, direction)
    return None


def _is_read_by_none(scope: Scope, value: Variable) -> bool:
    """Whether a result is written to one place, and read by nobody in the scope."""
    users = (user for user, _ in scope.graph.users[value])
    return len(scope.copies[value]) == 1 and scope.values.needed.isdisjoint(users)


def _read_alone(scope: Scope, x: Variable) -> Variable | None:
    """The output of the scope, to be copied at its end, by way of which alone ``x`` is read."""
    v, values = x, scope.values
    if v in scope.bases or values.views[v] != View.whole(v):
        return None  # a result is computed where it is to lie first; other rows lie backward
    while v not in scope.copies:
        users = {user for user, _ in scope.graph.users[v] if user in values.needed}
        if v in values.outputs or len(users) != 1:
            return None
        (v,) = users
        if v not in values.views or values.views[v].root is not x:
            return None
    return v if v.type.shape else None


class RowsInPlace(Rows):
    """Rows that stand in a result; before the first step the initial one of a state, apart."""

    def __init__(
        self, scope: Scope, turns: Turns, x: Variable, depth: int, result: ResultOfRows
    ) -> None:
        self._result = result
        super().__init__(scope, turns, x, depth)
        self._stride = result.direction * self._row
        scope.copies[result.value].remove(result.place)

    def _open(self, result: Variable) -> int:
        # Where the first row would lie.
        offset = self._scope.values.views[self._result.value].offset * -self._result.direction
        base = self._scope.assembler.address(self._result.place.base, offset, self._dtype)
        self._scope.bases[result] = base
        return base

    def begin(self, initial: Variable) -> None:
        """Let the first step read the initial row where it lies; it may be part of the result."""
        scope, a = self._scope, self._scope.assembler
        before = self._addresses[-1] = a.slot()
        a.run("address", before, scope.contiguous(initial), a.literal(0), self._dtype.itemsize)
        self._turns.follow(before, self.at(0), self._stride, self._dtype)
        if self._result.first == 0:
            rows = self._result.value.type.shape[0]
            shape = (rows - maximum_zero(rows - 1), *initial.type.shape[1:])
            target = Place(self.base, (self._row, *self._strides))
            scope.builder.copy(scope.place(initial), target, shape, self._dtype)

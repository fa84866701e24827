"""Running products and recurrences as loops, for backends that do not lower them themselves."""

from __future__ import annotations

from ..core.variable import Variable
from ..ops.broadcast import filled, rearrange
from ..ops.comparison import equal
from ..ops.cumulative import CUMPROD, RECURRENCE
from ..ops.elementwise import add, multiply, where
from ..ops.ranges import iota
from ..ops.sizes import shape_of, unified_with
from .build import scan

__all__: list[str] = []


def _expand_cumprod(v: Variable) -> Variable:
    rows = _axis_first(v.inputs[0], v.params[0])
    return _axis_back(scan(multiply, rows, _row_of(1, rows)), v.params[0])


def _expand_recurrence(v: Variable) -> Variable:
    """``s[i] = b[i] + a[i] * s[i - 1]``; the first is ``b[0]``, whatever ``a[0]`` is."""
    added, factors = v.inputs
    factors = _axis_first(unified_with(factors, added, "linear_recurrence"), v.params[0])
    added = _axis_first(added, v.params[0])

    def step(number: Variable, b: Variable, a: Variable, past: Variable) -> Variable:
        return where(equal(number, 0), b, add(b, multiply(a, past)))

    numbers = iota(shape_of(added)[0])
    return _axis_back(scan(step, [numbers, added, factors], _row_of(0, added)), v.params[0])


def _row_of(value: int, rows: Variable) -> Variable:
    return filled(value, rows.dtype, shape_of(rows)[1:])


def _axis_first(x: Variable, axis: int) -> Variable:
    return rearrange(x, [axis, *(i for i in range(x.ndim) if i != axis)])


def _axis_back(x: Variable, axis: int) -> Variable:
    return rearrange(x, [*range(1, axis + 1), 0, *range(axis + 1, x.ndim)])


CUMPROD.attach(expand=_expand_cumprod)
RECURRENCE.attach(expand=_expand_recurrence)

"""A function of rows rebuilt for many rows at once, which are stacked along a new first axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..core import provenance
from ..core.graph import has_effect, rebuild
from ..core.op import Op
from ..core.types import TensorType
from ..core.variable import Variable, node
from ..ops.broadcast import BROADCAST_TO, REARRANGE, SUM, broadcast_to, rearrange
from ..ops.cumulative import CUMPROD, CUMSUM
from ..ops.extremes import MAX, MIN
from ..ops.gather import GATHER, place_of
from ..ops.in_range import IN_RANGE
from ..ops.join import CONCATENATE
from ..ops.reshape import RESHAPE, reshape
from ..ops.sizes import CHECK_SIZE, SIZE, check_size, shape_of
from ..ops.slices import SLICE, read_slice, take_out_indices
from ..ops.softmax import LOG_SOFTMAX, LOGSUMEXP, SOFTMAX
from .close import find_varying

__all__ = ["stacked"]


class _Operand(NamedTuple):
    """What an operand became; of its first axis, where it is stacked, each row has a value."""

    value: Variable
    is_stacked: bool
    ndim: int
    """Of one value."""

    def with_ndim(self, ndim: int) -> Variable:
        """The operand so that it broadcasts with stacked ones of so many axes."""
        if not self.is_stacked or self.ndim >= ndim:
            return self.value
        gap = [None] * (ndim - self.ndim)
        return rearrange(self.value, [0, *gap, *range(1, self.ndim + 1)])


# From a node, its operands and the number of rows; None where there is no way.
Rule = Callable[[Variable, list[_Operand], int | Variable], Variable | None]


def stacked(
    outputs: Sequence[Variable], rows: Mapping[Variable, Variable], *, may_fail: bool = False
) -> list[Variable] | None:
    """The outputs for each row of what stands in place of symbols, stacked, or None.

    ``rows``: for each symbol an array that has along its first axis values for it, all as many.
    None where an op on them has an effect, or no rule here. What does not depend on the symbols is
    the same for all rows. ``may_fail``: what reads at indices, which may be out of range, has
    rules, too. Lines are those of the originals.
    """
    if not rows:
        return None
    n = shape_of(next(iter(rows.values())))[0]
    made = {v: _Operand(x, True, v.ndim) for v, x in rows.items()}
    varying = find_varying(outputs, list(rows)).difference(rows)
    with provenance.hand_on_lines():
        for v in sorted(varying, key=lambda v: v.serial):
            if has_effect(v) or not isinstance(v.type, TensorType):
                return None
            provenance.derive_from(v)
            operands = [made.get(x) or _Operand(x, False, x.ndim) for x in v.inputs]
            if v.op is SIZE:  # which all rows have
                made[v] = _Operand(_size(v, operands), False, 0)
                continue
            is_stacked = any(x.is_stacked for x in operands)
            rule = _rule_of(v, may_fail=may_fail) if is_stacked else _rebuilt
            value = rule(v, operands, n)
            if value is None:
                return None
            made[v] = _Operand(value, is_stacked, v.ndim)
    return [_on_all(made.get(v) or _Operand(v, False, v.ndim), n) for v in outputs]


def _rule_of(v: Variable, *, may_fail: bool) -> Rule:
    if v.op.kind == "elementwise":
        return _elementwise
    rule = _AT_INDICES.get(v.op) if may_fail else None
    return rule or _RULES.get(v.op, lambda *_: None)


def _rebuilt(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable:
    return rebuild(v, [x.value for x in operands])


def _on_all(x: _Operand, n: int | Variable) -> Variable:
    return x.value if x.is_stacked else broadcast_to(x.value, (n, *shape_of(x.value)))


def _elementwise(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable:
    return rebuild(v, [x.with_ndim(v.ndim) for x in operands])


def _reduction(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable:
    (x,) = operands
    axes, *rest = v.params
    moved = axes + 1 if isinstance(axes, int) else tuple(axis + 1 for axis in axes)
    return node(v.op, (x.value,), (moved, *rest))


def _rearrange(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable:
    (order,) = v.params
    return rearrange(operands[0].value, [0, *(a if a is None else a + 1 for a in order)])


def _sizes_of(v: Variable, operands: list[_Operand]) -> list[int | Variable] | None:
    """The sizes that a template of the node means, unless they differ from row to row."""
    x, *symbols = operands
    if not x.is_stacked or any(s.is_stacked for s in symbols):
        return None
    rest = (s.value for s in symbols)
    return [next(rest) if size is None else size for size in v.params[0]]


def _broadcast_to(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable | None:
    sizes = _sizes_of(v, operands)
    return None if sizes is None else broadcast_to(operands[0].with_ndim(v.ndim), (n, *sizes))


def _reshape(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable | None:
    sizes = _sizes_of(v, operands)
    if sizes is None or any(isinstance(size, int) and size < 0 for size in sizes):
        return None
    return reshape(operands[0].value, (n, *sizes))


def _slice(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable | None:
    x, *symbols = operands
    if not x.is_stacked or any(s.is_stacked for s in symbols):
        return None
    return node(SLICE, (x.value, *(s.value for s in symbols)), ((None, *v.params[0]),))


def _concatenate(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable:
    assert CONCATENATE.build is not None
    return CONCATENATE.build([_on_all(x, n) for x in operands], v.params[0] + 1)


def _check_size(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable | None:
    x, other = operands
    axis, other_axis, context = v.params
    value = x.value if x.is_stacked else _on_all(x, n)
    return check_size(value, axis + 1, other.value, other_axis + other.is_stacked, context)


def _size(v: Variable, operands: list[_Operand]) -> Variable:
    (x,), (axis,) = operands, v.params
    return node(SIZE, (x.value,), (axis + x.is_stacked,))


def _gather(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable | None:
    x, *indices = operands
    return None if x.is_stacked else _gathered(x.value, indices, v.params[0])


def _slice_at(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable | None:
    """A slice, perhaps at indices that differ from row to row."""
    x, *symbols = operands
    if x.is_stacked:
        return _slice(v, operands, n)
    part = take_out_indices(v.params[0], symbols, lambda symbol: symbol.is_stacked)
    if part is None:
        return None
    fixed = [symbol.value for symbol in part.symbols]
    return _gathered(read_slice(x.value, part.entries, fixed), part.indices, part.axes)


def _gathered(x: Variable, indices: list[_Operand], axes: tuple[int, ...]) -> Variable:
    """Elements of one array at indices, some of which are stacked."""
    ndim = max(index.ndim for index in indices)
    part = node(GATHER, (x, *(index.with_ndim(ndim) for index in indices)), (axes,))
    place = place_of(axes)
    return rearrange(part, [place, *(axis for axis in range(part.ndim) if axis != place)])


def _in_range(v: Variable, operands: list[_Operand], n: int | Variable) -> Variable | None:
    indices, size = operands
    return None if size.is_stacked else node(IN_RANGE, (indices.value, size.value), v.params)


# Products of matrices have none: for small ones, products one after the other are faster.
_RULES: dict[Op, Rule] = {
    **dict.fromkeys((SUM, MAX, MIN, CUMSUM, CUMPROD, LOGSUMEXP, SOFTMAX, LOG_SOFTMAX), _reduction),
    REARRANGE: _rearrange,
    BROADCAST_TO: _broadcast_to,
    RESHAPE: _reshape,
    SLICE: _slice,
    CONCATENATE: _concatenate,
    CHECK_SIZE: _check_size,
}
_AT_INDICES: dict[Op, Rule] = {GATHER: _gather, SLICE: _slice_at, IN_RANGE: _in_range}

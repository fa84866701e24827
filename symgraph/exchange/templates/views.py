"""Movements of elements in one way of several that come to the same."""

from __future__ import annotations

from typing import Any

from ...core.variable import Variable
from ...ops.slices import SLICE, SYMBOL, At
from ...rewrite import views
from ...rewrite.engine import Rule

__all__ = ["has_same_parameters", "without_detours"]

_RULES: dict[str, tuple[Rule, ...]] = {
    "slice": (views.drop_slice, views.merge_slices),
    "rearrange": (views.merge_rearranges,),
    "reshape": (views.merge_reshapes, views.reshape_axes_of_one),
    "concatenate": (views.merge_concatenates,),
}


def without_detours(v: Variable) -> Variable:
    """The variable as one movement, where it is several one after the other: a part of a part."""
    while True:
        made = (rule.apply(v) for rule in _RULES.get(v.op.name, ()))
        shorter = next((new for new in made if new is not None), None)
        if shorter is None:
            return v
        v = shorter


def has_same_parameters(a: Variable, b: Variable) -> bool:
    """Whether two variables of one op have the same parameters, or such as come to the same."""
    if a.params == b.params:
        return True
    if a.op is not SLICE or a.inputs[0].ndim != b.inputs[0].ndim:
        return False
    sizes = zip(a.inputs[0].type.shape, b.inputs[0].type.shape, strict=True)
    entries = zip(a.params[0], b.params[0], strict=True)
    return all(
        x == y or (m == n and isinstance(m, int) and _places(x, m) == _places(y, m) is not None)
        for (m, n), (x, y) in zip(sizes, entries, strict=True)
    )


def _places(entry: Any, size: int) -> Any:
    """The positions that an entry of an index takes from an axis; None where a symbol tells."""
    if entry is None:
        return range(size)
    if SYMBOL in entry:
        return None
    if isinstance(entry, At):
        index: Any = entry.index
        return range(size)[index] if -size <= index < size else None
    return range(size)[entry.start : entry.stop][:: entry.step]

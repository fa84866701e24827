"""How reductions begin, go on and end: neutral numbers, and totals put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..code.emit import BOOL, Value, constant_text, type_text
from ..maths.vectors import Vectors

__all__ = ["combine", "neutral_text", "reduce_lanes"]


def _least(dtype: np.dtype) -> Any:
    if dtype == BOOL:
        return False
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _greatest(dtype: np.dtype) -> Any:
    if dtype == BOOL:
        return True
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


_ACROSS = {
    ("sum", "f"): "fadd", ("prod", "f"): "fmul", ("sum", "i"): "add", ("sum", "u"): "add",
    ("prod", "i"): "mul", ("prod", "u"): "mul",
}  # fmt: skip

_NEUTRAL: dict[str, Callable[[np.dtype], Any]] = {
    "sum": lambda dtype: 0,
    "prod": lambda dtype: 1,
    "max": _least,
    "min": _greatest,
    "any": lambda dtype: False,
    "all": lambda dtype: True,
}


def neutral_text(kind: str | None, dtype: np.dtype, lanes: int) -> str:
    """What a total of this kind begins with, as a constant."""
    assert kind is not None
    return constant_text(_NEUTRAL[kind](dtype), dtype, lanes)


def combine(m: Vectors, kind: str | None, total: Value, value: Value) -> Value:
    """A total and one more value."""
    if total.dtype == BOOL:
        return m.bit_and(total, value) if kind in ("all", "min", "prod") else m.bit_or(total, value)
    rules = {"sum": m.add, "prod": m.multiply, "max": m.maximum, "min": m.minimum}
    return rules[str(kind)](total, value)


def reduce_lanes(m: Vectors, kind: str | None, total: Value) -> Value:
    """The lanes of a vector reduced to one number, half by half."""
    f = m.function
    name = _ACROSS.get((str(kind), total.dtype.kind))
    if name is not None:
        size = f"v{total.lanes}{'f' if total.dtype.kind == 'f' else 'i'}{8 * total.dtype.itemsize}"
        element = type_text(total.dtype)
        start = f"{element} {constant_text(_NEUTRAL[str(kind)](total.dtype), total.dtype)}, "
        start, flags = (start, "reassoc ") if total.dtype.kind == "f" else ("", "")
        full = f"llvm.vector.reduce.{name}.{size}"
        f.declare(full, f"{element} ({element + ', ' if start else ''}{total.type})")
        return f.value(f"call {flags}{element} @{full}({start}{total.type} {total})", total.dtype)
    while total.lanes > 2:
        lanes = total.lanes // 2
        halves = []
        for start in (0, lanes):
            picks = ", ".join(f"i32 {start + i}" for i in range(lanes))
            kind_text = total.type
            text = f"shufflevector {kind_text} {total}, {kind_text} poison, "
            text += f"<{lanes} x i32> <{picks}>"
            halves.append(f.value(text, total.dtype, lanes))
        total = combine(m, kind, *halves)
    ends = [f.value(f"extractelement {total.type} {total}, i64 {i}", total.dtype) for i in range(2)]
    return combine(m, kind, *ends)

"""What depends on the values of symbols, and not on their sizes alone."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from ..core.variable import Variable
from ..ops.sizes import CHECK_SIZE, SIZE
from .close import find_varying

__all__ = ["find_late", "read_values"]


def find_late(outputs: Sequence[Variable], symbols: Sequence[Variable]) -> set[Variable]:
    """Of what the outputs are made of, the operations that the symbols' values change."""
    varying = sorted(find_varying(outputs, symbols), key=attrgetter("serial"))
    late = set(symbols)
    for v in varying:
        if not late.isdisjoint(read_values(v)):
            late.add(v)
    return late.difference(symbols)


def read_values(v: Variable) -> tuple[Variable, ...]:
    """The operands of which a node reads more than the sizes."""
    return () if v.op is SIZE else v.inputs[:1] if v.op is CHECK_SIZE else v.inputs

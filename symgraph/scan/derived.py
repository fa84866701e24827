"""Which loops nobody wrote: those of gradients, and those of `associative_scan`."""

from __future__ import annotations

import weakref

from ..core.variable import Variable

__all__ = ["GROUPING", "is_derived", "mark_as_derived"]

GROUPING = "associative_scan"
"""The name of the loops that `associative_scan` makes."""
_derived: weakref.WeakSet[Variable] = weakref.WeakSet()


def mark_as_derived(loop: Variable) -> Variable:
    """The loop, known from now on to be nobody's own."""
    _derived.add(loop)
    return loop


def is_derived(loop: Variable) -> bool:
    """Whether it is known so; copies, where something in it was replaced, by their names alone."""
    name = loop.name or ""
    return loop in _derived or name == GROUPING or name.startswith("gradient of ")

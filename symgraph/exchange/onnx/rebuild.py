"""Graphs built again where parts of them have become others."""

from __future__ import annotations

from collections.abc import Sequence

from ...core import provenance
from ...core.variable import Variable, ancestors
from ...scan.op import rebuild_alike

__all__ = ["rebuild_into"]


def rebuild_into(outputs: Sequence[Variable], new: dict[Variable, Variable]) -> None:
    """Add to ``new`` what the outputs become, and all that they are made of, by what is there."""
    for v in ancestors(outputs, new):
        if v in new:
            continue
        inputs = [new[x] for x in v.inputs]
        if tuple(inputs) == v.inputs:
            new[v] = v
            continue
        made = new[v] = rebuild_alike(v, inputs)
        if v.name and made.name is None:
            provenance.set_name(made, v.name)
        provenance.hand_on_all(v, made)

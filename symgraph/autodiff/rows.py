"""Gradients by the states of a loop: the steps that read them count.

A loop hands out its states over time, as rows of a buffer. Within the loop later steps read them,
and a gradient by a state at one time is by all that is made of it, there and outside, as it would
be in a loop of Python's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..core.graph import replace
from ..core.variable import ITEM, Variable
from ..ops.elementwise import add
from ..ops.slices import SLICE

__all__ = ["buffer_of", "buffers_of", "cotangent_of_rows"]


def buffer_of(v: Variable, fixed: Collection[Variable] = ()) -> Variable | None:
    """The buffer that the variable is a slice of, not by way of one that is ``fixed``, or None."""
    while v.op is SLICE and v not in fixed:
        v = v.inputs[0]
    is_buffer = v.op is ITEM and v.inputs[0].op.inner_vjp is not None
    return v if is_buffer and v not in fixed else None


def buffers_of(wrt: Iterable[Variable], fixed: Collection[Variable]) -> dict[Variable, Variable]:
    """For those that are slices of buffers, these buffers."""
    pairs = ((v, buffer_of(v, fixed)) for v in wrt)
    return {v: buffer for v, buffer in pairs if buffer is not None}


def cotangent_of_rows(
    v: Variable, buffer: Variable, cotangents: Mapping[Variable, Any]
) -> Variable | None:
    """The cotangent of a slice of a buffer, from those that arrive at the buffer and its op."""
    (node,) = buffer.inputs
    arriving = cotangents.get(node)
    if arriving is None:
        return None
    assert node.op.inner_vjp is not None
    inner = node.op.inner_vjp(node, tuple(arriving))[buffer.params[0]]
    outer = cotangents.get(buffer)
    parts = [part for part in (outer, inner) if part is not None]
    if not parts:
        return None
    total = add(*parts) if len(parts) == 2 else parts[0]
    return replace([v], {buffer: total})[0]

"""Ops that move elements: other shapes, other orders of axes, repetitions and joins."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.variable import Variable
from .write_sizes import template_vector
from .writer import Value, Writer, writes


@writes("reshape")
def _write_reshape(w: Writer, v: Variable) -> Value:
    x, *symbols = v.inputs
    return reshaped(w, x, v.params[0], symbols)


def reshaped(
    w: Writer, x: Variable, template: Sequence[int | None], symbols: Sequence[Variable]
) -> Value:
    """``x`` in the shape of a template; one unknown size is whatever is left."""
    if template.count(None) == 1 and -1 not in template and 0 not in template:
        template, symbols = [-1 if size is None else size for size in template], []
    shape = template_vector(w, template, symbols)
    if -1 in template:
        return w.emit("Reshape", w.value(x), shape)
    return w.emit("Reshape", w.value(x), shape, allowzero=1)


@writes("broadcast_to")
def _write_broadcast_to(w: Writer, v: Variable) -> Value:
    x, *symbols = v.inputs
    return w.emit("Expand", w.value(x), template_vector(w, v.params[0], symbols))


@writes("rearrange")
def _write_rearrange(w: Writer, v: Variable) -> Value:
    (x,), (order,) = v.inputs, v.params
    value = w.value(x)
    kept = [axis for axis in order if axis is not None]
    dropped = [axis for axis in range(x.ndim) if axis not in kept]
    if dropped:
        value = w.emit("Squeeze", value, w.ints(*dropped))
    ranks = [sorted(kept).index(axis) for axis in kept]
    if ranks != sorted(ranks):
        value = w.emit("Transpose", value, perm=ranks)
    new = [i for i, axis in enumerate(order) if axis is None]
    return w.emit("Unsqueeze", value, w.ints(*new)) if new else value


@writes("concatenate")
def _write_concatenate(w: Writer, v: Variable) -> Value:
    return w.emit("Concat", *w.values(v.inputs), axis=v.params[0])


@writes("check_size")
def _write_check_size(w: Writer, v: Variable) -> Value:
    return w.value(v.inputs[0])

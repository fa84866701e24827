"""Ops that move elements: other shapes, other orders of axes, repetitions, joins; identities."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.dims import Size
from ...core.variable import Variable
from .write_sizes import template_vector
from .writer import Value, Writer, writes


@writes("reshape")
def _write_reshape(w: Writer, v: Variable) -> Value:
    x, *symbols = v.inputs
    return reshaped(w, x, v, v.params[0], symbols)


def reshaped(
    w: Writer,
    x: Variable,
    result: Variable,
    template: Sequence[int | None],
    symbols: Sequence[Variable],
) -> Value:
    """``x`` in the shape of a template, by constants where sizes are those of ``x`` or one is left.

    ONNX takes 0 for the size that ``x`` has on that axis, and -1 for what is left. Where sizes may
    be 0 there is nothing to be left.
    """
    if 0 not in result.type.shape:
        fixed = _fixed_shape(x.type.shape, result.type.shape)
        if fixed is not None:
            return w.emit("Reshape", w.value(x), w.ints(*fixed))
    if all(isinstance(size, int) for size in result.type.shape):
        template = [size for size in result.type.shape if isinstance(size, int)]
    shape = template_vector(w, template, symbols)
    if -1 in template:
        return w.emit("Reshape", w.value(x), shape)
    return w.emit("Reshape", w.value(x), shape, allowzero=1)


def _fixed_shape(old: Sequence[Size], new: Sequence[Size]) -> list[int] | None:
    """The new shape by numbers, with 0 for an old size in its place, and -1 for at most one."""
    unknown = [i for i, size in enumerate(new) if not isinstance(size, int)]
    kept = [i for i in unknown if i < len(old) and old[i] is new[i]]
    left = [i for i in unknown if i not in kept]
    if len(unknown) == 1:
        kept, left = [], unknown
    if len(left) > 1 or (left and kept):
        return None
    return [
        0 if i in kept else -1 if i in left else size if isinstance(size, int) else 0
        for i, size in enumerate(new)
    ]


@writes("broadcast_to")
def _write_broadcast_to(w: Writer, v: Variable) -> Value:
    x, *symbols = v.inputs
    return w.emit("Expand", w.value(x), template_vector(w, v.params[0], symbols))


@writes("rearrange")
def _write_rearrange(w: Writer, v: Variable) -> Value:
    (x,), (order,) = v.inputs, v.params
    return rearranged(w, w.value(x), x.ndim, order)


def rearranged(w: Writer, value: Value, ndim: int, order: Sequence[int | None]) -> Value:
    """The value with its axes in this order; None makes an axis of size 1, those of it may go."""
    kept = [axis for axis in order if axis is not None]
    dropped = [axis for axis in range(ndim) if axis not in kept]
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


@writes("check_size", "in_range", "in_step", "stop_gradient", "clip_gradient")
def _write_first(w: Writer, v: Variable) -> Value:
    """What checks, or acts on gradients, is its first operand."""
    return w.value(v.inputs[0])

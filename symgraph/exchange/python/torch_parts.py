"""How ops on shapes and parts of arrays are written for PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.variable import CONSTANT, Variable
from ...ops.gather import place_of
from ...ops.slices import SYMBOL, At, Span
from .expression import Expression, call, method, subscript, tuple_of
from .table import (
    Entry,
    Unwritable,
    Writer,
    index_of_axes,
    index_text,
    places_of,
    quoted,
    template_of,
)
from .torch_table import torch_dtype

__all__ = ["TORCH_PARTS"]

TORCH_PARTS: dict[str, Entry] = {}


def _entry(name: str):
    def add(function: Entry) -> Entry:
        TORCH_PARTS[name] = function
        return function

    return add


def _sizes(template: Sequence[int | None], symbols: Sequence[Expression]) -> list[Expression]:
    """The sizes of a template, those that data tell as Python ints."""
    whole = [x if x.is_number else call("int", x) for x in symbols]
    return template_of(template, whole)


def _shape(sizes: Sequence[Expression]) -> Expression:
    return tuple_of(sizes) if sizes else Expression("()")


@_entry("reshape")
def _reshape(w: Writer, v: Variable, x: Expression, *symbols: Expression) -> Expression:
    sizes = _sizes(v.params[0], symbols)
    return method(w.strong(x, v.dtype), "reshape", *(sizes or ["()"]))


@_entry("broadcast_to")
def _broadcast_to(w: Writer, v: Variable, x: Expression, *symbols: Expression) -> Expression:
    shape, dtype = _shape(_sizes(v.params[0], symbols)), torch_dtype(v.dtype)
    if x.is_number and v.inputs[0].op is CONSTANT:
        if x.text in ("0.0", "0", "False"):
            return call("torch.zeros", shape, dtype=dtype)
        return call("torch.full", shape, x, dtype=dtype)
    return call("torch.broadcast_to", w.strong(x, v.dtype), shape)


@_entry("rearrange")
def _rearrange(w: Writer, v: Variable, x: Expression) -> Expression:
    (order,) = v.params
    x = w.strong(x, v.dtype)
    kept = [axis for axis in order if axis is not None]
    moved = list(range(v.inputs[0].ndim))
    if kept != sorted(kept):
        moved = kept + [axis for axis in moved if axis not in kept]
        is_matrix = moved == [1, 0]
        x = Expression(f"{x.held()}.T", nodes=x.nodes) if is_matrix else x
        x = x if is_matrix else method(x, "permute", *map(str, moved))
    entries = index_of_axes([None if a is None else moved.index(a) for a in order], len(moved))
    return subscript(x, *entries) if entries else x


@_entry("slice")
def _slice(w: Writer, v: Variable, x: Expression, *symbols: Expression) -> Expression:
    return part_of(x, v.params[0], symbols)


def part_of(
    x: Expression, entries: Sequence[At | Span | None], symbols: Sequence[Expression]
) -> Expression:
    """The part of a tensor that entries mean; PyTorch has no steps backwards."""
    forwards = [
        entry._replace(step=1) if isinstance(entry, Span) and entry.step < 0 else entry
        for entry in entries
    ]
    first, _ = index_text(forwards, _as_ints(entries, symbols))
    x = subscript(x, *first) if first else x
    left = [entry for entry in entries if not isinstance(entry, At)]
    steps = [entry.step if isinstance(entry, Span) else 1 for entry in left]
    flipped = [axis for axis, step in enumerate(steps) if step < 0]
    if flipped:
        x = call("torch.flip", x, str(tuple(flipped)))
    if any(step < -1 for step in steps):
        after, _ = index_text([Span(0, None, -step) if step < -1 else None for step in steps], ())
        x = subscript(x, *after)
    return x


def _as_ints(
    entries: Sequence[At | Span | None], symbols: Sequence[Expression]
) -> list[Expression]:
    """The symbols as Python ints where they are elements: tensors of bytes would be masks."""
    found, rest = [], iter(symbols)
    for entry in entries:
        for edge in entry[:2] if entry is not None else ():
            if edge == SYMBOL:
                x = next(rest)
                is_int = x.is_number or isinstance(entry, Span)
                found.append(x if is_int else call("int", x))
    return found


def _changed(sign: str) -> Entry:
    def entry(
        w: Writer, v: Variable, x: Expression, values: Expression, *symbols: Expression
    ) -> Expression:
        (entries,) = v.params
        if any(isinstance(entry, Span) and entry.step < -1 for entry in entries):
            raise Unwritable("in steps backwards over more than one element")
        forwards = [
            entry._replace(step=1) if isinstance(entry, Span) and entry.step == -1 else entry
            for entry in entries
        ]
        first, _ = index_text(forwards, _as_ints(entries, symbols))
        part = subscript(Expression("{}"), *(first or ["..."]))
        left = [entry for entry in entries if not isinstance(entry, At)]
        flipped = [i for i, entry in enumerate(left) if isinstance(entry, Span) and entry.step < 0]
        if flipped:
            values = call("torch.flip", values, str(tuple(flipped)))
        adding = "|=" if v.dtype == np.bool_ else "+="
        return w.assigned(v, x, (part, adding if sign == "+" else "="), (values, ""))

    return entry


TORCH_PARTS["set_slice"] = _changed("")
TORCH_PARTS["add_slice"] = _changed("+")


def _as_indices(v: Variable, first: int, indices: Sequence[Expression]) -> list[Expression]:
    """Indices as PyTorch takes them; bytes would be masks."""
    return [
        x if x.is_number or u.dtype == np.int64 else method(x, "to", "torch.int64")
        for x, u in zip(indices, v.inputs[first:], strict=True)
    ]


@_entry("gather")
def _gather(w: Writer, v: Variable, x: Expression, *indices: Expression) -> Expression:
    return subscript(x, *places_of(v.params[0], _as_indices(v, 1, indices)))


@_entry("scatter_set")
def _scatter_set(
    w: Writer, v: Variable, x: Expression, values: Expression, *indices: Expression
) -> Expression:
    places = places_of(v.params[0], _as_indices(v, 2, indices))
    return w.assigned(v, x, (subscript(Expression("{}"), *places), "="), (values, ""))


@_entry("scatter_add")
def _scatter_add(
    w: Writer, v: Variable, x: Expression, values: Expression, *indices: Expression
) -> Expression:
    (axes,) = v.params
    found = [w.strong(index, np.dtype("int64")) for index in _as_indices(v, 2, indices)]
    places = str(place_of(axes))
    return call(w.brought("add_at"), x, values, tuple_of(found), str(tuple(axes)), places)


@_entry("concatenate")
def _concatenate(w: Writer, v: Variable, *parts: Expression) -> Expression:
    (axis,) = v.params
    return call("torch.cat", w.listed(parts), **({"dim": str(axis)} if axis else {}))


@_entry("iota")
def _iota(w: Writer, v: Variable, *symbols: Expression) -> Expression:
    template, dtype = v.params
    (length,) = _sizes(template, symbols)
    named = {} if dtype == np.int64 else {"dtype": torch_dtype(dtype)}
    return call("torch.arange", length, **named)


@_entry("windows")
def _windows(w: Writer, v: Variable, x: Expression) -> Expression:
    axis, size, stride, dilation = v.params
    return call(
        w.brought("windows"), x, str(axis), str(size), stride=str(stride), dilation=str(dilation)
    )


@_entry("overlap_add")
def _overlap_add(w: Writer, v: Variable, x: Expression, *symbols: Expression) -> Expression:
    template, axis, stride, dilation = v.params
    (length,) = _sizes(template, symbols)
    return call(
        w.brought("overlap_add"), x, length, str(axis), stride=str(stride), dilation=str(dilation)
    )


@_entry("check_size")
def _check_size(w: Writer, v: Variable, x: Expression, other: Expression) -> Expression:
    axis, other_axis, _ = v.params
    return call(w.brought("same_size"), x, str(axis), other, str(other_axis))


@_entry("in_range")
def _in_range(w: Writer, v: Variable, indices: Expression, size: Expression) -> Expression:
    return call(w.brought("in_range"), w.strong(indices, v.dtype), size, quoted(v.params[0]))


@_entry("searchsorted")
def _searchsorted(w: Writer, v: Variable, ordered: Expression, values: Expression) -> Expression:
    named = {"right": "True"} if v.params[0] == "right" else {}
    return call("torch.searchsorted", ordered, w.strong(values, v.inputs[1].dtype), **named)


@_entry("flat_nonzero")
def _flat_nonzero(w: Writer, v: Variable, mask: Expression, count: Expression) -> Expression:
    return subscript(call("torch.nonzero", mask), ":", "0")


@_entry("polygamma")
def _polygamma(w: Writer, v: Variable, x: Expression) -> Expression:
    return call("torch.polygamma", str(v.params[0]), w.strong(x, v.dtype))


@_entry("random_bits")
def _random_bits(w: Writer, v: Variable, key: Expression, *symbols: Expression) -> Expression:
    template, domain = v.params
    return call(w.brought("random_bits"), key, _shape(_sizes(template, symbols)), str(domain))

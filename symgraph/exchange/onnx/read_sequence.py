"""ONNX's sequences and optional values: tuples of values whose number is known while reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.variable import Variable
from ...ops.join import concatenate, split, stack
from ...ops.shape import expand_dims
from ...ops.sizes import shape_of
from . import library
from .read_node import Node
from .read_registry import reads
from .read_values import Value, as_variable


@dataclass(frozen=True)
class _Rows:
    """The rows of a variable as a sequence whose length is not known while reading."""

    x: Variable
    axis: int
    keeps_axis: bool

    def at(self, place: int) -> Variable:
        """The row at a place, counted from the last one where it is negative."""
        index: list[Any] = [slice(None)] * self.x.ndim
        index[self.axis] = place
        row = self.x[tuple(index)]
        return expand_dims(row, self.axis) if self.keeps_axis else row


def _sequence(node: Node, i: int) -> tuple[Value, ...]:
    value: Any = node.value(i)
    if not isinstance(value, tuple):
        raise node.refusal(f"input {i} is no sequence")
    return value


def _place(node: Node, i: int, size: int, *, after: bool = False) -> int:
    """A known place in a sequence, counted from its first value."""
    place = node.number(i)
    if not -size <= place < size + after:
        raise node.refusal(f"place {place} is not in a sequence of {size}")
    return place % size if size and place < size else place


@reads("SequenceEmpty")
def _empty(node: Node) -> Any:
    return ((),)


@reads("SequenceConstruct")
def _construct(node: Node) -> Any:
    return (tuple(node.value(i) for i in range(len(node.inputs))),)


@reads("SequenceAt")
def _at(node: Node) -> Value:
    rows: Any = node.value(0)
    if isinstance(rows, _Rows):
        return rows.at(node.number(1))
    values = _sequence(node, 0)
    return values[_place(node, 1, len(values))]


@reads("SequenceInsert")
def _insert(node: Node) -> Any:
    values = list(_sequence(node, 0))
    place = _place(node, 2, len(values), after=True) if node.has(2) else len(values)
    values.insert(place, node.value(1))
    return (tuple(values),)


@reads("SequenceErase")
def _erase(node: Node) -> Any:
    values = list(_sequence(node, 0))
    del values[_place(node, 1, len(values)) if node.has(1) else -1]
    return (tuple(values),)


@reads("SequenceLength")
def _length(node: Node) -> Value:
    return np.asarray(len(_sequence(node, 0)), np.int64)


@reads("ConcatFromSequence")
def _concat(node: Node) -> Value:
    values = [as_variable(v, "a value of the sequence") for v in _sequence(node, 0)]
    axis = node.required("axis", int)
    return stack(values, axis) if node.attribute("new_axis", 0) else concatenate(values, axis)


@reads("SplitToSequence")
def _split(node: Node) -> Any:
    x = node.variable(0)
    axis = node.axis(node.attribute("axis", 0), x.ndim)
    size = shape_of(x)[axis]
    if node.has(1) and node.array(1).ndim:
        ends = np.cumsum(node.ints(1))[:-1].tolist()
        return (tuple(split(x, ends, axis)),)
    length = node.number(1) if node.has(1) else 1
    keeps_axis = node.has(1) or bool(node.attribute("keepdims", 1))
    if length < 1:
        raise node.refusal(f"a value of {length} elements is none")
    if not isinstance(size, int):
        if length != 1:
            raise node.refusal("how many values it makes is known for a known size alone")
        return _Rows(x, axis, keeps_axis)
    node.scope.model.budget.read_nodes(size // length)
    parts = split(x, list(range(length, size, length)), axis)
    if not keeps_axis:
        parts = [
            part.reshape([s for i, s in enumerate(shape_of(x)) if i != axis]) for part in parts
        ]
    return (tuple(parts),)


@reads("SequenceMap")
def _map(node: Node) -> Any:
    body = node.required("body", library.onnx.GraphProto)
    values = _sequence(node, 0)
    others: list[Any] = [node.value(i) for i in range(1, len(node.inputs))]
    results = [
        node.run("body", [value, *(o[i] if isinstance(o, tuple) else o for o in others)])
        for i, value in enumerate(values)
    ]
    return tuple(tuple(result[k] for result in results) for k in range(len(body.output)))


# --- optional values ----------------------------------------------------------------------------


@reads("Optional", "OptionalGetElement")
def _optional(node: Node) -> Any:
    value: Any = node.value(0)
    return (value,) if isinstance(value, tuple) else value


@reads("OptionalHasElement")
def _has_element(node: Node) -> Value:
    return np.asarray(node.has(0))

"""One order for what a nest computes, however old its nodes are.

Nodes come in the order in which they were made, and those that an earlier program had as well are
older than the others. So outputs are sorted by what is computed for them, and all else comes in the
order in which the outputs lead to it: equal nests have one kernel, in all processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any
from zlib import crc32

from .nest import Nest, Operation, Output, Reference
from .nest_shape import moves_of
from .numbers import is_told

__all__ = ["in_order"]


def in_order(nest: Nest) -> Nest:
    """The nest with its inputs, operations and outputs in the one order."""
    keys = _Keys(nest)
    outputs = sorted(nest.outputs, key=keys.of_output) if len(nest.outputs) > 1 else nest.outputs
    inputs: dict[int, int] = {}
    operations: dict[int, int] = {}
    for i in _order((output.value for output in outputs), nest.operations, inputs):
        operations[i] = len(operations)

    def renamed(reference: Reference) -> Reference:
        kind, *what = reference
        if kind == "input":
            return ("input", inputs[what[0]])
        return ("operation", operations[what[0]]) if kind == "operation" else reference

    def moved(operation: Operation) -> Operation:
        return operation._replace(arguments=tuple(map(renamed, operation.arguments)))

    return Nest(
        nest.space,
        nest.reduced,
        [nest.inputs[i] for i in inputs],
        [moved(nest.operations[i]) for i in operations],
        [Output(o.access, renamed(o.value), o.kind) for o in outputs],
    )


def _order(
    references: Iterable[Reference], operations: list[Operation], inputs: dict[int, int]
) -> Iterable[int]:
    """The numbers of the operations in the order in which these references lead to them; the inputs
    are numbered in theirs."""
    done: set[int] = set()
    stack = [(reference, False) for reference in references][::-1]
    while stack:
        reference, is_ready = stack.pop()
        kind, what, *_ = reference
        if kind == "input":
            inputs.setdefault(what, len(inputs))
        elif kind == "operation" and what not in done:
            if is_ready:
                done.add(what)
                yield what
            else:
                stack.append((reference, True))
                stack += [(x, False) for x in reversed(operations[what].arguments)]


class _Keys:
    """Numbers that tell apart what is computed, the same in all processes."""

    def __init__(self, nest: Nest) -> None:
        self._inputs = [_key(x.dtype.str, moves_of(x.strides)) for x in nest.inputs]
        self._operations: list[int] = []
        for operation in nest.operations:
            arguments = [self._of(x, operation) for x in operation.arguments]
            what = _key(_written_at(operation.formula), repr(operation.params))
            key = hash((what, *arguments))
            self._operations.append(key)

    def of_output(self, output: Output) -> tuple[int, int]:
        """The key of an output."""
        access = output.access
        place = _key(str(output.kind), access.dtype.str + moves_of(access.strides))
        return self._of(output.value, None), place

    def _of(self, reference: Reference, operation: Operation | None) -> int:
        kind, what, *rest = reference
        if kind == "input":
            return self._inputs[what]
        if kind == "operation":
            return self._operations[what]
        is_number = operation is not None and is_told(operation, reference)
        return _key(rest[0].str, "" if is_number else what.hex())


def _written_at(formula: Callable[..., Any]) -> str:
    """Where a formula stands in the source, which is the same in all processes."""
    code = getattr(formula, "__code__", None)
    return f"{formula.__module__} {code.co_firstlineno}" if code else repr(type(formula))


@lru_cache(maxsize=1024)
def _key(name: str, text: str) -> int:
    return crc32(f"{name} {text}".encode())

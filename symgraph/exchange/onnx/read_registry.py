"""The registry of what reads which op of ONNX.

A module that reads ops fills the registry, and `read_tables` imports it::

    @reads("Relu")
    def _relu(node: Node) -> Value:
        return relu(node.variable(0))

    @reads("LSTM")
    def _lstm(node: Node) -> tuple[Value, ...]:     # one value for each output, from the first on
        ...

The key is (domain, op_type), the standard's own domain being ``""``; `reads` takes ``domain=``.
What it is given is a `Node` (`read_node`): the inputs as values (`read_values`), the attributes,
the version of the op set. It returns one value or a tuple of values. A subgraph of the node, such
as the attribute ``body``, runs by ``node.run("body", values)`` in a scope below, so that it sees
the names around it; a local function's body runs in a scope of its own, and is opened at each call.
What is refused is ``raise node.refusal("why", remedy="what to do")``; errors of symgraph's own,
such as sizes that do not agree, become refusals by themselves.

`calculates` registers beside that what becomes of integers of which some are symbols (`Sizes`);
its functions return None where they leave a node to its reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from .read_node import Node
from .read_values import Value

__all__ = ["calculates", "calculations", "readers", "reads"]

Reader: TypeAlias = Callable[[Node], Value | tuple[Value | None, ...]]
_R = TypeVar("_R", bound="Value | tuple[Value, ...] | None")

_READERS: dict[tuple[str, str], Reader] = {}
_CALCULATIONS: dict[tuple[str, str], Callable[[Node], Value | tuple[Value, ...] | None]] = {}


def reads(*op_types: str, domain: str = "") -> Callable[[Reader], Reader]:
    """A decorator for the function that reads nodes of these ops."""

    def register(reader: Reader) -> Reader:
        for op_type in op_types:
            _READERS[domain, op_type] = reader
        return reader

    return register


def calculates(
    *op_types: str,
) -> Callable[[Callable[[Node], _R]], Callable[[Node], _R]]:
    """A decorator for what these ops of the standard's own make of integers that are known."""

    def register(calculation: Callable[[Node], _R]) -> Callable[[Node], _R]:
        for op_type in op_types:
            _CALCULATIONS["", op_type] = calculation
        return calculation

    return register


def readers() -> Mapping[tuple[str, str], Reader]:
    """What is read, by domain and op."""
    return _READERS


def calculations() -> Mapping[tuple[str, str], Callable[[Node], Any]]:
    """What is calculated of integers, by domain and op."""
    return _CALCULATIONS

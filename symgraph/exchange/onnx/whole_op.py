"""An op of ONNX as a node of a graph, where an expression of several nodes was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...core import provenance
from ...core.errors import SymgraphError
from ...core.op import Op
from ...core.types import TensorType
from ...core.variable import Variable, node
from ..templates.parts import Place

__all__ = ["WHOLE", "builds", "placed", "whole"]

# An op of ONNX: what it is called there, its attributes, and the type of its result.
WHOLE = Op(
    "whole",
    lambda inputs, op_type, attributes, type: type,
    params=("op_type", "attributes", "type"),
    title=lambda op_type, attributes, type: op_type,
    traits=frozenset({"traced"}),
)


def whole(
    op_type: str, inputs: Sequence[Variable], type: TensorType, **attributes: Any
) -> Variable:
    """The node of an op of ONNX."""
    return node(WHOLE, tuple(inputs), (op_type, tuple(sorted(attributes.items())), type))


def placed(v: Variable, operands: Sequence[Variable], make: Callable[..., Variable]) -> Place:
    """A place that keeps the lines of what stood there."""

    def made(inputs: Sequence[Variable]) -> list[Variable]:
        result = make(*inputs)
        provenance.hand_on_all(v, result)
        return [result]

    return Place(operands, made)


def builds(v: Variable, function: Callable[..., Variable], *arguments: Any, **named: Any) -> bool:
    """Whether a function builds the very same variable from these arguments."""
    try:
        return function(*arguments, **named) is v
    except SymgraphError:
        return False

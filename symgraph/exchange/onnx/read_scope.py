"""The reader of graphs: nodes in a scope of names, each by what the registry has for its op."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import ExchangeError, SymgraphError
from ...core.graph import ancestors
from ...core.shared import SharedVariable
from ...core.types import TensorType
from ...core.variable import Variable
from .read_bounds import check_growth
from .read_node import Model, Node, Place, Refusal, plain_domain
from .read_registry import calculations, readers
from .read_values import Sizes, Value, as_value, is_number

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto

__all__ = ["Scope"]


@dataclass
class Scope:
    """The values by name that a graph sees: its own, and those of the graph around it."""

    model: Model
    opsets: Mapping[str, int]
    parent: Scope | None = None
    attributes: Mapping[str, AttributeProto] = field(default_factory=dict)
    """Those of the call of the function whose body this is."""
    path: str = ""
    """What stands before the names of parameters, in a body that has some of its own."""
    place: Place = ()
    values: dict[str, Value | None] = field(default_factory=dict)
    """The values by name; None for an input of a function that is not given at its call."""

    def look_up(self, name: str) -> Value | None:
        """The value of a name, or None where the name is that of an input that is not given."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        raise ExchangeError.here(
            f"the ONNX model uses {name!r}, which nothing before it makes",
            remedy="onnx.checker.check_model tells what else is wrong with the file.",
        )

    def read(self, name: str) -> Value:
        """The value of a name."""
        value = self.look_up(name)
        if value is None:
            raise ExchangeError.here(f"the ONNX model uses {name!r}, which is not given")
        return value

    def run(self, graph: GraphProto, values: Sequence[Value], *place: str) -> list[Value]:
        """The outputs of a subgraph on the values of its inputs, in a scope below this one."""
        place = (*self.place, *place)
        inner = Scope(self.model, self.opsets, self, self.attributes, self.path, place)
        if len(values) != len(graph.input):
            raise ExchangeError.here(
                f"a graph of {len(graph.input)} inputs is given {len(values)} values"
            )
        for declared, value in zip(graph.input, values, strict=True):
            inner.values[declared.name] = value
        inner.read_graph(graph)
        return [inner.read(result.name) for result in graph.output]

    def read_graph(self, graph: GraphProto) -> None:
        """Let the scope have the values of all initialisers and nodes of the graph."""
        tensors: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        tensors |= {tensor.values.name: tensor for tensor in graph.sparse_initializer}
        for name, tensor in tensors.items():
            self.values[name] = self.model.initialiser(tensor, self.place, self.path + name)
        self.read_nodes(graph.node)

    def read_nodes(self, nodes: Iterable[NodeProto]) -> None:
        """Let the scope have the outputs of the nodes, which stand in order."""
        for proto in nodes:
            self.model.budget.read_nodes()
            node = Node(proto, self)
            for name, value in zip(proto.output, _results_of(node), strict=False):
                if name and value is not None:
                    self.values[name] = value


def _results_of(node: Node) -> tuple[Value | None, ...]:
    """The values of a node's outputs; whatever fails is a refusal that names the node."""
    function = node.scope.model.functions.get((node.domain, node.op_type))
    reader = readers().get((node.domain, node.op_type))
    if function is not None:
        return tuple(_call(function, node))
    if reader is None:
        raise node.refusal("there is no such op in symgraph's table")
    try:
        node.check_inputs()
        results = _calculated(node)
        if results is None:
            results = reader(node)
        values = _evaluated(node, results if isinstance(results, tuple) else (results,))
        values = tuple(None if value is None else as_value(value) for value in values)
        for value in values:
            check_growth(value)
        return values
    except ExchangeError as error:
        raise _named(error, node) from error.__cause__
    except SymgraphError as error:
        raise node.refusal(str(error)) from error
    except Exception as error:  # of a node that makes no sense in a way that nothing looked for
        raise node.refusal(f"it cannot be read: {type(error).__name__}: {error}") from error


def _calculated(node: Node) -> Value | tuple[Value, ...] | None:
    """What becomes of integers of which some are symbols; None where the node has others."""
    calculation = calculations().get((node.domain, node.op_type))
    if calculation is None or not any(isinstance(v, Sizes) or is_number(v) for v in node.inputs):
        return None
    return calculation(node)


def _named(error: ExchangeError, node: Node) -> ExchangeError:
    """The error, which tells of a node: this one if of none so far."""
    return error if isinstance(error, Refusal) else node.refusal(str(error))


def _call(function: FunctionProto, node: Node) -> list[Value]:
    """The outputs of a local function at a node that calls it."""
    attributes = {a.name: a for a in function.attribute_proto}
    attributes |= node.attributes
    opsets = {plain_domain(o.domain): o.version for o in function.opset_import}
    path = f"{node.scope.path}{node.name}." if node.name else node.scope.path
    place = (*node.scope.place, node.key)
    inner = Scope(node.scope.model, opsets, None, attributes, path, place)
    given = [*node.inputs, *[None] * len(function.input)]
    inner.values.update(zip(function.input, given, strict=False))
    inner.read_nodes(function.node)
    return [inner.read(name) for name in function.output]


# --- what is known ------------------------------------------------------------------------------


def _evaluated(node: Node, results: tuple[Value | None, ...]) -> tuple[Value | None, ...]:
    """The results, as arrays where all inputs are known."""
    if not node.inputs or node.has_graphs:
        return results
    if not all(value is None or isinstance(value, np.ndarray) for value in node.inputs):
        return results
    return tuple(_value_of(r) if isinstance(r, Variable) else r for r in results)


# More elements than shapes, axes and tables have stay an expression, which costs no memory.
_MOST_EVALUATED = 1 << 16


def _value_of(v: Variable) -> Value:
    """The value of a variable that depends on constants alone, if it and all it takes is small."""
    if not all(map(_is_small, ancestors(v))):
        return v
    return np.asarray(v.eval(backend="numpy"))


def _is_small(v: Variable) -> bool:
    """Whether a value is small; one of shared variables, as random numbers are, is none at all."""
    if isinstance(v, SharedVariable) or not isinstance(v.type, TensorType):
        return False
    sizes = [size for size in v.type.shape if isinstance(size, int)]
    return len(sizes) == v.ndim and math.prod(sizes) <= _MOST_EVALUATED

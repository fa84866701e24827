"""Whether the names in a model make sense, whatever its ops are.

In each graph a name is defined once, and before it is used: by an input, an initialiser or a node
of the graph, or by a graph around it. Local functions do not call themselves, and do not call one
another so often that a small file has more nodes than can be read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from ...core.errors import ExchangeError
from .limits import MAX_DEPTH, MAX_NODES

if TYPE_CHECKING:
    from onnx import (
        FunctionProto,
        GraphProto,
        ModelProto,
        NodeProto,
        SparseTensorProto,
        TensorProto,
    )

__all__ = ["FunctionKey", "check_names", "functions_of", "tensors_of"]

FunctionKey: TypeAlias = tuple[str, str]
"""Domain and name; the standard domain is ""."""


# --- local functions ----------------------------------------------------------------------------


def functions_of(proto: ModelProto) -> dict[FunctionKey, FunctionProto]:
    """The local functions of a model by domain and name.

    Raises `ExchangeError` where two are the same, one calls itself, they call each other too deep,
    or the model has too many nodes with each call written out.
    """
    functions: dict[FunctionKey, FunctionProto] = {}
    for function in proto.functions:
        key = _plain(function.domain), function.name
        if key in functions:
            raise ExchangeError.here(f"the model has two local functions {function.name!r}")
        functions[key] = function
    calls = {key: list(_calls(function.node, functions)) for key, function in functions.items()}
    numbers: dict[FunctionKey | None, int] = {None: 0}
    depths: dict[FunctionKey | None, int] = {None: 0}
    for key in _callees_first(calls):
        numbers[key] = _count(calls[key], numbers)
        depths[key] = 1 + max((depths[callee] for callee in calls[key]), default=0)
        if depths[key] > MAX_DEPTH:
            raise ExchangeError.here(
                f"local functions of the model call each other more than {MAX_DEPTH} deep"
            )
    if _count(_calls(proto.graph.node, functions), numbers) > MAX_NODES:
        raise ExchangeError.here(
            f"the model has more than {MAX_NODES} nodes, those of its local functions counted at "
            "each call"
        )
    return functions


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _calls(
    nodes: Iterable[NodeProto], functions: Mapping[FunctionKey, FunctionProto]
) -> Iterator[FunctionKey | None]:
    """For each node the local function that it calls, or None."""
    for node in _all_nodes(nodes):
        key = _plain(node.domain), node.op_type
        yield key if key in functions else None


def _count(calls: Iterable[FunctionKey | None], numbers: Mapping[FunctionKey | None, int]) -> int:
    """How many nodes these are, up to one more than may be."""
    return min(sum(1 + numbers[key] for key in calls), MAX_NODES + 1)


def _callees_first(calls: Mapping[FunctionKey, list[FunctionKey | None]]) -> list[FunctionKey]:
    """The functions in an order in which each comes after those that it calls."""
    callees = {key: {callee for callee in called if callee} for key, called in calls.items()}
    callers: dict[FunctionKey, list[FunctionKey]] = {key: [] for key in calls}
    for key, called in callees.items():
        for callee in called:
            callers[callee].append(key)
    missing = {key: len(called) for key, called in callees.items()}
    ready = deque(key for key, number in missing.items() if number == 0)
    order: list[FunctionKey] = []
    while ready:
        key = ready.popleft()
        order.append(key)
        for caller in callers[key]:
            missing[caller] -= 1
            if missing[caller] == 0:
                ready.append(caller)
    if len(order) < len(calls):
        name = next(key[1] for key in calls if missing[key])
        raise ExchangeError.here(
            f"the model's local function {name!r} calls itself, by way of others or not"
        )
    return order


# --- graphs -------------------------------------------------------------------------------------


def check_names(graph: GraphProto, functions: Iterable[FunctionProto]) -> None:
    """Raise `ExchangeError` where a name is defined twice, or not before it is used."""
    _check_body(_Body.of_graph(graph, None))
    for function in functions:
        _check_body(_Body.of_function(function))


def _check_body(body: _Body) -> None:
    bodies = [body]
    while bodies:
        body = bodies[-1]
        body.define_results()
        node = next(body.nodes, None)
        if node is None:
            body.check_outputs()
            bodies.pop()
        else:
            body.enter(node)
            bodies += [_Body.of_graph(graph, body) for graph in _graphs_of(node)]


class _Body:
    """A graph, or the body of a function, up to the node that is looked at."""

    def __init__(self, label: str, nodes: Iterable[NodeProto], outer: _Body | None) -> None:
        self.label = label
        self.nodes = iter(nodes)
        self.outer = outer
        self.names: set[str] = set()
        self.outputs: list[str] = []
        self.node: NodeProto | None = None
        """The node whose results are defined once its own graphs have been looked at."""

    @classmethod
    def of_graph(cls, graph: GraphProto, outer: _Body | None) -> _Body:
        """The graph with its inputs and initialisers; the default of an input has its name."""
        body = cls(f"graph {graph.name!r}", graph.node, outer)
        body._define(declared.name for declared in graph.input)
        inputs = set(body.names)
        initialisers = [tensor.name for tensor in graph.initializer]
        initialisers += [tensor.values.name for tensor in graph.sparse_initializer]
        body.names -= inputs.intersection(initialisers)
        body._define(initialisers)
        body.names |= inputs
        body.outputs = [declared.name for declared in graph.output]
        return body

    @classmethod
    def of_function(cls, function: FunctionProto) -> _Body:
        """The body of a function, which sees its inputs alone."""
        body = cls(f"function {function.name!r}", function.node, None)
        body._define(function.input)
        body.outputs = list(function.output)
        return body

    def enter(self, node: NodeProto) -> None:
        """Look at a node: what it takes is there."""
        self.node = node
        for name in node.input:
            if name:
                self._check_defined(name, f"node {node.name!r} ({node.op_type})")

    def define_results(self) -> None:
        """Define what the node gives that was looked at last."""
        if self.node is not None:
            self._define(name for name in self.node.output if name)

    def check_outputs(self) -> None:
        """Raise `ExchangeError` unless there is everything that goes out."""
        for name in self.outputs:
            self._check_defined(name, "an output")

    def _define(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.names:
                raise ExchangeError.here(f"{self.label} of the model defines {name!r} twice")
            self.names.add(name)

    def _check_defined(self, name: str, user: str) -> None:
        body: _Body | None = self
        while body is not None:
            if name in body.names:
                return
            body = body.outer
        raise ExchangeError.here(
            f"{self.label} of the model: {user} uses {name!r}, which nothing before it defines",
            remedy="A model's nodes stand in the order in which they can be computed.",
        )


# --- what a model consists of -------------------------------------------------------------------


def tensors_of(proto: ModelProto) -> Iterator[TensorProto | SparseTensorProto]:
    """The tensors of a model: initialisers, and values of attributes."""
    bodies = [proto.graph.node, *(function.node for function in proto.functions)]
    yield from proto.graph.initializer
    yield from proto.graph.sparse_initializer
    for function in proto.functions:
        for default in function.attribute_proto:
            yield default.t
    for nodes in bodies:
        for node in _all_nodes(nodes):
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                if attribute.HasField("sparse_tensor"):
                    yield attribute.sparse_tensor
                yield from attribute.tensors
                yield from attribute.sparse_tensors
            for graph in _graphs_of(node):
                yield from graph.initializer
                yield from graph.sparse_initializer


def _all_nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """The nodes, and those of graphs in them."""
    pending = [iter(nodes)]
    while pending:
        node = next(pending[-1], None)
        if node is None:
            pending.pop()
        else:
            yield node
            pending += [iter(graph.node) for graph in _graphs_of(node)]


def _graphs_of(node: NodeProto) -> list[GraphProto]:
    graphs: list[GraphProto] = []
    for attribute in node.attribute:
        if attribute.HasField("g"):
            graphs.append(attribute.g)
        graphs += attribute.graphs
    return graphs

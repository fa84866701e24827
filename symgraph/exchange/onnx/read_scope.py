"""The reader of graphs: nodes in a scope of names, and the registry of what reads which op.

A module that reads ops fills the registry, and `read_tables` imports it::

    @reads("Relu")
    def _relu(node: Node) -> Value:
        return relu(node.variable(0))

    @reads("LSTM")
    def _lstm(node: Node) -> tuple[Value, ...]:     # one value for each output, from the first on
        ...

The key is (domain, op_type), the standard's own domain being ``""``; `reads` takes ``domain=``.
What it is given is a `Node`: the inputs as values (`read_values`), the attributes, the version of
the op set. It returns one value or a tuple of values. A subgraph of the node, such as the attribute
``body``, runs by ``node.run("body", values)`` in a scope below, so that it sees the names around
it; a local function's body runs in a scope of its own, and is opened at each call. What is refused
is ``raise node.refusal("why", remedy="what to do")``; errors of symgraph's own, such as sizes that
do not agree, become refusals by themselves.

`calculates` registers beside that what becomes of integers of which some are symbols (`Sizes`);
its functions return None where they leave a node to its reader.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from ...core.errors import ExchangeError, SymgraphError
from ...core.graph import ancestors
from ...core.shared import SharedVariable
from ...core.types import TensorType
from ...core.variable import Variable
from ...ops.random import Stream
from ...ops.sizes import shape_of
from . import library
from .limits import MAX_AXES, Budget
from .read_bounds import check_growth
from .read_values import (
    Parameter,
    Sizes,
    Value,
    as_entries,
    as_value,
    as_variable,
    dtype_of,
    is_number,
)

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto

__all__ = [
    "Model",
    "Node",
    "Place",
    "Refusal",
    "Scope",
    "calculates",
    "plain_domain",
    "readers",
    "reads",
]

Reader = Callable[["Node"], Value | tuple[Value | None, ...]]
_T = TypeVar("_T")
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


def plain_domain(domain: str) -> str:
    """The domain, which has two names for the standard's own."""
    return "" if domain == "ai.onnx" else domain


Place: TypeAlias = tuple[str, ...]
"""Where a graph stands in a model: the nodes around it, and which of their graphs."""


# --- scopes -------------------------------------------------------------------------------------


@dataclass
class Model:
    """What all scopes of a model share."""

    functions: Mapping[tuple[str, str], FunctionProto]
    initialiser: Callable[[Any, Place, str], Value]
    """The value of a tensor of a graph, which may become a shared variable under the name."""
    array: Callable[[Any], np.ndarray]
    """The elements of a tensor."""
    budget: Budget
    """What may still be spent on reading: a small file can ask for much."""

    @cached_property
    def stream(self) -> Stream:
        """Where nodes without a seed of their own draw."""
        return Stream(0)


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
    reader = _READERS.get((node.domain, node.op_type))
    if function is not None:
        return tuple(_call(function, node))
    if reader is None:
        raise node.refusal("there is no such op in symgraph's table")
    try:
        node.check_inputs()
        results = _calculated(node)
        if results is None:
            results = reader(node)
        values = node.evaluated(results if isinstance(results, tuple) else (results,))
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
    calculation = _CALCULATIONS.get((node.domain, node.op_type))
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


class Refusal(ExchangeError):
    """An `ExchangeError` that names the node."""


# --- nodes --------------------------------------------------------------------------------------


class Node:
    """One node of a graph: its inputs as values, its attributes, and where it stands."""

    def __init__(self, proto: NodeProto, scope: Scope) -> None:
        self.proto = proto
        self.scope = scope
        self.op_type, self.domain = proto.op_type, plain_domain(proto.domain)
        self.name = proto.name
        self.inputs = [scope.look_up(name) if name else None for name in proto.input]
        self.attributes = self._attributes()

    def _attributes(self) -> dict[str, AttributeProto]:
        """The attributes by name; those that refer to the function's call are filled in."""
        found: dict[str, AttributeProto] = {}
        for attribute in self.proto.attribute:
            if attribute.ref_attr_name:
                given = self.scope.attributes.get(attribute.ref_attr_name)
                if given is not None:
                    found[attribute.name] = given
            else:
                found[attribute.name] = attribute
        return found

    @property
    def version(self) -> int:
        """The version of the op set that the node's domain has here."""
        return self.scope.opsets.get(self.domain, 1)

    @property
    def label(self) -> str:
        """The op and the node for messages."""
        op = f"{self.domain}.{self.op_type}" if self.domain else self.op_type
        name = self.name or next((f"-> {o}" for o in self.proto.output if o), "")
        return f"{op} ({name})" if name else op

    def refusal(self, reason: str, *, remedy: str | None = None) -> ExchangeError:
        """The error that says why this node is not read."""
        return Refusal.here(f"ONNX {self.label}: {reason}", remedy=remedy)

    @property
    def key(self) -> str:
        """What tells the node from the others of its graph: its first result."""
        return next((name for name in self.proto.output if name), "")

    def run(self, name: str, values: Sequence[Value] = ()) -> list[Value]:
        """The outputs of a subgraph, an attribute of this node, for the values of its inputs."""
        graph = self.required(name, library.onnx.GraphProto)
        return self.scope.run(graph, values, self.key, name)

    # --- attributes -----------------------------------------------------------------------------

    def attribute(self, name: str, default: _T, *, kind: type | None = None) -> _T:
        """The attribute, or the default; it has the default's type, or the one given.

        Texts are str, several numbers or texts a list, tensors NumPy arrays, graphs GraphProtos.
        """
        if name not in self.attributes:
            return default
        value = plain_attribute(self.attributes[name], self.scope.model.array)
        wanted = kind or (type(default) if default is not None else None)
        if wanted is float and isinstance(value, int):
            return float(value)  # pyright: ignore[reportReturnType]
        if wanted is not None and not isinstance(value, wanted):
            raise self.refusal(f"attribute {name!r} is {value!r}, which is no {wanted.__name__}")
        return value

    def required(self, name: str, kind: type[_T]) -> _T:
        """The attribute, which the op cannot do without."""
        value = self.attribute(name, None, kind=kind)
        if value is None:
            raise self.refusal(f"attribute {name!r} is missing")
        return value

    def allow_only(self, **values: Any) -> None:
        """Refuse attributes that have another value than this one, which is the only one read."""
        for name, allowed in values.items():
            found = self.attribute(name, allowed)
            if found != allowed:
                raise self.refusal(f"{name}={found!r} is not read; {allowed!r} is")

    def positive(self, name: str) -> int:
        """The attribute, a number of at least 1."""
        number = self.required(name, int)
        if number < 1:
            raise self.refusal(f"{name} is at least 1, not {number}")
        return number

    # --- inputs ---------------------------------------------------------------------------------

    def check_inputs(self) -> None:
        """Refuse another number of inputs than the standard gives the op."""
        try:
            schema = library.onnx.defs.get_schema(self.op_type, self.version, self.domain)
        except library.onnx.defs.SchemaError:  # what the installed onnx does not know
            return
        least, most, found = schema.min_input, schema.max_input, len(self.inputs)
        if not least <= found <= most:
            wanted = f"{least} to {most}" if most > least else f"{least}"
            raise self.refusal(f"it takes {wanted} inputs; found {found}")

    def sizes_of(self, x: Variable, *axes: str) -> tuple[int | Variable, ...]:
        """The sizes of an array that has these axes."""
        if x.ndim != len(axes):
            raise self.refusal(f"it takes [{', '.join(axes)}]; found {x.type}")
        return shape_of(x)

    def has(self, i: int) -> bool:
        """Whether an input is given."""
        return i < len(self.inputs) and self.inputs[i] is not None

    def value(self, i: int) -> Value:
        """An input in whatever form it is known."""
        value = self.inputs[i] if i < len(self.inputs) else None
        if value is None:
            raise self.refusal(f"input {i} is missing")
        return value

    def variable(self, i: int) -> Variable:
        """An input as a variable."""
        return as_variable(self.value(i), f"input {i}")

    def variables(self) -> list[Variable]:
        """All inputs as variables."""
        return [self.variable(i) for i in range(len(self.inputs))]

    def optional(self, i: int) -> Variable | None:
        """An input as a variable, or None where it is not given."""
        return self.variable(i) if self.has(i) else None

    def dtype(self, i: int) -> np.dtype:
        """The dtype of an input."""
        return dtype_of(self.value(i))

    def known(self, i: int) -> np.ndarray | None:
        """The elements of an input, or None where they are not known before the call."""
        value = self.value(i)
        if isinstance(value, Parameter):
            return value.array
        return value if isinstance(value, np.ndarray) else None

    def array(self, i: int) -> np.ndarray:
        """The elements of an input, which have to be known."""
        known = self.known(i)
        if known is None:
            raise self.unknown(i)
        return known

    def ints(self, i: int) -> list[int]:
        """The integers of an input, a vector or a scalar, which have to be known."""
        return [int(v) for v in self.array(i).reshape(-1)]

    def sizes(self, i: int) -> list[int | Variable]:
        """The integers of an input, a vector or a scalar, of which some may be symbols."""
        entries = as_entries(self.value(i))
        if entries is None:
            raise self.unknown(i)
        return list(entries.reshape(-1))

    def size(self, i: int) -> int | Variable:
        """The integer of an input of one element, which may be a symbol."""
        sizes = self.sizes(i)
        if len(sizes) != 1:
            raise self.refusal(f"input {i} is one number; it has {len(sizes)}")
        return sizes[0]

    def number(self, i: int) -> int:
        """The integer of an input of one element, which has to be known."""
        known = self.ints(i)
        if len(known) != 1:
            raise self.refusal(f"input {i} is one number; it has {len(known)}")
        return known[0]

    def shape(self, i: int) -> list[int | Variable]:
        """The integers of an input where some numbers, such as -1, are no sizes.

        What comes out of data is refused, since nothing tells whether it is one of those.
        """
        if isinstance(self.value(i), Variable):
            raise self.unknown(i)
        sizes = self.sizes(i)
        if len(sizes) > MAX_AXES:
            raise self.refusal(f"a shape of {len(sizes)} axes is not read")
        return sizes

    def unknown(self, i: int) -> ExchangeError:
        """The error for an input whose elements have to be known, and says how to give them."""
        name = self.proto.input[i]
        return self.refusal(
            f"the values of its input {name!r} have to be known when the model is read",
            remedy=f"If {name!r} is an input of the model, give them: known={{{name!r}: array}}; "
            "else those of the inputs from which it is computed.",
        )

    def axis(self, axis: int, ndim: int) -> int:
        """An axis counted from the first one."""
        if not -ndim <= axis < ndim:
            raise self.refusal(f"axis {axis} is not among {ndim} axes")
        return axis % ndim

    def axes_from(self, axis: int, ndim: int) -> tuple[int, ...]:
        """The axes from one on, of which there may be none."""
        return tuple(range(self.axis(axis, ndim) if axis != ndim else ndim, ndim))

    # --- outputs --------------------------------------------------------------------------------

    def wants(self, i: int) -> bool:
        """Whether the model names an output."""
        return i < len(self.proto.output) and bool(self.proto.output[i])

    def evaluated(self, results: tuple[Value | None, ...]) -> tuple[Value | None, ...]:
        """The results, as arrays where all inputs are known."""
        if not self.inputs or self.attributes_have_graphs:
            return results
        if not all(value is None or isinstance(value, np.ndarray) for value in self.inputs):
            return results
        return tuple(_evaluated(r) if isinstance(r, Variable) else r for r in results)

    @property
    def attributes_have_graphs(self) -> bool:
        return any(a.HasField("g") or len(a.graphs) for a in self.attributes.values())


# More elements than shapes, axes and tables have stay an expression, which costs no memory.
_MOST_EVALUATED = 1 << 16


def _evaluated(v: Variable) -> Value:
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


def plain_attribute(attribute: AttributeProto, array: Callable[[Any], np.ndarray]) -> Any:
    """The value of an attribute: a number, text, array or graph, or a list of them."""
    value = library.onnx.helper.get_attribute_value(attribute)
    kinds = library.onnx.AttributeProto
    if attribute.type == kinds.STRING:
        return value.decode("utf-8", "replace")
    if attribute.type == kinds.STRINGS:
        return [text.decode("utf-8", "replace") for text in value]
    if attribute.type in (kinds.TENSOR, kinds.SPARSE_TENSOR):
        return array(value)
    if attribute.type in (kinds.INTS, kinds.FLOATS, kinds.GRAPHS, kinds.TENSORS):
        return list(value)
    return value

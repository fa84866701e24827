"""One node of an ONNX model while it is read: its inputs as values, and its attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np

from ...core.errors import ExchangeError
from ...core.variable import Variable
from ...ops.random import Stream
from ...ops.sizes import shape_of
from . import library
from .limits import MAX_AXES, Budget
from .read_values import Parameter, Value, as_entries, as_variable, dtype_of

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto

__all__ = ["Model", "Node", "Place", "Refusal", "Surroundings", "plain_domain"]

_T = TypeVar("_T")

Place: TypeAlias = tuple[str, ...]
"""Where a graph stands in a model: the nodes around it, and which of their graphs."""


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


class Surroundings(Protocol):
    """What a node sees of the graph that it stands in."""

    model: Model
    opsets: Mapping[str, int]
    attributes: Mapping[str, AttributeProto]
    path: str
    place: Place

    def look_up(self, name: str) -> Value | None:
        """The value of a name, or None where the name is that of an input that is not given."""
        ...

    def read(self, name: str) -> Value:
        """The value of a name."""
        ...

    def run(self, graph: GraphProto, values: Sequence[Value], *place: str) -> list[Value]:
        """The outputs of a subgraph on the values of its inputs."""
        ...


class Refusal(ExchangeError):
    """An `ExchangeError` that names the node."""


class Node:
    """One node of a graph: its inputs as values, its attributes, and where it stands."""

    def __init__(self, proto: NodeProto, scope: Surroundings) -> None:
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

    @property
    def has_graphs(self) -> bool:
        """Whether it has graphs of its own, which see more than its inputs."""
        return any(a.HasField("g") or len(a.graphs) for a in self.attributes.values())


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


def plain_domain(domain: str) -> str:
    """The domain, which has two names for the standard's own."""
    return "" if domain == "ai.onnx" else domain

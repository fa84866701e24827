"""What writes one graph of ONNX: names, values, constants and nodes, and graphs within the graph.

A rule for an op is a function ``rule(w, v)`` of a `Writer` and a node, entered by `writes`; it
writes nodes of ONNX with `Writer.emit` and returns the result as a `Value`, or a list of values for
an op with several results. The operands' values are ``w.value(x)``, constants ``w.constant(array)``
and ``w.ints(2, 3)``, sizes as vectors in `write_sizes`.

A graph within a graph (of Scan, Loop or If) is written by ``w.inner()``: names are unique over the
whole model, and what has no entry in the inner writer is looked for in the outer one. The
parameters of a loop's body are given with `Writer.define`, then `Writer.write` writes what the
body's outputs need, and `Writer.graph` makes the attribute. A local function is written by
``w.apart()``, which sees nothing around it, and has its constants as nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ...core import provenance
from ...core.dims import Dim
from ...core.errors import ExchangeError, explain
from ...core.graph import Graph
from ...core.op import OPS, Op
from ...core.types import TensorType
from ...core.variable import CONSTANT, ITEM, Variable, ancestors
from ...ops.sizes import is_size
from ...ops.slices import Entry
from . import library
from .needed import names_read, needed_nodes
from .write_dtypes import BOOLEAN, TYPED, stand_in

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, NodeProto, TensorProto, ValueInfoProto

__all__ = [
    "Model",
    "Part",
    "Rule",
    "Value",
    "Writer",
    "declared",
    "declared_alike",
    "rule_for",
    "tensor_code",
    "writes",
    "writes_formulas",
]

_INT64 = np.dtype("int64")


class Value(NamedTuple):
    """A value of the graph that is written: its name there, and its dtype."""

    name: str
    dtype: np.dtype


Rule: TypeAlias = Callable[["Writer", Variable], "Value | Sequence[Value]"]
Part: TypeAlias = tuple[Value, Sequence[Entry]]
"""A value, and the entries by which it gives a part of another one."""
PartRule: TypeAlias = Callable[[Sequence[Entry]], "Part | None"]
_rules: dict[Op, Rule] = {}


def writes(*ops: str) -> Callable[[Rule], Rule]:
    """A decorator that makes a function the rule for these ops."""

    def decorate(rule: Rule) -> Rule:
        for name in ops:
            _rules[OPS[name]] = rule
        return rule

    return decorate


_formulas: list[Rule] = []


def writes_formulas(rule: Rule) -> Rule:
    """A decorator that makes a function the rule for all elementwise ops without their own."""
    _formulas.append(rule)
    return rule


def rule_for(op: Op) -> Rule | None:
    """The rule that writes an op, or None where there is none."""
    own = _rules.get(op)
    return _formulas[0] if own is None and op.formula is not None and _formulas else own


@dataclass
class Model:
    """What all graphs of a model share."""

    opset: int
    names: set[str] = field(default_factory=set)
    """The names of all values, those within graphs included."""
    initialisers: list[TensorProto] = field(default_factory=list)
    constants: dict[tuple[Any, ...], Value] = field(default_factory=dict)
    """The constants, by what they hold."""
    constant_nodes: list[NodeProto] = field(default_factory=list)
    """Those that are nodes: readers take arrays of floats among the initialisers for weights."""
    known: dict[str, np.ndarray] = field(default_factory=dict)
    """The constants by their names."""
    functions: dict[tuple[str, str], FunctionProto] = field(default_factory=dict)
    """The local functions by domain and name."""
    bodies: dict[tuple[str, str, Graph], str] = field(default_factory=dict)
    """The names of the functions that composites are calls of, by domain, name and body."""
    domains: dict[str, int] = field(default_factory=dict)
    """The versions of other domains than that of ONNX itself."""

    def unique(self, wanted: str) -> str:
        """The name, with a number where it is taken; it is taken then."""
        name, number = wanted, 0
        while name in self.names:
            number += 1
            name = f"{wanted}_{number}"
        self.names.add(name)
        return name


class Writer:
    """The nodes of one graph as they are written, and what its variables are called there."""

    def __init__(
        self, model: Model, program: Graph, outer: Writer | None = None, *, is_apart: bool = False
    ) -> None:
        self.model = model
        self.program = program
        """The graph of which this is written: it tells who reads what."""
        self.outer = outer
        self.is_apart = is_apart
        self.nodes: list[NodeProto] = []
        self.wanted: dict[Variable, str] = {}
        """Names, taken already, that variables are to have, where they can have them."""
        self._memo: dict[Any, Value] = {}
        self._values: dict[Variable, Value | Sequence[Value]] = {}
        self._parts: dict[Variable, tuple[PartRule, Callable[[], Value]]] = {}
        self._constants: dict[tuple[Any, ...], Value] = {} if is_apart else model.constants

    def inner(self, program: Graph | None = None) -> Writer:
        """The writer of a graph within this one, which sees this one's values: of another program,
        such as a loop's body, or of a part of this one's."""
        inner = Writer(self.model, program or self.program, self, is_apart=self.is_apart)
        inner._constants = dict(self._constants) if self.is_apart else self._constants
        return inner

    def apart(self, program: Graph | None = None) -> Writer:
        """The writer of a graph that sees nothing of this one: of a local function."""
        return Writer(self.model, program or Graph([], []), is_apart=True)

    # --- variables ------------------------------------------------------------------------------

    def define(self, variable: Variable, value: Value | Sequence[Value]) -> None:
        """Let a variable be this value, or a tuple these values."""
        self._values[variable] = value

    def value(self, variable: Variable) -> Value:
        """The value of a variable, which is written where it was put off until it is asked for."""
        found = self.find(variable)
        if found is None and (owner := self._owner_of_parts(variable)) is not None:
            found = owner._values[variable] = owner._parts[variable][1]()
        if found is None:
            self._write_all(ancestors([variable]))
            found = self.find(variable)
        assert isinstance(found, Value), variable
        return found

    def define_parts(self, variable: Variable, part: PartRule, whole: Callable[[], Value]) -> None:
        """Let parts of a variable be other values, where ``part`` knows of one; the variable itself
        is the value of ``whole``, which is called once it is asked for."""
        self._parts[variable] = part, whole

    def part(self, variable: Variable, entries: Sequence[Entry]) -> Part:
        """A value, and the entries by which it gives the part of the variable."""
        owner = self._owner_of_parts(variable)
        found = owner._parts[variable][0](entries) if owner is not None else None
        return found or (self.value(variable), entries)

    def _owner_of_parts(self, variable: Variable) -> Writer | None:
        writer: Writer | None = self
        while writer is not None and variable not in writer._parts:
            writer = writer.outer
        return writer

    def values(self, variables: Iterable[Variable]) -> list[Value]:
        """The values of the variables."""
        return [self.value(v) for v in variables]

    def find(self, variable: Variable) -> Value | Sequence[Value] | None:
        """The value of a variable, or None where it is not written yet."""
        writer: Writer | None = self
        while writer is not None:
            found = writer._values.get(variable)
            if found is not None:
                return found
            writer = writer.outer
        return None

    def write(self, outputs: Iterable[Variable]) -> None:
        """Write all that the outputs need, but for sizes: they are written where they are read."""
        self._write_all(v for v in ancestors(outputs) if not is_size(v))

    def _write_all(self, variables: Iterable[Variable]) -> None:
        for v in variables:
            if self.find(v) is None and self._owner_of_parts(v) is None:
                self._write(v)

    def _write(self, v: Variable) -> None:
        if v.op is CONSTANT:
            self._values[v] = self.constant(v.params[0].array)
            return
        if v.op is ITEM:
            results = self.find(v.inputs[0])
            assert not isinstance(results, Value | None)
            self._values[v] = results[v.params[0]]
            return
        rule = rule_for(v.op)
        if rule is None:
            raise self.refusal(v, "ONNX has nothing for it, and symgraph no way to say it in ONNX")
        start = len(self.nodes)
        self._values[v] = rule(self, v)
        self._rename(v, start)

    def _rename(self, v: Variable, start: int) -> None:
        """Give a value, whose own node was written last, the name that is wanted for it."""
        value = self._values[v]
        wanted = self.wanted.get(v)
        if not (wanted or v.name) or len(self.nodes) <= start or not isinstance(value, Value):
            return
        if [*self.nodes[-1].output] != [value.name] or value in self._memo.values():
            return
        name = wanted or self.model.unique(v.name or "")
        self.nodes[-1].output[0] = name
        self._values[v] = Value(name, value.dtype)

    def expanded(self, v: Variable) -> Value:
        """The value of a node as its op's expansion into others has it."""
        assert v.op.expand is not None
        expansion = v.op.expand(v)
        self.write([expansion])
        return self.value(expansion)

    def refusal(self, v: Variable, why: str, *, remedy: str | None = None) -> ExchangeError:
        """The error for a node that cannot be written, with the user's line."""
        line = provenance.nearest_line(v) or provenance.user_line()
        what = f"{v.op.title_of(v.params)} cannot go out to ONNX: {why}"
        remedy = remedy or f"Say it by other ops: sg.export_onnx(…, lower={{{v.op.name!r}: rule}})."
        return ExchangeError(explain(what, line=line, remedy=remedy))

    def once(self, key: Any, make: Callable[[], Value]) -> Value:
        """What was made under the key in this graph or one around it; else it is made now."""
        writer: Writer | None = self
        while writer is not None:
            if key in writer._memo:
                return writer._memo[key]
            writer = writer.outer
        made = self._memo[key] = make()
        return made

    def alike(self) -> Writer:
        """A writer of the same nodes, for which variables may be other values than for this."""
        other = Writer(self.model, self.program, self, is_apart=self.is_apart)
        other.nodes, other._constants = self.nodes, self._constants
        return other

    # --- constants ------------------------------------------------------------------------------

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """A constant array, the same value for equal ones."""
        array = np.asarray(array, dtype)
        key = (array.dtype, array.shape, array.tobytes())
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = self._new_constant(array)
        return found

    def _new_constant(self, array: np.ndarray) -> Value:
        name = self.model.unique("constant")
        self.model.known[name] = array
        tensor = library.onnx.numpy_helper.from_array(
            np.ascontiguousarray(array).reshape(array.shape), name
        )
        is_like_weights = array.ndim > 0 and array.dtype.kind == "f"
        if not (self.is_apart or is_like_weights):
            self.model.initialisers.append(tensor)
            return Value(name, array.dtype)
        nodes = self.nodes if self.is_apart else self.model.constant_nodes
        nodes.append(library.onnx.helper.make_node("Constant", [], [name], value=tensor))
        return Value(name, array.dtype)

    def initialiser(self, array: np.ndarray, name: str) -> Value:
        """An array with a name of its own, even where another one is equal."""
        name = self.model.unique(name)
        self.model.initialisers.append(library.onnx.numpy_helper.from_array(array, name))
        return Value(name, array.dtype)

    def known(self, value: Value) -> np.ndarray | None:
        """The array of a constant, None for any other value."""
        return self.model.known.get(value.name)

    def ints(self, *numbers: int) -> Value:
        """A constant vector of int64, as ONNX takes axes and sizes."""
        return self.constant(np.array(numbers, _INT64))

    def number(self, number: float, dtype: np.dtype) -> Value:
        """A constant scalar."""
        return self.constant(np.array(number, dtype))

    # --- nodes ----------------------------------------------------------------------------------

    def emit(
        self,
        op_type: str,
        *inputs: Value | None,
        dtype: np.dtype | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> Value:
        """The one result of a new node; of the first operand's dtype where no other is given.

        Where onnxruntime does not run the op for the
        operands' dtype, they are converted to one for which it does, and the result is converted
        back.
        """
        given = [x for x in inputs if x is not None]
        dtype = dtype or given[0].dtype
        typed = [i for i in TYPED.get(op_type, range(len(inputs))) if i < len(inputs)]
        operand = next((x.dtype for i in typed if (x := inputs[i]) is not None), dtype)
        other = None if domain else stand_in(op_type, operand)
        if other is None:
            return self.emit_several(op_type, inputs, [dtype], domain=domain, **attributes)[0]
        converted = [
            self.cast(x, other) if i in typed and x is not None else x for i, x in enumerate(inputs)
        ]
        result = other if dtype == operand and op_type not in BOOLEAN else dtype
        (value,) = self.emit_several(op_type, converted, [result], **attributes)
        return self.cast(value, dtype)

    def emit_several(
        self,
        op_type: str,
        inputs: Sequence[Value | None],
        dtypes: Sequence[np.dtype | None],
        *,
        exactly: Sequence[str] = (),
        domain: str = "",
        **attributes: Any,
    ) -> list[Value]:
        """The results of a new node, of these dtypes; None for a result that is left out.

        ``exactly``: the names of the results, which are taken already.
        """
        outputs = exactly or [
            "" if dtype is None else self.model.unique(op_type.lower()) for dtype in dtypes
        ]
        node = library.onnx.helper.make_node(
            op_type,
            ["" if x is None else x.name for x in inputs],
            outputs,
            domain=domain or None,
            **attributes,
        )
        self.nodes.append(node)
        return [
            Value(output, dtype or np.dtype(bool))
            for output, dtype in zip(outputs, dtypes, strict=True)
        ]

    def cast(self, x: Value, dtype: np.dtype) -> Value:
        """The value converted as C does; itself where it has the dtype."""
        if x.dtype == dtype:
            return x
        return self.emit_several("Cast", [x], [dtype], to=tensor_code(dtype))[0]

    def graph(
        self,
        name: str,
        inputs: Sequence[ValueInfoProto],
        outputs: Sequence[ValueInfoProto],
        initialisers: Sequence[TensorProto] = (),
    ) -> GraphProto:
        """The graph of what was written and its outputs need, with these ends, which `declared`
        makes."""
        nodes = needed_nodes(self.nodes, [output.name for output in outputs])
        if initialisers:
            ends = (*inputs, *outputs)
            read = names_read(nodes).union(end.name for end in ends)
            initialisers = [tensor for tensor in initialisers if tensor.name in read]
        return library.onnx.helper.make_graph(nodes, name, inputs, outputs, initialisers)

    def fresh(self, dtype: np.dtype, name: str = "value") -> Value:
        """A value of a new name: an input of a graph within this one, or of a function."""
        return Value(self.model.unique(name), dtype)

    def function(
        self, domain: str, name: str, inputs: Sequence[Value], outputs: Sequence[Value]
    ) -> None:
        """Make a local function of what was written and its outputs need, with these ends."""
        self.model.domains.setdefault(domain, 1)
        helper = library.onnx.helper
        versions = {"": self.model.opset, **self.model.domains}
        self.model.functions[domain, name] = helper.make_function(
            domain,
            name,
            [x.name for x in inputs],
            [x.name for x in outputs],
            needed_nodes(self.nodes, [x.name for x in outputs]),
            [helper.make_opsetid(*entry) for entry in versions.items()],
        )


def tensor_code(dtype: np.dtype) -> int:
    """The number that ONNX has for a dtype."""
    return library.onnx.helper.np_dtype_to_tensor_dtype(dtype)


def declared(name: str, type: TensorType) -> ValueInfoProto:
    """An input or output of a graph: named sizes by their names, sizes without one left open."""
    shape: list[int | str | None] = []
    for size in type.shape:
        is_name = isinstance(size, Dim) and size.is_name
        shape.append(str(size) if is_name else size if isinstance(size, int) else None)
    return library.onnx.helper.make_tensor_value_info(name, tensor_code(type.dtype), shape)


def declared_alike(value: Value, *, is_scalar: bool = False) -> ValueInfoProto:
    """An input or output of a graph whose sizes are left open; of none where it is a scalar."""
    shape = () if is_scalar else None
    return library.onnx.helper.make_tensor_value_info(value.name, tensor_code(value.dtype), shape)

"""Composites as ONNX has them: each call is one node, of a local function of the model.

Equal bodies of one name are one function, on whatever they are called. What a function reads, such
as a layer's weights, it is given: it sees nothing of the graph around it.
"""

from __future__ import annotations

from itertools import count

from ...core.types import TupleType
from ...core.variable import Variable
from ...ops.composite import body_of, input_names_of, name_of_composite
from .graph_ends import GraphEnds
from .modules import domain_of
from .writer import Model, Value, Writer, writes


@writes("composite")
def _write_composite(w: Writer, v: Variable) -> Value | list[Value]:
    domain = domain_of(v)
    name = w.model.bodies.get((domain, name_of_composite(v), body_of(v)))
    if name is None:
        name = _new_name(w.model, domain, name_of_composite(v))
        w.model.bodies[domain, name_of_composite(v), body_of(v)] = name
        _write_function(w, v, domain, name)
    types = v.type.items if isinstance(v.type, TupleType) else (v.type,)
    values = w.emit_several(name, w.values(v.inputs), [t.dtype for t in types], domain=domain)
    return values if isinstance(v.type, TupleType) else values[0]


def _new_name(model: Model, domain: str, wanted: str) -> str:
    names = (f"{wanted}_{number}" if number else wanted for number in count())
    return next(name for name in names if (domain, name) not in model.functions)


def _write_function(w: Writer, v: Variable, domain: str, name: str) -> None:
    body = body_of(v)
    inner = w.apart(body)
    inputs: list[Value] = []
    for symbol, label in zip(body.inputs, input_names_of(v), strict=True):
        inputs.append(inner.fresh(symbol.dtype, label or "input"))
        inner.define(symbol, inputs[-1])
    inner.write(body.outputs)
    ends = GraphEnds(inner)
    outputs = [ends.add(inner.value(output), output.type) for output in body.outputs]
    inner.function(domain, name, inputs, outputs)

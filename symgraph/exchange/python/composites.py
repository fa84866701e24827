"""Composites as calls of functions by their names."""

from __future__ import annotations

from ...core.variable import Variable
from ...ops.composite import input_names_of
from .expression import Expression, call
from .function import FunctionWriter

__all__ = ["write_composite"]


def write_composite(w: FunctionWriter, v: Variable) -> None:
    """Write a call of a composite's function, with names for its results where it has several."""
    operands = [w.use(x) for x in v.inputs]
    names = [
        own or (x.text if x.is_name else "value")
        for own, x in zip(input_names_of(v), operands, strict=True)
    ]
    body = w.program.composite_body(v)
    function = w.program.inner_function(body, names, tuple(x.is_number for x in operands))
    made = call(function.name, *operands).computing(v)
    if len(body.outputs) == 1:
        w.bind(v, made)
        return
    items = {item.params[0]: item for item in w.readers(v)}
    targets = ["_"] * len(body.outputs)
    for i, item in items.items():
        wanted = w.program.names.get(item) or f"result_{i}"
        targets[i] = w.unique(wanted, item, made.nodes)
        w.expressions[item] = Expression(targets[i])
    w.say_value(f"{', '.join(targets)} = ", made)
    w.finish(*made.nodes)

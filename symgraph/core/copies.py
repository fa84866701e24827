"""Copies and pickles of variables: graphs as flat lists, so that nothing recurses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import provenance
from .errors import SymgraphError
from .op import Op
from .variable import Variable, ancestors, node

__all__ = ["copy_deeply", "dump", "load"]


def dump(variables: Sequence[Variable]) -> tuple[list[Any], list[Any], list[int], dict[int, Any]]:
    """The graph below variables as flat lists, so that pickle does not recurse; see `load`."""
    order = ancestors(variables)
    position = {v: i for i, v in enumerate(order)}
    records: list[Any] = []
    for v in order:
        if type(v) is not Variable:  # a shared variable, which pickles by itself
            records.append(v)
        else:
            records.append((v.op, tuple(position[x] for x in v.inputs), v.params, v.name))
    places = [v.places for v in order]
    notes = {i: dict(v.notes) for i, v in enumerate(order) if v.notes and type(v) is Variable}
    return records, places, [position[v] for v in variables], notes


def load(
    records: list[Any],
    places: list[Any],
    positions: list[int],
    notes: Mapping[int, Any] | None = None,
) -> list[Variable]:
    """The variables that `dump` wrote down."""
    made: list[Variable] = []
    for record, written in zip(records, places, strict=True):
        if isinstance(record, Variable):
            made.append(record)
            continue
        op, inputs, params, name = record
        variable = _load_node(op, [made[i] for i in inputs], params)
        _label(variable, name, written)
        made.append(variable)
    for position, of_variable in (notes or {}).items():
        provenance.carry_notes(of_variable, made[position])
    return [made[position] for position in positions]


def _label(variable: Variable, name: str | None, places: provenance.Places) -> None:
    provenance.add_places(variable, places)
    if name is not None:
        provenance.set_name(variable, name)


def _load_node(op: Op, inputs: Sequence[Variable], params: tuple[Any, ...]) -> Variable:
    try:
        return node(op, inputs, params)
    except SymgraphError:
        # A size that depends on data is another unknown in another process, so that a loop's body
        # may not fit what it is given: made again, it does.
        if op.build is None:
            raise
        return op.build(inputs, *params)


def copy_deeply(self: Variable, memo: dict[int, Any]) -> Variable:
    """The variable over copies of its shared variables; itself where it has none."""
    order = ancestors([self])
    copies: dict[Variable, Variable] = {}
    for v in order:
        if type(v) is not Variable:
            copies[v] = copy.deepcopy(v, memo)
        else:
            inputs = tuple(copies[x] for x in v.inputs)
            copies[v] = v if inputs == v.inputs else _load_node(v.op, inputs, v.params)
            _label(copies[v], v.name, v.places)
            if v.notes:
                provenance.carry_notes(copy.deepcopy(dict(v.notes), memo), copies[v])
    memo[id(self)] = copies[self]
    return copies[self]


def _load_one(*dumped: Any) -> Variable:
    return load(*dumped)[0]


def _reduce(self: Variable) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return _load_one, dump([self])


# Attached here, for what makes copies makes variables.
Variable.__reduce__ = _reduce
Variable.__deepcopy__ = copy_deeply

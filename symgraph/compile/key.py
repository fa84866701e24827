"""A name for a program that is the same in every process: what a cache on disk looks it up by.

Equal keys mean equal programs: ops, how they hang together, parameters, types, constants, and the
names and lines of loops, which reports show. What inputs are called, the values of shared
variables, and the order in which the parts were built do not matter.
"""

from __future__ import annotations

import hashlib
import marshal
import os
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..core.dims import PRIMITIVE, Atom, Dim
from ..core.graph import Graph
from ..core.leaf import Constant
from ..core.op import Op
from ..core.provenance import lines_of
from ..core.types import TensorType
from ..core.variable import Variable
from ..scan.op import is_scan

__all__ = ["program_key"]

_PACKAGE = __name__.partition(".")[0]


class _NoKeyError(Exception):
    """A part of the program that is a name only in this process."""


def program_key(graph: Graph, *options: Any) -> str | None:
    """The key of a graph that is compiled with these options; None for a program without one.

    A program with an op of the user's own has none: the same name may be another op tomorrow.
    """
    try:
        content = _Encoder().graph(graph)
        text = marshal.dumps((_source(), options, content), 2)
    except (_NoKeyError, ValueError):
        return None
    return hashlib.blake2b(text, digest_size=20).hexdigest()


@lru_cache(maxsize=1)
def _source() -> tuple[Any, ...]:
    """What tells this version of symgraph, edited or not, from others."""
    package = Path(__file__).parent.parent
    found = []
    for folder, _, names in sorted(os.walk(package)):
        for name in sorted(names):
            if name.endswith(".py"):
                state = os.stat(os.path.join(folder, name))
                found.append((name, state.st_size, state.st_mtime_ns))
    return __version__, np.__version__, tuple(found)


class _Encoder:
    """Programs as nested tuples of numbers, strings and bytes."""

    def __init__(self) -> None:
        self._bodies: dict[Graph, int] = {}
        self._unknown: dict[Atom, int] = {}
        self._params: dict[Any, Any] = {}

    def graph(self, graph: Graph) -> tuple:
        """The nodes in the order in which the outputs lead to them, and the outputs."""
        position = {v: i for i, v in enumerate(graph.inputs)}
        inputs = tuple(self._type(v.type) for v in graph.inputs)
        nodes = []
        for v in _order(graph.outputs, position):
            if not _is_own(v.op):
                raise _NoKeyError
            operands = tuple([position[x] for x in v.inputs])
            shown = (v.name, *map(tuple, lines_of(v))) if is_scan(v) else ()
            nodes.append((v.op.name, operands, self._param(v.params), *shown))
            position[v] = len(position)
        return inputs, tuple(nodes), tuple(position[v] for v in graph.outputs)

    def _param(self, value: Any) -> Any:
        kind = type(value)
        if kind in (int, str, bool, bytes) or value is None:
            return value
        key = (kind, value)
        found = self._params.get(key)
        if found is None:
            found = self._params[key] = self._encoded(value)
        return found

    def _encoded(self, value: Any) -> Any:
        if isinstance(value, tuple):
            parts = map(self._param, value)
            return tuple(parts) if type(value) is tuple else (type(value).__name__, *parts)
        if isinstance(value, np.dtype):
            return value.str
        if isinstance(value, Constant):
            return value.key
        if isinstance(value, Dim):
            return self._size(value)
        if isinstance(value, TensorType):
            return self._type(value)
        if isinstance(value, Graph):
            return self._body(value)
        if is_dataclass(value):
            parts = (self._param(getattr(value, field.name)) for field in fields(value))
            return (type(value).__name__, *parts)
        raise _NoKeyError

    def _body(self, body: Graph) -> tuple:
        number = self._bodies.get(body)
        if number is not None:
            return ("body", number)
        number = self._bodies[body] = len(self._bodies)
        return ("body", number, self.graph(body))

    def _type(self, type: Any) -> tuple:
        return (type.dtype.str, *map(self._param, type.shape))

    def _size(self, size: Dim) -> tuple:
        return tuple(
            (factor, *(self._atom(atom) for atom in monomial)) for monomial, factor in size.terms
        )

    def _atom(self, atom: Atom) -> tuple:
        kind, *parts = atom
        if kind in PRIMITIVE and kind != "name":
            return (kind, self._unknown.setdefault(atom, len(self._unknown)))
        return (kind, *map(self._param, parts))


@cache
def _is_own(op: Op) -> bool:
    """Whether the op is one of symgraph's, whose rules go with its version."""
    rules = (op.infer, op.evaluate, op.formula, op.expand, op.build)
    return all(_package_of(rule) == _PACKAGE for rule in rules if rule is not None)


def _package_of(rule: Any) -> str:
    while isinstance(rule, partial):
        rule = rule.func
    return getattr(rule, "__module__", "").partition(".")[0]


def _order(outputs: Sequence[Variable], given: dict[Variable, int]) -> list[Variable]:
    """What the outputs are made of, operands first, however old the variables are."""
    order: list[Variable] = []
    seen = set(given)
    stack = [(v, False) for v in reversed(outputs)]
    while stack:
        v, is_ready = stack.pop()
        if is_ready:
            order.append(v)
        elif v not in seen:
            seen.add(v)
            stack.append((v, True))
            stack += [(x, False) for x in reversed(v.inputs) if x not in seen]
    return order

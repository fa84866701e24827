"""A name for a program that is the same in every process: what a cache on disk looks it up by.

Equal keys mean equal programs. A key is the hash of

- what symgraph, NumPy and SciPy are (`_source`): they rewrite, fold constants and lower;
- what the caller gives with the graph: whatever else the passes and the backend were told;
- the graph: inputs and their types, nodes with op, operands and parameters, outputs. What a node's
  type is follows from these. Bodies of loops are graphs too, and which of them are one is told;
- names and lines of loops, which reports show.

Not in it are names of inputs, values of shared variables and the order in which the parts were
built: no program depends on them. The backend adds what code depends on besides: the processor,
the system, LLVM.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import os
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..core.dims import PRIMITIVE, Atom, Dim
from ..core.graph import Graph
from ..core.leaf import Constant
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
    """What tells this version of symgraph, edited or not, and of what it computes with."""
    package = Path(__file__).parent.parent
    files = []
    for folder, _, names in sorted(os.walk(package)):
        inside = os.path.relpath(folder, package)
        files += [
            (inside, name, *_edition(os.path.join(folder, name)))
            for name in sorted(names)
            if name.endswith(".py")
        ]
    return __version__, np.__version__, _scipy(), sys.version, tuple(files)


def _edition(path: str) -> tuple[int, int]:
    state = os.stat(path)
    return state.st_size, state.st_mtime_ns


def _scipy() -> tuple[Any, ...]:
    """What tells this SciPy from others, without an import of it."""
    spec = importlib.util.find_spec("scipy")
    if spec is None or spec.origin is None:
        return ()
    # Its number stands in a file of its own, which each installation writes.
    version = os.path.join(os.path.dirname(spec.origin), "version.py")
    return (spec.origin, *(_edition(version) if os.path.exists(version) else ()))


class _Encoder:
    """Programs as nested tuples of numbers, strings and bytes.

    Whatever is no number, string or None begins with its kind, so that values of two kinds are
    never written alike.
    """

    def __init__(self) -> None:
        self._bodies: dict[Graph, int] = {}
        # Sizes that only data or arguments tell have names of one process: here they are numbered
        # in the order in which the program mentions them.
        self._unknown: dict[Atom, int] = {}
        # So are all sizes: formulas that have one of them twice are as long as if it were once.
        self._sizes: dict[Dim, int] = {}
        # By identity, for equal parameters may differ in kind, as 1 and True do. The graph keeps
        # them alive.
        self._params: dict[int, Any] = {}

    def graph(self, graph: Graph) -> tuple[Any, ...]:
        """The nodes in the order in which the outputs lead to them, and the outputs."""
        position = {v: i for i, v in enumerate(graph.inputs)}
        inputs = tuple(self._type(v.type) for v in graph.inputs)
        nodes = []
        for v in _order(graph.outputs, position):
            if not v.op.is_own:
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
        if kind is Graph:
            return self._body(value)
        if kind is Dim:
            return self._size(value)
        encoded = self._params.get(id(value))
        if encoded is None:
            encoded = self._params[id(value)] = self._encoded(value)
        return encoded

    def _encoded(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, (tuple, list)):
            return (_kind(value), *map(self._param, value))
        if isinstance(value, np.dtype):
            return ("dtype", value.str)
        if isinstance(value, Constant):
            return ("constant", *value.key)
        if isinstance(value, TensorType):
            return ("type", *self._type(value))
        if is_dataclass(value) and not isinstance(value, type):
            return (_kind(value), *(self._param(getattr(value, f.name)) for f in fields(value)))
        raise _NoKeyError

    def _body(self, body: Graph) -> tuple[Any, ...]:
        number = self._bodies.get(body)
        if number is not None:
            return ("body", number)
        number = self._bodies[body] = len(self._bodies)
        return ("body", number, self.graph(body))

    def _type(self, type: Any) -> tuple:
        return (type.dtype.str, *map(self._param, type.shape))

    def _size(self, size: Dim) -> tuple[Any, ...]:
        number = self._sizes.get(size)
        if number is not None:
            return ("size", number)
        number = self._sizes[size] = len(self._sizes)
        terms = ((factor, *map(self._atom, monomial)) for monomial, factor in size.terms)
        return ("size", number, *terms)

    def _atom(self, atom: Atom) -> tuple[Any, ...]:
        kind, *parts = atom
        if kind in PRIMITIVE and kind != "name":
            return (kind, self._unknown.setdefault(atom, len(self._unknown)))
        return (kind, *map(self._param, parts))


def _kind(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _order(outputs: Sequence[Variable], inputs: dict[Variable, int]) -> list[Variable]:
    """What the outputs are made of, operands first, however old the variables are."""
    order: list[Variable] = []
    seen = set(inputs)
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

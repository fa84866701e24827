"""What one expression says of several nodes: means, and products of all rows at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...core.dims import product
from ...core.graph import Graph
from ...core.variable import Variable, constant_value
from ...ops.broadcast import SUM
from ...ops.elementwise import DIVIDE, MULTIPLY
from ...ops.linalg import MATMUL
from ...ops.promotion import CAST
from ...ops.reshape import RESHAPE
from ...ops.sizes import known_size

__all__ = ["Idiom", "find_idioms"]


class Idiom(NamedTuple):
    """How a variable is written in other terms than those of its op."""

    name: str
    inputs: tuple[Variable, ...]
    within: tuple[Variable, ...]
    """The nodes between, of which each is read once."""


def find_idioms(graph: Graph) -> dict[Variable, Idiom]:
    """The idioms of a graph, by the variables that they make."""
    outputs = set(graph.outputs)
    found: dict[Variable, Idiom] = {}
    for v in graph.nodes:
        for idiom in _idioms_of(v):
            if all(len(graph.users[x]) == 1 and x not in outputs for x in idiom.within):
                found[v] = idiom
    return found


def _idioms_of(v: Variable) -> Iterator[Idiom]:
    if v.op in (DIVIDE, MULTIPLY):
        yield from _mean(v)
    elif v.op is RESHAPE:
        yield from _product_of_rows(v)


def _mean(v: Variable) -> Iterator[Idiom]:
    """A sum divided by the number of its terms, or multiplied by a power of two that is that."""
    inverse = v.op is MULTIPLY
    for total, other in (v.inputs, v.inputs[::-1])[: 1 + inverse]:
        if total.op is SUM and total.type is v.type and total.dtype.kind == "f":
            count = product(total.inputs[0].type.shape[axis] for axis in total.params[0])
            if _is_count(other, count, inverse=inverse):
                yield Idiom("mean", total.inputs, (total,))
                return


def _is_count(x: Variable, count: object, *, inverse: bool) -> bool:
    value = constant_value(x)
    if value is not None:
        if not isinstance(count, int) or value.size != 1 or not count:
            return False
        return bool(value.reshape(()) == (1 / count if inverse else count))
    if x.op is CAST:
        (x,) = x.inputs
    return not inverse and not x.ndim and known_size(x) is count


def _product_of_rows(v: Variable) -> Iterator[Idiom]:
    """The rows of ``[n, k, m]`` times a matrix, as one product of matrices."""
    flat = v.inputs[0]
    if flat.op is not MATMUL or flat.ndim != 2 or flat.inputs[0].op is not RESHAPE:
        return
    rows, matrix = flat.inputs
    x = rows.inputs[0]
    is_whole = x.ndim > 2 and rows.type.shape[1] == x.type.shape[-1]
    if is_whole and v.type.shape == (*x.type.shape[:-1], matrix.type.shape[1]):
        yield Idiom("product_of_rows", (x, matrix), (flat, rows))

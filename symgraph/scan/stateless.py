"""Loops without states whose steps could be done in one: of operations that take whole sequences.

Elementwise ones do, and so do those that work along axes, move elements, or read and write them at
indices. Not so where the size of something, or the part that is read, differs from step to step;
nor random numbers, which would be others.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from ..core import provenance
from ..core.dims import product
from ..core.graph import Graph, has_effect
from ..core.types import TensorType
from ..core.variable import Variable
from ..ops.broadcast import BROADCAST_TO, REARRANGE
from ..ops.gather import GATHER, SCATTER_ADD, SCATTER_SET
from ..ops.gradient import CLIP_GRADIENT, STOP_GRADIENT
from ..ops.in_range import IN_RANGE
from ..ops.join import CONCATENATE
from ..ops.linalg import MATMUL
from ..ops.reshape import RESHAPE
from ..ops.sizes import CHECK_SIZE
from ..ops.slices import ADD_SLICE, SET_SLICE, SLICE, bounds_of
from ..ops.sort import ARGSORT, SEARCHSORTED, SORT
from ..ops.special_functions import POLYGAMMA
from ..ops.windows import OVERLAP_ADD, WINDOWS
from .late import find_late, read_values
from .op import Loop
from .paths import loop_paths
from .written import loops_written

__all__ = ["find_stateless"]

_ALONG_AXES = frozenset({SORT, ARGSORT, WINDOWS, OVERLAP_ADD})
_AT_PLACES = frozenset({GATHER, SCATTER_ADD, SCATTER_SET, CONCATENATE, IN_RANGE, POLYGAMMA})
_AS_THEY_ARE = frozenset({REARRANGE, CHECK_SIZE, CLIP_GRADIENT, STOP_GRADIENT})
_SMALL = 4096
"""Of larger values the time of a step is what it computes, and those of all steps fit no cache."""
_ANYHOW = _ALONG_AXES | _AT_PLACES | _AS_THEY_ARE


def find_stateless(built: Graph, rewritten: Graph) -> Iterator[Variable]:
    """Such loops, as they were built, of which rewriting has left something: steps or gradients."""
    left = {provenance.lines_of(path[-1]) for path in loop_paths(rewritten)}
    for _, scan in loops_written(built):
        loop = Loop(scan)
        is_free = not loop.states and loop.condition is None and bool(loop.reads)
        if is_free and provenance.lines_of(scan) in left and _takes_sequences(loop):
            yield scan


def _takes_sequences(loop: Loop) -> bool:
    """Whether the loop computes something that can be computed for all rows at once."""
    symbols = [read.symbol for read in loop.reads]
    computed = find_late(loop.body.outputs, symbols)
    changing = computed.union(symbols)
    return bool(computed) and all(_is_for_all(v, changing) for v in computed)


def _is_small(v: Variable) -> bool:
    """Whether it is small, for all that is known."""
    size = product(v.type.shape)
    return not isinstance(size, int) or size <= _SMALL


def _is_for_all(v: Variable, changing: Set[Variable]) -> bool:
    """Whether an operation of values that change can be written once, for those of all steps."""
    if has_effect(v) or not isinstance(v.type, TensorType) or not _is_small(v):
        return False
    if v.op in (SLICE, SET_SLICE, ADD_SLICE):
        return changing.isdisjoint(bounds_of(v))
    if v.op in (BROADCAST_TO, RESHAPE):
        return changing.isdisjoint(v.inputs[1:])  # the sizes
    if v.op is SEARCHSORTED:
        return v.inputs[0] not in changing
    if v.op is MATMUL:
        return not (changing >= {*v.inputs} and any(x.op is WINDOWS for x in _below(v)))
    is_along_axes = v.op.kind == "reduction" and v.op.is_own
    return v.op.kind == "elementwise" or is_along_axes or v.op in _ANYHOW


def _below(product: Variable) -> Iterator[Variable]:
    """The operands of a product, and what they were before they were moved."""
    stack = list(product.inputs)
    while stack:
        v = stack.pop()
        yield v
        if v.op in (REARRANGE, RESHAPE, CHECK_SIZE):
            stack += read_values(v)[:1]

"""What a gradient loop computes again, although the loop before it had it already.

A gradient loop needs values of its loop's body (gates, say) and computes them from the states that
the loop left behind. Where such a value is dear, the loop keeps it over time as one more output,
and the gradient loop reads it. Both bodies are interned expressions: writing the loop's body over
the gradient loop's symbols gives the very nodes that the two have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from typing import NamedTuple

from ..core.dims import Dim, Size, substitute_size
from ..core.types import TupleType, is_integer
from ..core.variable import CONSTANT, ITEM, Variable, existing_node
from ..ops.sizes import known_size, size_of
from ..ops.slices import SLICE, SYMBOL, Span
from .op import Loop, is_scan
from .open import OpenLoop

__all__ = ["Residual", "Row", "find_residuals", "in_some_step", "loops_behind", "row_read"]


class Residual(NamedTuple):
    """A node of a loop's body, and the node of the gradient loop's open body that equals it."""

    value: Variable
    copy: Variable


class Row(NamedTuple):
    """A row of an array that step ``t`` reads: ``base[start + direction * t]``."""

    base: Variable
    start: Size
    direction: int

    def in_reverse(self, n_steps: Size) -> Row:
        """The row in terms of the step number of a loop that runs the other way."""
        return Row(self.base, self.start + self.direction * (n_steps - 1), -self.direction)


def row_read(sequence: Variable, offset: int, needed: Size | None = None) -> Row:
    """Which row of which array a step reads from ``sequence[t + offset]``, slices seen through.

    ``needed``: how many rows of the sequence the steps read, if that is known.
    """
    start: Size = offset
    direction = 1
    while sequence.op is SLICE and _slices_rows(sequence):
        span = sequence.params[0][0]
        first = size_of(sequence.inputs[1]) if span.start == SYMBOL else span.start
        if span.step == -1:
            start, direction = _length(sequence, needed) - 1 - start, -direction
        start = start + first
        sequence, needed = sequence.inputs[0], None
    return Row(sequence, start, direction)


def _length(sequence: Variable, needed: Size | None) -> Size:
    """The length of a reversed sequence of which so many rows are read.

    ``x[:stop]`` has ``stop`` rows at most: it has that many where so many are read.
    """
    part = sequence.inputs[0]
    if needed is not None and part.op is SLICE and _slices_rows(part):
        span = part.params[0][0]
        if span[0::2] == (0, 1) and span.stop == SYMBOL and size_of(part.inputs[1]) == needed:
            return needed
    return sequence.type.shape[0]


def _slices_rows(sliced: Variable) -> bool:
    """Whether this is ``x[a:b]`` or ``x[a:b][::-1]``, of the first axis alone."""
    span, *others = sliced.params[0]
    return (
        isinstance(span, Span)
        and span.step in (1, -1)
        and (isinstance(span.start, str) or span.start >= 0)
        and all(entry is None for entry in others)
    )


def loops_behind(opened: OpenLoop) -> list[Variable]:
    """The loops whose buffers this one reads."""
    bases = (row_read(read.sequence, read.offset).base for read in opened.reads.values())
    return list(dict.fromkeys(base.inputs[0] for base in bases if _is_loop_result(base)))


def _is_loop_result(variable: Variable) -> bool:
    return variable.op is ITEM and is_scan(variable.inputs[0])


def find_residuals(
    loop: Loop, gradient: OpenLoop, is_at_hand: Callable[[Variable], bool] = lambda v: False
) -> list[Residual]:
    """What the loop should keep for the gradient loop, the oldest first.

    ``is_at_hand``: of what values of the loop's body there are arrays over time.
    """
    if loop.layout.until:
        return []
    images = _common_nodes(loop, gradient)
    outputs, varying = gradient.ends(), gradient.varying
    at_edge = [v for v in outputs if v in images]
    at_edge += [x for v in varying if v not in images for x in v.inputs if x in images]
    symbols = set(gradient.symbols)
    dear = _dear_nodes(
        (v for v in at_edge if v in varying),
        varying - symbols,
        lambda v: (
            (_is_dear(v) or (v in images and is_at_hand(images[v]))) and gradient.has_fixed_size(v)
        ),
    )
    return [Residual(images[v], v) for v in dear if v in images]


def _dear_nodes(
    wanted: Iterable[Variable], among: Set[Variable], is_worth_it: Callable[[Variable], bool]
) -> list[Variable]:
    """The nearest nodes, at or below the wanted ones, that are worth keeping."""
    dear: dict[Variable, None] = {}
    seen: set[Variable] = set()
    stack = list(wanted)
    while stack:
        v = stack.pop()
        if v in seen or v not in among:
            continue
        seen.add(v)
        if is_worth_it(v):
            dear[v] = None
        else:
            stack.extend(v.inputs)
    return sorted(dear, key=lambda v: v.serial)


def _is_dear(v: Variable) -> bool:
    if v.op.is_cheap or "view" in v.op.traits or isinstance(v.type, TupleType):
        return False
    return not _is_told_by_types(v)


def _is_told_by_types(v: Variable) -> bool:
    """Whether types speak of this number: of one that is read in its place nothing is known."""
    return v.type.shape == () and is_integer(v.dtype) and known_size(v) is not None


def _common_nodes(loop: Loop, gradient: OpenLoop) -> Mapping[Variable, Variable]:
    """The nodes of the loop's body as the gradient loop has them, if it does, with the body's."""
    n_steps = size_of(gradient.n_steps)
    reads = sorted(gradient.reads.values(), key=lambda read: read.offset)
    needed = {read.sequence: n_steps + read.offset for read in reads}
    symbols: dict[Row | Variable, Variable] = {
        in_some_step(
            row_read(read.sequence, read.offset, needed[read.sequence]).in_reverse(n_steps), n_steps
        ): symbol
        for symbol, read in gradient.reads.items()
    }
    symbols |= {outer: symbol for symbol, outer in gradient.fixed.items()}
    sources: dict[Variable, Row | Variable] = {
        read.symbol: in_some_step(row_read(read.sequence, read.offset), n_steps)
        for read in loop.reads
    }
    for buffer, state in zip(loop.buffers, loop.states, strict=True):
        sources |= {v: Row(buffer, state.depth + tap, 1) for tap, v in state.taps.items()}
    sources |= loop.fixed
    images = {v: symbols[x] for v, x in sources.items() if x in symbols}
    shared: dict[Variable, Variable] = {}
    for v in loop.body.nodes:
        if v.op is CONSTANT:
            images[v] = v
        if not v.inputs:
            continue
        try:
            image = existing_node(v.op, [images[x] for x in v.inputs], v.params)
        except KeyError:
            continue
        if image is not None:
            images[v], shared[image] = image, v
    return shared


def in_some_step(row: Row, n_steps: Size) -> Row:
    """The row as it is where a step is run: of ``max(n, 0)`` steps there are ``n`` then."""
    atom = n_steps.atom if isinstance(n_steps, Dim) else None
    if atom is None or atom[0] != "max_zero":
        return row
    return row._replace(start=substitute_size(row.start, {atom: atom[1]}))

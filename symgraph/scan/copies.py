"""Inputs and parameters that are copied, since they lie in another order than they are read in.

A copy is forced where rows of a transposed, or cut, array are taken for one matrix: by a reshape,
by products of a loop that multiply the rows of several steps at once, and by a gather.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..core.dims import Size, product
from ..core.graph import Graph
from ..core.shared import SHARED
from ..core.variable import CONSTANT, Variable
from ..ops.broadcast import REARRANGE, seen_through
from ..ops.gather import GATHER
from ..ops.linalg import MATMUL
from ..ops.reshape import RESHAPE
from ..ops.sizes import CHECK_SIZE, size_of
from ..ops.slices import SLICE, At, Entry, Span
from .op import Loop, is_scan
from .paths import loop_paths

__all__ = ["ForcedCopy", "find_forced_copies"]


class ForcedCopy(NamedTuple):
    """An input or a parameter that is copied because of the order of its axes."""

    source: Variable
    order: tuple[int, ...]
    """The axes in the order in which they are read."""
    is_cut: bool
    """Whether it is but a part of an axis that is copied, in the order in which it lies."""
    readers: tuple[str, ...]
    """``"rows"`` of a loop's products, a ``"reshape"``, or a ``"table"`` of a gather."""
    bytes: Size
    """In one call."""


class _Layout(NamedTuple):
    """How an array lies in what it is a view of."""

    source: Variable
    axes: tuple[int | None, ...]
    """For each axis which it is of the source; None for one that was put in."""
    cut: frozenset[int]
    """The source's axes of which it is a part."""
    is_reversed: bool
    """Whether an axis runs backwards, as those do that gradients read: a copy in any order."""


def find_forced_copies(graph: Graph) -> Iterator[ForcedCopy]:
    """The inputs and parameters that a graph and its loops copy, each once."""
    found: dict[Variable, ForcedCopy] = {}
    parts: list[tuple[Graph, tuple[Variable, ...]]] = [(graph, ())]
    parts += [(path[-1].params[0], path) for path in loop_paths(graph)]
    for part, path in parts:
        for copy in _copies_in(part, path):
            if not _is_worth_telling(copy, has_loops=len(parts) > 1):
                continue
            known = found.get(copy.source)
            if known is not None:
                readers = tuple(dict.fromkeys(known.readers + copy.readers))
                copy = known._replace(readers=readers, bytes=known.bytes + copy.bytes)
            found[copy.source] = copy
    yield from found.values()


def _is_worth_telling(copy: ForcedCopy, *, has_loops: bool) -> bool:
    """Whether the user may give the array otherwise, and the copy counts: beside the products of
    layers, without a loop, that of an input does not, and layers lay their parameters themselves.
    """
    return "table" in copy.readers or (has_loops and copy.source.op is not SHARED)


def _copies_in(part: Graph, path: tuple[Variable, ...]) -> Iterator[ForcedCopy]:
    times = product(size_of(Loop(scan).n_steps) for scan in path)
    for v in part.nodes:
        if v.op in (RESHAPE, GATHER):
            reader = "reshape" if v.op is RESHAPE else "table"
            layout = _layout_of(v.inputs[0], path)
            if layout and not (layout.is_reversed or _is_in_order(v.inputs[0], layout)):
                yield _copy(v.inputs[0], layout, reader, times)
        elif is_scan(v):
            for x in _multiplied_rows(Loop(v)):
                layout = _layout_of(x, path)
                if layout is not None and not _is_in_order(x, layout, rows_alone=True):
                    yield _copy(x, layout, "rows", times)


def _copy(x: Variable, layout: _Layout, reader: str, times: Size) -> ForcedCopy:
    order = tuple(axis for axis in layout.axes if axis is not None)
    is_cut = list(order) == sorted(order)
    n_bytes = product(x.type.shape) * x.dtype.itemsize
    return ForcedCopy(layout.source, order, is_cut, (reader,), times * n_bytes)


def _multiplied_rows(loop: Loop) -> Iterator[Variable]:
    """The sequences of which rows are multiplied by what does not change."""
    symbols = {read.symbol: read.sequence for read in loop.reads}
    products = [v for v in loop.body.nodes if v.op is MATMUL and v.ndim == 2]
    rows = [v.inputs[0] for v in products if seen_through(v.inputs[1], REARRANGE) in loop.fixed]
    yield from dict.fromkeys(symbols[x] for x in rows if x in symbols)


def _layout_of(x: Variable, path: tuple[Variable, ...]) -> _Layout | None:
    """How a view lies in an input or a parameter; None for what is computed."""
    views: list[Variable] = []
    loops = list(path)
    while True:
        while x.op in (REARRANGE, SLICE, CHECK_SIZE):
            views.append(x)
            x = x.inputs[0]
        if not loops:
            break
        fixed = Loop(loops.pop()).fixed
        if x not in fixed:
            return None
        x = fixed[x]
    if x.inputs or x.op is CONSTANT:
        return None
    layout = _Layout(x, tuple(range(x.ndim)), frozenset(), False)
    for view in reversed(views):
        layout = _seen(layout, view)
    return layout


def _seen(layout: _Layout, view: Variable) -> _Layout:
    if view.op is CHECK_SIZE:
        return layout
    if view.op is REARRANGE:
        axes = [None if i is None else layout.axes[i] for i in view.params[0]]
        return layout._replace(axes=tuple(axes))
    entries = [*zip(layout.axes, view.params[0], strict=True)]
    reverse = [entry for _, entry in entries if isinstance(entry, Span) and entry.step < 0]
    cut = {
        axis
        for axis, entry in entries
        if axis is not None and entry is not None and not _is_whole(entry)
    }
    return layout._replace(
        axes=tuple(axis for axis, entry in entries if not isinstance(entry, At)),
        cut=layout.cut | cut,
        is_reversed=layout.is_reversed or bool(reverse),
    )


def _is_whole(entry: Entry) -> bool:
    return isinstance(entry, Span) and entry == Span(0, None, -1)


def _is_in_order(x: Variable, layout: _Layout, *, rows_alone: bool = False) -> bool:
    """Whether the elements lie as they are read: the axes in order, and none but the outermost cut;
    or, of rows, whether those of one step follow those of another."""
    long = [
        axis
        for axis, n in zip(layout.axes, x.type.shape, strict=True)
        if n != 1 and axis is not None
    ]
    if rows_alone:
        long = long[:2]
    first = layout.source.ndim if not long else long[0]
    last = long[-1] if rows_alone and long else layout.source.ndim
    return long == sorted(long) and not any(first < axis <= last for axis in layout.cut)

"""Where the traces of gradient loops lie: backward, and in the room of what these loops have read.

A gradient loop reads rows from the last to the first. What it keeps over time is written backward,
so that it lies in the order of the steps before it. And where it reads traces that nobody else
reads, it needs no room of its own: these traces lie row by row in one array of records, and the
step that has read a record leaves its own row to the next step's record, which is one place on::

    record     0     1     2    ...   n - 1    n
    before    r_0   r_1   r_2   ...  r_(n-1)   ·      traces of the loop before
    step 0    r_0   r_1   r_2   ...  r_(n-1)  g_0     reads r_(n-1)
    step 1    r_0   r_1   r_2   ...   g_0'    ...     reads r_(n-2), and so on

A record that is written was read for the last time in the step before: within a step nothing that
is read is written, whatever the order of its kernels. But a step has to be done before the next one
begins, for all elements of a row: loops without a product may run for some elements first, or for
others in another thread, and get no records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from ....core.dims import Size, product
from ....core.graph import Graph
from ....core.variable import Variable
from ....ops.linalg import MATMUL
from ....ops.sizes import SIZE
from ....ops.slices import SLICE, Span
from ....scan.op import Loop, is_scan
from ....scan.paths import loops_in
from .layout import View, contiguous_strides

__all__ = ["TraceLayout", "dying_rows", "lay_traces"]


class TraceLayout(NamedTuple):
    """Where traces lie that do not lie as other values do."""

    views: dict[Variable, View]
    rooms: dict[Variable, Size]
    """The elements of arrays that hold more than the trace which owns them."""


def lay_traces(graph: Graph, is_known: Callable[[Size], bool]) -> TraceLayout:
    """Where traces lie backward or share their room; ``is_known`` tells which sizes the arguments
    tell, and of others nothing is laid out here."""
    loops = loops_in(graph)
    backward = {v: None for loop in loops for v in _backward_traces(graph, loop, is_known)}
    views = {v: _backward(v) for v in backward if _is_read_by_more_than_loops(graph, v)}
    rooms: dict[Variable, Size] = {}
    free = dict(backward)
    scans = dict.fromkeys(v.inputs[0] for v in views)
    last_read = {scan: _last_read_by(graph, Loop(scan)) for scan in scans}
    for v in list(views):
        records = _records_for(v, [x for x in last_read[v.inputs[0]] if x in free])
        for x in records:
            del free[x]
        if records:
            laid = _lay_records(v, records)
            views |= laid.views
            rooms |= laid.rooms
    return TraceLayout(views, rooms)


def dying_rows(loop: Loop, views: Mapping[Variable, View]) -> list[Variable]:
    """The symbols of the rows that a step of the loop is the last to read: the next one writes
    its own row there."""
    replaced = {views[v].root for v in loop.traces if v in views and views[v].root is not v}
    return [read.symbol for read in loop.reads if views[read.sequence].root in replaced]


# --- backward -----------------------------------------------------------------------------------


def _backward_traces(
    graph: Graph, scan: Variable, is_known: Callable[[Size], bool]
) -> list[Variable]:
    """The traces of the loop whose elements are read from the last row on, all of them.

    Where a size of the loop's is unknown, nobody can say yet where its rows are to lie.
    """
    loop = Loop(scan)
    if loop.condition is not None or loop.checkpoint_every is not None:
        return []
    sizes = {size for each in scan.type.items for size in each.shape}
    if not all(map(is_known, sizes)):
        return []
    numbers = range(len(loop.states), len(loop.states) + len(loop.outputs))
    traces = (v for v, _ in graph.users[scan] if v.params[0] in numbers)
    outputs = set(graph.outputs)
    return [v for v in traces if v not in outputs and _is_read_backward(graph, v, outputs)]


def _is_read_backward(graph: Graph, v: Variable, outputs: Set[Variable]) -> bool:
    users = [user for user, _ in graph.users[v]]
    # What is a result may be written where that is to lie.
    return outputs.isdisjoint(users) and all(x.op is SIZE or _is_turned(x) for x in users)


def _is_turned(v: Variable) -> bool:
    """Whether the variable is ``x[::-1]``."""
    if v.op is not SLICE or len(v.inputs) != 1:
        return False
    first, *others = v.params[0]
    return first == Span(0, None, -1) and not any(others)


def _is_read_by_more_than_loops(graph: Graph, v: Variable) -> bool:
    turned = [user for user, _ in graph.users[v] if _is_turned(user)]
    return any(not is_scan(user) for x in turned for user, _ in graph.users[x])


def _backward(v: Variable) -> View:
    row = product(v.type.shape[1:])
    return _rows(v, v, (v.type.shape[0] - 1) * row, row * -1)


def _rows(v: Variable, root: Variable, first: Size, stride: Size) -> View:
    """The trace as rows, each in C order, so far from one another."""
    return View(root, first, v.type.shape, (stride, *contiguous_strides(v.type.shape[1:])))


# --- records ------------------------------------------------------------------------------------


def _last_read_by(graph: Graph, loop: Loop) -> list[Variable]:
    """The traces of other loops that this one, where it has products, is the last to read."""
    if not any(x.op is MATMUL for x in loop.body.nodes):
        return []
    turned = [
        reads[0].sequence for reads in loop.reads_by_sequence if [r.offset for r in reads] == [0]
    ]
    pairs = [(v.inputs[0], v) for v in turned if _is_turned(v)]
    return [x for x, v in pairs if _is_for_loop_alone(graph, x, v, loop.node)]


def _records_for(v: Variable, traces: Sequence[Variable]) -> Sequence[Variable]:
    """Those of the traces, all of one loop, whose rows together are as large as those of ``v``."""
    by_loop: dict[Variable, list[Variable]] = {}
    for x in traces:
        if _is_alike(x, v):
            by_loop.setdefault(x.inputs[0], []).append(x)
    runs = (run for traces in by_loop.values() for run in _runs(traces))
    wanted = product(v.type.shape[1:])
    return next((run for run in runs if _row_size(run) == wanted), ())


def _is_for_loop_alone(graph: Graph, x: Variable, turned: Variable, scan: Variable) -> bool:
    """Whether the loop reads the trace, once, and nobody else does."""
    users = [user for user, _ in graph.users[x] if user.op is not SIZE]
    readers = [user for user, _ in graph.users[turned] if user.op is not SIZE]
    return users == [turned] and readers == [scan] and turned not in graph.outputs


def _is_alike(x: Variable, v: Variable) -> bool:
    return x.dtype == v.dtype and x.type.shape[0] == v.type.shape[0]


def _runs(traces: Sequence[Variable]) -> Iterator[Sequence[Variable]]:
    """Some of the traces that follow each other, few before many."""
    for length in range(1, len(traces) + 1):
        for start in range(len(traces) - length + 1):
            yield traces[start : start + length]


def _row_size(traces: Sequence[Variable]) -> Size:
    total: Size = 0
    for x in traces:
        total = total + product(x.type.shape[1:])
    return total


def _lay_records(v: Variable, traces: Sequence[Variable]) -> TraceLayout:
    """The traces in records, and ``v`` backward, one record on."""
    owner, record = traces[0], _row_size(traces)
    n = v.type.shape[0]
    views, start = {}, 0
    for x in traces:
        views[x] = _rows(x, owner, start, record)
        start = start + product(x.type.shape[1:])
    views[v] = _rows(v, owner, n * record, record * -1)
    return TraceLayout(views, {owner: (n + 1) * record})

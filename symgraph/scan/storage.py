"""What loops store over time, and why: the rows of each result that somebody reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from ..core import provenance
from ..core.dims import Atom, Dim, Size, product, substitute_size
from ..core.graph import Graph
from ..core.origins import call_in_steps
from ..core.provenance import Line
from ..core.variable import ITEM, Variable, ancestors
from ..ops.broadcast import REARRANGE
from ..ops.join import CONCATENATE
from ..ops.reshape import RESHAPE
from ..ops.sizes import SIZE, size_of
from ..ops.slices import SLICE, SYMBOL, At
from .last_rows import kept_rows
from .op import Loop, is_scan
from .paths import loop_paths, loops_in
from .residuals import row_read

__all__ = [
    "CHECKPOINTS",
    "GRADIENT",
    "LAST_ROWS",
    "OUTPUT",
    "RESIDUAL",
    "StoredResult",
    "gradient_loops",
    "stored_results",
]

OUTPUT = "an output that is read"
RESIDUAL = "a residual of the gradient"
GRADIENT = "a gradient of each step"
LAST_ROWS = "the last rows alone"
CHECKPOINTS = "checkpoints for the gradient"


class StoredResult(NamedTuple):
    """A result of a loop that is kept, with the loops around it, outermost first."""

    path: tuple[Variable, ...]
    value: Variable
    """The value in the body of the last of them."""
    label: str
    rows: Size
    """At most so many, where the steps tell how many there are."""
    row_bytes: Size
    reason: str
    lines: tuple[Line, ...]

    @property
    def bytes(self) -> Size:
        """What all rows take."""
        return self.rows * self.row_bytes

    def at_most(self, most: Mapping[Atom, Size]) -> StoredResult:
        """The result where sizes are at most so large."""
        rows, size = (substitute_size(x, most) for x in (self.rows, self.row_bytes))
        return self._replace(rows=rows, row_bytes=size)


def stored_results(graph: Graph) -> list[StoredResult]:
    """What each loop of the graph keeps, those inside loops included, in the order of their paths.

    A loop inside another keeps it for one step of the outer one at a time.
    """
    gradients: dict[Graph, dict[Variable, Variable]] = {}
    found: list[StoredResult] = []
    paths = loop_paths(graph)
    most = _most_steps(paths)
    for path in paths:
        around: Graph = [graph, *(scan.params[0] for scan in path[:-1])][-1]
        if around not in gradients:
            gradients[around] = gradient_loops(around)
        results = partial(list, _results_of(path, around, gradients[around]))
        found += [each.at_most(most) for each in call_in_steps(path, results)]
    return found


def _results_of(
    path: tuple[Variable, ...], graph: Graph, gradients: dict[Variable, Variable]
) -> Iterator[StoredResult]:
    scan = path[-1]
    loop = Loop(scan)
    items = {x.params[0]: x for x, _ in graph.users[scan]}
    for k, (value, depth) in enumerate(loop.results):
        x = items.get(k)
        if x is None and not depth:
            continue  # nobody reads it, and no later step
        few = kept_rows(graph, x, depth) if depth else None
        kept = scan.type.items[k]
        rows: Size = few + 1 if few is not None else kept.shape[0]
        reason = LAST_ROWS if few is not None or x is None else _reason(x, graph, gradients)
        size = product(kept.shape[1:]) * kept.dtype.itemsize
        lines = provenance.lines_of(value) or provenance.lines_of(scan)
        yield StoredResult(path, value, _label(loop, k), rows, size, reason, lines)
    for k, state in enumerate(loop.states if loop.layout.has_checkpoints else ()):
        if (x := items.get(len(loop.results) + k)) is not None:
            rows = x.type.shape[0]
            size = product(x.type.shape[1:]) * x.dtype.itemsize
            lines = provenance.lines_of(state.new) or provenance.lines_of(scan)
            yield StoredResult(path, state.new, _label(loop, k), rows, size, CHECKPOINTS, lines)


def _most_steps(paths: Sequence[tuple[Variable, ...]]) -> dict[Atom, Size]:
    """For the sizes that stand for the steps that loops take, the most that these may be."""
    most: dict[Atom, Size] = {}
    for loop in (Loop(path[-1]) for path in paths):
        if loop.condition is not None and loop.results:
            taken = loop.node.type.items[0].shape[0] - loop.results[0].depth
            atom = taken.atom if isinstance(taken, Dim) else None
            if atom is not None:
                most[atom] = substitute_size(size_of(loop.n_steps), most)
    return most


def _label(loop: Loop, k: int) -> str:
    """The value's name, or what it is of the loop, and the operation that it comes from."""
    value, n_states = loop.results[k].value, len(loop.states)
    name = provenance.name_of(value)
    if name:
        return name
    place = f"state {k}" if k < n_states else f"output {k - n_states}"
    return f"{place} ({value.op.title_of(value.params)})" if value.inputs else place


# --- who reads it --------------------------------------------------------------------------------


def _reason(result: Variable, graph: Graph, gradients: dict[Variable, Variable]) -> str:
    scan = result.inputs[0]
    if scan in gradients:
        return GRADIENT
    own = [gradient for gradient, loop in gradients.items() if loop is scan]
    return RESIDUAL if own and _are_all_behind(_readers(result, graph), own, graph) else OUTPUT


def _readers(result: Variable, graph: Graph) -> list[Variable | None]:
    """What needs the array, views of it and joins seen through; None where it is an output.

    Who reads single rows needs no array, unless nobody else needs it.
    """
    outputs, pending = set(graph.outputs), [result]
    readers, readers_of_rows = list[Variable | None](), list[Variable | None]()
    while pending:
        x = pending.pop()
        if x in outputs:
            readers.append(None)
        for user, _ in graph.users[x]:
            if user.op is SLICE and user.inputs[0] is x and _is_one_row(user.params[0][0]):
                readers_of_rows.append(user)
            elif "view" in user.op.traits or user.op is CONCATENATE:
                pending.append(user)
            elif user.op is not SIZE:
                readers.append(user)
    return readers or readers_of_rows


def _is_one_row(entry: object) -> bool:
    return isinstance(entry, At) and entry.index != SYMBOL


def _are_all_behind(
    readers: list[Variable | None], gradients: list[Variable], graph: Graph
) -> bool:
    """Whether the readers are gradient loops, or compute with what these leave behind."""
    behind = set(gradients)
    for v in graph.nodes:
        if not behind.isdisjoint(v.inputs):
            behind.add(v)
    return all(reader is not None and reader in behind for reader in readers)


def gradient_loops(graph: Graph) -> dict[Variable, Variable]:
    """The graph's loops that are gradients of others, with these.

    Such a loop has the lines of the other, parameters of it, and reads in reverse what it left.
    """
    found: dict[Variable, Variable] = {}
    for v in loops_in(graph):
        lines = provenance.lines_of(v)
        for read in Loop(v).reads:
            base, _, direction = row_read(read.sequence, read.offset)
            base = _left_by_parts(base)
            if base.op is not ITEM or not is_scan(base.inputs[0]) or direction != -1:
                continue
            loop = base.inputs[0]
            if loop not in found and provenance.lines_of(loop) == lines and _share(loop, v):
                found[v] = loop
                break
    return found


def _left_by_parts(x: Variable) -> Variable:
    """What a loop left of all parts of a chunk, where ``x`` has that in the order of steps."""
    y = x.inputs[-1] if x.op is CONCATENATE else x
    while y.inputs and y.op in (RESHAPE, REARRANGE, SLICE):
        y = y.inputs[0]
    return y if y.op is ITEM else x


def _share(loop: Variable, gradient: Variable) -> bool:
    ours, theirs = (set(_leaves(list(Loop(x).fixed.values()))) for x in (loop, gradient))
    return not ours or not theirs or bool(ours & theirs)


def _leaves(variables: list[Variable]) -> Iterator[Variable]:
    return (v for v in ancestors(variables) if not v.inputs)

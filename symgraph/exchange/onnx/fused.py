"""Loops that are a recurrent layer of ONNX, found by the identity of their bodies, as one node.

`fuse_layers` puts a node of `RECURRENT` in place of each such loop, and one node in place of two
over one sequence in both directions. It looks at graphs before the passes: these take products out
of loops, and change bodies. What it leaves alone goes out as a loop: cells of another kind, masks,
dtypes other than float32, and loops of which more than the outputs and the last states are read,
as a gradient reads them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...core import provenance
from ...core.graph import Graph
from ...core.op import Op
from ...core.types import TupleType, tensor_type
from ...core.variable import ITEM, Variable, item, node
from ...ops.broadcast import REARRANGE, is_zeros
from ...ops.join import CONCATENATE, concatenate
from ...ops.slices import SLICE, Entry, Span, read_slice, slice_axis
from ...rewrite.engine import RuleSet, rule, sweep
from ...rewrite.simplify import SIMPLIFY
from ...scan.op import rebuild_alike
from ...scan.paths import loops_in
from .layers import LAST, ROWS, Layer, StateRead, find_layer
from .rebuild import rebuild_into
from .weights import Fold, packed

__all__ = ["RECURRENT", "Recurrent", "fuse_layers"]

_FLOAT32 = np.dtype("float32")


@dataclass(frozen=True)
class Recurrent:
    """What a node of `RECURRENT` is.

    Its inputs are the sequence [T, B, features]; for all directions together, as ONNX has them,
    W [D, gates · n, features], R [D, gates · n, n], B [D, 2 · gates · n] and, where there are
    peepholes, P [D, 3 · n]; and, where there are initial states, each [D, B, n]. Its results are
    the outputs [T, B, D · n], the directions side by side, then for each direction its last states
    [B, n].
    """

    op: str
    """What ONNX calls it: ``"LSTM"``, ``"GRU"`` or ``"RNN"``."""
    direction: str
    """``"forward"``, ``"reverse"`` or ``"bidirectional"``."""
    n_units: int
    n_states: int
    has_peepholes: bool
    has_initials: bool
    activation: str | None
    """The activation of an RNN, where it is not tanh."""
    linear_before_reset: bool
    reads_states: bool
    """Whether last states are read where, after no step at all, they are the initial ones."""
    name: str | None
    """What the user calls the loop."""

    @property
    def n_directions(self) -> int:
        """In how many directions it goes."""
        return 2 if self.direction == "bidirectional" else 1


def _infer_recurrent(inputs: Sequence[Variable], layer: Recurrent) -> TupleType:
    n_steps, batch, _ = inputs[0].type.shape
    n, directions = layer.n_units, layer.n_directions
    outputs = tensor_type(_FLOAT32, (n_steps, batch, directions * n))
    state = tensor_type(_FLOAT32, (batch, n))
    return TupleType([outputs, *[state] * (directions * layer.n_states)])


RECURRENT = Op("recurrent", _infer_recurrent, params=("layer",), traits=frozenset({"traced"}))
"""A recurrent layer as ONNX has it; it is made for export alone."""


def fuse_layers(graph: Graph, fold: Fold) -> Graph:
    """The graph with one node for each loop that is a recurrent layer of ONNX.

    ``fold`` makes constants of weights, laid out as ONNX has them, where their values are known.
    """
    found = [layer for v in loops_in(graph) if (layer := find_layer(v, graph))]
    if not found:
        return graph
    new: dict[Variable, Variable] = {v: v for v in graph.inputs}
    for group in _in_order(_paired(found, graph), graph):
        operands = _Operands(group, fold)
        rebuild_into(operands.all, new)
        fused = node(RECURRENT, [new[v] for v in operands.all], (operands.layer,))
        provenance.hand_on(group[0].scan, fused)
        for direction, layer in enumerate(group):
            new.update(_results(fused, direction, layer, graph))
    rebuild_into(graph.outputs, new)
    fused_graph = Graph((*graph.inputs, *fold.more), [new[v] for v in graph.outputs])
    return sweep(
        fused_graph, SIMPLIFY + RuleSet(join_directions, join_stacked), rebuild=rebuild_alike
    )


@rule("concatenate", of="f", reads=("slice",))
def join_directions(v: Variable) -> Variable | None:
    """concatenate(y[..., :n], y[..., n:]) → y."""
    parts, axis = v.inputs, v.params[0]
    whole, size = parts[0].inputs[0] if parts[0].op is SLICE else v, 0
    if whole.type is not v.type:
        return None
    for part in parts:
        if part.op is not SLICE or part.inputs != (whole,):
            return None
        *before, span = part.params[0][: axis + 1]
        if any(entry is not None for entry in (*before, *part.params[0][axis + 1 :])):
            return None
        if not isinstance(span, Span) or (span.start, span.step) != (size, 1):
            return None
        size = span.stop
    return whole if size is None or size == whole.type.shape[axis] else None


@rule("reshape", of="f", reads=("rearrange",))
def join_stacked(v: Variable) -> Variable | None:
    """Directions stacked on an axis of their own, which then joins the last → concatenate(…).

    This is how models have it whose nodes have both directions.
    """
    moved = v.inputs[0]
    stacked = moved.inputs[0]
    if moved.params != ((0, 2, 1, 3),) or stacked.op is not CONCATENATE or stacked.params != (1,):
        return None
    if any(x.op is not REARRANGE or x.params != ((0, None, 1, 2),) for x in stacked.inputs):
        return None
    joined = concatenate([x.inputs[0] for x in stacked.inputs], axis=2)
    return joined if joined.type is v.type else None


# --- which loops are one node -------------------------------------------------------------------


Group = tuple[Layer, ...]


def _paired(layers: Sequence[Layer], graph: Graph) -> list[Group]:
    """Each layer alone, or with the one of the same kind that goes through the same sequence in the
    other direction: where there are several, the one whose outputs are joined to its own."""
    joined = _joined(graph)
    backward = [layer for layer in layers if layer.is_reverse]
    groups: list[Group] = []
    for layer in layers:
        if layer.is_reverse:
            continue
        alike = [other for other in backward if other.kind == layer.kind]
        alike.sort(key=lambda other: (layer.scan, other.scan) not in joined)
        if alike:
            backward.remove(alike[0])
        groups.append((layer, *alike[:1]))
    return [*groups, *((layer,) for layer in backward)]


def _joined(graph: Graph) -> set[tuple[Variable, Variable]]:
    """The pairs of loops whose outputs are put side by side."""
    pairs: set[tuple[Variable, Variable]] = set()
    for v in graph.nodes:
        if v.op is CONCATENATE and len(v.inputs) == 2:
            first, second = map(_source, v.inputs)
            pairs.add((first, second))
    return pairs


def _source(v: Variable) -> Variable:
    """What a variable is a part of."""
    while v.op is SLICE or v.op is ITEM:
        v = v.inputs[0]
    return v


def _in_order(groups: Sequence[Group], graph: Graph) -> Iterator[Group]:
    """The groups, each after those that its operands are made of; pairs for which this cannot be,
    such as where the one begins with the other's last state, in two."""
    bits = {layer.scan: 1 << k for k, layer in enumerate(itertools.chain(*groups))}
    needs: dict[Variable, int] = {}  # the loops that each variable is made of
    for v in graph.nodes:
        below = (needs[x] | bits.get(x, 0) for x in v.inputs)
        needs[v] = functools.reduce(int.__or__, below, 0)
    pending, done = list(groups), 0
    while pending:
        ready = [g for g in pending if not any(needs[layer.scan] & ~done for layer in g)]
        if not ready:
            pair = next(group for group in pending if len(group) == 2)
            pending.remove(pair)
            pending += [(layer,) for layer in pair]
        for group in ready:
            yield group
            pending.remove(group)
            done |= sum(bits[layer.scan] for layer in group)


# --- the node -----------------------------------------------------------------------------------


class _Operands:
    """What a node is made of, in the terms of the graph before, and what it is."""

    def __init__(self, group: Group, fold: Fold) -> None:
        first, cell = group[0], group[0].cell
        weights = packed(group, fold)
        initials = _initials(group)
        self.all = [first.x, *weights.values(), *initials]
        direction = "reverse" if first.is_reverse else "forward"
        self.layer = Recurrent(
            op=cell.op,
            direction="bidirectional" if len(group) == 2 else direction,
            n_units=first.n_units,
            n_states=cell.n_states,
            has_peepholes="P" in weights,
            has_initials=bool(initials),
            activation=cell.activation,
            linear_before_reset=cell.linear_before_reset,
            reads_states=any(_may_read_initial(layer) for layer in group),
            name=first.scan.name,
        )


def _initials(group: Group) -> list[Variable]:
    """For each state the initial ones of all directions; none where all are zeros."""
    states = list(zip(*(layer.initials for layer in group), strict=True))
    if all(is_zeros(v) for state in states for v in state):
        return []
    return [concatenate(state) for state in states]


def _may_read_initial(layer: Layer) -> bool:
    n_steps = layer.x.type.shape[0]
    return not isinstance(n_steps, int) and any(read.first == LAST for read in layer.reads)


def _results(
    fused: Variable, direction: int, layer: Layer, graph: Graph
) -> dict[Variable, Variable]:
    """What is read of a loop, in terms of the node in its place."""
    n, n_states = layer.n_units, layer.cell.n_states
    outputs = slice_axis(item(fused, 0), 2, direction * n, (direction + 1) * n)
    last = [item(fused, 1 + direction * n_states + k) for k in range(n_states)]
    over_time = outputs[::-1] if layer.is_reverse else outputs
    new: dict[Variable, Variable] = {}
    for read in layer.reads:
        if read.first == LAST:
            new[read.node] = read_slice(last[read.state], read.others, ())
            continue
        new[read.node] = read_slice(over_time, (_without_initial(read.first), *read.others), ())
        if read.first == ROWS:
            new.update(_last_rows(read, last[0], graph))
    return new


def _without_initial(entry: Entry) -> Span:
    """The entry on a buffer as one on what follows the initial state."""
    assert isinstance(entry, Span)
    assert isinstance(entry.start, int)
    stop = entry.stop
    return Span(
        entry.start - 1, stop - 1 if isinstance(stop, int) and stop > 0 else stop, entry.step
    )


def _last_rows(read: StateRead, last: Variable, graph: Graph) -> dict[Variable, Variable]:
    """The last rows of outputs: those are the last state as well."""
    if any(read.others):
        return {}
    return {
        user: read_slice(last, user.params[0][1:], ())
        for user, _ in graph.users[read.node]
        if user.op is SLICE and len(user.inputs) == 1 and user.params[0][0] == LAST
    }

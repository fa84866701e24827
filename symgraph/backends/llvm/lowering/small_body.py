"""Which loops are small: a step of them is a few elementwise operations, or on a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ....core.dims import Size, floor_div, product
from ....core.graph import Graph
from ....core.variable import Variable
from ....ops.broadcast import SUM
from ....ops.elementwise import ADD, SUBTRACT
from ....scan.op import Loop, State
from ..code.cpu import Cpu
from ..kernels.small_loop import most_lanes
from .small_elements import are_few_elements

__all__ = ["SmallBody", "Total", "small_body", "steps_at_once"]

# How many values a step may have, operations and what they read: most have to fit registers.
_MOST_VALUES = 128
# How far back a state's oldest tap may go.
_DEEPEST = 8
# How many elements of all steps are computed between two looks for Ctrl-C. Rows so long are
# computed step by step, as neighbours do not wait for each other.
_AT_ONCE = 4096
# The same for loops that may end at any step, whose room grows by so many rows at first.
_AT_ONCE_UNTIL = 512


class Total(NamedTuple):
    """A state that nobody reads but to add to it: what is added at each step, summed over axes."""

    value: Variable
    axes: tuple[int, ...]
    is_subtracted: bool


class SmallBody(NamedTuple):
    """A small step: the shape of a row, and which states are totals."""

    space: tuple[Size, ...]
    totals: Mapping[int, Total]
    are_elements: bool = False
    """Whether each element is a number of its own, and rows are of one number."""


def small_body(
    loop: Loop,
    outputs: Sequence[Variable],
    few_rows: Sequence[int | None],
    cpu: Cpu,
    *,
    shared_from: int | None = None,
) -> SmallBody | None:
    """The step, where it is small; None where it is not, or where rows are known to be so long that
    a kernel has enough to do for one step.

    ``outputs`` are the plain outputs that are read, ``few_rows`` tells of each state how many last
    rows are kept, or None for all. From the length ``shared_from`` on threads share rows.
    """
    pairs = zip(loop.states, few_rows, strict=True)
    depths = [count or state.depth for state, count in pairs]
    if len(loop.body.nodes) + sum(depths) > _MOST_VALUES or max(depths, default=0) > _DEEPEST:
        return None
    ends = [] if loop.condition is None else [loop.condition]
    if all(v.op.formula or v.op is SUM for v in loop.body.nodes if v.inputs):
        totals = {
            i: total
            for i, state in enumerate(loop.states)
            if few_rows[i] == 1 and (total := _total(loop, state)) is not None
        }
        needed = [total.value for total in totals.values()]
        needed += [state.new for i, state in enumerate(loop.states) if i not in totals]
        graph = Graph(loop.body.inputs, [*needed, *outputs, *ends])
        space = _space(graph, cpu, shared_from=shared_from)
        if space is not None:
            return SmallBody(space, totals)
    needed = [*(state.new for state in loop.states), *outputs, *ends]
    if are_few_elements(loop, depths, needed):
        return SmallBody((), {}, are_elements=True)
    return None


def _space(graph: Graph, cpu: Cpu, *, shared_from: int | None) -> tuple[Size, ...] | None:
    """The shape of a row in a step that is elementwise; None where there are several, or rows have
    enough to do."""
    computed = [v for v in graph.nodes if v.inputs]
    if len(graph.outputs) > _MOST_VALUES or any(v.op.formula is None for v in computed):
        return None
    spaces = {v.type.shape for v in (*computed, *graph.outputs) if v.type.shape}
    if len(spaces) > 1:
        return None
    space = next(iter(spaces), ())
    size = product(space)
    if isinstance(size, int):
        widest = max((v.dtype for v in graph.nodes), key=lambda dtype: dtype.itemsize)
        longest = max(1, most_lanes(cpu.lanes(widest), cpu))
        is_shared = shared_from is not None and size >= shared_from
        return space if 0 < size <= longest or is_shared else None
    # Beside rows without elements a number still has to be computed.
    return space if all(v.type.shape for v in graph.outputs) else None


def _total(loop: Loop, state: State) -> Total | None:
    """The state as a total, if it is one."""
    new, outputs, users = state.new, loop.body.outputs, loop.body.users
    if new.op not in (ADD, SUBTRACT) or state.depth > 1 or new.dtype.kind not in "fiu":
        return None
    symbol = state.taps[-1]
    if new.inputs.count(symbol) != 1:
        return None
    if len(users[symbol]) > 1 or symbol in outputs or users[new] or outputs.count(new) > 1:
        return None
    is_subtracted = new.op is SUBTRACT
    x = new.inputs[1 - new.inputs.index(symbol)]
    if x.op is not SUM or x.params[1] or (is_subtracted and x is new.inputs[0]):
        return None
    return Total(x.inputs[0], x.params[0], is_subtracted) if x.type is new.type else None


def steps_at_once(space: tuple[Size, ...], *, until: bool) -> Size:
    """How many steps a call of the kernel takes."""
    size = product(space)
    if not isinstance(size, int):
        return floor_div(_AT_ONCE, size + 1) + 1
    if not until:
        return max(1, _AT_ONCE // size)
    return 1 << max(0, (_AT_ONCE_UNTIL // size).bit_length() - 1)

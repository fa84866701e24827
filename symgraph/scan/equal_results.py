"""Results of a loop that are the same, made one.

Two states are one where they begin with the same rows and their new values are the same
expressions, of states that are one themselves: assumed of all that begin alike, and taken back
where the expressions differ, until nothing changes (partition refinement, as in the minimisation of
automata). Two plain outputs are one where they are the same expressions then.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core import provenance
from ..core.graph import replace
from ..core.variable import Variable, item
from .op import Loop, Read, State, make_loop, rebuild_alike

__all__ = ["merge_equal_results"]

_Leaf = tuple[str | int, ...]
"""What a symbol stands for, by serials and numbers."""


def merge_equal_results(scan: Variable, inputs: Sequence[Variable]) -> dict[Variable, Variable]:
    """For each result of the loop what it is of the loop on these inputs, equal results once."""
    loop = Loop(rebuild_alike(scan, inputs))
    if loop.layout.has_checkpoints or max(len(loop.states), len(loop.outputs)) < 2:
        return {item(scan, i): item(loop.node, i) for i in range(len(scan.type.items))}
    states = _classes_of_states(loop)
    values = [state.new for state in loop.states] + list(loop.outputs)
    leaves = _leaves(loop, states)
    outputs: list[int] = []
    for k, output in enumerate(loop.outputs):
        same = (j for j in range(k) if outputs[j] == j and _same(output, loop.outputs[j], leaves))
        outputs.append(next(same, k))
    firsts = [*states, *(len(states) + k for k in outputs)]
    kept = [i for i, first in enumerate(firsts) if first == i]
    if len(kept) == len(values):
        return {item(scan, i): item(loop.node, i) for i in range(len(values))}
    merged = _with_results(loop, states, kept)
    places = {i: place for place, i in enumerate(kept)}
    return {item(scan, i): item(merged, places[first]) for i, first in enumerate(firsts)}


def _classes_of_states(loop: Loop) -> list[int]:
    """For each state the number of the first that is the same."""
    begins: dict[tuple[Variable, object], int] = {}
    states = loop.states
    classes = [begins.setdefault((s.initial, s.new.type), i) for i, s in enumerate(states)]
    changed = len(begins) < len(states)
    while changed:
        leaves, changed = _leaves(loop, classes), False
        refined: list[int] = []
        for i, state in enumerate(states):
            alike = (
                j
                for j in range(i)
                if refined[j] == j
                and classes[j] == classes[i]
                and _same(state.new, states[j].new, leaves)
            )
            refined.append(next(alike, i))
        changed, classes = refined != classes, refined
    return classes


def _leaves(loop: Loop, classes: Sequence[int]) -> dict[Variable, _Leaf]:
    """For each symbol of the body what it stands for, where states of a class are one."""
    leaves: dict[Variable, _Leaf] = {
        read.symbol: ("row", read.sequence.serial, read.offset) for read in loop.reads
    }
    for first, state in zip(classes, loop.states, strict=True):
        leaves |= {symbol: ("state", first, tap) for tap, symbol in state.taps.items()}
    return leaves | {symbol: ("fixed", outer.serial) for symbol, outer in loop.fixed.items()}


def _same(first: Variable, second: Variable, leaves: dict[Variable, _Leaf]) -> bool:
    """Whether two values of the body are the same expressions of what their symbols stand for."""
    pending, seen = [(first, second)], set[tuple[Variable, Variable]]()
    while pending:
        pair = x, y = pending.pop()
        if x is y or pair in seen:
            continue
        seen.add(pair)
        if x in leaves or y in leaves:
            if leaves.get(x) != leaves.get(y):
                return False
            continue
        alike = x.op is y.op and x.params == y.params and len(x.inputs) == len(y.inputs)
        if not alike or not x.inputs or "effect" in x.op.traits:
            return False
        pending += zip(x.inputs, y.inputs, strict=True)
    return True


def _with_results(loop: Loop, classes: Sequence[int], kept: Sequence[int]) -> Variable:
    """The loop with these results alone, on symbols that stand for whole classes."""
    symbols: dict[tuple[int, int], Variable] = {}
    one_for: dict[Variable, Variable] = {}
    for first, state in zip(classes, loop.states, strict=True):
        for tap, symbol in state.taps.items():
            one_for[symbol] = symbols.setdefault((first, tap), symbol)
    rows: dict[tuple[Variable, int], Read] = {}
    for read in loop.reads:
        one_for[read.symbol] = rows.setdefault((read.sequence, read.offset), read).symbol
    values = [state.new for state in loop.states] + list(loop.outputs)
    ends = [values[i] for i in kept] + ([] if loop.condition is None else [loop.condition])
    new = replace(ends, one_for, keep_lines=True)
    condition = None if loop.condition is None else new.pop()
    states = [
        State(
            loop.states[i].initial,
            {tap: symbol for (first, tap), symbol in symbols.items() if first == i},
            value,
        )
        for i, value in zip(kept, new, strict=True)
        if i < len(loop.states)
    ]
    return make_loop(
        loop.n_steps,
        list(rows.values()),
        states,
        new[len(states) :],
        condition=condition,
        fixed=loop.fixed,
        truncate=loop.layout.truncate,
        is_over_chunks=loop.layout.is_over_chunks,
        instead_of=(loop.node, kept),
        name=loop.node.name,
        lines=provenance.lines_of(loop.node),
    )

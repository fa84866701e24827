"""Results of a loop that are the same, made one.

Two states are one where they begin with the same rows and their new values are the same
expressions, of states that are one themselves: assumed of all that begin alike, and taken back
where the expressions differ, until nothing changes (partition refinement, as in the minimisation of
automata). Two plain outputs are one where they are the same expressions then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.graph import replace
from ..core.variable import Variable, item
from .op import Loop, Read, State, make_loop_instead, rebuild_alike

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
    numbers = _numbers(loop, states)
    first_with: dict[int, int] = {}
    outputs = [first_with.setdefault(numbers[v], k) for k, v in enumerate(loop.outputs)]
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
        numbers, first_with = _numbers(loop, classes), dict[tuple[int, int], int]()
        keys = [(which, numbers[s.new]) for which, s in zip(classes, states, strict=True)]
        refined = [first_with.setdefault(key, i) for i, key in enumerate(keys)]
        changed, classes = refined != classes, refined
    return classes


def _numbers(loop: Loop, classes: Sequence[int]) -> Mapping[Variable, int]:
    """A number for each value of the body, the same for the same expressions of what their symbols
    stand for, where states of a class are one."""
    leaves = _leaves(loop, classes)
    if len(set(leaves.values())) == len(leaves):
        return {v: v.serial for v in loop.body.nodes}  # the same expressions are one variable
    numbers: dict[Variable, int] = {}
    first_with: dict[tuple[Any, ...], int] = {}
    for v in loop.body.nodes:
        key: tuple[Any, ...] = leaves.get(v, (v.serial,))
        if v.inputs and "effect" not in v.op.traits:
            key = (v.op, v.params, *[numbers[x] for x in v.inputs])
        numbers[v] = first_with.setdefault(key, v.serial)
    return numbers


def _leaves(loop: Loop, classes: Sequence[int]) -> dict[Variable, _Leaf]:
    """For each symbol of the body what it stands for, where states of a class are one."""
    leaves: dict[Variable, _Leaf] = {
        read.symbol: ("row", read.sequence.serial, read.offset) for read in loop.reads
    }
    for first, state in zip(classes, loop.states, strict=True):
        leaves |= {symbol: ("state", first, tap) for tap, symbol in state.taps.items()}
    return leaves | {symbol: ("fixed", outer.serial) for symbol, outer in loop.fixed.items()}


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
    return make_loop_instead(
        loop,
        kept,
        loop.n_steps,
        list(rows.values()),
        states,
        new[len(states) :],
        condition=condition,
        fixed=loop.fixed,
        ending=loop.ending,
    )

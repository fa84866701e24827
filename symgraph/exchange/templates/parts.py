"""Places in a graph where something else is to stand, those in the bodies of loops included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from ...core import provenance
from ...core.errors import ExchangeError
from ...core.graph import Graph
from ...core.size_differences import known_different
from ...core.variable import ITEM, Variable, ancestors, make_input
from ...ops.create import zeros
from ...ops.sizes import check_size
from ...scan.op import Loop, State, is_scan, make_loop_instead, rebuild_alike

__all__ = ["Find", "Place", "change_everywhere", "in_place_of", "nodes_of", "with_ends"]


class Place(NamedTuple):
    """A node in whose place something else is to stand, made of these operands."""

    operands: Sequence[Variable]
    make: Callable[[Sequence[Variable]], Sequence[Variable] | None]
    """From the operands, which have changed themselves by then, one variable for each of the node's
    results; None where the node is to stay after all."""


Find: TypeAlias = Callable[[Variable], Place | None]
"""What a node is to be replaced by; None where it stays."""


def change_everywhere(
    outputs: Sequence[Variable], find: Find, stops: Iterable[Variable] = ()
) -> list[Variable]:
    """The outputs with everything that ``find`` finds replaced, in the bodies of loops too.

    ``find`` is asked from the outputs down, and goes on below the operands of what it finds; about
    what it put in place it is not asked. Nothing below ``stops`` is looked at.
    """
    return _Changed(find).outputs(outputs, stops)


def nodes_of(outputs: Sequence[Variable]) -> Iterator[Variable]:
    """All that the outputs are made of, the bodies of loops and of composites included."""
    seen: set[Graph] = set()
    pending: list[Sequence[Variable]] = [ancestors(outputs)]
    while pending:
        for v in pending.pop():
            yield v
            bodies = [p for p in v.params if isinstance(p, Graph) and p not in seen]
            seen.update(bodies)
            pending += [body.nodes for body in bodies]


class _Changed:
    """A graph in the making, part by part: what is outside of loops, and their bodies."""

    def __init__(self, find: Find) -> None:
        self.find = find
        self.bodies: dict[Graph, tuple[list[Variable], list[Variable], bool]] = {}
        """For each body its symbols, what it computes of them, and whether that is new."""

    def outputs(
        self, outputs: Sequence[Variable], stops: Iterable[Variable] = ()
    ) -> list[Variable]:
        """The outputs of one part."""
        new: dict[Variable, Variable] = {v: v for v in stops}
        places: dict[Variable, Place | None] = {}
        results: dict[Variable, Sequence[Variable]] = {}
        stack = list(reversed(outputs))
        while stack:
            v = stack[-1]
            if v in new:
                stack.pop()
                continue
            if v not in places:
                places[v] = self.find(v)
            place = places[v]
            operands = v.inputs if place is None else place.operands
            missing = [x for x in operands if x not in new]
            if missing:
                stack.extend(reversed(missing))
                continue
            if place is not None:
                changed = place.make([new[x] for x in operands])
                if changed is None:
                    places[v] = None
                    continue
                results[v] = changed
                # Of several results nothing is left: those that read them are items.
                new[v] = changed[0] if len(changed) == 1 else v
            elif v.op is ITEM and v.inputs[0] in results:
                new[v] = results[v.inputs[0]][v.params[0]]
            else:
                new[v] = self._on(v, [new[x] for x in operands])
            if new[v] is not v:
                _hand_on(v, new[v])
        return [new[v] for v in outputs]

    def _on(self, v: Variable, inputs: Sequence[Variable]) -> Variable:
        """The node on changed operands, with a changed body where it is a loop."""
        if tuple(inputs) != v.inputs:
            rebuilt = rebuild_alike(v, inputs)
            provenance.hand_on_all(v, rebuilt)
            v = rebuilt
        return self._loop(Loop(v)) if is_scan(v) else v

    def _loop(self, loop: Loop) -> Variable:
        """The loop with a changed body; itself where nothing in there changes."""
        if loop.body not in self.bodies:
            symbols = [make_input(x.type) for x in loop.body.inputs]
            before = loop.body(*symbols)
            after = self.outputs(before, symbols)
            for old, new in zip(before, after, strict=True):
                in_place_of(old, new, f"a rule, in the {_described(loop)}")
            self.bodies[loop.body] = (symbols, after, before != after)
        symbols, ends, is_changed = self.bodies[loop.body]
        return with_ends(loop, symbols, ends) if is_changed else loop.node


def _described(loop: Loop) -> str:
    return f"loop {loop.node.name!r}" if loop.node.name else "loop"


def with_ends(loop: Loop, symbols: Sequence[Variable], ends: Sequence[Variable]) -> Variable:
    """The loop with other expressions, of these symbols, for what its body computes."""
    symbol_of = dict(zip(loop.body.inputs, symbols, strict=True))
    values = list(ends)
    condition = values.pop() if loop.condition is not None else None
    states = [
        State(state.initial, {tap: symbol_of[v] for tap, v in state.taps.items()}, new)
        for state, new in zip(loop.states, values, strict=False)
    ]
    return make_loop_instead(
        loop,
        range(len(values)),
        loop.n_steps,
        [read._replace(symbol=symbol_of[read.symbol]) for read in loop.reads],
        states,
        values[len(states) :],
        condition=condition,
        fixed={symbol_of[v]: outer for v, outer in loop.fixed.items()},
        ending=loop.ending,
    )


def _hand_on(old: Variable, new: Variable) -> None:
    """Give what replaces a variable its name and notes, where it has none."""
    if not new.inputs:
        return
    if old.name and new.name is None:
        provenance.set_name(new, old.name)
    provenance.carry_notes(old.notes, new)


def in_place_of(
    old: Variable, new: Variable, what: str, sources: Iterable[Variable] = ()
) -> Variable:
    """``new``, which is to replace ``old``; an `ExchangeError` where it is no such thing.

    ``what`` made it. Its sizes become those of the old one, where these are numbers or can be read
    off the sources.
    """
    if new.type is old.type:
        return new
    sizes = zip(old.type.shape, new.type.shape, strict=False)
    is_other = old.dtype != new.dtype or old.ndim != new.ndim
    if is_other or any(known_different(a, b) for a, b in sizes):
        raise ExchangeError.here(
            f"{what} gives {new.type} in place of {provenance.describe(old)}",
            remedy="A replacement has the dtype and shape of what it replaces.",
        )
    for axis, size in enumerate(old.type.shape):
        if size is new.type.shape[axis]:
            continue
        if isinstance(size, int):
            new = check_size(new, axis, zeros(size), 0, what)
            continue
        source = next((x for x in sources if size in x.type.shape), None)
        if source is not None:
            new = check_size(new, axis, source, source.type.shape.index(size), what)
    return new

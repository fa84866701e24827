"""Which nodes are computed together: groups of elementwise and reducing nodes over one space.

A node joins a group over its own space unless that would make the group depend on itself by way of
others. Reductions join the group that computes their operand; all reductions of a group are over
the same axes. Everything else is a group of its own.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from ....core.dims import Size
from ....core.op import Op
from ....core.variable import Variable

__all__ = ["Group", "cluster"]

# How many nodes a kernel computes, however cheap it is to go on: registers are few.
MAX_NODES = 48
# How many groups a node may join: with more of them, those before are closed.
MAX_OPEN = 256


@dataclass(eq=False)
class Group:
    """Nodes that one kernel (or one call) computes."""

    number: int
    space: tuple[Size, ...] | None
    """None: a single node that is no loop nest."""
    nodes: list[Variable] = field(default_factory=list)
    reduced: frozenset[int] = frozenset()
    read: set[Variable] = field(default_factory=set)
    """The nodes and the owners of what they read."""
    bit: int = 1
    """This group as a bit: another one than those of all groups that are open with it."""
    sources: int = 0
    """The open groups that this one depends on, directly or not, as bits."""


def _reduced_axes(v: Variable) -> frozenset[int]:
    """The axes over which a reducing node reduces."""
    axes = v.params[0]
    return frozenset(axes if isinstance(axes, tuple) else (axes,))


def cluster(
    nodes: Sequence[Variable], root_of: Mapping[Variable, Variable], reductions: Container[Op]
) -> list[Group]:
    """The groups of these nodes, in an order in which they can be computed.

    ``root_of`` tells for each variable whose buffer it lies in; nodes that are views are left out.
    """
    closed: list[Group] = []
    groups: list[Group] = []
    group_of: dict[Variable, Group] = {}
    by_space: dict[tuple[Size, ...], list[Group]] = {}
    for v in nodes:
        reduces = v.op in reductions
        space = None
        if reduces or v.op.formula is not None:
            space = (v.inputs[0] if reduces else v).type.shape
        producers = {root_of[x] for x in v.inputs}
        direct = [group_of[r] for r in producers if r in group_of]
        direct = [group for group in direct if group.number >= len(closed)]
        home = None
        if space is not None:
            axes = _reduced_axes(v) if reduces else frozenset()
            for group in reversed(by_space.get(space, ())):
                if _may_join(v, group, direct, axes, root_of):
                    home = group
                    break
        if home is None:
            if len(groups) == MAX_OPEN:
                closed += _ordered(groups)
                groups, direct, by_space = [], [], {}
            home = Group(len(closed) + len(groups), space, bit=1 << len(groups))
            groups.append(home)
            if space is not None:
                by_space.setdefault(space, []).append(home)
        _join(v, home, direct, groups, root_of, reduces=reduces)
        group_of[v] = home
    return closed + _ordered(groups)


def _may_join(
    v: Variable,
    group: Group,
    direct: list[Group],
    axes: frozenset[int],
    root_of: Mapping[Variable, Variable],
) -> bool:
    if len(group.nodes) >= MAX_NODES or (axes and group.reduced and axes != group.reduced):
        return False
    if axes and not any(root_of[x] in group.read for x in v.inputs):
        return False  # sums of what has nothing in common are better apart: fewer streams
    if any(other is not group and other.sources & group.bit for other in direct):
        return False
    if not group.space:
        # A scalar that waits for more would keep those that read the others waiting.
        needed = 0
        for other in direct:
            needed |= other.sources | (0 if other is group else other.bit)
        if needed != group.sources:
            return False
    # A value of the group must be read where it is computed, not through a view or as a total.
    members = set(group.nodes)
    return not any(
        root_of[x] in members and (root_of[x] is not x or x.op.formula is None) for x in v.inputs
    )


def _join(
    v: Variable,
    group: Group,
    direct: list[Group],
    groups: list[Group],
    root_of: Mapping[Variable, Variable],
    *,
    reduces: bool,
) -> None:
    before = group.sources
    for other in direct:
        if other is not group:
            group.sources |= other.sources | other.bit
    group.nodes.append(v)
    group.read.add(v)
    group.read.update(root_of[x] for x in v.inputs)
    if reduces:
        group.reduced = _reduced_axes(v)
    if group.sources != before:
        # Those that depend on the group depend on what it depends on.
        for other in groups:
            if other.sources & group.bit:
                other.sources |= group.sources


def _ordered(groups: list[Group]) -> list[Group]:
    """The groups, each after those that it depends on."""
    return sorted(groups, key=lambda group: (group.sources.bit_count(), group.number))

"""What is written of a scope: its groups, one after the other or several together.

Elementwise work and reductions become loop nests, other nodes are written by their lowerings, and
what has none is called back in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from ....core.dims import Size
from ....core.variable import Variable
from ..analysis.cluster import Group
from ..analysis.layout import View
from ..analysis.schedule import is_large, is_lopsided, stages
from ..analysis.values import NO_FACTS, SizeCheck
from .nests import nest_of
from .program import Place
from .python_nodes import call_python
from .records import LOWERINGS
from .scope import Scope

__all__ = ["write_scope"]


def write_scope(scope: Scope, destinations: Mapping[Variable, Sequence[Place]]) -> None:
    """Append the program of the scope, its outputs stored at their destinations."""
    scope.lay_outputs(destinations)
    groups = scope.groups()
    scope.bind_sizes(v for v in scope.values.told_by if not scope.is_computed(v))
    checks, n_known = scope.values.size_checks(), -1
    for stage in _stages(scope, groups):
        if n_known < scope.assembler.n_known:
            checks, n_known = _write_checks(scope, checks), scope.assembler.n_known
        _write_stage(scope, stage)
        for group in stage:
            scope.bind_sizes(group.nodes)
            scope.release(group)
    _write_checks(scope, checks)
    for v, targets in scope.copies.items():
        for target in targets:
            scope.builder.copy(scope.place(v), target, v.type.shape, v.dtype)


def _write_checks(scope: Scope, checks: list[SizeCheck]) -> list[SizeCheck]:
    """Write the checks of sizes that are known by now; the others are given back."""
    builder, a = scope.builder, scope.assembler
    later = []
    for check in checks:
        name, v, *sizes = check
        if not all(map(a.is_bound, sizes)):
            later.append(check)
            continue
        builder.node = v
        slots = [a.size(s) for s in sizes]
        status = builder.check(v, *slots)
        # At entry for all steps at once; a loop without steps checks nothing.
        if all(map(a.is_known_at_entry, (*sizes, builder.runs))):
            compared = [a.size(s * builder.runs) for s in sizes]
            a.prologue.emit_raw(a.runtime[name], *compared, status)
        else:
            a.run(name, *slots, status)
    return later


# --- one after the other, or together -----------------------------------------------------------


def _stages(scope: Scope, groups: list[Group]) -> Iterable[list[Group]]:
    """What is written one after the other: groups, or several that may run at once."""
    builder = scope.builder
    if builder.idle_threads == 1:
        return ([group] for group in groups)

    def may_share(group: Group) -> bool:
        work = builder.works.of(group.nodes)
        return scope.assembler.is_bound(work) and is_large(work)

    return stages(groups, scope.values.producers, may_share)


def _write_stage(scope: Scope, stage: list[Group]) -> None:
    parts = _parts(scope, stage)
    if len(parts) > 1:
        works = [_work(scope, part) for part in parts]
        # Threads may take each apart instead.
        are_divisible = all(_packed(scope, group) is not None for group in stage)
        if not (are_divisible and is_lopsided(works, scope.builder.threads)):
            writers = [partial(_write_groups, scope, part) for part in parts]
            scope.builder.write_together(list(zip(works, writers, strict=True)))
            return
    _write_groups(scope, stage)


def _parts(scope: Scope, stage: list[Group]) -> list[list[Group]]:
    """The groups of a stage, those together that share what they pack."""
    parts: dict[View | Variable, list[Group]] = {}
    for group in stage:
        parts.setdefault(_packed(scope, group) or group.nodes[0], []).append(group)
    return list(parts.values())


def _packed(scope: Scope, group: Group) -> View | None:
    """The operand that the group packs."""
    packs = scope.builder.facts.get(group.nodes[0].op, NO_FACTS).packs
    return None if packs is None else scope.values.views[packs(group.nodes[0])]


def _work(scope: Scope, groups: list[Group]) -> Size:
    return scope.builder.works.of(v for group in groups for v in group.nodes)


def _write_groups(scope: Scope, groups: list[Group]) -> None:
    for group in groups:
        scope.builder.timed(group.nodes, partial(_write_group, scope, group))


def _write_group(scope: Scope, group: Group) -> None:
    if group.space is not None:
        nest = nest_of(scope, group)
        if nest.outputs:  # else nobody reads more of the values than their sizes
            scope.builder.nest(nest)
        return
    (v,) = group.nodes
    lowering = LOWERINGS.get(v.op)
    if lowering is None or lowering.write is None or not lowering.write(scope, v):
        call_python(scope, v)

"""Where cotangents can flow: which variables let them through, and by which path."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.types import TupleType, is_float
from ..core.variable import ITEM, Variable, ancestors, make_input
from ..ops.elementwise import add

__all__ = ["Path", "carries_gradient", "find_path", "is_differentiable", "maker", "step_inputs"]


def is_differentiable(type: Any) -> bool:
    """Whether values of the type have derivatives: floats do."""
    return isinstance(type, TupleType) or is_float(type.dtype)


def carries_gradient(variable: Variable) -> bool:
    """Whether cotangents can pass through the variable to its inputs."""
    return variable.op.vjp is not None and is_differentiable(variable.type)


def step_inputs(variable: Variable) -> Collection[Variable]:
    """The inputs of the variable's op by which its gradient is zero where none arrives.

    The op is piecewise constant, or so is what its body makes of them.
    """
    node = maker(variable)
    if not is_differentiable(variable.type):
        return ()
    if "step" in node.op.traits:
        return node.inputs
    if node.op.step_inputs is not None and not isinstance(variable.type, TupleType):
        return node.op.step_inputs(node, variable.params[0] if node is not variable else 0)
    return ()


@dataclass(frozen=True)
class Path:
    """A way from a cost back to a variable."""

    variables: tuple[Variable, ...]
    """The cost first, the variable last."""
    cuts: tuple[Variable, ...]
    """Those that let no cotangent through, in the same order; none: the path is connected."""
    is_zero: bool
    """Whether it is cut by piecewise constant functions alone: the gradient is zero."""


# A path through step functions alone is preferred to any other that is cut.
_STEP, _CUT = 1, 1_000_000


def find_path(
    sources: Sequence[Variable], w: Variable, stop: Iterable[Variable] = ()
) -> Path | None:
    """The path from one of the sources back to ``w`` with the fewest cuts, then the shortest.

    None where no source is made of ``w`` at all. Nothing passes through the variables in ``stop``.
    A result of an op with several stands for the op.
    """
    below = _descendants(sources, w)
    users = _users_of_results(below)
    stopped = set(stop)
    counter = itertools.count()  # settles ties, in the same way each time
    queue: list[tuple[Any, ...]] = [(0, 0, next(counter), v, None) for v in sources if v in below]
    came_from: dict[Variable, Variable | None] = {}
    cut_at: set[tuple[Variable, Variable]] = set()
    while queue:
        cuts, length, _, v, user = heapq.heappop(queue)
        if v in came_from:
            continue
        came_from[v] = user
        if v is w:
            return _trace(came_from, cut_at, w, has_steps_only=cuts < _CUT)
        live = () if v in stopped else _live_inputs(v, () if v in sources else users.get(v, ()))
        for source, cost in _costs(v, live).items():
            if source in below and source not in came_from:
                if cost:
                    cut_at.add((v, source))
                heapq.heappush(queue, (cuts + cost, length + 1, next(counter), source, v))
    return None


def maker(variable: Variable) -> Variable:
    """The node whose op computes the variable: itself, but for one of an op's several results."""
    return variable.inputs[0] if variable.op is ITEM else variable


def _descendants(sources: Sequence[Variable], w: Variable) -> set[Variable]:
    """The variables between the sources and ``w``, both included."""
    below = set()
    for v in ancestors(sources):
        if v is w or any(x in below for x in v.inputs):
            below.add(v)
    return below


def _users_of_results(below: Iterable[Variable]) -> dict[Variable, list[Variable]]:
    """The users of each variable that is one of an op's several results."""
    users: dict[Variable, list[Variable]] = {}
    for v in below:
        for x in v.inputs:
            if x.op is ITEM:
                users.setdefault(x, []).append(v)
    return users


def _costs(user: Variable, live: Collection[Variable]) -> dict[Variable, int]:
    """What it costs a path to go from a user back to each input of its op, given the live ones.

    Among integers nothing flows anyway; what counts is the op that leaves the floats.
    """
    cut = [x for x in maker(user).inputs if x not in live and is_differentiable(x.type)]
    steps = step_inputs(user) if cut else ()
    costs = dict.fromkeys(maker(user).inputs, 0)
    return costs | {x: _STEP if x in steps else _CUT for x in cut}


def _live_inputs(v: Variable, users: Sequence[Variable]) -> list[Variable]:
    """The inputs of the variable's op to which it hands a cotangent, found by asking the op.

    One of several results is asked with what its users would hand to it: of a loop's state they
    read the new rows, which do not depend on the initial ones unless a step reads these.
    """
    node = maker(v)
    if not (carries_gradient(v) and carries_gradient(node)):
        return []
    cotangent: Any = _handed_on(users, v)
    if node is not v:
        cotangent = tuple(
            cotangent if i == v.params[0] else None for i in range(len(node.type.items))
        )
    assert node.op.vjp is not None
    arriving = node.op.vjp(node, cotangent)
    return [x for x, ct in zip(node.inputs, arriving, strict=True) if ct is not None]


def _handed_on(users: Sequence[Variable], v: Variable) -> Variable:
    """A cotangent of the variable such as its users hand on; any, where one is a loop itself."""
    total: Variable | None = None
    for user in users:
        if isinstance(user.type, TupleType):
            return make_input(v.type)
        if not carries_gradient(user):
            continue
        assert user.op.vjp is not None
        arriving = user.op.vjp(user, make_input(user.type))
        for source, ct in zip(user.inputs, arriving, strict=True):
            if source is v and ct is not None:
                total = ct if total is None else add(total, ct)
    return make_input(v.type) if total is None else total


def _trace(
    came_from: dict[Variable, Variable | None],
    cut_at: set[tuple[Variable, Variable]],
    w: Variable,
    *,
    has_steps_only: bool,
) -> Path:
    variables = [w]
    is_cut = not is_differentiable(w.type)
    cuts = [w] if is_cut else []
    user = came_from[w]
    while user is not None:
        if (user, variables[-1]) in cut_at:
            cuts.append(user)
        variables.append(user)
        user = came_from[user]
    is_zero = bool(cuts) and has_steps_only and not is_cut
    return Path(tuple(reversed(variables)), tuple(reversed(cuts)), is_zero)

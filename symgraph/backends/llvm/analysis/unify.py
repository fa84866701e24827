"""Checks at the inputs left to the entry, so that what is computed of these finds one size.

A pass has brought the checks of sizes that must agree down to the inputs (`rewrite.unify`). Here
such an input gets the type that its checks give it: the entry compares sizes of arguments anyhow,
before anything is computed.
"""

from __future__ import annotations

from ....core.dims import Size
from ....core.graph import Graph, replace
from ....core.variable import Variable, make_input
from ....ops.sizes import CHECK_SIZE
from ....scan.op import rebuild_alike

__all__ = ["unify_sizes"]


def unify_sizes(graph: Graph) -> tuple[Graph, list[Variable]]:
    """The graph without the checks of its inputs, and these checks."""
    told = {size for v in graph.inputs for size in v.type.shape}
    new: dict[Variable, Variable] = {}
    used: list[Variable] = []
    for x in graph.inputs:
        checks = _checks_of(x, graph, told)
        if checks:
            new[x] = new[checks[-1]] = make_input(checks[-1].type)
            used += checks
    if not new:
        return graph, []
    outputs = replace(graph.outputs, new, rebuild=rebuild_alike)
    return Graph([new.get(x, x) for x in graph.inputs], outputs), used


def _checks_of(x: Variable, graph: Graph, told: set[Size]) -> list[Variable]:
    """The checks by way of which alone an input is read, one upon the other."""
    checks: list[Variable] = []
    outputs = set(graph.outputs)
    while x not in outputs:
        # Whom others are compared with is read for its size alone, which stays what it is.
        users = [user for user, place in graph.users.get(x, ()) if not _is_model(user, place)]
        if len(users) != 1 or users[0].op is not CHECK_SIZE:
            break
        (check,) = users
        size = check.inputs[1].type.shape[check.params[1]]
        if not isinstance(size, int) and size not in told:
            break
        checks.append(check)
        x = check
    return checks


def _is_model(user: Variable, place: int) -> bool:
    return user.op is CHECK_SIZE and place == 1

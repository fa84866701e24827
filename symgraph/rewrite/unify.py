"""Sizes of inputs that must agree, made one at the inputs.

Where ``log(exp(u) + exp(v))`` adds two vectors of sizes that nobody named, the sum checks that they
agree, and only from there on they are one size: the exponentials below have different types, and no
rule sees what they have in common. A check at the inputs unites all that is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar

from ..core import provenance
from ..core.dims import Dim, Size
from ..core.errors import SymgraphError
from ..core.graph import Graph, replace
from ..core.variable import Variable, node
from ..ops.create import zeros
from ..ops.sizes import CHECK_SIZE, preferred_size

__all__ = ["sizes_agree", "with_united_sizes", "with_united_sizes_of_body"]

# For each size the axes of inputs that have it: the input and the axis.
_Places = Mapping[Size, Sequence[tuple[Variable, int]]]
_Pairs = list[tuple[Size, Size]]
# Of which sizes bodies have been made one, in the rewriting that is under way; None where they
# may not.
_of_bodies: ContextVar[_Pairs | None] = ContextVar("sizes united in bodies", default=None)


def with_united_sizes(
    graph: Graph, rewrite: Callable[[Graph], Graph], *, of_steps: bool = False
) -> Graph:
    """What ``rewrite`` makes of the graph in which sizes that a check compares are one.

    They are compared at the inputs. Where no check of them is left (nobody needed the values that
    it was made for), or where they could be one on no call, or on such alone that have empty axes,
    it is what ``rewrite`` makes of the graph as it is.

    ``of_steps``: also those that steps of loops compare, here and in bodies by themselves
    (`with_united_sizes_of_body`). What it is then refuses a call in which they do not agree, even
    if no step is taken: for who has another graph for such a call.
    """
    everywhere = _checks_in(graph, of_steps=of_steps)
    outside = [v for v in everywhere if v in graph.users]
    for checks in (everywhere, outside) if len(outside) < len(everywhere) else (everywhere,):
        united, sizes = _unite(graph, checks)
        rewritten, of_bodies = _rewritten(rewrite, united, [] if of_steps else None)
        # A number that is made of a size would otherwise be another input's.
        if _are_compared(sizes.items(), rewritten.nodes) and (
            not of_bodies or _are_compared(of_bodies, _checks_in(rewritten, of_steps=True))
        ):
            return rewritten
    return _rewritten(rewrite, graph, None)[0]


def with_united_sizes_of_body(body: Graph, rewrite: Callable[[Graph], Graph]) -> Graph:
    """What ``rewrite`` makes of a body in which sizes that its checks compare are one.

    The types of its outputs stay, and the checks as long as its own rewriting has use for them. A
    later pass may do without a state that they were made for, so that they are told to
    `with_united_sizes`, which begins again where none of them is left in the end; outside of it
    nothing is united.
    """
    told = _of_bodies.get()
    if told is None:
        return rewrite(body)
    united, sizes = _unite_body(body)
    rewritten = rewrite(united)
    if not _are_compared(sizes.items(), rewritten.nodes):
        return rewrite(body)
    told += sizes.items()
    return rewritten


def _rewritten(
    rewrite: Callable[[Graph], Graph], graph: Graph, of_bodies: _Pairs | None
) -> tuple[Graph, _Pairs | None]:
    """What ``rewrite`` makes of the graph, and the sizes that it made one in bodies."""
    before = _of_bodies.get()
    try:  # no context manager, which Ctrl-C could leave in force; see `symgraph.core.interrupts`
        _of_bodies.set(of_bodies)
        return rewrite(graph), of_bodies
    finally:
        _of_bodies.set(before)


def sizes_agree(graph: Graph, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether inputs of such shapes agree in all sizes that steps of loops compare."""
    checks = _checks_in(graph, of_steps=True)
    places = _places(graph)
    number = dict(zip(graph.inputs, shapes, strict=True))

    def numbers(size: Size) -> set[int]:
        if isinstance(size, int):
            return {size}
        return {number[x][axis] if x in number else x.type.shape[axis] for x, axis in places[size]}

    return all(
        len(numbers(size) | numbers(model)) == 1
        for size, (model, _) in _united(checks, places).items()
    )


def _checks_in(graph: Graph, *, of_steps: bool) -> list[Variable]:
    """The checks of the graph, and those in bodies of loops."""
    checks: list[Variable] = []
    seen, pending = {graph}, [graph]
    while pending:
        part = pending.pop()
        checks += [v for v in part.nodes if v.op is CHECK_SIZE]
        if of_steps:
            found = (x for v in part.holders for x in v.params if isinstance(x, Graph))
            bodies = [body for body in dict.fromkeys(found) if body not in seen]
            pending += bodies
            seen.update(bodies)
    return checks


def _unite(graph: Graph, checks: Sequence[Variable]) -> tuple[Graph, Mapping[Size, Size]]:
    """The graph with sizes united that are compared, and for each the one that takes its place."""
    places = _places(graph) if checks else {}
    united = _united(checks, places)
    checked: dict[Variable, Variable] = {}
    for size, (model, check) in united.items():
        place = _place_of(model, places)
        for x, axis in places[size]:
            made = _checked(checked.get(x, x), axis, place, check.params[2])
            provenance.hand_on(check, made)
            checked[x] = made
    if not checked:
        return graph, {}
    try:
        outputs = replace(graph.outputs, checked | {made: made for made in checked.values()})
    except SymgraphError:
        return graph, {}
    return Graph(graph.inputs, outputs), {size: model for size, (model, _) in united.items()}


def _unite_body(body: Graph) -> tuple[Graph, Mapping[Size, Size]]:
    """The same for a body, whose outputs keep their types; as it is where they cannot."""
    united, sizes = _unite(body, _checks_in(body, of_steps=False))
    if not sizes:
        return body, {}
    places = _places(body)
    pairs = list(zip(body.outputs, united.outputs, strict=True))
    outputs = [_with_sizes_of(old, new, places) for old, new in pairs]
    if not all(new.type is old.type for (old, _), new in zip(pairs, outputs, strict=True)):
        return body, {}
    return Graph(body.inputs, outputs), sizes


def _are_compared(pairs: Iterable[tuple[Size, Size]], nodes: Iterable[Variable]) -> bool:
    """Whether checks among the nodes make the sizes of each pair equal."""
    equal: dict[Size, Size] = {}
    pairs = list(pairs)
    for v in nodes if pairs else ():
        if v.op is CHECK_SIZE:
            a, b = (_settled(size, equal) for size in _compared(v))
            if a != b:
                equal[a] = b
    return all(_settled(a, equal) == _settled(b, equal) for a, b in pairs)


def _settled(size: Size, united: Mapping[Size, Size]) -> Size:
    while size in united:
        size = united[size]
    return size


def _compared(check: Variable) -> tuple[Size, Size]:
    """The sizes that a check compares."""
    axis, other_axis, _ = check.params
    x, other = check.inputs
    return x.type.shape[axis], other.type.shape[other_axis]


def _with_sizes_of(old: Variable, new: Variable, places: _Places) -> Variable:
    """An output with the sizes that it had, where these are sizes of inputs."""
    for axis, size in enumerate(old.type.shape):
        if new.type.shape[axis] != size and size in places:
            new = _checked(new, axis, places[size][0], "output")
    return new


def _checked(x: Variable, axis: int, place: tuple[Variable, int], context: str) -> Variable:
    """What has the size of a place along an axis, at the call; also where both sizes have names.

    Who said that two named sizes are one may do so: `check_size` would refuse it.
    """
    other, other_axis = place
    return node(CHECK_SIZE, (x, other), (axis, other_axis, context))


def _place_of(size: Size, places: _Places) -> tuple[Variable, int]:
    """Something that has this size, and the axis; of an input, or a number."""
    return (zeros(size), 0) if isinstance(size, int) else places[size][0]


def _places(graph: Graph) -> _Places:
    places: dict[Size, list[tuple[Variable, int]]] = {}
    for x in graph.nodes:
        if "leaf" in x.op.traits:
            for axis, size in enumerate(x.type.shape):
                places.setdefault(size, []).append((x, axis))
    return places


def _united(checks: Sequence[Variable], places: _Places) -> dict[Size, tuple[Size, Variable]]:
    """For sizes of inputs the one that takes their place, and a check that says so."""
    united: dict[Size, Size] = {}
    told: dict[Size, Variable] = {}
    for check in checks:
        a, b = (_settled(size, united) for size in _compared(check))
        model = preferred_size(b, a)
        size = a if model is b else b
        if a == b or not isinstance(size, Dim) or size not in places:
            continue  # two numbers that differ are an error at the call
        if isinstance(model, int) or model in places:
            united[size], told[size] = model, check
    return {size: (_settled(size, united), check) for size, check in told.items()}

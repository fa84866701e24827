"""A closed program: inputs and outputs; and the rebuilding of expressions with other parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import is_, is_not
from typing import Any, TypeAlias, overload

from . import provenance
from .annotations import ArrayLike
from .copies import dump, load
from .errors import (
    DtypeError,
    GraphError,
    ShapeError,
    SymgraphError,
    SymgraphTypeError,
    explain,
)
from .interned import Interned, InternTable
from .origins import call_alike
from .shared import SharedVariable
from .values import array_for
from .variable import CONSTANT, PARAMETER, Variable, insert, make_constant, make_parameter, node
from .variable import ancestors as below

__all__ = [
    "Graph",
    "Rebuild",
    "ancestors",
    "has_effect",
    "rebuild",
    "replace",
    "replaced",
    "substitute",
]


class Graph(Interned):
    """Outputs as a function of inputs, and of nothing else: closed and immutable.

    A *canonical* graph has numbered parameters for inputs and is interned, so that equal programs
    are one object: what a loop's body is. A variable that the outputs need and that is neither a
    constant nor among the inputs is a `GraphError`; shared variables are inputs like others.

    >>> x = sg.vector("x")
    >>> square = sg.Graph([x], [x * x])
    >>> square, [v.op.name for v in square.nodes]
    (<Graph (float32[?]) -> (float32[?]), 2 nodes>, ['input', 'multiply'])
    """

    __slots__ = (
        "__weakref__",
        "_has_effects",
        "_has_observers",
        "_holders",
        "_nodes",
        "_users",
        "inputs",
        "outputs",
    )

    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]

    def __init__(self, inputs: Sequence[Variable], outputs: Sequence[Variable]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self._nodes = _closed_nodes(self.inputs, self.outputs)
        self._holders: tuple[Variable, ...] | None = None
        self._users: dict[Variable, list[tuple[Variable, int]]] | None = None
        self._has_effects: bool | None = None
        self._has_observers: bool | None = None

    @property
    def nodes(self) -> tuple[Variable, ...]:
        """Every variable that the outputs need, inputs before users; unread inputs are absent."""
        return self._nodes

    @property
    def users(self) -> Mapping[Variable, Sequence[tuple[Variable, int]]]:
        """For each variable the (user, position) pairs that read it; outputs do not count."""
        if self._users is None:
            users: dict[Variable, list[tuple[Variable, int]]] = {v: [] for v in self._nodes}
            for v in self._nodes:
                for position, source in enumerate(v.inputs):
                    users[source].append((v, position))
            self._users = users
        return self._users

    @property
    def holders(self) -> tuple[Variable, ...]:
        """The nodes that have graphs inside, as loops have their bodies, in the order of nodes."""
        if self._holders is None:
            holders = [v for v in self._nodes for p in v.params if p.__class__ is Graph]
            self._holders = tuple(dict.fromkeys(holders))
        return self._holders

    @property
    def depth(self) -> int:
        """How many levels of graphs lie inside this one, as loops' bodies do."""
        return max((1 + graph.depth for graph in self._inside()), default=0)

    @property
    def has_effects(self) -> bool:
        """Whether something in it, or in graphs inside, has an effect."""
        if self._has_effects is None:
            self._has_effects = any(
                "effect" in op.traits for op in {v.op for v in self._nodes}
            ) or (any(graph.has_effects for graph in self._inside()))
        return self._has_effects

    @property
    def has_observers(self) -> bool:
        """Whether something in it, or in graphs inside, looks at values."""
        if self._has_observers is None:
            self._has_observers = self.has_effects and any(map(_looks, self._nodes))
        return self._has_observers

    def _inside(self) -> list[Graph]:
        return [p for v in self.holders for p in v.params if p.__class__ is Graph]

    def canonical(self) -> Graph:
        """The one graph that is equal to this but for what its inputs are called.

        >>> x, y = sg.tensor("x", ("T",)), sg.tensor("y", ("T",))
        >>> sg.Graph([x], [x * x]).canonical() is sg.Graph([y], [y * y]).canonical()
        True
        """
        depth = self.depth
        parameters = [make_parameter(i, depth, v.type) for i, v in enumerate(self.inputs)]
        graph = self
        if any(map(is_not, self.inputs, parameters)):
            given = dict(zip(self.inputs, parameters, strict=True))
            with provenance.without_lines():  # which are those of the originals
                new = _replaced(
                    self._nodes, given, keep_lines=True, keep_names=True, rebuild=rebuild
                )
            graph = Graph(parameters, [new[v] for v in self.outputs])
        key = (*graph.inputs, None, *graph.outputs)
        return _canonical.get(key) or _canonical.keep_first(key, graph)

    def __call__(self, *arguments: Variable) -> list[Variable]:
        """The outputs with the arguments in place of the inputs; a `GraphError` for another number
        of arguments."""
        if len(arguments) != len(self.inputs):
            raise GraphError(f"the graph has {len(self.inputs)} inputs, not {len(arguments)}")
        replacements = dict(zip(self.inputs, arguments, strict=True))
        return replace(self.outputs, replacements, keep_lines=True)

    def __repr__(self) -> str:
        inputs = ", ".join(str(v.type) for v in self.inputs)
        outputs = ", ".join(str(v.type) for v in self.outputs)
        return f"<Graph ({inputs}) -> ({outputs}), {len(self._nodes)} nodes>"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        canonical = all(v.op is PARAMETER for v in self.inputs)
        kind = "canonical" if canonical else "named"
        return _load_graph, (len(self.inputs), kind, dump((*self.inputs, *self.outputs)))


_canonical: InternTable[Graph] = InternTable()


def _load_graph(n_inputs: int, kind: str, dumped: tuple[Any, ...]) -> Graph:
    variables = load(*dumped)
    graph = Graph(variables[:n_inputs], variables[n_inputs:])
    return graph.canonical() if kind == "canonical" else graph


def has_effect(v: Variable) -> bool:
    """Whether computing the variable from its inputs has an effect, in a loop's body perhaps."""
    if "effect" in v.op.traits:
        return True
    # Most nodes have no parameters.
    return bool(v.params) and any(isinstance(p, Graph) and p.has_effects for p in v.params)


def _looks(v: Variable) -> bool:
    return "observer" in v.op.traits or any(
        isinstance(p, Graph) and p.has_observers for p in v.params
    )


def graph_of(outputs: Sequence[Variable]) -> Graph:
    """The graph of these outputs whose inputs are all leaves that they need."""
    leaves = [v for v in below(outputs) if "leaf" in v.op.traits and v.op is not CONSTANT]
    return Graph(leaves, outputs)


def _closed_nodes(
    inputs: tuple[Variable, ...], outputs: tuple[Variable, ...]
) -> tuple[Variable, ...]:
    """The nodes of a closed graph; a stray leaf is an error that names it and its user."""
    order = below(outputs, inputs)
    given = set(inputs)
    for v in order:
        if "leaf" in v.op.traits and v not in given and v.op is not CONSTANT:
            user = next((u for u in order if v in u.inputs), None)
            used = f", used by {provenance.describe(user)}" if user is not None else ""
            raise GraphError(
                explain(
                    f"the graph needs {provenance.describe(v)}, "
                    f"which is not among its inputs{used}",
                    remedy="Add it to the inputs, or give it a value with givens.",
                )
            )
    return tuple(order)


def ancestors(outputs: Variable | Sequence[Variable] | Graph) -> list[Variable]:
    """All variables that the outputs are made of, themselves included, inputs before users.

    ``outputs``
        A variable, a list of them, or a graph, which is walked down to its inputs.

    Each variable comes once. A loop is one of them; its body is a graph of its own, which stands
    among the loop's ``params`` and is not walked into. Anything else is a `SymgraphTypeError`.

    >>> x, y = sg.scalar("x"), sg.scalar("y")
    >>> [v.name or v.op.name for v in sg.ancestors(sg.exp(x) * y)]
    ['x', 'y', 'exp', 'multiply']
    """
    if isinstance(outputs, Graph):
        return list(outputs.nodes)
    roots = [outputs] if isinstance(outputs, Variable) else outputs
    if not isinstance(roots, (list, tuple)) or not all(isinstance(v, Variable) for v in roots):
        raise SymgraphTypeError.here(
            f"ancestors takes a variable, a list of variables or a graph, not {outputs!r}"
        )
    return below(roots)


# The kinds of ops of which the result's type follows from the operands' types.
_TYPED_BY_TYPES = frozenset({"elementwise", "product", "reduction"})


def rebuild(variable: Variable, inputs: Sequence[Variable]) -> Variable:
    """The variable's op on other inputs, whose types may differ."""
    op = variable.op
    for x, old in zip(inputs, variable.inputs, strict=True):
        if x.type is not old.type:
            break
    else:
        if op.kind in _TYPED_BY_TYPES:
            return insert(Variable, (op, tuple(inputs), variable.params), variable.type)
        # Of scalars that are sizes the values count, too, and no type tells these.
        if op.build is not None:
            try:
                return node(op, inputs, variable.params)
            except SymgraphError:
                pass
    if op.build is None:
        return node(op, inputs, variable.params)
    return op.build(inputs, *variable.params)


Rebuild: TypeAlias = Callable[[Variable, Sequence[Variable]], Variable]
"""Puts a variable's op on other inputs."""


def replace(
    outputs: Sequence[Variable],
    replacements: Mapping[Variable, Variable],
    *,
    keep_lines: bool = False,
    keep_names: bool = False,
    rebuild: Rebuild = rebuild,
) -> list[Variable]:
    """The outputs with variables replaced.

    Copies of which no line is recorded have those of the originals; with ``keep_lines`` all have.
    Copies without a name have the originals'; with ``keep_names`` all are called as these are.
    """
    new = replaced(
        outputs, replacements, keep_lines=keep_lines, keep_names=keep_names, rebuild=rebuild
    )
    return [new[v] for v in outputs]


def replaced(
    outputs: Sequence[Variable],
    replacements: Mapping[Variable, Variable],
    *,
    keep_lines: bool = False,
    keep_names: bool = False,
    rebuild: Rebuild = rebuild,
) -> dict[Variable, Variable]:
    """What becomes of all that the outputs are made of, with variables replaced as by `replace`."""
    order = below(outputs, replacements)
    return _replaced(
        order, replacements, keep_lines=keep_lines, keep_names=keep_names, rebuild=rebuild
    )


def _replaced(
    order: Iterable[Variable],
    replacements: Mapping[Variable, Variable],
    *,
    keep_lines: bool,
    keep_names: bool,
    rebuild: Rebuild,
) -> dict[Variable, Variable]:
    """What became of the variables in this order, inputs before users, and of those replaced."""
    new: dict[Variable, Variable] = dict(replacements)
    copies: list[tuple[Variable, Variable]] = []
    has_notes = provenance.has_notes()
    for v in order:
        if v in new:
            continue
        inputs = tuple([new[source] for source in v.inputs])
        if all(map(is_, inputs, v.inputs)):
            new[v] = v
            continue
        made = new[v] = rebuild(v, inputs)
        copies.append((v, made))
        if has_notes:
            provenance.carry_notes(provenance.notes_of(v), made)
    call_alike(copies, keeps_lines=keep_lines, keeps_names=keep_names)
    return new


Replacements: TypeAlias = Mapping[Variable, ArrayLike] | Mapping[SharedVariable, ArrayLike]
"""Variables and what stands in for each."""


@overload
def substitute(outputs: Variable, replacements: Replacements) -> Variable: ...
@overload
def substitute(outputs: Sequence[Variable], replacements: Replacements) -> list[Variable]: ...
def substitute(
    outputs: Variable | Sequence[Variable], replacements: Replacements
) -> Variable | list[Variable]:
    """The outputs (a variable, or a list) with variables replaced by others of the same dtype.

    Replacements are simultaneous, and may be arrays and numbers; another dtype is a `DtypeError`,
    another shape a `ShapeError`. Loops that depend on a replaced variable are built again: the
    compile report shows them as repeated bodies.

    >>> x, y = sg.scalar("x"), sg.scalar("y")
    >>> sg.substitute(x * 2, {x: y + 1}).eval({y: 3.0})
    np.float32(8.0)
    """
    several = isinstance(outputs, (list, tuple))
    ends: list[Any] = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    _check_arguments(ends, replacements)
    checked: dict[Variable, Variable] = {}
    for old, new in replacements.items():
        if not isinstance(old, Variable):
            raise SymgraphTypeError.here(f"only a variable can be replaced, not {old!r}")
        if not isinstance(new, Variable):
            new = make_constant(array_for(new, old.dtype, provenance.describe(old)))
        _check_replacement(old, new)
        checked[old] = new
    results = replace(ends, checked)
    return results if several else results[0]


def _check_arguments(outputs: Sequence[Any], replacements: Any) -> None:
    for output in outputs:
        if not isinstance(output, Variable):
            raise SymgraphTypeError.here(
                f"substitute takes a variable or a list of variables, not {output!r}"
            )
    if not isinstance(replacements, Mapping):
        raise SymgraphTypeError.here(
            f"replacements are a dict, not {replacements!r}",
            remedy="Write sg.substitute(outputs, {old: new}).",
        )


def _check_replacement(old: Variable, new: Variable) -> None:
    if old.type is new.type:
        return
    if old.dtype != new.dtype:
        raise DtypeError.here(
            f"{provenance.describe(old)} cannot be replaced by {provenance.describe(new)}",
            remedy=f"Convert the new one with .astype('{old.dtype}').",
        )
    if old.ndim != new.ndim:
        raise ShapeError.here(
            f"{provenance.describe(old)} cannot be replaced by {provenance.describe(new)}: "
            f"{old.ndim} axes are expected"
        )

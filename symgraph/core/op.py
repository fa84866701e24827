"""An operation: the frozen record of its rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from .errors import SymgraphValueError
from .interned import Interned

__all__ = ["KINDS", "OPS", "TRAITS", "Op"]

_PACKAGE = __name__.partition(".")[0]

KINDS = ("elementwise", "product", "reduction", "movement", "other")
TRAITS = ("leaf", "commutative", "view", "layout", "traced", "check", "step", "effect", "observer")

# Every operation by name: the op table that tests walk, and what pickle refers to.
OPS: dict[str, Op] = {}


@dataclass(frozen=True, eq=False)
class Op(Interned):
    """What the system knows of an operation. One object for each; compared by identity.

    A node of the graph is ``op(inputs; params)``: inputs are variables, params are hashable
    constants (ints, bools, strings, tuples of them, dtypes, sizes, graphs; never floats, since
    ``0.0 == -0.0`` and ``1 == True`` would make different nodes equal).

    ``infer(inputs, *params)``
        The type of the result, from the inputs' types (and, for sizes, the inputs). Raises
        `ShapeError` or `DtypeError` where the types do not fit.
    ``evaluate(arrays, *params)``
        The result, by NumPy, as a new array (a view of an input is allowed where ``"view"`` is
        among the traits); a tuple of arrays for ops with several results.
    ``vjp(node, cotangent)``
        For each input its cotangent or None, as variables. For an op with several results
        ``cotangent`` is a tuple with None where a result has none. A missing rule cuts gradients.
    ``formula(maths, *values)``
        Elementwise ops only: the scalar function, over the protocol of `symgraph.ops.formula`.
    ``expand(node)``
        The same result in terms of other ops, for backends with no lowering for this one.
    ``inner_vjp(node, cotangents)``
        Ops with a body only: for each result the cotangent that the steps of the body which read it
        hand back to it, or None, from those that ``vjp`` takes.
    ``step_inputs(node, result)``
        Ops with a body only: the inputs from which that result (its position) is made by way of
        piecewise constant functions, or of others through which gradients flow.
    ``build(inputs, *params)``
        The node for inputs whose types may differ from those of an existing node: promotes and
        unifies as the public function does. None: no more than ``infer``.
    ``title(*params)``
        What pictures and messages call a node; the op's name where there is no such rule.

    ``kind``
        What sort of op this is, one of `KINDS`; an elementwise op computes each element of its
        result from those at the same place. Pictures go by it.
    ``is_cheap``
        Whether computing the result again costs about what reading it from memory does, so that no
        loop keeps it for its gradient. A ``view`` is.

    Traits, those in `TRAITS` alone: ``leaf`` (with no operands: an input, a constant);
    ``commutative``; ``view`` (the result may be a view); ``layout`` (the elements of the result are
    those of the operands, laid out anew); ``traced`` (the user's line is recorded for each node);
    ``check`` (kept even where the value is the input's: it may raise); ``step`` (piecewise
    constant: a float result with zero gradient); ``effect``; ``observer`` (an effect that looks at
    its first operand, which is its value: derivatives and references leave it out; its parameter
    ``number`` tells in which order looks were written).

    An ``effect`` is what ``evaluate`` does beside its result, such as to print, or a result that is
    not the same each time. It has an operand, and no formula. It happens once for each node and
    call of a compiled function, with constant operands too, and once in each step where the node is
    built in the step of a loop; where it is built outside, it stays outside. All else is as with
    other ops: equal nodes are one (let a parameter tell apart what shall happen twice), what no
    result needs does not happen, and nodes of which none needs the other have no order. The
    gradient of a loop reads what effects in its steps gave. They happen again only where that
    cannot be kept: in checkpointed loops, whose chunks run twice, and where sizes change from step
    to step; and where a reference runs beside (``verify=True``).
    """

    name: str
    infer: Callable[..., Any]
    evaluate: Callable[..., Any] | None = None
    vjp: Callable[[Any, Any], Sequence[Any]] | None = None
    formula: Callable[..., Any] | None = None
    expand: Callable[[Any], Any] | None = None
    inner_vjp: Callable[[Any, Any], Sequence[Any]] | None = None
    step_inputs: Callable[[Any, int], Collection[Any]] | None = None
    build: Callable[..., Any] | None = None
    title: Callable[..., str] | None = None
    params: tuple[str, ...] = ()
    traits: frozenset[str] = field(default_factory=frozenset)
    kind: str = "other"
    is_cheap: bool = False

    def __post_init__(self) -> None:
        for what, words, known in (("kind", (self.kind,), KINDS), ("trait", self.traits, TRAITS)):
            for word in words:
                if word not in known:
                    raise SymgraphValueError.here(
                        f"op {self.name!r} cannot have the {what} {word!r}",
                        remedy=f"Known are {', '.join(map(repr, known))}.",
                    )
        if "effect" in self.traits and self.formula is not None:
            raise SymgraphValueError.here(
                f"op {self.name!r} has effects and a formula, which backends write without them",
                remedy="Give the op a rule `evaluate` instead.",
            )
        earlier = OPS.get(self.name)
        if earlier is not None and earlier.is_own:
            raise SymgraphValueError.here(
                f"symgraph has an op named {self.name!r} already",
                remedy="Give the new op another name: backends know ops by theirs.",
            )
        # A user's op takes the place of an earlier one, as where a notebook's cell is run again;
        # nodes made before keep theirs.
        OPS[self.name] = self

    @cached_property
    def is_own(self) -> bool:
        """Whether the op is one of symgraph's, whose rules go with its version."""
        rules = (self.infer, self.evaluate, self.formula, self.expand, self.build)
        return all(_package_of(rule) == _PACKAGE for rule in rules if rule is not None)

    def __call__(self, *arguments: Any) -> Any:
        """The node for arguments that may be arrays and numbers, by the rule ``build``."""
        assert self.build is not None, f"{self.name} is built by its public function alone"
        return self.build(arguments)

    def title_of(self, params: tuple[Any, ...]) -> str:
        """What pictures and messages call a node of the op with these parameters."""
        return self.name if self.title is None else self.title(*params)

    def attach(self, **rules: Any) -> None:
        """Add rules that are stated by a higher layer, or that need ops defined after this one."""
        for name, rule in rules.items():
            if getattr(self, name) is not None:
                raise SymgraphValueError.here(
                    f"op {self.name!r} has a rule {name!r} already",
                    remedy="Define the op anew with the rule in it.",
                )
            object.__setattr__(self, name, rule)

    def __repr__(self) -> str:
        return f"Op({self.name})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _find, (self.name,)


def _package_of(rule: Any) -> str:
    while isinstance(rule, partial):
        rule = rule.func
    return getattr(rule, "__module__", "").partition(".")[0]


def _find(name: str) -> Op:
    return OPS[name]

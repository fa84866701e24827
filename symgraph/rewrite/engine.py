"""Rules, and the one sweep that applies them: bottom-up, until no rule fires anywhere.

A rule sees one node, whose inputs are already rewritten, and returns the node to put in its place
or None. Since a rule looks only downwards, a node on which no rule fires stays as it is for good:
one sweep is enough, and a second one changes nothing. There is nothing to validate and nothing to
roll back: variables are immutable, and what a rule made in vain is freed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ..core import provenance
from ..core.errors import (
    GraphError,
    IndexRangeError,
    ScanError,
    ShapeError,
    SymgraphValueError,
    TooLargeError,
)
from ..core.graph import Graph, Rebuild, rebuild
from ..core.op import OPS, Op
from ..core.variable import Variable
from ..ops.sizes import carry_size

__all__ = [
    "BOOLS",
    "EVERY",
    "FLOATS",
    "INTEGERS",
    "NUMBERS",
    "SIGNED",
    "WHOLE",
    "Rule",
    "RuleSet",
    "check_op",
    "rebuild_sized",
    "rule",
    "sweep",
]

# The dtypes for which a rule holds, as NumPy's letters for their kinds. What is true of numbers
# need not be true of a dtype: integers wrap, floats are infinite or NaN, and the absolute value of
# an unsigned -x is not that of x.
BOOLS, INTEGERS, FLOATS = "b", "iu", "f"
SIGNED, WHOLE, NUMBERS, EVERY = "if", "biu", "iuf", "biuf"

Apply = Callable[[Variable], "Variable | None"]

# Rules that keep making new work for one another are a mistake in the rules; say so in the end.
_CHANGES_PER_NODE = 100

# What is wrong with sizes that have become known; any other error is a mistake in the compiler.
_MISFITS = (IndexRangeError, ScanError, ShapeError, TooLargeError)


@dataclass(frozen=True)
class Rule:
    """One rewrite: what replaces a node of one of these ops, or None where it does not apply.

    A rule without ops is asked about every node but those with effects. ``of`` are the dtypes for
    which it holds; that ``apply`` keeps to them is what makes it (`rule`, `template`) to see to.
    """

    name: str
    ops: tuple[str, ...]
    of: str
    apply: Apply
    formula: str = ""
    """The rewrite as a formula, such as ``log(exp(x)) → x``."""
    reads: tuple[str, ...] = ()
    """Ops of which one of the inputs has to be, for the rule to apply; none if that is open."""

    def __post_init__(self) -> None:
        for op in (*self.ops, *self.reads):
            check_op(op, self.name)

    def __repr__(self) -> str:
        return f"Rule({self.name}: {self.formula})"


def check_op(op: str, rule: str) -> None:
    """Raise an error that names the rule unless there is such an op."""
    if op not in OPS:
        near = "".join(f"Write {name!r}? " for name in get_close_matches(op, OPS, 1))
        raise SymgraphValueError.here(
            f"the rule {rule} names an op {op!r}, and there is none",
            remedy=f"{near}An op is defined before the rules that name it.",
        )


def rule(*ops: str, of: str, reads: tuple[str, ...] = ()) -> Callable[[Apply], Rule]:
    """A decorator that makes a function a rule for these ops; its docstring is the formula.

    The function is called for nodes whose dtype is among ``of``, and, where ``reads`` are given,
    only if an input is of one of those ops.
    """

    def decorate(function: Apply) -> Rule:
        def apply(v: Variable) -> Variable | None:
            return function(v) if v.dtype.kind in of else None

        formula = (function.__doc__ or "").strip().split("\n")[0].rstrip(".")
        name = function.__name__
        return Rule(name, ops, of, function if of == EVERY else apply, formula, reads)

    return decorate


class RuleSet:
    """Rules in the order in which they are tried, indexed by what they look at."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        # By the ops of a node and of its inputs, filled as they occur: most nodes have no rule.
        self._candidates: dict[tuple[Op, ...], tuple[Rule, ...]] = {}

    def candidates(self, v: Variable) -> tuple[Rule, ...]:
        """The rules that may apply to a node, by its op and those of its inputs."""
        key = (v.op, *[x.op for x in v.inputs])
        candidates = self._candidates.get(key)
        if candidates is None:
            read = {op.name for op in key[1:]}
            candidates = self._candidates[key] = tuple(
                each
                for each in self.rules
                if (v.op.name in each.ops if each.ops else "effect" not in v.op.traits)
                and (not each.reads or not read.isdisjoint(each.reads))
            )
        return candidates

    def __add__(self, other: RuleSet) -> RuleSet:
        return RuleSet(*self.rules, *other.rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)


def rebuild_sized(variable: Variable, inputs: Sequence[Variable]) -> Variable:
    """The variable's op on other inputs of the same values; it stands for the same size."""
    rebuilt = rebuild(variable, inputs)
    carry_size(variable, rebuilt)
    return rebuilt


def sweep(
    graph: Graph,
    rules: RuleSet,
    hits: Counter[str] | None = None,
    *,
    rebuild: Rebuild = rebuild_sized,
) -> Graph:
    """The graph with the rules applied wherever they fire; itself where none does.

    Inputs stay the same variables; outputs keep their number and types. ``hits`` counts the
    firings by rule. ``rebuild`` puts a node on other inputs of the same values.
    """
    hits = Counter() if hits is None else hits
    # What each variable became; those that did not change became themselves.
    new: dict[Variable, Variable] = {v: v for v in graph.inputs}
    # What each variable under work was replaced by; its end is not known yet.
    replaced: dict[Variable, Variable] = {}
    stack: list[Variable] = list(reversed(graph.nodes))
    limit = _CHANGES_PER_NODE * (len(stack) + 10)
    while stack:
        v = stack[-1]
        if v in new:
            stack.pop()
            continue
        if v in replaced:
            # Met again before its replacement is settled: the rules go round in a circle.
            new[v] = new.get(replaced[v], v)
            continue
        is_settled = True
        for x in v.inputs:
            if new.get(x) is not x:
                is_settled = False
                break
        if is_settled:
            successor = _first_result(v, rules.candidates(v), hits)
        elif missing := [x for x in v.inputs if x not in new]:
            stack.extend(missing)
            continue
        else:
            successor = _on_inputs(v, [new[x] for x in v.inputs], rebuild)
        if successor is v or successor in new:
            new[v] = new.get(successor, v)
            stack.pop()
        else:
            replaced[v] = successor
            stack.append(successor)
            if len(replaced) > limit:
                raise GraphError(f"the rules do not come to an end; they fired {dict(hits)}")
    outputs = tuple([new[v] for v in graph.outputs])
    return graph if outputs == graph.outputs else Graph(graph.inputs, outputs)


def _on_inputs(v: Variable, inputs: Sequence[Variable], rebuild: Rebuild) -> Variable:
    """The variable on rewritten inputs; itself where their sizes are found to be no match.

    Its type may speak of other sizes then: of those that another loop's steps tell, or another
    scalar, which is the same number. What is made of it goes by the new ones.
    """
    try:
        result = rebuild(v, inputs)
    except _MISFITS:
        return v  # an error at the call, if the call comes to it
    if result.inputs != tuple(inputs):
        _take_over(v, result)
    else:
        provenance.take_place(v, result, last=False)  # the inputs have what is known of them
    return result


def _first_result(v: Variable, rules: Sequence[Rule], hits: Counter[str]) -> Variable:
    """What the first rule that fires puts in place of the variable; itself where none does."""
    for each in rules:
        result = each.apply(v)
        if result is None or result is v:
            continue
        if result.type is not v.type:
            raise GraphError(f"rule {each.name} turned {v!r} into {result!r}: another type")
        hits[each.name] += 1
        carry_size(v, result)
        _take_over(v, result)
        return result
    return v


def _take_over(old: Variable, new: Variable) -> None:
    """Give a replacement the name and the user's lines of the original, unless it has its own."""
    if not new.inputs or not provenance.take_place(old, new, last=old.op is not new.op):
        return
    if not provenance.places_of(old):
        return  # there are none to hand on, and by none no node is known as seen
    # What the rule made on the way.
    stack = list(new.inputs)
    while stack:
        v = stack.pop()
        is_made = v.is_derived or v.serial > old.serial
        if is_made and v.inputs and not provenance.places_of(v):
            provenance.hand_on(old, v)
            stack.extend(v.inputs)

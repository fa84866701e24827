"""Ops in terms of others, by rules of a user's."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ...core import provenance
from ...core.errors import ExchangeError
from ...core.op import OPS
from ...core.types import TupleType
from ...core.variable import Variable, item
from ...ops.composite import arguments_of, is_composite, name_of_composite
from ...ops.promotion import as_variable
from ...scan.op import rebuild_alike
from .functions import Call, finder_of
from .parts import Find, Place, change_everywhere, in_place_of, nodes_of
from .text import public_function

__all__ = ["Lowerings", "lower_ops"]

Lowerings: TypeAlias = Mapping[str, Callable[..., Any]]
"""For ops by name rules, ``rule(*inputs, **params)``, that give the same in terms of others."""


def lower_ops(outputs: Sequence[Variable], lower: Lowerings) -> list[Variable]:
    """The outputs without the ops, composites and calls for which there are rules, loops included.

    A rule is called with the op's inputs, and its parameters by name, and gives a variable, or a
    list for an op with several results, of the same types; None leaves the op as it is. What it
    gives is lowered in turn. A public function that is no op (``pad``, ``conv2d``, ``gelu``) is
    found by what it builds, and its rule gets the function's arguments; where the rule calls it
    again, that stays. Raises `ExchangeError` for a name that is none of these, and for a rule that
    gives its own op again.
    """
    rules = _Rules(lower)
    made = change_everywhere(outputs, rules.find_after(()))
    unknown = [name for name in lower if not rules.is_known(name)]
    if unknown:
        raise _unknown(unknown[0], outputs)
    return made


class _Rules:
    """Rules of a user's by name."""

    def __init__(self, lower: Any) -> None:
        if not isinstance(lower, Mapping):
            raise ExchangeError.here(
                f"lower is a dict of rules by op, not {lower!r}",
                remedy='Write lower={"softplus": lambda x: sg.log1p(sg.exp(x))}.',
            )
        for name, rule in lower.items():
            if not callable(rule):
                raise ExchangeError.here(
                    f"lower: the rule for {name!r} is a function, not {rule!r}"
                )
        self.rules: Lowerings = lower
        self.finders = {
            name: find
            for name in lower
            if name not in OPS and (find := finder_of(name)) is not None
        }
        self.met: set[str] = set()

    def is_known(self, name: str) -> bool:
        """Whether a name is that of an op, of a function, or of a composite that was met."""
        return name in OPS or name in self.finders or name in self.met

    def find_after(self, active: tuple[str, ...]) -> Find:
        """How places for rules are found in what the rules for the ``active`` ops have given."""

        def find(v: Variable) -> Place | None:
            name = name_of_composite(v) if is_composite(v) else v.op.name
            if name in self.rules:
                self.met.add(name)
                return Place(v.inputs, lambda inputs: self._lower_op(name, v, inputs, active))
            for name, find_call in self.finders.items():
                call = find_call(v) if name not in active else None
                if call is not None:
                    return self._place_of(name, v, call, active)
            return None

        return find

    def _lower_op(
        self, name: str, v: Variable, inputs: Sequence[Variable], active: tuple[str, ...]
    ) -> list[Variable] | None:
        v = rebuild_alike(v, inputs)
        if is_composite(v):
            call = Call(v.inputs, arguments_of(v))
        else:
            call = Call(v.inputs, dict(zip(v.op.params, v.params, strict=False)))
        made = _apply(self.rules[name], name, v, call)
        if made is not None and name in active:
            raise _circle(v, (*active[active.index(name) :], name))
        return self._lower_again(made, inputs, (*active, name))

    def _place_of(self, name: str, v: Variable, call: Call, active: tuple[str, ...]) -> Place:
        """Where a function is called, by the looks of what it builds."""
        rule, function = self.rules[name], public_function(name)
        assert function is not None

        def make(inputs: Sequence[Variable]) -> list[Variable] | None:
            moved = Call(inputs, call.arguments).for_rule(rule, function)
            return self._lower_again(_apply(rule, name, v, moved), inputs, (*active, name))

        return Place(call.inputs, make)

    def _lower_again(
        self, made: list[Variable] | None, inputs: Sequence[Variable], active: tuple[str, ...]
    ) -> list[Variable] | None:
        if made is None:
            return None
        stops = [x for x in inputs if x not in made]
        return change_everywhere(made, self.find_after(active), stops)


def _circle(v: Variable, way: Sequence[str]) -> ExchangeError:
    return ExchangeError.here(
        f"lower: the rule for {way[0]!r} gives {way[0]!r} again ({' → '.join(way)}), "
        f"at {provenance.describe(v)}",
        remedy="A rule gives other ops; where it has nothing to do it gives None.",
    )


def _apply(rule: Callable[..., Any], name: str, v: Variable, call: Call) -> list[Variable] | None:
    """What the rule makes of the node, one variable for each result; None where it stays."""
    try:
        inspect.signature(rule).bind(*call.inputs, **call.arguments)
    except TypeError as error:
        listed = ", ".join((f"{len(call.inputs)} inputs", *(f"{key}=" for key in call.arguments)))
        raise ExchangeError.here(
            f"lower: the rule for {name!r} is called with {listed}: {error}",
            remedy="It takes the op's inputs, and its parameters by name (**params for any).",
        ) from None
    except ValueError:
        pass  # a builtin that does not tell
    made = rule(*call.inputs, **call.arguments)
    if made is None:
        return None
    types = v.type.items if isinstance(v.type, TupleType) else (v.type,)
    results = list(made) if isinstance(made, (tuple, list)) else [made]
    if len(results) != len(types):
        raise ExchangeError.here(
            f"lower: the rule for {name!r} gives {len(results)} results in place of {len(types)}"
        )
    olds = [item(v, i) for i in range(len(types))] if isinstance(v.type, TupleType) else [v]
    what = f"lower: the rule for {name!r}"
    return [
        in_place_of(old, as_variable(new, what), what, call.inputs)
        for old, new in zip(olds, results, strict=True)
    ]


def _unknown(name: Any, outputs: Sequence[Variable]) -> ExchangeError:
    composites = _composites_in(outputs)
    near = difflib.get_close_matches(str(name), [*OPS, *composites], 1)
    there = f"; the graph has {', '.join(sorted(composites))}" if composites else ""
    return ExchangeError.here(
        f"lower: there is no op {name!r}, nor a composite in the graph{there}",
        remedy=f"Write {near[0]!r}?" if near else "sg.listing shows the ops of a graph.",
    )


def _composites_in(outputs: Sequence[Variable]) -> set[str]:
    return {name_of_composite(v) for v in nodes_of(outputs) if is_composite(v)}

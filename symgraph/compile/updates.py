"""Updates and givens: pairs of a variable and what takes its place, made sure to fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core import provenance
from ..core.dims import known_different
from ..core.errors import SymgraphTypeError, SymgraphValueError, UpdateError
from ..core.graph import substitute
from ..core.shared import SharedVariable
from ..core.values import takes_kind, weak_kind
from ..core.variable import Variable, ancestors, make_constant
from ..ops.sizes import check_size

__all__ = [
    "as_pairs",
    "as_replacements",
    "checked_updates",
    "describe_value",
    "substituted",
    "with_defaults",
]


def as_pairs(pairs: Any, what: str) -> list[tuple[Any, Any]]:
    """A dict, or a list of pairs, as a list of pairs."""
    if pairs is None:
        return []
    if isinstance(pairs, Mapping):
        return list(pairs.items())
    if isinstance(pairs, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs
    ):
        return [(old, new) for old, new in pairs]
    raise SymgraphTypeError.here(f"{what} are a dict, or a list of pairs, not {pairs!r}")


def as_replacements(givens: Any) -> dict[Variable, Variable]:
    replacements: dict[Variable, Variable] = {}
    for old, new in as_pairs(givens, "givens"):
        if not isinstance(old, Variable):
            raise SymgraphTypeError.here(f"givens replaces variables; {old!r} is none")
        if old in replacements:
            raise SymgraphValueError.here(f"givens replaces {provenance.describe(old)} twice")
        replacements[old] = new
    return replacements


def substituted(
    outputs: list[Variable], replacements: Mapping[Variable, Variable]
) -> list[Variable]:
    return substitute(outputs, replacements) if replacements else outputs


def with_defaults(
    outputs: Sequence[Variable],
    updates: dict[SharedVariable, Variable],
    givens: Mapping[Variable, Variable],
) -> dict[SharedVariable, Variable]:
    """The updates, with those that shared variables bring along where the user gives none."""
    result = dict(updates)
    pending = [*outputs, *updates.values()]
    while pending:
        found = {
            v: update
            for v in ancestors(pending)
            if isinstance(v, SharedVariable) and v not in result
            if (update := v.default_update) is not None
        }
        pending = substituted(list(found.values()), givens)
        result.update(zip(found, pending, strict=True))
    return result


def checked_updates(pairs: Any) -> dict[SharedVariable, Variable]:
    """The updates as variables of exactly the type of what they update."""
    updates: dict[SharedVariable, Variable] = {}
    for shared, expression in pairs:
        if not isinstance(shared, SharedVariable):
            raise UpdateError.here(
                f"only a shared variable can be updated; found {describe_value(shared)}",
                remedy="Make one with sg.shared(value).",
            )
        if shared in updates:
            raise UpdateError.here(f"{provenance.describe(shared)} is updated twice")
        updates[shared] = _as_update(shared, expression)
    return updates


def _as_update(shared: SharedVariable, expression: Any) -> Variable:
    """The new value of a shared variable; sizes that are not known are checked at the call."""
    if not isinstance(expression, Variable):
        kind, what = weak_kind(expression), f"update of {provenance.describe(shared)}"
        taken = shared.dtype if kind is not None and takes_kind(shared.dtype, kind) else None
        expression = make_constant(expression, taken, what=what)
    dtype = getattr(expression.type, "dtype", None)
    if dtype != shared.dtype:
        raise _misfit(shared, expression, f"Convert the new value with .astype('{shared.dtype}').")
    if expression.type is shared.type:
        return expression
    if expression.ndim != shared.ndim or any(
        known_different(ours, theirs)
        for ours, theirs in zip(shared.type.shape, expression.type.shape, strict=True)
    ):
        raise _misfit(shared, expression, "A shared variable keeps its shape.")
    for axis in range(shared.ndim):
        expression = check_size(
            expression, axis, shared, axis, f"update of {provenance.describe(shared)}"
        )
    return expression


def _misfit(shared: SharedVariable, expression: Variable, remedy: str) -> UpdateError:
    return UpdateError.here(
        f"{provenance.describe(shared)} cannot be updated to {provenance.describe(expression)}",
        remedy=remedy,
    )


def describe_value(value: Any) -> str:
    return provenance.describe(value) if isinstance(value, Variable) else repr(value)

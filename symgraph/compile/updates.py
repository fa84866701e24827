"""Updates and givens: pairs of a variable and what takes its place, made sure to fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.errors import SymgraphTypeError, SymgraphValueError, UpdateError
from ..core.graph import substitute
from ..core.shared import SharedVariable
from ..core.size_differences import known_different
from ..core.values import takes_kind, weak_kind
from ..core.variable import Variable, ancestors, make_constant
from ..ops.sizes import check_size

__all__ = ["GivensLike", "Request", "UpdatesLike", "as_pairs", "as_replacements", "checked_updates"]

UpdatesLike: TypeAlias = (
    Mapping[SharedVariable, ArrayLike] | Sequence[tuple[SharedVariable, ArrayLike]]
)
"""New values of shared variables."""

GivensLike: TypeAlias = (
    Mapping[Variable, ArrayLike]
    | Mapping[SharedVariable, ArrayLike]
    | Sequence[tuple[Variable, ArrayLike]]
)
"""What takes the place of variables."""


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


def as_replacements(givens: Any) -> dict[Variable, Any]:
    """The givens by variable, each once."""
    replacements: dict[Variable, Any] = {}
    for old, new in as_pairs(givens, "givens"):
        if not isinstance(old, Variable):
            raise SymgraphTypeError.here(f"givens replaces variables; {old!r} is none")
        if old in replacements:
            raise SymgraphValueError.here(f"givens replaces {provenance.describe(old)} twice")
        replacements[old] = new
    return replacements


@dataclass(frozen=True)
class Request:
    """What is to be computed: outputs, and the new values of shared variables."""

    outputs: tuple[Variable, ...]
    updates: dict[SharedVariable, Variable]

    @property
    def results(self) -> tuple[Variable, ...]:
        """The outputs, then the new values."""
        return (*self.outputs, *self.updates.values())

    def with_results(
        self, results: Sequence[Variable], updated: Iterable[Any] | None = None
    ) -> Self:
        """The same with other results, and other shared variables where some are given."""
        n = len(self.outputs)
        pairs = zip(self.updates if updated is None else updated, results[n:], strict=True)
        return replace(self, outputs=tuple(results[:n]), updates=checked_updates(pairs))

    def with_givens(self, givens: Mapping[Variable, Any]) -> Self:
        """The same with variables replaced, and with the updates that shared variables bring along
        where the user gives none."""
        request = self.with_results(_replaced(self.results, givens)) if givens else self
        updates, pending = dict(request.updates), request.results
        while pending:
            defaults = {
                v: update
                for v in ancestors(pending)
                if isinstance(v, SharedVariable) and v not in updates
                if (update := v.default_update) is not None
            }
            pending = list(defaults.values())
            pending = _replaced(pending, givens) if givens else pending
            updates |= checked_updates(zip(defaults, pending, strict=True))
        return replace(request, updates=updates)


def _replaced(results: Sequence[Variable], givens: Mapping[Variable, Any]) -> list[Variable]:
    """The results with variables replaced; copies, of loops too, have the originals' lines."""
    with provenance.without_lines():
        return substitute(results, givens)


def checked_updates(pairs: Any) -> dict[SharedVariable, Variable]:
    """The updates as variables of exactly the type of what they update."""
    updates: dict[SharedVariable, Variable] = {}
    for shared, expression in pairs:
        if not isinstance(shared, SharedVariable):
            raise UpdateError.here(
                f"only a shared variable can be updated; found {provenance.describe(shared)}",
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

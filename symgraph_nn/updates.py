"""What the update rules return, and what it remembers.

`Updates` is the dict that ``sg.compile(..., updates=...)`` takes, which also knows the optimiser's
state: for `iterate`, for the modifiers, and for saving.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphTypeError, UpdateError, describe

from .graphs import ancestors, leaves
from .typing import UpdatesLike

__all__ = ["Slot", "Updates", "check_memory", "is_slot", "iterate"]


@dataclass(frozen=True)
class Slot:
    """What a variable of an optimiser is for."""

    kind: str
    param: sg.SharedVariable | None
    """The parameter that it belongs to, None for one that serves all of a rule."""
    served: tuple[sg.SharedVariable, ...]
    """The parameters of the rule."""


# Every living slot, so that one that a dict without memory holds is known to be one.
_slots: weakref.WeakSet[sg.SharedVariable] = weakref.WeakSet()


def is_slot(variable: sg.Variable) -> bool:
    """Whether an update rule made the variable for its own state."""
    return variable in _slots


class Updates(dict[sg.SharedVariable, sg.Variable]):
    """The new value of each shared variable: parameters and the optimiser's state.

    What the rules return, and ``sg.compile(updates=…)`` takes. What it remembers of the rules goes
    along with all methods of dicts, with copies and pickles. ``a | b``, ``a |= b`` and
    ``a.update(b)`` join the memories of two; where both have other updates of one variable they
    raise an `UpdateError`. A variable set to something else by ``a[p] = …``, or by a plain dict,
    stays a parameter; one taken out (``del``, ``pop``) is none until it is put back. A plain dict
    made of this one (``dict(a)``, ``{**a}``) remembers nothing.

    params
        The parameters that a rule of your own begins with: they stay as they are until `move`.
    slots
        The optimiser's own variables by kind and parameter (None where one serves all).

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> updates = nn.momentum(sg.sum(w**2), [w], 0.1)
    >>> list(updates), updates.params
    ([<w: float32[2]>, <w.velocity: float32[2]>], [<w: float32[2]>])
    """

    def __init__(self, params: Sequence[sg.SharedVariable] = ()) -> None:
        """Updates that leave these parameters as they are."""
        super().__init__((param, param) for param in params)
        # Nothing is ever removed from these: what they tell of a variable that is not in the dict
        # does not count, and counts again when it is put back.
        self._params: dict[sg.SharedVariable, None] = dict.fromkeys(params)
        self._slots: dict[sg.SharedVariable, Slot] = {}
        self._steps: dict[sg.SharedVariable, sg.Variable] = {}
        # The other point of a parameter, and the update that it goes with.
        self._points: dict[sg.SharedVariable, tuple[sg.Variable, sg.Variable]] = {}

    # --- what it remembers ---

    @property
    def params(self) -> list[sg.SharedVariable]:
        """What the rules move, in their order."""
        return [param for param in self._params if param in self]

    @property
    def slots(self) -> dict[tuple[str, sg.SharedVariable | None], sg.SharedVariable]:
        """The optimiser's own variables by kind and parameter (None where one serves all)."""
        named: dict[tuple[str, sg.SharedVariable | None], sg.SharedVariable] = {}
        for slot, record in self.records.items():
            number, kind = 1, record.kind
            while (kind, record.param) in named:
                number += 1
                kind = f"{record.kind}{number}"
            named[kind, record.param] = slot
        return named

    @property
    def records(self) -> dict[sg.SharedVariable, Slot]:
        """What each of the optimiser's own variables is for."""
        return {
            slot: record
            for slot, record in self._slots.items()
            if slot in self or any(param in self for param in record.served)
        }

    @property
    def other_points(self) -> dict[sg.SharedVariable, sg.Variable]:
        """For each parameter with a look-ahead the point that it looks from, as an expression."""
        return {param: point for param, (point, _) in self._points.items() if self._looks(param)}

    def _looks(self, param: sg.SharedVariable) -> bool:
        """Whether the update of a parameter is still made of the one with the look-ahead."""
        if param not in self:
            return False
        target = self._points[param][1]
        return self[param] is target or target in ancestors([self[param]])

    # --- what the rules write ---

    def move(self, param: sg.SharedVariable, step: sg.Variable) -> None:
        """Let the parameter move by the step, an expression of its shape.

        >>> w = sg.shared(np.ones(2, "float32"), "w")
        >>> updates = nn.Updates([w])
        >>> updates.move(w, -0.1 * w)
        >>> updates[w].eval()
        array([0.9, 0.9], dtype=float32)
        """
        moved = param + step
        if param in self._points and self._looks(param):
            point, before = self._points[param][0], self[param]
            self._points[param] = point, moved
            # A state that follows the parameter, such as an average, follows it there.
            if isinstance(point, sg.SharedVariable) and point in self:
                self[point] = sg.substitute(self[point], {before: moved})
        self[param] = moved
        self._params[param] = None
        self._steps[param] = step

    def look_from(self, param: sg.SharedVariable, point: sg.Variable) -> None:
        """Let this be the other point of the parameter, for the update that it has now.

        `iterate` gives it, as long as the update is made of that one.

        >>> w = sg.shared(np.ones(2, "float32"), "w")
        >>> updates = nn.sgd(sg.sum(w), [w], 0.1)
        >>> updates.look_from(w, 2 * w)
        >>> nn.iterate(updates)[w].eval()
        array([2., 2.], dtype=float32)
        """
        self._points[param] = point, self[param]

    def step_of(self, param: sg.SharedVariable) -> sg.Variable:
        """By how much the parameter moves: as the rule said, exact, unless it was changed since.

        >>> w = sg.shared(np.ones(2, "float32"), "w")
        >>> nn.sgd(sg.sum(w), [w], 0.5).step_of(w).eval()
        array([-0.5, -0.5], dtype=float32)
        """
        step = self._steps.get(param)
        # Equal expressions are one object, so this finds out whether the update is still ours.
        if step is not None and self[param] is param + step:
            return step
        return self[param] - param

    def slot(
        self,
        kind: str,
        param: sg.SharedVariable | None = None,
        value: Any = None,
        *,
        served: Sequence[sg.SharedVariable] = (),
    ) -> sg.SharedVariable:
        """A new state variable: zeros like the parameter, in its dtype, or the value.

        ``kind`` says what it is for, ``served``, where it belongs to no parameter, which ones it
        serves (all by default). The name in files follows from these.

        >>> w = sg.shared(np.ones(2, "float32"), "w")
        >>> updates = nn.Updates([w])
        >>> velocity = updates.slot("velocity", w)
        >>> updates[velocity] = 0.9 * velocity - 0.1
        >>> updates.slots
        {('velocity', <w: float32[2]>): <w.velocity: float32[2]>}
        """
        alike = sum(r.kind == kind and r.param is param for r in self._slots.values())
        if param is not None and value is None:
            value = np.zeros_like(param.get_value())
        owner = f"{param.name}." if param is not None and param.name else ""
        state = sg.shared(value, f"{owner}{kind}{alike + 1 if alike else ''}")
        whose = tuple(served or self._params) if param is None else (param,)
        self._remember({state: Slot(kind, param, whose)})
        return state

    @property
    def count(self) -> sg.SharedVariable:
        """The number of steps taken, an int64 scalar; it counts once a rule asks for it."""
        for slot, record in self._slots.items():
            if record.kind == "step" and record.param is None and slot in self:
                return slot
        count = self.slot("step", value=np.int64(0))
        self[count] = count + 1
        return count

    def _remember(self, slots: Mapping[sg.SharedVariable, Slot]) -> None:
        self._slots.update(slots)
        _slots.update(slots)

    # --- as a dict ---

    def update(self, other: Any = (), /) -> None:
        """Take over what another dict (or pairs) says; of another `Updates` also the memory.

        An `UpdateError` where another `Updates` has other updates of a variable.

        >>> w, b = sg.shared(1.0, "w"), sg.shared(1.0, "b")
        >>> updates = nn.sgd(w * b, [w], 0.1)
        >>> updates.update(nn.sgd(w * b, [b], 0.01))
        >>> updates.params
        [<w: float32[]>, <b: float32[]>]
        """
        if isinstance(other, Updates):
            self._refuse_conflicts(other)
            self._take_memory(other)
        super().update(other)

    def _refuse_conflicts(self, other: Updates) -> None:
        both = [v for v in other if v in self and self[v] is not other[v]]
        if both:
            raise UpdateError.here(
                "updates that are joined say different things of " + ", ".join(map(describe, both)),
                remedy="Take what does not count out of one of them first, with "
                "del updates[variable].",
            )

    def _take_memory(self, other: Updates) -> None:
        self._params.update(other._params)
        self._steps.update(other._steps)
        self._points.update(other._points)
        self._remember(other._slots)

    def copy(self) -> Updates:
        """The same updates in a dict of their own.

        >>> w = sg.shared(1.0, "w")
        >>> updates = nn.sgd(w**2, [w], 0.1)
        >>> copied = updates.copy()
        >>> copied is updates, copied == updates
        (False, True)
        """
        copied = Updates()
        copied.update(self)
        return copied

    __copy__ = copy

    def __or__(self, other: Any) -> Updates:
        if not isinstance(other, Mapping):
            return NotImplemented
        joined = self.copy()
        joined.update(other)
        return joined

    def __ror__(self, other: Any) -> Updates:
        if not isinstance(other, Mapping):
            return NotImplemented
        joined = Updates()
        joined.update(other)
        dict.update(joined, self)
        joined._take_memory(self)
        return joined

    def __ior__(self, other: Any) -> Updates:
        self.update(other)
        return self

    # --- copies and pickles ---

    def __deepcopy__(self, memo: dict[int, Any]) -> Updates:
        copied = _assemble(*copy.deepcopy(self._parts(), memo))
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        # One graph for all: each expression by itself would hold the loss again.
        expressions, names = self._parts()
        variables = [v for v in expressions if isinstance(v, sg.Variable)]
        numbers = [None if isinstance(v, sg.Variable) else v for v in expressions]
        return _load, (sg.Graph(leaves(variables), variables), numbers, names)

    def _parts(self) -> tuple[list[Any], list[list[Any]]]:
        """All expressions, and the variables that they are for."""
        expressions = [*self.values(), *self._steps.values()]
        expressions += [v for pair in self._points.values() for v in pair]
        records = [(slot, r.kind, r.param, r.served) for slot, r in self._slots.items()]
        return expressions, [
            list(self), list(self._params), list(self._steps), list(self._points), records,
        ]  # fmt: skip


def _assemble(expressions: Iterable[Any], names: list[list[Any]]) -> Updates:
    """Updates from what `Updates._parts` gave."""
    updated, params, stepped, looking, records = names
    updates, rest = Updates(), iter(expressions)
    dict.update(updates, {v: next(rest) for v in updated})
    updates._params.update(dict.fromkeys(params))
    updates._steps.update({param: next(rest) for param in stepped})
    updates._points.update({param: (next(rest), next(rest)) for param in looking})
    updates._remember({slot: Slot(*record) for slot, *record in records})
    return updates


def _load(graph: sg.Graph, numbers: list[Any], names: list[list[Any]]) -> Updates:
    variables = iter(graph.outputs)
    return _assemble([next(variables) if n is None else n for n in numbers], names)


def unknown_slots(updates: UpdatesLike) -> list[sg.SharedVariable]:
    """The variables of a rule's own state of which the updates do not know what they are for."""
    known = updates.records if isinstance(updates, Updates) else {}
    return [v for v in updates if is_slot(v) and v not in known]


def check_memory(owner: str, updates: UpdatesLike) -> None:
    """Raise where the updates hold a rule's state but not the memory of what it is for."""
    unknown = unknown_slots(updates)
    if unknown:
        raise UpdateError.here(
            f"{owner}: the updates hold {describe(unknown[0])}, which an update rule made, but "
            "not what the rule remembers of it",
            remedy=_KEEP,
        )


_KEEP = (
    "Keep the rules' own dicts: a | b, a.update(b) and copies remember; dict(a), {**a, **b} and "
    "single items do not."
)


def iterate(updates: UpdatesLike) -> dict[sg.SharedVariable, sg.Variable]:
    """For each parameter an expression of the other point, of the values stored.

    For `nesterov`, which stores the look-ahead points Y = θ + m v, Sutskever's θ: ``Y - m v`` with
    the m of the last jump; for `apply_ema` the averages, for `apply_lookahead` the slow weights.
    Where several of these are combined, it is the point of the last one. For rules without another
    point it is the parameter itself. It can be compiled, or put in the parameters' place with
    ``sg.substitute`` or ``givens``.

    ``updates`` are those of a rule, with their memory: a plain dict is a `SymgraphTypeError`.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> updates = nn.nesterov(sg.sum(w), [w], 0.1, 0.5)
    >>> sg.compile([], None, updates=updates)()
    >>> nn.iterate(updates)[w].eval().round(2)
    array([0.9, 0.9], dtype=float32)
    """
    if not isinstance(updates, Updates):
        raise SymgraphTypeError.here(
            f"iterate: the updates of a rule are expected, not a {type(updates).__name__}",
            remedy=_KEEP,
        )
    check_memory("iterate", updates)
    points = updates.other_points
    return {param: points.get(param, param) for param in updates.params}

"""What the update rules return, and what they are made of.

`Updates` is the dict that ``sg.compile(..., updates=...)`` takes, which also remembers the
optimiser's state: for `iterate`, for the modifiers, and for saving.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
    describe,
    explain,
    user_line,
)

from .module import buffer_updates
from .schedules import Schedule

__all__ = ["Rate", "Scalar", "Updates", "begin", "continue_with", "iterate"]

# What a learning rate or a momentum may be: a number, a (shared) scalar or a schedule.
Rate = float | sg.Variable | Schedule
# A rate in the dtype of a parameter: a number or a scalar variable.
Scalar = Callable[[sg.Variable], Any]


class Updates(dict[sg.SharedVariable, sg.Variable]):
    """The new value of each shared variable: parameters and the optimiser's state.

    ``params`` are what the rule moves; ``slots`` the optimiser's own variables, by kind and
    parameter (None where one serves all).
    """

    def __init__(self, params: Sequence[sg.SharedVariable]) -> None:
        super().__init__()
        self.params = list(params)
        self.slots: dict[tuple[str, sg.SharedVariable | None], sg.SharedVariable] = {}
        self.other_points: dict[sg.SharedVariable, sg.Variable] = {}
        self._steps: dict[sg.SharedVariable, sg.Variable] = {}

    def copy(self) -> Updates:
        """The same updates in a dict of their own."""
        made = Updates(self.params)
        made.update(self)
        made.slots = dict(self.slots)
        made.other_points = dict(self.other_points)
        made._steps = dict(self._steps)
        return made

    def __or__(self, other: Mapping) -> Updates:
        made = self.copy()
        made.update(other)
        return made

    def move(self, param: sg.SharedVariable, step: sg.Variable) -> None:
        """Let the parameter move by the step."""
        self[param] = param + step
        self._steps[param] = step

    def step_of(self, param: sg.SharedVariable) -> sg.Variable:
        """By how much the parameter moves: as the rule said, exact, unless it was changed since."""
        step = self._steps.get(param)
        # Equal expressions are one object, so this finds out whether the update is still ours.
        if step is not None and self[param] is param + step:
            return step
        return self[param] - param

    def slot(
        self, kind: str, param: sg.SharedVariable | None = None, value: Any = None
    ) -> sg.SharedVariable:
        """A new state variable: zeros like the parameter, in its dtype, or the value."""
        number = 1 + sum(name.rstrip("0123456789") == kind and p is param for name, p in self.slots)
        kind = kind if number == 1 else f"{kind}{number}"
        if param is not None and value is None:
            value = np.zeros_like(param.get_value())
        owner = f"{param.name}." if param is not None and param.name else ""
        made = self.slots[kind, param] = sg.shared(value, f"{owner}{kind}")
        return made

    @property
    def count(self) -> sg.SharedVariable:
        """The number of steps taken, an int64 scalar; it counts once a rule asks for it."""
        found = self.slots.get(("step", None))
        if found is None:
            found = self.slot("step", value=np.int64(0))
            self[found] = found + 1
        return found

    def rate(self, value: Rate, name: str, *, ahead: int = 0) -> Scalar:
        """The rate at this step (or some steps ahead), for a parameter, in its dtype."""
        if callable(value) and not isinstance(value, sg.Variable):
            value = value(self.count + ahead if ahead else self.count)
        if isinstance(value, (bool, str)) or not isinstance(
            value, (int, float, np.number, np.ndarray, sg.Variable)
        ):
            raise SymgraphTypeError(
                explain(
                    f"{name}: a number, a scalar variable or a function of the step is expected, "
                    f"not {value!r}",
                    line=user_line(),
                )
            )
        axes = value.ndim if isinstance(value, (np.ndarray, sg.Variable)) else 0
        if axes:
            raise ShapeError(
                explain(f"{name}: a scalar is expected; found {axes} axes", line=user_line())
            )
        if isinstance(value, sg.Variable):
            wide = value.astype("float64")
            return lambda param: wide.astype(param.dtype)
        number = float(value)
        if not math.isfinite(number):
            raise SymgraphValueError(
                explain(f"{name}: a finite number is expected, not {number}", line=user_line())
            )
        return lambda param: number


def begin(
    rule: str, loss_or_grads: sg.Variable | Sequence[sg.Variable], params: Any
) -> tuple[Updates, list[sg.Variable]]:
    """New updates and the gradient of each parameter, in its dtype.

    The updates of buffers that follow the loss are in them.
    """
    listed = _check_params(rule, params)
    if isinstance(loss_or_grads, sg.Variable):
        grads = sg.grad(loss_or_grads, listed)
    elif isinstance(loss_or_grads, (list, tuple)):
        grads = _check_grads(rule, loss_or_grads, listed)
    else:
        raise SymgraphTypeError(
            explain(
                f"{rule}: a loss or a list of gradients is expected, not {loss_or_grads!r}",
                line=user_line(),
            )
        )
    updates = Updates(listed)
    updates.update(buffer_updates(loss_or_grads))
    return updates, [g.astype(p.dtype) for g, p in zip(grads, listed, strict=True)]


def continue_with(
    rule: str, updates: Mapping[sg.SharedVariable, sg.Variable], params: Any
) -> Updates:
    """A copy of the updates of another rule, of these parameters (None: of all), to be modified."""
    if isinstance(updates, Updates):
        made = updates.copy()
    elif isinstance(updates, Mapping):
        made = Updates([v for v in updates if v.dtype.kind == "f"])
        made.update(updates)
    else:
        raise SymgraphTypeError(
            explain(
                f"{rule}: the updates of a rule are expected, not {updates!r}", line=user_line()
            )
        )
    if params is not None:
        made.params = _check_params(rule, params)
    for param in made.params:
        if param not in made:
            raise SymgraphValueError(
                explain(f"{rule}: there is no update of {describe(param)}", line=user_line())
            )
    return made


def iterate(updates: Mapping) -> dict[sg.SharedVariable, sg.Variable]:
    """For each parameter an expression of the other point, Sutskever's θ, of the values stored.

    Nesterov's rule stores the look-ahead points Y = θ + m v; this is ``Y - m v`` with the m of the
    last jump. It can be compiled, or put in the parameters' place with ``sg.substitute`` or
    ``givens``. For rules without look-ahead it is the parameter itself.
    """
    if not isinstance(updates, Updates):
        raise SymgraphTypeError(
            explain(
                f"iterate: the updates of a rule are expected, not a {type(updates).__name__}",
                line=user_line(),
                remedy="Keep the rule's own dict: updates | more keeps what iterate needs, "
                "{**updates, **more} does not.",
            )
        )
    return {param: updates.other_points.get(param, param) for param in updates.params}


def _check_params(rule: str, params: Any) -> list[sg.SharedVariable]:
    if isinstance(params, sg.Variable):
        params = [params]
    if not isinstance(params, (list, tuple)):
        raise SymgraphTypeError(
            explain(
                f"{rule}: a list of shared variables is expected, not {params!r}",
                line=user_line(),
                remedy="Give module.params.",
            )
        )
    listed: list[sg.SharedVariable] = []
    for param in params:
        if not isinstance(param, sg.SharedVariable):
            raise SymgraphTypeError(
                explain(
                    f"{rule}: a parameter is a shared variable, not "
                    + (describe(param) if isinstance(param, sg.Variable) else repr(param)),
                    line=user_line(),
                    remedy="Make parameters with sg.shared(value).",
                )
            )
        if param.dtype.kind != "f":
            raise DtypeError(
                explain(
                    f"{rule}: a parameter is float; {describe(param)} has no gradient",
                    line=user_line(),
                )
            )
        if param in listed:
            raise SymgraphValueError(
                explain(f"{rule}: {describe(param)} is given twice", line=user_line())
            )
        listed.append(param)
    return listed


def _check_grads(
    rule: str, grads: Sequence[Any], params: list[sg.SharedVariable]
) -> list[sg.Variable]:
    if len(grads) != len(params):
        raise SymgraphValueError(
            explain(
                f"{rule}: {len(params)} parameters need as many gradients, not {len(grads)}",
                line=user_line(),
            )
        )
    for grad, param in zip(grads, params, strict=True):
        if not isinstance(grad, sg.Variable):
            raise SymgraphTypeError(
                explain(
                    f"{rule}: the gradient of {describe(param)} is a variable, not {grad!r}",
                    line=user_line(),
                )
            )
        known = [n for n in grad.shape if isinstance(n, int)]
        if grad.ndim != param.ndim or (len(known) == grad.ndim and grad.shape != param.shape):
            raise ShapeError(
                explain(
                    f"{rule}: the gradient of {describe(param)} is {describe(grad)}",
                    line=user_line(),
                    remedy="Gradients stand in the order of the parameters.",
                )
            )
    return list(grads)

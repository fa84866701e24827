"""Schedules of learning rate and momentum: functions of the step number, which starts at 0.

Arguments come in one order: the value at first, then the one at the end or what it is multiplied
by, then the number of steps. Each returns a function that takes a number, an array or a symbol: it
can be plotted as it is, and given to an update rule, which evaluates it in float64. Any function of
your own does as well. A value that cannot be (a negative rate, no steps) is a `SymgraphValueError`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphValueError

from .checks import check_number
from .typing import Schedule

__all__ = [
    "Schedule",
    "constant",
    "cosine",
    "exponential",
    "linear",
    "rising_momentum",
    "step_decay",
    "warmup",
]


def constant(value: float) -> Schedule:
    """The value at every step.

    >>> nn.schedules.constant(0.1)(1000)
    0.1
    """
    return lambda step: value


def step_decay(start: float, factor: float, every: int) -> Schedule:
    """``start * factor ** floor(step / every)``: a staircase.

    >>> rate = nn.schedules.step_decay(0.1, 0.5, every=10)
    >>> rate(9), rate(10), rate(20)
    (0.1, 0.05, 0.025)
    """
    _check_rates("step_decay", start=start)
    _check_factor("step_decay", factor)
    _check_steps("step_decay", every)
    return lambda step: start * factor ** (step // every)


def exponential(start: float, factor: float) -> Schedule:
    """``start * factor ** step``.

    >>> nn.schedules.exponential(8.0, 0.5)(np.arange(4))
    array([8., 4., 2., 1.])
    """
    _check_rates("exponential", start=start)
    _check_factor("exponential", factor)
    return lambda step: start * factor**step


def linear(start: float, end: float, steps: int) -> Schedule:
    """From ``start`` at step 0 to ``end`` at step ``steps`` on a line, and ``end`` from then on.

    >>> nn.schedules.linear(1.0, 0.0, 4)(np.arange(6))
    array([1.  , 0.75, 0.5 , 0.25, 0.  , 0.  ])
    """
    _check_rates("linear", start=start, end=end)
    _check_steps("linear", steps)
    return lambda step: start + (end - start) * _share(step, steps)


def cosine(start: float, end: float = 0.0, steps: int | None = None) -> Schedule:
    """From ``start`` to ``end`` in ``steps`` steps on half a cosine (Loshchilov, Hutter 2016).

    ``end + (start - end) / 2 · (1 + cos(π · step / steps))``, and ``end`` from ``steps`` on.
    ``cosine(start, steps)`` ends at 0. An ``end`` above the number of steps is refused: the two
    stand the wrong way round.

    >>> nn.schedules.cosine(1.0, 0.5, 2)(np.arange(4)).round(3)
    array([1.  , 0.75, 0.5 , 0.5 ])
    >>> nn.schedules.cosine(1.0, 2)(np.arange(4)).round(3)
    array([1. , 0.5, 0. , 0. ])
    """
    last, n_steps = (0.0, end) if steps is None else (end, steps)
    _check_rates("cosine", start=start, end=last)
    _check_steps("cosine", n_steps)
    if not isinstance(last, sg.Variable) and last > n_steps:
        raise SymgraphValueError.here(
            f"cosine: from {start!r} to {last!r} in {n_steps!r} steps",
            remedy="Values come first, then the number of steps: cosine(0.1, 0.01, 1000).",
        )
    return lambda step: last + (start - last) * 0.5 * (1 + np.cos(math.pi * _share(step, n_steps)))


def warmup(schedule: float | Schedule, steps: int) -> Schedule:
    """The schedule (or number) times ``(step + 1) / steps`` in the first ``steps`` steps.

    The schedule keeps counting from step 0.

    >>> nn.schedules.warmup(0.1, 4)(np.arange(6)).round(3)
    array([0.025, 0.05 , 0.075, 0.1  , 0.1  , 0.1  ])
    """
    _check_steps("warmup", steps)
    inner = schedule if callable(schedule) else constant(schedule)
    return lambda step: inner(step) * _share(step + 1, steps)


def rising_momentum(maximum: float = 0.99, every: int = 250) -> Schedule:
    """Momentum ``min(1 - 0.5 / (floor(step / every) + 1), maximum)``: 0.5, 0.75, 0.83, 0.875 …

    The schedule of Sutskever et al. 2013, there written ``1 - 2^(-1 - log2(floor(t / 250) + 1))``.

    >>> nn.schedules.rising_momentum(0.8)(np.array([0, 249, 250, 10000]))
    array([0.5 , 0.5 , 0.75, 0.8 ])
    """
    _check_steps("rising_momentum", every)
    return lambda step: np.minimum(1 - 0.5 / (step // every + 1), maximum)


def _share(step: Any, steps: float) -> Any:
    """How much of the steps is done, from 0 to 1."""
    return np.minimum(step / steps, 1.0)


def _check_rates(owner: str, **values: Any) -> None:
    """Raise where a number among the values is no learning rate and no momentum."""
    check_number(owner, **{k: v for k, v in values.items() if not isinstance(v, sg.Variable)})


def _check_factor(owner: str, factor: Any) -> None:
    _check_rates(owner, factor=factor)
    if not isinstance(factor, sg.Variable) and factor == 0:
        raise SymgraphValueError.here(f"{owner}: a factor above 0 is expected, not {factor!r}")


def _check_steps(owner: str, steps: Any) -> None:
    if not isinstance(steps, (int, float)) or isinstance(steps, bool) or not steps >= 1:
        raise SymgraphValueError.here(
            f"{owner}: a number of steps of at least 1, not {steps!r}",
            remedy="Values come first, then the number of steps: linear(0.1, 0.01, 1000).",
        )

"""Update rules: each returns `Updates`, a dict of new values for ``sg.compile(updates=...)``.

The first argument is a loss, or the list of gradients (clipped, say). Formulas and defaults are
Lasagne's. A learning rate or momentum is a number, a scalar variable (shared or not), or a
function of the step number, which starts at 0; it is evaluated in float64.

Notation: p parameter, g gradient, e learning rate, a prime marks new values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import symgraph as sg

from .begin import begin_steps, continue_with
from .rates import Scalar, rate_at_step
from .typing import LossOrGrads, Params, Rate, UpdatesLike
from .updates import Updates

__all__ = [
    "apply_momentum",
    "apply_nesterov",
    "momentum",
    "nesterov",
    "sgd",
]


def sgd(loss_or_grads: LossOrGrads, params: Params, learning_rate: Rate) -> Updates:
    """Gradient descent: ``p' = p - e g``; it keeps no state.

    loss_or_grads
        A float scalar g is the gradient of, or the gradients themselves, a list in the order of
        the parameters, of their shapes. Buffers that follow what it depends on, such as those of
        `BatchNorm`, move along.
    params
        ``module.params``, or other float shared variables, each once.
    learning_rate
        e: a number of at least 0, a scalar variable (shared, say), or a function of the step
        number, which starts at 0 (`schedules`). It is evaluated in float64.

    Raises a `SymgraphTypeError`, `SymgraphValueError`, `ShapeError` or `DtypeError` for arguments
    that are none of these, and a `SymgraphValueError` where the loss depends on a layer that its
    module does not keep.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> step = sg.compile([], None, updates=nn.sgd(sg.sum(w**2), [w], 0.1))
    >>> step()
    >>> w.get_value()
    array([0.8, 0.8], dtype=float32)
    """
    updates, steps = begin_steps("sgd", loss_or_grads, params, learning_rate)
    for p, g, e in steps:
        updates.move(p, -e * g)
    return updates


# --- momentum -----------------------------------------------------------------------------------


def momentum(
    loss_or_grads: LossOrGrads, params: Params, learning_rate: Rate, momentum: Rate = 0.9
) -> Updates:
    """Classical momentum (Polyak 1964): ``v' = m v - e g``, ``p' = p + v'``.

    loss_or_grads, params, learning_rate
        As `sgd` has them.
    momentum
        m: a number from 0 to below 1, 0.9 by default, a scalar variable or a function of the step.

    State: ``velocity`` v, like each parameter.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> step = sg.compile([], None, updates=nn.momentum(sg.sum(w), [w], 0.1, 0.5))
    >>> step(), step(), w.get_value()  # 0.1, then 0.15 less
    (None, None, array([0.75, 0.75], dtype=float32))
    """
    return apply_momentum(sgd(loss_or_grads, params, learning_rate), momentum=momentum)


def nesterov(
    loss_or_grads: LossOrGrads, params: Params, learning_rate: Rate, momentum: Rate = 0.9
) -> Updates:
    """Nesterov's accelerated gradient (1983), at the points where the gradient is taken.

    With the step number t, momenta m_t and rates e_t::

        v[t+1] = m[t] v[t] - e[t] g[t]                  g[t] the gradient at Y[t]
        Y[t+1] = Y[t] + m[t+1] v[t+1] - e[t] g[t]

    The parameters hold the look-ahead points ``Y[t] = θ[t] + m[t] v[t]`` of Sutskever et al. 2013,
    so that the loss graph exists once; `iterate` gives θ. The velocity has the momentum of the
    last jump, which is kept as state, and the jump the next one: under a changing momentum this is
    exact. A schedule's value at t is m[t]; the value that a momentum variable has at a call is
    that of the call's jump.

    loss_or_grads, params, learning_rate
        As `sgd` has them.
    momentum
        m: a number from 0 to below 1, 0.9 by default, a scalar variable or a function of the step
        (`schedules.rising_momentum`).

    State: ``velocity`` v, like each parameter; unless m is a number, ``momentum``, a float64
    scalar.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> updates = nn.nesterov(sg.sum(w), [w], 0.1, 0.5)
    >>> sg.compile([], None, updates=updates)()
    >>> w.get_value(), nn.iterate(updates)[w].eval().round(2)
    (array([0.85, 0.85], dtype=float32), array([0.9, 0.9], dtype=float32))
    """
    return apply_nesterov(sgd(loss_or_grads, params, learning_rate), momentum=momentum)


def apply_momentum(
    updates: UpdatesLike, params: Params | None = None, momentum: Rate = 0.9
) -> Updates:
    """Any rule with momentum: where it says ``p' = u``: ``v' = m v + (u - p)``, ``p' = p + v'``.

    updates
        What a rule returned. It is copied, with what the rule remembers.
    params
        The parameters to modify, all that the rule moves by default; one that it does not move is
        a `SymgraphValueError`.
    momentum
        m: a number from 0 to below 1, 0.9 by default, a scalar variable or a function of the step.

    State besides the rule's: ``velocity`` v, like each parameter.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> updates = nn.apply_momentum(nn.adam(sg.sum(w), [w]), momentum=0.5)
    >>> [kind for kind, param in updates.slots]
    ['step', 'mean', 'square_mean', 'velocity']
    """
    changed, chosen = continue_with("apply_momentum", updates, params)
    factor = rate_at_step(changed, momentum, "momentum")
    for p in chosen:
        velocity = changed.slot("velocity", p)
        step = factor(p) * velocity + changed.step_of(p)
        changed[velocity] = step
        changed.move(p, step)
    return changed


def apply_nesterov(
    updates: UpdatesLike, params: Params | None = None, momentum: Rate = 0.9
) -> Updates:
    """Any rule with Nesterov's momentum: where it says ``p' = u``::

        v[t+1] = m[t] v[t] + (u - p)
        p[t+1] = u + m[t+1] v[t+1]

    The parameters hold the look-ahead points; `iterate` gives the others. See `nesterov`.

    updates
        What a rule returned. It is copied, with what the rule remembers.
    params
        The parameters to modify, all that the rule moves by default; one that it does not move is
        a `SymgraphValueError`.
    momentum
        m: a number from 0 to below 1, 0.9 by default, a scalar variable or a function of the step.

    State besides the rule's: ``velocity`` v, like each parameter; unless m is a number,
    ``momentum``, a float64 scalar.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> updates = nn.apply_nesterov(nn.rmsprop(sg.sum(w), [w], 0.01), momentum=0.9)
    >>> [kind for kind, param in updates.slots]
    ['square_mean', 'velocity']
    """
    changed, chosen = continue_with("apply_nesterov", updates, params)
    last, following = _two_momenta(changed, chosen, momentum)
    for p in chosen:
        velocity = changed.slot("velocity", p)
        step = changed.step_of(p)
        carried = last(p) * velocity
        changed[velocity] = carried + step
        changed.move(p, following(p) * changed[velocity] + step)
        changed.look_from(p, p - carried)
    return changed


def _two_momenta(
    updates: Updates, chosen: Sequence[sg.SharedVariable], momentum: Rate
) -> tuple[Scalar, Scalar]:
    """The momentum of the last jump and that of the one to come."""
    following = rate_at_step(updates, momentum, "momentum", ahead=1)
    if isinstance(momentum, (int, float)):
        return following, following
    # The first velocity is zero, so that the first value has no effect.
    last = updates.slot("momentum", value=np.float64(0), served=chosen)
    updates[last] = following(last)
    return rate_at_step(updates, last, "momentum"), following

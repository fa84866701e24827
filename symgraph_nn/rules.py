"""Update rules: each returns `Updates`, a dict of new values for ``sg.compile(updates=...)``.

The first argument is a loss, or the list of gradients (clipped, say). Formulas and defaults are
Lasagne's. A learning rate or momentum is a number, a scalar variable (shared or not), or a
function of the step number, which starts at 0; it is evaluated in float64.

Notation: p parameter, g gradient, e learning rate, a prime marks new values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import symgraph as sg

from .begin import begin, continue_with
from .checks import check_number, check_share
from .rates import Rate, Scalar, rate_at_step
from .updates import Updates

__all__ = [
    "adabelief",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "apply_momentum",
    "apply_nesterov",
    "lion",
    "momentum",
    "nesterov",
    "rmsprop",
    "sgd",
]

Loss = sg.Variable | Sequence[sg.Variable]


def sgd(loss_or_grads: Loss, params: Any, learning_rate: Rate) -> Updates:
    """Gradient descent: ``p' = p - e g``."""
    updates, grads = begin("sgd", loss_or_grads, params)
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    for p, g in zip(updates.params, grads, strict=True):
        updates.move(p, -rate(p) * g)
    return updates


# --- momentum -----------------------------------------------------------------------------------


def momentum(
    loss_or_grads: Loss, params: Any, learning_rate: Rate, momentum: Rate = 0.9
) -> Updates:
    """Classical momentum (Polyak 1964): ``v' = m v - e g``, ``p' = p + v'``."""
    return apply_momentum(sgd(loss_or_grads, params, learning_rate), momentum=momentum)


def nesterov(
    loss_or_grads: Loss, params: Any, learning_rate: Rate, momentum: Rate = 0.9
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
    """
    return apply_nesterov(sgd(loss_or_grads, params, learning_rate), momentum=momentum)


def apply_momentum(
    updates: Mapping[sg.SharedVariable, sg.Variable], params: Any = None, momentum: Rate = 0.9
) -> Updates:
    """Any rule with momentum: where it says ``p' = u``: ``v' = m v + (u - p)``, ``p' = p + v'``.

    ``params``: the parameters to modify, all that the rule moves by default.
    """
    made, chosen = continue_with("apply_momentum", updates, params)
    factor = rate_at_step(made, momentum, "momentum")
    for p in chosen:
        velocity = made.slot("velocity", p)
        step = factor(p) * velocity + made.step_of(p)
        made[velocity] = step
        made.move(p, step)
    return made


def apply_nesterov(
    updates: Mapping[sg.SharedVariable, sg.Variable], params: Any = None, momentum: Rate = 0.9
) -> Updates:
    """Any rule with Nesterov's momentum: where it says ``p' = u``::

        v[t+1] = m[t] v[t] + (u - p)
        p[t+1] = u + m[t+1] v[t+1]

    ``params``: the parameters to modify, all that the rule moves by default. See `nesterov`.
    """
    made, chosen = continue_with("apply_nesterov", updates, params)
    last, following = _two_momenta(made, chosen, momentum)
    for p in chosen:
        velocity = made.slot("velocity", p)
        step = made.step_of(p)
        carried = last(p) * velocity
        made[velocity] = carried + step
        made.move(p, following(p) * made[velocity] + step)
        made.look_from(p, p - carried)
    return made


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


# --- rates for each element ---------------------------------------------------------------------


def adagrad(
    loss_or_grads: Loss, params: Any, learning_rate: Rate = 1.0, *, epsilon: float = 1e-6
) -> Updates:
    """Duchi et al. 2011: ``a' = a + g²``, ``p' = p - e g / √(a' + ε)``."""
    check_number("adagrad", epsilon=epsilon)
    updates, grads = begin("adagrad", loss_or_grads, params)
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    for p, g in zip(updates.params, grads, strict=True):
        total = updates.slot("square_sum", p)
        updates[total] = total + g * g
        updates.move(p, -rate(p) * g / sg.sqrt(updates[total] + epsilon))
    return updates


def rmsprop(
    loss_or_grads: Loss,
    params: Any,
    learning_rate: Rate = 1.0,
    *,
    rho: float = 0.9,
    epsilon: float = 1e-6,
) -> Updates:
    """Tieleman and Hinton 2012: ``a' = ρ a + (1 - ρ) g²``, ``p' = p - e g / √(a' + ε)``."""
    check_share("rmsprop", rho=rho)
    check_number("rmsprop", epsilon=epsilon)
    updates, grads = begin("rmsprop", loss_or_grads, params)
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    for p, g in zip(updates.params, grads, strict=True):
        square = _running(updates, "square_mean", p, g * g, rho)
        updates.move(p, -rate(p) * g / sg.sqrt(square + epsilon))
    return updates


def adadelta(
    loss_or_grads: Loss,
    params: Any,
    learning_rate: Rate = 1.0,
    *,
    rho: float = 0.95,
    epsilon: float = 1e-6,
) -> Updates:
    """Zeiler 2012: ``d = g √(b + ε) / √(a' + ε)``, ``p' = p - e d``.

    ``a`` is the running mean of g² with this step's, ``b`` that of d² without; both forget by ρ.
    """
    check_share("adadelta", rho=rho)
    check_number("adadelta", epsilon=epsilon)
    updates, grads = begin("adadelta", loss_or_grads, params)
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    for p, g in zip(updates.params, grads, strict=True):
        square = _running(updates, "square_mean", p, g * g, rho)
        step_square = updates.slot("step_square_mean", p)
        step = g * sg.sqrt(step_square + epsilon) / sg.sqrt(square + epsilon)
        updates[step_square] = rho * step_square + (1 - rho) * step * step
        updates.move(p, -rate(p) * step)
    return updates


def adam(
    loss_or_grads: Loss,
    params: Any,
    learning_rate: Rate = 0.001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> Updates:
    """Kingma and Ba 2014, in the form at the end of their section 2.

    ``a' = β₁ a + (1 - β₁) g``, ``b' = β₂ b + (1 - β₂) g²``, with t counting from 1
    ``p' = p - e √(1 - β₂ᵗ) / (1 - β₁ᵗ) · a' / (√b' + ε)``.
    """
    return _adam("adam", loss_or_grads, params, learning_rate, beta1, beta2, epsilon)


def adamw(
    loss_or_grads: Loss,
    params: Any,
    learning_rate: Rate = 0.001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
) -> Updates:
    """`adam` and decoupled decay (Loshchilov and Hutter 2017): e · weight_decay · p less."""
    check_number("adamw", weight_decay=weight_decay)
    updates = _adam("adamw", loss_or_grads, params, learning_rate, beta1, beta2, epsilon)
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    for p in updates.params:
        updates.move(p, updates.step_of(p) - weight_decay * rate(p) * p)
    return updates


def amsgrad(
    loss_or_grads: Loss,
    params: Any,
    learning_rate: Rate = 0.001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> Updates:
    """Reddi et al. 2018: `adam` with the largest b' so far in the place of b'."""
    return _adam(
        "amsgrad", loss_or_grads, params, learning_rate, beta1, beta2, epsilon, keeps_largest=True
    )


def _adam(
    rule: str,
    loss_or_grads: Loss,
    params: Any,
    learning_rate: Rate,
    beta1: float,
    beta2: float,
    epsilon: float,
    *,
    keeps_largest: bool = False,
) -> Updates:
    check_share(rule, beta1=beta1, beta2=beta2)
    check_number(rule, epsilon=epsilon)
    updates, grads = begin(rule, loss_or_grads, params)
    t = (updates.count + 1).astype("float64")
    correction = rate_at_step(updates, sg.sqrt(1 - beta2**t) / (1 - beta1**t), "correction")
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    for p, g in zip(updates.params, grads, strict=True):
        mean = _running(updates, "mean", p, g, beta1)
        square = _running(updates, "square_mean", p, g * g, beta2)
        if keeps_largest:
            largest = updates.slot("largest_square_mean", p)
            square = updates[largest] = sg.maximum(largest, square)
        updates.move(p, -rate(p) * correction(p) * mean / (sg.sqrt(square) + epsilon))
    return updates


def adamax(
    loss_or_grads: Loss,
    params: Any,
    learning_rate: Rate = 0.002,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> Updates:
    """Kingma and Ba 2014, section 7: the largest gradient, discounted, in the place of √b'.

    ``u' = max(β₂ u, |g|)``, ``p' = p - e / (1 - β₁ᵗ) · a' / (u' + ε)``.
    """
    check_share("adamax", beta1=beta1, beta2=beta2)
    check_number("adamax", epsilon=epsilon)
    updates, grads = begin("adamax", loss_or_grads, params)
    t = (updates.count + 1).astype("float64")
    correction = rate_at_step(updates, 1 / (1 - beta1**t), "correction")
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    for p, g in zip(updates.params, grads, strict=True):
        mean = _running(updates, "mean", p, g, beta1)
        largest = updates.slot("largest", p)
        updates[largest] = sg.maximum(beta2 * largest, sg.abs(g))
        updates.move(p, -rate(p) * correction(p) * mean / (updates[largest] + epsilon))
    return updates


def _running(
    updates: Updates, kind: str, param: sg.SharedVariable, value: sg.Variable, keep: float
) -> sg.Variable:
    """The new running mean of a value, kept as a slot of the parameter."""
    slot = updates.slot(kind, param)
    updates[slot] = keep * slot + (1 - keep) * value
    return updates[slot]


def adabelief(
    loss_or_grads: Loss,
    params: Any,
    learning_rate: Rate = 0.001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-16,
) -> Updates:
    """Zhuang et al. 2020: `adam` with the square of what the mean did not foresee.

    ``a' = β₁ a + (1 - β₁) g``, ``s' = β₂ s + (1 - β₂) (g - a')² + ε``, with t counting from 1
    ``p' = p - e · a' / (1 - β₁ᵗ) / (√(s' / (1 - β₂ᵗ)) + ε)``.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> sg.compile([], None, updates=nn.adabelief(sg.sum(w**2), [w], 0.1))()
    >>> w.get_value().round(2)
    array([0.89, 0.89], dtype=float32)
    """
    check_share("adabelief", beta1=beta1, beta2=beta2)
    check_number("adabelief", epsilon=epsilon)
    updates, grads = begin("adabelief", loss_or_grads, params)
    t = (updates.count + 1).astype("float64")
    of_mean = rate_at_step(updates, 1 / (1 - beta1**t), "correction")
    of_square = rate_at_step(updates, 1 / (1 - beta2**t), "correction")
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    for p, g in zip(updates.params, grads, strict=True):
        mean = _running(updates, "mean", p, g, beta1)
        slot = updates.slot("surprise", p)
        updates[slot] = beta2 * slot + (1 - beta2) * sg.square(g - mean) + epsilon
        deviation = sg.sqrt(updates[slot] * of_square(p)) + epsilon
        updates.move(p, -rate(p) * of_mean(p) * mean / deviation)
    return updates


def lion(
    loss_or_grads: Loss,
    params: Any,
    learning_rate: Rate = 0.0001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.0,
) -> Updates:
    """Chen et al. 2023: all weights move equally far, by the sign of a mean of the gradients.

    ``p' = p - e (sign(β₁ a + (1 - β₁) g) + weight_decay · p)``, ``a' = β₂ a + (1 - β₂) g``.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> sg.compile([], None, updates=nn.lion(sg.sum(w**2), [w], 0.1))()
    >>> w.get_value()
    array([0.9, 0.9], dtype=float32)
    """
    check_share("lion", beta1=beta1, beta2=beta2)
    check_number("lion", weight_decay=weight_decay)
    updates, grads = begin("lion", loss_or_grads, params)
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    for p, g in zip(updates.params, grads, strict=True):
        slot = updates.slot("mean", p)
        updates[slot] = beta2 * slot + (1 - beta2) * g
        direction = sg.sign(beta1 * slot + (1 - beta1) * g)
        updates.move(p, -rate(p) * (direction + weight_decay * p if weight_decay else direction))
    return updates

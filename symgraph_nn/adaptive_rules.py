"""Update rules with a rate for each element, from the size of its gradients so far.

Notation as for the other rules: p parameter, g gradient, e learning rate, a prime marks new values.
"""

from __future__ import annotations

import symgraph as sg

from .begin import begin_steps
from .checks import check_number, check_share
from .patterns import decays
from .rates import rate_at_step
from .typing import Decay, LossOrGrads, Params, Rate
from .updates import Updates

__all__ = [
    "adabelief",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "lion",
    "rmsprop",
]


def adagrad(
    loss_or_grads: LossOrGrads, params: Params, learning_rate: Rate = 1.0, *, epsilon: float = 1e-6
) -> Updates:
    """Steps that become shorter with all squares of g so far (Duchi et al. 2011).

    ``a' = a + g²``, ``p' = p - e g / √(a' + ε)``.

    loss_or_grads, params, learning_rate
        As `sgd` has them; e is 1 by default.
    epsilon
        ε, of at least 0; 1e-6 by default.

    State: ``square_sum`` a, like each parameter.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> sg.compile([], None, updates=nn.adagrad(sg.sum(w**2), [w], 0.1))()
    >>> w.get_value().round(3)
    array([0.9, 0.9], dtype=float32)
    """
    (epsilon,) = _constants("adagrad", epsilon)
    updates, steps = begin_steps("adagrad", loss_or_grads, params, learning_rate)
    for p, g, e in steps:
        total = updates.slot("square_sum", p)
        updates[total] = total + g * g
        updates.move(p, -e * g / sg.sqrt(updates[total] + epsilon))
    return updates


def rmsprop(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: Rate = 1.0,
    *,
    rho: float = 0.9,
    epsilon: float = 1e-6,
) -> Updates:
    """Steps in units of the running size of g (Tieleman and Hinton 2012).

    ``a' = ρ a + (1 - ρ) g²``, ``p' = p - e g / √(a' + ε)``.

    loss_or_grads, params, learning_rate
        As `sgd` has them; e is 1 by default.
    rho
        ρ, from 0 to below 1; 0.9 by default.
    epsilon
        ε, of at least 0; 1e-6 by default.

    State: ``square_mean`` a, like each parameter.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> sg.compile([], None, updates=nn.rmsprop(sg.sum(w**2), [w], 0.01))()
    >>> w.get_value().round(3)
    array([0.968, 0.968], dtype=float32)
    """
    epsilon, rho = _constants("rmsprop", epsilon, rho=rho)
    updates, steps = begin_steps("rmsprop", loss_or_grads, params, learning_rate)
    for p, g, e in steps:
        square = _running(updates, "square_mean", p, g * g, rho)
        updates.move(p, -e * g / sg.sqrt(square + epsilon))
    return updates


def adadelta(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: Rate = 1.0,
    *,
    rho: float = 0.95,
    epsilon: float = 1e-6,
) -> Updates:
    """Steps as long as those so far, in units of the running size of g (Zeiler 2012).

    ``a' = ρ a + (1 - ρ) g²``, ``d = g √(b + ε) / √(a' + ε)``, ``b' = ρ b + (1 - ρ) d²``,
    ``p' = p - e d``.

    loss_or_grads, params, learning_rate
        As `sgd` has them; e is 1 by default.
    rho
        ρ, from 0 to below 1; 0.95 by default.
    epsilon
        ε, of at least 0; 1e-6 by default.

    State: ``square_mean`` a and ``step_square_mean`` b, like each parameter.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> updates = nn.adadelta(sg.sum(w**2), [w])
    >>> [kind for kind, param in updates.slots]
    ['square_mean', 'step_square_mean']
    """
    epsilon, rho = _constants("adadelta", epsilon, rho=rho)
    updates, steps = begin_steps("adadelta", loss_or_grads, params, learning_rate)
    for p, g, e in steps:
        square = _running(updates, "square_mean", p, g * g, rho)
        step_square = updates.slot("step_square_mean", p)
        step = g * sg.sqrt(step_square + epsilon) / sg.sqrt(square + epsilon)
        updates[step_square] = rho * step_square + (1 - rho) * step * step
        updates.move(p, -e * step)
    return updates


def adam(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: Rate = 0.001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> Updates:
    """Running means of g in units of its running size (Kingma and Ba 2014, end of section 2).

    ``a' = β₁ a + (1 - β₁) g``, ``b' = β₂ b + (1 - β₂) g²``, with t counting from 1
    ``p' = p - e √(1 - β₂ᵗ) / (1 - β₁ᵗ) · a' / (√b' + ε)``.

    loss_or_grads, params, learning_rate
        As `sgd` has them; e is 0.001 by default.
    beta1, beta2
        β₁ and β₂, from 0 to below 1; 0.9 and 0.999 by default.
    epsilon
        ε, of at least 0; 1e-8 by default.

    State: ``mean`` a and ``square_mean`` b, like each parameter; ``step`` t - 1, an int64 scalar.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> sg.compile([], None, updates=nn.adam(sg.sum(w**2), [w], 0.1))()
    >>> w.get_value().round(3)
    array([0.9, 0.9], dtype=float32)
    """
    return _adam("adam", loss_or_grads, params, learning_rate, beta1, beta2, epsilon)


def adamw(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: Rate = 0.001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: Decay = 0.01,
) -> Updates:
    """`adam` and decoupled decay (Loshchilov and Hutter 2017): e · weight_decay · p less.

    loss_or_grads, params, learning_rate, beta1, beta2, epsilon
        As `adam` has them, with the same state.
    weight_decay
        A number of at least 0, 0.01 by default; or numbers by patterns of names (``"*.W"``), as
        in `apply_rates`: what fits none does not decay.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> sg.compile([], None, updates=nn.adamw(sg.sum(w**2), [w], 0.1, weight_decay=0.5))()
    >>> w.get_value().round(3)
    array([0.85, 0.85], dtype=float32)

    Weights that decay, biases that do not:

    >>> net = nn.Sequential(nn.Dense(2, 3), nn.Dense(3, 1))
    >>> loss = sg.mean(net(np.ones((4, 2), "float32")))
    >>> updates = nn.adamw(loss, net.params, weight_decay={"*.W": 0.05})
    """
    updates = _adam("adamw", loss_or_grads, params, learning_rate, beta1, beta2, epsilon)
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    decay_of = decays("adamw", weight_decay, updates.params)
    for p, decay in zip(updates.params, decay_of, strict=True):
        if decay:
            updates.move(p, updates.step_of(p) - decay * rate(p) * p)
    return updates


def amsgrad(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: Rate = 0.001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> Updates:
    """`adam` with the largest b' so far in the place of b' (Reddi et al. 2018).

    loss_or_grads, params, learning_rate, beta1, beta2, epsilon
        As `adam` has them.

    State: that of `adam`, and ``largest_square_mean``, like each parameter.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> sg.compile([], None, updates=nn.amsgrad(sg.sum(w**2), [w], 0.1))()
    >>> w.get_value().round(3)
    array([0.9, 0.9], dtype=float32)
    """
    return _adam(
        "amsgrad", loss_or_grads, params, learning_rate, beta1, beta2, epsilon, keeps_largest=True
    )


def _adam(
    rule: str,
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: Rate,
    beta1: float,
    beta2: float,
    epsilon: float,
    *,
    keeps_largest: bool = False,
) -> Updates:
    epsilon, beta1, beta2 = _constants(rule, epsilon, beta1=beta1, beta2=beta2)
    updates, steps = begin_steps(rule, loss_or_grads, params, learning_rate)
    t = (updates.count + 1).astype("float64")
    correction = rate_at_step(updates, sg.sqrt(1 - beta2**t) / (1 - beta1**t), "correction")
    for p, g, e in steps:
        mean = _running(updates, "mean", p, g, beta1)
        square = _running(updates, "square_mean", p, g * g, beta2)
        if keeps_largest:
            largest = updates.slot("largest_square_mean", p)
            square = updates[largest] = sg.maximum(largest, square)
        updates.move(p, -e * correction(p) * mean / (sg.sqrt(square) + epsilon))
    return updates


def adamax(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: Rate = 0.002,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> Updates:
    """`adam` with the largest gradient, discounted, in the place of √b' (section 7 there).

    ``a' = β₁ a + (1 - β₁) g``, ``u' = max(β₂ u, |g|)``, with t counting from 1
    ``p' = p - e / (1 - β₁ᵗ) · a' / (u' + ε)``.

    loss_or_grads, params, learning_rate
        As `sgd` has them; e is 0.002 by default.
    beta1, beta2, epsilon
        As `adam` has them.

    State: ``mean`` a and ``largest`` u, like each parameter; ``step`` t - 1, an int64 scalar.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> sg.compile([], None, updates=nn.adamax(sg.sum(w**2), [w], 0.1))()
    >>> w.get_value().round(3)
    array([0.9, 0.9], dtype=float32)
    """
    epsilon, beta1, beta2 = _constants("adamax", epsilon, beta1=beta1, beta2=beta2)
    updates, steps = begin_steps("adamax", loss_or_grads, params, learning_rate)
    t = (updates.count + 1).astype("float64")
    correction = rate_at_step(updates, 1 / (1 - beta1**t), "correction")
    for p, g, e in steps:
        mean = _running(updates, "mean", p, g, beta1)
        largest = updates.slot("largest", p)
        updates[largest] = sg.maximum(beta2 * largest, sg.abs(g))
        updates.move(p, -e * correction(p) * mean / (updates[largest] + epsilon))
    return updates


def adabelief(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: Rate = 0.001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-16,
) -> Updates:
    """`adam` with the square of what the mean did not foresee (Zhuang et al. 2020).

    ``a' = β₁ a + (1 - β₁) g``, ``s' = β₂ s + (1 - β₂) (g - a')² + ε``, with t counting from 1
    ``p' = p - e · a' / (1 - β₁ᵗ) / (√(s' / (1 - β₂ᵗ)) + ε)``.

    loss_or_grads, params, learning_rate, beta1, beta2
        As `adam` has them.
    epsilon
        ε, of at least 0; 1e-16 by default.

    State: ``mean`` a and ``surprise`` s, like each parameter; ``step`` t - 1, an int64 scalar.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> sg.compile([], None, updates=nn.adabelief(sg.sum(w**2), [w], 0.1))()
    >>> w.get_value().round(2)
    array([0.89, 0.89], dtype=float32)
    """
    epsilon, beta1, beta2 = _constants("adabelief", epsilon, beta1=beta1, beta2=beta2)
    updates, steps = begin_steps("adabelief", loss_or_grads, params, learning_rate)
    t = (updates.count + 1).astype("float64")
    of_mean = rate_at_step(updates, 1 / (1 - beta1**t), "correction")
    of_square = rate_at_step(updates, 1 / (1 - beta2**t), "correction")
    for p, g, e in steps:
        mean = _running(updates, "mean", p, g, beta1)
        slot = updates.slot("surprise", p)
        updates[slot] = beta2 * slot + (1 - beta2) * sg.square(g - mean) + epsilon
        deviation = sg.sqrt(updates[slot] * of_square(p)) + epsilon
        updates.move(p, -e * of_mean(p) * mean / deviation)
    return updates


def lion(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: Rate = 0.0001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: Decay = 0.0,
) -> Updates:
    """All weights moved equally far, by the sign of a mean of the gradients (Chen et al. 2023).

    ``p' = p - e (sign(β₁ a + (1 - β₁) g) + weight_decay · p)``, ``a' = β₂ a + (1 - β₂) g``.

    loss_or_grads, params, learning_rate
        As `sgd` has them; e is 0.0001 by default.
    beta1, beta2
        β₁ and β₂, from 0 to below 1; 0.9 and 0.99 by default.
    weight_decay
        A number of at least 0, 0 by default; or numbers by patterns of names, as in `adamw`.

    State: ``mean`` a, like each parameter.

    >>> w = sg.shared(np.ones(2, "float32"), "w")
    >>> sg.compile([], None, updates=nn.lion(sg.sum(w**2), [w], 0.1))()
    >>> w.get_value()
    array([0.9, 0.9], dtype=float32)
    """
    _, beta1, beta2 = _constants("lion", 0.0, beta1=beta1, beta2=beta2)
    updates, steps = begin_steps("lion", loss_or_grads, params, learning_rate)
    decay_of = decays("lion", weight_decay, updates.params)
    for (p, g, e), decay in zip(steps, decay_of, strict=True):
        slot = updates.slot("mean", p)
        updates[slot] = beta2 * slot + (1 - beta2) * g
        direction = sg.sign(beta1 * slot + (1 - beta1) * g)
        updates.move(p, -e * (direction + decay * p if decay else direction))
    return updates


def _constants(rule: str, epsilon: float, **shares: float) -> list[float]:
    """The constants of a rule, as numbers of Python's: NumPy's would widen float32."""
    check_number(rule, epsilon=epsilon)
    check_share(rule, **shares)
    return [float(number) for number in (epsilon, *shares.values())]


def _running(
    updates: Updates, kind: str, param: sg.SharedVariable, value: sg.Variable, keep: float
) -> sg.Variable:
    """The new running mean of a value, kept as a slot of the parameter."""
    slot = updates.slot(kind, param)
    updates[slot] = keep * slot + (1 - keep) * value
    return updates[slot]

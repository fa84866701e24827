"""What may be done with a rule's updates: averages, slow weights, steps of several batches.

Each takes updates, or a rule, and gives new updates; they may be combined with one another and with
`apply_momentum` and `apply_nesterov`. Momentum comes first, then slow weights, then averages: each
follows what the updates say that it is given, and `iterate` gives the point of the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import symgraph as sg
from symgraph.errors import SymgraphTypeError

from .begin import begin, continue_with
from .checks import check_number, check_positive, check_share
from .patterns import numbers_by_pattern
from .typing import LossOrGrads, Params, UpdatesLike
from .updates import Updates

__all__ = ["accumulate", "apply_ema", "apply_lookahead", "apply_rates"]


def apply_ema(updates: UpdatesLike, decay: float = 0.999) -> Updates:
    """Any rule, with running averages of the parameters beside: ``a' = decay a + (1 - decay) p'``.

    Training goes on with the parameters themselves; `iterate` gives the averages (Polyak and
    Juditsky 1992), to be evaluated or put in the parameters' place. They begin as the values that
    the parameters have now; with `nesterov` they are those of the look-ahead points. Raises
    `SymgraphValueError` unless ``decay`` is from 0 to below 1.

    >>> w = sg.shared(np.float32(1), "w")
    >>> updates = nn.apply_ema(nn.sgd(w**2, [w], 0.25), decay=0.5)
    >>> sg.compile([], None, updates=updates)()
    >>> w.get_value(), nn.iterate(updates)[w].eval()
    (array(0.5, dtype=float32), np.float32(0.75))
    """
    check_share("apply_ema", decay=decay)
    decay = float(decay)  # NumPy's numbers would widen float32
    averaged, chosen = continue_with("apply_ema", updates, None)
    for p in chosen:
        average = averaged.slot("average", p, p.get_value())
        averaged[average] = decay * average + (1 - decay) * averaged[p]
        averaged.look_from(p, average)
    return averaged


def apply_lookahead(updates: UpdatesLike, every: int = 5, rate: float = 0.5) -> Updates:
    """Any rule, from slow weights that follow it (Zhang et al. 2019).

    After each ``every`` steps of the rule the slow weights s move by ``rate`` of the way to the
    parameters, ``s' = s + rate (p' - s)``, and the rule goes on from there, ``p' = s'``. They begin
    as the values that the parameters have now; `iterate` gives them. Other state, such as a
    velocity, goes on as it was.

    >>> w = sg.shared(np.float32(1), "w")
    >>> step = sg.compile([], None, updates=nn.apply_lookahead(nn.sgd(w, [w], 0.5), every=2))
    >>> step(), step(), w.get_value()  # from 1 to 0.5, to 0, and half of the way back
    (None, None, array(0.5, dtype=float32))
    """
    check_positive("apply_lookahead", every=every)
    check_number("apply_lookahead", rate=rate)
    rate = float(rate)
    followed, chosen = continue_with("apply_lookahead", updates, None)
    is_time = sg.eq((followed.count + 1) % every, 0)
    for p in chosen:
        slow = followed.slot("slow", p, p.get_value())
        fast = followed[p]
        followed[slow] = sg.where(is_time, slow + rate * (fast - slow), slow)
        followed[p] = sg.where(is_time, followed[slow], fast)
        followed.look_from(p, slow)
    return followed


def apply_rates(updates: UpdatesLike, rates: Mapping[str, float]) -> Updates:
    """Any rule, with steps of its own size for parameters whose names fit a pattern.

    ``rates`` maps patterns (``"*.b"``, ``"embedding.*"``; as file names have them) to what the
    steps are multiplied by; the first one that fits a parameter's name counts, 0 freezes it.
    Raises `SymgraphValueError` for a pattern that fits nothing.

    >>> net = nn.Dense(2, 1, weights=np.ones((2, 1)))
    >>> updates = nn.sgd(sg.sum(net(np.ones((1, 2), "float32"))), net.params, 0.5)
    >>> sg.compile([], None, updates=nn.apply_rates(updates, {"W": 0.0}))()
    >>> net.W.get_value().ravel(), net.b.get_value()
    (array([1., 1.], dtype=float32), array([-0.5], dtype=float32))
    """
    changed, chosen = continue_with("apply_rates", updates, None)
    points = changed.other_points
    for p, rate in zip(chosen, numbers_by_pattern("apply_rates", rates, chosen), strict=True):
        if rate is not None and rate != 1:
            changed.move(p, rate * changed.step_of(p))
            point = points.get(p)
            if point is not None and point not in changed:  # a jump ahead, which shrinks alike
                changed.look_from(p, p + rate * (point - p))
    return changed


def accumulate(
    rule: Callable[..., Updates],
    loss_or_grads: LossOrGrads,
    params: Params,
    every: int,
    **options: Any,
) -> Updates:
    """One step of a rule for the mean of ``every`` calls' gradients; nothing moves in between.

    ``options``, such as ``learning_rate``, go to the rule. Batches may so be larger than memory:
    the step is that of all of them together where a loss is a mean over equally large batches.
    Statistics of normalisation follow at each call.

    >>> w, x = sg.shared(np.float32(0), "w"), sg.scalar("x")
    >>> updates = nn.accumulate(nn.sgd, w * x, [w], 2, learning_rate=1.0)
    >>> step = sg.compile([x], None, updates=updates)
    >>> step(1), w.get_value(), step(3), w.get_value()
    (None, array(0., dtype=float32), None, array(-2., dtype=float32))
    """
    if not callable(rule):
        raise SymgraphTypeError.here(
            "accumulate: a rule such as nn.adam is expected, not what it gives",
            remedy="Write nn.accumulate(nn.adam, loss, params, every, learning_rate=0.01).",
        )
    check_positive("accumulate", every=every)
    each_call, grads = begin("accumulate", loss_or_grads, params)
    place = each_call.slot("batch", value=0)
    is_last = sg.eq(place, every - 1)
    each_call[place] = sg.where(is_last, 0, place + 1)
    means: list[sg.Variable] = []
    for p, g in zip(each_call.params, grads, strict=True):
        total = each_call.slot("gradient_sum", p)
        mean = total + g / every
        each_call[total] = sg.where(is_last, 0, mean)
        means.append(mean)
    trained = each_call.params
    step = rule(means, trained, **options)
    if not isinstance(step, Updates):
        raise SymgraphTypeError.here(f"accumulate: {rule!r} is no update rule; it gave {step!r}")
    accumulated = step.copy()
    for v, new in step.items():
        if v not in each_call or v in trained:
            accumulated[v] = sg.where(is_last, new, v)
    for p in trained:
        del each_call[p]
    accumulated.update(each_call)
    return accumulated

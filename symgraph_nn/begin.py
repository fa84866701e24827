"""The start of an update rule, from a loss or gradients, and of a modifier, from another rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
    describe,
)

from .buffers import buffer_updates, is_buffer
from .calls import check_kept, check_trained
from .rates import rate_at_step
from .typing import LossOrGrads, Params, Rate, UpdatesLike
from .updates import Updates, check_memory

__all__ = ["begin", "begin_steps", "continue_with"]


def begin_steps(
    rule: str, loss_or_grads: LossOrGrads, params: Params, learning_rate: Rate
) -> tuple[Updates, list[tuple[sg.SharedVariable, sg.Variable, Any]]]:
    """New updates, and each parameter with its gradient and its learning rate, in its dtype."""
    updates, grads = begin(rule, loss_or_grads, params)
    rate = rate_at_step(updates, learning_rate, "learning_rate")
    return updates, [(p, g, rate(p)) for p, g in zip(updates.params, grads, strict=True)]


def begin(
    rule: str, loss_or_grads: LossOrGrads, params: Params
) -> tuple[Updates, list[sg.Variable]]:
    """New updates and the gradient of each parameter, in its dtype.

    The updates of buffers that follow the loss are in them.
    """
    listed = check_params(rule, params)
    outputs = loss_or_grads if isinstance(loss_or_grads, (list, tuple)) else [loss_or_grads]
    check_trained(rule, listed, outputs)
    check_kept(rule, outputs, listed)
    if isinstance(loss_or_grads, sg.Variable):
        grads = sg.grad(loss_or_grads, listed)
    elif isinstance(loss_or_grads, (list, tuple)):
        grads = _check_grads(rule, loss_or_grads, listed)
    else:
        raise SymgraphTypeError.here(
            f"{rule}: a loss or a list of gradients is expected, not {loss_or_grads!r}"
        )
    updates = Updates(listed)
    updates.update(buffer_updates(loss_or_grads))
    return updates, [g.astype(p.dtype) for g, p in zip(grads, listed, strict=True)]


def continue_with(
    rule: str, updates: UpdatesLike, params: Params | None
) -> tuple[Updates, list[sg.SharedVariable]]:
    """A copy of the updates of another rule, and which of its parameters are to be modified.

    ``params`` of None: all that it moves; of a dict without memory all that a rule may move.
    """
    if not isinstance(updates, Mapping):
        raise SymgraphTypeError.here(f"{rule}: the updates of a rule are expected, not {updates!r}")
    check_memory(rule, updates)
    copied = Updates() | updates
    if params is not None:
        chosen = check_params(rule, params)
    elif isinstance(updates, Updates):
        chosen = copied.params
    else:
        chosen = [v for v in copied if v.dtype.kind == "f" and not is_buffer(v)]
    for param in chosen:
        if param not in copied:
            raise SymgraphValueError.here(f"{rule}: there is no update of {describe(param)}")
    return copied, chosen


def check_params(rule: str, params: Any) -> list[sg.SharedVariable]:
    if isinstance(params, sg.Variable):
        params = [params]
    if not isinstance(params, (list, tuple)):
        raise SymgraphTypeError.here(
            f"{rule}: a list of shared variables is expected, not {params!r}",
            remedy="Give module.params.",
        )
    listed: list[sg.SharedVariable] = []
    for param in params:
        if not isinstance(param, sg.SharedVariable):
            raise SymgraphTypeError.here(
                f"{rule}: a parameter is a shared variable, not "
                + (describe(param) if isinstance(param, sg.Variable) else repr(param)),
                remedy="Join lists: [*first.params, *second.params]."
                if isinstance(param, (list, tuple))
                else "Make parameters with sg.shared(value).",
            )
        if param.dtype.kind != "f":
            raise DtypeError.here(
                f"{rule}: a parameter is float; {describe(param)} has no gradient"
            )
        if param in listed:
            raise SymgraphValueError.here(f"{rule}: {describe(param)} is given twice")
        listed.append(param)
    return listed


def _check_grads(
    rule: str, grads: Sequence[Any], params: list[sg.SharedVariable]
) -> list[sg.Variable]:
    if len(grads) != len(params):
        raise SymgraphValueError.here(
            f"{rule}: {len(params)} parameters need as many gradients, not {len(grads)}"
        )
    for grad, param in zip(grads, params, strict=True):
        if not isinstance(grad, sg.Variable):
            raise SymgraphTypeError.here(
                f"{rule}: the gradient of {describe(param)} is a variable, not {grad!r}"
            )
        known = [n for n in grad.shape if isinstance(n, int)]
        if grad.ndim != param.ndim or (len(known) == grad.ndim and grad.shape != param.shape):
            raise ShapeError.here(
                f"{rule}: the gradient of {describe(param)} is {describe(grad)}",
                remedy="Gradients stand in the order of the parameters.",
            )
    return list(grads)

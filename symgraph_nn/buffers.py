"""Buffers: what is kept with a module but not trained, and where it moves."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import symgraph as sg

from .graphs import ancestors

__all__ = ["Buffer", "buffer_updates", "is_buffer", "moving_where"]


class Buffer:
    """A shared variable that is kept with its module but not trained: a running mean, say.

    ``variable`` stands for the value in expressions. `follow` says where it moves at a training
    step; the update rules find that in the loss they are given.
    """

    variable: sg.SharedVariable

    def __init__(self, value: Any, name: str | None = None) -> None:
        self.__setstate__({"variable": sg.shared(value, name)})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _buffers.add(self.variable)

    def follow(self, value: sg.Variable, rate: float) -> None:
        """Let the buffer become ``(1 - rate) * buffer + rate * value`` at each training step.

        A training step is a call of a function whose update rule was given a loss (or gradients)
        that depends on ``value``; `buffer_updates` gives the same updates for other uses. In the
        step of a loop the buffer moves once for each step of the loop, in their order; in a masked
        layer, where the step is masked in all rows, it does not.
        """
        loop, condition = sg.current_loop(), _condition.get()
        if condition is False:
            return
        if loop is None:
            _moves.setdefault(value, {})[self.variable, None] = _Towards(float(rate))
            return
        keep = sg.constant(self.variable.dtype.type(1 - rate))
        add = rate * value.astype(self.variable.dtype)
        if condition is not None:
            keep, add = sg.where(condition, keep, 1), sg.where(condition, add, 0)
        _carry_out(loop, self.variable, keep, add)


# Every living buffer's variable: what no rule moves, wherever it stands.
_buffers: weakref.WeakSet[sg.SharedVariable] = weakref.WeakSet()


def is_buffer(variable: sg.Variable) -> bool:
    """Whether the variable is that of a `Buffer`."""
    return variable in _buffers


def buffer_updates(
    expressions: sg.Variable | Sequence[sg.Variable],
) -> dict[sg.SharedVariable, sg.Variable]:
    """The updates of all buffers that follow something the expressions depend on.

    The update rules (`sgd` … `amsgrad`) include them; call this where you write updates yourself.
    """
    outputs = [expressions] if isinstance(expressions, sg.Variable) else list(expressions)
    updates: dict[sg.SharedVariable, sg.Variable] = {}
    for source in ancestors(outputs):
        for (buffer, _), move in _moves.get(source, {}).items():
            # A layer that is called twice moves twice.
            updates[buffer] = move(updates.get(buffer, buffer), source)
    return updates


@dataclass(frozen=True)
class _Towards:
    """A move by a share of the way to a value."""

    rate: float

    def __call__(self, current: sg.Variable, value: sg.Variable) -> sg.Variable:
        return current + self.rate * (value.astype(current.dtype) - current)


@dataclass(frozen=True)
class _Affine:
    """A move to ``keep * buffer + add``, of two expressions of a loop's results.

    They are kept as pickle would: the table of moves is not to keep the loop alive.
    """

    keep: tuple[Callable[..., Any], tuple]
    add: tuple[Callable[..., Any], tuple]

    def __call__(self, current: sg.Variable, source: sg.Variable) -> sg.Variable:
        keep, add = (make(*parts) for make, parts in (self.keep, self.add))
        return keep * current + add


# For a value, or a loop, the moves of the buffers that follow it: by the buffer, and by which of
# the loop's results tells how. The table does not keep the value alive.
_moves: weakref.WeakKeyDictionary[
    sg.Variable, dict[tuple[sg.SharedVariable, Hashable], _Towards | _Affine]
] = weakref.WeakKeyDictionary()


# --- in loops -----------------------------------------------------------------------------------

# Where the steps count that are being traced; None for everywhere, False for nowhere.
_condition: ContextVar[sg.Variable | Literal[False] | None] = ContextVar("condition", default=None)
_NOTE = object()


@contextlib.contextmanager
def moving_where(condition: sg.Variable | Literal[False] | None) -> Iterator[None]:
    """A context for a step in which buffers move only where a scalar condition holds.

    None: everywhere. False: nowhere, as the step is tried without becoming a part of the net.
    """
    token = _condition.set(condition)
    try:
        yield
    finally:
        _condition.reset(token)


def _carry_out(
    loop: sg.LoopTrace, buffer: sg.SharedVariable, keep: sg.Variable, add: sg.Variable
) -> None:
    """Let the loop hand out how the buffer moves in each step: to ``keep * buffer + add``."""
    moves: dict[sg.SharedVariable, tuple[sg.Variable, sg.Variable]]
    moves = loop.notes.setdefault(_NOTE, {})
    if buffer in moves:  # a second move in the same step comes after the first one
        first_keep, first_add = moves[buffer]
        moves[buffer] = keep * first_keep, keep * first_add + add
        return
    moves[buffer] = keep, add
    loop.keep(lambda: moves[buffer], lambda keeps, adds: _receive(buffer, keeps, adds))


def _receive(buffer: sg.SharedVariable, keeps: sg.Variable, adds: sg.Variable) -> None:
    """Take from a loop how a buffer moved in each step, as one move of them all."""
    one = sg.ones((1,), keeps.dtype)
    # What is kept from after each step to the end, and, first, from the beginning.
    later = sg.concatenate([sg.cumprod(keeps[::-1])[::-1], one])
    weights = sg.expand_dims(later[1:], tuple(range(1, adds.ndim)))
    keep, add = later[0], sg.sum(weights * adds, axis=0)
    outer = sg.current_loop()
    if outer is not None:
        _carry_out(outer, buffer, keep, add)
        return
    result, source = [], adds
    while source.op.name != "scan":
        result.append((source.op.name, source.params))
        source = source.inputs[0]
    move = _Affine(*(v.__reduce__()[:2] for v in (keep, add)))
    _moves.setdefault(source, {})[buffer, tuple(result)] = move

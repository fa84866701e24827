"""Buffers: what is kept with a module but not trained, and where it moves."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import symgraph as sg
from symgraph.typing import ArrayLike

from .graphs import ancestors

__all__ = ["Buffer", "buffer_updates", "is_buffer", "moving_where"]


class Buffer:
    """A shared variable that is kept with its module but not trained: a running mean, say.

    value
        What it begins with: an array or a number, whose dtype it has.
    name
        A name for messages; a `Module` gives it that of its attribute.

    ``variable`` stands for the value in expressions. `follow` says where it moves at a training
    step; the update rules find that in the loss they are given.

    >>> mean = nn.Buffer(np.zeros(3, "float32"), "mean")
    >>> x = sg.tensor("x", ("B", 3))
    >>> mean.follow(sg.mean(x, axis=0), rate=0.1)
    >>> (x - mean.variable).shape[1]
    3
    """

    variable: sg.SharedVariable

    def __init__(self, value: ArrayLike, name: str | None = None) -> None:
        self.__setstate__({"variable": sg.shared(value, name)})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _buffers.add(self.variable)

    def follow(self, value: sg.Variable, rate: float, *, within: sg.Variable | None = None) -> None:
        """Let the buffer become ``(1 - rate) * buffer + rate * value`` at each training step.

        ``value`` has the shape of the buffer; ``rate`` is a number from 0 to 1. A training step is
        a call of a function whose update rule was given a loss (or gradients) that depends on
        ``value``, or on what `sg.substitute`, a copy or a pickle made of it; `buffer_updates` gives
        the same updates for other uses. ``within`` is what the layer returns: two layers on one
        input have one mean, and a loss that depends on what one of them returns moves that one's
        buffer alone. In the step of a loop the buffer moves once for each step
        of the loop, in their order; in a masked layer, where the step is masked in all rows, it
        does not.

        >>> x, last = sg.vector("x"), nn.Buffer(0.0)
        >>> largest = sg.max(x)
        >>> last.follow(largest, rate=1.0)
        >>> step = sg.compile([x], largest, updates=nn.buffer_updates(largest))
        >>> print(step([3, 1, 2]), last.variable.get_value())
        3.0 3.0
        """
        loop, condition = sg.current_loop(), _condition.get()
        if condition is False:
            return
        if loop is None:
            value.note(_Move(self.variable), _Towards(float(rate)))
            if within is not None:
                within.note(_Returned(self.variable), None)
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

    >>> x, norm = sg.tensor("x", ("B", 3)), nn.BatchNorm(3)
    >>> loss = sg.mean(norm(x, training=True) ** 3)
    >>> set(nn.buffer_updates(loss)) == set(norm.buffers)
    True
    """
    outputs = [expressions] if isinstance(expressions, sg.Variable) else list(expressions)
    opened = sg.open_composites([v for v in outputs if isinstance(v, sg.Variable)])
    sources = [source for source in ancestors(opened) if source.notes]
    returned = {key.buffer for v in sources for key in v.notes if isinstance(key, _Returned)}
    updates: dict[sg.SharedVariable, sg.Variable] = {}
    for source in sources:
        moves = [key for key in source.notes if isinstance(key, _Move)]
        # Gradients may depend on no result of a layer: then there is nothing to tell them by.
        for key in [key for key in moves if key.buffer in returned] or moves:
            # A layer that is called twice moves twice.
            current = updates.get(key.buffer, key.buffer)
            updates[key.buffer] = source.notes[key](current, source)
    return updates


@dataclass(frozen=True)
class _Move:
    """The key of a note on what a buffer follows: a value, or a loop."""

    buffer: sg.SharedVariable
    # Which of the loop's results tells how.
    result: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Returned:
    """The key of a note on what the layer of a buffer returns."""

    buffer: sg.SharedVariable


@dataclass(frozen=True)
class _Towards:
    """A move by a share of the way to a value."""

    rate: float

    def __call__(self, current: sg.Variable, value: sg.Variable) -> sg.Variable:
        return current + self.rate * (value.astype(current.dtype) - current)


@dataclass(frozen=True)
class _Affine:
    """A move to ``keep * buffer + add``: two functions of a loop."""

    keep_and_add: sg.Graph

    def __call__(self, current: sg.Variable, source: sg.Variable) -> sg.Variable:
        keep, add = self.keep_and_add(source)
        return keep * current + add


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
    # Of a parameter in the loop's place: a note must not hold what it is about.
    move = _Affine(sg.Graph([source], [keep, add]).canonical())
    source.note(_Move(buffer, tuple(result)), move)

"""Where a step function is being traced: what draws of random numbers are folded with, and how
what is called there hands out values of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from .variable import Variable

__all__ = ["LoopTrace", "current_loop", "current_steps", "within_loop"]


class LoopTrace:
    """A loop whose step is being traced. A step may be traced several times before it fits.

    >>> def step(x):
    ...     loop = sg.current_loop()
    ...     loop.notes["rows"] = loop.notes.get("rows", 0) + 1
    ...     return x + loop.notes["rows"]
    >>> sg.map(step, [sg.constant([1.0, 2.0])]).eval()
    array([2., 3.], dtype=float32)
    """

    notes: dict[Any, Any]
    """For those who are called in the step, under keys of their own: what to know until its end."""

    def __init__(self, step: Callable[[], Variable]) -> None:
        self.notes = {}
        self.step = step
        self.kept: list[tuple[Callable[[], Sequence[Variable]], Callable[..., None]]] = []

    def keep(self, make: Callable[[], Sequence[Variable]], receive: Callable[..., None]) -> None:
        """Let the values that ``make`` gives at the end of the step be outputs of the loop too.

        Once the loop is built, ``receive`` is called with them, outside of it: each with the
        values of all steps, in the order of execution, along a new first axis.

        >>> squares = []
        >>> def step(x):
        ...     sg.current_loop().keep(lambda: [x**2], squares.append)
        ...     return x
        >>> y = sg.map(step, [sg.constant([1.0, 2.0])])
        >>> squares[0].eval()
        array([1., 4.], dtype=float32)
        """
        self.kept.append((make, receive))


_loops: ContextVar[tuple[LoopTrace, ...]] = ContextVar("loops", default=())


def current_loop() -> LoopTrace | None:
    """The innermost loop whose step is being traced; None outside of all loops.

    >>> sg.current_loop() is None
    True
    """
    loops = _loops.get()
    return loops[-1] if loops else None


def current_steps() -> list[Variable]:
    """The step numbers (int64 scalars) of the loops being traced, the outermost first."""
    return [loop.step() for loop in _loops.get()]


@contextlib.contextmanager
def within_loop(step: Callable[[], Variable]) -> Iterator[LoopTrace]:
    """A context for the tracing of one loop's step; ``step`` makes its step number on demand."""
    loop = LoopTrace(step)
    token = _loops.set((*_loops.get(), loop))
    try:
        yield loop
    finally:
        _loops.reset(token)

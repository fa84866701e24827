"""Where a step function is being traced: what draws of random numbers are folded with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .variable import Variable

__all__ = ["current_steps", "within_loop"]

_loops: ContextVar[tuple[Callable[[], Variable], ...]] = ContextVar("loops", default=())


def current_steps() -> list[Variable]:
    """The step numbers (int64 scalars) of the loops being traced, the outermost first."""
    return [step() for step in _loops.get()]


@contextlib.contextmanager
def within_loop(step: Callable[[], Variable]) -> Iterator[None]:
    """A context for the tracing of one loop's step; ``step`` makes its step number on demand."""
    token = _loops.set((*_loops.get(), step))
    try:
        yield
    finally:
        _loops.reset(token)

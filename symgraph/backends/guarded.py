"""The switch of guarded memory: by it tests notice faults in a backend's use of memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["guarded", "is_guarded"]

_VARIABLE = "SYMGRAPH_GUARD"
_switch: ContextVar[bool | None] = ContextVar("guarded", default=None)


def is_guarded() -> bool:
    """Whether programs that are lowered now get guarded memory."""
    chosen = _switch.get()
    return os.environ.get(_VARIABLE, "0") not in ("", "0") if chosen is None else chosen


@contextmanager
def guarded(*, on: bool = True) -> Iterator[None]:
    """Give functions that are compiled meanwhile guarded memory; or none, with ``on=False``.

    All their memory begins as NaN (integers: a large negative number) and becomes that again when
    a value is dropped, so that what nobody wrote is noticed in the results; what is written beside
    an array raises `MemoryGuardError`. ``SYMGRAPH_GUARD=1`` in the environment does the same for a
    whole process. Both look for faults of symgraph's own, and calls take longer.

    >>> with sg.testing.guarded():
    ...     f = sg.compile([], sg.ones(2))
    >>> f()
    array([1., 1.], dtype=float32)
    """
    token = _switch.set(on)
    try:
        yield
    finally:
        _switch.reset(token)

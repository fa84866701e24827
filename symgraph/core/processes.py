"""What belongs to one process: its name, processors, garbage, and locks that a fork leaves open."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Any

__all__ = ["give_lock", "n_processors", "n_threads", "origin", "without_collection"]

_owners: weakref.WeakSet[Any] = weakref.WeakSet()
_origin = [os.urandom(6).hex()]


def origin() -> str:
    """A name that no other process has: numbers of two processes stay apart with it."""
    return _origin[0]


def n_processors() -> int:
    """How many processors the process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def n_threads() -> int:
    """How many threads work is to be split over: the processors, or ``OMP_NUM_THREADS`` if less."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    bound = int(first) if first.isdecimal() else 0
    return min(n_processors(), bound) if bound else n_processors()


def give_lock(owner: Any) -> None:
    """Set ``owner._lock`` to a reentrant lock, and to a new one in every forked child.

    The holder of the old one may be a thread that the child has not.
    """
    owner._lock = threading.RLock()
    _owners.add(owner)


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """A context in which no garbage is looked for.

    Compiling makes some ten thousand objects, few of them garbage and none of it in cycles: the
    collector would look at the whole heap several times, an eighth of the time, and find nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _renew() -> None:
    _origin[0] = os.urandom(6).hex()
    for owner in list(_owners):
        owner._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)

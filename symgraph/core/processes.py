"""What belongs to one process: its name, processors, and locks that a fork leaves open."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

__all__ = ["give_lock", "n_processors", "n_threads", "origin"]

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


def _renew() -> None:
    _origin[0] = os.urandom(6).hex()
    for owner in list(_owners):
        owner._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)

"""What belongs to one process: its name, and locks that a forked child finds open."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

__all__ = ["give_lock", "origin"]

_owners: weakref.WeakSet[Any] = weakref.WeakSet()
_origin = [os.urandom(6).hex()]


def origin() -> str:
    """A name that no other process has: numbers of two processes stay apart with it."""
    return _origin[0]


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

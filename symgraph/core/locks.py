"""Locks that a forked process finds open, since their holder may be a thread that it has not."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

__all__ = ["give_lock"]

_owners: weakref.WeakSet[Any] = weakref.WeakSet()


def give_lock(owner: Any) -> None:
    """Set ``owner._lock`` to a reentrant lock, and to a new one in every forked child."""
    owner._lock = threading.RLock()
    _owners.add(owner)


def _renew_all() -> None:
    for owner in list(_owners):
        owner._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)

"""What Ctrl-C must not tear apart: locks, switches of the process, the work of others.

An interrupt becomes an exception between two instructions of Python, where a function begins, a
call ends or a loop goes back; a single call into C is whole. So what has to be undone is undone
here by one call into C, which stands first in a ``finally`` and whose arguments were made before;
and what has to be done as a whole is one call, too. A context manager written in Python has no
such moments: its ``__enter__`` and ``__exit__`` are functions that begin and end.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, TypeVar

__all__ = ["call_apart", "call_holding", "call_undisturbed", "call_without_collection"]

T = TypeVar("T")
_acquire: Any = type(threading.RLock()).acquire
_release: Any = type(threading.RLock()).release


def call_holding(locks: Sequence[Any], run: Callable[[], T]) -> T:
    """What ``run()`` returns, while this thread holds the reentrant locks, taken in their order."""
    held: list[bool] = []
    # Looks at `held` when it is run: so many were taken.
    releases = map(_release, compress(locks, held))
    try:
        held.extend(map(_acquire, locks))
        return run()
    finally:
        deque(releases, maxlen=0)


def call_without_collection(run: Callable[[], T]) -> T:
    """What ``run()`` returns; meanwhile no garbage is looked for.

    Compiling makes some ten thousand objects, few of them garbage and none of it in cycles: the
    collector would look at the whole heap several times, an eighth of the time, and find nothing.
    """
    was_enabled = gc.isenabled()
    try:
        gc.disable()
        return run()
    finally:
        if was_enabled:
            gc.enable()


def call_undisturbed(run: Callable[[], T]) -> T:
    """What ``run()`` returns; Ctrl-C waits until it does. For a library with locks of its own,
    whose calls end soon."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        return run()  # no exception comes
    came: list[tuple[Any, ...]] = []
    try:
        try:
            signal.signal(signal.SIGINT, lambda *what: came.append(what))
            return run()
        finally:
            signal.signal(signal.SIGINT, before)
    finally:
        if came:
            before(*came.pop())


def call_apart(run: Callable[[], T]) -> T:
    """What ``run()`` returns, from another thread: Ctrl-C ends the waiting at once.

    For a long call of a library that looks for no signals. It goes on until it is done, so it
    works on memory of its own.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            returned.append(run())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name="symgraph", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)  # without a limit no signal is seen on some systems
    if raised:
        raise raised[0]
    return returned[0]

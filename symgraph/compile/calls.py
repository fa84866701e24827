"""When a function was called, and by which threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator

__all__ = ["CallsOfThreads", "tracks"]


class _Call(tuple[float, float]):
    """When a call began and its seconds, as other tuples of them, and the thread that made it."""

    thread: int


class CallsOfThreads(deque[tuple[float, float]]):
    """The latest calls, of which it is known which thread made them."""

    def append(self, call: tuple[float, float], /) -> None:
        """Add a call that this thread has just made."""
        made = _Call(call)
        made.thread = threading.get_ident()
        super().append(made)


def tracks(calls: Iterable[tuple[float, float]]) -> Iterator[tuple[int, float, float]]:
    """For each call the number of a track, its beginning and its seconds, in order of beginning.

    Calls that overlap lie on different tracks; calls whose threads are known on one for each
    thread, which is named by it.
    """
    ends: list[float] = []
    for call in sorted(calls):
        start, seconds = call
        if isinstance(call, _Call):
            yield call.thread, start, seconds
            continue
        track = next((i for i, end in enumerate(ends) if end <= start), len(ends))
        ends[track : track + 1] = [start + seconds]
        yield track, start, seconds

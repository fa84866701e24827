"""Programs on disk: an image, and what the compiler said of it, for the next process.

Reading one takes a millisecond or two, rewriting and lowering the graph ten times that. Entries
lie beside the machine code, and are checked like it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from ....core.graph import Graph
from ...base import Kept
from ...guarded import is_guarded
from ...numpy import NumpyExecutable
from ..code.engine import engine
from .executable import NativeExecutable
from .guard import GUARDED
from .stored import decode, encode

__all__ = ["NativePrograms"]

# How many bytes of constants a program may have: more of them take as long to read as to make the
# program again, and a data set given as a constant would be stored once for each change of code.
_MOST_CONSTANTS = 1 << 20


class NativePrograms:
    """The programs of earlier processes, by keys that the compiler gives."""

    def recall(self, key: str, graph: Graph, prepare: Callable[[], NativeExecutable]) -> Kept | str:
        """What was kept under the key, or why there is nothing."""
        if is_guarded():
            return GUARDED
        disk = engine().cache
        started = time.perf_counter()
        content, reason = disk.read(_entry(key)) if disk else (None, "switched off")
        if content is None:
            return reason
        try:
            image, notes = decode(content)
        except Exception as error:
            return f"the entry cannot be read: {error}"
        read = time.perf_counter() - started
        types = [v.type for v in graph.inputs]
        executable = NativeExecutable(image, types, prepare_again=cache(prepare))
        executable.seconds = {"read": read, **executable.seconds}
        return Kept(executable, notes)

    def keep(self, key: str, executable: NativeExecutable | NumpyExecutable, notes: Any) -> str:
        """Store the executable's program and what belongs to it; or say why not."""
        if isinstance(executable, NumpyExecutable):
            return executable.cache_reason
        disk, obstacle, image = engine().cache, executable.obstacle, executable.image
        if sum(array.nbytes for _, array in image.constants) > _MOST_CONSTANTS:
            obstacle = obstacle or "its constants are large"
        if disk and not obstacle:
            disk.write(_entry(key), encode(image, notes))
        return obstacle


def _entry(key: str) -> str:
    """The name of the entry: programs of other processors and versions have others."""
    return hashlib.blake2b(f"program|{engine().identity}{key}".encode(), digest_size=20).hexdigest()

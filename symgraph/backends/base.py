"""What a backend is: something that makes closed graphs callable on arrays.

A backend knows nothing of names, updates or shared variables: that is `symgraph.compile`'s. What it
cannot lower it states as data, and the pipeline expands those ops before it sees the graph.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..core.errors import BackendError, explain
from ..core.graph import Graph
from ..core.op import Op
from .profile import Profile

__all__ = ["BACKENDS", "Backend", "Executable", "Kept", "Programs", "load_backend"]


class Executable(Protocol):
    """A graph made ready: arrays to arrays.

    Arguments are native-endian, aligned, C-contiguous arrays of the dtypes and shapes of the
    graph's inputs; they are never changed. Results are fresh C-contiguous arrays that share memory
    with nothing: no argument, no constant, no other result. Calls from several threads are safe.
    """

    kernels: int
    """How many pieces of code run in a call, those in loop bodies included."""
    distinct_kernels: int
    """How many of them differ."""
    threads: int
    """How many threads a call may keep busy."""
    cache: str
    """``"hit"``, ``"miss"`` or ``"off"``."""
    cache_reason: str
    """Why the cache had nothing, or was not asked; empty for a hit."""
    seconds: Mapping[str, float]
    """What each stage of `prepare` took, in their order."""
    profile: Profile | None
    """The time spent in each kernel and loop, where it was asked for."""

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        """The graph's outputs for these inputs."""
        ...


class Kept(NamedTuple):
    """What an earlier compilation left."""

    executable: Any
    notes: Any
    """What the compiler gave with it: lists, dicts, numbers and strings."""


class Programs(Protocol):
    """Executables that outlive the process, by keys that tell whole programs."""

    def recall(self, key: str, graph: Graph, prepare: Callable[[], Any]) -> Kept | str:
        """What was kept under the key, or why there is nothing.

        ``graph`` is the program as it was built; ``prepare`` makes its executable the long way, for
        what only that one can say of a call that fails.
        """
        ...

    def keep(self, key: str, executable: Any, notes: Any) -> str:
        """Keep the executable; why it cannot be kept, where it cannot, and else nothing."""
        ...


class Backend(Protocol):
    """A way to run graphs."""

    name: str
    steps_are_cheap: bool
    """Whether a step of a loop costs no more than what it computes. Work on rows that are in cache
    stays in the loop then; otherwise one op before or after it does that of all steps."""

    @property
    def programs(self) -> Programs | None:
        """What was compiled before; None for a backend that compiles fast enough."""
        ...

    def has_lowering(self, op: Op) -> bool:
        """Whether the backend runs this op as it is; others are expanded before `prepare`."""
        ...

    def prepare(self, graph: Graph, *, threads: int = 1, profile: bool = False) -> Executable:
        """The graph as an executable, whose calls may keep so many threads busy."""
        ...


# The modules that hold the backends, each as ``BACKEND``.
BACKENDS: dict[str, str] = {
    "native": "symgraph.backends.llvm.backend",
    "numpy": "symgraph.backends.numpy",
}


_PROTOCOL = ("name", "steps_are_cheap", "programs", "has_lowering", "prepare")


def load_backend(name: Any) -> Backend:
    """The backend of this name, whose module is imported when it is first asked for; or the object
    itself that is given, where it has all that a `Backend` has."""
    if not isinstance(name, str) and all(hasattr(name, each) for each in _PROTOCOL):
        return name
    module = BACKENDS.get(name) if isinstance(name, str) else None
    if module is None:
        raise BackendError(
            explain(
                f"there is no backend {name!r}",
                remedy=f"The backends are {' and '.join(map(repr, BACKENDS))}, and objects with "
                f"{', '.join(_PROTOCOL)}.",
            )
        )
    return importlib.import_module(module).BACKEND

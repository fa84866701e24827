"""What a backend is: something that makes closed graphs callable on arrays.

A backend knows nothing of names, updates or shared variables: that is `symgraph.compile`'s. What it
cannot lower it states as data, and the pipeline expands those ops before it sees the graph.

A class derived from these protocols gets the defaults that stand here; one that is not has to have
all that they name.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from inspect import get_annotations
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..core.dims import Size
from ..core.errors import BackendError
from ..core.graph import Graph
from ..core.op import Op
from .profile import Profile

__all__ = [
    "BACKENDS",
    "Backend",
    "Executable",
    "Kept",
    "Programs",
    "Target",
    "buffers_of",
    "executable_of",
    "keeps_checkpoints",
    "load_backend",
]


class Executable(Protocol):
    """A graph made ready: arrays to arrays.

    Arguments are native-endian, aligned, C-contiguous arrays of the dtypes and shapes of the
    graph's inputs; they are never changed. Results are fresh C-contiguous arrays that share memory
    with nothing: no argument, no constant, no other result. Calls from several threads are safe.

    Only `__call__` has to be written; the rest is for reports and for speed.
    """

    kernels: int = 1
    """How many pieces of code run in a call, those in loop bodies included."""
    distinct_kernels: int = 1
    """How many of them differ."""
    threads: int = 1
    """How many threads a call may keep busy."""
    cache: str = "off"
    """``"hit"``, ``"miss"`` or ``"off"``."""
    cache_reason: str = "nothing to keep"
    """Why the cache had nothing, or was not asked; empty for a hit."""
    seconds: Mapping[str, float] = MappingProxyType({})
    """What each stage of `prepare` took, in their order."""

    profile: Profile | None = None
    """The time spent in each kernel and loop, where it was asked for."""

    @abstractmethod
    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        """The graph's outputs for these inputs."""
        ...

    def entry(self, slow: Callable[..., Any], form: str) -> tuple[Callable[..., Any], Any] | None:
        """The short way from Python into the program, with what must live as long; None: no other
        than `__call__`.

        It is a function of the arguments of a call, as the user gave them, that hands over its
        results: ``form`` is ``"one"``, for the one result itself, or ``"list"``; results of no
        dimensions are NumPy scalars. Arguments that are not just what the program takes it leaves
        to ``slow``.
        """
        return None


class Target(Protocol):
    """What rewriting and export have to know of a backend: what it runs, and what that costs."""

    name: str
    steps_are_cheap: bool = False
    """Whether a step of a loop costs no more than what it computes. Work on rows that are in cache
    stays in the loop then; otherwise one op before or after it does that of all steps."""

    @abstractmethod
    def has_lowering(self, op: Op) -> bool:
        """Whether the op is run as it is; others are expanded before."""
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


class Backend(Target, Protocol):
    """A target that runs graphs itself."""

    @property
    def programs(self) -> Programs | None:
        """What was compiled before; None for a backend that compiles fast enough."""
        return None

    @abstractmethod
    def prepare(self, graph: Graph, *, threads: int = 1, profile: bool = False) -> Executable:
        """The graph as an executable, whose calls may keep so many threads busy."""
        ...


# The modules that hold the backends, each as ``BACKEND``.
BACKENDS: dict[str, str] = {
    "native": "symgraph.backends.llvm.backend",
    "numpy": "symgraph.backends.numpy",
}


def load_backend(backend: str | Backend) -> Backend:
    """The backend of this name, whose module is imported when it is first asked for; or the object
    itself, where it has all that a `Backend` has."""
    if isinstance(backend, str) and backend in BACKENDS:
        return importlib.import_module(BACKENDS[backend]).BACKEND
    missing = _missing(backend, Backend)
    if isinstance(backend, str | type) or missing == _members(Backend):
        raise BackendError.here(
            f"there is no backend {backend!r}",
            remedy=f"The backends are {' and '.join(map(repr, BACKENDS))}, and objects with the "
            "protocol of symgraph.backends.base.Backend.",
        )
    if missing:
        raise _lacks(f"{backend!r} is no backend", missing, Backend)
    return backend


def keeps_checkpoints(target: Target) -> bool:
    """Whether loops that the target runs leave checkpoints: whether it says so, by an attribute of
    this name, which no target has to have.

    Elsewhere checkpoints are taken out of all rows of the states, for the memory that these take.
    """
    return getattr(target, "keeps_checkpoints", False)


def buffers_of(backend: Backend, graph: Graph, *, threads: int) -> Sequence[Size] | None:
    """The bytes of each buffer that a call takes beside arguments and results; None where the
    backend does not say, by a method ``buffers``, which no backend has to have."""
    buffers = getattr(backend, "buffers", None)
    return None if buffers is None else buffers(graph, threads=threads)


def executable_of(
    backend: Backend, graph: Graph, *, threads: int = 1, profile: bool = False
) -> Executable:
    """The graph as an executable of the backend, which has all that an `Executable` has."""
    executable = backend.prepare(graph, threads=threads, profile=profile)
    if missing := _missing(executable, Executable):
        raise _lacks(f"backend {backend.name!r} prepares no executable", missing, Executable)
    return executable


def _lacks(what: str, missing: Sequence[str], protocol: type) -> BackendError:
    return BackendError.here(
        f"{what}: it lacks {', '.join(missing)}",
        remedy=f"Derive its class from symgraph.backends.base.{protocol.__name__}, which has "
        "defaults for what may be left out.",
    )


def _missing(value: object, protocol: type) -> list[str]:
    return [name for name in _members(protocol) if not hasattr(value, name)]


@cache
def _members(protocol: type) -> list[str]:
    """All that a protocol names, its bases' first."""
    ours = [cls for cls in reversed(protocol.__mro__) if cls.__module__ == __name__]
    names = dict.fromkeys(name for cls in ours for name in (*get_annotations(cls), *vars(cls)))
    return [name for name in names if name == "__call__" or name[0] != "_"]

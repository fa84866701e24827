"""The shared variables of a function: read together, written together or not at all."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..core.annotations import ArrayLike
from ..core.errors import UpdateError
from ..core.interrupts import call_holding
from ..core.shared import SharedVariable

__all__ = ["SharedState", "set_values"]

_read = operator.attrgetter("_value")
_write = SharedVariable._value.__set__  # pyright: ignore[reportAttributeAccessIssue]


class SharedState:
    """The shared variables that a program reads, and those that each of its calls updates."""

    def __init__(self, read: Sequence[SharedVariable], updated: Sequence[SharedVariable]) -> None:
        self.read: tuple[SharedVariable, ...] = tuple(read)
        self.updated: tuple[SharedVariable, ...] = tuple(updated)
        # In one order everywhere, so that two functions never wait for each other.
        self._in_order = sorted({*read, *updated}, key=operator.attrgetter("serial"))

    def values(self) -> list[np.ndarray]:
        """The present values of the shared variables that the program reads."""
        return list(map(_read, self.read))

    def call(
        self,
        run: Callable[..., Sequence[np.ndarray]],
        arguments: Sequence[np.ndarray],
    ) -> Sequence[np.ndarray]:
        """The program's outputs; with updates, the new values are stored once all are there.

        Calls that update hold the locks of all shared variables that they touch, and so are
        serialised among each other; calls that only read wait for nobody.
        """
        if not self.updated:
            return run(*arguments, *self.values())

        def run_and_store() -> Sequence[np.ndarray]:
            results = run(*arguments, *self.values())
            n_outputs = len(results) - len(self.updated)
            # One call into C: neither another thread nor Ctrl-C comes between the variables.
            deque(map(_write, self.updated, results[n_outputs:]), maxlen=0)
            return results[:n_outputs]

        return call_holding([shared._lock for shared in self._in_order], run_and_store)


def set_values(values: Mapping[SharedVariable, ArrayLike]) -> None:
    """Replace the values of several shared variables, together or not at all.

    Each value is checked as `SharedVariable.set_value` does, all of them before any is stored;
    neither another thread nor Ctrl-C comes between. Raises `UpdateError` where one does not fit.

    >>> w, b = sg.shared(np.zeros(2)), sg.shared(1.0)
    >>> sg.set_values({w: [3, 4], b: 5})
    >>> print(w.get_value(), b.get_value())
    [3. 4.] 5.0
    """
    strays = [v for v in values if not isinstance(v, SharedVariable)]
    if strays:
        raise UpdateError.here(
            f"set_values takes a dict from shared variables to values; found {strays[0]!r}"
        )
    fresh = [variable.as_new_value(value) for variable, value in values.items()]
    SharedState((), tuple(values)).call(lambda: fresh, ())

"""What may be wrong with a loop when it is called: checks in the program, and what they say."""

from __future__ import annotations

from collections.abc import Callable

from ....core import provenance
from ....core.dims import Dim, Size, maximum_zero
from ....core.errors import TooLargeError
from ....core.variable import Variable
from ....ops.sizes import size_of
from ....scan.op import Loop, State
from .scope import Scope

__all__ = ["LoopChecks"]


class LoopChecks:
    """The checks of one loop, written where they are asked for."""

    def __init__(self, scope: Scope, loop: Loop) -> None:
        self._scope, self._loop = scope, loop
        self._n = size_of(loop.n_steps)

    def steps(self) -> None:
        """The number of steps is not negative."""
        n, a = self._n, self._scope.assembler
        if not isinstance(n, int) and (maximum_zero(n) is not n or not a.is_known_at_entry(n)):
            self._check(
                "at_least", n, 0, lambda n, least: f"the number of steps is {n}; it is at least 0"
            )

    def length(self, sequence: Variable, ahead: int) -> None:
        """The sequence has the rows that are read, up to so many after that of the last step."""
        # Without a step no row is read.
        needed = self._n + ahead * (1 - maximum_zero(1 - self._n))
        spare = sequence.type.shape[0] - needed
        if (isinstance(spare, int) and spare >= 0) or (
            isinstance(spare, Dim) and maximum_zero(spare) is spare
        ):
            return
        name = provenance.describe(sequence)
        self._check(
            "at_least",
            sequence.type.shape[0],
            needed,
            lambda rows, needed: (
                f"{needed - ahead} steps read {needed} rows of {name}, which has {rows}"
            ),
        )

    def initial(self, state: State) -> None:
        """A state has as many initial rows as its taps go back."""
        rows, depth = state.initial.type.shape[0], state.depth
        if rows != depth:
            taps, name = list(state.taps), provenance.describe(state.initial)
            self._check(
                "check",
                rows,
                depth,
                lambda rows, depth: (
                    f"taps {taps} take an initial value of {depth} rows; {name} has {rows}"
                ),
            )

    def room(self, turn: int) -> int:
        """The status of a call that finds no memory for the rows of a loop of unknown length."""
        return self._scope.builder.check(
            self._loop.node,
            turn,
            text=lambda steps: f"scan: no memory is left for the results of {steps} steps",
            error=TooLargeError,
        )

    def _check(self, rule: str, a: Size, b: Size, text: Callable[[int, int], str]) -> None:
        assembler = self._scope.assembler
        slots = [assembler.size(a), assembler.size(b)]
        check = self._scope.builder.check(
            self._loop.node, *slots, text=lambda a, b: f"scan: {text(a, b)}"
        )
        assembler.run(rule, *slots, check)

"""A step function called once, on symbols: what it takes, and what it gives back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..core import provenance
from ..core.annotations import ArrayLike
from ..core.errors import ScanError
from ..core.values import takes_kind, weak_kind
from ..core.variable import Variable, make_constant
from ..ops.comparison import as_condition
from ..ops.promotion import as_variable, cast_to
from .arguments import StateArgument
from .effects import effects_kept_in_step, has_effects_since, values_of_effects
from .op import Read

__all__ = ["Step", "Traced", "Until", "as_output", "until"]


class Until:
    """The condition that ends a loop after the step in which it holds; made by `until`."""

    def __init__(self, condition: Any) -> None:
        self.condition = as_condition(condition, "until")
        if self.condition.ndim != 0:
            raise ScanError.here(
                f"until: the condition is a scalar, not {provenance.describe(self.condition)}",
                remedy="Reduce it with .any() or .all().",
            )


def until(condition: ArrayLike) -> Until:
    """The sign, for a step to return beside its outputs, that this step is the last one.

    The condition is a scalar, else it is a `ScanError`; its step counts.

    >>> def double(x):
    ...     return 2 * x, sg.until(x > 10)
    >>> sg.scan(double, outputs_info=[1], n_steps=100).eval()
    array([ 2,  4,  8, 16, 32])
    """
    return Until(condition)


@dataclass
class Traced:
    """What one call of the step gave."""

    reads: list[Read]
    taps: list[dict[int, Variable]]
    """For each state the symbols of its taps."""
    outputs: list[Variable]
    condition: Variable | None
    handed_out: list[tuple[Sequence[Variable], Callable[..., None]]]
    """What the step makes besides its outputs, with who gets it."""

    @property
    def symbols(self) -> list[Variable]:
        """The symbols on which the step was called, the number of the step included."""
        past = (symbol for taps in self.taps for symbol in taps.values())
        return [*(read.symbol for read in self.reads), *past]

    def keep_effects(self, since: int, number: Callable[[], Variable]) -> None:
        """Let effects later than ``since`` happen in each step; ``number`` gives the step's."""
        condition = [] if self.condition is None else [self.condition]
        ends = [*self.outputs, *condition, *(x for values, _ in self.handed_out for x in values)]
        if not has_effects_since(ends, since):
            return
        rest = iter(effects_kept_in_step(ends, self.symbols, since, number))
        self.outputs = list(islice(rest, len(self.outputs)))
        self.condition = next(rest) if condition else None
        self.handed_out = [(list(islice(rest, len(x))), receive) for x, receive in self.handed_out]
        values = values_of_effects(self.outputs, self.symbols, since)
        if values:
            self.handed_out.append((values, lambda *traces: None))


@dataclass(frozen=True)
class Step:
    """The user's function, and how errors speak of it."""

    function: Callable[..., Any]
    name: str | None = None
    """That of the loop."""

    def __call__(self, rows: Sequence[Any], past: Sequence[Any], fixed: Sequence[Any]) -> Any:
        """What the function returns for these arguments."""
        try:
            return self.function(*rows, *past, *fixed)
        except TypeError:
            self._refuse_arguments(
                {"row": len(rows), "past output": len(past), "non-sequence": len(fixed)}
            )
            raise

    def _refuse_arguments(self, counts: Mapping[str, int]) -> None:
        """An error where the function does not take as many arguments as it is called with."""
        try:
            signature = inspect.signature(self.function, follow_wrapped=False)
            signature.bind(*range(sum(counts.values())))
        except ValueError:
            return  # a builtin that does not tell
        except TypeError as error:
            parts = ", ".join(
                f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in counts.items() if n
            )
            raise self.error(
                f"the step is called with {parts or 'no arguments'}: {error} ({self.line})",
                "A step takes the rows of sequences, then past outputs, then non_sequences.",
            ) from None

    def outputs(self, returned: Any) -> tuple[list[Any], Variable | None]:
        """What the function returned: its outputs and the condition that ends the loop."""
        condition = None
        if isinstance(returned, (list, tuple)) and returned and isinstance(returned[-1], Until):
            condition = cast_to(returned[-1].condition, np.dtype("bool"))
            returned = returned[0] if len(returned) == 2 else returned[:-1]
        several = isinstance(returned, (list, tuple))
        outputs = list(returned) if several else [returned]
        if isinstance(returned, (dict, Until)) or any(x is None for x in outputs) or not outputs:
            raise self.error(
                f"the step returned {returned!r}",
                "A step returns its outputs (a variable, or a list of variables), or "
                "(outputs, sg.until(condition)). Updates go to compile().",
            )
        return outputs, condition

    @property
    def line(self) -> str:
        """Where the function is written."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        if code is None:
            return f"step {self.function!r}"
        return f"step at {code.co_filename}:{code.co_firstlineno}"

    def error(self, what: str, remedy: str) -> ScanError:
        """An error that names the loop."""
        title = f"scan {self.name!r}" if self.name else "scan"
        return ScanError.here(f"{title}: {what}", remedy=remedy)


def as_output(value: Any, state: StateArgument) -> Variable:
    """What a step returned as a variable; a Python number takes the dtype of its state."""
    if state.initial is not None and state.weak is None:
        kind = weak_kind(value)
        if kind is not None and takes_kind(state.initial.dtype, kind):
            return make_constant(value, state.initial.dtype, what="scan")
    return as_variable(value, "scan")

"""The exceptions that symgraph raises.

Every message says what was expected, what was found, where the user wrote it and what to do;
the classes also derive from the built-in that a Python user would catch.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from . import provenance

__all__ = [
    "BackendError",
    "CallError",
    "DebugAssertError",
    "DisconnectedError",
    "DtypeError",
    "ExchangeError",
    "FiniteError",
    "GradientError",
    "GraphError",
    "IndexRangeError",
    "InputError",
    "InternalError",
    "MemoryGuardError",
    "NumberRangeError",
    "OperandRange",
    "ScanError",
    "ShapeError",
    "SymbolicValueError",
    "SymgraphError",
    "SymgraphTypeError",
    "SymgraphValueError",
    "TooLargeError",
    "UpdateError",
    "VerifyError",
    "explain",
]


class SymgraphError(Exception):
    """The base of every exception that symgraph raises on purpose."""

    @classmethod
    def here(cls, what: str, *, remedy: str | None = None) -> Self:
        """The error with the user's present line: what was expected and found, and the way out."""
        return cls(explain(what, line=provenance.user_line(), remedy=remedy))


class SymgraphTypeError(SymgraphError, TypeError):
    """An argument of a kind that the function does not take."""


class SymgraphValueError(SymgraphError, ValueError):
    """An argument of the right kind with a value that makes no sense."""


class DtypeError(SymgraphTypeError):
    """A dtype that does not fit, or a conversion that would lose too much."""


class NumberRangeError(DtypeError, OverflowError):
    """A value that does not fit the dtype that it is to take."""


class ShapeError(SymgraphValueError):
    """Sizes that do not agree, or a number of axes that does not fit."""


class IndexRangeError(SymgraphError, IndexError):
    """An index outside the axis that it addresses."""

    place: tuple[int, ...] = ()
    """Where in the arrays of indices it stands."""


class SymbolicValueError(SymgraphTypeError):
    """A symbol was used where Python needs a value: for truth, len, iteration or an array."""


class GraphError(SymgraphValueError):
    """A graph that is not closed, or that does not hold what was asked of it."""


class GradientError(SymgraphTypeError):
    """A derivative that does not exist, such as one by an integer."""


class DisconnectedError(SymgraphValueError):
    """The cost does not depend on the variable by a differentiable path."""


class ScanError(SymgraphValueError):
    """A loop that does not make sense: what the step returned, its taps or its number of steps."""


class InputError(SymgraphTypeError):
    """A wrong set of inputs: missing, unused, given twice, or too many."""


class UpdateError(SymgraphTypeError):
    """An update that does not fit its shared variable."""


class CallError(SymgraphValueError):
    """An operation of a compiled function failed on the values it was called with."""


class DebugAssertError(CallError, AssertionError):
    """A condition that `debug_assert` was given did not hold in a call."""


class TooLargeError(CallError, MemoryError):
    """An array that no memory holds, or a size that cannot be counted."""


class BackendError(SymgraphValueError):
    """A backend that does not exist or cannot run an operation."""


class ExchangeError(SymgraphValueError):
    """What cannot go out of symgraph, or come in, in the form that was asked for."""


class InternalError(SymgraphError, RuntimeError):
    """A fault of symgraph's own, such as code that LLVM refuses; worth a report."""


class VerifyError(SymgraphError, ArithmeticError):
    """A function compiled with ``verify=True`` computed something else than the reference.

    It tells of the first wrong value in the order of execution. No update has been stored.
    """

    op: str | None
    """The name of the operation; ``"scan"`` where a loop hands on other values than its body made;
    None where nothing is to be compared, since one side alone raised an error."""
    loop: str | tuple[str, ...] | None
    """The name of the loop around it; of loops in loops all names, outermost first; None outside
    loops."""
    step: int | tuple[int, ...] | None
    """The step of the loop, from 0 in the order in which steps run; in loops in loops one each."""
    line: str | None
    """The user's line, as ``file:line``: that of the operation where lines were recorded, or else
    of the nearest thing it is made of, or of the loop around it."""
    got: Any
    """What was computed: an array; where an error was raised alone, the error."""
    expected: Any
    """What the reference computed."""

    def __init__(
        self,
        message: str,
        *,
        op: str | None = None,
        loop: str | tuple[str, ...] | None = None,
        step: int | tuple[int, ...] | None = None,
        line: str | None = None,
        got: Any = None,
        expected: Any = None,
    ) -> None:
        super().__init__(message)
        self.op, self.loop, self.step, self.line = op, loop, step, line
        self.got, self.expected = got, expected


class OperandRange(NamedTuple):
    """The values of an operand in short."""

    label: str
    """Its name, or what it is made of."""
    least: float | None
    """The least of its finite values; None where there is none."""
    largest: float | None
    """The largest of its finite values."""
    not_finite: int
    """How many of its values are NaN or infinite."""

    def __str__(self) -> str:
        ends = [f"{end:g}" for end in (self.least, self.largest) if end is not None]
        found = " to ".join(dict.fromkeys(ends)) or "no number"
        lost = f", {self.not_finite} not finite" if self.not_finite else ""
        return f"{self.label}: {found}{lost}"


class FiniteError(SymgraphError, ArithmeticError):
    """A function compiled with ``check_finite=True`` computed a NaN or an infinity.

    It tells of the first one in the order of execution. No update has been stored.
    """

    op: str | None
    """The name of the operation; that of a leaf where an argument or a shared variable is not
    finite; None where only the backend's own rounding made it so."""
    loop: str | int | tuple[str | int, ...] | None
    """The loop around it as `replay` takes it: its name, or its row in the report's
    ``loop_table``; of loops in loops all, outermost first; None outside loops."""
    step: int | tuple[int, ...] | None
    """The step of the loop, from 0 in the order in which steps run; in loops in loops one each."""
    line: str | None
    """The user's line, as ``file:line``: that of the operation where lines were recorded, as they
    are in loops, or else of the nearest thing it is made of, or of the loop around it."""
    operands: tuple[OperandRange, ...]
    """The values that it was computed from."""

    def __init__(
        self,
        message: str,
        *,
        op: str | None = None,
        loop: str | int | tuple[str | int, ...] | None = None,
        step: int | tuple[int, ...] | None = None,
        line: str | None = None,
        operands: tuple[OperandRange, ...] = (),
    ) -> None:
        super().__init__(message)
        self.op, self.loop, self.step, self.line = op, loop, step, line
        self.operands = operands


class MemoryGuardError(BackendError):
    """Native code wrote outside the memory that it was given: a fault of symgraph's own."""


def explain(what: str, *, line: str | None = None, remedy: str | None = None) -> str:
    """The text of an error message: what happened, the user's line, the way out."""
    parts = [what]
    if line:
        parts.append(f"  at {line}")
    if remedy:
        parts.append(f"  {remedy}")
    return "\n".join(parts)

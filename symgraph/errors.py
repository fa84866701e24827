"""The exceptions to catch; and, for those who write layers of their own, the means to raise them.

``explain(what, line=user_line(), remedy=...)`` makes a message as symgraph's own are made, and
``describe(variable)`` names a variable in it. ``refuse_masked(value, what)`` raises for arrays that
would lose their mask; ``check_flags("layer", reverse=reverse)`` for what is neither True nor False.
"""

from __future__ import annotations

from .core.errors import (
    BackendError,
    CallError,
    DebugAssertError,
    DisconnectedError,
    DtypeError,
    ExchangeError,
    FiniteError,
    GradientError,
    GraphError,
    IndexRangeError,
    InputError,
    InternalError,
    MemoryGuardError,
    NumberRangeError,
    OperandRange,
    ScanError,
    ShapeError,
    SymbolicValueError,
    SymgraphError,
    SymgraphTypeError,
    SymgraphValueError,
    TooLargeError,
    UpdateError,
    VerifyError,
    explain,
)
from .core.flags import check_flags
from .core.provenance import describe, user_line
from .core.values import refuse_masked

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
    "check_flags",
    "describe",
    "explain",
    "refuse_masked",
    "user_line",
]
